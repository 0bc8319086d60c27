//! What is booked: enrolments, grants, transfers and acceptances. Read → verify on the pool → submit.
//!
//! Admission stands in the replica; here is only what needs neither order nor state: form, network, home,
//! signature, certificate.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use city_protocol::Refusal;
use city_protocol::body::{Accept, Enrol, Grant, PersonBody, Transfer};
use city_protocol::crypto::{PublicKey, TAG_GRANT};
use city_protocol::ids::{AccountId, LogId, NetworkId};
use city_protocol::pki::{CertificateRefusal, verify_client};
use city_protocol::replica::ClockQuality;
use city_protocol::stage::{Signed, SignedGrant, Submission, Verified};
use city_protocol::vertex::EntrySignature;

use super::extract::JsonBody;
use super::wire::{Der, EnrolForm, GrantForm, SignedForm, SubmittedPage};
use super::{ApiState, Problem};

type Answer = Result<(StatusCode, Json<SubmittedPage>), Problem>;

/// `POST /send/api/enrol`.
pub(super) async fn enrol(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<EnrolForm>,
) -> Answer {
    let EnrolForm {
        body,
        signature,
        certificate,
        chain,
    } = form;
    let signed = Signed::<Enrol>::read(body.as_bytes(), signature.read()?)?;
    let common = signed.body().common();
    api.for_us(&common.network, &common.home)?;
    api.takes_new_keys(signed.body().alg, signed.body().kem_alg)?;
    let now = api.clock.now();
    // A certificate's dates cannot be judged by a clock that is not known.
    if now.quality == ClockQuality::Floor {
        return Err(Refusal::ClockUnknown.into());
    }
    let genesis = api.engine.genesis().clone();
    let authority = api.engine.authority().clone();
    let job = move || {
        let chain: Vec<Vec<u8>> = chain.into_iter().map(|Der(der)| der).collect();
        let roots = &genesis.roots;
        let client = verify_client(roots, &certificate.0, &chain, now.time, authority.region())
            .map_err(refused_certificate)?;
        Ok::<_, Problem>(signed.verify_enrolment(&client)?)
    };
    let verified = api.on_pool(job).await??;
    api.submit(Submission::Enrol(verified)).await
}

/// What is wrong with the caller's own certificate, in words.
fn refused_certificate(refusal: CertificateRefusal) -> Problem {
    Problem::from(Refusal::BadCertificate).with_detail(refusal.to_string())
}

/// `POST /send/api/grants`.
pub(super) async fn grant(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<GrantForm>,
) -> Answer {
    let bytes = form.body.into_bytes();
    let grant = Grant::read(&bytes)?;
    api.for_us(&grant.network, &grant.home)?;
    let authority = api.engine.authority().clone();
    // Before anything is verified: nobody makes this node check more signatures than officers can give.
    if form.signatures.len() > authority.officers().len() {
        return Err(Refusal::OfficersShort.into());
    }
    let signatures: Vec<EntrySignature> = form
        .signatures
        .into_iter()
        .map(|signature| signature.read())
        .collect::<Result<_, _>>()?;
    for signature in &signatures {
        api.takes(signature.alg)?;
    }
    let job = move || -> Result<SignedGrant, Refusal> {
        for signature in &signatures {
            verify_officer(authority.officers(), signature, &bytes)?;
        }
        Ok(SignedGrant { bytes, signatures })
    };
    let signed = api.on_pool(job).await??;
    api.submit(Submission::Grant(signed)).await
}

/// The commit thread checks again whether they are enough; strangers' signatures do not get that far.
fn verify_officer(
    officers: &[PublicKey],
    signature: &EntrySignature,
    body: &[u8],
) -> Result<(), Refusal> {
    let officer = officers
        .iter()
        .find(|officer| officer.id() == signature.key);
    let officer = officer.ok_or(Refusal::OfficersShort)?;
    let message = Grant::officer_message(signature.alg, &signature.key, body);
    officer.verify(TAG_GRANT, &message, &signature.signature()?)
}

/// `POST /send/api/transfers`.
pub(super) async fn transfer(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<SignedForm>,
) -> Answer {
    let signed = api.read::<Transfer>(form)?;
    let sender = signed.body().sender;
    let verified = api.verify(signed, &sender).await?;
    api.submit(Submission::Transfer(verified)).await
}

/// `POST /send/api/accepts`.
pub(super) async fn accept(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<SignedForm>,
) -> Answer {
    let signed = api.read::<Accept>(form)?;
    let body = signed.body();
    let receiver = AccountId::new(&body.home, &body.key);
    let verified = api.verify(signed, &receiver).await?;
    api.submit(Submission::Accept(verified)).await
}

impl ApiState {
    fn read<B: PersonBody>(&self, form: SignedForm) -> Result<Signed<B>, Refusal> {
        let signed = Signed::<B>::read(form.body.as_bytes(), form.signature.read()?)?;
        let common = signed.body().common();
        self.for_us(&common.network, &common.home)?;
        self.takes(common.alg)?;
        Ok(signed)
    }

    /// Checked before the account is looked up, so that the answer names what is wrong.
    fn for_us(&self, network: &NetworkId, home: &LogId) -> Result<(), Refusal> {
        if *network != self.engine.genesis().network() {
            Err(Refusal::WrongNetwork)
        } else if *home != self.engine.log() {
            Err(Refusal::WrongHome)
        } else {
            Ok(())
        }
    }

    /// Checks the signature with the account's active key.
    async fn verify<B: PersonBody + Send + 'static>(
        &self,
        signed: Signed<B>,
        account: &AccountId,
    ) -> Result<Verified<B>, Problem> {
        let key = self.engine.account_key(account)?;
        Ok(self.on_pool(move || signed.verify(&key)).await??)
    }

    async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let answer = self.engine.pool().run(job).await;
        answer.ok_or_else(|| Refusal::NotSequencing.into())
    }

    async fn submit(&self, submission: Submission) -> Answer {
        let entry = self.engine.submit(submission).await?;
        let status = if entry.repeated {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        Ok((status, Json(entry.into())))
    }
}

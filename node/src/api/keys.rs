//! How an account's keys change: rotation by the person, revocation by the person or officers, recovery by
//! officers. Like every submission: form, network, home, signatures, certificate; whose turn it is the fold says.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use city_protocol::Refusal;
use city_protocol::body::{
    Kind, NewKeys, OfficersBody, OfficersRevoke, PersonBody, Recover, Revoke, Rotate, identity,
    is_officers_revoke, read_officers_body, read_person_body,
};
use city_protocol::crypto::PublicKey;
use city_protocol::ids::AccountId;
use city_protocol::pki::ClientCertificate;
use city_protocol::replica::ClockQuality;
use city_protocol::stage::{SignedBySeveral, Submission};
use city_protocol::vertex::{Entry, EntrySignature, verify_entry_signature};

use super::extract::JsonBody;
use super::wire::{Der, KeysForm, SignatureForm, SubmittedPage, TogetherForm};
use super::{ApiState, Problem};
use crate::pki::ShownCertificate;

type Answer = Result<(StatusCode, Json<SubmittedPage>), Problem>;

/// `POST /send/api/rotations`.
pub(super) async fn rotate(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<KeysForm>,
) -> Answer {
    let (bytes, signatures, shown) = parts(form)?;
    let body: Rotate = read_person_body(&bytes)?;
    let common = body.common();
    api.for_us(&common.network, &common.home)?;
    // Also the old one: what can be forged moves no account. Its owner goes to the officers.
    api.takes(common.alg)?;
    api.takes_new_keys(body.new.alg, body.new.kem_alg)?;
    if signatures.len() != 2 {
        return Err(Refusal::WrongKey.into());
    }
    if api.engine.is_booked(&identity(Rotate::TAG, &bytes)) {
        // Sent again after a time-out: by now the old key is closed. The answer is the first receipt.
        let signed = SignedBySeveral { bytes, signatures };
        return api.submit(Submission::Rotate(signed)).await;
    }
    let old = api.engine.account_key(&body.account)?;
    if old.id() != common.key {
        return Err(Refusal::WrongKey.into());
    }
    let keys = vec![old.as_ref().clone(), body.new.signing_key()?];
    let signed = SignedBySeveral { bytes, signatures };
    let checked = move || {
        let entry = entry_of(Kind::Rotate, &signed);
        check(&entry, &keys)?;
        Ok(signed)
    };
    let (account, new) = (body.account, body.new);
    let signed = api.renewed(account, new, shown.clone(), checked).await?;
    let answer = api.submit(Submission::Rotate(signed)).await?;
    api.keep(answer.0, account, shown).await?;
    Ok(answer)
}

/// `POST /send/api/recoveries`.
pub(super) async fn recover(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<KeysForm>,
) -> Answer {
    let (bytes, signatures, shown) = parts(form)?;
    let body: Recover = read_officers_body(&bytes)?;
    api.takes_new_keys(body.new.alg, body.new.kem_alg)?;
    let checked = api.decided::<Recover>(bytes, signatures)?;
    let (account, new) = (body.account, body.new);
    let signed = api.renewed(account, new, shown.clone(), checked).await?;
    let answer = api.submit(Submission::Recover(signed)).await?;
    api.keep(answer.0, account, shown).await?;
    Ok(answer)
}

/// `POST /send/api/revocations`. A certificate is not asked for: who lost it, too, can still close the key.
pub(super) async fn revoke(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<TogetherForm>,
) -> Answer {
    let (bytes, signatures) = (form.body.into_bytes(), read_all(form.signatures)?);
    let signed = if is_officers_revoke(&bytes) {
        let checked = api.decided::<OfficersRevoke>(bytes, signatures)?;
        api.on_pool(checked).await??
    } else {
        let body: Revoke = read_person_body(&bytes)?;
        let common = body.common();
        api.for_us(&common.network, &common.home)?;
        api.takes(common.alg)?;
        let key = api.engine.account_key(&body.account)?;
        let signed = SignedBySeveral { bytes, signatures };
        let checked = move || {
            check(
                &entry_of(Kind::Revoke, &signed),
                std::slice::from_ref(key.as_ref()),
            )?;
            Ok::<_, Refusal>(signed)
        };
        api.on_pool(checked).await??
    };
    api.submit(Submission::Revoke(signed)).await
}

impl ApiState {
    /// What checks an officers' body: network and home now, the signatures on the pool.
    pub(super) fn decided<B: OfficersBody>(
        &self,
        bytes: Vec<u8>,
        signatures: Vec<EntrySignature>,
    ) -> Result<impl FnOnce() -> Result<SignedBySeveral, Refusal> + Send + 'static, Problem> {
        let decision = read_officers_body::<B>(&bytes)?.decision();
        self.for_us(&decision.network, &decision.home)?;
        for signature in &signatures {
            self.takes(signature.alg)?;
        }
        let authority = self.engine.authority_in_force();
        // By now others may be officers; the answer is the first receipt.
        let repeated = self.engine.is_booked(&identity(B::TAG, &bytes));
        // Before anything is verified: nobody makes this node check more signatures than officers can give.
        if !repeated && signatures.len() > authority.officers().len() {
            return Err(Refusal::OfficersShort.into());
        }
        let signed = SignedBySeveral { bytes, signatures };
        Ok(move || {
            // The commit thread checks again whether they are enough; strangers' signatures do not get that far.
            let entry = entry_of(B::KIND, &signed);
            for signature in entry.sig.iter().filter(|_| !repeated) {
                let mut officers = authority.officers().iter();
                let officer = officers.find(|officer| officer.id() == signature.key);
                let officer = officer.ok_or(Refusal::OfficersShort)?;
                verify_entry_signature(&entry, signature.key, officer)?;
            }
            Ok(signed)
        })
    }

    /// Checks the signatures, then that the new certificate is good and says what the body says.
    async fn renewed(
        &self,
        account: AccountId,
        new: NewKeys,
        shown: ShownCertificate,
        checked: impl FnOnce() -> Result<SignedBySeveral, Refusal> + Send + 'static,
    ) -> Result<SignedBySeveral, Problem> {
        let now = self.clock.now();
        // A certificate's dates cannot be judged by a clock that is not known.
        if now.quality == ClockQuality::Floor {
            return Err(Refusal::ClockUnknown.into());
        }
        let clients = self.clients.clone();
        let job = move || {
            let signed = checked()?;
            let certificate = clients.judge(&shown, now.time)?;
            if says(&certificate, &account, &new)? {
                Ok(signed)
            } else {
                Err(Problem::from(Refusal::BadCertificate))
            }
        };
        self.on_pool(job).await?
    }

    /// Keeps the certificate of what was booked. What is sent again does not put an old one in the place of a newer.
    pub(super) async fn keep(
        &self,
        status: StatusCode,
        account: AccountId,
        shown: ShownCertificate,
    ) -> Result<(), Problem> {
        let clients = self.clients.clone();
        let job = move || {
            if status == StatusCode::CREATED || !clients.has(&account) {
                clients.keep(&account, &shown);
            }
        };
        self.on_pool(job).await
    }
}

/// Whether a certificate is the one that the body names, for this account and these keys.
fn says(
    certificate: &ClientCertificate,
    account: &AccountId,
    new: &NewKeys,
) -> Result<bool, Refusal> {
    let (key, kem) = (new.signing_key()?, new.sealing_key()?);
    Ok(certificate.account == *account
        && certificate.fingerprint == new.certificate
        && certificate.key == key
        && certificate.kem.as_ref() == Some(&kem))
}

fn parts(form: KeysForm) -> Result<(Vec<u8>, Vec<EntrySignature>, ShownCertificate), Refusal> {
    let shown = ShownCertificate {
        leaf: form.certificate.0,
        chain: form.chain.into_iter().map(|Der(der)| der).collect(),
    };
    Ok((form.body.into_bytes(), read_all(form.signatures)?, shown))
}

pub(super) fn read_all(forms: Vec<SignatureForm>) -> Result<Vec<EntrySignature>, Refusal> {
    forms.into_iter().map(SignatureForm::read).collect()
}

/// The entry that these bytes would become, to check its signatures.
fn entry_of(kind: Kind, signed: &SignedBySeveral) -> Entry {
    Entry {
        sig: signed.signatures.clone(),
        ..Entry::home_authored(kind, signed.bytes.clone())
    }
}

/// Each of these keys signed.
fn check(entry: &Entry, keys: &[PublicKey]) -> Result<(), Refusal> {
    keys.iter()
        .try_for_each(|key| verify_entry_signature(entry, key.id(), key))
}

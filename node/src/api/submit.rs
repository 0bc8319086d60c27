//! What is booked: enrolments, officers' decisions about balances, transfers, the answers to them, standing orders. Read → verify on the pool → submit.
//!
//! Admission stands in the replica; here is only what needs neither order nor state: form, network, home,
//! signature, certificate.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use city_protocol::Refusal;
use city_protocol::body::{
    Accept, Amendment, Correct, Enrol, Grant, OfficersBody, Order, PersonBody, Reject, Transfer,
    Ungrant,
};
use city_protocol::ids::{AccountId, LogId, NetworkId};
use city_protocol::replica::{BookedEntry, ClockQuality};
use city_protocol::stage::{Signed, SignedBySeveral, Submission, Verified};

use super::extract::JsonBody;
use super::keys::read_all;
use super::private::told;
use super::wire::{Der, EnrolForm, Shown, SignedForm, SubmittedPage, TogetherForm, TransferForm};
use super::{ApiState, Problem};
use crate::pki::ShownCertificate;
use crate::private::KeepError;

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
    let shown = ShownCertificate {
        leaf: certificate.0,
        chain: chain.into_iter().map(|Der(der)| der).collect(),
    };
    let clients = api.clients.clone();
    let job = move || {
        let client = clients.judge(&shown, now.time)?;
        let verified = signed.verify_enrolment(&client)?;
        Ok::<_, Problem>((verified, client.account, shown))
    };
    let (verified, account, shown) = api.on_pool(job).await??;
    let (status, page) = api.submit(Submission::Enrol(verified)).await?;
    api.keep(status, account, shown).await?;
    Ok((status, page))
}

/// `POST /send/api/grants`.
pub(super) async fn grant(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<TogetherForm>,
) -> Answer {
    let signed = api.together::<Grant>(form).await?;
    api.submit(Submission::Grant(signed)).await
}

/// `POST /send/api/ungrants`.
pub(super) async fn ungrant(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<TogetherForm>,
) -> Answer {
    let signed = api.together::<Ungrant>(form).await?;
    api.submit(Submission::Ungrant(signed)).await
}

/// `POST /send/api/corrections`.
pub(super) async fn correct(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<TogetherForm>,
) -> Answer {
    let signed = api.together::<Correct>(form).await?;
    api.submit(Submission::Correct(signed)).await
}

/// `POST /send/api/charters`.
pub(super) async fn charter(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<TogetherForm>,
) -> Answer {
    let signed = api.together::<Amendment>(form).await?;
    api.submit(Submission::Amend(signed)).await
}

/// `POST /send/api/transfers`.
pub(super) async fn transfer(
    State(api): State<ApiState>,
    JsonBody(form): JsonBody<TransferForm>,
) -> Answer {
    let (mut form, private) = form.split();
    let shown = form.shown()?;
    let signed = api.read::<Transfer>(form)?;
    let sender = signed.body().sender;
    let Some(values) = private else {
        let verified = api.verify(signed, sender, shown).await?;
        return api.submit(Submission::Transfer(verified)).await;
    };
    let keeper = api.private.clone().ok_or_else(Problem::no_key_ring)?;
    let verified = api.verify(signed, sender, shown).await?;
    let checking = move || Ok::<_, Refusal>((verified.with_private(&values)?, values));
    let (verified, values) = api.on_pool(checking).await??;
    match keeper.book(api.engine.clone(), verified, values).await {
        Ok(entry) => Ok(api.booked(entry)),
        Err(KeepError::Refused(refusal)) => Err(refusal.into()),
        Err(KeepError::Vault(error)) => Err(told(&error)),
    }
}

/// `POST /send/api/accepts`.
pub(super) async fn accept(
    State(api): State<ApiState>,
    JsonBody(mut form): JsonBody<SignedForm>,
) -> Answer {
    let shown = form.shown()?;
    let signed = api.read::<Accept>(form)?;
    let body = signed.body();
    let receiver = api.engine.account_of_key(&body.key);
    let verified = api.verify(signed, receiver, shown).await?;
    api.submit(Submission::Accept(verified)).await
}

/// `POST /send/api/rejects`.
pub(super) async fn reject(
    State(api): State<ApiState>,
    JsonBody(mut form): JsonBody<SignedForm>,
) -> Answer {
    let shown = form.shown()?;
    let signed = api.read::<Reject>(form)?;
    let receiver = api.engine.account_of_key(&signed.body().key);
    let verified = api.verify(signed, receiver, shown).await?;
    api.submit(Submission::Reject(verified)).await
}

/// `POST /send/api/orders`.
pub(super) async fn order(
    State(api): State<ApiState>,
    JsonBody(mut form): JsonBody<SignedForm>,
) -> Answer {
    let shown = form.shown()?;
    let signed = api.read::<Order>(form)?;
    let account = signed.body().account;
    let verified = api.verify(signed, account, shown).await?;
    api.submit(Submission::Order(verified)).await
}

impl ApiState {
    /// What officers signed together, with good signatures.
    async fn together<B: OfficersBody>(
        &self,
        form: TogetherForm,
    ) -> Result<SignedBySeveral, Problem> {
        let signatures = read_all(form.signatures)?;
        let checked = self.decided::<B>(form.body.into_bytes(), signatures)?;
        Ok(self.on_pool(checked).await??)
    }

    fn read<B: PersonBody>(&self, form: SignedForm) -> Result<Signed<B>, Refusal> {
        let signed = Signed::<B>::read(form.body.as_bytes(), form.signature.read()?)?;
        let common = signed.body().common();
        self.for_us(&common.network, &common.home)?;
        self.takes(common.alg)?;
        Ok(signed)
    }

    /// Checked before the account is looked up, so that the answer names what is wrong.
    pub(super) fn for_us(&self, network: &NetworkId, home: &LogId) -> Result<(), Refusal> {
        if *network != self.engine.genesis().network() {
            Err(Refusal::WrongNetwork)
        } else if *home != self.engine.log() {
            Err(Refusal::WrongHome)
        } else {
            Ok(())
        }
    }

    /// Checks the signature with the account's active key, then the account's certificate: strangers cost one
    /// signature and no more.
    async fn verify<B: PersonBody + Send + 'static>(
        &self,
        signed: Signed<B>,
        account: AccountId,
        shown: Shown,
    ) -> Result<Verified<B>, Problem> {
        let key = self.engine.account_key(&account)?;
        let clients = self.clients.clone();
        let now = self.clock.now();
        // A certificate's dates cannot be judged by a clock that is not known.
        if now.quality == ClockQuality::Floor {
            return Err(Refusal::ClockUnknown.into());
        }
        let job = move || {
            let verified = signed.verify(&key)?;
            let (sent, named) = (shown.certificate.as_ref(), shown.named.as_ref());
            clients.admit(&account, &key, sent, named, now.time)?;
            Ok::<_, Problem>(verified)
        };
        self.on_pool(job).await?
    }

    pub(super) async fn on_pool<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let answer = self.engine.pool().run(job).await;
        answer.ok_or_else(|| Refusal::NotSequencing.into())
    }

    pub(super) async fn submit(&self, submission: Submission) -> Answer {
        Ok(self.booked(self.engine.submit(submission).await?))
    }

    fn booked(&self, entry: BookedEntry) -> (StatusCode, Json<SubmittedPage>) {
        let status = if entry.repeated {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        let page = SubmittedPage::of(entry, self.engine.history(), &self.engine.log());
        (status, Json(page))
    }
}

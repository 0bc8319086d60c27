//! Calls of the HTTPS API.

use std::collections::HashMap;
use std::sync::Mutex;

use city_protocol::Refusal;
use city_protocol::body::{Accept, Enrol, Order, PersonBody, PrivateValues, Reject, Transfer};
use city_protocol::ids::{AccountId, Digest, KeyId, TransferId};
use city_protocol::place::{Claim, PlaceProof, Subject};
use city_protocol::stage::{Signed, SignedBySeveral};
use data_encoding::HEXLOWER;
use hyper::body::Bytes;
use hyper::{Method, StatusCode};
use rustls::pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::http::Link;
use super::person::Person;
use super::{Address, ClientError};
use crate::api::problem::CERTIFICATE_REQUIRED;
use crate::api::wire::{
    AccountPage, ChallengePage, CharterPage, Der, EnrolForm, HomesPage, IncomingPage, KeptPage,
    KeysForm, LoginForm, LoginPage, LogoutPage, NodePage, OutgoingPage, PlaceForm, PlacePage,
    PrivatePage, ReceivedPage, SignedForm, SubmittedPage, TogetherForm, TransferPage,
};
use crate::pki::ShownCertificate;

const HELD: &str = "no holder of this lock panics";

/// Most accounts that one client knows certificates of: a family, a shop, a test.
const MAX_KNOWN: usize = 1024;

/// A home's HTTPS API.
pub struct ApiClient {
    link: Link,
    known: Mutex<HashMap<KeyId, ShownCertificate>>,
    tokens: Mutex<HashMap<AccountId, Zeroizing<String>>>,
}

impl ApiClient {
    /// The API at this address (`https://host:port`); only these roots are trusted. Connects when it is asked.
    ///
    /// # Errors
    /// [`ClientError::Address`] or [`ClientError::Tls`].
    pub fn new(url: &str, roots: &[CertificateDer<'static>]) -> Result<Self, ClientError> {
        let target = url.parse::<Address>()?.target(roots)?;
        Ok(Self {
            link: Link::new(target),
            known: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    /// Has the certificate of this signing key (leaf and intermediates, DER) sent when the home asks for it. One
    /// that is enrolled or renewed with is known.
    pub fn know(&self, key: KeyId, certificate: &[u8], chain: &[Vec<u8>]) {
        let mut known = self.known.lock().expect(HELD);
        if known.len() < MAX_KNOWN || known.contains_key(&key) {
            let leaf = certificate.to_vec();
            let chain = chain.to_vec();
            known.insert(key, ShownCertificate { leaf, chain });
        }
    }

    /// Logs a person in: from now on what is theirs is asked for with their token, which is good for an hour.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn login(&self, person: &Person) -> Result<LoginPage, ClientError> {
        let given: ChallengePage = self.link.post_as("/send/api/login/challenge", None).await?;
        let challenge = given.challenge.try_into();
        let (body, signature) = person.login(challenge.map_err(|_| Refusal::BadField)?);
        let form = LoginForm {
            body: text(&body),
            signature: (&signature).into(),
        };
        let page: LoginPage = self.link.post("/send/api/login", &form).await?;
        self.take_token(page.account, &page.token);
        Ok(page)
    }

    /// Ends an account's token.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn logout(&self, account: &AccountId) -> Result<LogoutPage, ClientError> {
        let token = self.token(account);
        let token = token.as_ref().map(|token| token.as_str());
        let page = self.link.post_as("/send/api/logout", token).await?;
        self.tokens.lock().expect(HELD).remove(account);
        Ok(page)
    }

    /// Uses a token that was given before.
    pub fn take_token(&self, account: AccountId, token: &str) {
        let mut tokens = self.tokens.lock().expect(HELD);
        if tokens.len() < MAX_KNOWN || tokens.contains_key(&account) {
            tokens.insert(account, Zeroizing::new(token.into()));
        }
    }

    fn token(&self, account: &AccountId) -> Option<Zeroizing<String>> {
        self.tokens.lock().expect(HELD).get(account).cloned()
    }

    async fn get_as<T: DeserializeOwned>(
        &self,
        account: &AccountId,
        path: &str,
    ) -> Result<T, ClientError> {
        let token = self.token(account);
        let token = token.as_ref().map(|token| token.as_str());
        self.link.get_as(path, token).await
    }

    /// Submits; sends the certificate along if the home asks for it, or has one that is not good: this may be newer.
    async fn submit<B: PersonBody>(
        &self,
        path: &str,
        signed: &Signed<B>,
        private: Option<&PrivateValues>,
    ) -> Result<SubmittedPage, ClientError> {
        // Without private values it is the plain form.
        let mut form = signed_form(signed).with_private(private.cloned());
        let answer = self.link.post(path, &form).await;
        let asks = [CERTIFICATE_REQUIRED, Refusal::BadCertificate.code()];
        let code = answer.as_ref().err().and_then(ClientError::code);
        let asked = code.is_some_and(|code| asks.contains(&code));
        let known = self
            .known
            .lock()
            .expect(HELD)
            .get(&signed.signature().key)
            .cloned();
        match known {
            Some(ShownCertificate { leaf, chain }) if asked => {
                form.certificate = Some(Der(leaf));
                form.chain = chain.into_iter().map(Der).collect();
                self.link.post(path, &form).await
            }
            _ => answer,
        }
    }

    /// Who this home is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn node(&self) -> Result<NodePage, ClientError> {
        self.link.get("/send/api/node").await
    }

    /// Opens an account.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enrol(
        &self,
        signed: &Signed<Enrol>,
        certificate: &[u8],
        chain: &[Vec<u8>],
    ) -> Result<SubmittedPage, ClientError> {
        let SignedForm {
            body, signature, ..
        } = signed_form(signed);
        let form = EnrolForm {
            body,
            signature,
            certificate: Der(certificate.to_vec()),
            chain: chain.iter().cloned().map(Der).collect(),
        };
        let page = self.link.post("/send/api/enrol", &form).await?;
        self.know(signed.signature().key, certificate, chain);
        Ok(page)
    }

    /// Hands in a decision that officers signed, where decisions of its kind are handed in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn decided(
        &self,
        path: &str,
        decision: &SignedBySeveral,
    ) -> Result<SubmittedPage, ClientError> {
        self.link.post(path, &together(decision)).await
    }

    /// The charter in force.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn charter(&self) -> Result<CharterPage, ClientError> {
        self.link.get("/send/api/charter").await
    }

    /// Hands in a grant that officers signed.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn grant(&self, grant: &SignedBySeveral) -> Result<SubmittedPage, ClientError> {
        self.decided("/send/api/grants", grant).await
    }

    /// Hands in a revocation, by a person or by officers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke(&self, signed: &SignedBySeveral) -> Result<SubmittedPage, ClientError> {
        let form = together(signed);
        self.link.post("/send/api/revocations", &form).await
    }

    /// Hands in a rotation with the certificate (DER) for the new keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn rotate(
        &self,
        signed: &SignedBySeveral,
        certificate: &[u8],
        chain: &[Vec<u8>],
    ) -> Result<SubmittedPage, ClientError> {
        let form = keys_form(signed, certificate, chain);
        self.link.post("/send/api/rotations", &form).await
    }

    /// Hands in a recovery that officers signed, with the certificate (DER) for the new keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn recover(
        &self,
        signed: &SignedBySeveral,
        certificate: &[u8],
        chain: &[Vec<u8>],
    ) -> Result<SubmittedPage, ClientError> {
        let form = keys_form(signed, certificate, chain);
        self.link.post("/send/api/recoveries", &form).await
    }

    /// Asks for a proof of place for a transfer, and checks that it is the one that the answer names and that
    /// it binds this account, transfer and nonce.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::Draft`] for a proof that does not hold.
    pub async fn place(
        &self,
        account: &AccountId,
        transfer_id: &TransferId,
        nonce: &[u8; 16],
    ) -> Result<PlacePage, ClientError> {
        let form = PlaceForm {
            account: account.to_string(),
            transfer_id: transfer_id.to_string(),
            nonce: HEXLOWER.encode(nonce),
            position: None,
        };
        self.proven(account, transfer_id, nonce, &form).await
    }

    /// The same for where somebody says that they are: a claim, which few homes take.
    ///
    /// # Errors
    /// As [`Self::place`]; a proof about anybody else is refused.
    pub async fn place_claimed(
        &self,
        account: &AccountId,
        transfer_id: &TransferId,
        nonce: &[u8; 16],
        claim: &Claim,
    ) -> Result<PlacePage, ClientError> {
        let form = PlaceForm {
            account: account.to_string(),
            transfer_id: transfer_id.to_string(),
            nonce: HEXLOWER.encode(nonce),
            position: Some(claim.into()),
        };
        self.proven(account, transfer_id, nonce, &form).await
    }

    async fn proven(
        &self,
        account: &AccountId,
        transfer_id: &TransferId,
        nonce: &[u8; 16],
        form: &PlaceForm,
    ) -> Result<PlacePage, ClientError> {
        let page: PlacePage = self.link.post("/send/api/place", form).await?;
        let proof = PlaceProof::decode(&page.proof)?;
        proof.binds(&proof.network, account, transfer_id)?;
        let is_claim = proof.subject == Subject::Client;
        let asked = proof.nonce == *nonce && is_claim == form.position.is_some();
        if asked && proof.digest() == page.digest {
            Ok(page)
        } else {
            Err(Refusal::PlaceMismatch.into())
        }
    }

    /// Submits a transfer to the sender's home.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transfer(&self, signed: &Signed<Transfer>) -> Result<SubmittedPage, ClientError> {
        self.submit("/send/api/transfers", signed, None).await
    }

    /// Submits a transfer to the sender's home, with what stands behind its private fields where that is at hand.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(
        &self,
        signed: &Signed<Transfer>,
        private: Option<&PrivateValues>,
    ) -> Result<SubmittedPage, ClientError> {
        self.submit("/send/api/transfers", signed, private).await
    }

    /// Has a terminal keep a transfer that it could not deliver.
    ///
    /// # Errors
    /// [`ClientError`]; a home has no such thing.
    pub async fn keep(
        &self,
        signed: &Signed<Transfer>,
        private: Option<&PrivateValues>,
    ) -> Result<KeptPage, ClientError> {
        let form = signed_form(signed).with_private(private.cloned());
        self.link.post("/send/api/outbox/transfers", &form).await
    }

    /// Submits a transfer with what stands behind its private fields: for the two homes alone, which keep it encrypted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transfer_with(
        &self,
        signed: &Signed<Transfer>,
        private: &PrivateValues,
    ) -> Result<SubmittedPage, ClientError> {
        self.submit("/send/api/transfers", signed, Some(private))
            .await
    }

    /// Submits an acceptance to the receiver's home.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn accept(&self, signed: &Signed<Accept>) -> Result<SubmittedPage, ClientError> {
        self.submit("/send/api/accepts", signed, None).await
    }

    /// Submits a rejection to the receiver's home.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reject(&self, signed: &Signed<Reject>) -> Result<SubmittedPage, ClientError> {
        self.submit("/send/api/rejects", signed, None).await
    }

    /// Submits a standing order to the person's home.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn order(&self, signed: &Signed<Order>) -> Result<SubmittedPage, ClientError> {
        self.submit("/send/api/orders", signed, None).await
    }

    /// An account, which must be logged in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn account(&self, account: &AccountId) -> Result<AccountPage, ClientError> {
        let path = format!("/send/api/accounts/{account}");
        self.get_as(account, &path).await
    }

    /// Transfers that wait for this account, which must be logged in, from the first or after one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn incoming(
        &self,
        account: &AccountId,
        after: Option<&Digest>,
    ) -> Result<IncomingPage, ClientError> {
        let query = after.map(|id| format!("?after={id}")).unwrap_or_default();
        let path = format!("/send/api/accounts/{account}/incoming{query}");
        self.get_as(account, &path).await
    }

    /// Transfers that were answered for this account, which must be logged in, from the first or after one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn received(
        &self,
        account: &AccountId,
        after: Option<&Digest>,
    ) -> Result<ReceivedPage, ClientError> {
        let query = after.map(|id| format!("?after={id}")).unwrap_or_default();
        let path = format!("/send/api/accounts/{account}/received{query}");
        self.get_as(account, &path).await
    }

    /// What this account, which must be logged in, has sent, from the first or after one.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outgoing(
        &self,
        account: &AccountId,
        after: Option<&TransferId>,
    ) -> Result<OutgoingPage, ClientError> {
        let query = after.map(|id| format!("?after={id}")).unwrap_or_default();
        let path = format!("/send/api/accounts/{account}/outgoing{query}");
        self.get_as(account, &path).await
    }

    /// The homes that this one knows.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn homes(&self) -> Result<HomesPage, ClientError> {
        self.link.get("/send/api/homes").await
    }

    /// How far a transfer has come, as its sender or receiver sees it, who must be logged in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transfer_state(
        &self,
        account: &AccountId,
        transfer: &Digest,
    ) -> Result<TransferPage, ClientError> {
        let path = format!("/send/api/transfers/{transfer}");
        self.get_as(account, &path).await
    }

    /// What the home has of a transfer's private values; its sender or receiver must be logged in.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn private(
        &self,
        account: &AccountId,
        transfer: &Digest,
    ) -> Result<PrivatePage, ClientError> {
        let path = format!("/send/api/transfers/{transfer}/private");
        self.get_as(account, &path).await
    }

    /// Asks anything and gives status and bytes as they came.
    ///
    /// # Errors
    /// [`ClientError`] when there is no answer.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        self.link.raw(method, path, body.into(), None).await
    }

    /// The same as an account that is logged in.
    ///
    /// # Errors
    /// [`ClientError`] when there is no answer.
    pub async fn raw_as(
        &self,
        account: &AccountId,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let token = self.token(account);
        let token = token.as_ref().map(|token| token.as_str());
        self.link.raw(method, path, body.into(), token).await
    }
}

fn signed_form<B: PersonBody>(signed: &Signed<B>) -> SignedForm {
    SignedForm {
        body: text(signed.bytes()),
        signature: signed.signature().into(),
        certificate: None,
        chain: Vec::new(),
        certificate_fingerprint: None,
    }
}

fn together(signed: &SignedBySeveral) -> TogetherForm {
    TogetherForm {
        body: text(&signed.bytes),
        signatures: signed.signatures.iter().map(Into::into).collect(),
    }
}

fn keys_form(signed: &SignedBySeveral, certificate: &[u8], chain: &[Vec<u8>]) -> KeysForm {
    let TogetherForm { body, signatures } = together(signed);
    KeysForm {
        body,
        signatures,
        certificate: Der(certificate.to_vec()),
        chain: chain.iter().cloned().map(Der).collect(),
    }
}

/// Bodies are JSON that was read, so they are text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

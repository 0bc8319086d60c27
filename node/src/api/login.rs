//! Logging in and out: a challenge, the account's signature over it, a token.
//!
//! Who is not known and who signs wrongly get the same answer after the same work: one signature is checked either
//! way, with a key that is nobody's where the account is not known, and no refusal is faster than [`FLOOR`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use city_protocol::Refusal;
use city_protocol::body::SignedLogin;
use city_protocol::crypto::{Algorithm, PublicKey, SecretKey};
use city_protocol::ids::AccountId;

use super::challenge::{CHALLENGE_LIFETIME, Challenges};
use super::extract::JsonBody;
use super::rate::{Buckets, network};
use super::who::{Asker, Bearer};
use super::wire::{ChallengePage, LoginForm, LoginPage, LogoutPage, SCHEMA};
use super::{ApiState, Problem};
use crate::access::Class;

/// No refused login is answered faster: what a disk or a cache knows of an account does not show in the time.
const FLOOR: Duration = Duration::from_millis(100);
/// Logins of one account from one network: a person with several devices; a second's signature check is what it may
/// cost. Nobody elsewhere uses it up: whoever asks is not known yet.
const ACCOUNT_PER_S: u32 = 1;
/// How many of one account may come at once.
const ACCOUNT_BURST: u32 = 10;

/// What logging in needs beside the tokens.
pub(super) struct Doorbell {
    challenges: Challenges,
    strangers: Strangers,
    accounts: Buckets<(AccountId, IpAddr)>,
}

impl Doorbell {
    pub(super) fn new() -> Self {
        Self {
            challenges: Challenges::default(),
            strangers: Strangers::new(),
            accounts: Buckets::new(ACCOUNT_PER_S, ACCOUNT_BURST),
        }
    }

    /// Takes one login of this account from where it comes; or says how long to wait.
    fn take(&self, account: &AccountId, source: IpAddr) -> Result<(), Duration> {
        self.accounts.take(&(*account, network(source)))
    }
}

/// One key of each algorithm whose other half nobody has.
struct Strangers(BTreeMap<&'static str, PublicKey>);

impl Strangers {
    fn new() -> Self {
        let algorithms = Algorithm::ALL.iter();
        let key = |algorithm: &Algorithm| {
            let key = SecretKey::generate(*algorithm);
            (algorithm.id(), key.public().clone())
        };
        Self(algorithms.map(key).collect())
    }

    /// The key to check with: the account's, if it is the one that the login names, else nobody's.
    fn or_known<'k>(
        &'k self,
        login: &SignedLogin,
        known: Option<&'k PublicKey>,
    ) -> (&'k PublicKey, bool) {
        let claimed = login.login();
        match known.filter(|key| key.id() == claimed.key) {
            Some(key) => (key, true),
            None => (&self.0[claimed.alg.id()], false),
        }
    }
}

/// Whether the login is the account's. `check` is called exactly once, whoever it is.
fn is_theirs(
    strangers: &Strangers,
    login: &SignedLogin,
    known: Option<&PublicKey>,
    check: impl FnOnce(&SignedLogin, &PublicKey) -> Result<(), Refusal>,
) -> bool {
    let (key, is_known) = strangers.or_known(login, known);
    let signed = check(login, key).is_ok();
    signed && is_known
}

/// `POST /send/api/login/challenge`.
pub(super) async fn challenge(
    State(api): State<ApiState>,
    Asker { source, .. }: Asker,
) -> Result<Json<ChallengePage>, Problem> {
    let given = api.doorbell.challenges.give(source);
    let challenge = given.ok_or_else(|| Problem::too_many_requests(CHALLENGE_LIFETIME))?;
    let lifetime = CHALLENGE_LIFETIME
        .as_millis()
        .try_into()
        .unwrap_or(u64::MAX);
    Ok(Json(ChallengePage {
        schema: SCHEMA,
        challenge: challenge.to_vec(),
        expires_at: api.clock.now().time.plus_ms(lifetime),
    }))
}

/// `POST /send/api/login`.
pub(super) async fn login(
    State(api): State<ApiState>,
    Asker { source, .. }: Asker,
    JsonBody(form): JsonBody<LoginForm>,
) -> Result<Json<LoginPage>, Problem> {
    let login = SignedLogin::read(form.body.as_bytes(), form.signature.read()?)?;
    let body = login.login();
    api.for_us(&body.network, &body.home)?;
    let (account, key) = (body.account, body.key);
    api.takes(body.alg)?;
    api.limit_logins(source, &account)?;
    if !api.doorbell.challenges.take(&body.challenge) {
        return Err(Problem::challenge_unknown());
    }
    let answer_at = tokio::time::Instant::now() + FLOOR;
    let known = api.engine.active_key(&account).ok();
    let doorbell = api.doorbell.clone();
    let is_theirs = api
        .on_pool(move || {
            is_theirs(
                &doorbell.strangers,
                &login,
                known.as_deref(),
                |login, key| login.verify(key),
            )
        })
        .await?;
    if !is_theirs {
        tokio::time::sleep_until(answer_at).await;
        return Err(Problem::login_refused());
    }
    api.bar_revoked(account).await?;
    let now = api.clock.now().time;
    let (token, claims) = api.tokens.issue(account, key, now);
    let who = account.as_str();
    api.access.first(Class::Login, who, "login").await;
    Ok(Json(LoginPage {
        schema: SCHEMA,
        token: token.as_str().into(),
        token_type: "Bearer".into(),
        account,
        expires_at: city_protocol::amount::Timestamp(claims.exp * 1000),
    }))
}

/// `POST /send/api/logout`: ends the token that it is asked with.
pub(super) async fn logout(
    State(api): State<ApiState>,
    Bearer(claims): Bearer,
) -> Result<Json<LogoutPage>, Problem> {
    let (tokens, now) = (api.tokens.clone(), api.clock.now().time);
    let account = claims.sub;
    let revoked = tokio::task::spawn_blocking(move || tokens.revoke(&claims, now)).await;
    match revoked {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, "a logout could not be written: it would not survive a restart");
            return Err(Refusal::StorageFull.into());
        }
        Err(_) => return Err(Problem::internal()),
    }
    let who = account.as_str();
    api.access.first(Class::Logout, who, "logout").await;
    Ok(Json(LogoutPage { schema: SCHEMA }))
}

impl ApiState {
    fn limit_logins(&self, source: IpAddr, account: &AccountId) -> Result<(), Problem> {
        // The source first: one that asks too much does not use up what others' accounts may.
        let allowed = self
            .rate
            .take_login(source)
            .and_then(|()| self.doorbell.take(account, source));
        allowed.map_err(Problem::too_many_requests)
    }

    /// Refuses an account whose key or whose certificate was revoked, and everybody while the trust store cannot be
    /// read; a certificate that this node never saw is no bar.
    pub(super) async fn bar_revoked(&self, account: AccountId) -> Result<(), Problem> {
        let clients = self.clients.clone();
        let now = self.clock.now().time;
        let key = match self.engine.active_key(&account) {
            Ok(key) => key,
            // An account of another home has no key here, and nothing is told to it.
            Err(Refusal::UnknownAccount) => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        };
        if clients.is_known_good(&account, &key, now) {
            return Ok(());
        }
        let barred = self.on_pool(move || clients.bar(&account, &key, now));
        Ok(barred.await??)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use city_protocol::body::Login;
    use city_protocol::ids::{LogId, NetworkId};

    use super::*;

    #[test]
    fn a_stranger_elsewhere_does_not_use_up_somebodys_logins() {
        let doorbell = Doorbell::new();
        let hanako = AccountId::new(&LogId([7; 32]), &city_protocol::ids::KeyId([5; 32]));
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let stranger = at("2001:db8:bad::1");
        while doorbell.take(&hanako, stranger).is_ok() {}
        // Nor does another address of the stranger's network get more.
        assert!(doorbell.take(&hanako, at("2001:db8:bad::2")).is_err());
        assert!(doorbell.take(&hanako, at("192.0.2.1")).is_ok());
    }

    #[test]
    fn one_signature_is_checked_for_a_stranger_and_for_a_wrong_one_alike() {
        let strangers = Strangers::new();
        let (hanako, taro) = (
            SecretKey::generate(Algorithm::Dilithium5),
            SecretKey::generate(Algorithm::Dilithium5),
        );
        let home = LogId([7; 32]);
        let signed = |names: &SecretKey, signs: &SecretKey| {
            let account = AccountId::new(&home, &hanako.public().id());
            let network = NetworkId::of(b"genesis");
            let login = Login::new(network, home, account, names.public(), [1; 32]);
            let (bytes, mut signature) = login.sign(signs);
            signature.key = names.public().id();
            SignedLogin::read(&bytes, signature).unwrap()
        };
        let check = |login: &SignedLogin, known: Option<&PublicKey>, expected: bool| {
            let checked = Cell::new(0);
            let theirs = is_theirs(&strangers, login, known, |login, key| {
                checked.set(checked.get() + 1);
                login.verify(key)
            });
            assert_eq!((theirs, checked.get()), (expected, 1));
        };
        let good = signed(&hanako, &hanako);
        check(&good, Some(hanako.public()), true);
        // Unknown, signed by another, by the key of another account, by an earlier key.
        check(&good, None, false);
        check(&signed(&hanako, &taro), Some(hanako.public()), false);
        check(&signed(&taro, &taro), Some(hanako.public()), false);
        check(&good, Some(taro.public()), false);
    }
}

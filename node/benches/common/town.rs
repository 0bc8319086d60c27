//! A home in process, with people who have accounts and something in them.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_node::config::{Config, Peer};
use city_node::daemon::{Opened, open};
use city_node::engine::{Engine, EngineConfig, EngineHandle, SystemClock, utc};
use city_node::pki::{Authority, ClientRequest, Validity};
use city_node::place::outlines::{DEMO_CITIES, demo_boundary};
use city_node::setup::{
    Boundary, CaProtection, DataDir, Identity, InitReport, InitRequest, NetworkChoice, init,
    load_identity, write_config,
};
use city_node::store::Store;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{BODY_VERSION, Enrol, Grant, Kind, Label, officer_message};
use city_protocol::crypto::{KemAlgorithm, KemSecretKey, SecretKey, Signer as _, Suite, TAG_GRANT};
use city_protocol::genesis::Purpose;
use city_protocol::ids::AccountId;
use city_protocol::json;
use city_protocol::pki::{Crls, fingerprint, verify_client};
use city_protocol::place::{self, FixMode, Observation, PlacePolicy, Quality, Sample};
use city_protocol::stage::{Draft, SignedBySeveral, Submission};
use city_protocol::vertex::EntrySignature;
use libp2p::Multiaddr;

/// What every account is granted, in hundredths: each transfer is one.
pub const GRANTED: u64 = 1_000_000;

/// Somebody who sends.
pub struct Sender {
    /// Signs.
    pub key: Arc<SecretKey>,
    /// Their account.
    pub account: AccountId,
    /// Their certificate.
    pub certificate: Vec<u8>,
    /// The next sequence number.
    pub next: u64,
}

/// A directory that `init` made.
pub struct Site {
    /// The data directory.
    pub data: DataDir,
    /// Its configuration, as written.
    pub config: Config,
    /// What `init` says.
    pub report: InitReport,
    /// What its people and its node sign with.
    pub suite: Suite,
    officer: SecretKey,
    ca: PathBuf,
    which: usize,
}

impl Site {
    /// The first city founds the network, the others join it.
    pub fn found(root: &Path, which: usize) -> Self {
        Self::found_with(root, which, Suite::Dilithium5Ntru)
    }

    /// The same with a suite.
    pub fn found_with(root: &Path, which: usize, suite: Suite) -> Self {
        let ca = root.join("ca");
        let network = if which == 0 {
            NetworkChoice::New {
                name: "bench".into(),
                purpose: Purpose::Test,
                prefix: Some("Asia/JP".parse().expect("a region")),
                ca: Some(ca.clone()),
                protection: CaProtection::Unencrypted,
                ca_suite: suite,
                suites: Suite::ALL.to_vec(),
            }
        } else {
            NetworkChoice::Join {
                ca: ca.clone(),
                passphrase: None,
            }
        };
        let region = DEMO_CITIES[which].region.parse().expect("a region");
        let mut config = Config::for_region(region);
        config.clock.trust_system = true;
        config.api.listen = (Ipv4Addr::LOCALHOST, 0).into();
        config.network.listen = vec![loopback(free_port())];
        config.network.mdns = false;
        let officer = SecretKey::generate(suite.signing());
        let data = DataDir::new(root.join(format!("city{which}")));
        let report = init(InitRequest {
            data: data.clone(),
            config: config.clone(),
            network,
            officers: vec![officer.public().clone()],
            suite,
            officers_needed: 1,
            witnesses: Vec::new(),
            boundary: Boundary::CoarseDemo,
            api_names: Vec::new(),
            now: utc(),
        })
        .expect("init");
        Self {
            data,
            config,
            report,
            suite,
            officer,
            ca,
            which,
        }
    }

    /// Whitelists another site, to be reached there; without an address it has to call.
    pub fn admit(&mut self, other: &Self, port: Option<u16>) {
        self.config.network.peers.push(Peer {
            peer_id: other.report.peer_id,
            name: DEMO_CITIES[other.which].name.into(),
            region: other.config.node.region.clone(),
            addresses: port.map(loopback).into_iter().collect(),
            expires_at: None,
            roles: city_node::trust::Role::sync_only(),
        });
        write_config(&self.data, &self.config).expect("a configuration");
    }

    /// Where it waits for its peers.
    pub fn port(&self) -> u16 {
        let address = self.config.network.listen[0].to_string();
        let port = address.rsplit('/').next().expect("a port");
        port.parse().expect("a port")
    }

    /// Its keys and certificates.
    pub fn identity(&self) -> Identity {
        load_identity(&self.data).expect("an identity")
    }
}

/// A TCP address of this machine for peers.
fn loopback(port: u16) -> Multiaddr {
    format!("/ip4/127.0.0.1/tcp/{port}")
        .parse()
        .expect("an address")
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    probe.local_addr().expect("an address").port()
}

/// Those who have accounts at a home.
pub struct People {
    /// Those who send.
    pub senders: Vec<Sender>,
    /// Who receives; never sends.
    pub receiver: AccountId,
    /// What place checking says of them all.
    pub verdict: place::Verdict,
}

/// A home that runs in this process.
pub struct Town {
    /// Where it lives.
    pub site: Site,
    /// Its people.
    pub people: People,
    engine: Engine,
    store: Arc<Store>,
}

impl Town {
    /// Opens a new site and enrols so many senders and one receiver, with enough granted for every bench.
    pub async fn open(site: Site, senders: usize) -> Self {
        let (engine, store) = start(&site);
        let ca = Authority::open(&site.ca, None).expect("the CA");
        let handle = engine.handle().clone();
        let mut people = Vec::new();
        for n in 0..=senders {
            let key = Arc::new(SecretKey::generate(site.suite.signing()));
            let (account, certificate) = enrol(&handle, &ca, &key, site.suite.kem()).await;
            grant(&handle, &site.officer, account, n as u64 + 1).await;
            people.push(Sender {
                key,
                account,
                certificate,
                next: 1,
            });
        }
        let receiver = people.pop().expect("one more than the senders").account;
        let people = People {
            senders: people,
            receiver,
            verdict: verdict(&site),
        };
        Self {
            site,
            people,
            engine,
            store,
        }
    }

    /// Opens a site that has these people.
    pub fn reopen(site: Site, people: People) -> Self {
        let (engine, store) = start(&site);
        Self {
            site,
            people,
            engine,
            store,
        }
    }

    /// The engine's handle.
    pub const fn handle(&self) -> &EngineHandle {
        self.engine.handle()
    }

    /// Stops the engine and closes the store in order.
    pub async fn close(self) -> (Site, People) {
        let Self {
            site,
            people,
            engine,
            store,
        } = self;
        engine.stopped().await.expect("no fault");
        let store = Arc::into_inner(store).expect("nobody reads any more");
        store.close().expect("closed");
        (site, people)
    }
}

fn start(site: &Site) -> (Engine, Arc<Store>) {
    let identity = site.identity();
    let opened = open(&site.data, &site.config, &identity, &mut |_| ());
    let Opened { store, replica, .. } = opened.expect("a store");
    let (outgoing, mut unsent) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move { while unsent.recv().await.is_some() {} });
    let store = Arc::new(store);
    let engine = Engine::start(EngineConfig {
        genesis: Arc::clone(&identity.genesis),
        authority: Arc::clone(&identity.authority),
        replica,
        store: Arc::clone(&store),
        clock: SystemClock::new(true, Timestamp(0)),
        peers: 0,
        outgoing,
    });
    (engine.expect("an engine"), store)
}

async fn enrol(
    handle: &EngineHandle,
    ca: &Authority,
    key: &SecretKey,
    kem: KemAlgorithm,
) -> (AccountId, Vec<u8>) {
    let kem = KemSecretKey::generate(kem);
    let account = AccountId::new(&handle.log(), &key.public().id());
    let request = ClientRequest {
        account: &account,
        key: key.public(),
        kem: Some(kem.public()),
    };
    let certificate = ca
        .issue_client(&request, Validity::days(utc().minus_ms(60_000), 1))
        .expect("a certificate");
    let body = Enrol {
        version: BODY_VERSION,
        kind: Kind::Enrol,
        network: handle.genesis().network(),
        alg: key.public().algorithm(),
        key: key.public().id(),
        home: handle.log(),
        sequence: 0,
        created_at: utc(),
        public_key: key.public().as_bytes().to_vec(),
        kem_alg: kem.public().algorithm(),
        kem_key: kem.public().as_bytes().to_vec(),
        certificate: fingerprint(&certificate),
    };
    let signed = Draft(body).sign(key).expect("an enrolment");
    let region = handle.authority().region();
    let checked = verify_client(
        &handle.genesis().roots,
        &certificate,
        &[],
        &Crls::none(),
        utc(),
        region,
    )
    .expect("a good certificate");
    let verified = signed
        .verify_enrolment(&checked.certificate)
        .expect("a good enrolment");
    handle
        .submit(Submission::Enrol(verified))
        .await
        .expect("enrolled");
    (account, certificate)
}

async fn grant(handle: &EngineHandle, officer: &SecretKey, account: AccountId, sequence: u64) {
    let body = Grant {
        version: BODY_VERSION,
        kind: Kind::Grant,
        network: handle.genesis().network(),
        home: handle.log(),
        officers_sequence: sequence,
        created_at: utc(),
        account,
        amount: Amount::from_hundredths(GRANTED),
        reason: Label::new("bench").expect("a label"),
    };
    let bytes = json::canonical(&body);
    let key = officer.public();
    let message = officer_message(key.algorithm(), &key.id(), &bytes);
    let signature = EntrySignature::new(key.id(), &officer.sign(TAG_GRANT, &message));
    let grant = SignedBySeveral {
        bytes,
        signatures: vec![signature],
    };
    handle
        .submit(Submission::Grant(grant))
        .await
        .expect("granted");
}

/// The verdict on a minute of good fixes inside the city.
fn verdict(site: &Site) -> place::Verdict {
    let now = utc();
    let mut seen = Observation::new(false, &PlacePolicy::default());
    seen.connected(now.minus_ms(120_000));
    for second in (0..60).rev() {
        let at = now.minus_ms(second * 1000);
        let mut sample = Sample::empty(at);
        sample.fix_time = Some(at);
        sample.point = Some(DEMO_CITIES[site.which].point());
        sample.mode = FixMode::ThreeD;
        sample.quality = Quality::Autonomous;
        sample.satellites_used = Some(9);
        sample.hdop_centi = Some(90);
        seen.push(sample);
    }
    let boundary = demo_boundary();
    let judged_by = place::Site {
        boundary: Some(&boundary),
        home: Some(&site.config.node.region),
        survey: None,
        policy: &PlacePolicy::default(),
        purpose_allows_recorded: true,
    };
    place::judge(&seen, &judged_by, now)
}

//! A whole municipality in one process: CA, genesis, charter, store, engine, a simulated receiver behind a real
//! pseudo-terminal, the HTTPS listener and the admin socket.

#![allow(unreachable_pub, reason = "for the tests beside it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_drivers::gnss::{Pty, ReceiverConfig, Simulator, SimulatorConfig};
use city_node::access::AccessLog;
use city_node::admin::{AdminSocket, AdminState, Operators};
use city_node::api::token::Tokens;
use city_node::api::{ApiState, Gate, Limits, serve};
use city_node::client::person::{Order, Person};
use city_node::client::{ApiClient, officer};
use city_node::engine::{Engine, EngineConfig, SystemClock, bring_up_to_date, utc};
use city_node::keys::{Access, BackendKind, Keyring, Keystore, TpmSettings, backend, exchange};
use city_node::pki::{
    Authority as Ca, CaLock, Clients, DoorKeeper, DoorTerms, NodeRequest, TlsIdentity, TrustStore,
    Validity,
};
use city_node::place::antenna::{Antenna, AntennaConfig};
use city_node::place::outlines::{DEMO_CITIES, demo_boundary};
use city_node::private::{Keeper, Vault};
use city_node::store::{OpenOutcome, Store, StoreError, StoreOptions, Watermark};
use city_node::trust::{self, Wanted};
use city_protocol::amount::Timestamp;
use city_protocol::body::{Charter, Kind, Start};
use city_protocol::crypto::{NotAfter, SecretKey, Signer, Suite};
use city_protocol::genesis::{Genesis, Purpose};
use city_protocol::ids::{AccountId, BlockId};
use city_protocol::json;
use city_protocol::pki::{Crls, Role};
use city_protocol::place::{Grade, PlacePolicy};
use city_protocol::region::Region;
use city_protocol::replica::{Replica, ReplicaConfig};
use city_protocol::vertex::Authority;
use libp2p::identity::Keypair;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What of a town lasts over restarts.
pub struct Founded {
    pub dir: tempfile::TempDir,
    pub ca: Ca,
    pub genesis: Arc<Genesis>,
    pub authority: Arc<Authority>,
    pub officers: Vec<SecretKey>,
    node_key: Arc<SecretKey>,
    peer: Keypair,
    region: Region,
}

/// How a town is opened.
pub struct Plan {
    /// Whether it has a receiver.
    pub receiver: bool,
    pub limits: Limits,
    /// Until when the home takes which algorithm.
    pub not_after: NotAfter,
    /// Whether it has a key ring, and so keeps private values.
    pub key_ring: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            receiver: true,
            limits: Limits {
                total_burst: 10_000,
                source_burst: 10_000,
                logins_burst: 10_000,
                ..Limits::default()
            },
            not_after: NotAfter::default(),
            key_ring: true,
        }
    }
}

/// A running town.
pub struct Town {
    pub founded: Founded,
    pub url: String,
    pub admin: PathBuf,
    pub api: ApiClient,
    pub engine: Engine,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    feeding: Vec<JoinHandle<()>>,
}

fn validity() -> Validity {
    Validity::days(utc().minus_ms(3_600_000), 30)
}

impl Founded {
    /// 金沢市, in a network that admits every suite.
    pub fn kanazawa() -> Self {
        Self::with_suites(Suite::Dilithium5Ntru, Suite::ALL)
    }

    /// 金沢市 with CA, node and officers of one suite, in a network that admits these.
    pub fn with_suites(suite: Suite, suites: &[Suite]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let region: Region = DEMO_CITIES[0].region.parse().unwrap();
        let ca = Ca::create(
            &dir.path().join("ca"),
            "石川県 CA",
            suite,
            &CaLock::Unencrypted,
            validity(),
        )
        .unwrap();
        let genesis = Genesis {
            v: 1,
            name: "石川の試験".into(),
            purpose: Purpose::Test,
            created_at: utc(),
            roots: vec![ca.root("Asia/JP/17".parse().unwrap()).unwrap()],
            suites: suites.to_vec(),
        };
        let node_key = SecretKey::generate(suite.signing());
        let peer = Keypair::generate_ed25519();
        let request = NodeRequest {
            region: &region,
            role: Role::Home,
            key: node_key.public(),
            peer_id: &peer.public().to_peer_id().to_string(),
            kem: None,
        };
        let certificate = ca.issue_node(&request, validity()).unwrap();
        let officers: Vec<SecretKey> = (0..3)
            .map(|_| SecretKey::generate(suite.signing()))
            .collect();
        let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        let keys: Vec<_> = officers
            .iter()
            .map(|o| json!({"alg": suite.signing(), "key": base64(o.public().as_bytes())}))
            .collect();
        let charter: Charter = serde_json::from_value(json!({
            "version": 1, "type": Kind::Charter, "network": genesis.network(), "region": region,
            "created_at": utc(), "suite": suite,
            "node_certificate": base64(&certificate), "chain": [],
            "officers": {"k": 2, "keys": keys}, "witnesses": [],
        }))
        .unwrap();
        let authority = Authority::from_charter(&genesis, &json::canonical(&charter)).unwrap();
        Self {
            dir,
            ca,
            genesis: Arc::new(genesis),
            authority: Arc::new(authority),
            officers,
            node_key: Arc::new(node_key),
            peer,
            region,
        }
    }

    fn store(&self) -> (Arc<Store>, OpenOutcome) {
        let network = self.genesis.network();
        let data = self.dir.path().join("data");
        // A child that another test of this process is starting holds a copy of the lock until its exec.
        let begun = Instant::now();
        let (store, report) = loop {
            match Store::open(&data, network, StoreOptions::new()) {
                Ok(opened) => break opened,
                Err(StoreError::InUse { .. }) if begun.elapsed() < Duration::from_secs(2) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => panic!("{error}"),
            }
        };
        if report.index == OpenOutcome::Empty {
            let block = self.genesis.to_block();
            let at = store
                .append_group(&[(BlockId::of(&block), &block)])
                .unwrap();
            store
                .commit_rows(Vec::new(), &Watermark::after(&at[0], network, 1))
                .unwrap();
        }
        (Arc::new(store), report.index)
    }

    /// The private values, as the daemon opens them; nobody carries them away.
    async fn keeper(&self, keystore: &Arc<Keystore>, engine: &Engine) -> Keeper {
        if !keystore.has_keyring() {
            let backend = backend(BackendKind::File, None, &TpmSettings::default()).unwrap();
            exchange(keystore, Some(backend), &[]).unwrap();
        }
        let ring = Keyring::open(Arc::clone(keystore)).unwrap().unwrap();
        let vault = Vault::open(&self.dir.path().join("private"), Arc::new(ring)).unwrap();
        let (keeper, _nobody) = Keeper::new(vault);
        keeper.erase_orphans(engine.handle()).await.unwrap();
        keeper
    }

    fn antenna(&self, device: Option<PathBuf>) -> Antenna {
        Antenna::new(AntennaConfig {
            receiver: device.map(|device| ReceiverConfig::serial(device, 9600)),
            recorded: false,
            survey: None,
            latch: None,
            purpose_allows_recorded: true,
            boundary: Some(demo_boundary()),
            home: self.region.clone(),
            policy: PlacePolicy::default(),
        })
    }

    /// Doors without files: the CA's own roots, nothing revoked.
    fn doors(&self, identity: TlsIdentity, clock: SystemClock) -> DoorKeeper {
        let roots = self.genesis.roots.clone().into();
        let tls_roots = [self.ca.tls_root().clone()];
        let trust = TrustStore::new(&tls_roots, roots, Crls::none()).unwrap();
        let terms = DoorTerms {
            roots: Arc::clone(&trust.roots),
            clock,
            tls12: false,
            others: Vec::new(),
        };
        DoorKeeper::fixed(identity, trust, &terms).unwrap()
    }

    /// Starts everything and waits for the first good fix.
    pub async fn open(self, plan: Plan) -> Town {
        let (store, outcome) = self.store();
        let clock = SystemClock::new(true, Timestamp(0));
        let mut replica = Replica::new(ReplicaConfig {
            genesis: Arc::clone(&self.genesis),
            authority: Arc::clone(&self.authority),
            signers: vec![Box::new(Arc::clone(&self.node_key))],
            policy: PlacePolicy::default(),
            may_sequence: true,
            start: Start {
                v: 1,
                software: "city-node test".into(),
                clock: clock.now().quality.as_str().into(),
                trust: None,
            },
        });
        bring_up_to_date(&store, &self.genesis, &mut replica, outcome, |_| ()).unwrap();
        let (outgoing, mut nobody) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move { while nobody.recv().await.is_some() {} });
        let engine = Engine::start(EngineConfig {
            genesis: Arc::clone(&self.genesis),
            authority: Arc::clone(&self.authority),
            replica,
            store,
            clock,
            peers: 0,
            outgoing,
        })
        .unwrap();

        let mut feeding = Vec::new();
        let mut device = None;
        if plan.receiver {
            let mut pty = Pty::open().unwrap();
            device = Some(pty.path().to_owned());
            let point = DEMO_CITIES[0].point();
            let mut simulator = Simulator::new(SimulatorConfig {
                lat_e7: point.lat_e7(),
                lon_e7: point.lon_e7(),
                altitude_mm: 30_000,
                seed: 7,
            });
            let interval = Duration::from_millis(200);
            feeding.push(tokio::spawn(async move {
                simulator
                    .feed(&mut pty, interval, || utc().0)
                    .await
                    .expect_err("ends with the pty");
            }));
        }
        let antenna = self.antenna(device);
        feeding.push(tokio::spawn(antenna.clone().run()));
        if plan.receiver {
            until("a plausible place", || {
                antenna.verdict(utc()).grade == Grade::Plausible
            })
            .await;
        }

        let stop = CancellationToken::new();
        let identity = self
            .ca
            .issue_tls_server(&["localhost".into()], &[[127, 0, 0, 1].into()], validity())
            .unwrap();
        let keeper = self.doors(identity, clock);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let kept = self.dir.path().join("clients");
        let clients = Clients::open(kept, keeper.clone(), self.region.clone()).unwrap();
        let genesis_id = BlockId::of(&self.genesis.to_block());
        let access = AccessLog::open(&self.dir.path().join("access"), genesis_id, 0).unwrap();
        let file = |name: &str| self.dir.path().join(name);
        let (home, network) = (self.authority.log, self.genesis.network());
        let (key, revoked) = (file("token.key"), file("revoked-tokens.json"));
        let keystore = Keystore::open(self.dir.path(), &mut Access::unattended()).unwrap();
        let keystore = Arc::new(keystore);
        let private = match plan.key_ring {
            true => Some(self.keeper(&keystore, &engine).await),
            false => None,
        };
        let tokens = Tokens::open(&keystore, &key, &revoked, &home, &network, utc()).unwrap();
        let gate = Gate {
            clients,
            tokens,
            access: access.clone(),
        };
        let state = ApiState::new(engine.handle().clone(), antenna.clone(), clock, gate)
            .with_boundary_credit(demo_boundary().credit())
            .with_limits(plan.limits)
            .with_not_after(plan.not_after)
            .with_private(private.clone());
        let admin = self.dir.path().join("admin.sock");
        let socket = AdminSocket::bind(&admin, Operators::OwnUser).await.unwrap();
        let admin_state = AdminState {
            engine: engine.handle().clone(),
            antenna,
            net: None,
            config: self.dir.path().join("config.toml"),
            network: Arc::new(
                city_node::config::Config::for_region("Asia/JP/17/17201".parse().unwrap()).network,
            ),
            hold: None,
            clock,
            started: Instant::now(),
            peer_id: self.peer.public().to_peer_id(),
            keys: None,
            terminal: None,
            own: None,
            certificate: None,
            names: Arc::new(BTreeMap::from([("17201".into(), "金沢市".into())])),
            trust: trust::Keeper::open(
                Arc::clone(engine.handle().history().store()),
                None,
                &Wanted::new(),
                self.peer.public().to_peer_id(),
                trust::Needed {
                    to_approve: 1,
                    to_read: 0,
                    depth: 1,
                },
            )
            .unwrap(),
            transport: None,
            doors: keeper.clone(),
            access: access.clone(),
            private,
        };
        let tasks = vec![
            tokio::spawn(serve(listener, keeper, state, stop.clone())),
            tokio::spawn(socket.serve(admin_state, stop.clone())),
        ];
        let api = ApiClient::new(&url, &[self.ca.tls_root().clone()]).unwrap();
        Town {
            founded: self,
            url,
            admin,
            api,
            engine,
            stop,
            tasks,
            feeding,
        }
    }
}

impl Town {
    /// A town with a receiver.
    pub async fn kanazawa() -> Self {
        Founded::kanazawa().open(Plan::default()).await
    }

    /// Drains and stops everything; what lasts is left.
    pub async fn close(self) -> Founded {
        self.stop.cancel();
        for task in self.tasks {
            tokio::time::timeout(Duration::from_secs(5), task)
                .await
                .expect("drains")
                .unwrap();
        }
        for task in self.feeding {
            task.abort();
            drop(task.await);
        }
        drop(self.api);
        self.engine.stopped().await.unwrap();
        self.founded
    }

    /// Another client, at which nobody is logged in.
    pub fn fresh_api(&self) -> ApiClient {
        ApiClient::new(&self.url, &[self.founded.ca.tls_root().clone()]).unwrap()
    }

    /// A fresh person of this home, not enrolled.
    pub async fn stranger(&self) -> Person {
        Person::generate(&self.api.node().await.unwrap())
    }

    pub fn certificate(&self, person: &Person) -> Vec<u8> {
        person.request_certificate(|request| {
            self.founded.ca.issue_client(request, validity()).unwrap()
        })
    }

    /// A fresh client, which nobody is logged in at and which knows no certificates.
    pub fn client(&self) -> ApiClient {
        ApiClient::new(&self.url, &[self.founded.ca.tls_root().clone()]).unwrap()
    }

    /// A person with an account.
    pub async fn citizen(&self) -> Person {
        self.enrolled(self.stranger().await).await
    }

    /// The person, after their account was opened.
    pub async fn enrolled(&self, person: Person) -> Person {
        let certificate = self.certificate(&person);
        let signed = person.enrol(&certificate, utc()).unwrap();
        let page = self.api.enrol(&signed, &certificate, &[]).await.unwrap();
        assert!(!page.repeated);
        self.api.login(&person).await.unwrap();
        person
    }

    /// Two of the three officers grant an amount.
    pub async fn grant(&self, account: AccountId, amount: &str) {
        let node = self.api.node().await.unwrap();
        let body = officer::grant(&node, account, amount.parse().unwrap(), "始め", utc()).unwrap();
        let officers: [&dyn Signer; 2] = [&self.founded.officers[0], &self.founded.officers[2]];
        let signed = officer::sign_together(&body, &officers).unwrap();
        self.api.grant(&signed).await.unwrap();
    }

    /// The account's next number; the first, for who cannot log in any more.
    pub async fn sequence(&self, person: &Person) -> u64 {
        let account = person.account();
        // New keys end what the old ones logged in with.
        if self.api.account(&account).await.is_err() && self.api.login(person).await.is_err() {
            return 1;
        }
        self.api.account(&account).await.unwrap().next_sequence
    }

    /// A complete order with its own proof of place.
    pub async fn order(&self, sender: &Person, receiver: &Person, amount: &str) -> Order {
        let node = self.api.node().await.unwrap();
        let sequence = self.sequence(sender).await;
        let mut order = Order::new(receiver.account(), &node, amount.parse().unwrap());
        order.sequence = sequence;
        order.subject = "野菜".into();
        order.created_at = utc();
        let nonce = city_node::client::person::random();
        let place = self
            .api
            .place(&sender.account(), &order.transfer_id, &nonce)
            .await
            .unwrap();
        order.proof_of_place = place.digest;
        order
    }
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what} did not come"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

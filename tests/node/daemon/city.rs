//! Cities on this machine: a network made by `setup::init`, a node of each as a process, a receiver on a
//! pseudo-terminal behind a link, and people who submit.

#![allow(unreachable_pub, reason = "for the tests beside it")]

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_drivers::gnss::{Pty, Simulator, SimulatorConfig};
use city_node::admin::pages::Status;
use city_node::api::wire::NodePage;
use city_node::client::person::{Order, Person, random};
use city_node::client::{AdminClient, ApiClient, ClientError, officer};
use city_node::config::{Config, Peer};
use city_node::engine::utc;
use city_node::pki::{Authority, Validity};
use city_node::place::outlines::{DEMO_CITIES, demo_boundary};
use city_node::setup::{
    Boundary, CaProtection, DataDir, InitReport, InitRequest, NetworkChoice, init, load_identity,
    write_config,
};
use city_protocol::amount::Amount;
use city_protocol::crypto::{SecretKey, Signer, Suite};
use city_protocol::genesis::Purpose;
use city_protocol::ids::Digest;
use city_protocol::region::Region;
use libp2p::Multiaddr;
use rustls_pki_types::CertificateDer;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use crate::ports::free_port;

/// Longer than anything here takes on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A city that has a data directory.
pub struct City {
    pub data: DataDir,
    pub config: Config,
    pub report: InitReport,
    pub officers: Vec<SecretKey>,
    pub ca: PathBuf,
    which: usize,
    name: &'static str,
}

/// Where a city's node stands.
pub struct Site {
    pub region: &'static str,
    pub name: &'static str,
    pub api: SocketAddr,
    pub listen: Multiaddr,
}

impl Site {
    /// A city of the demo on this machine, or one beyond them; port 0 takes a free one.
    fn here(which: usize, port: u16) -> Self {
        let beyond = || ("Asia/JP/17/17209", "かほく市");
        let city = DEMO_CITIES.get(which);
        let (region, name) = city.map_or_else(beyond, |city| (city.region, city.name));
        Self {
            region,
            name,
            api: (Ipv4Addr::LOCALHOST, 0).into(),
            listen: format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap(),
        }
    }
}

/// Founds a network of the first so many cities, at most four; each has the others on its whitelist.
pub fn found(root: &Path, count: usize) -> Vec<City> {
    let sites: Vec<_> = (0..count).map(|at| Site::here(at, free_port())).collect();
    found_at(root, &sites)
}

/// The same with nodes that stand elsewhere; the first three sites are those of the demo's cities.
pub fn found_at(root: &Path, sites: &[Site]) -> Vec<City> {
    let mut cities: Vec<City> = Vec::new();
    for (which, site) in sites.iter().enumerate() {
        let data = root.join(format!("city{which}"));
        cities.push(settle(root, which, data, cities.is_empty(), site));
    }
    let peers: Vec<Peer> = cities.iter().map(City::as_peer).collect();
    for (i, city) in cities.iter_mut().enumerate() {
        city.config.network.peers = peers.clone();
        city.config.network.peers.remove(i);
        city.configure();
    }
    cities
}

/// One city alone, with its data in this directory.
pub fn alone(root: &Path, data: PathBuf) -> City {
    settle(root, 0, data, true, &Site::here(0, 0))
}

fn settle(root: &Path, which: usize, data: PathBuf, first: bool, site: &Site) -> City {
    let ca = root.join("ca");
    let network = if first {
        NetworkChoice::New {
            name: "試験".into(),
            purpose: Purpose::Test,
            prefix: Some("Asia/JP".parse().unwrap()),
            ca: Some(ca.clone()),
            protection: CaProtection::Unencrypted,
            ca_suite: Suite::Dilithium5Ntru,
            suites: Suite::ALL.to_vec(),
        }
    } else {
        NetworkChoice::Join {
            ca: ca.clone(),
            passphrase: None,
        }
    };
    // Whoever joins has the other suite: both live in one network.
    let suite = if first {
        Suite::Dilithium5Ntru
    } else {
        Suite::Fips
    };
    let officers: Vec<_> = (0..2)
        .map(|_| SecretKey::generate(suite.signing()))
        .collect();
    let mut config = Config::for_region(site.region.parse().unwrap());
    config.clock.trust_system = true;
    // Where the others are not running: a connection on this machine takes milliseconds.
    config.home.confirm_wait_s = 2;
    config.api.listen = site.api;
    config.network.listen = vec![site.listen.clone()];
    let data = DataDir::new(data);
    let report = init(InitRequest {
        data: data.clone(),
        config: config.clone(),
        network,
        officers: officers.iter().map(|key| key.public().clone()).collect(),
        suite,
        officers_needed: 1,
        witnesses: Vec::new(),
        boundary: boundary(root, which, &config.node.region),
        api_names: vec![site.api.ip().to_string()],
        now: utc(),
    })
    .unwrap();
    City {
        data,
        config,
        report,
        officers,
        ca,
        which,
        name: site.name,
    }
}

/// The demo's outlines, or of a city beyond them a square.
fn boundary(root: &Path, which: usize, region: &Region) -> Boundary {
    if which < DEMO_CITIES.len() {
        return Boundary::Index(demo_boundary());
    }
    let code = region.municipality();
    let file = root.join(format!("{code}.geojson"));
    let square = r#"{"type": "FeatureCollection", "features": [{"type": "Feature",
        "properties": {"N03_001": "石川県", "N03_003": null, "N03_004": "市", "N03_007": "CODE"}, "geometry": {"type": "Polygon",
        "coordinates": [[[137.0, 37.0], [137.1, 37.0], [137.1, 37.1], [137.0, 37.1], [137.0, 37.0]]]}}]}"#;
    std::fs::write(&file, square.replace("CODE", code)).unwrap();
    Boundary::Import(vec![file])
}

impl City {
    pub fn as_peer(&self) -> Peer {
        Peer {
            peer_id: self.report.peer_id,
            name: self.name.into(),
            region: self.config.node.region.clone(),
            addresses: self.config.network.listen.clone(),
            expires_at: None,
            roles: city_node::trust::Role::sync_only(),
        }
    }

    pub fn configure(&self) {
        write_config(&self.data, &self.config).unwrap();
    }

    /// Where the receiver is linked to.
    pub fn link(&self) -> PathBuf {
        self.data.path().join("gnss")
    }

    /// The root that clients of its API trust.
    pub fn tls_root(&self) -> CertificateDer<'static> {
        load_identity(&self.data).unwrap().tls_root
    }

    /// Plugs in a receiver that is simulated, with whatever else is on the line before each epoch.
    pub fn plug_in(&mut self, mut noise: impl FnMut() -> Vec<u8> + Send + 'static) -> Line {
        self.plug_in_as(move |epoch| [noise(), epoch].concat())
    }

    /// The same with what the line makes of the bytes of each epoch.
    pub fn plug_in_as(
        &mut self,
        mut line: impl FnMut(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Line {
        let mut pty = Pty::open().unwrap();
        let _none = std::fs::remove_file(self.link());
        symlink(pty.path(), self.link()).unwrap();
        self.config.gnss.device = Some(self.link());
        self.configure();
        let point = DEMO_CITIES[self.which].point();
        let mut simulator = Simulator::new(SimulatorConfig {
            lat_e7: point.lat_e7(),
            lon_e7: point.lon_e7(),
            altitude_mm: 30_000,
            seed: 5,
        });
        Line(tokio::spawn(async move {
            loop {
                let bytes = line(simulator.epoch(utc().0).into_bytes());
                if pty.write_all(&bytes).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }))
    }

    /// Starts its node.
    pub fn start(&self) -> Node {
        self.start_as(run(&self.data, &[]))
    }

    /// The same by another command line or environment.
    pub fn start_as(&self, mut command: Command) -> Node {
        let log = self.data.path().join("node.log");
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        Node {
            child,
            data: self.data.clone(),
            log,
        }
    }

    /// Starts its node and waits until it answers, and has heard a peer or waited for one.
    pub async fn ready(&self) -> Node {
        let mut node = self.start();
        node.answers().await;
        node.until("a first peer", |status| status.standing != "waiting")
            .await;
        node
    }

    /// A client of its API.
    pub fn api(&self, node: &Node) -> ApiClient {
        let root = self.tls_root();
        ApiClient::new(&format!("https://{}", node.address()), &[root]).unwrap()
    }

    /// A person with an account.
    pub async fn citizen(&self, api: &ApiClient) -> Person {
        let person = Person::generate(&api.node().await.unwrap());
        let authority = Authority::open(&self.ca, None).unwrap();
        let validity = Validity::days(utc().minus_ms(60_000), 2);
        let certificate = person
            .request_certificate(|request| authority.issue_client(request, validity).unwrap());
        let signed = person.enrol(&certificate, utc()).unwrap();
        api.enrol(&signed, &certificate, &[]).await.unwrap();
        api.login(&person).await.unwrap();
        person
    }

    /// `city-node …` on this node, with `--json`.
    pub fn command(&self, verb: &[&str], arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_city-node"))
            .args(verb)
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data.path())
            .arg("--json")
            .output()
            .unwrap()
    }

    /// The same, where it has to end with this code; gives its answer.
    pub fn answer(&self, verb: &[&str], arguments: &[&str], code: i32) -> Value {
        let output = self.command(verb, arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What a command says to people, however it ends.
    pub fn told(&self, verb: &[&str], arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
        command.args(verb).args(arguments);
        let output = command.arg("--data-dir").arg(self.data.path()).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// What a command says that has to fail with this code.
    pub fn refusal(&self, verb: &[&str], arguments: &[&str], code: i32) -> String {
        let output = self.command(verb, arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    }

    /// A person with an account and so much in it.
    pub async fn rich(&self, api: &ApiClient, hundredths: u64) -> Person {
        let person = self.citizen(api).await;
        self.grant(api, &person, hundredths).await.unwrap();
        person
    }

    pub async fn grant(
        &self,
        api: &ApiClient,
        person: &Person,
        hundredths: u64,
    ) -> Result<Digest, ClientError> {
        self.grant_by(&api.node().await?, api, person, hundredths)
            .await
    }

    /// The same by officers who know the node's page.
    pub async fn grant_by(
        &self,
        page: &NodePage,
        api: &ApiClient,
        person: &Person,
        hundredths: u64,
    ) -> Result<Digest, ClientError> {
        let amount = Amount::from_hundredths(hundredths);
        let grant = officer::grant(page, person.account(), amount, "始め", utc())?;
        let officers: [&dyn Signer; 1] = [&self.officers[0]];
        Ok(api
            .grant(&officer::sign_together(&grant, &officers)?)
            .await?
            .identity)
    }
}

/// A receiver's line; dropping it pulls the plug.
pub struct Line(JoinHandle<()>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// `city-node run` on a data directory, quiet, with the environment of nobody.
pub fn run(data: &DataDir, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_city-node"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CITY_NODE_") {
            command.env_remove(name);
        }
    }
    command
        .arg("run")
        .arg("--data-dir")
        .arg(data.path())
        .args(more);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A node's process; it is killed when the test gives up.
pub struct Node {
    pub child: Child,
    pub data: DataDir,
    log: PathBuf,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _over = self.child.kill();
        let _over = self.child.wait();
    }
}

impl Node {
    /// A node that was started otherwise: its data as it is seen from here, and the file it logs to.
    pub fn new(child: Child, data: DataDir, log: PathBuf) -> Self {
        Self { child, data, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The API's address, as the log says.
    pub fn address(&self) -> String {
        let log = self.log();
        let ready = log
            .lines()
            .find(|line| line.contains(" ready ") && line.contains("api="))
            .expect(&log);
        let address = ready.split("api=").nth(1).expect(ready);
        address.split_whitespace().next().unwrap().to_owned()
    }

    async fn answers(&mut self) {
        if let Err(ended) = self.comes_up().await {
            panic!("the node ended with {ended}:\n{}", self.log());
        }
    }

    /// Waits until it answers; `Err` is how it ended instead.
    pub async fn comes_up(&mut self) -> Result<(), ExitStatus> {
        let begun = Instant::now();
        while !self.log().contains(" ready ") || self.ask().await.is_none() {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return Err(ended);
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the node does not answer:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn ask(&self) -> Option<Status> {
        self.admin().await?.status().await.ok()
    }

    pub async fn admin(&self) -> Option<AdminClient> {
        AdminClient::connect(&self.data.admin_socket()).await.ok()
    }

    pub async fn status(&self) -> Status {
        let status = self.ask().await;
        status.unwrap_or_else(|| panic!("no status:\n{}", self.log()))
    }

    /// Waits until the status is as it should be.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Status {
        let begun = Instant::now();
        loop {
            let status = self.status().await;
            if holds(&status) {
                return status;
            }
            let waited = begun.elapsed();
            assert!(
                waited < PATIENCE,
                "{what} did not come: {status:#?}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything that can be checked holds.
    pub async fn check(&self) {
        let admin = self.admin().await.unwrap();
        let audit = admin.audit().await.unwrap();
        assert!(audit.conserved && audit.journal_matches, "{audit:#?}");
        let checked = admin.verify().await.unwrap();
        assert!(checked.ok, "{checked:#?}");
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// The same, if it has not ended by itself.
    pub fn signal_if_running(&mut self, signal: &str) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(signal);
        }
    }

    /// Waits for the end; gives how it ended and how long that took.
    pub async fn end(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(ended) = self.child.try_wait().unwrap() {
                return (ended, begun.elapsed());
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "the node does not end:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stops it as systemd does.
    pub async fn stop(mut self) {
        self.signal("-TERM");
        let (ended, took) = self.end().await;
        assert!(ended.success(), "{ended}:\n{}", self.log());
        assert!(took < Duration::from_secs(5), "{took:?}:\n{}", self.log());
    }
}

/// Somebody who sends one hundredth after another until the node goes away.
pub struct Sender {
    pub person: Person,
    /// What was acknowledged: identities of transfers.
    pub booked: Vec<Digest>,
}

impl Sender {
    /// Sends until the node goes away; gives itself back with what was acknowledged.
    pub async fn send_until_gone(mut self, api: Arc<ApiClient>) -> Self {
        if log_in(&api, &self.person).await.is_err() {
            return self;
        }
        loop {
            match self.send(&api).await {
                Ok(identity) => self.booked.push(identity),
                Err(error) if error.status() == Some(429) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) if error.code() == Some("not-sequencing") => return self,
                Err(error) if error.code().is_some() => panic!("refused: {error:?}"),
                Err(_) => return self,
            }
        }
    }

    async fn send(&self, api: &ApiClient) -> Result<Digest, ClientError> {
        send(api, &self.person, 1).await
    }
}

/// Waits until all of these have the same frontier.
pub async fn in_step(nodes: &[&Node]) {
    let begun = Instant::now();
    loop {
        let mut hashes = Vec::new();
        for node in nodes {
            hashes.push(node.status().await.frontier_hash);
        }
        if hashes.iter().all(|hash| *hash == hashes[0]) {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{hashes:?}:\n{}",
            nodes[0].log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One transfer to oneself's neighbour: the account that follows from a key that nobody has.
pub async fn send(
    api: &ApiClient,
    person: &Person,
    hundredths: u64,
) -> Result<Digest, ClientError> {
    let home = api.node().await?;
    let nobody = Person::generate(&home).account();
    let mut order = Order::new(nobody, &home, Amount::from_hundredths(hundredths));
    order.sequence = api.account(&person.account()).await?.next_sequence;
    order.created_at = utc();
    (order.subject, order.details, order.location) = ("野菜".into(), "葱".into(), "市場".into());
    let place = api
        .place(&person.account(), &order.transfer_id, &random())
        .await?;
    order.proof_of_place = place.digest;
    let (signed, _private) = person.transfer(&order)?;
    Ok(api.transfer(&signed).await?.identity)
}

/// Logs a person in, also while there is load.
pub async fn log_in(api: &ApiClient, person: &Person) -> Result<(), ClientError> {
    loop {
        match api.login(person).await {
            Err(error) if error.status() == Some(429) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            answer => return answer.map(drop),
        }
    }
}

pub fn directory() -> TempDir {
    // Short, because a Unix socket stands in it.
    tempfile::Builder::new().prefix("cn").tempdir().unwrap()
}

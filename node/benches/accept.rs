//! How fast a home accepts transfers, against what two cores could verify at most. Ratios of one run; the
//! machine's absolute speed is not a result. `cargo bench -p city-node --bench accept`
//!
//! Not timed: drafting, proofs of place, signing. Timed: encoded bytes in → durable reply.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use city_node::config::Config;
use city_node::daemon::{Opened, open};
use city_node::engine::{Engine, EngineConfig, EngineHandle, SystemClock, utc};
use city_node::pki::{Authority, ClientRequest, Validity};
use city_node::place::outlines::{DEMO_CITIES, demo_boundary};
use city_node::setup::{Boundary, DataDir, InitRequest, NetworkChoice, init, load_identity};
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::{
    BODY_VERSION, Dimension, Enrol, GoodsOrMoney, Grant, Kind, Label, PersonBody as _, Transfer,
};
use city_protocol::crypto::{
    Algorithm, KemAlgorithm, KemSecretKey, PublicKey, SecretKey, Signer as _, TAG_GRANT, TAG_VERTEX,
};
use city_protocol::genesis::Purpose;
use city_protocol::ids::{AccountId, Digest, TransferId};
use city_protocol::json;
use city_protocol::pki::{fingerprint, verify_client};
use city_protocol::place::{self, FixMode, Observation, PlacePolicy, Quality, Sample, Subject};
use city_protocol::replica::PlaceRequest;
use city_protocol::stage::{Draft, Signed, SignedGrant, Submission};
use city_protocol::vertex::EntrySignature;

/// Senders that work at once.
const SENDERS: usize = 512;
/// Transfers of each: together they stay below the proofs of place that a node holds.
const EACH: usize = 6;
/// Transfers sent one at a time for the acknowledgement.
const ALONE: usize = 200;
/// Runs, of which the median counts.
const RUNS: usize = 3;

struct Sender {
    key: Arc<SecretKey>,
    account: AccountId,
    next: u64,
}

struct Bench {
    engine: Engine,
    senders: Vec<Sender>,
    receiver: AccountId,
    verdict: place::Verdict,
    _dir: tempfile::TempDir,
}

/// A signed transfer as it arrives: the body's bytes and the signature.
type Encoded = (AccountId, Vec<u8>, EntrySignature);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut bench = runtime.block_on(Bench::new());
    let mut ratios = Vec::new();
    println!("accept: {SENDERS} senders × {EACH} transfers, dilithium5 (portable C), in process");
    for run in 1..=RUNS {
        let work = runtime.block_on(bench.prepare(EACH));
        let raw = raw_verifications_per_s(&bench, &work);
        let accepted = runtime.block_on(bench.accept(work));
        ratios.push(accepted / raw);
        println!(
            "  run {run}: accepted {accepted:.0}/s, raw verifications on all cores {raw:.0}/s, ratio {:.2}",
            accepted / raw
        );
    }
    println!("  median ratio {:.2}  (bar 0.6)", median(&mut ratios));

    let work = runtime.block_on(bench.prepare(ALONE.div_ceil(SENDERS)));
    let mut times = runtime.block_on(bench.one_at_a_time(work));
    let p50 = median(&mut times);
    let limit = limit_of_one(&bench);
    println!(
        "acknowledgement, one client at a time: p50 {:.0} µs",
        p50 * 1e6
    );
    println!(
        "  one verification + one vertex signature + one fdatasync: {:.0} µs, ratio {:.2}  (bar 2)",
        limit * 1e6,
        p50 / limit
    );
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path().join("data"));
        let city = &DEMO_CITIES[0];
        let mut config = Config::for_region(city.region.parse().expect("a region"));
        config.clock.trust_system = true;
        let officer = SecretKey::generate(Algorithm::Dilithium5);
        init(InitRequest {
            data: data.clone(),
            config: config.clone(),
            network: NetworkChoice::New {
                name: "bench".into(),
                purpose: Purpose::Test,
                prefix: None,
                ca: None,
            },
            officers: vec![officer.public().clone()],
            officers_needed: 1,
            witnesses: Vec::new(),
            boundary: Boundary::CoarseDemo,
            api_names: Vec::new(),
            now: utc(),
        })
        .expect("init");
        let identity = load_identity(&data).expect("an identity");
        let Opened { store, replica, .. } =
            open(&data, &config, &identity, &mut |_| ()).expect("a store");
        let (outgoing, mut unsent) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move { while unsent.recv().await.is_some() {} });
        let engine = Engine::start(EngineConfig {
            genesis: Arc::clone(&identity.genesis),
            authority: Arc::clone(&identity.authority),
            replica,
            store: Arc::new(store),
            clock: SystemClock::new(true, Timestamp(0)),
            peers: 0,
            outgoing,
        })
        .expect("an engine");
        let ca = Authority::open(&data.ca()).expect("the CA");
        let handle = engine.handle().clone();
        let mut senders = Vec::new();
        for n in 0..=SENDERS {
            let key = Arc::new(SecretKey::generate(Algorithm::Dilithium5));
            let account = enrol(&handle, &ca, &key).await;
            grant(&handle, &officer, account, n as u64 + 1).await;
            senders.push(Sender {
                key,
                account,
                next: 1,
            });
        }
        let receiver = senders.pop().expect("one more than the senders").account;
        Self {
            engine,
            senders,
            receiver,
            verdict: verdict(city.point()),
            _dir: dir,
        }
    }

    /// Signs `each` transfers for every sender, on all cores; proofs of place are held by the engine.
    async fn prepare(&mut self, each: usize) -> Vec<Vec<Encoded>> {
        let handle = self.engine.handle().clone();
        let mut jobs = Vec::new();
        for (s, sender) in self.senders.iter_mut().enumerate() {
            let mut bodies = Vec::new();
            for _ in 0..each {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&(s as u64).to_be_bytes());
                id[8..].copy_from_slice(&sender.next.to_be_bytes());
                let request = PlaceRequest {
                    subject: Subject::Node,
                    account: sender.account,
                    transfer_id: TransferId(id),
                    nonce: id,
                    verdict: Box::new(self.verdict.clone()),
                    raw: None,
                };
                let proof = handle.place(request).await.expect("a proof");
                bodies.push(transfer(
                    &handle,
                    sender,
                    self.receiver,
                    TransferId(id),
                    proof.digest(),
                ));
                sender.next += 1;
            }
            jobs.push((sender.account, Arc::clone(&sender.key), bodies));
        }
        let halves: Vec<Vec<_>> = {
            let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let size = jobs.len().div_ceil(cores);
            let mut halves = Vec::new();
            while !jobs.is_empty() {
                halves.push(jobs.split_off(jobs.len().saturating_sub(size)));
            }
            halves
        };
        thread::scope(|scope| {
            let workers: Vec<_> = halves
                .into_iter()
                .map(|jobs| {
                    scope.spawn(move || {
                        jobs.into_iter()
                            .map(|(account, key, bodies)| {
                                let sign = |body: Transfer| {
                                    let signed = Draft(body).sign(&*key).expect("a transfer");
                                    (account, signed.bytes().to_vec(), signed.signature().clone())
                                };
                                bodies.into_iter().map(sign).collect()
                            })
                            .collect::<Vec<Vec<Encoded>>>()
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|w| w.join().expect("signing"))
                .collect()
        })
    }

    /// Accepted transfers a second.
    async fn accept(&self, work: Vec<Vec<Encoded>>) -> f64 {
        let count: usize = work.iter().map(Vec::len).sum();
        let begun = Instant::now();
        let tasks: Vec<_> = work
            .into_iter()
            .map(|mine| {
                let handle = self.engine.handle().clone();
                tokio::spawn(async move {
                    for encoded in mine {
                        submit(&handle, encoded).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("accepted");
        }
        per_s(count, begun.elapsed())
    }

    async fn one_at_a_time(&self, work: Vec<Vec<Encoded>>) -> Vec<f64> {
        let mut times = Vec::new();
        for encoded in work.into_iter().flatten() {
            let begun = Instant::now();
            submit(self.engine.handle(), encoded).await;
            times.push(begun.elapsed().as_secs_f64());
        }
        times
    }
}

/// What the API does with a transfer: read, find the key, verify on the pool, submit.
async fn submit(handle: &EngineHandle, (account, bytes, signature): Encoded) {
    let signed: Signed<Transfer> = Signed::read(&bytes, signature).expect("a transfer");
    let key = handle.account_key(&account).expect("an account");
    let verified = handle.pool().run(move || signed.verify(&key)).await;
    let verified = verified.expect("the pool runs").expect("a good signature");
    handle
        .submit(Submission::Transfer(verified))
        .await
        .expect("accepted");
}

fn transfer(
    handle: &EngineHandle,
    sender: &Sender,
    receiver: AccountId,
    transfer_id: TransferId,
    proof_of_place: Digest,
) -> Transfer {
    let label = |text: &str| Label::new(text).expect("a label");
    let region = handle.authority().region().clone();
    let hidden = Digest([7; 32]);
    Transfer {
        version: BODY_VERSION,
        kind: Kind::Transfer,
        network: handle.genesis().network(),
        alg: Algorithm::Dilithium5,
        key: sender.key.public().id(),
        home: handle.log(),
        receiver_home: handle.log(),
        sequence: sender.next,
        transfer_id,
        created_at: utc(),
        expires_at: utc().plus_ms(600_000),
        sender: sender.account,
        receiver,
        from_wallet: label("main"),
        to_wallet: label("main"),
        amount: Amount::from_hundredths(1),
        subject: hidden,
        action_level: label("1"),
        dimension: Dimension::Local,
        organism_name: label("human"),
        sender_municipality: region.clone(),
        receiver_municipality: region,
        goods_or_money: GoodsOrMoney::Money,
        proof_of_place,
        details: hidden,
        location: hidden,
        fluctuation: None,
        account_title: None,
        verifiable_credential: None,
        message: None,
        attributes: None,
    }
}

async fn enrol(handle: &EngineHandle, ca: &Authority, key: &SecretKey) -> AccountId {
    let kem = KemSecretKey::generate(KemAlgorithm::NtruHps4096821);
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
        alg: Algorithm::Dilithium5,
        key: key.public().id(),
        home: handle.log(),
        sequence: 0,
        created_at: utc(),
        public_key: key.public().as_bytes().to_vec(),
        kem_alg: KemAlgorithm::NtruHps4096821,
        kem_key: kem.public().as_bytes().to_vec(),
        certificate: fingerprint(&certificate),
    };
    let signed = Draft(body).sign(key).expect("an enrolment");
    let region = handle.authority().region();
    let checked = verify_client(&handle.genesis().roots, &certificate, &[], utc(), region)
        .expect("a good certificate");
    let verified = signed.verify_enrolment(&checked).expect("a good enrolment");
    handle
        .submit(Submission::Enrol(verified))
        .await
        .expect("enrolled");
    account
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
        amount: Amount::from_hundredths(1_000_000),
        reason: Label::new("bench").expect("a label"),
    };
    let bytes = json::canonical(&body);
    let key = officer.public();
    let message = Grant::officer_message(key.algorithm(), &key.id(), &bytes);
    let signature = EntrySignature::new(key.id(), &officer.sign(TAG_GRANT, &message));
    let grant = SignedGrant {
        bytes,
        signatures: vec![signature],
    };
    handle
        .submit(Submission::Grant(grant))
        .await
        .expect("granted");
}

/// The verdict on a minute of good fixes at this point.
fn verdict(point: place::Point) -> place::Verdict {
    let now = utc();
    let mut seen = Observation::new(false);
    seen.connected(now.minus_ms(120_000));
    for second in (0..60).rev() {
        let at = now.minus_ms(second * 1000);
        let mut sample = Sample::empty(at);
        sample.fix_time = Some(at);
        sample.point = Some(point);
        sample.mode = FixMode::ThreeD;
        sample.quality = Quality::Autonomous;
        sample.satellites_used = Some(9);
        sample.hdop_centi = Some(90);
        seen.push(sample);
    }
    let region = DEMO_CITIES[0].region.parse().expect("a region");
    let boundary = demo_boundary();
    place::judge(
        &seen,
        Some(&boundary),
        &region,
        &PlacePolicy::default(),
        now,
        true,
    )
}

/// Verifications a second with every core, of the same transfers.
fn raw_verifications_per_s(bench: &Bench, work: &[Vec<Encoded>]) -> f64 {
    let keys: Vec<&PublicKey> = bench
        .senders
        .iter()
        .map(|sender| sender.key.public())
        .collect();
    let key_of = |account: &AccountId| {
        let at = bench
            .senders
            .iter()
            .position(|sender| sender.account == *account);
        keys[at.expect("one of the senders")]
    };
    let jobs: Vec<_> = work
        .iter()
        .flatten()
        .map(|(account, bytes, sig)| (key_of(account), bytes, sig.signature().expect("a length")))
        .collect();
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let begun = Instant::now();
    thread::scope(|scope| {
        for part in jobs.chunks(jobs.len().div_ceil(cores)) {
            scope.spawn(move || {
                for (key, bytes, signature) in part {
                    key.verify(Transfer::TAG, bytes, signature)
                        .expect("a good signature");
                }
            });
        }
    });
    per_s(jobs.len(), begun.elapsed())
}

/// One verification, one vertex signature and one fdatasync of as many bytes, in seconds.
fn limit_of_one(bench: &Bench) -> f64 {
    let key = SecretKey::generate(Algorithm::Dilithium5);
    let message = vec![7; 1500];
    let signature = key.sign(TAG_VERTEX, &message);
    let mut verify = time(50, || {
        key.public()
            .verify(TAG_VERTEX, &message, &signature)
            .expect("good");
    });
    let mut sign = time(50, || drop(key.sign(TAG_VERTEX, &message)));
    let path: &Path = bench._dir.path();
    let mut file = File::create(path.join("limit")).expect("a file");
    let bytes = vec![7; 12 * 1024];
    let mut sync = time(50, || {
        file.write_all(&bytes).expect("written");
        file.sync_data().expect("synced");
    });
    median(&mut verify) + median(&mut sign) + median(&mut sync)
}

fn time(runs: usize, mut job: impl FnMut()) -> Vec<f64> {
    let one = |()| {
        let begun = Instant::now();
        job();
        begun.elapsed().as_secs_f64()
    };
    std::iter::repeat_n((), runs).map(one).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn per_s(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).expect("a small count")) / time.as_secs_f64()
}

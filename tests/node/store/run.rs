//! A home books a hundred transfers on a disk whose n-th call fails, for every n: it never acknowledges what is
//! not there after a power cut, writes nothing where an fsync failed, and needs nobody to start again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::api::wire::NodePage;
use city_node::client::officer;
use city_node::client::person::{Order, Person, random};
use city_node::engine::{Engine, EngineConfig, EngineHandle, SystemClock, bring_up_to_date, utc};
use city_node::pki::{Authority, Validity};
use city_node::place::outlines::{DEMO_CITIES, demo_boundary};
use city_node::setup::{Identity, load_identity};
use city_node::store::{
    FileHandle, Files, OpenOutcome, OsFiles, Store, StoreError, StoreOptions, Watermark,
};
use city_protocol::Refusal;
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::Start;
use city_protocol::crypto::Signer;
use city_protocol::ids::BlockId;
use city_protocol::ledger::{History, Rows as _};
use city_protocol::pki::verify_client;
use city_protocol::place::{Grade, PlacePolicy, Subject, Verdict};
use city_protocol::replica::{BookedEntry, PlaceRequest, Replica, ReplicaConfig};
use city_protocol::stage::Submission;

use super::Dice;
use super::disk::{Disk, FAULTS};
use crate::daemon::city::{City, alone, directory};
use crate::plug::{book::Book, times};

/// How many are submitted together, until all are booked.
const BATCHES: [u64; 5] = [1, 4, 10, 25, 60];
const TRANSFERS: u64 = 100;
const PEOPLE: usize = 4;
const GRANT: u64 = 1_000_000;

/// The segments and notes on a disk that fails, the index on the real one: sled does not go through `Files`.
struct Home {
    disk: Disk,
    dir: PathBuf,
}

impl Home {
    fn is_index(&self, path: &Path) -> bool {
        path.parent() == Some(&self.dir) && path.is_dir()
    }

    /// The same on every start, wherever the index lies.
    fn at(&self, path: &Path) -> PathBuf {
        Path::new("/").join(
            path.strip_prefix(&self.dir)
                .expect("the store stays at home"),
        )
    }
}

impl Files for Home {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(&self.at(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.disk.create(&self.at(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        self.disk.open(&self.at(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is_index(from) {
            self.disk.count("rename")?;
            return OsFiles.rename(from, to);
        }
        self.disk.rename(&self.at(from), &self.at(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(&self.at(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.count("remove_dir")?;
        OsFiles.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(&self.at(dir))?;
        if *dir == self.dir {
            names.extend(OsFiles.list(dir)?);
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(&self.at(dir))
    }

    fn sync_tree(&self, _dir: &Path) -> io::Result<()> {
        self.disk.count("sync_tree")
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_space(&self.at(dir))
    }
}

/// A municipality and its people, and a disk on which they have their accounts.
struct Town {
    city: City,
    identity: Identity,
    page: NodePage,
    people: Vec<Person>,
    verdict: Verdict,
    founded: Disk,
}

/// A node that runs on a disk.
struct Running {
    engine: Engine,
    store: Arc<Store>,
}

impl Town {
    async fn found(root: &Path) -> Self {
        let city = alone(root, root.join("d"));
        // Who the home is says its page; the node itself is not needed further.
        let node = city.ready().await;
        let page = city.api(&node).node().await.unwrap();
        node.stop().await;
        let mut town = Self {
            identity: load_identity(&city.data).unwrap(),
            verdict: Verdict {
                grade: Grade::Plausible,
                municipality: Some(page.region.municipality().to_owned()),
                point: Some(DEMO_CITIES[0].point()),
                boundary: Some(demo_boundary().digest()),
                ..Verdict::default()
            },
            city,
            people: (0..PEOPLE).map(|_| Person::generate(&page)).collect(),
            page,
            founded: Disk::new(),
        };
        let dir = directory();
        let running = town
            .start(&town.founded.clone(), dir.path(), "boot")
            .unwrap();
        let handle = running.engine.handle().clone();
        for (number, person) in (1..).zip(&town.people) {
            handle.submit(town.enrolment(person)).await.unwrap();
            town.page.officers.officers_sequence = number;
            handle.submit(town.grant(person)).await.unwrap();
        }
        drop(handle);
        running.stop().await.unwrap().close().unwrap();
        town
    }

    fn enrolment(&self, person: &Person) -> Submission {
        let authority = Authority::open(&self.city.ca).unwrap();
        let now = utc();
        let validity = Validity::days(now.minus_ms(60_000), 2);
        let certificate = person
            .request_certificate(|request| authority.issue_client(request, validity).unwrap());
        let signed = person.enrol(&certificate, now).unwrap();
        let region = self.identity.authority.region();
        let client = verify_client(&self.identity.genesis.roots, &certificate, &[], now, region);
        Submission::Enrol(signed.verify_enrolment(&client.unwrap()).unwrap())
    }

    fn grant(&self, person: &Person) -> Submission {
        let amount = Amount::from_hundredths(GRANT);
        let grant = officer::grant(&self.page, person.account(), amount, "始め", utc()).unwrap();
        let officers: [&dyn Signer; 1] = [&self.city.officers[0]];
        Submission::Grant(officer::sign_grant(&grant, &officers).unwrap())
    }

    fn replica(&self) -> Replica {
        Replica::new(ReplicaConfig {
            genesis: Arc::clone(&self.identity.genesis),
            authority: Arc::clone(&self.identity.authority),
            signer: Box::new(Arc::clone(&self.identity.signer)),
            policy: PlacePolicy::default(),
            start: Start {
                v: 1,
                software: "test".into(),
                clock: "ntp".into(),
                trust: None,
            },
            may_sequence: true,
        })
    }

    /// Opens as the daemon does; an error is a start that failed.
    fn start(&self, disk: &Disk, dir: &Path, boot: &str) -> Result<Running, String> {
        let mut options = StoreOptions::new();
        options.files = Arc::new(Home {
            disk: disk.clone(),
            dir: dir.to_owned(),
        });
        options.limits.segment_target = 200_000;
        options.boot_id = boot.to_owned();
        let network = self.identity.network;
        let begun = Instant::now();
        let (store, report) = loop {
            match Store::open(dir, network, options.clone()) {
                // A process that another test starts holds a copy of every lock for a moment.
                Err(StoreError::InUse { .. }) if begun.elapsed() < Duration::from_secs(5) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other.map_err(|error| error.to_string())?,
            }
        };
        assert_eq!(report.ledger.damage, None);
        if report.index == OpenOutcome::Empty {
            let genesis = self.identity.genesis.to_block();
            let at = store.append_group(&[(BlockId::of(&genesis), &genesis)]);
            let at = at.map_err(|error| error.to_string())?;
            let mark = Watermark::after(&at[0], network, 1);
            store
                .commit_rows(Vec::new(), &mark)
                .map_err(|error| error.to_string())?;
        }
        let store = Arc::new(store);
        let genesis = &self.identity.genesis;
        let mut replica = self.replica();
        bring_up_to_date(&store, genesis, &mut replica, report.index, |_| ())
            .map_err(|error| error.to_string())?;
        let (outgoing, _nobody) = tokio::sync::mpsc::unbounded_channel();
        let engine = Engine::start(EngineConfig {
            genesis: Arc::clone(genesis),
            authority: Arc::clone(&self.identity.authority),
            replica: self.replica(),
            store: Arc::clone(&store),
            clock: SystemClock::new(true, Timestamp(0)),
            peers: 0,
            outgoing,
        });
        let engine = engine.map_err(|error| error.to_string())?;
        Ok(Running { engine, store })
    }
}

impl Running {
    /// Stops as the daemon does; `None` if it ended by a fault, after which nothing is closed.
    async fn stop(self) -> Option<Store> {
        let Self { engine, mut store } = self;
        let ended = engine.stopped().await;
        loop {
            // The index may be writing on a thread of its own.
            store = match Arc::try_unwrap(store) {
                Ok(store) => return ended.is_ok().then_some(store),
                Err(held) => held,
            };
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// One attempt at a hundred transfers, over as many starts as it takes.
struct Run<'a> {
    town: &'a Town,
    disk: Disk,
    acknowledged: Vec<BookedEntry>,
    starts: u32,
}

impl<'a> Run<'a> {
    async fn of(town: &'a Town, disk: Disk) -> Self {
        let mut run = Self {
            town,
            disk,
            acknowledged: Vec::new(),
            starts: 0,
        };
        let dir = directory();
        let mut left = TRANSFERS;
        while left > 0 {
            run.starts += 1;
            assert!(run.starts < 5, "it does not come up by itself");
            if let Ok(running) = town.start(&run.disk, dir.path(), "boot") {
                left = run.live(&running).await;
                if let Some(store) = running.stop().await {
                    // A failure here costs the index, which the check below makes again anyway.
                    let _closed = store.close();
                }
            }
            run.disk.process_ends();
        }
        run
    }

    /// Submits until all are booked or nothing is booked any more; gives how many are left.
    async fn live(&mut self, running: &Running) -> u64 {
        let handle = running.engine.handle();
        let mut batches = BATCHES.iter().cycle();
        loop {
            let next = self.next_sequences(handle.history());
            let booked: u64 = next.iter().map(|next| next - 1).sum();
            let left = TRANSFERS - booked;
            let batch = *batches.next().expect("it never ends");
            if left == 0 || self.submit(handle, next, batch.min(left)).await.is_err() {
                return left;
            }
        }
    }

    fn next_sequences(&self, history: &dyn History) -> Vec<u64> {
        let log = &self.town.page.log;
        let people = self.town.people.iter();
        people
            .map(|person| {
                history
                    .account(log, &person.account())
                    .unwrap()
                    .next_sequence
            })
            .collect()
    }

    /// Submits so many at once; an error if the engine is gone. Whoever is refused for want of room comes again.
    async fn submit(
        &mut self,
        handle: &EngineHandle,
        mut next: Vec<u64>,
        count: u64,
    ) -> Result<(), ()> {
        let mut answers = Vec::new();
        for n in 0..count {
            let from = n as usize % PEOPLE;
            let order = self.order(handle, from, next[from]).await?;
            next[from] += 1;
            let person = &self.town.people[from];
            let (signed, _) = person.transfer(&order).unwrap();
            let verified = signed.verify(person.signing().public()).unwrap();
            let handle = handle.clone();
            answers.push(tokio::spawn(async move {
                handle.submit(Submission::Transfer(verified)).await
            }));
            // On this one thread tasks run in order, so an account's transfers arrive in theirs.
            tokio::task::yield_now().await;
        }
        let mut gone = false;
        for answer in answers {
            match answer.await.unwrap() {
                Ok(booked) => self.acknowledged.push(booked),
                Err(Refusal::NotSequencing) => gone = true,
                Err(Refusal::StorageFull | Refusal::SequenceGap) => {}
                Err(refusal) => panic!("{refusal:?}"),
            }
        }
        if gone { Err(()) } else { Ok(()) }
    }

    async fn order(&self, handle: &EngineHandle, from: usize, sequence: u64) -> Result<Order, ()> {
        let people = &self.town.people;
        let receiver = people[(from + 1) % PEOPLE].account();
        let mut order = Order::new(receiver, &self.town.page, Amount::from_hundredths(1));
        (order.sequence, order.created_at) = (sequence, utc());
        let request = PlaceRequest {
            subject: Subject::Node,
            account: people[from].account(),
            transfer_id: order.transfer_id,
            nonce: random(),
            verdict: Box::new(self.town.verdict.clone()),
            raw: None,
        };
        order.proof_of_place = handle.place(request).await.map_err(|_| ())?.digest();
        Ok(order)
    }

    /// The power goes as well, and with it the index: everything that was acknowledged is there, and every
    /// account says so.
    async fn check(&self, dice: &mut Dice, story: &str) {
        self.disk.power_cut(dice);
        let dir = directory();
        let running = self
            .town
            .start(&self.disk, dir.path(), "another boot")
            .unwrap();
        let files = self.disk.paths().into_iter();
        let segments = files.filter(|path| path.starts_with("/ledger"));
        let segments = segments.map(|path| self.disk.content(&path));
        let book = Book::of(segments, &self.town.page.log);
        for booked in &self.acknowledged {
            let stands = book.stands_at(&booked.identity, booked.vertex, booked.at);
            assert!(stands, "{story}: {booked:?} is lost");
        }
        let history = running.engine.handle().history();
        for person in &self.town.people {
            let (account, log) = (person.account(), self.town.page.log);
            let row = (history as &dyn History).account(&log, &account).unwrap();
            let sums = book.sums(&account);
            assert_eq!(row.available.hundredths(), sums.available, "{story}");
            assert_eq!(row.next_sequence, sums.next_sequence, "{story}");
        }
    }
}

/// Everything happens on one thread, besides the engine's own.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn the_nth_call_of_a_hundred_transfers_fails_and_nothing_acknowledged_is_lost() {
    let mut dice = Dice::new();
    let root = directory();
    let town = runtime().block_on(Town::found(root.path()));
    let whole = runtime().block_on(Run::of(&town, town.founded.copy()));
    assert_eq!(
        (whole.acknowledged.len() as u64, whole.starts),
        (TRANSFERS, 1)
    );
    let calls = whole.disk.calls() - town.founded.calls();
    // Each call in the long run; here every so many, other ones each time.
    let every = times("CITY_NODE_CALLS_EVERY", 10);
    let first = dice.below(every);
    let cases = FAULTS
        .iter()
        .flat_map(|fault| (1..=calls).map(|n| (*fault, n)));
    let cases = (0..).zip(cases).filter(|(i, _)| i % every == first);
    let begun = Instant::now();
    let (mut runs, mut restarts, mut refused) = (0, 0, 0);
    for (_, (fault, n)) in cases {
        let disk = town.founded.copy();
        disk.fail_at(n, fault);
        let run = runtime().block_on(Run::of(&town, disk));
        let story = format!("call {n}, {fault:?}");
        assert_eq!(run.disk.written_after_failed_sync(), [""; 0], "{story}");
        runs += 1;
        restarts += run.starts - 1;
        refused += TRANSFERS - run.acknowledged.len() as u64;
        runtime().block_on(run.check(&mut dice, &story));
    }
    println!(
        "{runs} runs of {calls} calls in {:.0?}: {restarts} restarts, {refused} not acknowledged",
        begun.elapsed()
    );
    assert!(restarts > 0, "the faults do not bite");
}

//! A municipality whose engine runs on a disk that fails.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::api::wire::NodePage;
use city_node::client::officer;
use city_node::client::person::Person;
use city_node::engine::{
    Engine, EngineConfig, IMPORT_DIR, ImportReport, Importer, Selection, SystemClock, Terms,
    bring_up_to_date, export, utc,
};
use city_node::pki::{Authority, Validity};
use city_node::place::outlines::{DEMO_CITIES, demo_boundary};
use city_node::setup::{Identity, load_identity};
use city_node::store::{
    ArchiveReader, FileHandle, Files, OpenOutcome, OsFiles, SHELF_ROWS, Store, StoreError,
    StoreOptions, Watermark, car,
};
use city_protocol::amount::{Amount, Timestamp};
use city_protocol::body::Start;
use city_protocol::crypto::Signer;
use city_protocol::ids::BlockId;
use city_protocol::pki::{Crls, verify_client};
use city_protocol::place::{Grade, PlacePolicy, Verdict};
use city_protocol::replica::{Replica, ReplicaConfig};
use city_protocol::stage::Submission;

use super::disk::Disk;
use crate::daemon::city::{City, alone, directory};

/// How many have an account, and what each has at first, in hundredths.
pub(super) const PEOPLE: usize = 4;
const GRANT: u64 = 1_000_000;

/// The segments and notes on a disk that fails, the index on the real one: sled does not go through `Files`.
struct Home {
    disk: Disk,
    dir: PathBuf,
}

impl Home {
    fn is_index(&self, path: &Path) -> bool {
        // Also a sled in it; its shelves are on the disk that fails.
        let mut names = path.iter().filter_map(|name| name.to_str());
        names.any(|name| name.starts_with("index")) && path.is_dir()
    }

    /// Whether it is the store in which an import is judged.
    fn is_aside(&self, dir: &Path) -> bool {
        dir.ends_with(IMPORT_DIR)
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
        if self.is_aside(dir) {
            // Its lock and its index are on the real disk.
            OsFiles.create_dir(dir)?;
        }
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
        if self.is_aside(dir) {
            self.disk.remove_dir(&self.at(dir))?;
        } else {
            self.disk.count("remove_dir")?;
        }
        OsFiles.remove_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(&self.at(dir))?;
        if *dir == self.dir || self.is_aside(dir) || self.is_index(dir) {
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
pub(super) struct Town {
    city: City,
    pub(super) books: Books,
    pub(super) page: NodePage,
    pub(super) people: Vec<Person>,
    pub(super) verdict: Verdict,
    pub(super) founded: Disk,
}

/// A node's store, on whatever disk it lies.
pub(super) struct Books {
    identity: Identity,
    /// Rows of a shelf of its index.
    pub(super) shelf_rows: usize,
}

/// A node that runs on a disk.
pub(super) struct Running {
    pub(super) engine: Engine,
    store: Arc<Store>,
}

impl Town {
    pub(super) async fn found(root: &Path) -> Self {
        let city = alone(root, root.join("d"));
        // Who the home is says its page; the node itself is not needed further.
        let node = city.ready().await;
        let page = city.api(&node).node().await.unwrap();
        node.stop().await;
        let mut town = Self {
            books: Books::of(load_identity(&city.data).unwrap()),
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
        let authority = Authority::open(&self.city.ca, None).unwrap();
        let now = utc();
        let validity = Validity::days(now.minus_ms(60_000), 2);
        let certificate = person
            .request_certificate(|request| authority.issue_client(request, validity).unwrap());
        let signed = person.enrol(&certificate, now).unwrap();
        let identity = &self.books.identity;
        let region = identity.authority.region();
        let client = verify_client(
            &identity.genesis.roots,
            &certificate,
            &[],
            &Crls::none(),
            now,
            region,
        );
        Submission::Enrol(
            signed
                .verify_enrolment(&client.unwrap().certificate)
                .unwrap(),
        )
    }

    fn grant(&self, person: &Person) -> Submission {
        let amount = Amount::from_hundredths(GRANT);
        let grant = officer::grant(&self.page, person.account(), amount, "始め", utc()).unwrap();
        let officers: [&dyn Signer; 1] = [&self.city.officers[0]];
        Submission::Grant(officer::sign_together(&grant, &officers).unwrap())
    }

    /// Opens as the daemon does; an error is a start that failed.
    pub(super) fn start(&self, disk: &Disk, dir: &Path, boot: &str) -> Result<Running, String> {
        let store = self.books.open(disk, dir, boot)?;
        let (outgoing, _nobody) = tokio::sync::mpsc::unbounded_channel();
        let engine = Engine::start(EngineConfig {
            genesis: Arc::clone(&self.books.identity.genesis),
            authority: Arc::clone(&self.books.identity.authority),
            replica: self.books.replica(),
            store: Arc::clone(&store),
            clock: SystemClock::new(true, Timestamp(0)),
            peers: 0,
            outgoing,
        });
        let engine = engine.map_err(|error| error.to_string())?;
        Ok(Running { engine, store })
    }
}

impl Books {
    pub(super) const fn of(identity: Identity) -> Self {
        Self {
            identity,
            shelf_rows: SHELF_ROWS,
        }
    }

    fn replica(&self) -> Replica {
        Replica::new(self.config())
    }

    fn config(&self) -> ReplicaConfig {
        ReplicaConfig {
            genesis: Arc::clone(&self.identity.genesis),
            authority: Arc::clone(&self.identity.authority),
            signers: vec![Box::new(Arc::clone(&self.identity.signer))],
            policy: PlacePolicy::default(),
            start: Start {
                v: 1,
                software: "test".into(),
                clock: "ntp".into(),
                trust: None,
            },
            may_sequence: true,
        }
    }

    /// The store with its index up to date.
    pub(super) fn open(&self, disk: &Disk, dir: &Path, boot: &str) -> Result<Arc<Store>, String> {
        let mut options = options(disk, dir, boot);
        options.shelf_rows = self.shelf_rows;
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
        let trusted = store.notes().trusted_up_to();
        let trusted = trusted.map_err(|error| error.to_string())?;
        let mut replica = self.replica().with_trusted(trusted.into_keys().collect());
        bring_up_to_date(&store, genesis, &mut replica, report.index, |_| ())
            .map_err(|error| error.to_string())?;
        Ok(store)
    }
}

impl Books {
    /// Everything in a store as a CAR file.
    pub(super) fn export(&self, store: &Store) -> Vec<u8> {
        let mut bytes = car::header(&self.identity.network);
        let everything = Selection::default();
        export(
            store,
            &self.identity.genesis,
            &everything,
            &mut |id, block| {
                car::push_section(&mut bytes, id, block);
                Ok(())
            },
        )
        .unwrap();
        bytes
    }

    /// Imports a CAR file that is on the disk.
    pub(super) fn import(
        &self,
        disk: &Disk,
        dir: &Path,
        file: &Path,
        terms: Terms,
    ) -> Result<ImportReport, String> {
        let store = self.open(disk, dir, "boot")?;
        let replica = || {
            Replica::new(ReplicaConfig {
                may_sequence: false,
                ..self.config()
            })
        };
        let importer = Importer {
            store: &store,
            dir: dir.to_owned(),
            options: options(disk, dir, "boot"),
            genesis: &self.identity.genesis,
            own: self.identity.authority.log,
            replica: &replica,
            terms,
        };
        let file = ArchiveReader::open(disk, file).map_err(|error| error.to_string())?;
        importer
            .import(&file, |_| ())
            .map_err(|error| error.to_string())
    }
}

fn options(disk: &Disk, dir: &Path, boot: &str) -> StoreOptions {
    let mut options = StoreOptions::new();
    options.files = Arc::new(Home {
        disk: disk.clone(),
        dir: dir.to_owned(),
    });
    options.limits.segment_target = 200_000;
    options.boot_id = boot.to_owned();
    options
}

impl Running {
    /// Stops as the daemon does; `None` if it ended by a fault, after which nothing is closed.
    pub(super) async fn stop(self) -> Option<Store> {
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

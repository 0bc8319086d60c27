//! One file of a data directory is cut, flipped in one bit, or gone: the node has everything, or says what it
//! lost and books nothing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::book::{Book, CID, HEADER, segments};
use super::people::{Pace, People, supervise};
use super::times;
use crate::daemon::city::{City, Node, alone, directory, found};
use crate::store::Dice;

/// Long enough that the high-water mark and the index follow the log, which they do within a second.
const SETTLED: Duration = Duration::from_millis(2500);
const LIFE: Duration = Duration::from_millis(1200);

/// Every so many transfers are asked for: the node does not answer too many questions at once.
const SAMPLE: usize = 5;

/// A node's data at some moment, and what was acknowledged until then.
struct Life {
    data: PathBuf,
    book: Book,
}

/// What was done to which file.
struct Scar {
    file: PathBuf,
    what: String,
}

impl Scar {
    /// Damages one file of a data directory: half of the time of the ledger.
    fn cut(data: &Path, dice: &mut Dice) -> Self {
        let room = match dice.below(10) {
            0..=4 => "ledger",
            5 => "trust",
            6..=8 => "index",
            _ => "",
        };
        let files = fs::read_dir(data.join(room)).unwrap();
        let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|path| path.is_file() && is_of_the_store(path));
        files.sort();
        let file = files[dice.place(files.len())].clone();
        let mut content = fs::read(&file).unwrap();
        let at = dice.place(content.len());
        let what = match dice.below(8) {
            0..=2 => {
                content.truncate(at);
                fs::write(&file, content).unwrap();
                format!("cut to {at} bytes")
            }
            3 => {
                fs::remove_file(&file).unwrap();
                "gone".to_owned()
            }
            _ => {
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
                fs::write(&file, content).unwrap();
                format!("a bit flipped at {at}")
            }
        };
        Self { file, what }
    }
}

/// Not the keys, certificates and settings, which are the operator's.
fn is_of_the_store(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap();
    let is_mark = ["HIGHWATER", "NEVER_BEGUN", "GONE", "LOCK"].contains(&name);
    let parent = path.parent().and_then(Path::file_name).unwrap();
    is_mark || name.starts_with("index.") || parent != "d"
}

/// A node lives for a while; its data as it was left by an orderly stop, and by a kill.
async fn live(city: &City, dice: &mut Dice) -> (People, [Life; 2]) {
    let mut node = city.ready().await;
    let mut people = People::settle(city, &node, dice).await;
    let mut lives = Vec::new();
    for name in ["stopped", "killed"] {
        let at_work = people.work(city, &node);
        tokio::time::sleep(LIFE).await;
        at_work.end();
        people = at_work.home().await;
        people.compare(city, &node).await;
        if name == "stopped" {
            node.stop().await;
        } else {
            tokio::time::sleep(SETTLED).await;
            drop(node);
        }
        let data = city.data.path().with_file_name(name);
        copy(city.data.path(), &data);
        let book = Book::read(&data.join("ledger"), &city.report.log);
        lives.push(Life { data, book });
        node = city.ready().await;
    }
    let lives = lives.try_into().ok().expect("two");
    (people, lives)
}

fn copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// How it ended, each time with what it logged.
type Ends = Vec<(ExitStatus, String)>;

/// A node that came up and does not book, or books and has read its whole log. One that meets damage then ends
/// by itself, and the next start knows of it.
async fn settled(city: &City) -> Result<Node, Ends> {
    let mut ends = Ends::new();
    while ends.len() < 2 {
        let (mut node, _) = supervise(|| city.start()).await?;
        let books = node.status().await.sequencing;
        if !books || node.admin().await.unwrap().audit().await.is_ok() {
            return Ok(node);
        }
        let (ended, _) = node.end().await;
        ends.push((ended, node.log()));
    }
    Err(ends)
}

/// What it shows is what the log came to at some time, and if it books, now. Says why it does not.
async fn judge(city: &City, node: &Node, people: &People, before: &Book) -> String {
    let admin = node.admin().await.unwrap();
    let balances = admin.balances().await.unwrap().balances;
    let shown = before.shown_after(&balances).unwrap_or_else(|| {
        // By itself a home does at its start what its people's orders say.
        let after = Book::read(&city.data.path().join("ledger"), &city.report.log);
        assert!(after.continues(before), "another log than before");
        let shown = after.shown_after(&balances);
        assert!(shown.is_some(), "a false balance: {balances:?}");
        before.vertices()
    });
    let api = city.api(node);
    people.log_in_of(&api, shown as u64).await;
    for (account, receipt) in people.transfers_within(shown as u64).step_by(SAMPLE) {
        let found = api.transfer_state(&account, &receipt.identity).await;
        assert!(found.is_ok(), "{found:?}: {receipt:?} was not damaged");
    }
    match node.status().await.not_sequencing_because {
        Some(because) => format!("{} after {shown} of {}", because.code, before.vertices()),
        None => {
            let audit = admin.audit().await.unwrap();
            assert!(audit.conserved && audit.journal_matches, "{audit:#?}");
            assert_eq!(shown, before.vertices(), "it books, and something is lost");
            "books".to_owned()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_scars_and_never_a_false_balance() {
    let mut dice = Dice::new();
    let scars = times("CITY_NODE_SCARS", 100);
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let (people, lives) = live(&city, &mut dice).await;
    let pace = Pace::new();
    for n in 0..scars {
        let life = &lives[dice.place(2)];
        copy(&life.data, city.data.path());
        let scar = Scar::cut(city.data.path(), &mut dice);
        let left = life.data.file_name().and_then(OsStr::to_str).unwrap();
        print!("{n} {left}, {} {}: ", scar.file.display(), scar.what);
        let end = match settled(&city).await {
            Ok(node) => judge(&city, &node, &people, &life.book).await,
            Err(ends) => {
                let (_, told) = &ends[0];
                let name = scar.file.file_name().and_then(OsStr::to_str).unwrap();
                assert!(told.contains(name), "{ends:#?}");
                "refused by name".to_owned()
            }
        };
        println!("{end}");
    }
    println!("{:.1?} each", pace.each(scars));
}

/// The whitelist is the configuration's all the same; what was decided when, and cannot be read, is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_trust_log_is_told() {
    let root = directory();
    let cities = found(root.path(), 3);
    let city = &cities[0];
    city.ready().await.stop().await;
    let segment = segments(&city.data.path().join("trust")).remove(0);
    let mut content = fs::read(&segment).unwrap();
    // In the first of two records.
    content[HEADER + CID + 10] ^= 1;
    fs::write(&segment, content).unwrap();
    let node = city.ready().await;
    assert!(
        node.log().contains("the trust log is damaged"),
        "{}",
        node.log()
    );
    node.stop().await;
}

/// An index names every vertex, so a header that was damaged behind its back is met by whoever reads the whole
/// log: the audit says so, the node ends, and books nothing from its next start on, where the audit works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_meets_damage_stops_the_node() {
    let mut dice = Dice::new();
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let _line = city.plug_in(Vec::new);
    let (people, [stopped, _]) = live(&city, &mut dice).await;
    copy(&stopped.data, city.data.path());
    let last = stopped.book.vertices() as u64;
    let receipt = people
        .transfers_within(last)
        .find(|(_, receipt)| receipt.at.seq > last / 2);
    let cid = receipt.expect("half of a life").1.vertex.to_cid_bytes();
    let segment = segments(&city.data.ledger()).remove(0);
    let mut content = fs::read(&segment).unwrap();
    let at = content.windows(cid.len()).position(|bytes| bytes == cid);
    content[at.unwrap() + 100] ^= 1;
    fs::write(&segment, content).unwrap();

    let mut node = city.ready().await;
    let told = node.admin().await.unwrap().audit().await.unwrap_err();
    assert_eq!(told.code(), Some("internal"), "{told}");
    assert!(!node.end().await.0.success());
    assert!(node.log().contains("cannot be read"), "{}", node.log());

    let node = city.ready().await;
    let end = judge(&city, &node, &people, &stopped.book).await;
    assert!(end.starts_with("damaged"), "{end}");
    let audit = node.admin().await.unwrap().audit().await.unwrap();
    assert!(audit.conserved && audit.journal_matches, "{audit:#?}");
}

//! The plug of a whole node is pulled, again and again, on the same data.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use city_node::setup::DataDir;
use tempfile::TempDir;

use super::machine::Machine;
use super::people::{Pace, People, supervise};
use super::times;
use crate::daemon::city::{City, Line, Node, alone, directory, run};
use crate::store::Dice;

/// Cuts of one network; then a new one with other mount options.
const CUTS_PER_NETWORK: u64 = 15;
/// About how long a start takes, with the index made again; in milliseconds.
const START_MS: u64 = 600;
const LOAD_MS: u64 = 800;
const STOP_MS: u64 = 200;
/// How the disk may be mounted: what is written back, and in which order, differs.
const OPTIONS: [&str; 4] = [
    "data=ordered",
    "data=writeback",
    "data=ordered,commit=1",
    "data=journal",
];

/// When the plug is pulled.
#[derive(Clone, Copy, Debug)]
enum Moment {
    Load,
    Start,
    Stop,
}

/// A city whose node runs on a machine of its own.
struct Town {
    root: TempDir,
    city: City,
    machine: Machine,
    people: Option<People>,
    /// The last cut came while the index was in use.
    in_use: bool,
    /// The machine booted since.
    rebooted: bool,
    _line: Line,
}

#[derive(Debug, Default)]
struct Tally {
    load: u64,
    start: u64,
    stop: u64,
    rebuilt: u64,
    started_again: u64,
    compared: u64,
    /// Commits that were answered after the cut, and lost: see `People::compare`.
    overtaken: u64,
    acknowledged: usize,
}

impl Town {
    fn found(dice: &mut Dice) -> Result<Self, String> {
        let root = directory();
        let content = root.path().join("content");
        std::fs::create_dir(&content).unwrap();
        let mut city = alone(root.path(), content.join("d"));
        let line = city.plug_in(Vec::new);
        let options = OPTIONS[dice.place(OPTIONS.len())];
        let machine = Machine::build(root.path(), &content, options)?;
        Ok(Self {
            root,
            city,
            machine,
            people: None,
            in_use: false,
            rebooted: false,
            _line: line,
        })
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("node.log")
    }

    fn start(&self) -> Node {
        let inside = self.machine.path("d");
        let program = run(&DataDir::new(&inside), &["--stop-on-stdin-end"]);
        let log = File::create(self.log()).unwrap();
        let child = self.machine.start(&program, Stdio::null(), log.into());
        let seen = Machine::seen(child.id(), &inside);
        Node::new(child, DataDir::new(seen), self.log())
    }

    /// Starts until it answers, and compares with what was acknowledged.
    async fn ready(&mut self, tally: &mut Tally, dice: &mut Dice) -> Node {
        let (node, starts) = supervise(|| self.start()).await.unwrap();
        tally.started_again += u64::from(starts - 1);
        let rebuilt = node.log().contains("making the index again");
        tally.rebuilt += u64::from(rebuilt);
        // A shelf was fsynced before it counted, and is gone on from; what sled had is made again.
        let believed = self.in_use && self.rebooted && starts == 1 && !rebuilt;
        assert!(
            !believed || has_shelves(&node.data),
            "an index is believed after a power cut:\n{}",
            node.log()
        );
        let people = match self.people.take() {
            None => People::settle(&self.city, &node, dice).await,
            Some(mut people) => {
                tally.overtaken += u64::from(people.compare(&self.city, &node).await);
                tally.compared += 1;
                if dice.below(5) == 0 {
                    node.check().await;
                }
                people
            }
        };
        self.people = Some(people);
        node
    }

    /// Has people submit until the plug is pulled.
    async fn under_load(&mut self, mut node: Node, moment: Moment, dice: &mut Dice) {
        let people = self
            .people
            .take()
            .expect("people settled at the first start");
        let before = people.acknowledged();
        let at_work = people.work(&self.city, &node);
        sleep(dice.below(LOAD_MS)).await;
        if let Moment::Stop = moment {
            node.signal("-TERM");
            sleep(dice.below(STOP_MS)).await;
        }
        self.write_back(&node, dice);
        at_work.end();
        self.cut(&mut node, dice).await;
        let people = at_work.home().await;
        println!(
            "  {moment:?}: {} acknowledged",
            people.acknowledged() - before
        );
        self.people = Some(people);
    }

    /// The kernel may write any file at any time.
    fn write_back(&self, node: &Node, dice: &mut Dice) {
        let dirs = [
            node.data.index(),
            node.data.ledger(),
            node.data.path().into(),
        ];
        let names = dirs
            .iter()
            .flat_map(|dir| std::fs::read_dir(dir).into_iter().flatten());
        let files = names.flatten().map(|file| file.path());
        let files: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
        for _ in 0..dice.below(3) {
            let which = files.get(dice.place(files.len()));
            if let Some(Ok(file)) = which.map(File::open) {
                let _gone = file.sync_data();
            }
        }
    }

    /// Pulls the plug; the node is killed at once, or lives on for a moment with a disk that is gone.
    async fn cut(&self, node: &mut Node, dice: &mut Dice) {
        self.machine.cut(node.child.id());
        sleep(dice.below(2) * dice.below(200)).await;
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    async fn one_cut(&mut self, tally: &mut Tally, dice: &mut Dice) {
        // A disk that went away without the machine, now and then.
        self.rebooted = dice.below(5) > 0;
        if self.rebooted {
            self.machine.reboot();
        }
        let moment = match dice.below(10) {
            0..=2 if self.people.is_some() => Moment::Start,
            3 => Moment::Stop,
            _ => Moment::Load,
        };
        match moment {
            Moment::Start => {
                tally.start += 1;
                let mut node = self.start();
                assert!(self.machine.is_mounted(&mut node.child), "{}", node.log());
                sleep(dice.below(START_MS)).await;
                self.write_back(&node, dice);
                self.cut(&mut node, dice).await;
                self.in_use = false;
            }
            Moment::Load | Moment::Stop => {
                match moment {
                    Moment::Stop => tally.stop += 1,
                    _ => tally.load += 1,
                }
                let node = self.ready(tally, dice).await;
                self.under_load(node, moment, dice).await;
                self.in_use = matches!(moment, Moment::Load);
            }
        }
    }

    /// After the last cut: everything is there, also after an orderly stop.
    async fn close(mut self, tally: &mut Tally, dice: &mut Dice) {
        for _ in 0..2 {
            self.machine.reboot();
            self.rebooted = true;
            let node = self.ready(tally, dice).await;
            node.check().await;
            node.stop().await;
            self.in_use = false;
        }
        tally.acknowledged += self.people.expect("they settled").acknowledged();
    }
}

async fn sleep(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

fn has_shelves(data: &DataDir) -> bool {
    let files = std::fs::read_dir(data.index()).unwrap();
    let mut names = files.map(|file| file.unwrap().file_name());
    names.any(|name| name.to_string_lossy().starts_with("shelf-"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plug_is_pulled_and_nothing_acknowledged_is_lost() {
    let mut dice = Dice::new();
    let cuts = times("CITY_NODE_PLUG_CUTS", 30);
    let (mut tally, pace) = (Tally::default(), Pace::new());
    let mut left = cuts;
    while left > 0 {
        let mut town = match Town::found(&mut dice) {
            Ok(town) => town,
            Err(why) => {
                println!("skipped: {why}");
                return;
            }
        };
        for _ in 0..left.min(CUTS_PER_NETWORK) {
            town.one_cut(&mut tally, &mut dice).await;
            left -= 1;
        }
        town.close(&mut tally, &mut dice).await;
        println!(
            "{} cuts, {:.1?} each: {tally:?}",
            cuts - left,
            pace.each(cuts - left)
        );
    }
    assert!(
        tally.acknowledged as u64 >= 2 * cuts,
        "a load of {tally:?} is none"
    );
}

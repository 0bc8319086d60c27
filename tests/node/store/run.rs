//! A home books a hundred transfers on a disk whose n-th call fails, for every n: it never acknowledges what is
//! not there after a power cut, writes nothing where an fsync failed, and needs nobody to start again.

use std::path::Path;
use std::time::{Duration, Instant};

use city_node::client::person::{Order, random};
use city_node::engine::{EngineHandle, utc};
use city_protocol::Refusal;
use city_protocol::amount::Amount;
use city_protocol::ledger::{History, Rows as _};
use city_protocol::place::Subject;
use city_protocol::replica::{BookedEntry, PlaceRequest};
use city_protocol::stage::Submission;

use super::Dice;
use super::disk::{Disk, FAULTS};
use super::home::{PEOPLE, Running, Town};
use crate::daemon::city::directory;
use crate::plug::{book::Book, times};

/// How many are submitted together, until all are booked.
const BATCHES: [u64; 5] = [1, 4, 10, 25, 60];
const TRANSFERS: u64 = 100;

/// One attempt at a hundred transfers, over as many starts as it takes.
pub(super) struct Run<'a> {
    town: &'a Town,
    pub(super) disk: Disk,
    pub(super) acknowledged: Vec<BookedEntry>,
    starts: u32,
}

impl<'a> Run<'a> {
    pub(super) async fn of(town: &'a Town, disk: Disk) -> Self {
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
        let segments = self.disk.paths_in(Path::new("/ledger")).into_iter();
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

/// Bookings go on while rows wait for room, until as many wait as may; then they are refused, everything that was booked is
/// read, and they go on once there is room. Killed meanwhile, nothing is lost.
#[test]
fn a_home_whose_index_has_no_room_refuses_bookings_and_loses_none() {
    const AT_ONCE: u64 = 4;
    let mut dice = Dice::new();
    let root = directory();
    let mut town = runtime().block_on(Town::found(root.path()));
    // The thirtieth transfer or so is refused.
    town.books.shelf_rows = 100;
    for (number, small_file) in ["/index/shelf-", "/index/SHELVES", "/index.opening"]
        .into_iter()
        .enumerate()
    {
        let mut run = Run {
            town: &town,
            disk: town.founded.copy(),
            acknowledged: Vec::new(),
            starts: 1,
        };
        let killed = runtime().block_on(async {
            let dir = directory();
            let running = town.start(&run.disk, dir.path(), "boot").unwrap();
            let handle = running.engine.handle().clone();
            let sequences = |run: &Run<'_>| run.next_sequences(handle.history());
            run.submit(&handle, sequences(&run), 1).await.unwrap();
            // sled has a little, so that a shelf takes an empty one along.
            handle.history().store().settle().unwrap();
            run.disk.no_room_at(Some(small_file));
            let mut booked = 0;
            while booked < run.acknowledged.len() {
                booked = run.acknowledged.len();
                assert!(booked < 200, "{small_file}: the layer has no end");
                run.submit(&handle, sequences(&run), AT_ONCE).await.unwrap();
            }
            assert!(booked > 4, "{small_file}: {booked}");
            assert!(!handle.history().store().has_room().unwrap());
            handle.status().await.unwrap();
            let sent: u64 = sequences(&run).iter().map(|next| next - 1).sum();
            assert_eq!(sent, booked as u64);
            let killed = run.disk.copy();
            killed.no_room_at(None);

            run.disk.no_room_at(None);
            let begun = Instant::now();
            while run.acknowledged.len() == booked {
                assert!(begun.elapsed() < Duration::from_secs(60), "{small_file}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                run.submit(&handle, sequences(&run), AT_ONCE).await.unwrap();
            }
            drop(handle);
            running.stop().await.unwrap().close().unwrap();
            (killed, run.acknowledged[..booked].to_vec())
        });
        let story = format!("{number}: no room at {small_file}");
        runtime().block_on(run.check(&mut dice, &story));
        let (disk, acknowledged) = killed;
        let killed = Run {
            town: &town,
            disk,
            acknowledged,
            starts: 1,
        };
        runtime().block_on(killed.check(&mut dice, &format!("{story}, killed")));
    }
}

/// Everything happens on one thread, besides the engine's own.
pub(super) fn runtime() -> tokio::runtime::Runtime {
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
        // The notes and marks beside the log are tried again: one that is not durable only says less.
        let mut written = run.disk.written_after_failed_sync();
        written.retain(|change| change.contains("/ledger/") || change.contains("/trust/"));
        assert_eq!(written, [""; 0], "{story}");
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

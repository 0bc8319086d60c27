//! Our accept with signatures already verified, beside a double-entry journal in SQLite.
//! `cargo bench -p city-node --bench journal`
//!
//! Both sides book the same transfers, two postings each, and refuse a transfer that is not covered, out of turn or already there. SQLite (WAL, `synchronous=FULL`,
//! prepared statements, one connection) keeps accounts with balances, transfers with a unique id, and postings
//! with debit and credit; once as numbers alone, once with the signed body and its signature, which ours keeps
//! as well. Ours also keeps the proof of place, signs the vertex, answers with a receipt, and derives the
//! postings on reading.

mod common;

use std::path::Path;
use std::time::Instant;

use city_protocol::body::Transfer;
use city_protocol::stage::{Signed, VerifiedTransfer};
use rusqlite::{Connection, Statement, params};

use common::limits::{median, on_all_cores, per_s};
use common::options::Options;
use common::table::{Bar, Table};
use common::town::{GRANTED, People, Site, Town};
use common::work::{Encoded, book, in_turn};

/// Senders; all of them have accounts in both journals.
const SENDERS: usize = 512;
/// Transfers of each in one run.
const EACH: usize = 6;
/// Transfers of one durable commit in SQLite.
const BATCH: usize = 64;
/// Runs, of which the median counts.
const RUNS: usize = 5;
/// Accounts of the chart that a transfer debits and credits; any two numbers cost the same.
const EXPENSE: u16 = 51;
const OWED: u16 = 21;

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let site = Site::found(dir.path(), 0);
    let senders = options.size(SENDERS, BATCH);
    // Of ours so many wait for their answers at once: as many as that batch, and one for each sender.
    let clients = [BATCH, senders];
    let mut town = runtime.block_on(Town::open(site, senders));
    let what =
        format!("batches of {BATCH}, two postings a transfer, no signature of a person verified");
    let mut table = Table::new("journal", options, &what);

    let numbers = database(&dir.path().join("numbers.db"), &town.people);
    let bodies = database(&dir.path().join("bodies.db"), &town.people);
    let mut numbers = Sqlite::open(&numbers, false).expect("statements");
    let mut bodies = Sqlite::open(&bodies, true).expect("statements");
    let mut rates = [const { Vec::new() }; 4];
    let mut ratios = [const { Vec::new() }; 2];
    for _ in 0..options.size(RUNS, 1) {
        let work = runtime.block_on(town.prepare(EACH));
        let verified = verify(&town.people, work);
        let alone = numbers.book(&verified).expect("booked");
        let whole = bodies.book(&verified).expect("booked");
        let few = runtime.block_on(accept(&town, verified, clients[0]));
        let work = runtime.block_on(town.prepare(EACH));
        let verified = verify(&town.people, work);
        // Not timed again: what comes next is in turn for all.
        for journal in [&mut numbers, &mut bodies] {
            journal.book(&verified).expect("booked");
        }
        let ours = runtime.block_on(accept(&town, verified, clients[1]));
        for (rates, rate) in rates.iter_mut().zip([alone, whole, few, ours]) {
            rates.push(rate);
        }
        ratios[0].push(ours / alone);
        ratios[1].push(ours / whole);
    }
    let [alone, whole, few, ours] = &mut rates;
    table.row("SQLite, numbers alone", median(alone), "/s", Bar::None);
    table.row(
        "SQLite, with body and signature",
        median(whole),
        "/s",
        Bar::None,
    );
    for (count, rates) in clients.into_iter().zip([few, ours]) {
        let what = format!("ours, {count} clients at once");
        table.row(&what, median(rates), "/s", Bar::None);
    }
    let [alone, whole] = &mut ratios;
    table.ratio(
        "ours ÷ SQLite with body and signature",
        whole,
        Bar::AtLeast(2.0),
    );
    table.ratio("ours ÷ SQLite with numbers alone", alone, Bar::None);
    table.end();
}

/// Verifies the transfers, in the order in which they are booked: every sender's first, then the second.
fn verify(people: &People, work: Vec<Vec<Encoded>>) -> Vec<VerifiedTransfer> {
    let of_sender = |(mine, sender)| {
        let mine: Vec<Encoded> = mine;
        let sender: &common::town::Sender = sender;
        let verify = |(_, bytes, signature): Encoded| {
            let signed = Signed::<Transfer>::read(&bytes, signature).expect("a transfer");
            signed
                .verify(sender.key.public())
                .expect("a good signature")
        };
        mine.into_iter().map(verify).collect::<Vec<_>>()
    };
    let jobs: Vec<_> = work.into_iter().zip(&people.senders).collect();
    in_turn(on_all_cores(jobs, of_sender))
}

/// Booked transfers a second with so many clients, each of which waits for its durable answer; until their rows are
/// written, too.
async fn accept(town: &Town, work: Vec<VerifiedTransfer>, clients: usize) -> f64 {
    let count = work.len();
    let mut shares: Vec<Vec<VerifiedTransfer>> = vec![Vec::new(); clients];
    for (n, transfer) in work.into_iter().enumerate() {
        shares[n % clients].push(transfer);
    }
    let begun = Instant::now();
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let handle = town.handle().clone();
            tokio::spawn(async move {
                for transfer in share {
                    book(&handle, transfer).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("booked");
    }
    town.handle().history().store().settle().expect("written");
    per_s(count, begun.elapsed())
}

/// A database with the tables of the journal and an account for every sender.
fn database(path: &Path, people: &People) -> Connection {
    let db = Connection::open(path).expect("a database");
    db.pragma_update(None, "journal_mode", "WAL").expect("WAL");
    db.pragma_update(None, "synchronous", "FULL").expect("FULL");
    db.execute_batch(
        "CREATE TABLE account (id TEXT PRIMARY KEY, available INTEGER NOT NULL CHECK (available >= 0),
           open_out INTEGER NOT NULL, next_sequence INTEGER NOT NULL) WITHOUT ROWID;
         CREATE TABLE transfer (number INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, sender TEXT NOT NULL,
           receiver TEXT NOT NULL, amount INTEGER NOT NULL, created_at INTEGER NOT NULL,
           body BLOB, signature BLOB);
         CREATE TABLE posting (transfer INTEGER NOT NULL, account TEXT NOT NULL, title INTEGER NOT NULL,
           debit INTEGER NOT NULL, credit INTEGER NOT NULL);",
    )
    .expect("tables");
    for sender in &people.senders {
        let account = params![sender.account.as_str(), signed(GRANTED)];
        db.execute("INSERT INTO account VALUES (?, ?, 0, 1)", account)
            .expect("an account");
    }
    db
}

/// The journal in SQLite.
struct Sqlite<'db> {
    db: &'db Connection,
    turn: Statement<'db>,
    transfer: Statement<'db>,
    posting: Statement<'db>,
    bodies: bool,
}

impl<'db> Sqlite<'db> {
    fn open(db: &'db Connection, bodies: bool) -> rusqlite::Result<Self> {
        Ok(Self {
            db,
            turn: db.prepare(
                "UPDATE account SET available = available - ?1, open_out = open_out + ?1,
                   next_sequence = next_sequence + 1 WHERE id = ?2 AND next_sequence = ?3",
            )?,
            transfer: db.prepare("INSERT INTO transfer VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)")?,
            posting: db.prepare("INSERT INTO posting VALUES (?, ?, ?, ?, ?)")?,
            bodies,
        })
    }

    /// Booked transfers a second.
    fn book(&mut self, work: &[VerifiedTransfer]) -> rusqlite::Result<f64> {
        let begun = Instant::now();
        for batch in work.chunks(BATCH) {
            let commit = self.db.unchecked_transaction()?;
            for transfer in batch {
                self.enter(transfer)?;
            }
            commit.commit()?;
        }
        Ok(per_s(work.len(), begun.elapsed()))
    }

    /// One transfer: the sender's turn and cover, the transfer under its unique id, and both postings.
    fn enter(&mut self, transfer: &VerifiedTransfer) -> rusqlite::Result<()> {
        let body = transfer.body();
        let sender = body.sender.as_str();
        let amount = signed(body.amount.hundredths());
        let turn = params![amount, sender, signed(body.sequence)];
        assert_eq!(self.turn.execute(turn)?, 1, "in turn and covered");
        let (_, bytes, signature) = transfer.clone().into_parts();
        self.transfer.execute(params![
            transfer.identity().0,
            sender,
            body.receiver.as_str(),
            amount,
            signed(body.created_at.0),
            self.bodies.then_some(bytes),
            self.bodies.then_some(signature.sig),
        ])?;
        let row = self.db.last_insert_rowid();
        self.posting
            .execute(params![row, sender, EXPENSE, amount, 0])?;
        self.posting
            .execute(params![row, sender, OWED, 0, amount])?;
        Ok(())
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("a small number")
}

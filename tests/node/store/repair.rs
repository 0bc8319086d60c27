//! A vertex that was lost in a sealed segment and fetched again stands behind what follows from it, and its old
//! place stays bad for ever: the audit reads the whole log all the same.

use std::path::Path;
use std::sync::Arc;

use city_node::api::wire::IncomingItem;
use city_node::client::person::Person;
use city_node::engine::{StoreHistory, utc};
use city_node::journal::{Audit, audit};
use city_node::store::Store;
use city_protocol::amount::Timestamp;
use city_protocol::body::{Transfer, read_person_body};
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{History, Rows as _};
use city_protocol::stage::Submission;
use city_protocol::vertex::SignedHeader;

use super::home::Town;
use super::run::{Run, runtime};
use crate::daemon::city::directory;
use crate::plug::book::blocks;

const LEDGER: &str = "/ledger";

/// The receiver of the first transfer takes it, so that a settlement follows from it much later.
async fn take_first(town: &Town, run: &Run<'_>) {
    let dir = directory();
    let running = town.start(&run.disk, dir.path(), "boot").unwrap();
    let handle = running.engine.handle().clone();
    let first = &run.acknowledged[0];
    let transfer: Transfer = read_person_body(&first.receipt.entry.body).unwrap();
    let is_receiver = |person: &&Person| person.account() == transfer.receiver;
    let receiver = town.people.iter().find(is_receiver).unwrap();
    let history: &dyn History = handle.history();
    let account = history.account(&transfer.home, &transfer.receiver).unwrap();
    let waiting = IncomingItem {
        transfer: first.identity,
        transfer_id: transfer.transfer_id,
        sender: transfer.sender,
        sender_home: transfer.home,
        amount: transfer.amount,
        received_at: Timestamp(0),
        deadline: Timestamp(0),
        transaction_hash: Digest([0; 32]),
        finality: "sequenced".into(),
        witnesses: 0,
    };
    let signed = receiver
        .accept(&waiting, account.next_sequence, utc())
        .unwrap();
    let verified = signed.verify(receiver.signing().public()).unwrap();
    handle.submit(Submission::Accept(verified)).await.unwrap();
    drop(handle);
    running.stop().await.unwrap().close().unwrap();
}

/// The body and the header of a vertex.
fn vertex(run: &Run<'_>, id: BlockId) -> [(BlockId, Vec<u8>); 2] {
    let paths = run.disk.paths_in(Path::new(LEDGER)).into_iter();
    let blocks = blocks(paths.map(|path| run.disk.content(&path)));
    let find = |id| {
        let found = blocks.iter().find(|block| block.0 == id);
        found.expect("it is in the log").clone()
    };
    let header = find(id);
    let body = SignedHeader::read(&header.1).unwrap().header.body;
    [find(body), header]
}

/// Flips a bit of a block where it stands.
fn spoil(run: &Run<'_>, id: BlockId) {
    let cid = id.to_cid_bytes();
    for path in run.disk.paths_in(Path::new(LEDGER)) {
        let mut content = run.disk.content(&path);
        let at = content.windows(cid.len()).position(|bytes| bytes == cid);
        if let Some(at) = at {
            content[at + cid.len() + 50] ^= 1;
            return run.disk.put(&path, &content);
        }
    }
    panic!("{id} is in the log");
}

fn audited(store: &Arc<Store>) -> Audit {
    let found = audit(store, &StoreHistory::new(Arc::clone(store))).unwrap();
    assert!(found.conserved && found.journal_matches, "{found:#?}");
    found
}

#[test]
fn an_audit_reads_what_was_fetched_again_wherever_it_stands() {
    let root = directory();
    let town = runtime().block_on(Town::found(root.path()));
    let run = runtime().block_on(Run::of(&town, town.founded.copy()));
    runtime().block_on(take_first(&town, &run));
    let open = || {
        let dir = directory();
        (town.books.open(&run.disk, dir.path(), "boot").unwrap(), dir)
    };
    let before = audited(&open().0);
    assert!(run.disk.paths_in(Path::new(LEDGER)).len() > 2);

    let lost = vertex(&run, run.acknowledged[0].vertex);
    spoil(&run, lost[0].0);
    let (store, _dir) = open();
    let up_to_the_gap = audited(&store);
    assert!(up_to_the_gap.postings < before.postings);
    // A peer sends it.
    let group = lost.each_ref().map(|(id, block)| (*id, block.as_slice()));
    store.append_group(&group).unwrap();
    drop(store);
    let after = audited(&open().0);
    assert_eq!(after.postings, before.postings);
    assert_eq!(after.available, before.available);
}

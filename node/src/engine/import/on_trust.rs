//! Stubs in the place of bodies, as an operator lets them be taken: who wrote the file says what was booked, and a checkpoint
//! that the log's home signed behind them says whether it comes to that. And the bodies themselves, when they come later.
//!
//! A stub that lies is the fault of whoever wrote the file. It never convicts a log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::Refusal;
use city_protocol::amount::Timestamp;
use city_protocol::crypto::PublicKey;
use city_protocol::genesis::Genesis;
use city_protocol::ids::{AccountId, BlockId, Digest, KeyId, LogId};
use city_protocol::ledger::{
    CheckpointRow, Frozen, History, Rows as _, Table, key, key_named_by, stub_of, try_read_row,
};
use city_protocol::vertex::{
    Checked, Entry, EntryStub, KeySource as _, Known, SignedHeader, Stub, VerifiedVertex,
    decode_body, verify_entry_signature,
};

use super::{ImportError, TrustMark, TrustedLog};
use crate::engine::graph::Facts;
use crate::engine::overlay::Overlay;
use crate::engine::{Directory, StoreHistory, each_vertex};

/// Checkpoints of a log that are looked through: one an hour for a century.
const MAX_CHECKPOINTS: usize = 1_000_000;

/// What of one log stands in the file as stubs.
#[derive(Clone, Copy, Default)]
struct Stubbed {
    /// The last of their positions.
    last: u64,
    bodies: u64,
}

/// What is taken on trust, by this import and by earlier ones.
pub(super) struct OnTrust {
    own: LogId,
    /// SHA-256 of the file, if its stubs may be taken.
    file: Option<Digest>,
    /// Up to where earlier files were believed.
    before: BTreeMap<LogId, u64>,
    stubbed: BTreeMap<LogId, Stubbed>,
}

impl OnTrust {
    pub(super) fn new(own: LogId, file: Option<Digest>, before: BTreeMap<LogId, u64>) -> Self {
        Self {
            own,
            file,
            before,
            stubbed: BTreeMap::new(),
        }
    }

    /// A stub is to stand for the body of this vertex.
    pub(super) fn take(&mut self, vertex: BlockId, facts: &Facts) -> Result<(), ImportError> {
        if self.file.is_none() {
            let missing = facts.body;
            return Err(ImportError::Stubbed { vertex, missing });
        }
        if facts.log == self.own {
            return Err(ImportError::OwnStub { vertex });
        }
        let stubbed = self.stubbed.entry(facts.log).or_default();
        stubbed.last = stubbed.last.max(facts.seq);
        stubbed.bodies += 1;
        Ok(())
    }

    /// Whether a log that would stand still may do so because of what was taken on trust. Two headers of one position are a
    /// proof whatever stands in the bodies; but of a log that is convicted only what people signed is taken.
    pub(super) fn explains(&self, log: &LogId, frozen: Frozen) -> bool {
        match frozen {
            Frozen::Invalid(_) => self.before.contains_key(log) || self.stubbed.contains_key(log),
            Frozen::Equivocation(_) => self.stubbed.contains_key(log),
            // Of newer software.
            Frozen::Unsupported(_) => false,
        }
    }

    /// Whether what stands for the body of this header was taken on trust.
    pub(super) fn holds(&self, header: &[u8]) -> bool {
        let Ok(header) = SignedHeader::read(header) else {
            return false;
        };
        let up_to = self.before.get(&header.header.log);
        up_to.is_some_and(|up_to| header.header.seq <= *up_to)
    }

    /// The checkpoints behind the stubs: each was folded, so that the log came to exactly its state.
    pub(super) fn borne_out(&self, history: &dyn History) -> Result<Vec<TrustedLog>, ImportError> {
        let first = |(log, stubbed): (&LogId, &Stubbed)| {
            let rows = history.rows(&key(Table::Checkpoint, &[&log.0]), None, MAX_CHECKPOINTS);
            let mut rows = rows.iter().filter_map(|(_, row)| try_read_row(row));
            let row = rows.find(|row: &CheckpointRow| row.seq >= stubbed.last);
            let found = row.and_then(|row| {
                let vertex = history.vertex_at(log, row.at.epoch, row.at.seq)?;
                Some((row, vertex))
            });
            let (row, vertex) = found.ok_or(ImportError::NoCheckpoint {
                log: *log,
                seq: stubbed.last,
            })?;
            Ok(TrustedLog {
                log: *log,
                bodies: stubbed.bodies,
                epoch: row.epoch,
                seq: row.seq,
                vertex,
            })
        };
        self.stubbed.iter().map(first).collect()
    }

    /// What is to be remembered of it.
    pub(super) fn marks(&self, trusted: &[TrustedLog], at: Timestamp) -> Vec<TrustMark> {
        let Some(file) = self.file else {
            return Vec::new();
        };
        let mark = |part: &TrustedLog| TrustMark {
            log: part.log,
            epoch: part.epoch,
            seq: part.seq,
            vertex: part.vertex,
            at,
            file,
        };
        trusted.iter().map(mark).collect()
    }
}

/// Every key that people of a log ever had, by its id: read once, where an older one is asked for.
pub(super) type OlderKeys = BTreeMap<LogId, BTreeMap<KeyId, Arc<PublicKey>>>;

/// Checks a body and its header that came for a stub which was taken on trust: it says what the stub says, and people signed it.
pub(super) fn check_body(
    (genesis, directory): (&Genesis, &Directory),
    (overlay, older): (&Overlay, &RefCell<OlderKeys>),
    [body, header]: &[Vec<u8>; 2],
) -> Result<(), ImportError> {
    let id = BlockId::of(header);
    let refused = |refusal| ImportError::Refused {
        vertex: id,
        refusal,
    };
    let vertex = VerifiedVertex::verify(genesis, directory, header, body.clone());
    let vertex = vertex.map_err(refused)?;
    let entries = vertex.entries.map_err(refused)?;
    let h = &vertex.header.header;
    let history: &dyn History = overlay;
    let newest = history.log(&h.log).map_or(1, |row| row.epoch);
    let row = history.vertex(&id);
    let (Some(row), Some(stub)) = (row, history.stub(&h.body)) else {
        return Ok(());
    };
    if history.vertex_on_chain(&h.log, newest, h.seq) != Some(id) {
        // Beyond a cut: it does not count, whatever stands for it.
        return Ok(());
    }
    match stub_of(history, (id, &row), &entries) {
        Ok(said) if said == stub => {}
        Ok(_) => {
            return Err(ImportError::Differs {
                log: h.log,
                vertex: id,
            });
        }
        // Nothing that is here says any more what it came to, as where another log was cut below what it rests on.
        Err(_) => {
            return Err(ImportError::Unheld {
                log: h.log,
                vertex: id,
            });
        }
    }
    let signed = Signatures {
        directory,
        overlay,
        older,
        log: h.log,
    };
    signed
        .check(&stub, &entries, &vertex.known)
        .map_err(refused)
}

/// What people signed in one log.
struct Signatures<'a> {
    directory: &'a Directory,
    overlay: &'a Overlay,
    older: &'a RefCell<OlderKeys>,
    log: LogId,
}

impl Signatures<'_> {
    fn check(&self, stub: &Stub, entries: &[Entry], known: &[Known]) -> Result<(), Refusal> {
        let parts = stub.entries.iter().zip(entries).zip(known);
        for ((stub, entry), known) in parts {
            match (signer_of(stub), entry.sig.as_slice()) {
                (None, []) => {}
                (Some(account), [sig]) => {
                    let history: &dyn History = self.overlay;
                    if history.account_of_key(&self.log, &sig.key) != account {
                        return Err(Refusal::WrongKey);
                    }
                    if known.checked() != [Checked::Good] {
                        let key = self.key(&account, &sig.key)?;
                        verify_entry_signature(entry, sig.key, &key)?;
                    }
                }
                _ => return Err(Refusal::BadEntry),
            }
        }
        Ok(())
    }

    /// A person's key: at hand, that of the account now, or else an older one, for which the ledger is read through.
    fn key(&self, account: &AccountId, id: &KeyId) -> Result<Arc<PublicKey>, Refusal> {
        if let Some(key) = self.directory.public_key(id) {
            return Ok(key);
        }
        let now = self
            .directory
            .account_key(self.overlay, &self.log, account)?;
        if now.id() == *id {
            return Ok(now);
        }
        let mut older = self.older.borrow_mut();
        let keys = older.entry(self.log).or_insert_with(|| {
            let mut keys = BTreeMap::new();
            let named = |entry: &Entry| Some(Arc::new(key_named_by(entry).ok()?));
            let read = each_vertex(self.overlay.base().store(), |header, body, _| {
                if header.header.log == self.log {
                    let entries = body.and_then(|body| decode_body(&body.bytes).ok());
                    let found = entries.iter().flatten().filter_map(named);
                    keys.extend(found.map(|key| (key.id(), key)));
                }
            });
            // What cannot be read holds no key.
            drop(read);
            keys
        });
        keys.get(id).cloned().ok_or(Refusal::UnknownAccount)
    }
}

/// Who signed an entry, if a person did.
const fn signer_of(stub: &EntryStub) -> Option<AccountId> {
    match stub {
        EntryStub::Transfer(sent) => Some(sent.sender),
        EntryStub::Accept(answer) | EntryStub::Reject(answer) if answer.signed => {
            Some(answer.account)
        }
        _ => None,
    }
}

/// Whether all bodies of a log up to here are in the store.
pub(super) fn has_bodies(history: &StoreHistory, log: &LogId, up_to: u64) -> bool {
    let rows: &dyn History = history;
    let Some(row) = rows.log(log).filter(|row| row.seq >= up_to) else {
        return false;
    };
    (1..=up_to).all(|seq| {
        let id = rows.vertex_on_chain(log, row.epoch, seq);
        let vertex = id.and_then(|id| rows.vertex(&id));
        vertex.is_some_and(|vertex| history.location(&vertex.body).is_some())
    })
}

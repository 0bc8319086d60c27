//! The ledger: a log's state is the fold of that log alone, kept as rows.
//!
//! `rows` names what is remembered, `view` layers what is not yet durable over what is, `fold` takes
//! entries by the `rules` (with `acceptance`, `rejection`, `refund`, `order`, `officers`, `keychange`, `adopt`,
//! `trust`, `notes`, `checkpoint` and `checks`), `judge` gives a verdict on a whole vertex, `convict` on a log
//! (`proof_of_fault` and `false_refund` for whoever has the genesis record alone), `pruned` is about bodies that are not
//! kept, `state` names how far a transfer has come. One code path: a home folds what it is about to sign with the same
//! rules by which others judge it.

mod acceptance;
mod adopt;
mod authority;
mod checkpoint;
mod checks;
mod convict;
mod false_refund;
mod finality;
mod fold;
mod judge;
mod keychange;
mod notes;
mod officers;
mod order;
mod proof_of_fault;
mod pruned;
mod refund;
mod rejection;
mod rows;
mod rules;
mod state;
mod trust;
mod view;

pub use authority::stored_authority;
pub use checkpoint::{MIN_CHECKPOINT_GAP_MS, tree_of};
pub use convict::{beginnings, board_at, convicts, epoch_signer};
pub use false_refund::{FalseRefund, MAX_FALSE_REFUND, VerifiedFalseRefund};
pub use finality::{Finality, MAX_WITNESSES_COUNTED, witnesses_of};
pub use fold::{Finished, Fold, FoldContext, FoldError};
pub use judge::{Missing, Verdict, judge};
pub use keychange::key_named_by;
pub use notes::{MAX_NOTES, MAX_NOTES_BYTES, NoteFound, note_name, note_of, notes_of};
pub use proof_of_fault::{FaultProof, MAX_FAULT_PROOF, SignedTwice, VerifiedFault};
pub use pruned::{Stays, prunable_to, stub_of};
pub use rows::{
    AccountRow, AnswerRow, CharterRow, CheckpointRow, ClearingRow, EpochRow, FaultRow, Frozen,
    HeadersRow, IncomingRow, LogRow, NoteRow, NotesRow, Table, Totals, TransferRow, TransferState,
    TreeRow, VertexRow, WitnessRow, key, position_key,
};
pub use state::PeopleState;
pub use view::{Changes, History, Layers, Rows, read_row, try_read_row};

/// How long a receiver may accept: 180 days after the transfer's vertex, in milliseconds.
pub const ACCEPT_DEADLINE_MS: u64 = 180 * 24 * 60 * 60 * 1000;
/// How long a receiver's home may stay silent after that deadline, in milliseconds: 365 days. Then officers of the
/// sender's home may give the transfer back.
pub const SILENCE_MS: u64 = 365 * 24 * 60 * 60 * 1000;

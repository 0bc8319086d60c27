//! How far a transfer has come by now, in people's words: the same for whoever asks, and wherever.

use city_protocol::amount::Timestamp;
use city_protocol::ids::{Digest, LogId};
use city_protocol::ledger::{History, PeopleState, Rows as _, TransferRow};
use city_protocol::replica::deadline_of;

/// The state of a transfer in its sender's log. What nobody answered in time is the sender's again, whether their home
/// has booked that already or not.
pub(crate) fn people_state(
    history: &dyn History,
    sender_home: &LogId,
    transfer: &Digest,
    row: &TransferRow,
    now: Timestamp,
) -> PeopleState {
    let answer = history.answer(&row.receiver_home, transfer);
    match PeopleState::of(row.state, answer.as_ref()) {
        PeopleState::Pending => {
            let deadline = deadline_of(history, sender_home, &row.at);
            match deadline.is_some_and(|deadline| deadline < now) {
                true => PeopleState::Expired,
                false => PeopleState::Pending,
            }
        }
        state => state,
    }
}

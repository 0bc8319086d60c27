//! What the own log said last of its CAs, for `status`.

use city_protocol::body::Trust;
use city_protocol::ledger::{History, Rows as _};
use city_protocol::pki::Crl;
use data_encoding::HEXLOWER;

use super::AdminState;
use super::pages::{ListSaid, TrustSaid};

impl AdminState {
    /// The newest `trust` entry of the own log.
    pub(super) fn trust_said(&self) -> Option<TrustSaid> {
        let (history, log): (&dyn History, _) = (self.engine.history(), self.engine.log());
        let at = history.trust_entry(&log)?;
        let body = Trust::read(&history.entry(&log, &at)?.body).ok()?;
        let vertex = history.vertex_at(&log, at.epoch, at.seq)?;
        let said = |list: Crl| ListSaid {
            issuer: list.issuer_name().to_owned(),
            number: list.number().map(|number| HEXLOWER.encode(number)),
            this_update: list.this_update(),
            next_update: list.next_update(),
            revoked: list.entries() as u64,
        };
        Some(TrustSaid {
            at,
            time: history.vertex(&vertex)?.time,
            lists: body.read_lists().map(said).collect(),
            certificates: body.certificates.len() as u64,
        })
    }
}

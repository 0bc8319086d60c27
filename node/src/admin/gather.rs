//! Reads the running node for the admin socket. Long readings run away from the threads that wait.

use std::collections::BTreeMap;

use city_protocol::amount::{Amount, Timestamp};
use city_protocol::ids::{AccountId, LogId};
use city_protocol::ledger::{AccountRow, History, Rows as _, Table, key, witnesses_of};
use city_protocol::place::{Point, Verdict};
use city_protocol::region::Region;
use city_protocol::replica::{ClockQuality, ReplicaStatus, Standing};
use city_protocol::sync::FrontierEntry;
use city_protocol::vertex::KeySource as _;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::AdminState;
use super::pages::{
    AuditPage, Balances, Because, Certificates, CharterInForce, ClockPage, Fault, Head,
    OutdatedPeer, Peer, Place, Receiver, Status, StorePage, VerifyPage,
};
use crate::access::audit::{self as log_audit, AuditVerdict, LinesPage, Which};
use crate::api::Problem;
use crate::api::wire::SCHEMA;
use crate::engine::{Hold, protocol_peer, utc, verify_store};
use crate::journal::{audit, log_rows};
use crate::net::{Carrier, PeerStats};
use crate::pki::reload::warnings;
use crate::store::ReadError;
use crate::terminal::Terminal;
use crate::trust::pages::ReaderShown;

/// Most accounts in one listing: a small town; 10,000 lines are 700 KB.
const MAX_ACCOUNTS: usize = 10_000;

/// How many drafts a terminal keeps.
fn kept(terminal: &Terminal) -> Option<u64> {
    Some(terminal.outbox()?.list().len() as u64)
}

impl AdminState {
    pub(super) async fn status(&self) -> Result<Status, Problem> {
        // Before the frontier: a fault that is shown is in it.
        let faults = self.faults();
        let replica = self.engine.status().await?;
        let trusted = self.trusted_up_to()?;
        let genesis = self.engine.genesis();
        let region = self.engine.authority().region();
        let in_force = self.engine.authority_in_force();
        let now = self.clock.now();
        let hold = self.hold(&replica, now.quality);
        let stats = self.net.as_ref().map(crate::net::NetHandle::stats);
        let stats = stats.unwrap_or_default();
        let regions: BTreeMap<_, _> = replica.peers.iter().cloned().collect();
        let peer = |peer: &PeerStats| {
            let id = protocol_peer(&peer.peer);
            let region = id.and_then(|id| regions.get(&id).cloned());
            Peer {
                peer_id: peer.peer.to_string(),
                name: region.as_deref().and_then(|region| self.name_of(region)),
                region,
                address: peer.address.to_string(),
                transport: Carrier::of(&peer.address).code().into(),
                since: Timestamp(peer.since_ms),
                software: peer.agent.clone(),
                reads_only: peer.reads_only,
                reads: ReaderShown::of(&self.trust, &peer.peer, utc()).filter(|_| peer.reads_only),
                only_read_at: id.is_some_and(|id| replica.read_only_at.contains(&id)),
            }
        };
        Ok(Status {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").into(),
            network: genesis.network(),
            network_name: genesis.name.clone(),
            purpose: genesis.purpose,
            region: region.to_string(),
            region_name: self.name_of(region.as_str()),
            log: replica.log,
            charter: CharterInForce {
                number: in_force.charter_number(),
                charter: Some(in_force.in_force()),
                k: in_force.board().k(),
                n: in_force.officers().len() as u64,
            },
            peer_id: self.peer_id.to_string(),
            clock: ClockPage {
                time: now.time,
                quality: now.quality.as_str().into(),
            },
            uptime_s: self.started.elapsed().as_secs(),
            sequencing: replica.sequencing && hold.is_none(),
            not_sequencing_because: hold.map(|hold| Because {
                code: hold.code().into(),
                remedy: hold.remedy().into(),
            }),
            standing: replica.standing.as_str().into(),
            unconfirmed_limit: replica.unconfirmed_limit,
            confirmed_by_counter: self.keys.as_ref().and_then(|keys| keys.confirmed),
            frontier: replica
                .frontier
                .iter()
                .map(|entry| self.head(entry, &trusted))
                .collect(),
            frontier_hash: replica.frontier_hash,
            in_flight: replica.in_flight as u64,
            peers: stats.peers.iter().map(peer).collect(),
            denied_strangers: stats.denied_strangers,
            wasted_verifications: stats.wasted_verifications,
            refused_sources: stats.refused_sources,
            whitelist_requests: self.trust.fold(|fold| {
                let waits = fold
                    .pending
                    .values()
                    .filter(|request| !request.is_old(now.time));
                waits.count() as u64
            }),
            outdated_peers: self.trust.fold(|fold| {
                let outdated = fold.outdated();
                outdated
                    .map(|(old, rotated)| OutdatedPeer {
                        old: old.clone(),
                        new: rotated.to.clone(),
                    })
                    .collect()
            }),
            receiver: self.receiver(),
            place: self.place_summary(&self.antenna.verdict(now.time)),
            store: self.store()?,
            faults,
            certificates: self.certificates(now.time),
            terminal: self.terminal.as_ref().map(Terminal::page),
            drafts: self.terminal.as_ref().and_then(kept),
        })
    }

    fn hold(&self, replica: &ReplicaStatus, clock: ClockQuality) -> Option<Hold> {
        let store = self.engine.history().store();
        if self.hold.is_some() {
            return self.hold;
        }
        if store.ledger().is_damaged() {
            return Some(Hold::Damaged);
        }
        if store.ledger().is_poisoned() {
            return Some(Hold::Failed);
        }
        match replica.standing {
            // A terminal signs nothing that could be old.
            _ if self.terminal.is_some() => {}
            Standing::RolledBack => return Some(Hold::RolledBack),
            Standing::Waiting if clock != ClockQuality::Floor => return Some(Hold::Confirming),
            Standing::Waiting => return Some(Hold::Clock),
            Standing::Confirmed | Standing::Unconfirmed => {}
        }
        // A terminal never does.
        if !replica.sequencing && self.terminal.is_none() {
            return Some(Hold::Frozen);
        }
        if clock == ClockQuality::Floor {
            return Some(Hold::Clock);
        }
        // A file system that cannot be asked is found by the next append.
        (!store.has_room().unwrap_or(true)).then_some(Hold::DiskFull)
    }

    /// Up to which position each log was taken on trust.
    pub(super) fn trusted_up_to(&self) -> Result<BTreeMap<LogId, u64>, Problem> {
        let notes = self.engine.history().store().notes();
        notes.trusted_up_to().map_err(|error| {
            tracing::error!(%error, "what was taken on trust is not known");
            Problem::internal().with_detail(error.to_string())
        })
    }

    fn head(&self, entry: &FrontierEntry, trusted: &BTreeMap<LogId, u64>) -> Head {
        let region = self.region_of(&entry.log);
        let history: &dyn History = self.engine.history();
        let row = history.head(&entry.log);
        let shortfall = row.as_ref().map(|row| row.totals.shortfall);
        Head {
            log: entry.log,
            name: region.as_deref().and_then(|region| self.name_of(region)),
            region,
            epoch: entry.epoch,
            seq: entry.seq,
            head: HEXLOWER.encode(&entry.head),
            vertex: row.map(|row| row.head),
            witnesses: witnesses_of(history, &entry.log, (entry.epoch, entry.seq)),
            forked: entry.forked,
            trusted_up_to: trusted.get(&entry.log).copied(),
            shortfall: shortfall
                .filter(|owed| *owed > 0)
                .map(Amount::from_hundredths),
        }
    }

    pub(super) fn region_of(&self, log: &LogId) -> Option<String> {
        let authority = self.engine.directory().authority(log)?;
        Some(authority.region().to_string())
    }

    fn name_of(&self, region: &str) -> Option<String> {
        let region: Region = region.parse().ok()?;
        self.names.get(region.municipality()).cloned()
    }

    fn receiver(&self) -> Receiver {
        let status = self.antenna.status();
        Receiver {
            device: status.device,
            connected: status.connected,
            found: status.found,
            protocol: status.protocol,
            baud: status.baud,
            identity: status.identity,
            fixes: status.fixes,
            noise_bytes: status.noise_bytes,
            bad_checksums: status.bad_checksums,
            problem: status.problem,
            antenna: status.antenna,
            notices: status.notices,
        }
    }

    fn place_summary(&self, verdict: &Verdict) -> Place {
        let home = self.engine.authority().region();
        let code = verdict.municipality.as_ref();
        let degrees = |axis: fn(Point) -> i32| {
            let e7 = verdict.point.map(axis)?;
            Some(f64::from(e7) / f64::from(city_protocol::place::point::DEGREE_E7))
        };
        Place {
            grade: verdict.grade,
            municipality: code.cloned(),
            name: code.and_then(|code| self.names.get(code).cloned()),
            lat: degrees(Point::lat_e7),
            lon: degrees(Point::lon_e7),
            satellites_used: verdict.satellites_used,
            reasons: verdict.reasons.iter().map(|r| r.code().into()).collect(),
            satisfies_policy: verdict.admit(home, self.antenna.policy()).is_ok(),
        }
    }

    fn store(&self) -> Result<StorePage, Problem> {
        let store = self.engine.history().store();
        let mark = store.watermark();
        let end = store.ledger().end();
        Ok(StorePage {
            blocks: mark.map_or(0, |mark| mark.count),
            segment: end.segment,
            segment_bytes: end.offset,
            failed: store.ledger().is_poisoned(),
        })
    }

    fn certificates(&self, now: Timestamp) -> Certificates {
        let mut warnings = warnings(&self.doors.now(), now);
        if let Some(problem) = self.doors.problem() {
            warnings.insert(0, format!("not in force: {problem}"));
        }
        Certificates {
            exchanges: self.doors.now().generation,
            warnings,
            lists: self.doors.now().trust.crls.iter().count() as u64,
            said: self.trust_said(),
        }
    }

    fn faults(&self) -> Vec<Fault> {
        let frozen = log_rows(self.engine.history())
            .into_iter()
            .filter_map(|(log, row)| Some((log, row.frozen?)));
        frozen
            .map(|(log, frozen)| Fault {
                log,
                region: self.region_of(&log),
                reason: frozen.as_str().into(),
                cut: frozen.cut(),
            })
            .collect()
    }

    pub(super) async fn balances(&self) -> Result<Balances, Problem> {
        let history = self.engine.history().clone();
        blocking(move || Ok(read_balances(&history))).await
    }

    pub(super) async fn audit(&self) -> Result<AuditPage, Problem> {
        let history = self.engine.history().clone();
        let job = move || {
            audit(history.store(), &history).map_err(|error| {
                tracing::error!(%error, "the audit could not be made");
                Problem::internal().with_detail(error.to_string())
            })
        };
        let found = blocking(job).await?;
        let if_any = |sum: u64| (sum > 0).then(|| amount_text(sum.into()));
        Ok(AuditPage {
            schema: SCHEMA,
            conserved: found.conserved,
            journal_matches: found.journal_matches,
            postings: found.postings,
            granted: amount_text(found.granted.into()),
            taken_back: if_any(found.ungranted),
            shortfall: if_any(found.shortfall),
            available_sum: amount_text(found.available_sum.into()),
            in_transit: amount_text(found.in_transit),
            available: found
                .available
                .iter()
                .map(|(account, sum)| (*account, amount_text((*sum).into())))
                .collect(),
        })
    }

    pub(super) async fn verify(&self) -> Result<VerifyPage, Problem> {
        let history = self.engine.history().clone();
        let genesis = self.engine.genesis().clone();
        let job = move || {
            verify_store(history.store(), &genesis, |_| ()).map_err(|error| {
                tracing::error!(%error, "the store could not be verified");
                Problem::internal().with_detail(error.to_string())
            })
        };
        let found = blocking(job).await?;
        Ok(VerifyPage {
            schema: SCHEMA,
            ok: found.problems.is_empty(),
            blocks: found.blocks,
            vertices: found.vertices,
            pruned: found.pruned,
            headers: found.headers,
            forked: found.forked,
            trusted: found.trusted,
            entries: found.entries,
            signatures: found.signatures,
            problems: found.problems,
        })
    }

    pub(super) async fn records(&self, which: Which, after: u64) -> Result<LinesPage, Problem> {
        let (history, access) = (self.engine.history().clone(), self.access.clone());
        blocking(move || {
            log_audit::lines(history.store(), &access, which, after).map_err(|error| unread(&error))
        })
        .await
    }

    pub(super) async fn verify_records(&self) -> Result<AuditVerdict, Problem> {
        let (history, access) = (self.engine.history().clone(), self.access.clone());
        let own = self.engine.log();
        blocking(move || {
            log_audit::verify(history.store(), &access, &own).map_err(|error| unread(&error))
        })
        .await
    }

    /// The verdict in full, with the policy it was judged by.
    pub(super) fn place(&self) -> Result<Value, Problem> {
        let verdict = self.antenna.verdict(self.clock.now().time);
        let policy = self.antenna.policy();
        let summary = self.place_summary(&verdict);
        Ok(json!({
            "schema": SCHEMA,
            "summary": summary,
            "verdict": verdict,
            "policy": policy,
            "receiver": self.receiver(),
            "satellites": self.antenna.sky(),
        }))
    }
}

/// What is available to every account of every log, up to a limit.
fn read_balances(history: &dyn History) -> Balances {
    let mut balances = BTreeMap::new();
    let mut left = MAX_ACCOUNTS;
    let mut truncated = false;
    for (log, _) in log_rows(history) {
        let prefix = key(Table::Account, &[&log.0]);
        // One more than fits, to know whether there is more.
        let rows = history.rows(&prefix, None, left + 1);
        truncated |= rows.len() > left;
        for (name, _) in rows.iter().take(left) {
            let id: Option<AccountId> = name
                .get(prefix.len()..)
                .and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            let row: Option<AccountRow> = history.typed(name);
            if let (Some(id), Some(row)) = (id, row) {
                balances.insert(id, row.available.to_string());
            }
        }
        left = left.saturating_sub(rows.len());
    }
    Balances {
        schema: SCHEMA,
        balances,
        truncated,
    }
}

fn unread(error: &ReadError) -> Problem {
    tracing::error!(%error, "a log could not be read");
    Problem::internal().with_detail(error.to_string())
}

/// Hundredths as text, with a sign if they are negative.
fn amount_text(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let magnitude = u64::try_from(hundredths.unsigned_abs()).unwrap_or(u64::MAX);
    format!("{sign}{}", Amount::from_hundredths(magnitude))
}

pub(super) async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(job)
        .await
        .unwrap_or_else(|_| Err(Problem::internal()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_like_amounts() {
        assert_eq!(amount_text(12_345), "123.45");
        assert_eq!(amount_text(-5), "-0.05");
        assert_eq!(amount_text(0), "0.00");
    }
}

//! A home that signs one position twice, as its key does it, and its officers, who begin the next epoch.

use std::collections::BTreeSet;

use city_protocol::body::{EpochStart, Kind, Label};
use city_protocol::ids::{BlockId, Digest};
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::refusal::Refusal;
use city_protocol::replica::{BookedEntry, Input, Outcome};
use city_protocol::vertex::SignedHeader;

use super::faults::DELAY;
use super::spec::Ledger;
use super::town::Town;
use super::words::{Begun, Verdict};
use crate::liar::{Liar, Vertex, give, start};
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU};

/// How often everybody is woken behind the beginning of an epoch: what was lost is looked for in small steps.
const TICKS: usize = 6;

/// Where a home's log stood after a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    seq: u64,
    head: BlockId,
    charter: Digest,
    /// Lines of its journal, charters, and what everybody had booked by then.
    journal: usize,
    charters: usize,
    booked: usize,
}

impl Town {
    pub(super) fn remember(&mut self) {
        for home in [KANAZAWA, KOMATSU] {
            let row = self.world.homes[home].row(&self.log(home));
            let charters = self.charters[home].len();
            self.past[home].push(Past {
                seq: row.seq,
                head: row.head,
                charter: self.charters[home][charters - 1],
                journal: self.journal[home].1.len(),
                charters,
                booked: self.booked.len(),
            });
        }
    }

    /// A home signs another vertex behind what it had after an earlier step; everybody hears of it.
    pub(super) fn lie(&mut self, home: usize, to: usize) -> Verdict {
        self.world.now = self.world.now.plus_ms(1);
        self.carry();
        let past = self.past[home][to];
        let row = self.world.homes[home].row(&self.log(home));
        let mut faces = vec!["never happened"];
        if row.seq == past.seq {
            faces.push("nor did this");
        }
        for face in faces {
            let vertex = self.other_vertex(home, &past, face);
            // The home itself learns from the others what its key did.
            for victim in [1 - home, HAKUSAN] {
                give(&mut self.world, home, victim, &vertex);
            }
        }
        self.carry();
        self.cuts.insert((home, row.epoch), past.seq);
        self.charters[home].truncate(past.charters);
        self.journal[home].1.truncate(past.journal);
        self.journal[home].0 = past.seq;
        let mut n = 0;
        self.booked.retain(|(at, ..)| {
            n += 1;
            n <= past.booked || *at != home
        });
        Verdict::Done
    }

    fn other_vertex(&self, home: usize, past: &Past, face: &str) -> Vertex {
        let mut liar = Liar::new(&self.world, home);
        (liar.seq, liar.prev) = (past.seq + 1, past.head);
        let vertex = liar.sign(&[start(face)]);
        let header = SignedHeader::read(&vertex.header).unwrap().header;
        let charter = past.charter;
        let header = city_protocol::vertex::Header { charter, ..header };
        liar.sign_header(header, vertex.body)
    }

    /// Officers begin the next epoch an hour later, and everybody hears of it and looks at what is overdue.
    pub(super) fn begin_epoch(&mut self, begun: &Begun) -> Result<BookedEntry, Refusal> {
        self.world.now = self.world.now.plus_ms(DELAY);
        let home = begun.at;
        let h = &self.world.homes[home];
        let row = h.row(&h.log());
        let lower = h
            .disk
            .read()
            .vertex_on_chain(&h.log(), row.epoch, row.seq - 1);
        let (cut_seq, cut) = match lower {
            _ if begun.at_head => (row.seq, row.head),
            Some(lower) => (row.seq - 1, lower),
            // There is none below the first.
            None => (row.seq, self.world.network()),
        };
        let body = |officers_sequence| EpochStart {
            version: 1,
            kind: Kind::EpochStart,
            network: self.world.network(),
            home: h.log(),
            officers_sequence,
            created_at: self.world.now,
            old_epoch: begun.old_epoch,
            cut_seq,
            cut,
            node_certificate: None,
            chain: Vec::new(),
            reason: Label::new("二重署名").unwrap(),
        };
        let signed = self.signed_by(&begun.signers, begun.sequence, body);
        let ticket = self.world.new_ticket();
        self.world.tell(home, Input::BeginEpoch(ticket, signed));
        self.world.commit(home);
        let answer = self.world.homes[home].answers.remove(&ticket).unwrap();
        let Outcome::Booked(booked) = answer? else {
            panic!("an epoch is no place");
        };
        booked.receipt.verify(&self.world.genesis)?;
        self.past[home].clear();
        for _ in 0..TICKS {
            for home in [KANAZAWA, KOMATSU, HAKUSAN] {
                self.world.tell(home, Input::Tick);
                self.world.commit(home);
            }
            self.carry();
        }
        Ok(*booked)
    }

    /// Everybody has the same, and nothing is under way: but what a convicted home lost, and would do again if it might.
    pub(super) fn assert_in_step(&self) {
        let statuses = self.world.homes.iter().map(|home| {
            let status = home.replica.status(home.disk.read());
            let stands = home.row(&home.log()).frozen.is_some();
            assert!(stands || status.in_flight == 0, "{}", home.region);
            status.frontier_hash
        });
        let statuses: BTreeSet<_> = statuses.collect();
        assert_eq!(statuses.len(), 1);
    }

    /// Who was convicted stands where both of its vertices agree, for everybody, and nobody else does.
    pub(super) fn compare_verdicts(&self, ledger: &Ledger) {
        for home in &self.world.homes {
            assert_eq!(home.disconnected, []);
            let convicted = |(log, frozen, _): &(_, Frozen, _)| {
                let of = [KANAZAWA, KOMATSU].map(|home| self.log(home));
                of.contains(log) && matches!(frozen, Frozen::Equivocation(_))
            };
            assert!(home.frozen.iter().all(convicted), "{:?}", home.frozen);
            for accused in [KANAZAWA, KOMATSU] {
                let row = home.row(&self.log(accused));
                let cut = self.cuts.get(&(accused, row.epoch)).copied();
                let stands = ledger.convicted() == Some(accused);
                assert_eq!(row.frozen, cut.map(Frozen::Equivocation).filter(|_| stands));
            }
        }
    }
}

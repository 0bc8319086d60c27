//! A newcomer joins where bodies were pruned everywhere: stubs of somebody's writing stand for them, and the checkpoint that the
//! log's home signed behind them bears them out or not. What lies convicts nobody.

use std::sync::Arc;

use city_protocol::amount::Amount;
use city_protocol::body::Kind;
use city_protocol::ids::{BlockId, LogId};
use city_protocol::ledger::{Frozen, History, Rows as _, Table, VertexRow, key, read_row};
use city_protocol::refusal::Refusal;
use city_protocol::replica::Input;
use city_protocol::vertex::{EntryStub, SignedHeader, Stub, VerifiedVertex, decode_body};

use super::checkpoints::{make, state, town};
use super::faults::{cut_off_kanazawa, fault_entries};
use super::liar::{Liar, give, start};
use super::people::Person;
use super::pruned::{check_folds_to_the_same, prune};
use super::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

const HOUR: u64 = 60 * 60 * 1000;

/// 花子 and 太郎, whose transfers nobody has as they signed them any more, and 能美, who was not there.
struct Story {
    world: World,
    hanako: Person,
    taro: Person,
    nomi: usize,
}

impl Story {
    fn new() -> Self {
        let (mut world, hanako, taro) = town();
        world.pass(2 * HOUR);
        for home in [KANAZAWA, KOMATSU] {
            make(&mut world, home).unwrap();
        }
        world.run();
        for home in [KANAZAWA, KOMATSU, HAKUSAN] {
            assert!(prune(&mut world.homes[home].disk).0 > 3);
        }
        let nomi = world.add_home("17211");
        let mut story = Self {
            world,
            hanako,
            taro,
            nomi,
        };
        story.trusts();
        story
    }

    /// 能美 starts as one that takes 金沢 and 小松 on trust.
    fn trusts(&mut self) {
        let trusted = [KANAZAWA, KOMATSU].map(|home| self.world.homes[home].log());
        let identity = &self.world.homes[self.nomi].identity;
        let replica = self.world.new_replica(identity, true);
        self.world.homes[self.nomi].replica = replica.with_trusted(trusted.into());
        self.world.tell(self.nomi, Input::Started);
        self.world.commit(self.nomi);
    }

    /// 能美 folds what 小松 has, as `change` writes its stubs; an error is that of the first stub that is no stub of its header.
    fn join(&mut self, change: impl Fn(&mut Stub)) -> Result<(), Refusal> {
        let disk = self.world.homes[KOMATSU].disk.read();
        let rows = disk.rows(&key(Table::Vertex, &[]), None, usize::MAX);
        let row = |(name, row): &(Vec<u8>, Vec<u8>)| {
            let id = BlockId::from_digest(name[1..].try_into().unwrap());
            (read_row::<VertexRow>(row), id)
        };
        let mut vertices: Vec<_> = rows.iter().map(row).collect();
        vertices.sort_by_key(|(row, _)| row.order);
        for (row, id) in vertices {
            let disk = self.world.homes[KOMATSU].disk.read();
            let header = disk.block(&id).unwrap();
            let vertex = match disk.block(&row.body) {
                Some(body) => self.world.verify(self.nomi, &header, body)?,
                None => {
                    let mut stub = disk.stub(&row.body).unwrap();
                    change(&mut stub);
                    let newcomer = &mut self.world.homes[self.nomi];
                    let stubs = &mut newcomer.disk.stubs;
                    stubs.insert(row.body, Arc::new(stub.clone()));
                    let keys = newcomer.replica.authorities();
                    VerifiedVertex::verify_stub(&self.world.genesis, keys, &header, stub)?
                }
            };
            self.world.tell(self.nomi, Input::Replay(Box::new(vertex)));
            self.world.commit(self.nomi);
        }
        Ok(())
    }

    fn log(&self) -> LogId {
        self.hanako.home_log
    }
}

/// The first transfer in a stub.
fn sent(stub: &mut Stub) -> Option<&mut city_protocol::vertex::SentStub> {
    stub.entries.iter_mut().find_map(|entry| match entry {
        EntryStub::Transfer(sent) => Some(sent),
        _ => None,
    })
}

#[test]
fn a_newcomer_folds_stubs_to_what_the_checkpoints_say_and_goes_on() {
    let mut story = Story::new();
    story.join(|_| ()).unwrap();
    let Story {
        mut world,
        hanako,
        taro,
        nomi,
    } = story;
    for home in [KANAZAWA, KOMATSU] {
        let log = world.homes[home].log();
        assert_eq!(world.homes[nomi].row(&log), world.homes[KOMATSU].row(&log));
        assert_eq!(state(&world, nomi, log), state(&world, KOMATSU, log));
        assert_eq!(world.journal(nomi, &log), world.journal(KOMATSU, &log));
    }
    for other in [KANAZAWA, KOMATSU, HAKUSAN] {
        world.connect(nomi, other);
    }
    world.run();
    let paid = world.transfer(&hanako, &taro, "7.00").unwrap();
    world.run();
    world.accept(&taro, &paid).unwrap();
    world.run();
    world.pass(2 * HOUR);
    make(&mut world, KANAZAWA).unwrap();
    world.run();
    world.assert_in_step(&[KANAZAWA, KOMATSU, HAKUSAN, nomi]);
    assert_eq!(world.homes[nomi].frozen, []);
    check_folds_to_the_same(&world, nomi);
    world.audit();
}

/// Whoever wrote the stubs changes something: no checkpoint bears it out, and no log is at fault.
#[track_caller]
fn check_lie(change: impl Fn(&mut Stub)) -> Refusal {
    let mut story = Story::new();
    let log = story.log();
    let newest = story.world.homes[KOMATSU].row(&log).seq;
    story.join(change).unwrap();
    let nomi = &story.world.homes[story.nomi];
    let stands = nomi.row(&log).frozen;
    let mut told = nomi.frozen.iter().filter(|(of, ..)| *of == log);
    let (_, frozen, refusal) = told.next().unwrap();
    assert_eq!(Some(*frozen), stands);
    assert!(
        matches!(stands, Some(Frozen::Unsupported(cut)) if cut < newest),
        "{stands:?}"
    );
    let rows = nomi.disk.read();
    assert_eq!(rows.invalid(&log, 1), None);
    assert_eq!(rows.fault(&log, 1), None);
    assert_eq!(fault_entries(&story.world, story.nomi), []);
    refusal.unwrap()
}

#[test]
fn stubs_that_lie_come_to_no_checkpoint_and_convict_nobody() {
    let one = Amount::from_hundredths(1);
    // Less was paid than was: the sums are others at the checkpoint, and no settlement fits.
    let refusal = check_lie(|stub| {
        if let Some(sent) = sent(stub) {
            sent.amount = sent.amount.minus(one).unwrap();
        }
    });
    assert_eq!(refusal, Refusal::TransferMismatch);
    // The same wherever it stands: what is booked next says what the account had.
    let refusal = check_lie(|stub| {
        for entry in &mut stub.entries {
            match entry {
                EntryStub::Transfer(sent) => sent.amount = sent.amount.minus(one).unwrap(),
                EntryStub::Accept(answer) => answer.amount = answer.amount.minus(one).unwrap(),
                EntryStub::Settle(closed) => closed.amount = closed.amount.minus(one).unwrap(),
                _ => {}
            }
        }
    });
    assert_eq!(refusal, Refusal::BadBooking);
    // Settled and given back.
    let refusal = check_lie(|stub| {
        for entry in &mut stub.entries {
            if let EntryStub::Settle(closed) = entry {
                *entry = EntryStub::Refund(closed.clone());
            }
        }
    });
    assert_eq!(refusal, Refusal::BadBooking);
    // Nothing was settled, answered or sent.
    let refusal = check_lie(|stub| stub.entries.fill(EntryStub::Place));
    assert_eq!(
        refusal,
        Refusal::BadVertex,
        "the header names whom it addresses"
    );
    // An account that no chart has.
    let refusal = check_lie(|stub| {
        if let Some(sent) = sent(stub) {
            sent.debit = 1;
        }
    });
    assert_eq!(refusal, Refusal::BadBooking);
    // What nobody booked anything on since, the checkpoint says: who accepted signed it, and that took a number.
    let refusal = check_lie(|stub| {
        for entry in &mut stub.entries {
            if let EntryStub::Accept(answer) = entry {
                answer.signed = false;
            }
        }
    });
    assert_eq!(refusal, Refusal::BadCheckpoint);
}

#[test]
fn a_stub_of_another_body_is_none() {
    let check = |change: fn(&mut Stub)| {
        let refused = Story::new().join(change);
        assert_eq!(refused, Err(Refusal::BadVertex));
    };
    check(|stub| stub.leaves[0].0[0] ^= 1);
    check(|stub| stub.pruned.0[0] ^= 1);
    check(|stub| {
        stub.leaves.push(stub.leaves[0]);
        stub.entries.push(EntryStub::Place);
    });
}

/// Whose signature the header has is asked first: who joins believes nobody's word about that.
#[test]
fn a_header_that_its_home_did_not_sign_is_refused_with_its_stub() {
    let mut story = Story::new();
    let disk = story.world.homes[KOMATSU].disk.read();
    let body = *story.world.homes[KOMATSU].disk.stubs.keys().next().unwrap();
    let rows = disk.rows(&key(Table::Vertex, &[]), None, usize::MAX);
    let of_it = |(_, row): &&(Vec<u8>, Vec<u8>)| read_row::<VertexRow>(row).body == body;
    let (name, _) = rows.iter().find(of_it).unwrap();
    let id = BlockId::from_digest(name[1..].try_into().unwrap());
    let mut header = disk.block(&id).unwrap();
    let stub = disk.stub(&body).unwrap();
    *header.last_mut().unwrap() ^= 1;
    story.join(|_| ()).unwrap();
    let keys = story.world.homes[story.nomi].replica.authorities();
    let verdict = VerifiedVertex::verify_stub(&story.world.genesis, keys, &header, stub);
    assert_eq!(
        verdict.map(|vertex| vertex.id()),
        Err(Refusal::BadSignature)
    );
}

/// A vertex behind what was taken on trust breaks a rule: perhaps because of that. It stops the log here, proves nothing, and is
/// tried again with the next start.
#[test]
fn behind_what_was_taken_on_trust_nobody_is_convicted_of_breaking_a_rule() {
    let mut story = Story::new();
    story.join(|_| ()).unwrap();
    let (log, nomi) = (story.log(), story.nomi);
    cut_off_kanazawa(&mut story.world);
    let liar = Liar::new(&story.world, KANAZAWA);
    let bad = liar.sign(&[start("one"), start("two")]);
    let cut = liar.seq - 1;
    for home in [nomi, HAKUSAN] {
        give(&mut story.world, KANAZAWA, home, &bad);
    }
    let frozen = |story: &Story, home: usize| story.world.homes[home].row(&log).frozen;
    assert_eq!(frozen(&story, HAKUSAN), Some(Frozen::Invalid(cut)));
    assert_eq!(frozen(&story, nomi), Some(Frozen::Unsupported(cut)));
    assert_eq!(fault_entries(&story.world, nomi), []);
    assert_eq!(fault_entries(&story.world, HAKUSAN).len(), 1);
    story.trusts();
    assert_eq!(frozen(&story, nomi), None);
    // Two headers of one position are a proof whatever stands in the bodies.
    let (one, two) = (liar.sign(&[start("one")]), liar.sign(&[start("two")]));
    give(&mut story.world, KANAZAWA, nomi, &one);
    give(&mut story.world, KANAZAWA, nomi, &two);
    assert_eq!(frozen(&story, nomi), Some(Frozen::Equivocation(cut)));
}

/// What came on trust is pruned as a body is, and what its home decided stays whole: the checkpoint is never a stub.
#[test]
fn a_checkpoint_is_never_a_stub() {
    let story = Story::new();
    let disk = &story.world.homes[KOMATSU].disk;
    let log = story.log();
    let row = story.world.homes[KOMATSU].row(&log);
    let kinds = (1..=row.seq).filter_map(|seq| {
        let rows: &dyn History = disk;
        let vertex = rows.vertex(&rows.vertex_at(&log, 1, seq)?)?;
        let header = SignedHeader::read(&rows.block(&rows.vertex_at(&log, 1, seq)?)?).ok()?;
        assert_eq!(header.header.body, vertex.body);
        let entries = decode_body(&rows.block(&vertex.body)?).ok()?;
        Some(entries.iter().any(|entry| entry.kind == Kind::Checkpoint))
    });
    assert_eq!(kinds.filter(|has| *has).count(), 1);
}

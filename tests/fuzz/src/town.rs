//! What valid bytes the targets begin with: a small story in the worlds of tests/protocol. 花子 of 金沢市 pays
//! 太郎 of 小松市, who accepts, and 次郎 at home; one transfer is still open. The same in every run.

use std::collections::BTreeMap;
use std::sync::Arc;

use city_protocol::body::Kind;
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{Digest, KeyId, LogId};
use city_protocol::ledger::{self, Changes, FoldContext, Layers, Rows as _, Verdict};
use city_protocol::replica::log_rows;
use city_protocol::vertex::{
    Authority, Entry, KeySource, Receipt, SignedHeader, VerifiedVertex, decode_body, merkle_paths,
};

use crate::disk::Disk;
use crate::people::Person;
use crate::world::{HAKUSAN, KANAZAWA, KOMATSU, World};

/// The world after the story, and everything that was written in it.
pub(crate) struct Town {
    pub(crate) world: World,
    pub(crate) hanako: Person,
    pub(crate) people: Vec<Person>,
    pub(crate) keys: Keys,
    /// All vertices in the order in which they arrived at 白山市.
    pub(crate) vertices: Vec<Written>,
}

/// One vertex, and what a follower had before it.
pub(crate) struct Written {
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) before: Disk,
}

/// Every key of the story.
pub(crate) struct Keys {
    authorities: BTreeMap<LogId, Arc<Authority>>,
    people: BTreeMap<KeyId, Arc<PublicKey>>,
}

impl KeySource for Keys {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.authorities.get(log).cloned()
    }

    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>> {
        self.people.get(id).cloned()
    }
}

thread_local! {
    static TOWN: &'static Town = Box::leak(Box::new(Town::new()));
}

/// The town, made at the first call.
pub(crate) fn town() -> &'static Town {
    TOWN.with(|town| *town)
}

impl Town {
    fn new() -> Self {
        let mut world = World::connected();
        let hanako = world.rich_citizen("hanako", KANAZAWA, "1000.00");
        let jiro = world.citizen("jiro", KANAZAWA);
        let taro = world.citizen("taro", KOMATSU);
        world.run();
        let booked = "the story holds";
        let sent = world.transfer(&hanako, &taro, "123.45").expect(booked);
        world.run();
        world.accept(&taro, &sent).expect(booked);
        world.run();
        let at_home = world.transfer(&hanako, &jiro, "10.00").expect(booked);
        world.accept(&jiro, &at_home).expect(booked);
        world.transfer(&hanako, &taro, "1.00").expect(booked);
        world.run();
        let authorities = world
            .homes
            .iter()
            .map(|home| (home.log(), home.authority.clone()));
        let keys = Keys {
            authorities: authorities.collect(),
            people: world.people.clone(),
        };
        let vertices = written(&world, &keys);
        Self {
            world,
            people: vec![hanako.clone(), jiro, taro],
            hanako,
            keys,
            vertices,
        }
    }

    /// The receipts of all entries.
    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.vertices
            .iter()
            .flat_map(|vertex| self.receipts_of(vertex))
            .collect()
    }

    fn receipts_of(&self, vertex: &Written) -> Vec<Receipt> {
        let header = SignedHeader::read(&vertex.header).expect("a home wrote it");
        let entries = decode_body(&vertex.body).expect("a home wrote it");
        let leaves: Vec<_> = entries.iter().map(Entry::leaf).collect();
        let authority = self
            .keys
            .authority(&header.header.log)
            .expect("of the story");
        let charter = Entry::home_authored(Kind::Charter, authority.charter_body.clone());
        let paths = merkle_paths(&leaves).1;
        let receipt = |(index, (entry, path)): (usize, (Entry, Vec<[u8; 32]>))| Receipt {
            v: 1,
            authority: Arc::new(vec![charter.clone()]),
            header: vertex.header.clone(),
            entry,
            index: index as u64,
            path: path.into_iter().map(Digest).collect(),
        };
        entries
            .into_iter()
            .zip(paths)
            .enumerate()
            .map(receipt)
            .collect()
    }
}

/// All vertices that 白山市 holds, each judged again on top of those before it.
fn written(world: &World, keys: &Keys) -> Vec<Written> {
    let disk = &world.homes[HAKUSAN].disk;
    let read = disk.read();
    let mut found = BTreeMap::new();
    for (log, row) in log_rows(read) {
        for seq in 1..=row.seq {
            let id = read
                .vertex_at(&log, row.epoch, seq)
                .expect("below the head");
            let vertex = read.vertex(&id).expect("it has a row");
            found.insert(
                vertex.order,
                (
                    disk.blocks[&id].to_vec(),
                    disk.blocks[&vertex.body].to_vec(),
                ),
            );
        }
    }
    let mut before = Disk::default();
    let mut written = Vec::new();
    for (header, body) in found.into_values() {
        let vertex = VerifiedVertex::verify(&world.genesis, keys, &header, body.clone())
            .expect("a home signed it");
        let order = written.len() as u64;
        let Verdict::Valid(valid) = judge(world, keys, &vertex, &before, order) else {
            panic!("honest homes write what holds");
        };
        let mut after = before.clone();
        after.write(valid.changes);
        written.push(Written {
            header,
            body,
            before: std::mem::replace(&mut before, after),
        });
    }
    written
}

/// What a home says about a vertex that it is given after these rows.
pub(crate) fn judge(
    world: &World,
    keys: &Keys,
    vertex: &VerifiedVertex,
    before: &Disk,
    order: u64,
) -> Verdict {
    let nothing = Changes::default();
    let ctx = FoldContext {
        network: world.network(),
        authority: &vertex.authority,
        keys,
        layers: Layers {
            history: before,
            batch: &nothing,
            vertex: None,
        },
    };
    ledger::judge(&ctx, vertex, order)
}

//! Signed transfers as they arrive at a home, and handing them in. Drafting, proofs of place and signing are
//! never timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use city_node::engine::{EngineHandle, utc};
use city_node::setup::Identity;
use city_protocol::amount::Amount;
use city_protocol::body::{BODY_VERSION, Dimension, GoodsOrMoney, Kind, Label, Transfer};
use city_protocol::ids::{AccountId, Digest, LogId, NetworkId, TransferId};
use city_protocol::place::Subject;
use city_protocol::region::Region;
use city_protocol::replica::PlaceRequest;
use city_protocol::stage::{Draft, Signed, Submission, VerifiedTransfer};
use city_protocol::vertex::EntrySignature;

use super::limits::{on_all_cores, per_s};
use super::pace::pace;
use super::town::{Sender, Town};

/// A signed transfer as it arrives: its sender, the body's bytes and the signature.
pub type Encoded = (AccountId, Vec<u8>, EntrySignature);

/// Most transfers that are prepared at once: a node holds 4096 proofs of place.
pub const AT_ONCE: usize = 4000;

impl Town {
    /// Signs `each` transfers for every sender, on all cores; the engine holds their proofs of place. The
    /// answer has one list a sender.
    pub async fn prepare(&mut self, each: usize) -> Vec<Vec<Encoded>> {
        assert!(
            each * self.people.senders.len() <= AT_ONCE,
            "more proofs of place than a node holds"
        );
        let handle = self.handle().clone();
        let drafts = Drafts::of(&self.site.identity(), self.people.receiver);
        let mut jobs = Vec::new();
        for (number, sender) in self.people.senders.iter_mut().enumerate() {
            let mut bodies = Vec::new();
            for _ in 0..each {
                let transfer_id = transfer_id(number, sender.next);
                let request = PlaceRequest {
                    subject: Subject::Node,
                    account: sender.account,
                    transfer_id,
                    nonce: transfer_id.0,
                    verdict: Box::new(self.people.verdict.clone()),
                    raw: None,
                };
                let proof = handle.place(request).await.expect("a proof");
                bodies.push(drafts.transfer(sender, transfer_id, proof.digest()));
                sender.next += 1;
            }
            jobs.push((sender.account, Arc::clone(&sender.key), bodies));
        }
        on_all_cores(jobs, |(account, key, bodies)| {
            let sign = |body: Transfer| {
                let signed = Draft(body).sign(&*key).expect("a transfer");
                (account, signed.bytes().to_vec(), signed.signature().clone())
            };
            bodies.into_iter().map(sign).collect()
        })
    }

    /// Accepted transfers a second, every sender with one after the other; until their rows are written, too, which is
    /// done behind the answers.
    pub async fn accept(&self, work: Vec<Vec<Encoded>>) -> f64 {
        let count: usize = work.iter().map(Vec::len).sum();
        let begun = Instant::now();
        let tasks: Vec<_> = work
            .into_iter()
            .map(|mine| {
                let handle = self.handle().clone();
                tokio::spawn(async move {
                    for encoded in mine {
                        submit(&handle, encoded).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("accepted");
        }
        self.handle().history().store().settle().expect("written");
        per_s(count, begun.elapsed())
    }

    /// Has so many transfers accepted, as many at once as proofs of place are held.
    pub async fn fill(&mut self, transfers: usize, mut progress: impl FnMut(usize)) {
        let senders = self.people.senders.len();
        let mut done = 0;
        while done < transfers {
            let each = (AT_ONCE.min(transfers - done) / senders).max(1);
            let work = self.prepare(each).await;
            self.accept(work).await;
            done += each * senders;
            progress(done);
        }
    }

    /// How long each acknowledgement took, in seconds, where transfers come at these times.
    pub async fn paced(&self, work: Vec<Vec<Encoded>>, times: Vec<Duration>) -> Vec<f64> {
        let handle = self.handle().clone();
        let runtime = tokio::runtime::Handle::current();
        let pacing = tokio::task::spawn_blocking(move || {
            let mut tasks = Vec::new();
            pace(in_turn(work), &times, |encoded| {
                let (handle, begun) = (handle.clone(), Instant::now());
                tasks.push(runtime.spawn(async move {
                    submit(&handle, encoded).await;
                    begun.elapsed().as_secs_f64()
                }));
            });
            tasks
        });
        let mut took = Vec::new();
        for task in pacing.await.expect("paced") {
            took.push(task.await.expect("accepted"));
        }
        took
    }

    /// How long each acknowledgement took with one client at a time, in seconds.
    pub async fn one_at_a_time(&self, work: Vec<Vec<Encoded>>) -> Vec<f64> {
        let mut times = Vec::new();
        for encoded in work.into_iter().flatten() {
            let begun = Instant::now();
            submit(self.handle(), encoded).await;
            times.push(begun.elapsed().as_secs_f64());
        }
        times
    }
}

/// Every sender's first, then every sender's second, and so on.
pub fn in_turn<T>(work: Vec<Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = work.into_iter().map(Vec::into_iter).collect();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        all.extend(lists.iter_mut().filter_map(Iterator::next));
        if all.len() == before {
            return all;
        }
    }
}

/// What the API does with a transfer: read, find the key, verify on the pool, submit.
pub async fn submit(handle: &EngineHandle, (account, bytes, signature): Encoded) {
    let signed: Signed<Transfer> = Signed::read(&bytes, signature).expect("a transfer");
    let key = handle.account_key(&account).expect("an account");
    let verified = handle.pool().run(move || signed.verify(&key)).await;
    book(
        handle,
        verified.expect("the pool runs").expect("a good signature"),
    )
    .await;
}

/// What is left of that once the signature is verified.
pub async fn book(handle: &EngineHandle, verified: VerifiedTransfer) {
    handle
        .submit(Submission::Transfer(verified))
        .await
        .expect("accepted");
}

/// A transfer's own id: who sends it, and which of theirs it is.
pub fn transfer_id(sender: usize, sequence: u64) -> TransferId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&(sender as u64).to_be_bytes());
    id[8..].copy_from_slice(&sequence.to_be_bytes());
    TransferId(id)
}

/// Writes transfers of one hundredth within one town.
pub struct Drafts {
    /// The town's network.
    pub network: NetworkId,
    home: LogId,
    region: Region,
    receiver: AccountId,
}

impl Drafts {
    /// Transfers to this receiver at this home.
    pub fn of(home: &Identity, receiver: AccountId) -> Self {
        Self {
            network: home.network,
            home: home.authority.log,
            region: home.authority.region().clone(),
            receiver,
        }
    }

    /// The sender's next transfer.
    pub fn transfer(
        &self,
        sender: &Sender,
        transfer_id: TransferId,
        proof_of_place: Digest,
    ) -> Transfer {
        let label = |text: &str| Label::new(text).expect("a label");
        let hidden = Digest([7; 32]);
        Transfer {
            version: BODY_VERSION,
            kind: Kind::Transfer,
            network: self.network,
            alg: sender.key.public().algorithm(),
            key: sender.key.public().id(),
            home: self.home,
            receiver_home: self.home,
            sequence: sender.next,
            transfer_id,
            created_at: utc(),
            expires_at: utc().plus_ms(600_000),
            sender: sender.account,
            receiver: self.receiver,
            from_wallet: label("main"),
            to_wallet: label("main"),
            amount: Amount::from_hundredths(1),
            subject: hidden,
            action_level: label("1"),
            dimension: Dimension::Local,
            organism_name: label("human"),
            sender_municipality: self.region.clone(),
            receiver_municipality: self.region.clone(),
            goods_or_money: GoodsOrMoney::Money,
            proof_of_place,
            details: hidden,
            location: hidden,
            fluctuation: None,
            account_title: None,
            verifiable_credential: None,
            message: None,
            attributes: None,
        }
    }
}

//! What officers decide: they give, take back, put right, and begin epochs.

use city_protocol::body::Der;
use city_protocol::ledger::{Frozen, Rows as _};
use city_protocol::replica::Input;
use city_protocol::stage::Submission;
use city_protocol::trust::TransportSigner as _;

use super::stage::Sim;
use crate::epochs::epoch_body;
use crate::keys::signing_key;
use crate::people::{Person, decided_by};

/// Most epochs that are planned in one story.
const EPOCHS: u64 = 3;

impl Sim {
    /// Officers give somebody something.
    pub(crate) fn officers_grant(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let person = self.somebody(home, boxed);
        self.grant_to(boxed, &person);
    }

    pub(super) fn grant_to(&mut self, boxed: usize, person: &Person) {
        let body = self.world.grant_body(person, "5.00");
        let officers = self.world.homes[boxed].officers[1..].to_vec();
        let grant = decided_by(&body, &officers);
        self.ask(boxed, Submission::Grant(grant), None);
        self.commit(boxed);
    }

    /// Officers take something back, if it is there.
    pub(crate) fn officers_take_back(&mut self) {
        let home = self.dice.index(self.plan.homes);
        let Some(boxed) = self.open_box(home) else {
            return;
        };
        let person = self.somebody(home, boxed);
        let body = self.world.ungrant_body(&person, "3.00");
        let officers = self.world.homes[boxed].officers[..2].to_vec();
        let ungrant = Submission::Ungrant(decided_by(&body, &officers));
        self.ask(boxed, ungrant, None);
        self.count("ungrants");
        self.commit(boxed);
    }

    /// Somebody who has something makes good a hundredth of what their home owes.
    pub(super) fn officers_correct(&mut self, home: usize) {
        let h = &self.world.homes[home];
        if h.row(&h.log()).totals.shortfall == 0 {
            return;
        }
        let owner = self.people[home].iter().find(|person| {
            let row = h.disk.read().account(&person.home_log, &person.account);
            row.is_some_and(|row| row.available.hundredths() > 0)
        });
        let Some(owner) = owner.cloned() else { return };
        let body = self.world.correct_body(&owner, "0.01", None);
        let officers = self.world.homes[home].officers[..2].to_vec();
        let correct = Submission::Correct(decided_by(&body, &officers));
        self.ask(home, correct, None);
        self.commit(home);
        self.count("corrections");
    }

    /// Officers of an honest home begin an epoch, with another node key or the same.
    pub(crate) fn officers_begin_an_epoch(&mut self) {
        let honest = self.honest();
        let home = self.dice.pick(&honest);
        let h = &self.world.homes[home];
        let books = !h.down && h.replica.status(h.disk.read()).sequencing;
        // What is not whole is not closed: its end would be lost.
        if !books || !self.guards[home].is_whole(h) || h.row(&h.log()).epoch > EPOCHS {
            return;
        }
        let another_key = self.dice.percent(50);
        self.begin_epoch(home, another_key);
    }

    /// Begins the epoch behind a home's head; says whether it began.
    pub(super) fn begin_epoch(&mut self, home: usize, another_key: bool) -> bool {
        let mut certificate = None;
        if another_key {
            let row = self.world.homes[home].row(&self.world.homes[home].log());
            let now = self.world.homes[home].key_of(row.epoch);
            let next = signing_key(&format!("node key {} of {home}", row.epoch + 1));
            let identity = &mut self.world.homes[home].identity;
            let peer = identity.transport.peer_id().to_string();
            (identity.key, identity.next_key) = (now, Some(next.clone()));
            let region = identity.region.clone();
            certificate = Some(Der(self.world.ca.node(&region, next.public(), &peer)));
            // The key is read at a start.
            self.switch_off(home);
            self.switch_on(home);
            if !self.guards[home].is_whole(&self.world.homes[home]) {
                return false;
            }
        }
        let mut body = epoch_body(&self.world, home);
        body.node_certificate = certificate;
        let officers = self.world.homes[home].officers[..2].to_vec();
        let ticket = self.world.new_ticket();
        let begin = Input::BeginEpoch(ticket, decided_by(&body, &officers));
        self.world.tell(home, begin);
        self.commit(home);
        let answer = self.world.homes[home].answers.remove(&ticket);
        let begun = matches!(answer, Some(Ok(_)));
        let epoch = body.old_epoch + 1;
        self.say(format!(
            "{home} begins epoch {epoch}, with another key: {another_key}; done: {begun}"
        ));
        if begun {
            self.count(if another_key {
                "epochs with another key"
            } else {
                "epochs with the same key"
            });
        }
        begun
    }

    /// The liar's officers take its second box away, and begin again at the cut. From here on it is honest.
    pub(super) fn officers_heal(&mut self) -> bool {
        let Some(liar) = self.liar() else {
            return false;
        };
        let h = &self.world.homes[liar];
        let row = h.row(&h.log());
        let convicted = matches!(
            row.frozen,
            Some(Frozen::Equivocation(_) | Frozen::Invalid(_))
        );
        if !convicted || h.down {
            return false;
        }
        self.say(format!("{liar} loses its second box"));
        self.reformed = true;
        self.excused.insert(liar);
        self.headers_only.clear();
        if let Some(twin) = self.twin {
            self.switch_off(twin);
        }
        if !self.begin_epoch(liar, true) {
            // Others hung up on it before they had heard each other out, so it does not know yet that its log is whole.
            self.everybody_connects();
            return false;
        }
        self.take_back_almost_all(liar);
        self.everybody_connects();
        self.count("convicted logs that went on");
        true
    }

    /// What the cut left is taken back before anybody asks for what it took away: only the first keeps something.
    fn take_back_almost_all(&mut self, home: usize) {
        for person in self.people[home].clone().into_iter().skip(1) {
            let rows = self.world.homes[home].disk.read();
            let Some(row) = rows.account(&person.home_log, &person.account) else {
                continue;
            };
            if row.available.hundredths() > 0 {
                let body = self.world.ungrant_body(&person, &row.available.to_string());
                let officers = self.world.homes[home].officers[..2].to_vec();
                let ungrant = Submission::Ungrant(decided_by(&body, &officers));
                self.ask(home, ungrant, None);
                self.commit(home);
            }
        }
    }
}

//! What officers decide about balances: they give, take back, and put right.

use city_protocol::refusal::Refusal::{self, *};

use super::spec::{AIKA, BORROWED, GRANTED, Ledger, Who, first, home_of};
use super::words::{Decided, Verdict};

impl Ledger {
    /// An account gets 愛貨.
    pub(super) fn grant(&mut self, to: Who, by: &Decided) -> Result<Verdict, Refusal> {
        let (at, amount) = (by.at, by.amount);
        self.about(to, by)?;
        first([(self.stopped[at], NotSequencing)])?;
        self.decided(at, &by.signers, by.sequence)?;
        let home = &mut self.homes[at];
        home.officers_used = by.sequence;
        home.granted += amount;
        home.journal.push((to, AIKA, true, amount));
        home.journal.push((to, GRANTED, false, amount));
        Ok(self.balance(to, |account| account.available += amount))
    }

    /// Officers take 愛貨 back, as much as is there.
    pub(super) fn ungrant(&mut self, from: Who, by: &Decided) -> Result<Verdict, Refusal> {
        let (at, amount) = (by.at, by.amount);
        self.about(from, by)?;
        first([
            (amount > self.accounts[&from].available, Overdraft),
            (self.stopped[at], NotSequencing),
        ])?;
        self.decided(at, &by.signers, by.sequence)?;
        let home = &mut self.homes[at];
        home.officers_used = by.sequence;
        home.ungranted += amount;
        home.journal.push((from, GRANTED, true, amount));
        home.journal.push((from, AIKA, false, amount));
        Ok(self.balance(from, |account| account.available -= amount))
    }

    /// Officers give the sender back what a silent home never answered; or somebody makes good what the log owes.
    pub(super) fn correct(
        &mut self,
        who: Who,
        transfer: Option<usize>,
        by: &Decided,
    ) -> Result<Verdict, Refusal> {
        first([(by.amount == 0, BadAmount), (by.sequence == 0, BadField)])?;
        if let Some(n) = transfer {
            self.is_silent(n)?;
        }
        self.about(who, by)?;
        let short = by.amount > self.accounts[&who].available;
        first([
            (transfer.is_none() && short, Overdraft),
            (self.stopped[by.at], NotSequencing),
        ])?;
        self.decided(by.at, &by.signers, by.sequence)?;
        let Some(n) = transfer else {
            return self.make_good(who, by);
        };
        let sent = &self.transfers[n];
        let open = sent.is_open();
        let named = (sent.parties().0, sent.amount) == (who, by.amount);
        first([(!open || !named, TransferMismatch)])?;
        self.homes[by.at].officers_used = by.sequence;
        self.refund(n);
        Ok(Verdict::Booked(Some(self.accounts[&who].available)))
    }

    /// Somebody pays for a part of what the municipality answers for.
    fn make_good(&mut self, who: Who, by: &Decided) -> Result<Verdict, Refusal> {
        let home = &mut self.homes[by.at];
        first([(by.amount > home.shortfall, OutOfRange)])?;
        home.officers_used = by.sequence;
        home.shortfall -= by.amount;
        home.journal.push((who, BORROWED, true, by.amount));
        home.journal.push((who, AIKA, false, by.amount));
        self.adopted.push("made good");
        Ok(self.balance(who, |account| account.available -= by.amount))
    }

    /// The amount, the number and the account of a decision about a balance.
    fn about(&self, who: Who, by: &Decided) -> Result<(), Refusal> {
        let here = by.at == home_of(who) && self.accounts.contains_key(&who);
        first([
            (by.amount == 0, BadAmount),
            (by.sequence == 0, BadField),
            (!here, UnknownAccount),
        ])
    }
}

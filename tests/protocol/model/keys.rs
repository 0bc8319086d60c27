//! Whose key counts: rotation, revocation, recovery; and the orders that people sign with them.

use city_protocol::refusal::Refusal::{self, *};

use super::spec::{Account, Ledger, Order, Who, first, home_of};
use super::steps::Signed;
use super::words::{Signatures, Verdict};

/// A person's key: whose, and the how manyth.
pub(crate) type Key = (Who, u64);

impl Ledger {
    /// Whose turn it is, and with which key.
    fn active(&self, who: Who, key: u64) -> Result<&Account, Refusal> {
        let account = self.accounts.get(&who).ok_or(UnknownAccount)?;
        first([
            (account.key() != key, WrongKey),
            (account.revoked, KeyRevoked),
        ])?;
        Ok(account)
    }

    fn in_turn(&self, who: Who, sequence: u64) -> Result<(), Refusal> {
        let next = self.accounts[&who].used + 1;
        first([
            (sequence < next, SequenceUsed),
            (sequence > next, SequenceGap),
        ])
    }

    /// Somebody says what their home takes for them, or that it takes nothing any more.
    pub(super) fn order(
        &mut self,
        who: Who,
        key: u64,
        sequence: u64,
        takes: Option<Order>,
    ) -> Result<Verdict, Refusal> {
        first([
            (takes.is_some_and(|order| order.most == Some(0)), BadAmount),
            (sequence == 0, BadField),
            (self.stopped[home_of(who)], NotSequencing),
        ])?;
        self.active(who, key)?;
        self.in_turn(who, sequence)?;
        let account = self.account(who);
        account.used = sequence;
        account.order = takes;
        Ok(Verdict::Booked(None))
    }

    /// Another key takes the place of the one before; both sign.
    pub(super) fn rotate(
        &mut self,
        who: Who,
        key: u64,
        sequence: u64,
        new: Key,
        signed: Signed,
    ) -> Result<Verdict, Refusal> {
        first([
            (new == (who, key), KeyUsed),
            (sequence == 0, BadField),
            (self.stopped[home_of(who)], NotSequencing),
        ])?;
        self.active(who, key)?;
        first([(signed != Signed::Both, WrongKey)])?;
        self.in_turn(who, sequence)?;
        first([(self.is_used(home_of(who), new), KeyUsed)])?;
        let account = self.account(who);
        account.used = sequence;
        account.keys.push(new.1);
        Ok(Verdict::Booked(None))
    }

    /// Somebody closes their key.
    pub(super) fn revoke(&mut self, who: Who, key: u64, sequence: u64) -> Result<Verdict, Refusal> {
        first([
            (sequence == 0, BadField),
            (self.stopped[home_of(who)], NotSequencing),
        ])?;
        self.active(who, key)?;
        self.in_turn(who, sequence)?;
        let account = self.account(who);
        account.used = sequence;
        account.revoked = true;
        Ok(Verdict::Booked(None))
    }

    /// Officers close somebody's key.
    pub(super) fn close(
        &mut self,
        who: Who,
        signers: &Signatures,
        sequence: u64,
    ) -> Result<Verdict, Refusal> {
        first([
            (sequence == 0, BadField),
            (self.stopped[home_of(who)], NotSequencing),
        ])?;
        self.decided(home_of(who), signers, sequence)?;
        let account = self.accounts.get_mut(&who).ok_or(UnknownAccount)?;
        first([(account.revoked, KeyRevoked)])?;
        account.revoked = true;
        self.homes[home_of(who)].officers_used = sequence;
        Ok(Verdict::Booked(None))
    }

    /// Officers give somebody another key, whatever became of the one before.
    pub(super) fn recover(
        &mut self,
        who: Who,
        signers: &Signatures,
        sequence: u64,
        new: Key,
    ) -> Result<Verdict, Refusal> {
        first([
            (sequence == 0, BadField),
            (self.stopped[home_of(who)], NotSequencing),
        ])?;
        let home = home_of(who);
        self.decided(home, signers, sequence)?;
        first([
            (!self.accounts.contains_key(&who), UnknownAccount),
            (self.is_used(home, new), KeyUsed),
        ])?;
        let account = self.account(who);
        account.keys.push(new.1);
        account.revoked = false;
        self.homes[home].officers_used = sequence;
        Ok(Verdict::Booked(None))
    }

    /// Whether an account of this home has or had the key.
    fn is_used(&self, home: usize, (who, key): Key) -> bool {
        let account = self.accounts.get(&who).filter(|_| home_of(who) == home);
        account.is_some_and(|account| account.keys.contains(&key))
    }
}

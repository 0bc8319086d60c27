//! Keys that are at hand for verification: authorities of logs, officers, and a bounded cache of people's
//! keys. Ids are hashes of keys, so whatever is learned from anywhere cannot be wrong.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, RwLock};

use city_protocol::Refusal;
use city_protocol::crypto::PublicKey;
use city_protocol::ids::{AccountId, KeyId, LogId};
use city_protocol::ledger::{History, Rows as _, key_named_by};
use city_protocol::replica::MAX_LOGS;
use city_protocol::vertex::{Authority, Entry, KeySource};
use lru::LruCache;

/// People's keys kept in memory: 4096 of 2.6 KB are 11 MB; the others are read from the log again.
const PEOPLE: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The keys.
pub struct Directory {
    authorities: RwLock<HashMap<LogId, Arc<Authority>>>,
    officers: RwLock<HashMap<KeyId, Arc<PublicKey>>>,
    people: Mutex<LruCache<KeyId, Arc<PublicKey>>>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            authorities: RwLock::default(),
            officers: RwLock::default(),
            people: Mutex::new(LruCache::new(PEOPLE)),
        }
    }
}

const HELD: &str = "no holder of this lock panics";

impl Directory {
    /// Learns a log's authority and its officers' keys: never one that knows of fewer epochs, or of fewer charters of the
    /// same.
    pub fn learn_authority(&self, authority: &Arc<Authority>) {
        let mut authorities = self.authorities.write().expect(HELD);
        let known = authorities.get(&authority.log);
        if known.is_some_and(|known| Arc::ptr_eq(known, authority)) {
            return;
        }
        let room = known.is_some() || authorities.len() < MAX_LOGS;
        if !room || known.is_some_and(|known| known.knows_more_than(authority)) {
            return;
        }
        authorities.insert(authority.log, Arc::clone(authority));
        drop(authorities);
        let mut officers = self.officers.write().expect(HELD);
        for key in authority.boards().flat_map(|(_, board)| board.keys()) {
            officers.insert(key.id(), Arc::new(key.clone()));
        }
    }

    /// Learns those of these authorities that are new, or newer; after each commit, so it is cheap when none is.
    pub fn learn_authorities<'a>(&self, all: impl Iterator<Item = &'a Arc<Authority>>) {
        let known = self.authorities.read().expect(HELD);
        let new: Vec<_> = all
            .filter(|authority| {
                let known = known.get(&authority.log);
                known.is_none_or(|known| !Arc::ptr_eq(known, authority))
            })
            .collect();
        drop(known);
        for authority in new {
            self.learn_authority(authority);
        }
    }

    /// Learns the keys that these entries give to accounts.
    pub fn learn_keys(&self, entries: &[Entry]) {
        for key in entries.iter().filter_map(|entry| key_named_by(entry).ok()) {
            self.people.lock().expect(HELD).put(key.id(), Arc::new(key));
        }
    }

    /// The key of an account, active or closed last, from memory or from the entry in the log that names it.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`].
    pub fn account_key(
        &self,
        history: &dyn History,
        log: &LogId,
        account: &AccountId,
    ) -> Result<Arc<PublicKey>, Refusal> {
        let row = history
            .account(log, account)
            .ok_or(Refusal::UnknownAccount)?;
        if let Some(key) = self.public_key(&row.key) {
            return Ok(key);
        }
        let entry = history
            .entry(log, &row.key_at)
            .ok_or(Refusal::UnknownAccount)?;
        self.learn_keys(std::slice::from_ref(&entry));
        self.public_key(&row.key).ok_or(Refusal::UnknownAccount)
    }

    /// The key by which an account acts now.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::KeyRevoked`].
    pub fn active_key(
        &self,
        history: &dyn History,
        log: &LogId,
        account: &AccountId,
    ) -> Result<Arc<PublicKey>, Refusal> {
        let key = self.account_key(history, log, account)?;
        let row = history.account(log, account);
        row.ok_or(Refusal::UnknownAccount)?.admits(&key.id())?;
        Ok(key)
    }
}

impl KeySource for Directory {
    fn authority(&self, log: &LogId) -> Option<Arc<Authority>> {
        self.authorities.read().expect(HELD).get(log).cloned()
    }

    fn public_key(&self, id: &KeyId) -> Option<Arc<PublicKey>> {
        let officer = self.officers.read().expect(HELD).get(id).cloned();
        officer.or_else(|| self.people.lock().expect(HELD).get(id).cloned())
    }
}

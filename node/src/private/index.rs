//! Which transfers have private values here, and where in the file.

use std::collections::HashMap;

use city_protocol::ids::Digest;

use super::record::{Found, Kind, is_erased};

/// Most records. One takes 25 bytes of a table that is between half and seven eighths full: this many take 105 MB,
/// and 160 MB while the table grows.
pub(super) const MAX_RECORDS: usize = 3_500_000;

const ERASED: u8 = 1;
const RECEIVED: u8 = 2;
const TO_SEND: u8 = 4;

/// A record, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Where it begins in the file, with flags in the low byte: 2^56 bytes are more than any disk has.
    packed: u64,
}

impl Place {
    pub(super) fn new(kind: Kind, offset: u64, erased: bool) -> Self {
        let mut flags = u8::from(erased) * ERASED;
        flags |= match kind {
            Kind::Received => RECEIVED,
            Kind::ToSend => TO_SEND,
            Kind::Own | Kind::Delivered | Kind::Checked => 0,
        };
        Self {
            packed: (offset << 8) | u64::from(flags),
        }
    }

    pub(super) const fn offset(self) -> u64 {
        self.packed >> 8
    }

    const fn has(self, flag: u8) -> bool {
        self.packed & flag as u64 != 0
    }

    pub(super) const fn is_erased(self) -> bool {
        self.has(ERASED)
    }

    /// Whether the receiver's home does not have it yet.
    pub(super) const fn is_to_send(self) -> bool {
        self.has(TO_SEND) && !self.is_erased()
    }

    const fn is_received(self) -> bool {
        self.has(RECEIVED)
    }
}

/// The first half of an identity: as hard to meet twice as an account's key id, at half the memory.
type Name = [u8; 16];

/// The table.
#[derive(Default)]
pub(super) struct Index {
    places: HashMap<Name, Place>,
    /// Up to here every record's transfer is known to be in the ledger, or the record to be erased.
    checked: u64,
}

fn name(transfer: &Digest) -> Name {
    *transfer.0.first_chunk().expect("a digest is longer")
}

impl Index {
    pub(super) fn get(&self, transfer: &Digest) -> Option<Place> {
        self.places.get(&name(transfer)).copied()
    }

    pub(super) fn put(&mut self, transfer: &Digest, place: Place) {
        self.places.insert(name(transfer), place);
    }

    pub(super) fn remove(&mut self, transfer: &Digest) {
        self.places.remove(&name(transfer));
    }

    pub(super) fn is_full(&self) -> bool {
        self.places.len() >= MAX_RECORDS
    }

    pub(super) fn erased(&mut self, transfer: &Digest) {
        if let Some(place) = self.places.get_mut(&name(transfer)) {
            place.packed |= u64::from(ERASED);
        }
    }

    pub(super) fn delivered(&mut self, transfer: &Digest) {
        if let Some(place) = self.places.get_mut(&name(transfer)) {
            place.packed &= !u64::from(TO_SEND);
        }
    }

    pub(super) const fn checked(&mut self, to: u64) {
        self.checked = to;
    }

    /// Takes a record as it was found in the file, in the file's order.
    pub(super) fn take(&mut self, found: &Found) {
        let transfer = &found.head.transfer;
        match (found.head.kind, &found.wrapped) {
            (Kind::Delivered, _) => self.delivered(transfer),
            (Kind::Checked, _) => self.checked(found.offset),
            (kind, Some(wrapped)) => {
                self.put(transfer, Place::new(kind, found.offset, is_erased(wrapped)));
            }
            (_, None) => {}
        }
    }

    /// Records of this home's people whose transfers are not known to be in the ledger.
    pub(super) fn unchecked(&self) -> Vec<Place> {
        let of = |place: &&Place| {
            place.offset() >= self.checked && !place.is_erased() && !place.is_received()
        };
        self.places.values().filter(of).copied().collect()
    }

    /// Records that the receivers' homes do not have yet, in the order in which they came.
    pub(super) fn to_send(&self) -> Vec<Place> {
        let places = self.places.values();
        let mut places: Vec<Place> = places.filter(|place| place.is_to_send()).copied().collect();
        places.sort_by_key(|place| place.offset());
        places
    }

    /// How many there are, and how many of them are erased.
    pub(super) fn count(&self) -> (usize, usize) {
        let erased = self.places.values().filter(|place| place.is_erased());
        (self.places.len(), erased.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_the_bytes_that_the_limit_reckons_with() {
        assert_eq!(size_of::<(Name, Place)>(), 24);
    }

    #[test]
    fn a_place_keeps_its_offset_whatever_happens_to_its_flags() {
        let transfer = Digest([9; 32]);
        let mut index = Index::default();
        let offset = (1 << 40) + 77;
        index.put(&transfer, Place::new(Kind::ToSend, offset, false));
        assert_eq!(index.to_send().len(), 1);
        index.delivered(&transfer);
        assert_eq!(index.to_send(), []);
        assert_eq!(index.unchecked().len(), 1);
        index.erased(&transfer);
        assert_eq!(index.unchecked(), []);
        let place = index.get(&transfer).unwrap();
        assert_eq!((place.offset(), place.is_erased()), (offset, true));
        assert_eq!(index.count(), (1, 1));
    }
}

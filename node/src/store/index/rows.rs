//! Walking the index: sled's rows with those that are pending over them, from both ends.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::{IndexError, Row, failed};

type Found = (Vec<u8>, Vec<u8>);

/// Rows of the index, in order of their keys; can be walked from both ends.
pub struct Rows {
    /// Taken before sled is read: a row that sled gets meanwhile is in both, and none is in neither.
    pending: VecDeque<Row>,
    written: Written,
}

impl Rows {
    pub(super) const fn new(pending: VecDeque<Row>, written: sled::Iter) -> Self {
        Self {
            pending,
            written: Written {
                rows: written,
                front: None,
                back: None,
            },
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Found, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let written = match self.written.front() {
                Some(Ok((key, _))) => Some(key.as_slice()),
                Some(Err(_)) => return self.written.take_front(),
                None => None,
            };
            let pending = self.pending.front().map(|(key, _)| key.as_slice());
            match first(pending, written)? {
                Ordering::Greater => return self.written.take_front(),
                Ordering::Equal => drop(self.written.take_front()),
                Ordering::Less => {}
            }
            if let Some((key, Some(value))) = self.pending.pop_front() {
                return Some(Ok((key, value)));
            }
        }
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            let written = match self.written.back() {
                Some(Ok((key, _))) => Some(key.as_slice()),
                Some(Err(_)) => return self.written.take_back(),
                None => None,
            };
            let pending = self.pending.back().map(|(key, _)| key.as_slice());
            // From the back the greater key comes first.
            let order = match (pending, written) {
                (Some(pending), Some(written)) => written.cmp(pending),
                (pending, written) => first(pending, written)?,
            };
            match order {
                Ordering::Greater => return self.written.take_back(),
                Ordering::Equal => drop(self.written.take_back()),
                Ordering::Less => {}
            }
            if let Some((key, Some(value))) = self.pending.pop_back() {
                return Some(Ok((key, value)));
            }
        }
    }
}

/// How two keys stand to each other, where one that is missing gives way to the other; `None` for none.
fn first(a: Option<&[u8]>, b: Option<&[u8]>) -> Option<Ordering> {
    match (a, b) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(a), Some(b)) => Some(a.cmp(b)),
    }
}

/// sled's rows with one looked at in advance at each end.
struct Written {
    rows: sled::Iter,
    front: Option<Result<Found, IndexError>>,
    back: Option<Result<Found, IndexError>>,
}

impl Written {
    fn read(item: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Found, IndexError> {
        let (key, value) = item.map_err(failed)?;
        Ok((key.to_vec(), value.to_vec()))
    }

    fn front(&mut self) -> Option<&Result<Found, IndexError>> {
        if self.front.is_none() {
            self.front = self
                .rows
                .next()
                .map(Self::read)
                .or_else(|| self.back.take());
        }
        self.front.as_ref()
    }

    fn back(&mut self) -> Option<&Result<Found, IndexError>> {
        if self.back.is_none() {
            let last = self.rows.next_back().map(Self::read);
            self.back = last.or_else(|| self.front.take());
        }
        self.back.as_ref()
    }

    fn take_front(&mut self) -> Option<Result<Found, IndexError>> {
        self.front();
        self.front.take()
    }

    fn take_back(&mut self) -> Option<Result<Found, IndexError>> {
        self.back();
        self.back.take()
    }
}

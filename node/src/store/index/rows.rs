//! Walking the index: what is pending, sled and the shelves as one, from both ends.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use super::under::Part;
use super::young::{self, Young};
use super::{IndexError, Row};

type Found = (Vec<u8>, Vec<u8>);

/// Rows of the index, in order of their keys; can be walked from both ends.
pub struct Rows(pub(super) Merged);

impl Iterator for Rows {
    type Item = Result<Found, IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next(End::Front)? {
                Ok((key, Some(value))) => return Some(Ok((key, value))),
                Ok((_, None)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl DoubleEndedIterator for Rows {
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next(End::Back)? {
                Ok((key, Some(value))) => return Some(Ok((key, value))),
                Ok((_, None)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// One layer's rows in order, those that remove others among them.
pub(super) enum Source {
    /// Taken before the layers below are read: a row that goes down meanwhile is in both, and none is in neither.
    Pending(VecDeque<Row>),
    /// The sled stays open as long as somebody walks it.
    Young(
        sled::Iter,
        #[expect(dead_code, reason = "held, not read")] Arc<Young>,
    ),
    Shelf(Part),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

impl Source {
    fn next(&mut self, end: End) -> Option<Result<Row, IndexError>> {
        match (self, end) {
            (Self::Pending(rows), End::Front) => rows.pop_front().map(Ok),
            (Self::Pending(rows), End::Back) => rows.pop_back().map(Ok),
            (Self::Young(rows, _), End::Front) => rows.next().map(young::row),
            (Self::Young(rows, _), End::Back) => rows.next_back().map(young::row),
            (Self::Shelf(part), End::Front) => part.next(),
            (Self::Shelf(part), End::Back) => part.next_back(),
        }
    }
}

/// A layer with one row looked at in advance at each end.
struct Layer {
    source: Source,
    /// Its source has no more rows. It is not asked again: what sled gets later is pending in this walk, and may be behind it.
    ended: bool,
    front: Option<Row>,
    back: Option<Row>,
}

impl Layer {
    fn at(&mut self, end: End) -> &mut Option<Row> {
        match end {
            End::Front => &mut self.front,
            End::Back => &mut self.back,
        }
    }

    fn look(&mut self, end: End) -> Result<Option<&[u8]>, IndexError> {
        if self.at(end).is_none() {
            let found = match self.ended {
                true => None,
                false => self.source.next(end).transpose()?,
            };
            self.ended |= found.is_none();
            let row = match found {
                Some(row) => Some(row),
                // The one that was looked at from the other end is the last.
                None => match end {
                    End::Front => self.back.take(),
                    End::Back => self.front.take(),
                },
            };
            *self.at(end) = row;
        }
        Ok(self.at(end).as_ref().map(|(key, _)| key.as_slice()))
    }
}

/// Layers walked as one: of rows with one key that of the newest counts.
pub(super) struct Merged(Vec<Layer>);

impl Merged {
    /// Of these, the newest first.
    pub(super) fn of(sources: impl IntoIterator<Item = Source>) -> Self {
        let layers = sources.into_iter().map(|source| Layer {
            source,
            ended: false,
            front: None,
            back: None,
        });
        Self(layers.collect())
    }

    /// The next row from this end, also one that only removes others.
    pub(super) fn next(&mut self, end: End) -> Option<Result<Row, IndexError>> {
        self.try_next(end).transpose()
    }

    fn try_next(&mut self, end: End) -> Result<Option<Row>, IndexError> {
        let sooner = match end {
            End::Front => Ordering::Less,
            End::Back => Ordering::Greater,
        };
        let mut next: Option<(usize, &[u8])> = None;
        // All that have the key of the next row; the first of them is the newest.
        let mut same: Vec<usize> = Vec::new();
        for (n, layer) in self.0.iter_mut().enumerate() {
            let Some(key) = layer.look(end)? else {
                continue;
            };
            let order = next.map_or(sooner, |(_, best)| key.cmp(best));
            if order == sooner {
                next = Some((n, key));
                same.clear();
            } else if order == Ordering::Equal {
                same.push(n);
            }
        }
        let Some((newest, _)) = next else {
            return Ok(None);
        };
        for older in same {
            drop(self.0[older].at(end).take());
        }
        Ok(self.0[newest].at(end).take())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use city_protocol::ids::BlockId;

    use super::*;
    use crate::store::{OsFiles, Watermark};

    #[test]
    fn what_goes_down_during_a_walk_is_not_met_a_second_time() {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<dyn crate::store::Files> = Arc::new(OsFiles);
        let young = Arc::new(Young::open(&files, &dir.path().join("young")).unwrap());
        let rows: BTreeMap<_, _> = [b"a", b"b", b"c", b"d"]
            .map(|key| (key.to_vec(), Some(b"v".to_vec())))
            .into();
        let pending = rows.clone().into_iter().collect();
        let below = Source::Young(young.range(b"a", None), Arc::clone(&young));
        let mut walk = Rows(Merged::of([Source::Pending(pending), below]));
        let mut next = |end| {
            let row = match end {
                End::Front => walk.next(),
                End::Back => walk.next_back(),
            };
            row.map(|row| row.unwrap().0)
        };
        assert_eq!(next(End::Front).unwrap(), b"a");
        assert_eq!(next(End::Back).unwrap(), b"d");
        let mark = Watermark::start(BlockId::of(b"genesis"), 1);
        young.write(rows.iter(), (&mark, 4), false).unwrap();
        assert_eq!(next(End::Front).unwrap(), b"b");
        assert_eq!(next(End::Back).unwrap(), b"c");
        assert_eq!(next(End::Front), None);
        assert_eq!(next(End::Back), None);
    }
}

//! How a record stands in `private/values`, and how the file is read again after whatever happened to it.
//!
//! `"CNpv" | kind(1) | length(4) | identity(32) | check(8) | wrapped key(69) | sealed(length) | check(8)`, numbers
//! big-endian. The first check is over what stands before it, the second over the sealed bytes, each the first eight
//! bytes of SHA-256; the wrapped key has none, because it is overwritten in place, and authenticates itself. Markers
//! end after the first check.

use std::io;
use std::os::unix::fs::FileExt as _;

use city_protocol::body::MAX_PRIVATE_VALUES;
use city_protocol::crypto::FIELD_OVERHEAD;
use city_protocol::ids::{Digest, sha256};

use crate::keys::{ERASED, WRAPPED_KEY_LEN};

/// What a record begins with.
const MAGIC: [u8; 4] = *b"CNpv";
/// Bytes of a check: enough against chance; against intent the sealed bytes authenticate themselves.
const CHECK_LEN: usize = 8;
/// Bytes from the magic to the end of the first check.
pub(super) const HEAD_LEN: usize = MAGIC.len() + 1 + 4 + 32 + CHECK_LEN;
/// Where the wrapped key stands in a record.
pub(super) const KEY_AT: u64 = HEAD_LEN as u64;
/// Longest sealed values in bytes.
pub(super) const MAX_SEALED: usize = MAX_PRIVATE_VALUES + FIELD_OVERHEAD;
/// Longest record in bytes.
pub(super) const MAX_RECORD: usize = HEAD_LEN + WRAPPED_KEY_LEN + MAX_SEALED + CHECK_LEN;
/// How much of the file is read at once while it is opened.
const WINDOW: usize = 4 * MAX_RECORD;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Values of a person of this home, for a receiver of this home.
    Own,
    /// Values of a person of this home, to be sent to the receiver's home.
    ToSend,
    /// Values that the sender's home sent.
    Received,
    /// Marker: the receiver's home has them.
    Delivered,
    /// Marker: the transfers of all records before it are in the ledger, or the records are erased.
    Checked,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Own => 1,
            Self::ToSend => 2,
            Self::Received => 3,
            Self::Delivered => 4,
            Self::Checked => 5,
        }
    }

    const fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Own,
            2 => Self::ToSend,
            3 => Self::Received,
            4 => Self::Delivered,
            5 => Self::Checked,
            _ => return None,
        })
    }

    const fn is_marker(self) -> bool {
        matches!(self, Self::Delivered | Self::Checked)
    }
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Length of the sealed values in bytes; 0 for a marker.
    pub(super) length: usize,
    /// Identity of the transfer.
    pub(super) transfer: Digest,
}

impl Head {
    fn encode(&self) -> [u8; HEAD_LEN] {
        let length = u32::try_from(self.length).expect("bounded by MAX_SEALED");
        let mut head = [0; HEAD_LEN];
        let (body, check) = head.split_at_mut(HEAD_LEN - CHECK_LEN);
        let parts: [&[u8]; 4] = [
            &MAGIC,
            &[self.kind.byte()],
            &length.to_be_bytes(),
            &self.transfer.0,
        ];
        body.copy_from_slice(&parts.concat());
        check.copy_from_slice(&checked(body));
        head
    }

    /// Reads a head; none if there is none at the beginning of these bytes.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..HEAD_LEN)?;
        let (body, check) = head.split_at(HEAD_LEN - CHECK_LEN);
        let rest = body.strip_prefix(&MAGIC)?;
        if checked(body) != check {
            return None;
        }
        let (kind, rest) = rest.split_first()?;
        let (length, transfer) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let head = Self {
            kind: Kind::read(*kind)?,
            length,
            transfer: Digest(transfer.try_into().ok()?),
        };
        (length <= MAX_SEALED && (length == 0) == head.kind.is_marker()).then_some(head)
    }

    /// Length of the whole record in bytes.
    pub(super) const fn record_len(&self) -> usize {
        if self.kind.is_marker() {
            HEAD_LEN
        } else {
            HEAD_LEN + WRAPPED_KEY_LEN + self.length + CHECK_LEN
        }
    }
}

/// A record of values.
pub(super) fn values(
    kind: Kind,
    transfer: Digest,
    wrapped: &[u8; WRAPPED_KEY_LEN],
    sealed: &[u8],
) -> Vec<u8> {
    let head = Head {
        kind,
        length: sealed.len(),
        transfer,
    };
    [&head.encode()[..], wrapped, sealed, &checked(sealed)].concat()
}

/// A marker.
pub(super) fn marker(kind: Kind, transfer: Digest) -> [u8; HEAD_LEN] {
    Head {
        kind,
        length: 0,
        transfer,
    }
    .encode()
}

/// The wrapped key and the sealed values of a whole record; none if it is damaged.
pub(super) fn parts<'a>(
    head: &Head,
    record: &'a [u8],
) -> Option<(&'a [u8; WRAPPED_KEY_LEN], &'a [u8])> {
    let (wrapped, rest) = record.get(HEAD_LEN..)?.split_first_chunk()?;
    let (sealed, check) = rest.split_at_checked(head.length)?;
    (checked(sealed) == check).then_some((wrapped, sealed))
}

/// Whether a record was erased, or that was begun: the first byte of a wrapped key is its version, and never 0.
pub(super) fn is_erased(wrapped: &[u8; WRAPPED_KEY_LEN]) -> bool {
    wrapped.first() == Some(&0)
}

/// Whether an erasure was brought to its end.
pub(super) fn is_erased_fully(wrapped: &[u8; WRAPPED_KEY_LEN]) -> bool {
    *wrapped == ERASED
}

fn checked(bytes: &[u8]) -> [u8; CHECK_LEN] {
    let digest = sha256(&[bytes]);
    *digest.first_chunk().expect("a digest is longer")
}

/// A record that was found.
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) head: Head,
    /// None for a marker.
    pub(super) wrapped: Option<[u8; WRAPPED_KEY_LEN]>,
}

/// What reading the whole file came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Where the last whole record ends: what stands behind it was torn off by a cut.
    pub(super) end: u64,
    /// Damaged places before that, as offset and length in bytes.
    pub(super) damaged: Vec<(u64, u64)>,
}

/// Most damaged places that are listed; a disk that has more is at its end.
const MAX_DAMAGED: usize = 100;

/// Reads every whole record of a file; what cannot be read is passed over to the next one that can.
///
/// # Errors
/// What the operating system says.
pub(super) fn scan(file: &std::fs::File, mut look: impl FnMut(Found)) -> io::Result<Scan> {
    let total = file.metadata()?.len();
    let mut scan = Scan::default();
    let (mut at, mut window, mut from) = (0, Vec::new(), 0_u64);
    while at < total {
        let within = |from: u64, window: &[u8]| {
            let begin = usize::try_from(at.checked_sub(from)?).ok()?;
            (begin <= window.len()).then_some(begin)
        };
        let begin = within(from, &window).filter(|begin| {
            window.len() - begin >= MAX_RECORD || from + window.len() as u64 == total
        });
        let Some(begin) = begin else {
            from = at;
            let left = usize::try_from(total - at).unwrap_or(usize::MAX);
            window.resize(left.min(WINDOW), 0);
            file.read_exact_at(&mut window, at)?;
            continue;
        };
        let bytes = window.get(begin..).unwrap_or_default();
        let Some((found, len)) = record_at(at, bytes) else {
            // One byte further: where a length cannot be believed, only the next head says where a record is.
            at += 1;
            continue;
        };
        if at > scan.end && scan.damaged.len() < MAX_DAMAGED {
            scan.damaged.push((scan.end, at - scan.end));
        }
        at += len as u64;
        scan.end = at;
        look(found);
    }
    Ok(scan)
}

fn record_at(offset: u64, bytes: &[u8]) -> Option<(Found, usize)> {
    let head = Head::read(bytes)?;
    let record = bytes.get(..head.record_len())?;
    let wrapped = match head.kind.is_marker() {
        true => None,
        false => Some(*parts(&head, record)?.0),
    };
    let found = Found {
        offset,
        head,
        wrapped,
    };
    Some((found, record.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn record(n: u8) -> Vec<u8> {
        let sealed = vec![n; 40 + usize::from(n)];
        values(Kind::Own, Digest([n; 32]), &[7; WRAPPED_KEY_LEN], &sealed)
    }

    fn scanned(bytes: &[u8]) -> (Vec<u8>, Scan) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let mut seen = Vec::new();
        let scan = scan(&file, |found| seen.push(found.head.transfer.0[0])).unwrap();
        (seen, scan)
    }

    #[test]
    fn a_tail_cut_anywhere_costs_only_the_record_that_was_torn() {
        let (one, two) = (record(1), record(2));
        let both = [&one[..], &two].concat();
        for cut in 0..=both.len() {
            let (seen, scan) = scanned(&both[..cut]);
            let whole: &[u8] = match cut {
                _ if cut == both.len() => &[1, 2],
                _ if cut >= one.len() => &[1],
                _ => &[],
            };
            assert_eq!(seen, whole, "cut at {cut}");
            let ends = [0, one.len(), both.len()];
            assert_eq!(scan.end, ends[whole.len()] as u64);
            assert_eq!(scan.damaged, [], "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_record_in_the_middle_is_passed_over_and_told() {
        let (one, two, three) = (record(1), record(2), record(3));
        let all = [
            &one[..],
            &two,
            &marker(Kind::Checked, Digest([0; 32])),
            &three,
        ]
        .concat();
        for byte in one.len()..one.len() + two.len() {
            let mut all = all.clone();
            all[byte] ^= 0x10;
            let (seen, scan) = scanned(&all);
            let in_key = (HEAD_LEN..HEAD_LEN + WRAPPED_KEY_LEN).contains(&(byte - one.len()));
            if in_key {
                assert_eq!(seen, [1, 2, 0, 3], "the key says itself that it is damaged");
            } else {
                assert_eq!(seen, [1, 0, 3], "byte {byte}");
                assert_eq!(scan.damaged, [(one.len() as u64, two.len() as u64)]);
            }
            assert_eq!(scan.end, all.len() as u64);
        }
    }

    #[test]
    fn a_file_of_many_windows_is_read_whole() {
        let mut file = tempfile::tempfile().unwrap();
        let sealed = vec![5; MAX_SEALED];
        for n in 0..30 {
            let digest = Digest([n; 32]);
            let record = values(Kind::ToSend, digest, &ERASED, &sealed);
            file.write_all(&record).unwrap();
        }
        let mut seen = 0;
        let scan = scan(&file, |found| {
            assert!(is_erased_fully(&found.wrapped.unwrap()));
            seen += 1;
        })
        .unwrap();
        assert_eq!((seen, scan.damaged.len()), (30, 0));
    }
}

//! CARv1, IPLD's content-addressed archive: its header, its sections, and a reader that believes nothing.
//!
//! Owns the bytes of a segment file; which files there are is the business of `segments`. Source: IPLD
//! specification "Content Addressable aRchives (CAR) v1": `varint(length) ‖ DAG-CBOR {roots, version}`,
//! then sections `varint(length) ‖ CID ‖ block`. Only our kind of block id is read: CIDv1, dag-cbor, sha2-256.

use std::io;
use std::sync::Arc;

use city_protocol::ids::BlockId;

use super::files::FileHandle;

/// The longest block in bytes: a vertex body of 1 MiB and 64 KiB for what stands around it.
pub const MAX_BLOCK: usize = (1 << 20) + (64 << 10);
/// Bytes of a segment's header: 1 of length, 58 of DAG-CBOR with one root.
pub const HEADER_LEN: u64 = 59;

/// A CIDv1 of dag-cbor and sha2-256: four bytes of codes, 32 of digest.
const CID_LEN: usize = 36;
/// How each of our CIDs begins: version 1, codec dag-cbor, hash sha2-256, 32 bytes.
const CID_PREFIX: [u8; 4] = [0x01, 0x71, 0x12, 0x20];
/// Bytes of the longest length that is believed: three hold up to 2 MiB, above [`MAX_BLOCK`].
const MAX_VARINT: usize = 3;
/// Bytes read at a time: a system call costs little against it, and it is all a reader keeps.
const CHUNK: usize = 256 << 10;
/// Bytes hashed in one search for a valid block behind a bad one: about two seconds of a small box. A
/// file made of false beginnings could ask for thousands of times its length.
const SEARCH_BUDGET: usize = 1 << 30;

const HEADER_BEFORE: [u8; 14] = *b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00";
const HEADER_AFTER: [u8; 9] = *b"\x67version\x01";

/// The header of a segment with this root.
#[must_use]
pub fn header(root: &BlockId) -> Vec<u8> {
    [&HEADER_BEFORE[..], &root.to_cid_bytes(), &HEADER_AFTER].concat()
}

/// The root which a header names; `None` if it is not exactly a header of ours.
#[must_use]
pub fn root_of(header: &[u8]) -> Option<BlockId> {
    let cid = header
        .strip_prefix(&HEADER_BEFORE)?
        .strip_suffix(&HEADER_AFTER)?;
    digest_of(cid).filter(|_| cid.len() == CID_LEN)
}

/// Appends one section to `out` and returns its length in bytes.
///
/// # Panics
/// If the block is longer than 4 GiB; callers check against [`MAX_BLOCK`].
pub fn push_section(out: &mut Vec<u8>, id: &BlockId, block: &[u8]) -> u32 {
    let before = out.len();
    let length = u32::try_from(CID_LEN + block.len()).expect("a block is bounded by MAX_BLOCK");
    let mut varint = unsigned_varint::encode::u32_buffer();
    out.extend_from_slice(unsigned_varint::encode::u32(length, &mut varint));
    out.extend_from_slice(&id.to_cid_bytes());
    out.extend_from_slice(block);
    u32::try_from(out.len() - before).expect("a section is bounded by MAX_BLOCK")
}

/// Reads one whole section and checks the block against its id; `None` if anything is wrong with it.
#[must_use]
pub fn parse_section(section: &[u8]) -> Option<(BlockId, &[u8])> {
    parse_section_to(section, MAX_BLOCK)
}

/// The same of a block of at most so many bytes.
pub(super) fn parse_section_to(section: &[u8], longest: usize) -> Option<(BlockId, &[u8])> {
    let (skip, length) = frame_to(section, longest)?;
    let content = section.get(skip..)?;
    let (id, block) = (digest_of(content)?, content.get(CID_LEN..)?);
    (content.len() == length && BlockId::of(block) == id).then_some((id, block))
}

/// Where the block of a whole section begins; its hash is not looked at.
pub(super) fn block_of(section: &[u8]) -> Option<usize> {
    let (skip, length) = frame(section)?;
    (section.len() == skip + length).then_some(skip + CID_LEN)
}

/// The bytes of the length and the length itself, if a section of ours can begin so.
pub(super) fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    frame_to(bytes, MAX_BLOCK)
}

/// Bytes of the longest length of a section whose block has at most so many.
pub(super) const fn varint_to(longest: usize) -> usize {
    // Four hold up to 256 MiB.
    if longest > MAX_BLOCK { 4 } else { MAX_VARINT }
}

/// The same of a section whose block has at most so many bytes.
pub(super) fn frame_to(bytes: &[u8], longest: usize) -> Option<(usize, usize)> {
    let bytes = &bytes[..bytes.len().min(varint_to(longest))];
    let (length, rest) = unsigned_varint::decode::u32(bytes).ok()?;
    let length = usize::try_from(length).ok()?;
    (CID_LEN..=CID_LEN + longest)
        .contains(&length)
        .then_some((bytes.len() - rest.len(), length))
}

fn digest_of(cid: &[u8]) -> Option<BlockId> {
    let digest = cid.strip_prefix(&CID_PREFIX)?.get(..32)?;
    Some(BlockId::from_digest(digest.try_into().ok()?))
}

/// A section that was read and checked: where it begins, its whole length, its id and its block.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) id: BlockId,
    pub(crate) block: Vec<u8>,
}

/// What a reader finds at its place.
#[derive(Debug)]
pub(crate) enum Step {
    /// A good section; the reader stands behind it.
    Block(Section),
    /// Something else; the reader still stands before it.
    Bad,
    /// The end of the range.
    End,
}

/// What a search behind a bad place ended with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// A valid block follows, and the reader stands before it.
    Found,
    /// None follows; the reader stands at the end.
    Nothing,
    /// The budget was used up; nothing is known.
    GaveUp,
}

/// Reads the sections of one range of a file, with at most one section and one chunk in memory.
pub(crate) struct SectionReader {
    window: Window,
    at: u64,
}

impl SectionReader {
    /// A reader of the bytes from `from` to `end` (exclusive, at most the file's length).
    pub(crate) fn new(file: Arc<dyn FileHandle>, from: u64, end: u64) -> Self {
        let window = Window {
            file,
            end,
            start: 0,
            bytes: Vec::new(),
        };
        Self { window, at: from }
    }

    /// Where the reader stands.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Reads and checks the next section.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if self.at >= self.window.end {
            return Ok(Step::End);
        }
        let Some(section) = self.section_at(self.at)? else {
            return Ok(Step::Bad);
        };
        self.at += u64::from(section.len);
        Ok(Step::Block(section))
    }

    /// Steps over the next section without hashing it; `None` where no section can be.
    pub(crate) fn skip(&mut self) -> io::Result<Option<u64>> {
        let begin = self.at;
        let Some(len) = self.extent_at(begin)? else {
            return Ok(None);
        };
        self.at += u64::try_from(len).expect("a section is bounded by MAX_BLOCK");
        Ok(Some(begin))
    }

    /// Looks behind a bad place for the next valid block: our CID prefix, a plausible length before it
    /// and a matching hash.
    pub(crate) fn search(&mut self) -> io::Result<Search> {
        let (bad, end) = (self.at, self.window.end);
        let mut hashed = 0;
        let mut from = bad + 2;
        while from + CID_PREFIX.len() as u64 <= end {
            let bytes = self.window.need(from, CHUNK)?;
            let hit = bytes.windows(4).position(|w| w == CID_PREFIX);
            let Some(hit) = hit else {
                // The last three bytes may be the beginning of a prefix.
                from += bytes.len() as u64 - 3;
                continue;
            };
            let cid = from + hit as u64;
            for begin in (1..=MAX_VARINT as u64).map(|n| cid.saturating_sub(n)) {
                if begin <= bad {
                    break;
                }
                let Some(len) = self.extent_at(begin)? else {
                    continue;
                };
                hashed += len;
                if hashed > SEARCH_BUDGET {
                    return Ok(Search::GaveUp);
                }
                if self.section_at(begin)?.is_some() {
                    self.at = begin;
                    return Ok(Search::Found);
                }
            }
            from = cid + 1;
        }
        self.at = end;
        Ok(Search::Nothing)
    }

    /// The length of what could be a section at `at`, judged by its length and the codes of its CID.
    fn extent_at(&mut self, at: u64) -> io::Result<Option<usize>> {
        let room = self.window.end.saturating_sub(at);
        let head = self.window.need(at, MAX_VARINT + CID_PREFIX.len())?;
        Ok(frame(head)
            .filter(|(skip, _)| head[*skip..].starts_with(&CID_PREFIX))
            .map(|(skip, length)| skip + length)
            .filter(|len| *len as u64 <= room))
    }

    fn section_at(&mut self, at: u64) -> io::Result<Option<Section>> {
        let Some(len) = self.extent_at(at)? else {
            return Ok(None);
        };
        let parsed = parse_section(self.window.need(at, len)?);
        Ok(parsed.map(|(id, block)| Section {
            offset: at,
            len: u32::try_from(len).expect("a section is bounded by MAX_BLOCK"),
            id,
            block: block.to_vec(),
        }))
    }
}

/// The part of a file that is in memory.
struct Window {
    file: Arc<dyn FileHandle>,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `len` bytes from `at`, or those up to the end of the range.
    fn need(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let room = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(room);
        let held = at
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip.saturating_add(len) <= self.bytes.len());
        if let Some(skip) = held {
            return Ok(&self.bytes[skip..skip + len]);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(len.max(CHUNK).min(room), 0);
        self.file.read_exact_at(&mut bytes, at)?;
        (self.start, self.bytes) = (at, bytes);
        Ok(&self.bytes[..len])
    }
}

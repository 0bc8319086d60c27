//! A segment of a disk that lies: whatever bytes stand in a file of the log, opening it ends, hands out only
//! blocks with their own hash, in the order in which they stand there, and is the same the second time; and
//! the log can be appended to. What was durable, or still stands where it stood, is among them. The store is the node's own source, without the node around it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use arbitrary::Unstructured;
use city_protocol::ids::BlockId;

use crate::edits::{Edit, Input, apply};
use crate::memory;
use crate::store::{FileHandle, Files, Limits, LogError, Position, Recovery, SegmentLog, car};

const DIR: &str = "/ledger";
/// What opening and walking may hold beside the disk: chunks, one section, one group.
const MEMORY: usize = 8 << 20;

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => drop(check(bytes.to_vec(), None)),
        Some(Input::Story(story)) => drop(tell(story)),
        None => {}
    }
}

/// Inputs to begin with.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let blocks: [&[u8]; 3] = [b"", b"a block", &[7; 300]];
    (0..=blocks.len())
        .map(|n| Input::raw(&segment(&blocks[..n])))
        .collect()
}

fn root() -> BlockId {
    BlockId::of(b"genesis")
}

fn segment(blocks: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut bytes = car::header(&root());
    for block in blocks {
        let block = block.as_ref();
        car::push_section(&mut bytes, &BlockId::of(block), block);
    }
    bytes
}

/// Valid blocks, and what happened to the bytes behind the first few, which are known to be durable.
fn tell(mut story: Unstructured<'_>) -> arbitrary::Result<()> {
    let edits: Vec<Edit> = story.arbitrary()?;
    let durable: Option<u8> = story.arbitrary()?;
    let blocks: Vec<Vec<u8>> = story.arbitrary()?;
    let durable = durable.map(|n| usize::from(n) % (blocks.len() + 1));
    let begins: Vec<_> = (0..=blocks.len())
        .map(|n| segment(&blocks[..n]).len())
        .collect();
    let safe = durable.map_or(0, |n| begins[n]);
    let whole = segment(&blocks);
    let mut tail = whole[safe..].to_vec();
    apply(&mut tail, &edits);
    let bytes = [&whole[..safe], &tail].concat();
    let Some(read) = check(bytes.clone(), durable.map(|_| safe as u64)) else {
        return Ok(());
    };
    // Whatever still stands where it stood comes back, also behind what is damaged.
    let mut rest = read.iter();
    for (n, block) in blocks.iter().enumerate() {
        let place = begins[n]..begins[n + 1];
        if bytes.get(place.clone()) == Some(&whole[place]) {
            assert!(rest.any(|found| found == block), "block {n} is lost");
        }
    }
    Ok(())
}

/// Opens a log of this one segment, known to be durable up to some place, and gives its blocks.
fn check(bytes: Vec<u8>, durable: Option<u64>) -> Option<Vec<Vec<u8>>> {
    round_trip(&bytes);
    let disk = Disk::default();
    let content = Content(Arc::new(Mutex::new(bytes.clone())));
    disk.names().insert(segment_path(1), content);
    let allowed = MEMORY + 6 * bytes.len();
    memory::within(allowed, || {
        let durable = durable.map(|offset| Position { segment: 1, offset });
        let (log, first) = match open(&disk, durable) {
            Ok(opened) => opened,
            Err(LogError::WrongRoot { .. }) => {
                assert_ne!(car::root_of(&bytes[..59]), Some(root()));
                return None;
            }
            Err(error) => panic!("a disk without faults: {error}"),
        };
        assert!(log.end().offset <= car::HEADER_LEN + bytes.len() as u64);
        let blocks = walk(&log);
        let mut rest = &bytes[..];
        for block in &blocks {
            let at =
                find(rest, block).expect("a block stands in the file, after the one before it");
            rest = &rest[at + block.len()..];
        }
        drop(log);
        // Opened once more, nothing is left to mend.
        let (log, second) = open(&disk, None).expect("it opened before");
        assert_eq!(walk(&log), blocks);
        assert_eq!((second.cut_bytes, second.end), (0, first.end));
        let next = b"what is appended next".to_vec();
        log.append_group(&[(BlockId::of(&next), &next)])
            .expect("there is room");
        assert_eq!(walk(&log).last(), Some(&next));
        Some(blocks)
    })
}

/// What reads as a section or a header is what writing it again gives.
fn round_trip(bytes: &[u8]) {
    if let Some((id, block)) = car::parse_section(bytes) {
        assert_eq!(BlockId::of(block), id);
        let mut again = Vec::new();
        car::push_section(&mut again, &id, block);
        assert_eq!(again, bytes);
    }
    let head = &bytes[..bytes.len().min(59)];
    if let Some(root) = car::root_of(head) {
        assert_eq!(car::header(&root), head);
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    bytes.windows(part.len()).position(|window| window == part)
}

fn open(disk: &Disk, durable: Option<Position>) -> Result<(SegmentLog, Recovery), LogError> {
    let limits = Limits {
        segment_target: 1 << 20,
        space_reserve: 0,
    };
    SegmentLog::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        root(),
        limits,
        durable,
    )
}

fn walk(log: &SegmentLog) -> Vec<Vec<u8>> {
    let blocks: Vec<_> = log
        .blocks_from(Position::START)
        .filter_map(Result::ok)
        .collect();
    for block in &blocks {
        assert_eq!(BlockId::of(&block.bytes), block.id);
        assert!(block.bytes.len() <= car::MAX_BLOCK);
        assert_eq!(log.read(&block.at).expect("it was just read"), *block);
    }
    blocks.into_iter().map(|block| block.bytes).collect()
}

fn segment_path(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("{number:06}.car"))
}

/// A disk in memory, without faults: names, and contents that outlive them.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<BTreeMap<PathBuf, Content>>>);

#[derive(Clone, Default)]
struct Content(Arc<Mutex<Vec<u8>>>);

impl Disk {
    fn names(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Content>> {
        self.0.lock().expect("one thread")
    }
}

impl Content {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("one thread")
    }
}

fn place(offset: u64, len: usize) -> std::ops::Range<usize> {
    let from = usize::try_from(offset).expect("a file in memory");
    from..from + len
}

impl FileHandle for Content {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.bytes();
        let part = bytes.get(place(offset, buf.len()));
        buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, part: &[u8], offset: u64) -> io::Result<()> {
        let (mut bytes, at) = (self.bytes(), place(offset, part.len()));
        if bytes.len() < at.end {
            bytes.resize(at.end, 0);
        }
        bytes[at].copy_from_slice(part);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes().resize(place(len, 0).end, 0);
        Ok(())
    }
}

impl Files for Disk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let content = Content::default();
        self.names().insert(path.to_owned(), content.clone());
        Ok(Arc::new(content))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let content = self.names().get(path).cloned();
        Ok(Arc::new(content.ok_or(io::ErrorKind::NotFound)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let content = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = self.names().remove(path);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.names().retain(|path, _| !path.starts_with(dir));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.names();
        let within = names.keys().filter_map(|path| path.strip_prefix(dir).ok());
        Ok(within.filter_map(Path::to_str).map(str::to_owned).collect())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_tree(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

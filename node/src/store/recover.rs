//! Opening a log: what a crash left at its end is made durable, cut, or reported.
//!
//! Owns the mending of segments. A kill or a failed fsync can leave bytes in memory that read well and are
//! not on the disk, so what lies behind the index's watermark is copied to new pages and fsynced before
//! anything of it is handed out. A crash at any moment of this leaves a log that opens again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use city_protocol::ids::BlockId;

use super::blocks::{Position, has_header, read_root};
use super::car::{HEADER_LEN, Search, SectionReader, Step};
use super::copy::Copy;
use super::damage::{self, Damage, evidence};
use super::files::{FileHandle, Files};
use super::manifest::{self, Found, Manifest, NEW, number};
use super::segments::{Limits, SegmentLog, segment_name};
use super::watermark::Watermark;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A segment belongs to another network or log.
    #[error(
        "{} belongs to {found}, not to {expected}: move it away, or name the right genesis or data directory", path.display()
    )]
    WrongRoot {
        /// The segment's file.
        path: PathBuf,
        /// The root in its header.
        found: BlockId,
        /// The root of this log.
        expected: BlockId,
    },
    /// A call of the operating system failed.
    #[error("the log in {} could not be opened; look at the disk, its free space and the directory's rights", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// What opening a log found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// Blocks that were copied to new pages and fsynced.
    pub copied_blocks: u64,
    /// Bytes of a torn write that were cut off.
    pub cut_bytes: u64,
    /// Set if the log is damaged, now or since an earlier start.
    pub damage: Option<Damage>,
    /// The end of the log.
    pub end: Position,
}

/// A log that was found in its directory and has not been mended yet.
pub(crate) struct FoundLog {
    files: Arc<dyn Files>,
    dir: PathBuf,
    root: BlockId,
    limits: Limits,
    /// The number of the first segment: 1 unless the log was compacted.
    first: u32,
    segments: Vec<u32>,
    damage: Option<Damage>,
}

impl FoundLog {
    /// Looks at a directory, makes it if it is missing, and undoes what a crash left half done.
    pub(crate) fn find(
        files: Arc<dyn Files>,
        dir: &Path,
        root: BlockId,
        limits: Limits,
    ) -> Result<Self, LogError> {
        let mut log = Self {
            files,
            dir: dir.to_owned(),
            root,
            limits,
            first: 1,
            segments: Vec::new(),
            damage: None,
        };
        log.look().map_err(|source| log.error(source))?;
        for segment in &log.segments {
            log.check_root(*segment)?;
        }
        Ok(log)
    }

    /// Whether the log holds no blocks.
    pub(crate) fn is_empty(&self) -> Result<bool, LogError> {
        let small = |segment| Ok(self.open(segment)?.len()? <= HEADER_LEN);
        match self.last() {
            0 => Ok(true),
            1 => small(1).map_err(|source| self.error(source)),
            _ => Ok(false),
        }
    }

    /// Whether a watermark names the end of a block of this log, and its head that block.
    pub(crate) fn holds(&self, mark: &Watermark) -> Result<bool, LogError> {
        if *mark == Watermark::start(self.root, mark.count) {
            return Ok(true);
        }
        self.holds_block(mark).map_err(|source| self.error(source))
    }

    fn holds_block(&self, mark: &Watermark) -> io::Result<bool> {
        let Position { segment, offset } = mark.position;
        if segment == 0 || segment > self.last() {
            return Ok(false);
        }
        let file = match self.open(segment) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        if offset > file.len()? || !has_header(&*file)? {
            return Ok(false);
        }
        let mut walk = SectionReader::new(Arc::clone(&file), HEADER_LEN, offset);
        let mut begin = None;
        while let Some(at) = walk.skip()? {
            begin = Some(at);
        }
        let Some(begin) = begin.filter(|_| walk.position() == offset) else {
            return Ok(false);
        };
        let last = SectionReader::new(file, begin, offset).step()?;
        Ok(matches!(last, Step::Block(section) if section.id == mark.head))
    }

    /// Mends the end of the log and opens it for writing. `durable` is where the index's watermark stands:
    /// what lies before it was fsynced.
    pub(crate) fn recover(
        self,
        durable: Option<Position>,
    ) -> Result<(SegmentLog, Recovery), LogError> {
        let (file, recovery) = self.mend(durable).map_err(|source| self.error(source))?;
        let place = (self.files, self.dir);
        let sizes = (self.limits, self.first);
        let log = SegmentLog::new(place, self.root, sizes, (file, recovery.end));
        Ok((log, recovery))
    }

    fn mend(&self, durable: Option<Position>) -> io::Result<(Arc<dyn FileHandle>, Recovery)> {
        let mut recovery = Recovery {
            copied_blocks: 0,
            cut_bytes: 0,
            damage: self.damage,
            end: Position {
                segment: self.first,
                offset: HEADER_LEN,
            },
        };
        let last = self.last();
        if last == 0 {
            let copy = self.copy_to(self.first)?;
            return Ok((copy.finish()?, recovery));
        }
        let old = self.open(last)?;
        let len = old.len()?;
        let header = has_header(&*old)?;
        let from = match durable {
            Some(at) if at.segment == last => at.offset,
            _ if header => HEADER_LEN,
            _ => 0,
        };
        let whole = from <= HEADER_LEN;
        let target = if whole { last } else { last + 1 };
        let tail = self.copy_tail(&old, (from, len), target)?;
        if let Some(bad) = tail.damage {
            let at = Position {
                segment: last,
                offset: bad,
            };
            recovery.damage.get_or_insert(Damage { at });
            damage::note(&*self.files, &self.dir, at)?;
            let (file, end, blocks) = self.rewrite(&old, if header { HEADER_LEN } else { 0 })?;
            recovery.copied_blocks = blocks;
            recovery.end.segment = last;
            recovery.end.offset = end;
            return Ok((file, recovery));
        }
        recovery.copied_blocks = tail.blocks;
        recovery.cut_bytes = len.saturating_sub(tail.good_end);
        let file = match tail.copy {
            Some(copy) => {
                recovery.end.segment = target;
                recovery.end.offset = copy.end();
                let new = copy.finish()?;
                if !whole {
                    old.set_len(from)?;
                    old.sync_data()?;
                }
                new
            }
            None => {
                recovery.end.segment = last;
                recovery.end.offset = from;
                if len > from {
                    old.set_len(from)?;
                    old.sync_data()?;
                }
                old
            }
        };
        Ok((file, recovery))
    }

    /// Copies the valid blocks of a range to a new file, up to the first bad place, and says whether valid
    /// ones follow it.
    fn copy_tail(
        &self,
        old: &Arc<dyn FileHandle>,
        (from, end): (u64, u64),
        target: u32,
    ) -> io::Result<Tail> {
        let mut tail = Tail {
            // A segment without a header is made anew even if it holds nothing.
            copy: (from < HEADER_LEN)
                .then(|| self.copy_to(target))
                .transpose()?,
            blocks: 0,
            good_end: from,
            damage: None,
        };
        let mut reader = SectionReader::new(Arc::clone(old), from, end);
        loop {
            match reader.step()? {
                Step::Block(section) => {
                    let copy = match &mut tail.copy {
                        Some(copy) => copy,
                        none => none.insert(self.copy_to(target)?),
                    };
                    copy.push(&section)?;
                    tail.blocks += 1;
                    tail.good_end = reader.position();
                }
                Step::End => return Ok(tail),
                Step::Bad => {
                    let bad = reader.position();
                    if reader.search()? != Search::Nothing {
                        tail.damage = Some(bad);
                    }
                    return Ok(tail);
                }
            }
        }
    }

    /// Puts a segment of the valid blocks in the place of a damaged one, which is kept beside it. Blocks
    /// before the damage keep their places.
    fn rewrite(
        &self,
        old: &Arc<dyn FileHandle>,
        from: u64,
    ) -> io::Result<(Arc<dyn FileHandle>, u64, u64)> {
        let mut copy = self.copy_to(self.last())?;
        let mut reader = SectionReader::new(Arc::clone(old), from, old.len()?);
        let mut blocks = 0;
        loop {
            match reader.step()? {
                Step::Block(section) => {
                    copy.push(&section)?;
                    blocks += 1;
                }
                Step::Bad if reader.search()? == Search::Found => {}
                Step::Bad | Step::End => break,
            }
        }
        let name = self.dir.join(segment_name(self.last()));
        // From here to the end of `finish` the segment has only its second name: `look` gives it back.
        self.files.rename(&name, &evidence(&name))?;
        let end = copy.end();
        Ok((copy.finish()?, end, blocks))
    }

    fn copy_to(&self, segment: u32) -> io::Result<Copy> {
        Copy::begin(&self.files, &self.dir, &self.root, segment)
    }

    fn look(&mut self) -> io::Result<()> {
        self.files.create_dir(&self.dir)?;
        let mut names = self.files.list(&self.dir)?;
        for name in names.iter().filter(|name| name.ends_with(".tmp")) {
            self.files.remove(&self.dir.join(name))?;
        }
        let orphans: Vec<String> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".damaged"))
            .filter(|name| !names.iter().any(|other| other == name))
            .map(ToOwned::to_owned)
            .collect();
        for name in orphans {
            let name_path = self.dir.join(&name);
            self.files.rename(&evidence(&name_path), &name_path)?;
            names.push(name);
        }
        let mut segments = self.settle(&mut names)?;
        segments.sort_unstable();
        let gap = (self.first..)
            .zip(&segments)
            .find(|(expected, found)| expected != *found);
        if let Some((segment, _)) = gap {
            let at = Position { segment, offset: 0 };
            self.damage.get_or_insert(Damage { at });
        }
        self.segments = segments;
        // A name that is seen may not be durable: the last process may have ended before it fsynced the
        // directory, and no later append to that segment would do it.
        self.files.sync_dir(&self.dir)
    }

    /// The numbers of the segments that count, once a compaction that was cut off is undone or done to its end.
    fn settle(&mut self, names: &mut Vec<String>) -> io::Result<Vec<u32>> {
        self.damage = damage::read(&*self.files, &self.dir, names)?;
        let numbers = |names: &[String]| -> Vec<u32> {
            names.iter().filter_map(|name| number(name, "")).collect()
        };
        match manifest::read(&*self.files, &self.dir, names)? {
            Found::None => {
                let unnamed = names.iter().filter(|name| number(name, NEW).is_some());
                for name in unnamed {
                    self.files.remove(&self.dir.join(name))?;
                }
            }
            Found::Whole(manifest) => {
                self.first = manifest.first;
                manifest.settle(&*self.files, &self.dir)?;
                *names = self.files.list(&self.dir)?;
            }
            Found::Garbled => {
                // Where the log began is not known any more: what is there counts, and the own log is looked through.
                self.first = numbers(names).into_iter().min().unwrap_or(1);
                let at = Position {
                    segment: self.first,
                    offset: 0,
                };
                self.damage.get_or_insert(Damage { at });
                damage::note(&*self.files, &self.dir, at)?;
                let (first, last) = (self.first, self.first);
                Manifest { first, last }.put(&*self.files, &self.dir)?;
            }
        }
        let counts = |segment: &u32| *segment >= self.first;
        Ok(numbers(names).into_iter().filter(counts).collect())
    }

    /// The newest segment's number, 0 if there is none.
    fn last(&self) -> u32 {
        self.segments.last().copied().unwrap_or(0)
    }

    fn check_root(&self, segment: u32) -> Result<(), LogError> {
        let found = match self.open(segment).and_then(|file| read_root(&*file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|source| self.error(source))?,
        };
        match found {
            Some(found) if found != self.root => Err(LogError::WrongRoot {
                path: self.dir.join(segment_name(segment)),
                found,
                expected: self.root,
            }),
            _ => Ok(()),
        }
    }

    fn open(&self, segment: u32) -> io::Result<Arc<dyn FileHandle>> {
        self.files.open(&self.dir.join(segment_name(segment)))
    }

    fn error(&self, source: io::Error) -> LogError {
        LogError::Io {
            path: self.dir.clone(),
            source,
        }
    }
}

impl SegmentLog {
    /// Opens or makes the log of a directory and mends its end. `durable` is a position up to which the
    /// log is known to be fsynced, such as an index's watermark; `None` copies the whole last segment.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(
        files: Arc<dyn Files>,
        dir: &Path,
        root: BlockId,
        limits: Limits,
        durable: Option<Position>,
    ) -> Result<(Self, Recovery), LogError> {
        FoundLog::find(files, dir, root, limits)?.recover(durable)
    }
}

struct Tail {
    copy: Option<Copy>,
    blocks: u64,
    good_end: u64,
    damage: Option<u64>,
}

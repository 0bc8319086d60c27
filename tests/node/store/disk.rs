//! A disk in memory that fails at the n-th call, tears writes, forgets after a failed fsync and loses power.
//!
//! Owns the model of what a real disk may do behind `Files`; what must still hold is for the tests to say.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use city_node::store::{FileHandle, Files};

use super::Dice;

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call fails without effect.
    Eio,
    /// The call fails without effect because the disk is full.
    Enospc,
    /// A write writes half and fails; any other call is `Eio`.
    Short,
}

pub(crate) const FAULTS: [Fault; 3] = [Fault::Eio, Fault::Enospc, Fault::Short];

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Written before a failed fsync: the pages count as clean, so no later fsync brings them to the disk.
    lost: Vec<Range<usize>>,
}

#[derive(Clone)]
enum Change {
    Put(PathBuf, u64),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    /// The name that changes; renames stay within a directory.
    fn path(&self) -> &Path {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(_, path) => path,
        }
    }
}

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    inodes: HashMap<u64, Inode>,
    next: u64,
    free: u64,
    calls: u64,
    plan: Option<(u64, Fault)>,
    /// From this call on the machine is off: every call fails without effect.
    power_off_at: Option<u64>,
    /// No file is made whose path begins so: there is no room for it.
    no_room_at: Option<String>,
    /// Directories in which an fsync failed, of a file or of the names.
    sync_failed: Vec<PathBuf>,
    written_after_failed_sync: Vec<String>,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

struct Open {
    disk: Disk,
    inode: u64,
    path: PathBuf,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn is_in(path: &Path, dir: &Path) -> bool {
    path.parent() == Some(dir)
}

fn enospc() -> io::Error {
    io::Error::from_raw_os_error(28)
}

impl State {
    /// Counts a call, which may change a path; `Err` if it must fail, with whether it is a torn write.
    fn call(&mut self, what: &str, changes: Option<&Path>) -> Result<(), (io::Error, bool)> {
        self.calls += 1;
        if self.power_off_at.is_some_and(|at| self.calls >= at) {
            return Err((eio(), false));
        }
        if let Some(path) = changes.filter(|path| self.sync_failed.iter().any(|d| is_in(path, d))) {
            let told = format!("{what} {}", path.display());
            self.written_after_failed_sync.push(told);
        }
        match self.plan {
            Some((at, fault)) if at == self.calls => Err(match fault {
                Fault::Eio => (eio(), false),
                Fault::Enospc => (enospc(), false),
                Fault::Short => (enospc(), true),
            }),
            _ => Ok(()),
        }
    }

    fn plain(&mut self, what: &str, changes: Option<&Path>) -> io::Result<()> {
        self.call(what, changes).map_err(|(error, _)| error)
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        self.names.get(path).copied().ok_or_else(missing)
    }

    fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &Change) {
        match change {
            Change::Put(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Change::Remove(path) => {
                names.remove(path);
            }
            Change::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.names, &change);
        self.changes.push(change);
    }
}

impl Disk {
    pub(crate) fn new() -> Self {
        let disk = Self::default();
        disk.state().free = u64::MAX;
        disk
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn files(&self) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }

    /// Lets the n-th call from now fail.
    pub(crate) fn fail_at(&self, n: u64, fault: Fault) {
        let mut state = self.state();
        state.plan = Some((state.calls + n, fault));
    }

    pub(crate) fn power_off_at(&self, n: u64) {
        let mut state = self.state();
        state.power_off_at = Some(state.calls + n);
    }

    pub(crate) fn set_free(&self, free: u64) {
        self.state().free = free;
    }

    /// From now on no file is made whose path begins so; with none everything is made again.
    pub(crate) fn no_room_at(&self, begin: Option<&str>) {
        self.state().no_room_at = begin.map(str::to_owned);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// What was changed after an fsync had failed: must be nothing.
    pub(crate) fn written_after_failed_sync(&self) -> Vec<String> {
        self.state().written_after_failed_sync.clone()
    }

    pub(crate) fn sync_failed(&self) -> bool {
        !self.state().sync_failed.is_empty()
    }

    /// A disk of its own with the same content.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// Counts a call that another file system answers, and lets it fail if it is its turn.
    pub(crate) fn count(&self, what: &str) -> io::Result<()> {
        self.state().plain(what, None)
    }

    /// The process ended (kill -9): all that was written is still seen.
    pub(crate) fn process_ends(&self) {
        let mut state = self.state();
        state.plan = None;
        state.power_off_at = None;
        state.sync_failed.clear();
    }

    /// The power was cut: of what was not fsynced, a part is there, some of it as zeros.
    pub(crate) fn power_cut(&self, dice: &mut Dice) {
        self.process_ends();
        let mut guard = self.state();
        let state = &mut *guard;
        let kept = dice.below(state.changes.len() as u64 + 1) as usize;
        for change in &state.changes[..kept] {
            State::apply(&mut state.durable_names, change);
        }
        state.changes.clear();
        state.names = state.durable_names.clone();
        for inode in state.inodes.values_mut() {
            let same = inode
                .seen
                .iter()
                .zip(&inode.durable)
                .take_while(|(a, b)| a == b)
                .count();
            let (seen, durable) = (inode.seen.len(), inode.durable.len());
            let (low, high) = (seen.min(durable), seen.max(durable));
            let len = low + dice.below((high - low) as u64 + 1) as usize;
            let mut now: Vec<u8> = if seen >= durable {
                inode.seen[..len].to_vec()
            } else {
                inode.durable[..len].to_vec()
            };
            for range in &inode.lost {
                let end = range.end.min(len);
                now[range.start.min(end)..end].fill(0);
            }
            if len > same && dice.below(3) == 0 {
                let from = same + dice.below((len - same) as u64) as usize;
                now[from..].fill(0);
            }
            inode.seen.clone_from(&now);
            inode.durable = now;
            inode.lost.clear();
        }
    }

    /// The content of a file, past all faults.
    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        state.inodes[&state.names[path]].seen.clone()
    }

    /// Puts a file there, durable, past all faults.
    pub(crate) fn put(&self, path: &Path, content: &[u8]) {
        let mut state = self.state();
        state.next += 1;
        let inode = state.next;
        let whole = Inode {
            seen: content.to_vec(),
            durable: content.to_vec(),
            lost: Vec::new(),
        };
        state.inodes.insert(inode, whole);
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    /// All files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }

    /// The files in a directory, in order of their names.
    pub(crate) fn paths_in(&self, dir: &Path) -> Vec<PathBuf> {
        let mut paths = self.paths();
        paths.retain(|path| is_in(path, dir));
        paths
    }

    /// The same by name.
    pub(crate) fn names_in(&self, dir: &Path) -> Vec<String> {
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        self.paths_in(dir).into_iter().map(name).collect()
    }
}

impl FileHandle for Open {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.plain("len", None)?;
        Ok(state.inodes[&self.inode].seen.len() as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.plain("read", None)?;
        let offset = offset as usize;
        let bytes = state.inodes[&self.inode]
            .seen
            .get(offset..offset + buf.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut guard = self.disk.state();
        let fate = guard.call("write", Some(&self.path));
        let written = match &fate {
            Ok(()) => bytes,
            Err((_, true)) => &bytes[..bytes.len() / 2],
            Err((_, false)) => &[],
        };
        let inode = guard.inodes.get_mut(&self.inode).unwrap();
        let (from, to) = (offset as usize, offset as usize + written.len());
        if inode.seen.len() < to {
            inode.seen.resize(to, 0);
        }
        inode.seen[from..to].copy_from_slice(written);
        let split =
            |lost: &Range<usize>| [lost.start..lost.end.min(from), lost.start.max(to)..lost.end];
        inode.lost = inode
            .lost
            .iter()
            .flat_map(split)
            .filter(|r| !r.is_empty())
            .collect();
        fate.map_err(|(error, _)| error)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.disk.state();
        let fate = guard.plain("sync", None);
        let state = &mut *guard;
        let off = state.power_off_at.is_some_and(|at| state.calls >= at);
        let inode = state.inodes.get_mut(&self.inode).unwrap();
        match fate {
            Ok(()) => {
                inode.durable.clone_from(&inode.seen);
                for range in &inode.lost {
                    let end = range.end.min(inode.durable.len());
                    inode.durable[range.start.min(end)..end].fill(0);
                }
            }
            Err(_) if off => {}
            Err(_) => {
                let unsynced = inode.durable.len().min(inode.seen.len())..inode.seen.len();
                inode.lost.push(unsynced);
                state
                    .sync_failed
                    .extend(self.path.parent().map(Path::to_owned));
            }
        }
        fate
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.plain("set_len", Some(&self.path))?;
        let inode = state.inodes.get_mut(&self.inode).unwrap();
        inode.seen.resize(len as usize, 0);
        inode.lost.retain(|range| range.start < len as usize);
        Ok(())
    }
}

impl Files for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.state().plain("create_dir", Some(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let mut state = self.state();
        state.plain("create", Some(path))?;
        let no_room = state.no_room_at.as_deref();
        if no_room.is_some_and(|begin| path.to_string_lossy().starts_with(begin)) {
            return Err(enospc());
        }
        state.next += 1;
        let inode = state.next;
        state.inodes.insert(inode, Inode::default());
        state.change(Change::Put(path.to_owned(), inode));
        let disk = self.clone();
        let path = path.to_owned();
        Ok(Arc::new(Open { disk, inode, path }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let mut state = self.state();
        state.plain("open", None)?;
        let inode = state.find(path)?;
        let disk = self.clone();
        let path = path.to_owned();
        Ok(Arc::new(Open { disk, inode, path }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain("rename", Some(to))?;
        state.find(from)?;
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain("remove", Some(path))?;
        state.find(path)?;
        state.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.plain("remove_dir", Some(dir))?;
        let inside = state.names.keys().filter(|path| path.starts_with(dir));
        let inside: Vec<PathBuf> = inside.cloned().collect();
        for path in inside {
            state.change(Change::Remove(path));
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.state().plain("list", None)?;
        assert!(dir.is_absolute());
        Ok(self.names_in(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.state();
        let fate = guard.plain("sync_dir", None);
        let state = &mut *guard;
        match fate {
            Ok(()) => {
                let (here, elsewhere) = std::mem::take(&mut state.changes)
                    .into_iter()
                    .partition(|change| is_in(change.path(), dir));
                state.changes = elsewhere;
                let here: Vec<Change> = here;
                for change in &here {
                    State::apply(&mut state.durable_names, change);
                }
            }
            Err(_) if state.power_off_at.is_some() => {}
            Err(_) => state.sync_failed.push(dir.to_owned()),
        }
        fate
    }

    fn sync_tree(&self, dir: &Path) -> io::Result<()> {
        self.sync_dir(dir)
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.plain("free_space", None)?;
        Ok(state.free)
    }
}

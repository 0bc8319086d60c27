//! A machine whose plug can be pulled: an ext4 file system in an image, mounted in a mount namespace that only
//! the program on it has, and a boot id of its own.
//!
//! The cut is ext4's shutdown without a flush of its journal: what was not fsynced is gone, and every later call
//! fails. The mounts end with the program, so nothing is left behind, however a test ends. Not modelled: a disk
//! that acknowledges a flush and forgets, and sectors that tear.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use city_node::client::person::random;
use rustix::ioctl::{Setter, ioctl};

use crate::daemon::city::PATIENCE;

/// `EXT4_IOC_SHUTDOWN`: `_IOR('X', 125, __u32)`.
const SHUTDOWN: u32 = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`.
const NO_LOG_FLUSH: u32 = 2;
/// Room for a node with its reserve; the image is sparse.
const IMAGE_BYTES: u64 = 384 << 20;
/// Mounts the image and the boot id, then becomes the program.
const POWER_ON: &str = r#"set -e
mount -o "$1" "$2" "$3"
mount --bind "$4" /proc/sys/kernel/random/boot_id
shift 4
exec "$@""#;

/// A machine that is off.
pub(super) struct Machine {
    image: PathBuf,
    mount: PathBuf,
    boot_id: PathBuf,
    options: String,
}

impl Machine {
    /// A machine in `root` whose disk holds what lies in `content`; `Err` says why it cannot be had here.
    /// `options` are ext4's mount options.
    pub(super) fn build(root: &Path, content: &Path, options: &str) -> Result<Self, String> {
        let machine = Self {
            image: root.join("image"),
            mount: root.join("m"),
            boot_id: root.join("boot_id"),
            options: format!("loop,{options}"),
        };
        let image = File::create(&machine.image).unwrap();
        image.set_len(IMAGE_BYTES).unwrap();
        if !machine.mount.exists() {
            fs::create_dir(&machine.mount).unwrap();
        }
        machine.reboot();
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-m", "0", "-b", "4096", "-d"])
            .arg(content);
        mkfs.args(["-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"])
            .arg(&machine.image);
        succeeds(&mut mkfs)?;
        succeeds(&mut machine.command(&Command::new("true")))?;
        machine.wait_until_off();
        Ok(machine)
    }

    /// Where a path below `content` stands for the program on the machine.
    pub(super) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.mount.join(below)
    }

    /// Another boot: a new boot id.
    pub(super) fn reboot(&self) {
        let hex = data_encoding::HEXLOWER.encode(&random::<16>());
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        fs::write(&self.boot_id, parts.join("-") + "\n").unwrap();
    }

    /// Starts a program on the machine, with its standard input open: its end tells the program that nobody
    /// is left.
    pub(super) fn start(&self, program: &Command, out: Stdio, err: Stdio) -> Child {
        self.wait_until_off();
        let mut command = self.command(program);
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        command.spawn().unwrap()
    }

    /// Where a path of the machine is seen from here, while this program runs on it.
    pub(super) fn seen(program: u32, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{program}/root"));
        root.join(path.strip_prefix("/").unwrap())
    }

    /// Waits until the disk is mounted; `false` if the program ended before.
    pub(super) fn is_mounted(&self, program: &mut Child) -> bool {
        let begun = Instant::now();
        // Every ext4 has it, and the empty directory below the mount has not.
        let inside = Self::seen(program.id(), &self.mount).join("lost+found");
        while !inside.exists() {
            if program.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(begun.elapsed() < PATIENCE, "the disk is not mounted");
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Pulls the plug of the disk; `false` if the program ended before.
    pub(super) fn cut(&self, program: u32) -> bool {
        let Ok(disk) = File::open(Self::seen(program, &self.mount)) else {
            return false;
        };
        // SAFETY: this request reads one u32 behind the pointer, which is what `Setter` passes.
        let request = unsafe { Setter::<{ SHUTDOWN }, u32>::new(NO_LOG_FLUSH) };
        // SAFETY: see above.
        unsafe { ioctl(&disk, request) }.is_ok()
    }

    fn command(&self, program: &Command) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", POWER_ON, "sh", &self.options]);
        command.args([&self.image, &self.mount, &self.boot_id]);
        command.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// Waits until no loop device has the image: only then the next mount reads what is on the disk, and not
    /// what the last one still holds in memory.
    fn wait_until_off(&self) {
        let begun = Instant::now();
        while attached().contains(&self.image) {
            assert!(begun.elapsed() < PATIENCE, "the image stays mounted");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The files behind all loop devices.
fn attached() -> Vec<PathBuf> {
    let Ok(devices) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let files = devices
        .flatten()
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok());
    files.map(|file| PathBuf::from(file.trim_end())).collect()
}

fn succeeds(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_owned();
    let told = |why: &dyn std::fmt::Display| format!("{}: {why}", OsStr::display(&name));
    let ran = command.output().map_err(|error| told(&error))?;
    match ran.status.success() {
        true => Ok(()),
        false => Err(told(&String::from_utf8_lossy(&ran.stderr).trim())),
    }
}

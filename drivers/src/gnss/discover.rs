//! Finds the serial device of a known GNSS receiver by its USB identity, for `auto`.
//!
//! Only what says that it is a GNSS receiver is ever named: u-blox by number, others by product name. A plain USB-to-serial
//! converter may have anything behind it (a meter, a modem, a door) and is never opened unless it is configured by path.
//! Nothing is opened here; Linux's sysfs and udev's by-id names are read.

use std::fs;
use std::path::{Path, PathBuf};

/// u-blox' USB vendor, and its products that are receivers: u-blox 4 to 9 and later.
const UBLOX: u16 = 0x1546;
const UBLOX_PRODUCTS: std::ops::RangeInclusive<u16> = 0x01A4..=0x01A9;

/// From a tty up to its USB device: port, interface, device; a hub more does no harm.
const MAX_PARENTS: usize = 6;

/// Most ttys looked at. A kernel numbers 64 of each USB driver.
const MAX_TTYS: usize = 512;

/// What a USB device says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Usb {
    vendor: u16,
    product: u16,
    /// Maker and product as text.
    name: String,
}

impl Usb {
    /// Whether it is a GNSS receiver by its own word.
    fn is_receiver(&self) -> bool {
        let is_ublox = self.vendor == UBLOX && UBLOX_PRODUCTS.contains(&self.product);
        is_ublox || names_receiver(&self.name)
    }

    /// For a person: `u-blox 7 - GPS/GNSS Receiver (USB 1546:01a7)`.
    pub(super) fn describe(&self) -> String {
        let id = format!("USB {:04x}:{:04x}", self.vendor, self.product);
        match self.name.trim() {
            "" => id,
            name => format!("{name} ({id})"),
        }
    }
}

/// `GPS` or `GNSS` as a word of its own, in a product name or a by-id name.
fn names_receiver(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| word.eq_ignore_ascii_case("gps") || word.eq_ignore_ascii_case("gnss"))
}

/// The first known receiver, by its by-id name where udev gives one, else by its tty; `None` when there is none.
pub(super) fn find() -> Option<PathBuf> {
    find_below(Path::new("/"))
}

/// The USB identity of a serial device; `None` for one that is not on USB.
pub(super) fn usb_of(device: &Path) -> Option<Usb> {
    let tty = device.canonicalize().ok()?;
    usb_of_tty(Path::new("/"), tty.file_name()?.to_str()?)
}

fn find_below(root: &Path) -> Option<PathBuf> {
    let by_id = sorted(&root.join("dev/serial/by-id"));
    let named = by_id.into_iter().find(|link| {
        let name = link.file_name().unwrap_or_default().to_string_lossy();
        let usb = link
            .canonicalize()
            .ok()
            .and_then(|tty| usb_of_tty(root, tty.file_name()?.to_str()?));
        usb.map_or_else(|| names_receiver(&name), |usb| usb.is_receiver())
    });
    named.or_else(|| {
        sorted(&root.join("sys/class/tty"))
            .into_iter()
            .filter_map(|entry| entry.file_name()?.to_str().map(str::to_owned))
            .filter(|tty| tty.starts_with("ttyACM") || tty.starts_with("ttyUSB"))
            .find(|tty| usb_of_tty(root, tty).is_some_and(|usb| usb.is_receiver()))
            .map(|tty| root.join("dev").join(tty))
    })
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .take(MAX_TTYS)
        .collect();
    paths.sort();
    paths
}

fn usb_of_tty(root: &Path, tty: &str) -> Option<Usb> {
    let start = root.join("sys/class/tty").join(tty).join("device");
    let start = start.canonicalize().ok()?;
    let device = start
        .ancestors()
        .take(MAX_PARENTS)
        .find(|folder| folder.join("idVendor").is_file())?;
    let text = |name: &str| {
        let text = fs::read_to_string(device.join(name)).unwrap_or_default();
        text.chars()
            .filter(|c| !c.is_control())
            .take(80)
            .collect::<String>()
    };
    let number = |name: &str| u16::from_str_radix(text(name).trim(), 16).ok();
    Some(Usb {
        vendor: number("idVendor")?,
        product: number("idProduct")?,
        name: format!("{} {}", text("manufacturer").trim(), text("product").trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A computer with these ttys: name, vendor, product, product name, by-id name.
    fn computer(ttys: &[(&str, &str, &str, &str, Option<&str>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["dev/serial/by-id", "sys/class/tty"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for (at, (tty, vendor, product, name, by_id)) in ttys.iter().enumerate() {
            let device = root.path().join(format!("sys/devices/usb1/1-{at}"));
            let interface = device.join(format!("1-{at}:1.0"));
            fs::create_dir_all(&interface).unwrap();
            for (file, text) in [
                ("idVendor", vendor),
                ("idProduct", product),
                ("product", name),
            ] {
                fs::write(device.join(file), format!("{text}\n")).unwrap();
            }
            let class = root.path().join("sys/class/tty").join(tty);
            fs::create_dir_all(&class).unwrap();
            symlink(&interface, class.join("device")).unwrap();
            fs::write(root.path().join("dev").join(tty), "").unwrap();
            if let Some(by_id) = by_id {
                let link = root.path().join("dev/serial/by-id").join(by_id);
                symlink(root.path().join("dev").join(tty), link).unwrap();
            }
        }
        root
    }

    fn found(ttys: &[(&str, &str, &str, &str, Option<&str>)]) -> Option<String> {
        let root = computer(ttys);
        let path = find_below(root.path())?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    }

    const METER: (&str, &str, &str, &str, Option<&str>) = (
        "ttyUSB0",
        "067b",
        "2303",
        "USB-Serial Controller",
        Some("usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port0"),
    );

    #[test]
    fn a_known_receiver_is_found_and_nothing_else_is_named() {
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[METER]), None, "a plain converter");
        let modem = ("ttyACM0", "1546", "1146", "LTE modem", None);
        assert_eq!(found(&[METER, modem]), None, "u-blox also makes modems");
        let ublox = ("ttyACM1", "1546", "01a8", "u-blox GNSS receiver", None);
        assert_eq!(found(&[METER, modem, ublox]), Some("ttyACM1".into()));
        let by_id = Some("usb-u-blox_AG_-_www.u-blox.com_u-blox_7_-_GPS_GNSS_Receiver-if00");
        let old = ("ttyACM2", "1546", "01a7", "", by_id);
        assert_eq!(found(&[METER, ublox, old]), by_id.map(str::to_owned));
        let other = ("ttyUSB3", "067b", "23a3", "GPS Mouse", None);
        assert_eq!(found(&[METER, other]), Some("ttyUSB3".into()));
        let near = ("ttyUSB4", "067b", "23a3", "GPSomething", None);
        assert_eq!(found(&[near]), None, "only as a word");
    }

    #[test]
    fn an_identity_is_a_line_for_a_person() {
        let ublox = ("ttyACM1", "1546", "01a8", "u-blox GNSS receiver", None);
        let root = computer(&[ublox]);
        let usb = usb_of_tty(root.path(), "ttyACM1").unwrap();
        assert_eq!(usb.describe(), "u-blox GNSS receiver (USB 1546:01a8)");
        assert_eq!(usb_of_tty(root.path(), "ttyS0"), None);
    }
}

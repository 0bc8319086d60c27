//! What the machine says about itself: its name, and whether a host keeps its clock. Reads files of
//! Linux only; where they are missing the answer is the careful one.

use std::fs;
use std::path::Path;

use rustls_pki_types::DnsName;

/// The machine's name, if it can stand in a certificate.
#[must_use]
pub fn name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    DnsName::try_from(name.as_str()).ok()?;
    Some(name)
}

/// Whether this is a virtual machine or a container, whose host keeps the time.
#[must_use]
pub fn is_virtual() -> bool {
    let container = [
        "/run/systemd/container",
        "/.dockerenv",
        "/run/.containerenv",
    ];
    container.iter().any(|mark| Path::new(mark).exists())
        || fs::read_to_string("/proc/cpuinfo").is_ok_and(|info| says_hypervisor(&info))
        || fs::read_to_string("/sys/hypervisor/type").is_ok_and(|kind| !kind.trim().is_empty())
}

/// x86 sets the flag `hypervisor` in every guest.
fn says_hypervisor(info: &str) -> bool {
    let flags = info.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_known_by_its_flag() {
        assert!(says_hypervisor(
            "processor\t: 0\nflags\t\t: fpu hypervisor lm\n"
        ));
        assert!(!says_hypervisor("flags\t\t: fpu lm\n"));
        assert!(!says_hypervisor("model name\t: hypervisor\n"));
        assert!(!says_hypervisor(""));
    }
}

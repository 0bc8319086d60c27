//! `[network.limits]`: each key with its range and the bound of the network that it sets. The words for people stand in `keys`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::net::Limits;

/// The section.
pub(super) const SECTION: &str = "network.limits";

/// A bound of the network.
pub(super) enum Slot<'a> {
    Count(&'a mut u32),
    /// Of so many bits' unit: 20 for MiB, 0 for things.
    Size(&'a mut usize, u32),
    Seconds(&'a mut Duration),
}

/// One key.
pub(super) struct Field {
    /// Its name in the section.
    pub(super) name: &'static str,
    /// What may be written.
    pub(super) range: RangeInclusive<u64>,
    /// The bound that it sets.
    slot: fn(&mut Limits) -> Slot<'_>,
}

const fn field(
    name: &'static str,
    range: RangeInclusive<u64>,
    slot: fn(&mut Limits) -> Slot<'_>,
) -> Field {
    Field { name, range, slot }
}

impl Field {
    /// Reads the bound, in the key's unit.
    pub(super) fn get(&self, limits: &Limits) -> u64 {
        match (self.slot)(&mut limits.clone()) {
            Slot::Count(count) => u64::from(*count),
            Slot::Size(size, bits) => *size as u64 >> bits,
            Slot::Seconds(time) => time.as_secs(),
        }
    }

    /// Sets the bound; the value is in the range.
    pub(super) fn set(&self, limits: &mut Limits, value: u64) {
        match (self.slot)(limits) {
            Slot::Count(count) => *count = u32::try_from(value).unwrap_or(u32::MAX),
            Slot::Size(size, bits) => *size = usize::try_from(value << bits).unwrap_or(usize::MAX),
            Slot::Seconds(time) => *time = Duration::from_secs(value),
        }
    }
}

/// Every key, in the order of the file.
pub(super) const FIELDS: [Field; 27] = [
    field("connections", 2..=65_536, |limits| {
        Slot::Count(&mut limits.established)
    }),
    field("connections_per_peer", 2..=64, |limits| {
        Slot::Count(&mut limits.established_per_peer)
    }),
    field("connections_per_source", 2..=65_536, |limits| {
        Slot::Count(&mut limits.established_per_source)
    }),
    field("handshakes", 1..=4096, |limits| {
        Slot::Count(&mut limits.pending_incoming)
    }),
    field("handshakes_per_source", 1..=4096, |limits| {
        Slot::Count(&mut limits.pending_per_source)
    }),
    field("in_vain_per_source", 1..=1_048_576, |limits| {
        Slot::Count(&mut limits.in_vain_per_source)
    }),
    field("strangers", 1..=1024, |limits| {
        Slot::Count(&mut limits.strangers)
    }),
    field("strangers_per_source", 1..=1024, |limits| {
        Slot::Count(&mut limits.strangers_per_source)
    }),
    field("requests_per_hour", 1..=65_536, |limits| {
        Slot::Count(&mut limits.requests)
    }),
    field("requests_per_hour_per_source", 1..=65_536, |limits| {
        Slot::Count(&mut limits.requests_per_source)
    }),
    field("dials", 1..=4096, |limits| {
        Slot::Count(&mut limits.pending_outgoing)
    }),
    field("memory_mib", 64..=1_048_576, |limits| {
        Slot::Size(&mut limits.memory, 20)
    }),
    field("queue_frames", 1..=65_536, |limits| {
        Slot::Size(&mut limits.queue_frames, 0)
    }),
    field("queue_mib", 2..=1024, |limits| {
        Slot::Size(&mut limits.queue_bytes, 20)
    }),
    field("stall_s", 5..=3600, |limits| {
        Slot::Seconds(&mut limits.stall)
    }),
    field("handshake_s", 1..=600, |limits| {
        Slot::Seconds(&mut limits.handshake)
    }),
    field("setup_s", 1..=600, |limits| {
        Slot::Seconds(&mut limits.setup)
    }),
    field("ping_s", 1..=600, |limits| Slot::Seconds(&mut limits.ping)),
    field("silence_s", 2..=3600, |limits| {
        Slot::Seconds(&mut limits.silence)
    }),
    field("redial_s", 1..=3600, |limits| {
        Slot::Seconds(&mut limits.backoff_max)
    }),
    field("verifications", 1..=1024, |limits| {
        Slot::Size(&mut limits.verifications, 0)
    }),
    field("control_kib_s", 16..=1_048_576, |limits| {
        Slot::Size(&mut limits.control_rate, 10)
    }),
    field("ban_s", 0..=86_400, |limits| Slot::Seconds(&mut limits.ban)),
    field("ban_max_s", 0..=604_800, |limits| {
        Slot::Seconds(&mut limits.ban_max)
    }),
    field("ban_decay_s", 1..=604_800, |limits| {
        Slot::Seconds(&mut limits.ban_decay)
    }),
    field("readers", 0..=1024, |limits| {
        Slot::Count(&mut limits.readers)
    }),
    field("reader_kib_s", 1..=1_048_576, |limits| {
        Slot::Size(&mut limits.reader_rate, 10)
    }),
];

/// The key of this path.
pub(super) fn find(path: &str) -> Option<&'static Field> {
    let name = path.strip_prefix(SECTION)?.strip_prefix('.')?;
    FIELDS.iter().find(|field| field.name == name)
}

#[cfg(test)]
mod tests {
    use super::super::keys::KEYS;
    use super::*;

    #[test]
    fn every_limit_has_its_words_its_default_and_a_range_that_holds_it() {
        let described: Vec<_> = KEYS.iter().filter(|key| key.section() == SECTION).collect();
        assert_eq!(described.len(), FIELDS.len());
        for (key, field) in described.iter().zip(&FIELDS) {
            assert_eq!(key.name(), field.name);
            let default = field.get(&Limits::default());
            assert_eq!(key.example, default.to_string(), "{}", key.path);
            for value in [*field.range.start(), default, *field.range.end()] {
                assert!(field.range.contains(&value), "{}", key.path);
                let mut limits = Limits::default();
                field.set(&mut limits, value);
                assert_eq!(field.get(&limits), value, "{}", key.path);
            }
        }
    }
}

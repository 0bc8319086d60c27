//! Every key of the configuration with its words, once: the commented file, the remedies, the list of
//! known keys and the names of environment variables all come from this table.

/// How a value is written, in the file and in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    Text,
    /// A whole number.
    Whole,
    /// `true` or `false`.
    Switch,
    /// A list of strings; in the environment separated by commas.
    List,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path, such as `network.listen`.
    pub path: &'static str,
    /// How its value is written.
    pub shape: Shape,
    /// What it means, with unit and reason, for the commented file.
    pub about: &'static str,
    /// What to write: the remedy of every mistake, such as `write an address like …`.
    pub remedy: &'static str,
    /// A value to show where none is set.
    pub example: &'static str,
}

impl Key {
    /// The section it stands in, such as `place.policy`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }

    /// Its name within the section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that overrides it: `CITY_NODE_` and the path in capitals with `_` for `.` and `-`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!(
            "{VARIABLE_PREFIX}{}",
            self.path.replace(['.', '-'], "_").to_ascii_uppercase()
        )
    }
}

/// What every variable of the node begins with.
pub const VARIABLE_PREFIX: &str = "CITY_NODE_";

/// The sections in the order of the file, each with what it is for.
pub const SECTIONS: [(&str, &str); 18] = [
    ("node", "Which municipality this node belongs to."),
    (
        "network",
        "Connections with other municipalities: libp2p over TCP or QUIC, mutual TLS 1.3.",
    ),
    (
        "network.limits",
        "What peers and strangers can have this node do. What is commented out has its default; change one only with its reason in mind.",
    ),
    (
        "api",
        "HTTPS for apps and the kiosk's screen, and for operators.",
    ),
    (
        "terminal",
        "Only at a terminal (a kiosk), which follows its home's log and forwards to it what people submit. Its home stands among\nthe peers above, too, with this node's region: that is where the log comes from.",
    ),
    (
        "gnss",
        "The GNSS (GPS) receiver. Without `device` there is no receiver, and no place proof.",
    ),
    ("place", "How a place is proven."),
    (
        "place.policy",
        "What this municipality asks of place evidence. What is commented out has its default; count `version` up with each change.",
    ),
    (
        "home",
        "What this home does until it knows that its log is whole: that its data directory is not an old copy which was put back.",
    ),
    (
        "clearing",
        "What this home accepts from other municipalities, and what it answers by itself.",
    ),
    (
        "follow",
        "How much of other municipalities' logs is kept here.",
    ),
    (
        "crypto.not_after",
        "Until when this node takes an algorithm: after its date, or its suite's, no new key of it is registered and nothing signed\nwith it is taken (algorithm-expired). What is booked stays valid. What is commented out does not end.",
    ),
    (
        "keys",
        "Where the node's secrets are kept. After a change of `backend` stop the node and run `city-node key seal`.",
    ),
    ("clock", "The node's clock."),
    ("store", "The ledger's disk and memory."),
    (
        "checkpoint",
        "Checkpoints: what the own log comes to, signed (docs/checkpoints.md).",
    ),
    (
        "retention",
        "How long bodies are kept. Nothing is pruned by itself: city-node ledger prune does it, into an archive.",
    ),
    ("log", "The log, on standard error."),
];

/// The section with one date for each suite and algorithm.
pub const NOT_AFTER: &str = "crypto.not_after";

/// The table of a whitelisted peer, `[[network.peer]]`.
pub const PEER: &str = "network.peer";

const fn key(
    path: &'static str,
    shape: Shape,
    about: &'static str,
    remedy: &'static str,
    example: &'static str,
) -> Key {
    Key {
        path,
        shape,
        about,
        remedy,
        example,
    }
}

const fn not_after(path: &'static str, about: &'static str) -> Key {
    let remedy = "write a time like \"2035-12-31T15:00:00Z\", or leave the key out";
    key(path, Text, about, remedy, "2035-12-31T15:00:00Z")
}

const fn limit(
    path: &'static str,
    about: &'static str,
    remedy: &'static str,
    default: &'static str,
) -> Key {
    key(path, Whole, about, remedy, default)
}

use Shape::{List, Switch, Text, Whole};

/// Every key but those of peers, in the order of the file.
pub const KEYS: [Key; 97] = [
    key(
        "node.region",
        Text,
        "Continent/Country/Prefecture/Municipality in codes; in Japan JIS X 0402, five digits. It must be the region\nin the charter: a node cannot move by editing this.",
        "write the municipality as Continent/Country/Prefecture/Municipality in codes, such as \"Asia/JP/17/17201\"",
        "Asia/JP/17/17201",
    ),
    key(
        "network.listen",
        List,
        "Where to listen: /ip4/ADDRESS/tcp/PORT or /ip6/ADDRESS/tcp/PORT, with `quic` also /ip4/ADDRESS/udp/PORT/quic-v1. Empty: only\ncall others. Port 0 takes a free one.",
        "write addresses like [\"/ip4/0.0.0.0/tcp/7420\"], with network.quic = true also \"/ip4/0.0.0.0/udp/7420/quic-v1\"; names are not listened on",
        "/ip4/0.0.0.0/tcp/7420",
    ),
    key(
        "network.quic",
        Switch,
        "Speak QUIC beside TCP, where addresses say so: /…/udp/PORT/quic-v1, here and of peers. Off, because a datagram's sender can\nbe made up, so that strangers cost more, and many a firewall lets UDP through less well (docs/network.md).",
        "write true or false",
        "false",
    ),
    key(
        "network.mdns",
        Switch,
        "Look for whitelisted peers on the local network. This announces the node's peer id there, so it is off.",
        "write true or false",
        "false",
    ),
    limit(
        "network.limits.connections",
        "Connections with peers in all: some 1,900 municipalities, each for a moment with two.",
        "write a whole number from 2 to 65536",
        "4096",
    ),
    limit(
        "network.limits.connections_per_peer",
        "Connections with one peer: both call at once, and one stale pair.",
        "write a whole number from 2 to 64",
        "4",
    ),
    limit(
        "network.limits.connections_per_source",
        "Callers' connections from one IPv4 address or IPv6 /64: a prefecture's municipalities may all come through its one address.",
        "write a whole number from 2 to 65536",
        "256",
    ),
    limit(
        "network.limits.handshakes",
        "Handshakes of callers at once, of these at most half over QUIC; each costs a core about a millisecond.",
        "write a whole number from 1 to 4096",
        "128",
    ),
    limit(
        "network.limits.handshakes_per_source",
        "Of these, from one IPv4 address or IPv6 /64: one stranger cannot take all the places.",
        "write a whole number from 1 to 4096",
        "32",
    ),
    limit(
        "network.limits.in_vain_per_source",
        "Handshakes from one such address in ten seconds that may lead to nobody who is listed; further ones are refused before TLS.",
        "write a whole number from 1 to 1048576",
        "64",
    ),
    limit(
        "network.limits.strangers",
        "Strangers that ask to be whitelisted at once, where accept_whitelist_requests lets them; each is gone within ten seconds.",
        "write a whole number from 1 to 1024",
        "16",
    ),
    limit(
        "network.limits.strangers_per_source",
        "Of these, from one such address.",
        "write a whole number from 1 to 1024",
        "4",
    ),
    limit(
        "network.limits.requests_per_hour",
        "Their requests that are read in an hour: far more than municipalities join.",
        "write a whole number from 1 to 65536",
        "120",
    ),
    limit(
        "network.limits.requests_per_hour_per_source",
        "Of these, from one such address: a few tries of an operator.",
        "write a whole number from 1 to 65536",
        "6",
    ),
    limit(
        "network.limits.dials",
        "Own calls at once.",
        "write a whole number from 1 to 4096",
        "32",
    ),
    limit(
        "network.limits.memory_mib",
        "Resident memory of the process, MiB, beyond which new connections are refused.",
        "write a whole number from 64 to 1048576",
        "1024",
    ),
    limit(
        "network.limits.queue_frames",
        "Frames that wait for one of a peer's two streams.",
        "write a whole number from 1 to 65536",
        "64",
    ),
    limit(
        "network.limits.queue_mib",
        "The same in MiB: at least one frame, which is 1.1 MB.",
        "write a whole number from 2 to 1024",
        "4",
    ),
    limit(
        "network.limits.stall_s",
        "Seconds after which a peer is cut off that takes, or in the midst of a frame gives, not one byte.",
        "write a whole number from 5 to 3600",
        "60",
    ),
    limit(
        "network.limits.handshake_s",
        "Seconds for TCP, TLS and yamux together, or for QUIC's handshake.",
        "write a whole number from 1 to 600",
        "15",
    ),
    limit(
        "network.limits.setup_s",
        "Seconds from the connection to its two open streams.",
        "write a whole number from 1 to 600",
        "15",
    ),
    limit(
        "network.limits.ping_s",
        "Seconds between pings.",
        "write a whole number from 1 to 600",
        "15",
    ),
    limit(
        "network.limits.silence_s",
        "Seconds after which a peer is gone that answers no ping and sends no frame; more than ping_s, and best ping_s + 20, for an answer may take that long.",
        "write a whole number from 2 to 3600",
        "35",
    ),
    limit(
        "network.limits.redial_s",
        "Longest pause between calls of a peer that is not reached: once a line is back, all is the same again within half a minute.",
        "write a whole number from 1 to 3600",
        "20",
    ),
    limit(
        "network.limits.verifications",
        "Vertices of one peer that are verified before their verdicts are known: so many it can waste before it is cut off.",
        "write a whole number from 1 to 1024",
        "8",
    ),
    limit(
        "network.limits.control_kib_s",
        "Control messages of a peer that are read in a second, KiB, each counted with 128 bytes at least; those beyond wait.\nAn honest peer of a thousand logs sends a tenth of it.",
        "write a whole number from 16 to 1048576",
        "256",
    ),
    limit(
        "network.limits.ban_s",
        "Seconds for which a peer that broke the rules is not spoken to; doubles with each time. 0: it may come back at once.",
        "write a whole number from 0 to 86400",
        "10",
    ),
    limit(
        "network.limits.ban_max_s",
        "Longest such pause.",
        "write a whole number from 0 to 604800",
        "3600",
    ),
    limit(
        "network.limits.ban_decay_s",
        "Seconds without another after which one such time is forgotten.",
        "write a whole number from 1 to 604800",
        "3600",
    ),
    limit(
        "network.limits.readers",
        "Peers at once that are not listed and only read, because listed ones recommend them. 0: none.",
        "write a whole number from 0 to 1024",
        "8",
    ),
    limit(
        "network.limits.reader_kib_s",
        "KiB that are sent to such a peer in a second.",
        "write a whole number from 1 to 1048576",
        "64",
    ),
    key(
        "network.accept_whitelist_requests",
        Switch,
        "Let nodes that are not on the whitelist ask to be: one small request each, which waits for `city-node peer approve`.\nNothing else of theirs is read. Off: they are turned away.",
        "write true or false",
        "false",
    ),
    key(
        "network.auto_share_keys",
        Switch,
        "Give peers the node certificates of others that they ask for: of nodes that are on the whitelist, as far as this node\nholds good ones.",
        "write true or false",
        "true",
    ),
    key(
        "network.auto_request_keys",
        Switch,
        "Ask peers for node certificates of listed nodes that this node does not hold: as they connect, as somebody is listed, and\nonce an hour. What comes is held if the network's roots stand behind it.",
        "write true or false",
        "true",
    ),
    key(
        "network.max_message_age_hours",
        Whole,
        "How old a peer's message about keys may be. Those that were taken are remembered as long, so that each counts once.",
        "write a whole number from 1 to 24",
        "24",
    ),
    key(
        "network.recommendations_needed",
        Whole,
        "How many peers with the role recommend have to recommend a node before `city-node peer approve` can list it. It never\nlists one by itself.",
        "write a whole number from 1 to 64",
        "1",
    ),
    key(
        "network.recommendations_to_read",
        Whole,
        "How many peers with the role recommend have to recommend a node before it may connect to read the ledger, and nothing else,\nwithout an operator's word (docs/peers.md). 0: it may not.",
        "write a whole number from 0 to 64",
        "1",
    ),
    key(
        "network.recommendation_depth",
        Whole,
        "Through how many steps recommendations may have a node read here. 1: only listed peers with the role recommend count. 2: also who\nreads here by their words, 3: also who reads by those (docs/peers.md). Nothing but reading goes by it.",
        "write a whole number from 1 to 3",
        "1",
    ),
    key(
        "api.listen",
        Text,
        "ADDRESS:PORT. Loopback by default: open it to the network on purpose. Port 0 takes a free one.",
        "write an address and port such as \"127.0.0.1:8443\" or \"[::1]:8443\"; names are not looked up here",
        "127.0.0.1:8443",
    ),
    key(
        "api.operator_listen",
        Text,
        "ADDRESS:PORT for operators who show a TLS client certificate of the municipality: what the admin socket shows, over\nHTTPS. Left out: operators use the admin socket only.",
        "write an address and port such as \"127.0.0.1:8444\", or leave the key out; it must not be api.listen's",
        "127.0.0.1:8444",
    ),
    key(
        "api.operators",
        List,
        "Who operates this node of those who show an operator's certificate: names as they stand in the certificates. Empty:\neverybody whose certificate comes from a root in network/tls-root.pem. Where that root also issues for other municipalities,\ntheir operators then operate this node, too: name your own.",
        "write operators' names like [\"hanako\", \"night-shift.2\"], as `ca issue tls-client --operator` took them, or []",
        "hanako",
    ),
    key(
        "api.tls12",
        Switch,
        "Speak TLS 1.2 beside 1.3, for clients that know nothing newer. Its key exchange is not post-quantum.",
        "write true or false",
        "false",
    ),
    key(
        "terminal.home",
        Text,
        "Where the home's API is. Left out: this node is a home.",
        "write the home's app port like \"https://node.example:8443\", without a path; at a home leave the key out",
        "https://node.example:8443",
    ),
    key(
        "terminal.tls_root",
        Text,
        "The roots (PEM) by which the home's TLS certificate is judged; relative to the data directory.",
        "write the path of a PEM file, such as \"network/tls-root.pem\"; at a home leave the key out",
        "network/tls-root.pem",
    ),
    key(
        "gnss.device",
        Text,
        "The receiver's serial device. A name under /dev/serial/by-id/ stays the same after replugging. \"auto\" takes the first\nUSB device that says it is a GNSS receiver, and no other; \"gpsd://127.0.0.1:2947\" the receiver that gpsd holds;\n\"file:/srv/roof.nmea\" plays a recording once, as gnss.recorded says.",
        "write the serial device's absolute path, such as \"/dev/ttyACM0\", or \"auto\", or \"gpsd://HOST:PORT\", or \"file:/PATH\", or leave the key out",
        "/dev/ttyACM0",
    ),
    key(
        "gnss.baud",
        Whole,
        "Bits per second. 9600 is what most receivers start with; USB receivers take any. \"auto\" listens at one speed after the\nother until it understands the receiver, at most some 15 s.",
        "write one of 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600, or \"auto\"",
        "9600",
    ),
    key(
        "gnss.configure",
        Switch,
        "Every serial receiver is asked what it is; a u-blox that answers is asked to send what it knows of spoofing, jamming and\nits satellites, until it is switched off. With false nothing is ever written to the receiver.",
        "write true or false",
        "true",
    ),
    key(
        "gnss.recorded",
        Switch,
        "The device plays a recording or is simulated: judged by its own clock, graded at most plausible. Possible only where\nthe genesis record does not say \"live\".",
        "write true or false",
        "false",
    ),
    key(
        "place.boundary",
        Text,
        "The boundary index that `city-node place import` or `init` made; relative to the data directory.",
        "write the path of a boundary index, such as \"boundary.cbor\"",
        "boundary.cbor",
    ),
    key(
        "place.surveyed",
        Text,
        "Where the antenna of a fixed installation is, LAT,LON in decimal degrees: `city-node place survey` proposes it. A position\nfarther away is suspect. Left out: nothing is compared, and no evidence is attested.",
        "write decimal degrees as `city-node place survey` prints them, such as \"36.5613000,136.6562000\", or leave the key out",
        "36.5613000,136.6562000",
    ),
    key(
        "place.surveyed_radius_m",
        Whole,
        "How far from it positions may be, metres. 50: what a receiver with a fair view of the sky keeps to.",
        "write metres from 1 to 100000",
        "50",
    ),
    key(
        "place.policy.version",
        Whole,
        "Number of this policy; stands in every proof. Count it up with each change.",
        "write a whole number from 1",
        "1",
    ),
    key(
        "place.policy.required",
        Text,
        "Weakest grade that a transfer needs: claimed, plausible or attested.",
        "write \"claimed\", \"plausible\" or \"attested\"",
        "plausible",
    ),
    key(
        "place.policy.max_fix_age_ms",
        Whole,
        "Oldest fix, however slow the receiver, milliseconds, at most 3600000.",
        "write milliseconds from 1 to 3600000",
        "10000",
    ),
    key(
        "place.policy.max_silence_ms",
        Whole,
        "Oldest fix of a receiver that speaks once a second or faster, milliseconds, at most 3600000; a slower one has two and a half of its own intervals.",
        "write milliseconds from 1 to 3600000",
        "2500",
    ),
    key(
        "place.policy.min_satellites",
        Whole,
        "Fewest satellites used.",
        "write a whole number from 0 to 255",
        "4",
    ),
    key(
        "place.policy.max_hdop_centi",
        Whole,
        "Highest horizontal dilution of precision, hundredths (500 is 5.00).",
        "write hundredths from 1 to 65535",
        "500",
    ),
    key(
        "place.policy.max_accuracy_mm",
        Whole,
        "Worst accuracy that the receiver itself reports, millimetres.",
        "write millimetres from 1 to 4294967295",
        "50000",
    ),
    key(
        "place.policy.range_error_mm",
        Whole,
        "Accuracy assumed where the receiver reports none, millimetres per unit of HDOP.",
        "write millimetres from 0 to 4294967295",
        "5000",
    ),
    key(
        "place.policy.max_clock_difference_ms",
        Whole,
        "Largest difference between the receiver's time and the node's, milliseconds, at most 3600000.",
        "write milliseconds from 0 to 3600000",
        "30000",
    ),
    key(
        "place.policy.start_up_grace_ms",
        Whole,
        "How long after connecting the grade stays at most plausible, milliseconds, at most 3600000.",
        "write milliseconds from 0 to 3600000",
        "60000",
    ),
    key(
        "place.policy.window_ms",
        Whole,
        "How far back epochs are compared, milliseconds, at most 3600000; up to 10 Hz all are kept, beyond ten minutes fewer.",
        "write milliseconds from 1 to 3600000",
        "60000",
    ),
    key(
        "place.policy.max_speed_mm_s",
        Whole,
        "Highest speed, millimetres per second.",
        "write millimetres per second from 1 to 4294967295",
        "100000",
    ),
    key(
        "place.policy.jump_allowance_mm",
        Whole,
        "Movement between two epochs that is put down to noise, millimetres.",
        "write millimetres from 0 to 4294967295",
        "100000",
    ),
    key(
        "place.policy.speed_window_ms",
        Whole,
        "How far back the way between positions is compared with the reported speed, milliseconds, at most 3600000.",
        "write milliseconds from 1 to 3600000",
        "10000",
    ),
    key(
        "place.policy.cn0_min_satellites",
        Whole,
        "Fewest used satellites whose C/N0 are compared; fewer in one part of the sky are often alike.",
        "write a whole number from 2 to 255",
        "8",
    ),
    key(
        "place.policy.min_cn0_spread_centi",
        Whole,
        "Smallest standard deviation of C/N0, hundredths of a dB: one transmitter makes all satellites equally strong.",
        "write hundredths from 0 to 65535",
        "200",
    ),
    key(
        "place.policy.max_cn0_dbhz",
        Whole,
        "Strongest C/N0, dB-Hz.",
        "write a whole number from 1 to 255",
        "60",
    ),
    key(
        "place.policy.max_sentence_difference_e7",
        Whole,
        "Largest difference between the positions of one epoch's sentences, 1e-7 degrees: 200 is 2 m.",
        "write 1e-7 degrees from 0 to 4294967295",
        "200",
    ),
    key(
        "place.policy.held_epochs",
        Whole,
        "Epochs in a row with the very same position after which it is held, or frozen.",
        "write a whole number from 2 to 255",
        "5",
    ),
    key(
        "place.policy.position_step_e7",
        Whole,
        "Step to which a proof rounds the position, 1e-7 degrees: 1000 is 11 m.",
        "write 1e-7 degrees from 1 to 100000",
        "1000",
    ),
    not_after(
        "crypto.not_after.dilithium5-ntru",
        "Last moment of the suite dilithium5-ntru, RFC 3339.",
    ),
    not_after("crypto.not_after.fips", "Last moment of the suite fips."),
    not_after(
        "crypto.not_after.dilithium5",
        "Last moment of dilithium5 signatures.",
    ),
    not_after(
        "crypto.not_after.ml-dsa-87",
        "Last moment of ml-dsa-87 signatures.",
    ),
    not_after(
        "crypto.not_after.ntru-hps-4096-821",
        "Last moment of new ntru-hps-4096-821 keys.",
    ),
    not_after(
        "crypto.not_after.ntru-hrss-701",
        "Last moment of new ntru-hrss-701 keys.",
    ),
    not_after(
        "crypto.not_after.ml-kem-1024",
        "Last moment of new ml-kem-1024 keys.",
    ),
    key(
        "keys.backend",
        Text,
        "Where the master secret is kept, which wraps the keys: \"file\" beside them (with a passphrase, or in the clear, and then\nthe keys are plain files), \"credential\" (systemd gives it: city-node.master), or \"tpm\".",
        "write \"file\", \"credential\" or \"tpm\"",
        "file",
    ),
    key(
        "keys.tpm",
        Text,
        "The TPM: device:PATH, or swtpm:host=HOST,port=PORT for an emulator. /dev/tpmrm0 is shared with other programs.",
        "write device:/dev/tpmrm0, or swtpm:host=127.0.0.1,port=2321",
        "device:/dev/tpmrm0",
    ),
    key(
        "keys.tpm_pcrs",
        List,
        "Registers (SHA-256 bank) that must hold what they held at sealing, such as [\"7\", \"11\"]. Empty: the TPM alone. PCR 7 alone is\nrefused: it is the same for whatever else the same keys have signed, so it keeps nobody out who boots another system.",
        "write different registers from 0 to 23 in quotes, such as [\"7\", \"11\"] or []; not 7 alone, which any signed system satisfies",
        "11",
    ),
    key(
        "keys.tpm_counter",
        Text,
        "Index of a counter in the TPM that notices an old data directory which was put back, such as \"0x01500a17\". Left out: none.",
        "write an index from 0x01000000 to 0x01ffffff in quotes, such as \"0x01500a17\", or leave the key out",
        "0x01500a17",
    ),
    key(
        "keys.encrypt",
        List,
        "Which fields are encrypted where the node stores them: names (of people and peers), coordinates (as they were measured),\nnotes (that are marked private).",
        "write some of [\"names\", \"coordinates\", \"notes\"], or []",
        "names",
    ),
    key(
        "clock.trust_system",
        Switch,
        "Take the system's time although the machine has no clock that runs while it is off: true on virtual machines and\nin containers, whose host keeps the time.",
        "write true or false",
        "false",
    ),
    key(
        "home.confirm_wait_s",
        Whole,
        "Seconds after a start in which nothing is signed, so that a first peer can say what it has of this log; it ends as soon as\none has. Without it an old copy of the data directory could sign before it is noticed. A home without peers does not wait.",
        "write seconds from 0 to 600",
        "10",
    ),
    key(
        "home.unconfirmed_limit",
        Text,
        "How much each account may send in a day while no peer and no TPM counter has confirmed that the log is whole. What such a\nhome books says so (booked.unconfirmed). A home without peers and counter stays like this after each restart but the first.",
        "write an amount like \"1000.00\"; \"0.00\" takes no transfers until a peer was heard",
        "1000.00",
    ),
    key(
        "clearing.limit",
        Text,
        "How much is accepted from each other municipality beyond what was settled to it. It bounds what a home that mints without\nreason, or lies about its books, can cost this one. Ordinary trade goes both ways and does not notice it.",
        "write an amount like \"10000000.00\"",
        "10000000.00",
    ),
    key(
        "clearing.limits",
        List,
        "Other limits by region: a path of one to four codes, = and an amount; the longest path counts.",
        "write a list like [\"Asia/JP/17=20000000.00\", \"Asia/JP/13/13101=0.00\"], at most 256",
        "Asia/JP/17=20000000.00",
    ),
    key(
        "clearing.grace_days",
        Whole,
        "Days that a transfer waits for an account that is not enrolled, or closed, before this home rejects it: people enrol after\nthey were told that something waits, and officers meet to recover keys.",
        "write days from 0 to 180",
        "7",
    ),
    key(
        "clearing.reject_over_limit",
        Switch,
        "Reject at once what is beyond the limit, instead of letting it wait until there is room.",
        "write true or false",
        "false",
    ),
    key(
        "follow.policy",
        Text,
        "How other municipalities' logs are followed. `full`: with everything that stands in them; every rule is checked. `headers`:\nonly who signed which position, some 5 KB a vertex; their home is trusted to have kept the rules in between. A log that sends to\nthis home, is sent to by it, names it as witness or is caught breaking a rule is followed in full in any case.",
        "write \"full\" or \"headers\"",
        "full",
    ),
    key(
        "follow.policies",
        List,
        "Other policies by region: a path of one to four codes, = and full or headers; the longest path counts.",
        "write a list like [\"Asia/JP=headers\", \"Asia/JP/17=full\"], at most 256",
        "Asia/JP=headers",
    ),
    key(
        "store.reserve_mib",
        Whole,
        "Disk space that is kept free, MiB: below it submissions are refused, so that the log can always be finished.",
        "write MiB from 1 to 1048576",
        "64",
    ),
    key(
        "store.cache_mib",
        Whole,
        "Memory for the index's cache, MiB.",
        "write MiB from 1 to 4096",
        "32",
    ),
    key(
        "checkpoint.every",
        Text,
        "How often a running home writes one, if anything was booked since; off: only when somebody asks. Each costs everybody who follows\nthe log a walk over its state.",
        "write a number of hours or days, such as 1 day, at least 1 hour; or off",
        "1 day",
    ),
    key(
        "retention.bodies",
        Text,
        "How old bodies of complete transfers are before they may be pruned to hashes and sums; off: never.",
        "write a number of days, such as 183 days, at least 30 days; or off",
        "183 days",
    ),
    key(
        "log.level",
        Text,
        "error, warn, info, debug, trace or off; more for one part after a comma, such as \"info,city_node::net=debug\".",
        "write a level (error, warn, info, debug, trace, off), and after commas target=level",
        "info",
    ),
];

/// Every key of a whitelisted peer, without the `network.peer[n].` before it.
pub const PEER_KEYS: [Key; 6] = [
    key(
        "peer_id",
        Text,
        "Its peer id, as `city-node init` or `city-node key show` printed it.",
        "write the peer's id as its `city-node key show keys/transport.key` prints it, such as \"12D3KooW…\"",
        "12D3KooW…",
    ),
    key(
        "name",
        Text,
        "Its name, for people.",
        "write a name of 1 to 64 characters, such as \"小松市\"",
        "小松市",
    ),
    key(
        "region",
        Text,
        "Its municipality.",
        "write the peer's municipality in codes, such as \"Asia/JP/17/17203\"",
        "Asia/JP/17/17203",
    ),
    key(
        "addresses",
        List,
        "Where to call it. May be left out: then it calls, or mDNS finds it.",
        "write addresses like [\"/dns/node.example/tcp/7420\"], [\"/ip4/192.0.2.1/tcp/7420\"] or [\"/dnsaddr/node.example\"], with network.quic = true also \"/dns/node.example/udp/7420/quic-v1\"",
        "/ip4/192.0.2.1/tcp/7420",
    ),
    key(
        "expires_at",
        Text,
        "When the permission ends, RFC 3339. May be left out: then it does not end.",
        "write a time like \"2027-03-31T15:00:00Z\", or leave the key out",
        "2027-03-31T15:00:00Z",
    ),
    key(
        "roles",
        List,
        "What it is listed for: sync, and recommend where its recommendations are heard. May be left out: then sync.",
        "write [\"sync\"] or [\"sync\", \"recommend\"], or leave the key out",
        "sync",
    ),
];

/// The key of this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

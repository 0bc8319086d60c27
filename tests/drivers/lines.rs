//! Lines as they are: silence, another speed, no receiver at all, a u-blox that answers, gpsd. What happens is reported
//! within three seconds.

use city_drivers::gnss::receiver::SILENCE;
use city_drivers::gnss::{
    Baud, Event, Protocol, Pty, ReceiverConfig, Simulator, SimulatorConfig, Source, run,
};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{Instant, sleep, timeout};

/// What the status of a node may lag behind.
const SOON: Duration = Duration::from_secs(3);

/// Longer than any search may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

const START_MS: u64 = 1_795_219_190_000;

fn nomi() -> Simulator {
    Simulator::new(SimulatorConfig {
        lat_e7: 364_467_000,
        lon_e7: 1_365_541_000,
        altitude_mm: 9_000,
        seed: 17_211,
    })
}

fn listen(config: ReceiverConfig) -> Receiver<Event> {
    let (events, received) = mpsc::channel(256);
    tokio::spawn(run(config, events));
    received
}

/// The first event that `wanted` takes, within `patience`; others are passed over.
async fn until<T>(
    events: &mut Receiver<Event>,
    patience: Duration,
    wanted: impl Fn(&Event) -> Option<T>,
) -> T {
    let mut passed = Vec::new();
    let found = timeout(patience, async {
        loop {
            let event = events.recv().await.expect("the task runs");
            if let Some(found) = wanted(&event) {
                return found;
            }
            passed.push(format!("{event:.40?}"));
        }
    });
    let found = found.await;
    found.unwrap_or_else(|_| panic!("not within {patience:?}, but {passed:?}"))
}

fn heard(event: &Event) -> Option<(Option<u32>, Protocol)> {
    match event {
        Event::Heard { baud, protocol, .. } => Some((*baud, *protocol)),
        _ => None,
    }
}

fn silent(event: &Event) -> Option<bool> {
    match event {
        Event::Silent { unreadable } => Some(*unreadable),
        _ => None,
    }
}

fn fix_ms(event: &Event) -> Option<u64> {
    match event {
        Event::Fix(fix) => fix.time_ms,
        _ => None,
    }
}

/// A receiver that sends an epoch every 200 ms at `speeds[n]` for its n-th share of time: read at another speed, its bytes are
/// garbage of the same length.
fn transmit(mut pty: Pty, speeds: Vec<(u32, Duration)>) {
    tokio::spawn(async move {
        let mut simulator = nomi();
        let mut second = 0;
        for (speed, time) in speeds {
            let until = Instant::now() + time;
            while Instant::now() < until {
                let mut epoch = simulator.epoch(START_MS + second * 1000).into_bytes();
                second += 1;
                if pty.baud().unwrap() != speed {
                    epoch.iter_mut().for_each(|byte| *byte |= 0x80);
                }
                pty.write_all(&epoch).await.unwrap();
                sleep(Duration::from_millis(200)).await;
            }
        }
        // Still plugged in, and silent.
        std::future::pending::<()>().await;
        drop(pty);
    });
}

#[tokio::test]
async fn silence_is_noticed_and_so_is_its_end() {
    let mut pty = Pty::open().unwrap();
    let mut events = listen(ReceiverConfig::serial(pty.path(), 9600));
    assert!(!until(&mut events, SOON, silent).await, "nothing came");
    let mut simulator = nomi();
    for second in 0..3 {
        let epoch = simulator.epoch(START_MS + second * 1000);
        pty.write_all(epoch.as_bytes()).await.unwrap();
    }
    let found = until(&mut events, SOON, heard).await;
    assert_eq!(found, (Some(9600), Protocol::Nmea));
    until(&mut events, SOON, fix_ms).await;
    // Silent again, once.
    assert!(!until(&mut events, SOON, silent).await);
    let more = timeout(SILENCE * 2, until(&mut events, PATIENCE, silent)).await;
    assert!(more.is_err(), "said twice");
    assert_eq!(pty.sent(), b"", "only listened to");
}

#[tokio::test]
async fn garbage_alone_is_named_as_such() {
    let mut pty = Pty::open().unwrap();
    let mut events = listen(ReceiverConfig::serial(pty.path(), 9600));
    let feeder = tokio::spawn(async move {
        loop {
            pty.write_all(&[0xF0; 500]).await.unwrap();
            sleep(Duration::from_millis(200)).await;
        }
    });
    assert!(
        until(&mut events, SOON, silent).await,
        "bytes, but no frame"
    );
    feeder.abort();
}

#[tokio::test]
async fn the_speed_is_found_and_found_again_when_it_changes() {
    let pty = Pty::open().unwrap();
    let config = ReceiverConfig {
        baud: Baud::Auto,
        ..ReceiverConfig::serial(pty.path(), 0)
    };
    transmit(
        pty,
        vec![
            (921_600, Duration::from_secs(12)),
            (4800, Duration::from_secs(60)),
        ],
    );
    let mut events = listen(config);
    // The last in the order: all the others are tried before.
    let found = until(&mut events, PATIENCE, heard).await;
    assert_eq!(found, (Some(921_600), Protocol::Nmea));
    until(&mut events, SOON, fix_ms).await;
    // The fixes end, the change is noticed, and the new speed found.
    assert!(until(&mut events, PATIENCE, silent).await, "unreadable");
    let found = until(&mut events, PATIENCE, heard).await;
    assert_eq!(found, (Some(4800), Protocol::Nmea));
    until(&mut events, SOON, fix_ms).await;
}

#[tokio::test]
async fn a_wrong_fixed_speed_is_kept() {
    let pty = Pty::open().unwrap();
    let mut events = listen(ReceiverConfig::serial(pty.path(), 9600));
    transmit(pty, vec![(4800, PATIENCE)]);
    assert!(until(&mut events, SOON, silent).await);
    let found = timeout(Duration::from_secs(4), until(&mut events, PATIENCE, heard)).await;
    assert!(found.is_err(), "9600 was configured, and 4800 is not 9600");
}

fn ubx(class: u8, id: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![class, id];
    frame.extend(u16::try_from(payload.len()).unwrap().to_le_bytes());
    frame.extend(payload);
    let sums = frame.iter().fold([0_u8; 2], |[a, b], &byte| {
        let a = a.wrapping_add(byte);
        [a, b.wrapping_add(a)]
    });
    [&[0xB5, 0x62][..], &frame, &sums].concat()
}

/// A u-blox M8 that sends NMEA until it is asked for more; gives all that it was asked.
async fn ublox_m8(mut pty: Pty, seconds: u32) -> Vec<u8> {
    let mut simulator = nomi();
    let (mut asked, mut unread) = (Vec::new(), Vec::new());
    for second in 0..u64::from(seconds) * 10 {
        if second % 10 == 0 {
            let epoch = simulator.epoch(START_MS + second * 100);
            pty.write_all(epoch.as_bytes()).await.unwrap();
        }
        unread.extend(pty.sent());
        while unread.len() >= 8 {
            let len = 8 + usize::from(unread[4]);
            let request: Vec<u8> = unread.drain(..len).collect();
            let answer = match (request[2], request[3]) {
                (0x0A, 0x04) => {
                    let mut version = vec![0; 40 + 60];
                    version[..9].copy_from_slice(b"ROM 3.01 ");
                    version[30..38].copy_from_slice(b"00080000");
                    version[40..53].copy_from_slice(b"PROTVER=18.00");
                    version[70..83].copy_from_slice(b"MOD=NEO-M8N-0");
                    ubx(0x0A, 0x04, &version)
                }
                // MON-HW is refused.
                (0x06, 0x01) if request[6] == 0x0A => ubx(0x05, 0x00, &[0x06, 0x01]),
                (class, id) => ubx(0x05, 0x01, &[class, id]),
            };
            pty.write_all(&answer).await.unwrap();
            asked.extend(request);
        }
        sleep(Duration::from_millis(100)).await;
    }
    asked
}

#[tokio::test]
async fn a_u_blox_that_answers_is_asked_for_what_place_checking_uses() {
    let pty = Pty::open().unwrap();
    let config = ReceiverConfig {
        configure: true,
        ..ReceiverConfig::serial(pty.path(), 115_200)
    };
    let mut events = listen(config);
    let receiver = tokio::spawn(ublox_m8(pty, 6));
    let identity = until(&mut events, PATIENCE, |event| match event {
        Event::Identity(identity) => Some(identity.clone()),
        _ => None,
    });
    assert_eq!(identity.await, "u-blox NEO-M8N-0 ROM 3.01 00080000");
    let accepted = until(&mut events, PATIENCE, |event| match event {
        Event::Configured(accepted) => Some(*accepted),
        _ => None,
    });
    assert_eq!(accepted.await, 3, "of four, one was refused");
    let asked = receiver.await.unwrap();
    let rate = |class, id| ubx(0x06, 0x01, &[class, id, 1]);
    let expected = [
        ubx(0x0A, 0x04, &[]),
        rate(0x01, 0x07),
        rate(0x01, 0x03),
        rate(0x0A, 0x09),
        rate(0x01, 0x35),
    ];
    assert_eq!(asked, expected.concat());
}

#[tokio::test]
async fn nothing_is_ever_written_unless_it_is_configured() {
    let pty = Pty::open().unwrap();
    let mut events = listen(ReceiverConfig::serial(pty.path(), 115_200));
    let receiver = tokio::spawn(ublox_m8(pty, 3));
    until(&mut events, PATIENCE, heard).await;
    assert_eq!(receiver.await.unwrap(), b"");
}

/// Says what gpsd says to whoever connects: its version, its receivers, then `raw`. Gives the request.
async fn gpsd_with(
    devices: &str,
    raw: Vec<u8>,
) -> (ReceiverConfig, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = format!("gpsd://{}", listener.local_addr().unwrap());
    let devices = devices.to_owned();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"{\"class\":\"VERSION\",\"release\":\"3.22\",\"proto_major\":3}\r\n")
            .await
            .unwrap();
        let mut request = String::new();
        let (reading, mut writing) = stream.split();
        BufReader::new(reading)
            .read_line(&mut request)
            .await
            .unwrap();
        let told = format!("{{\"class\":\"DEVICES\",\"devices\":[{devices}]}}\r\n");
        writing.write_all(told.as_bytes()).await.unwrap();
        writing.write_all(&raw).await.unwrap();
        sleep(Duration::from_secs(5)).await;
        request
    });
    let config = ReceiverConfig {
        source: Source::of(Path::new(&source)),
        ..ReceiverConfig::serial("", 0)
    };
    (config, server)
}

const ONE: &str = r#"{"class":"DEVICE","path":"/dev/ttyS7","driver":"u-blox","subtype":"SW 1.00"}"#;

#[tokio::test]
async fn gpsd_hands_on_the_receivers_own_bytes() {
    let mut simulator = nomi();
    let raw: String = (0..4)
        .map(|s| simulator.epoch(START_MS + s * 1000))
        .collect();
    let (config, server) = gpsd_with(ONE, raw.clone().into_bytes()).await;
    let mut events = listen(config);
    let identity = until(&mut events, SOON, |event| match event {
        Event::Identity(identity) => Some(identity.clone()),
        _ => None,
    });
    assert_eq!(identity.await, "gpsd 3.22 /dev/ttyS7 u-blox SW 1.00");
    assert_eq!(
        until(&mut events, SOON, heard).await,
        (None, Protocol::Nmea)
    );
    let fix = until(&mut events, SOON, |event| match event {
        Event::Fix(fix) => Some(fix.clone()),
        _ => None,
    });
    // The digest is over what the receiver sent.
    let first: String = raw.split("\r\n").take(10).collect();
    assert_eq!(String::from_utf8(fix.await.raw).unwrap(), first);
    let request = server.await.unwrap();
    assert!(
        request.starts_with("?WATCH={") && request.contains("\"raw\":2"),
        "{request}"
    );
}

#[tokio::test]
async fn of_several_receivers_gpsd_must_be_told_which() {
    let two = format!("{ONE},{}", ONE.replace("ttyS7", "ttyS8"));
    let (config, _server) = gpsd_with(&two, Vec::new()).await;
    let mut events = listen(config);
    let reason = until(&mut events, SOON, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let reason = reason.await;
    assert!(reason.contains("/dev/ttyS7, /dev/ttyS8"), "{reason}");
    assert!(
        reason.contains("name one, as gpsd://127.0.0.1:"),
        "{reason}"
    );
}

#[tokio::test]
async fn where_no_gpsd_listens_the_reason_says_so() {
    let source = Source::of(Path::new("gpsd://127.0.0.1:1"));
    let mut events = listen(ReceiverConfig {
        source,
        ..ReceiverConfig::serial("", 0)
    });
    let reason = until(&mut events, SOON, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.await.contains("is gpsd running"));
}

/// Killed when the test ends, however it ends.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_real_gpsd_hands_on_the_receivers_own_bytes() {
    let mut pty = Pty::open().unwrap();
    let port = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    };
    let daemon = Command::new("gpsd")
        .args(["-N", "-n", "-b", "-S", &port])
        .arg(pty.path())
        .stderr(Stdio::null())
        .spawn();
    let Ok(daemon) = daemon else {
        println!("skipped: no gpsd");
        return;
    };
    let _daemon = Daemon(daemon);
    tokio::spawn(async move {
        let mut simulator = nomi();
        for second in 0.. {
            let epoch = simulator.epoch(START_MS + second * 1000);
            if pty.write_all(epoch.as_bytes()).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(300)).await;
        }
    });
    let mut events = listen(ReceiverConfig {
        source: Source::of(Path::new(&format!("gpsd://127.0.0.1:{port}"))),
        ..ReceiverConfig::serial("", 0)
    });
    assert_eq!(
        until(&mut events, PATIENCE, heard).await,
        (None, Protocol::Nmea)
    );
    // The first may have begun before we listened.
    for _ in 0..2 {
        until(&mut events, PATIENCE, fix_ms).await;
    }
    let fix = until(&mut events, PATIENCE, |event| match event {
        Event::Fix(fix) => Some(fix.clone()),
        _ => None,
    });
    let fix = fix.await;
    // gpsd 3.22 does not know the talker of QZSS and steps over its GSV, which alone lists one satellite more.
    assert_eq!(fix.satellites_used, 10);
    assert!((12..=13).contains(&fix.satellites.len()), "{fix:?}");
}

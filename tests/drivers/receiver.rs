//! The receiver task against real pseudo-terminals: a simulated receiver is read, unplugged, and plugged in again.

use city_drivers::gnss::receiver::{RETRY_MAX, RETRY_MIN};
use city_drivers::gnss::{
    Event, Fix, FixMode, Port, Pty, Quality, ReceiverConfig, Simulator, SimulatorConfig, run,
};
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

/// Longer than any step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const START_MS: u64 = 1_795_219_190_000;

fn komatsu() -> Simulator {
    Simulator::new(SimulatorConfig {
        lat_e7: 364_085_000,
        lon_e7: 1_364_456_000,
        altitude_mm: 4_000,
        seed: 17_203,
    })
}

fn listen(device: &Path) -> (Receiver<Event>, tokio::task::JoinHandle<()>) {
    let (events, received) = mpsc::channel(64);
    let config = ReceiverConfig::serial(device, 9600);
    (received, tokio::spawn(run(config, events)))
}

async fn next(events: &mut Receiver<Event>) -> Event {
    timeout(PATIENCE, events.recv())
        .await
        .expect("an event within the patience")
        .expect("the task runs")
}

/// Skips what does not match.
async fn until<T>(events: &mut Receiver<Event>, wanted: impl Fn(Event) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(next(events).await) {
            return found;
        }
    }
}

fn fix(event: Event) -> Option<Fix> {
    match event {
        Event::Fix(fix) => Some(fix),
        _ => None,
    }
}

async fn send(pty: &mut Pty, bytes: &[u8]) {
    timeout(PATIENCE, pty.write_all(bytes))
        .await
        .expect("somebody reads")
        .expect("the terminal takes it");
}

#[tokio::test]
async fn a_simulated_receiver_is_read_through_a_real_terminal() {
    let mut pty = Pty::open().unwrap();
    let (mut events, _task) = listen(pty.path());
    assert_eq!(next(&mut events).await, Event::Connected);
    let mut simulator = komatsu();
    for second in 0..5 {
        send(
            &mut pty,
            simulator.epoch(START_MS + second * 1000).as_bytes(),
        )
        .await;
    }
    // Five epochs sent; the fifth is complete by its last sentence, which the first ones taught.
    for second in 0..5 {
        let fix = until(&mut events, fix).await;
        assert_eq!(fix.time_ms, Some(START_MS + second * 1000));
        assert_eq!(
            (fix.mode, fix.quality),
            (FixMode::ThreeD, Quality::Simulated)
        );
    }
}

#[tokio::test]
async fn feed_keeps_time_by_the_callers_clock() {
    let mut pty = Pty::open().unwrap();
    let (mut events, _task) = listen(pty.path());
    let feeder = tokio::spawn(async move {
        let mut now_ms = START_MS;
        let clock = || {
            now_ms += 1000;
            now_ms
        };
        komatsu()
            .feed(&mut pty, Duration::from_millis(20), clock)
            .await
    });
    for second in 1..5 {
        assert_eq!(
            until(&mut events, fix).await.time_ms,
            Some(START_MS + second * 1000)
        );
    }
    feeder.abort();
}

#[tokio::test]
async fn unplugged_and_plugged_in_again_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("gnss0");
    let mut first = Pty::open().unwrap();
    std::os::unix::fs::symlink(first.path(), &device).unwrap();
    let (mut events, _task) = listen(&device);
    assert_eq!(next(&mut events).await, Event::Connected);
    let mut simulator = komatsu();
    for second in 0..4 {
        send(
            &mut first,
            simulator.epoch(START_MS + second * 1000).as_bytes(),
        )
        .await;
    }
    until(&mut events, fix).await;

    // Half a sentence is on the line when the plug is pulled.
    send(&mut first, b"$GNGGA,2359").await;
    drop(first);
    let reason = until(&mut events, |event| match event {
        Event::Disconnected { reason, retry_in } => {
            assert_eq!(retry_in, RETRY_MIN);
            Some(reason)
        }
        _ => None,
    })
    .await;
    assert!(reason.contains("gnss0"), "{reason}");
    assert!(reason.contains("unplugged"), "{reason}");

    // The kernel gives the receiver a new number; udev moves the link.
    std::fs::remove_file(&device).unwrap();
    let mut second = Pty::open().unwrap();
    std::os::unix::fs::symlink(second.path(), &device).unwrap();
    timeout(
        Duration::from_secs(3),
        until(&mut events, |e| (e == Event::Connected).then_some(())),
    )
    .await
    .expect("reconnected within 3 s");
    for second_of in 100..104 {
        send(
            &mut second,
            simulator.epoch(START_MS + second_of * 1000).as_bytes(),
        )
        .await;
    }
    let fix = until(&mut events, fix).await;
    assert_eq!(
        fix.time_ms,
        Some(START_MS + 100_000),
        "nothing of before the loss is in it"
    );
}

#[tokio::test]
async fn an_absent_device_is_tried_ever_more_slowly() {
    let folder = tempfile::tempdir().unwrap();
    let (mut events, _task) = listen(&folder.path().join("no-such-receiver"));
    let mut expected = RETRY_MIN;
    for _ in 0..4 {
        match next(&mut events).await {
            Event::Disconnected { reason, retry_in } => {
                assert_eq!(retry_in, expected);
                assert!(
                    reason.contains("no-such-receiver") && reason.contains("plugged in"),
                    "{reason}"
                );
            }
            other => panic!("{other:?}"),
        }
        expected = (expected * 2).min(RETRY_MAX);
    }
}

#[tokio::test]
async fn a_plain_file_is_not_a_receiver() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), komatsu().epoch(START_MS)).unwrap();
    let (mut events, _task) = listen(file.path());
    assert!(matches!(
        next(&mut events).await,
        Event::Disconnected { .. }
    ));
}

#[tokio::test]
async fn garbage_is_reported_and_the_fix_survives_it() {
    let mut pty = Pty::open().unwrap();
    let (mut events, _task) = listen(pty.path());
    let mut simulator = komatsu();
    for second in 0..4 {
        let epoch = simulator.epoch(START_MS + second * 1000);
        for sentence in epoch.split_inclusive('\n') {
            // Control characters would be eaten or echoed by a terminal that is not raw.
            send(
                &mut pty,
                &[
                    0x03, 0x04, 0x11, 0x13, 0x1A, 0xFF, 0x00, 0xB5, 0x62, 0x01, 0x07, 0x20, 0x00,
                ],
            )
            .await;
            send(&mut pty, b"\n$GPTXT,").await;
            send(&mut pty, &[b'~'; 2000]).await;
            send(
                &mut pty,
                b"\r\n$GNRMC,000000.00,A,0000.00,N,00000.00,E,,,010100,,,A*00\r\n",
            )
            .await;
            send(&mut pty, sentence.as_bytes()).await;
        }
    }
    let (mut fixes, mut bytes, mut bad) = (Vec::new(), 0, 0);
    // The first report may come after a few bytes, the next a second later; the patience of `next` ends it.
    while fixes.len() < 3 || bytes <= 2000 || bad == 0 {
        match next(&mut events).await {
            Event::Fix(fix) => fixes.push(fix),
            Event::Noise {
                bytes: b,
                bad_checksums,
            } => {
                bytes += b;
                bad += bad_checksums;
            }
            lost @ Event::Disconnected { .. } => panic!("{lost:?}"),
            _ => {}
        }
    }
    assert_eq!(fixes[1].time_ms, Some(START_MS + 1000));
    assert!(fixes.iter().all(|fix| fix.satellites_used == 10));
}

#[tokio::test]
async fn the_task_ends_when_nobody_listens() {
    let pty = Pty::open().unwrap();
    let (mut events, task) = listen(pty.path());
    assert_eq!(next(&mut events).await, Event::Connected);
    drop(events);
    timeout(PATIENCE, task).await.expect("it ends").unwrap();
    // And the port is free again.
    let (mut events, _task) = listen(pty.path());
    assert_eq!(next(&mut events).await, Event::Connected);
}

#[tokio::test]
async fn cancelling_frees_the_port() {
    let mut pty = Pty::open().unwrap();
    let (mut events, task) = listen(pty.path());
    assert_eq!(next(&mut events).await, Event::Connected);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let (mut events, _task) = listen(pty.path());
    assert_eq!(next(&mut events).await, Event::Connected);
    let mut simulator = komatsu();
    for second in 0..3 {
        send(
            &mut pty,
            simulator.epoch(START_MS + second * 1000).as_bytes(),
        )
        .await;
    }
    until(&mut events, fix).await;
}

#[tokio::test]
async fn a_reader_that_was_killed_does_not_lock_the_next_one_out() {
    // A reader killed with -9 leaves its claims behind, as one that is still there does.
    let pty = Pty::open().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("gnss0");
    std::os::unix::fs::symlink(pty.path(), &device).unwrap();
    let _killed = Port::open(&device, 9600).unwrap();
    Port::open(&device, 9600).unwrap();
}

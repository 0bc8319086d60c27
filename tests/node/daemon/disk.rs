//! A disk that fills up: refused, never lost, and the node stays.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::city::{alone, directory, send};

/// A small file system in memory, gone with this.
struct Small(PathBuf);

impl Small {
    /// `None` where this user may not mount.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount
            .args(["-t", "tmpfs", "-o", "size=112m", "tmpfs"])
            .arg(at)
            .output();
        mounted.ok()?.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: a process that is just being killed may still hold it.
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_recovers() {
    let root = directory();
    let Some(small) = Small::mount(&root.path().join("m")) else {
        println!("skipped: not root");
        return;
    };
    let mut city = alone(root.path(), small.0.join("d"));
    let _line = city.plug_in(Vec::new);
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 1000).await;
    node.until("a place", |status| status.place.satisfies_policy)
        .await;
    let mut booked = vec![send(&api, &person, 1).await.unwrap()];

    // First the reserve is touched, then not a byte is left.
    for round in 0..3 {
        let filler = small.0.join("filler");
        let size = if round == 0 { 56 << 20 } else { 200 << 20 };
        let _full = std::fs::write(&filler, vec![0_u8; size]);
        for _ in 0..3 {
            let refused = send(&api, &person, 1).await.unwrap_err();
            assert_eq!(
                (refused.status(), refused.code()),
                (Some(507), Some("storage-full"))
            );
        }
        let status = node.status().await;
        assert!(
            !status.store.failed && !status.sequencing,
            "{status:#?}\n{}",
            node.log()
        );
        std::fs::remove_file(&filler).unwrap();
        let sent = send(&api, &person, 1).await;
        booked.push(sent.unwrap_or_else(|error| panic!("{error}\n{}", node.log())));
    }
    for identity in &booked {
        api.transfer_state(&person.account(), identity)
            .await
            .unwrap();
    }
    node.check().await;

    // Killed while not a byte is left: it may not start then, but it does once there is room, and has all.
    let filler = small.0.join("filler");
    let _full = std::fs::write(&filler, vec![0_u8; 200 << 20]);
    let mut node = node;
    node.signal("-KILL");
    node.end().await;
    let mut meanwhile = city.start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    meanwhile.signal_if_running("-KILL");
    meanwhile.end().await;
    std::fs::remove_file(&filler).unwrap();
    let node = city.ready().await;
    let api = city.api(&node);
    api.login(&person).await.unwrap();
    for identity in &booked {
        api.transfer_state(&person.account(), identity)
            .await
            .unwrap();
    }
    let account = api.account(&person.account()).await.unwrap();
    assert_eq!(account.next_sequence, 1 + booked.len() as u64);
    node.stop().await;
}

//! Addresses that stand in the DNS: TXT records name where a peer is, one leads to others, some name somebody else, and some
//! lead in a circle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use super::lab::{Lab, PORT};
use crate::daemon::city::{PATIENCE, directory, found_at};

/// Look-ups that one call of an address may cost: libp2p's bound.
const LOOKUPS: usize = 32;

/// TXT records by name, and how often each name was asked for.
type Asked = Arc<Mutex<HashMap<String, usize>>>;

/// A name server with TXT records only, which nobody keeps.
struct Names {
    asked: Asked,
    task: JoinHandle<()>,
}

impl Names {
    async fn serve(at: &str, records: HashMap<String, Vec<String>>) -> Self {
        let socket = UdpSocket::bind(at).await.unwrap();
        let asked = Asked::default();
        let counted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut query).await {
                let Some((name, kind, end)) = question(&query[..count]) else {
                    continue;
                };
                *counted.lock().unwrap().entry(name.clone()).or_default() += 1;
                let texts = records.get(&name).filter(|_| kind == TXT);
                let texts = texts.map_or(&[][..], Vec::as_slice);
                let _gone = socket.send_to(&answer(&query[..end], texts), from).await;
            }
        });
        Self { asked, task }
    }

    fn count(&self, name: &str) -> usize {
        *self.asked.lock().unwrap().get(name).unwrap_or(&0)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// RFC 1035, 3.2.2.
const TXT: u16 = 16;

/// The name in the only question, its type, and where the question ends.
fn question(query: &[u8]) -> Option<(String, u16, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = query.get(at..at + 2)?;
    let kind = u16::from_be_bytes([kind[0], kind[1]]);
    (query.len() >= at + 4).then(|| (labels.join("."), kind, at + 4))
}

/// The answer with these texts; without any, that there is no such name. Nothing of it may be kept.
fn answer(question: &[u8], texts: &[String]) -> Vec<u8> {
    let mut answer = question.to_vec();
    // An answer, by who knows; RFC 1035, 4.1.1.
    answer[2] = 0x85;
    answer[3] = if texts.is_empty() { 0x83 } else { 0x80 };
    answer[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    answer[7] = u8::try_from(texts.len()).unwrap();
    for text in texts {
        let length = u8::try_from(text.len()).unwrap();
        // The name of the question, TXT, IN, a time to live of 0.
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 0, 0, length + 1, length]);
        answer.extend(text.as_bytes());
    }
    answer
}

#[test]
fn a_peer_is_found_by_its_txt_records_and_by_none_that_name_another() {
    let Some(lab) = Lab::build(2) else { return };
    lab.name_server(0);
    lab.name_server(1);
    lab.tell(|| story(&lab));
}

async fn story(lab: &Lab) {
    let root = directory();
    let mut cities = found_at(root.path(), &lab.sites());
    let [kanazawa, komatsu] = [0, 1].map(|city: usize| cities[city].report.peer_id);
    let trap = TcpListener::bind("10.77.0.254:4999").await.unwrap();
    let dnsaddr = |rest: String| format!("dnsaddr={rest}");
    let names = Names::serve(
        "10.77.0.254:53",
        HashMap::from([
            (
                "_dnsaddr.komatsu.test".into(),
                vec![
                    dnsaddr(format!("/dnsaddr/inner.test/p2p/{komatsu}")),
                    // Of another peer, of nobody, and no address at all.
                    dnsaddr(format!("/ip4/10.77.0.254/tcp/4999/p2p/{kanazawa}")),
                    dnsaddr("/ip4/10.77.0.254/tcp/4999".into()),
                    "v=spf1 -all".into(),
                ],
            ),
            (
                "_dnsaddr.inner.test".into(),
                vec![dnsaddr(format!("/ip4/10.77.0.2/tcp/{PORT}/p2p/{komatsu}"))],
            ),
            (
                "_dnsaddr.circle.test".into(),
                vec![dnsaddr(format!("/dnsaddr/circle.test/p2p/{kanazawa}"))],
            ),
        ]),
    )
    .await;
    for (city, address) in [(0, "/dnsaddr/komatsu.test"), (1, "/dnsaddr/circle.test")] {
        cities[city].config.network.peers[0].addresses = vec![address.parse().unwrap()];
        cities[city].configure();
    }

    // Who is led in a circle gives up.
    let b = lab.ready(&cities[1], 1).await;
    let begun = Instant::now();
    loop {
        let looked = cities[1].command(&["netcheck"], &[]);
        let said = String::from_utf8_lossy(&looked.stdout).into_owned();
        if said.contains("Too many DNS lookups") {
            assert!(said.contains("not tried"), "{said}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{said}\n{}", b.log());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(names.count("_dnsaddr.circle.test") >= LOOKUPS);

    // Who is led to the peer finds it.
    let a = lab.ready(&cities[0], 0).await;
    a.until("小松市", |status| {
        status.peers.iter().any(|peer| peer.region.is_some())
    })
    .await;
    assert!(names.count("_dnsaddr.inner.test") >= 1);
    let called = tokio::time::timeout(std::time::Duration::ZERO, trap.accept()).await;
    assert!(called.is_err(), "another peer's address was called");
    a.stop().await;
    b.stop().await;
}

//! What follows a good hello: forged vertices, claims that are not true, questions without end.

use city_protocol::ids::{BlockId, Digest, LogId};
use city_protocol::sync::{LogPrefix, Message, Want};
use libp2p::identity::Keypair;

use super::raw::{Target, noise};
use super::words::{Speaker, Traitor, beacon, lie, say};

pub(super) async fn play(target: &mut Target<'_>, traitor: &Traitor<'_>) {
    let key = target.key();
    let honest = traitor.asks(target, &key).await;
    after_a_hello(target, traitor, &honest).await;
}

async fn after_a_hello(
    target: &mut Target<'_>,
    traitor: &Traitor<'_>,
    honest: &(Vec<u8>, Vec<u8>),
) {
    let (header, body) = honest;
    let vertex = |header: &[u8], body: &[u8]| {
        Message::Vertex(header.to_vec().into(), body.to_vec().into()).encode()
    };
    let log = traitor.victim;
    let mut cases: Vec<(String, Vec<Vec<u8>>, bool)> = Vec::new();
    let mut add = |case: &str, said: Vec<Vec<u8>>, cut: bool| cases.push((case.into(), said, cut));
    for part in 0..12 {
        let (mut header, mut body) = (header.clone(), body.clone());
        let at = header.len() * part / 12 + 3;
        header[at] ^= 1;
        // A flipped id of the log, or number of a version, may name what is not known here.
        add(
            &format!("a header with a flipped bit at {part}/12"),
            vec![vertex(&header, &body); 40],
            part > 2,
        );
        let at = body.len() * part / 12;
        body[at] ^= 1;
        add(
            &format!("a body with a flipped bit at {part}/12"),
            vec![vertex(&honest.0, &body); 40],
            true,
        );
    }
    add("a body for a header", vec![vertex(body, body); 40], true);
    add("empty blocks", vec![vertex(&[], &[]); 40], true);
    add(
        "the same vertex 200 times",
        vec![vertex(header, body); 200],
        false,
    );
    add(
        "a hello again",
        vec![say(traitor.hello(&Keypair::generate_ed25519()))],
        true,
    );
    add(
        "the node's log, far ahead",
        vec![Message::Announce(vec![lie(target_log(traitor), u64::MAX)]).encode()],
        false,
    );
    add(
        "the honest log, far ahead",
        vec![Message::Frontier(vec![lie(log, u64::MAX)]).encode(); 20],
        false,
    );
    add(
        "4,096 logs that nobody has",
        vec![
            Message::Announce(
                (0..4096_u16)
                    .map(|n| {
                        let mut id = [3; 32];
                        id[..2].copy_from_slice(&n.to_be_bytes());
                        lie(LogId(id), 9)
                    })
                    .collect()
            )
            .encode();
            4
        ],
        false,
    );
    add(
        "too many logs",
        vec![Message::Frontier(vec![lie(log, 1); 4097]).encode()],
        true,
    );
    add(
        "wants without end",
        vec![
            Message::Want(vec![Want {
                log: LogPrefix::from(&log),
                epoch: 1,
                from: 1,
                to: u64::MAX
            }])
            .encode();
            5_000
        ],
        false,
    );
    add(
        "fetches without end",
        vec![Message::Fetch(vec![BlockId::of(b"x"); 4096]).encode(); 30],
        false,
    );
    add(
        "fetches too many",
        vec![Message::Fetch(vec![BlockId::of(b"x"); 4097]).encode()],
        true,
    );
    add(
        "credit that overflows",
        vec![Message::Credit(u64::MAX).encode(); 3],
        false,
    );
    add(
        "beacons without end",
        vec![beacon(0).encode(); 5_000],
        false,
    );
    add(
        "beacons of somebody who has more, without end",
        vec![beacon(u64::MAX).encode(); 5_000],
        false,
    );
    add(
        "a proof of nothing",
        vec![Message::Proof(header.clone().into(), header.clone().into()).encode()],
        true,
    );
    add(
        "a proof of noise",
        vec![Message::Proof(noise(900, 1).into(), noise(900, 2).into()).encode()],
        true,
    );
    add(
        "private values for others",
        vec![Message::Private(Digest([5; 32]), vec![1; 100].into()).encode(); 50],
        false,
    );
    for (case, said, cut) in cases {
        let key = target.key();
        let mut speaker = Speaker::begin(target, &key).await;
        speaker.says(&say(traitor.hello(&key))).await;
        for message in &said {
            let saying = speaker.says(message);
            // A node that takes no more holds the speaker back.
            if tokio::time::timeout(std::time::Duration::from_secs(1), saying)
                .await
                .is_err()
            {
                break;
            }
        }
        if cut {
            speaker.intruder.closed().await;
        }
        target
            .held
            .push(Box::new((speaker.intruder, speaker.sync, speaker.live)));
        target.stands(&case).await;
    }
}

fn target_log(traitor: &Traitor<'_>) -> LogId {
    traitor.identity.authority.log
}

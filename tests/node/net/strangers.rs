//! Where requests are taken, a stranger gets one protocol for one request, for a short time, and nothing else runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::AtomicUsize;

use city_node::net::Enrolment;
use city_protocol::trust::{EnrolVerdict, MAX_WHITELIST_REQUEST};
use libp2p::futures::AsyncReadExt as _;

use super::*;

const ENROL: &str = "/city-node/enrol/1";

/// A town that takes requests, and where they arrive.
async fn open_town(over: Carrier) -> (Town, mpsc::Receiver<Enrolment>) {
    let (desk, requests) = mpsc::channel(4);
    let mut plan = Plan::new(over, &[], &[]);
    plan.requests = Some(desk);
    (plan.open("金沢市").await, requests)
}

/// Asks for a protocol; says whether the other side answers that it does not speak it.
async fn is_refused(intruder: &mut Intruder, protocol: &str) -> bool {
    let mut stream = intruder.stream().await.unwrap();
    let asked = [line("/multistream/1.0.0"), line(protocol)].concat();
    let expected = [line("/multistream/1.0.0"), line("na")].concat();
    let mut answer = vec![0; expected.len()];
    let talk = async {
        stream.write_all(&asked).await?;
        stream.flush().await?;
        stream.read_exact(&mut answer).await
    };
    within("negotiation", talk).await.is_ok() && answer == expected
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[..], body].concat()
}

pub(super) async fn a_stranger_gets_one_protocol_and_nothing_else(over: Carrier) {
    let (town, mut requests) = open_town(over).await;
    let stranger = Keypair::generate_ed25519();
    let mut intruder = Intruder::call(&stranger, &town.address, town.peer).await;
    for protocol in [
        "/city-node/sync/1",
        "/city-node/live/1",
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
    ] {
        assert!(is_refused(&mut intruder, protocol).await, "{protocol}");
    }
    let mut stream = intruder.stream().await.unwrap();
    assert!(negotiate(&mut stream, ENROL).await);
    stream.write_all(&frame(b"please")).await.unwrap();
    stream.flush().await.unwrap();
    let request = within("request", requests.recv()).await.unwrap();
    assert_eq!(request.peer, stranger.public().to_peer_id());
    assert_eq!(request.request, b"please");
    assert!(request.address.to_string().starts_with("/ip4/127.0.0.1/"));
    assert_eq!(Carrier::of(&request.address), over);
    request.answer.send(EnrolVerdict::Refused).unwrap();
    let expected = frame(&EnrolVerdict::Refused.encode());
    let mut answer = vec![0; expected.len()];
    within("answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer, expected);
    drop(stream);
    intruder.closed().await;
    // Neither identify nor ping has opened a stream to it.
    assert_eq!(intruder.called.load(Ordering::SeqCst), 0);
    let stats = town.net.stats();
    assert_eq!((stats.peers.len(), stats.denied_strangers), (0, 0));
}

pub(super) async fn strangers_are_few_and_their_time_is_short(over: Carrier) {
    let (town, mut requests) = open_town(over).await;
    let begun = Instant::now();
    // They say nothing, half of it, or far too much.
    let mut idle = Vec::new();
    for words in [&[][..], &[0, 0], &frame(&[7; 9])[..8], &[0xff; 64]] {
        let mut intruder =
            Intruder::call(&Keypair::generate_ed25519(), &town.address, town.peer).await;
        let mut stream = intruder.stream().await.unwrap();
        if !words.is_empty() {
            assert!(negotiate(&mut stream, ENROL).await);
            stream.write_all(words).await.unwrap();
            stream.flush().await.unwrap();
        }
        idle.push((intruder, stream));
    }
    // A fifth of this address finds no place meanwhile: or the one that said too much has left its own.
    idle.pop().unwrap().0.closed().await;
    let _fourth = Intruder::call(&Keypair::generate_ed25519(), &town.address, town.peer).await;
    if let Some(mut fifth) =
        Intruder::try_call(&Keypair::generate_ed25519(), &town.address, town.peer).await
    {
        fifth.closed().await;
    }
    assert_eq!(town.net.stats().denied_strangers, 1);
    for (mut intruder, _stream) in idle {
        let over = timeout(Duration::from_secs(14), intruder.gone()).await;
        over.expect("its time is over");
    }
    assert!(begun.elapsed() >= Duration::from_secs(9), "not before");
    // Who is listed is not disturbed, and nothing of theirs was handed on.
    assert!(requests.try_recv().is_err());
    assert!(town.net.stats().peers.is_empty());
}

pub(super) async fn a_request_runs_beside_the_whitelisted_and_a_listed_peer_needs_none(
    over: Carrier,
) {
    let (desk, mut requests) = mpsc::channel(4);
    let friend = Keypair::generate_ed25519();
    let mut plan = Plan::new(over, &[friend.public().to_peer_id()], &[]);
    plan.requests = Some(desk);
    let mut town = plan.open("金沢市").await;
    let mut plan = Plan::new(over, &[town.peer], &[&town]);
    plan.keypair = friend;
    let mut komatsu = plan.open("小松市").await;
    town.settle(&mut komatsu).await;
    // Connected already.
    let asked = komatsu
        .net
        .enrol(town.peer, town.address.clone(), b"please".to_vec());
    assert!(
        within("answer", asked)
            .await
            .unwrap_err()
            .to_string()
            .contains("already")
    );
    // A stranger with a network of its own.
    let hakusan = Plan::new(over, &[], &[]).open("白山市").await;
    let asking = hakusan.net.enrol(
        town.peer,
        town.address.clone(),
        vec![7; MAX_WHITELIST_REQUEST],
    );
    let answering = async {
        let request = requests.recv().await.unwrap();
        assert_eq!(request.request.len(), MAX_WHITELIST_REQUEST);
        request.answer.send(EnrolVerdict::Pending).unwrap();
    };
    let (answer, ()) = within("exchange", async { tokio::join!(asking, answering) }).await;
    assert_eq!(answer.unwrap(), EnrolVerdict::Pending);
    assert!(hakusan.net.stats().peers.is_empty());
    komatsu.send(&town, Channel::Sync, b"undisturbed").await;
    assert_eq!(town.frame(komatsu.peer).await.1, b"undisturbed");
    // At one that takes none.
    let asked = hakusan
        .net
        .enrol(komatsu.peer, komatsu.address.clone(), b"please".to_vec());
    assert!(within("answer", asked).await.is_err());
    until("denial", || komatsu.net.stats().denied_strangers == 1).await;
}

/// Requests of the flood, and how many each of its connections sends at most.
const FLOOD: usize = 10_000;
const A_CONNECTION: usize = 250;
/// Callers at once: as many as one address may have.
const CALLERS: usize = 4;
const FLOOD_TIME: Duration = Duration::from_secs(180);
/// Sends requests over one connection until it is hung up on; gives how many went out.
async fn flood_once(town: &Town, request: &[u8]) -> usize {
    let caller = Keypair::generate_ed25519();
    let Some(mut intruder) = Intruder::try_call(&caller, &town.address, town.peer).await else {
        return 0;
    };
    let mut kept = Vec::new();
    while kept.len() < A_CONNECTION {
        let Some(mut stream) = intruder.stream().await else {
            break;
        };
        if stream.write_all(request).await.is_err() || stream.flush().await.is_err() {
            break;
        }
        kept.push(stream);
    }
    kept.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_requests_few_are_read_and_a_friend_is_heard_all_the_time() {
    let (desk, mut requests) = mpsc::channel(4);
    let friend = Keypair::generate_ed25519();
    let mut plan = Plan::new(Carrier::Tcp, &[friend.public().to_peer_id()], &[]);
    // The flood is to reach the door of requests, and this clock stands still.
    plan.limits.in_vain_per_source = 1 << 20;
    plan.requests = Some(desk);
    let mut town = plan.open("金沢市").await;
    let mut plan = Plan::new(Carrier::Tcp, &[town.peer], &[&town]);
    plan.keypair = friend;
    let mut komatsu = plan.open("小松市").await;
    town.settle(&mut komatsu).await;
    let reading = tokio::spawn(async move {
        let mut read = 0;
        while let Some(request) = requests.recv().await {
            read += 1;
            // Whoever asked may be gone.
            let _gone = request.answer.send(EnrolVerdict::Pending);
        }
        read
    });
    let asked = [line("/multistream/1.0.0"), line(ENROL)].concat();
    let request = [asked, frame(&[7; MAX_WHITELIST_REQUEST])].concat();
    let begun = Instant::now();
    let sent = AtomicUsize::new(0);
    let (town_of, sent_of, request) = (&town, &sent, request.as_slice());
    let call = || async move {
        while sent_of.load(Ordering::SeqCst) < FLOOD {
            let more = flood_once(town_of, request).await;
            sent_of.fetch_add(more, Ordering::SeqCst);
        }
    };
    let flood = libp2p::futures::future::join_all((0..CALLERS).map(|_| call()));
    timeout(FLOOD_TIME, flood)
        .await
        .expect("an end of the flood");
    let took = begun.elapsed();
    komatsu.send(&town, Channel::Sync, b"undisturbed").await;
    assert_eq!(town.frame(komatsu.peer).await.1, b"undisturbed");
    println!("{} requests in {took:?}", sent.load(Ordering::SeqCst));
    drop(town);
    let read = within("the end", reading).await.unwrap();
    assert!(read <= 6, "{read} were read");
}

//! A receiver on a bad line, pulled and plugged in again.

use city_protocol::place::Grade;

use super::city::{alone, directory, send};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_does_not_hide_the_place_and_a_pulled_plug_does() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("d"));
    let mut round = 0_u8;
    let line = city.plug_in(move || {
        round = round.wrapping_add(1);
        // Binary noise, half a sentence, a u-blox frame that is cut off, and a sentence with a bad checksum.
        let mut noise: Vec<u8> = (0..40)
            .map(|i| round.wrapping_mul(31).wrapping_add(i).wrapping_mul(7))
            .collect();
        noise.extend_from_slice(b"$GPGGA,1234\xff\xb5\x62\x01\x07\x5c\x00");
        noise.extend_from_slice(
            b"\r\n$GNRMC,000000.00,A,0000.0,N,00000.0,E,0.0,0.0,010100,,,A*00\r\n",
        );
        noise
    });
    let node = city.ready().await;
    let api = city.api(&node);
    let person = city.rich(&api, 1000).await;
    let status = node
        .until("a place through the noise", |status| {
            status.place.satisfies_policy && status.receiver.noise_bytes > 0
        })
        .await;
    assert_eq!(
        status.place.municipality.as_deref(),
        Some("17201"),
        "{status:#?}"
    );
    assert!(status.receiver.bad_checksums > 0, "{:?}", status.receiver);
    send(&api, &person, 1).await.unwrap();

    drop(line);
    let gone = node
        .until("the loss", |status| !status.receiver.connected)
        .await;
    let problem = gone.receiver.problem.expect("it is told");
    assert!(problem.contains("next try"), "{problem}");
    let none = node
        .until("no place", |status| status.place.grade == Grade::None)
        .await;
    assert!(!none.place.satisfies_policy);
    assert!(
        none.place.reasons.contains(&"no-receiver".into()),
        "{:?}",
        none.place
    );
    let refused = send(&api, &person, 1).await.unwrap_err();
    assert_eq!(refused.code(), Some("no-position"), "{refused:?}");

    let _line = city.plug_in(Vec::new);
    node.until("the place again", |status| status.place.satisfies_policy)
        .await;
    send(&api, &person, 1).await.unwrap();
    node.check().await;
    node.stop().await;
}

//! A transport key is followed by another: which certificate makes a rotation one that can be followed.

use city_protocol::pki::{Crls, Role, certified_node};
use city_protocol::refusal::Refusal;
use city_protocol::region::Region;
use city_protocol::trust::{
    Predecessor, ROTATION_MS, Rotation, RotationJudges, RotationRefusal, TransportSigner as _,
};

use super::ca::Ca;
use super::keys::Transport;
use super::world::{BEGIN, KANAZAWA, KOMATSU, World};

#[test]
fn the_municipalitys_ca_has_to_stand_behind_the_new_key() {
    let world = World::new();
    let home = &world.homes[KANAZAWA];
    let region = home.identity.authority.region();
    let others = world.homes[KOMATSU].identity.authority.region();
    let (old, new) = (Transport::new("old"), Transport::new("new"));
    let peer = new.peer_id().to_string();
    let key = home.key.public();
    let now = world.now;
    let roots = std::slice::from_ref(&world.ca.root);
    let judge_as = |certificate: &[u8], role, crls: &Crls, at| {
        let said = Rotation {
            network: world.network(),
            old: old.peer_id(),
            new: new.peer_id(),
            certificate: certificate.to_vec(),
            chain: Vec::new(),
            made_at: now,
            expires_at: now.plus_ms(ROTATION_MS),
        };
        let judges = RotationJudges {
            network: &world.network(),
            roots,
            crls,
            now: at,
        };
        let judged = said
            .sign(&old, &new)
            .judge(Predecessor { region, role }, judges);
        judged.map(|(judged, certificate)| {
            assert_eq!(judged, said);
            (certificate.peer_id, certificate.region)
        })
    };
    let judge = |certificate: &[u8]| judge_as(certificate, Some(Role::Home), &Crls::none(), now);
    let good = world.ca.node(region, key, &peer);
    let expected = (peer.clone(), region.clone());
    assert_eq!(judge(&good), Ok(expected.clone()));
    assert_eq!(judge_as(&good, None, &Crls::none(), now), Ok(expected));
    assert_eq!(certified_node(&good), Ok((region.clone(), Role::Home)));

    let for_old = world.ca.node(region, key, &old.peer_id().to_string());
    let refused = RotationRefusal::OtherPeer(old.peer_id().to_string());
    assert_eq!(judge(&for_old), Err(refused));
    let elsewhere: Region = others.clone();
    let refused = RotationRefusal::OtherRegion {
        found: elsewhere.clone(),
        wanted: region.clone(),
    };
    assert_eq!(judge(&world.ca.node(&elsewhere, key, &peer)), Err(refused));
    let terminal = world.ca.node_as(Role::Terminal, region, key, &peer);
    assert_eq!(judge(&terminal), Err(RotationRefusal::OtherRole));
    let nobody = Ca::new("somebody else's CA", BEGIN);
    let refused = judge(&nobody.node(region, key, &peer));
    assert!(
        matches!(refused, Err(RotationRefusal::Certificate(_))),
        "{refused:?}"
    );
    let refused = judge(&good[..good.len() - 1]);
    assert!(
        matches!(refused, Err(RotationRefusal::Certificate(_))),
        "{refused:?}"
    );
    let over = now.plus_ms(ROTATION_MS);
    let refused = judge_as(&good, None, &Crls::none(), over);
    assert_eq!(refused, Err(RotationRefusal::Form(Refusal::Expired)));
}

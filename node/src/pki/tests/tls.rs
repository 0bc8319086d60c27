//! TLS between an app and its home: who is trusted, which versions and groups, which names.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, ClientConnection, Error, PeerIncompatible, ProtocolVersion,
    ServerConnection,
};

use crate::pki::issue::Validity;
use crate::pki::tls::{TlsAuthority, TlsError, client_config, server_config};
use city_protocol::amount::Timestamp;

fn validity() -> Validity {
    let now = rustls::pki_types::UnixTime::now().as_secs() * 1000;
    Validity::days(Timestamp(now - 60_000), 30)
}

fn kanazawa() -> (TlsAuthority, ServerConnection) {
    let authority = TlsAuthority::create("金沢市 CA TLS", validity()).unwrap();
    let names = ["node.kanazawa.example".to_owned()];
    let identity = authority
        .server(&names, &[Ipv4Addr::LOCALHOST.into()], validity())
        .unwrap();
    let config = server_config(identity).unwrap();
    (authority, ServerConnection::new(Arc::new(config)).unwrap())
}

fn client(root: &TlsAuthority, server: &'static str) -> ClientConnection {
    let config = client_config(&[root.certificate().clone()]).unwrap();
    let name = ServerName::try_from(server).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Carries bytes between the two until neither has any.
fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    loop {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut input = bytes.as_slice();
        while !input.is_empty() {
            server.read_tls(&mut input).unwrap();
            server.process_new_packets()?;
        }
        let mut back = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        if bytes.is_empty() && back.is_empty() {
            return Ok(());
        }
        let mut input = back.as_slice();
        while !input.is_empty() {
            client.read_tls(&mut input).unwrap();
            client.process_new_packets()?;
        }
    }
}

#[test]
fn an_app_speaks_with_its_home() {
    for name in ["node.kanazawa.example", "127.0.0.1"] {
        let (authority, mut server) = kanazawa();
        let mut client = client(&authority, name);
        handshake(&mut client, &mut server).unwrap();
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(client.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);

        client.writer().write_all("こんにちは".as_bytes()).unwrap();
        handshake(&mut client, &mut server).unwrap();
        let mut heard = [0; 15];
        server.reader().read_exact(&mut heard).unwrap();
        assert_eq!(heard, "こんにちは".as_bytes());
    }
}

#[test]
fn another_name_or_another_ca_is_not_trusted() {
    let (authority, mut server) = kanazawa();
    let mut elsewhere = client(&authority, "node.komatsu.example");
    let error = handshake(&mut elsewhere, &mut server).unwrap_err();
    assert!(
        matches!(
            error,
            Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
        ),
        "{error}"
    );
    let (_, mut server) = kanazawa();
    let (stranger, _) = kanazawa();
    let mut client = client(&stranger, "node.kanazawa.example");
    let error = handshake(&mut client, &mut server).unwrap_err();
    assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
}

#[test]
fn tls_1_2_is_refused() {
    // Our clients do not speak TLS 1.2, so its ClientHello is written here (RFC 5246 section
    // 7.4.1.2): ECDHE-ECDSA-AES128-GCM, P-256, ECDSA with SHA-256, no supported_versions.
    let extensions = [
        [0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17],
        [0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03],
    ]
    .concat();
    let body = [
        &[0x03, 0x03][..],
        &[0x11; 32],
        &[0x00, 0x00, 0x02, 0xc0, 0x2b, 0x01, 0x00, 0x00, 0x10],
        &extensions,
    ]
    .concat();
    let length = u8::try_from(body.len()).unwrap();
    let hello = [
        &[0x16, 0x03, 0x01, 0x00, length + 4, 0x01, 0x00, 0x00, length][..],
        &body,
    ]
    .concat();

    let (_, mut server) = kanazawa();
    server.read_tls(&mut hello.as_slice()).unwrap();
    let error = server.process_new_packets().unwrap_err();
    let incompatible = matches!(
        error,
        Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOfferedOrEnabled
        )
    );
    assert!(incompatible, "{error:?}");
    let mut alert = Vec::new();
    server.write_tls(&mut alert).unwrap();
    assert_eq!(
        alert.last(),
        Some(&AlertDescription::ProtocolVersion.into())
    );
}

#[test]
fn a_reopened_root_issues_what_its_clients_trust() {
    let (authority, _) = kanazawa();
    let key = authority.expose_key_pem();
    let reopened = TlsAuthority::open(authority.certificate().clone(), &key).unwrap();
    let names = ["node.kanazawa.example".to_owned()];
    let identity = reopened.server(&names, &[], validity()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server_config(identity).unwrap())).unwrap();
    handshake(
        &mut client(&authority, "node.kanazawa.example"),
        &mut server,
    )
    .unwrap();

    let (stranger, _) = kanazawa();
    let mixed = TlsAuthority::open(stranger.certificate().clone(), &key);
    assert!(matches!(mixed, Err(TlsError::RootKey)));
    assert!(!format!("{authority:?}").contains("PRIVATE"));
}

#[test]
fn names_are_checked_before_they_are_certified() {
    let (authority, _) = kanazawa();
    let check = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        authority.server(&names, &[], validity()).map(|_| ())
    };
    assert!(check(&["kiosk-1.local", "localhost"]).is_ok());
    assert!(matches!(check(&[]), Err(TlsError::NameCount(0))));
    assert!(matches!(check(&["a"; 33]), Err(TlsError::NameCount(33))));
    for bad in ["", "*.example", "金沢.example", "a b", "127.0.0.1"] {
        assert!(matches!(check(&[bad]), Err(TlsError::Name(_))), "{bad}");
    }
}

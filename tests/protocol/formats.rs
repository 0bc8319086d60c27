//! The worked examples of docs/formats.md: made again from fixed keys and compared with the file, so that
//! the file says what the software does.

use std::fmt::Write as _;

use city_protocol::body::{Accept, Enrol, PersonBody, Transfer, officer_message};
use city_protocol::codec;
use city_protocol::crypto::{DomainTag, TAG_AMENDMENT, TAG_CHARTER, TAG_GRANT, TAG_VERTEX};
use city_protocol::ids::{Digest, sha256};
use city_protocol::ledger::FaultProof;
use city_protocol::refusal::Refusal;
use city_protocol::replica::BookedEntry;
use city_protocol::sync::{Beacon, FrontierEntry, LogPrefix, Message, Want};
use city_protocol::vertex::{Entry, SignedHeader, decode_body, encode_body};
use data_encoding::HEXLOWER;

use super::charters::elect;
use super::liar::{Liar, start};
use super::world::{KANAZAWA, KOMATSU, World};

const FILE: &str = include_str!("../../docs/formats.md");
const BEGIN: &str = "<!-- examples: written by tests/protocol/formats.rs, do not edit -->\n";
const END: &str = "<!-- end of the examples -->";
/// Set to anything, this variable makes the test write the examples instead of comparing them.
const REWRITE: &str = "CITY_NODE_WRITE_EXAMPLES";

/// A page that is being written.
#[derive(Default)]
struct Page(String);

impl Page {
    fn title(&mut self, text: &str) {
        writeln!(self.0, "### {text}\n").unwrap();
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        writeln!(self.0, "- {name}: `{value}`").unwrap();
    }

    fn code(&mut self, text: &str) {
        writeln!(self.0, "```text\n{text}\n```\n").unwrap();
    }

    fn hex(&mut self, name: &str, bytes: &[u8]) {
        writeln!(self.0, "- {name}, {} bytes:\n", bytes.len()).unwrap();
        let text = HEXLOWER.encode(bytes);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(96)
            .map(|c| str::from_utf8(c).unwrap())
            .collect();
        self.code(&lines.join("\n"));
    }

    /// Bytes that are too long for a page.
    fn blob(&mut self, name: &str, bytes: &[u8]) {
        let digest = HEXLOWER.encode(&sha256(&[bytes]));
        writeln!(
            self.0,
            "- {name}: {} bytes, SHA-256 `{digest}`",
            bytes.len()
        )
        .unwrap();
    }

    /// A JSON body, with what is too long for a page named by its length and hash.
    fn json(&mut self, bytes: &[u8]) {
        let mut text = String::from_utf8(bytes.to_vec()).unwrap();
        let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        shorten(&value, &mut text);
        self.code(&text);
        self.blob("the exact bytes", bytes);
    }

    /// A body and the signature in its entry.
    fn signed(&mut self, tag: DomainTag, entry: &Entry, messages: &[Vec<u8>]) {
        self.json(&entry.body);
        self.line("tag", String::from_utf8_lossy(tag.0).replace('\0', "\\0"));
        self.line("identity", Digest::of(&[tag.0, &entry.body]));
        for (signature, message) in entry.sig.iter().zip(messages) {
            self.line("key id", signature.key);
            self.blob("signed message (tag in front)", &tag.message(message));
            self.blob("signature", &signature.sig);
        }
        self.0.push('\n');
    }
}

fn shorten(value: &serde_json::Value, text: &mut String) {
    match value {
        serde_json::Value::String(long) if long.len() > 300 => {
            let digest = HEXLOWER.encode(&sha256(&[long.as_bytes()]));
            let short = format!("({} characters, SHA-256 {digest})", long.len());
            *text = text.replace(long, &short);
        }
        serde_json::Value::Object(map) => map.values().for_each(|value| shorten(value, text)),
        serde_json::Value::Array(list) => list.iter().for_each(|value| shorten(value, text)),
        _ => {}
    }
}

fn one_person(page: &mut Page, title: &str, tag: DomainTag, booked: &BookedEntry) {
    page.title(title);
    let entry = &booked.receipt.entry;
    page.signed(tag, entry, std::slice::from_ref(&entry.body));
}

/// Everything below the marker.
fn examples() -> String {
    let mut world = World::connected();
    let mut page = Page::default();

    page.title("Genesis");
    let genesis = world.genesis.to_block();
    page.blob("block", &genesis);
    page.blob("its one root, DER", &world.genesis.roots[0].der);
    page.line("network", world.network());
    page.0.push('\n');

    page.title("Charter of 金沢市");
    let authority = world.homes[KANAZAWA].authority.clone();
    page.json(&authority.charter_body);
    page.line(
        "tag",
        String::from_utf8_lossy(TAG_CHARTER.0).replace('\0', "\\0"),
    );
    page.line("log id", authority.log);
    page.line("charter hash, H(body)", authority.charter_hash);
    page.line("node key id", authority.node_key().id());
    page.line("peer id", authority.peer_id());
    page.0.push('\n');

    let hanako = world.person("hanako", KANAZAWA);
    let body = world.enrol_body(&hanako);
    let enrolled = world.enrol(&hanako, body).unwrap();
    one_person(
        &mut page,
        "Enrolment of 花子 in 金沢市",
        Enrol::TAG,
        &enrolled,
    );
    page.line("account id", hanako.account);
    page.blob(
        "client certificate, DER",
        &world
            .ca
            .client(&hanako.account, hanako.key.public(), &hanako.kem),
    );
    page.0.push('\n');

    page.title("Grant by two of three officers");
    let granted = world.grant(&hanako, "1000.00").unwrap();
    let entry = &granted.receipt.entry;
    let messages: Vec<_> = entry
        .sig
        .iter()
        .map(|sig| officer_message(sig.alg, &sig.key, &entry.body))
        .collect();
    page.signed(TAG_GRANT, entry, &messages);

    let taro = world.citizen("taro", KOMATSU);
    let sent = world.transfer(&hanako, &taro, "123.45").unwrap();
    world.run();
    one_person(
        &mut page,
        "Transfer from 花子 to 太郎 in 小松市",
        Transfer::TAG,
        &sent,
    );
    let transfer: Transfer = serde_json::from_slice(&sent.receipt.entry.body).unwrap();
    page.line("transaction_hash", transfer.transaction_hash());
    page.0.push('\n');

    page.title("Vertex of that transfer");
    let header = SignedHeader::read(&sent.receipt.header).unwrap();
    let body = world.homes[KANAZAWA].disk.blocks[&header.header.body].to_vec();
    let entries = decode_body(&body).unwrap();
    assert_eq!(encode_body(&entries), body);
    page.line("vertex id", header.id);
    page.hex("h", &codec::encode(&header.header));
    page.blob(
        "signed message (tag in front)",
        &TAG_VERTEX.message(&codec::encode(&header.header)),
    );
    page.blob("header block", &header.block);
    page.blob("body block", &body);
    page.line("body block id", header.header.body);
    for (i, entry) in entries.iter().enumerate() {
        page.line(&format!("entry {i}, kind"), entry.kind);
        page.line("H(body)", Digest::of(&[&entry.body]));
        page.line("H(sig)", Digest::of(&[&codec::encode(&entry.sig)]));
        page.line("booked", HEXLOWER.encode(&codec::encode(&entry.booked)));
        page.line("H(booked)", Digest::of(&[&codec::encode(&entry.booked)]));
        page.line("H(cites)", Digest::of(&[&codec::encode(&entry.cites)]));
        page.line("leaf", HEXLOWER.encode(&entry.leaf()));
    }
    page.line("entries_root", header.header.entries_root);
    page.0.push('\n');
    page.hex("body of entry 0, the place proof", &entries[0].body);

    page.title("Receipt of that transfer");
    page.blob("receipt", &sent.receipt.to_bytes());
    page.line("index", sent.receipt.index);
    for hash in &sent.receipt.path {
        page.line("path", hash);
    }
    page.0.push('\n');

    let taken = world.accept(&taro, &sent).unwrap();
    world.run();
    one_person(&mut page, "Acceptance by 太郎", Accept::TAG, &taken);
    page.blob(
        "its cite, DAG-CBOR of the list of one",
        &codec::encode(&taken.receipt.entry.cites),
    );
    page.0.push('\n');

    page.title("Settlement in 金沢市");
    let row = world.homes[KANAZAWA].row(&hanako.home_log);
    let disk = world.homes[KANAZAWA].disk.read();
    let head = SignedHeader::read(&disk.block(&row.head).unwrap()).unwrap();
    let entries = decode_body(&disk.block(&head.header.body).unwrap()).unwrap();
    page.hex("body", &entries[0].body);
    page.blob(
        "its cite, DAG-CBOR of the list of one",
        &codec::encode(&entries[0].cites),
    );
    page.0.push('\n');

    page.title("Messages between nodes");
    let first = FrontierEntry::of(&hanako.home_log, &row);
    let beacon = Beacon::of(std::slice::from_ref(&first));
    page.hex(
        "beacon over the frontier below",
        &Message::Beacon(beacon).encode(),
    );
    page.hex(
        "frontier of that log alone",
        &Message::Frontier(vec![first]).encode(),
    );
    let want = Want {
        log: LogPrefix::from(&hanako.home_log),
        epoch: 1,
        from: 1,
        to: row.seq,
    };
    page.hex("want", &Message::Want(vec![want]).encode());
    page.hex("credit of one mebibyte", &Message::Credit(1 << 20).encode());
    page.hex("fetch", &Message::Fetch(vec![row.head]).encode());
    page.blob(
        "SignedData of an announcement",
        &codec::encode(&world.homes[KANAZAWA].announcement(world.now)),
    );
    page.0.push('\n');

    page.title("Proof that 金沢市 signed a position twice");
    let liar = Liar::new(&world, KANAZAWA);
    let [one, two] = ["one", "two"].map(|software| liar.sign(&[start(software)]));
    let authority = world.homes[KANAZAWA].authority.entries(1, None);
    let proof = FaultProof::of_vertices(authority, &one.header, &two.header).unwrap();
    proof.verify(&world.genesis).unwrap();
    page.blob("proof", &proof.to_bytes());
    for header in &proof.evidence {
        page.line("vertex", SignedHeader::read(header).unwrap().id);
    }
    page.0.push('\n');

    page.title("A later charter of 金沢市, by two of the three officers before");
    let elected = elect(&mut world, 2026);
    world.run();
    let entry = &elected.receipt.entry;
    let messages: Vec<_> = entry
        .sig
        .iter()
        .map(|sig| officer_message(sig.alg, &sig.key, &entry.body))
        .collect();
    page.signed(TAG_AMENDMENT, entry, &messages);
    let header = SignedHeader::read(&elected.receipt.header).unwrap();
    page.line("charter hash, H(body)", header.header.charter);
    page.line("vertex id", header.id);
    page.blob("receipt", &elected.receipt.to_bytes());

    assert_eq!(world.homes[KOMATSU].available(&hanako), 87_655);
    assert!(world.homes.iter().all(|home| home.frozen.is_empty()));
    page.0.trim_end().to_owned() + "\n"
}

#[test]
fn the_worked_examples_are_what_the_software_writes() {
    let examples = examples();
    let (before, rest) = FILE.split_once(BEGIN).expect("the page has the marker");
    let (written, after) = rest.split_once(END).expect("the page has the end marker");
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever changes a format rewrites its examples"
    )]
    if std::env::var(REWRITE).is_ok() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
        std::fs::write(path, format!("{before}{BEGIN}{examples}{END}{after}")).unwrap();
        return;
    }
    let differs = examples
        .lines()
        .zip(written.lines())
        .find(|(new, old)| new != old);
    assert_eq!(
        differs, None,
        "run `{REWRITE}=1 cargo test -p city-protocol formats` to rewrite"
    );
    assert_eq!(examples, written);
}

#[test]
fn every_refusal_code_stands_in_the_page() {
    for code in Refusal::ALL.iter().map(|refusal| refusal.code()) {
        assert!(
            FILE.contains(&format!("| `{code}` |")),
            "{code} is not explained"
        );
    }
}

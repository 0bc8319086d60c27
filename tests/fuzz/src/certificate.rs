//! Certificates: a chain is admitted exactly where every certificate of it allows it and it ends in a root
//! that may speak for the region; said twice, the verdict is the same; and of bytes that nobody signed none
//! are admitted. Chains are written here by hand, so that every field can be wrong.

use arbitrary::Arbitrary;
use city_protocol::amount::Timestamp;
use city_protocol::pki::{
    Admitted, CertificateRefusal, Crls, MAX_CERTIFICATE_DER, MAX_INTERMEDIATES, Root,
    verify_client, verify_node,
};
use city_protocol::region::Region;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

use crate::edits::{Edit, Input, apply};
use crate::issue::{Form, Leaf, der_of, root_of};
use crate::memory;
use crate::town::town;
use crate::world::BEGIN;

/// What one judgement may hold beside some copies of the bytes: parsed certificates and keys.
const MEMORY: usize = 2 << 20;
/// When chains are judged: within the dates of the roots.
const AT: Timestamp = BEGIN.plus_ms(86_400_000);

/// A chain and who is asked about it.
#[derive(Arbitrary, Debug)]
struct Story {
    leaf: Leaf,
    /// From the leaf's issuer upwards.
    issuers: Vec<Form>,
    /// Whether a root signed the last of them that is not trusted, or only elsewhere.
    stranger: bool,
    trust: Trust,
    /// The intermediates come in another order.
    turned: bool,
    /// Milliseconds within the second in which all is judged.
    ms: u16,
    damage: Option<Damage>,
}

/// Which roots are trusted, and where.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Ours,
    Strangers,
    Both,
    OursElsewhere,
    Nobody,
}

/// Bytes that change.
#[derive(Arbitrary, Debug)]
struct Damage {
    /// The leaf, or one of its issuers.
    which: u8,
    /// Before somebody signs them, or after.
    signed: bool,
    edits: Vec<Edit>,
}

/// Runs the target.
pub fn run(data: &[u8]) {
    match Input::of(data) {
        Some(Input::Raw(bytes)) => noise(bytes),
        Some(Input::Story(mut story)) => {
            if let Ok(story) = Story::arbitrary(&mut story) {
                tell(story);
            }
        }
        None => {}
    }
}

/// Inputs to begin with: the certificates of the story, and a chain of three.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = known().iter().map(|der| Input::raw(der)).collect();
    seeds.extend((0..4).map(|n| [vec![1], vec![n; 64]].concat()));
    seeds
}

thread_local! {
    static KNOWN: Vec<Vec<u8>> = known();
}

fn known() -> Vec<Vec<u8>> {
    let town = town();
    let homes = town.world.homes.iter();
    let mut known: Vec<_> = homes
        .map(|home| home.authority.charter.node_certificate.0.clone())
        .collect();
    let hanako = &town.hanako;
    known.push(
        town.world
            .ca
            .client(&hanako.account, hanako.key.public(), &hanako.kem),
    );
    known
}

fn region() -> Region {
    "Asia/JP/17/17201".parse().expect("金沢市")
}

/// Bytes of a stranger: none but the story's own certificates are admitted.
fn noise(leaf: &[u8]) {
    let roots = &town().world.genesis.roots;
    let admitted = judged(roots, leaf, &[], AT);
    let known = KNOWN.with(|known| known.iter().any(|der| der == leaf));
    assert_eq!(admitted, known);
}

/// Asks as a node's and as a person's, each twice; whether either was admitted.
fn judged(roots: &[Root], leaf: &[u8], chain: &[Vec<u8>], at: Timestamp) -> bool {
    let size = leaf.len() + chain.iter().map(Vec::len).sum::<usize>();
    memory::within(MEMORY + 32 * size, || {
        let none = Crls::none();
        let node = verify_node(roots, leaf, chain, &none, at);
        assert_eq!(node, verify_node(roots, leaf, chain, &none, at));
        let client = verify_client(roots, leaf, chain, &none, at, &region());
        assert_eq!(
            client,
            verify_client(roots, leaf, chain, &none, at, &region())
        );
        assert!(node.is_err() || client.is_err(), "nobody is both");
        if let Ok(Admitted {
            certificate: node, ..
        }) = &node
        {
            assert!(roots.iter().any(|root| root.prefix.covers(&node.region)));
            dated(leaf, node.not_before, node.not_after, at);
        }
        if let Ok(Admitted {
            certificate: client,
            ..
        }) = &client
        {
            assert!(roots.iter().any(|root| root.prefix.covers(&region())));
            dated(leaf, client.not_before, client.not_after, at);
        }
        let too_large = leaf.len() > MAX_CERTIFICATE_DER;
        assert!(!too_large || node == Err(CertificateRefusal::TooLarge));
        node.is_ok() || client.is_ok()
    })
}

fn dated(leaf: &[u8], from: Timestamp, until: Timestamp, at: Timestamp) {
    let second = at.0 / 1000 * 1000;
    assert!(from.0 <= second && second <= until.0);
    let again = Certificate::from_der(leaf).and_then(|read| read.to_der());
    assert_eq!(again.as_deref(), Ok(leaf), "one spelling");
}

fn tell(mut story: Story) {
    story.issuers.truncate(MAX_INTERMEDIATES + 1);
    let anchor = if story.stranger {
        "a stranger's root"
    } else {
        "test root"
    };
    let names = |n: usize| match n {
        n if n < story.issuers.len() => format!("CA {n}"),
        _ => anchor.to_owned(),
    };
    let damaged = story.damage.as_ref().map(|damage| {
        let which = usize::from(damage.which) % (story.issuers.len() + 1);
        (which, damage)
    });
    let before = |n: usize| match damaged {
        Some((which, damage)) if which == n && !damage.signed => damage.edits.as_slice(),
        _ => &[],
    };
    let leaf = der_of(&story.leaf.form(AT), &names(0), before(0));
    let issuers = story.issuers.iter().enumerate();
    let mut chain: Vec<_> = issuers
        .map(|(n, form)| der_of(&form.issuer(AT, &names(n)), &names(n + 1), before(n + 1)))
        .collect();
    let mut signed = leaf.clone();
    if let Some((which, damage)) = damaged.filter(|(_, damage)| damage.signed) {
        let one = which.checked_sub(1).map_or(&mut signed, |n| &mut chain[n]);
        apply(one, &damage.edits);
    }
    if story.turned {
        chain.reverse();
    }
    let roots = trusted(story.trust);
    let at = AT.plus_ms(u64::from(story.ms % 1000));
    let admitted = judged(&roots, &signed, &chain, at);

    let rooted = match story.trust {
        Trust::Ours => !story.stranger,
        Trust::Strangers => story.stranger,
        Trust::Both => true,
        Trust::OursElsewhere | Trust::Nobody => false,
    };
    assert!(rooted || !admitted, "it does not end in a root");
    if signed != leaf {
        assert!(!admitted, "a leaf that nobody signed");
    }
    let untouched = damaged.is_none_or(|(_, damage)| damage.edits.is_empty());
    if untouched {
        let mut issuers = story.issuers.iter().enumerate();
        let allowed = rooted
            && chain.len() <= MAX_INTERMEDIATES
            && story.leaf.allowed()
            && issuers.all(|(below, form)| form.may_issue(below));
        assert_eq!(admitted, allowed, "{story:?}");
    }
}

fn trusted(trust: Trust) -> Vec<Root> {
    let root = |name: &str, prefix: &str| root_of(name, prefix, BEGIN);
    match trust {
        Trust::Ours => vec![root("test root", "Asia/JP")],
        Trust::Strangers => vec![root("a stranger's root", "Asia")],
        Trust::Both => vec![
            root("a stranger's root", "Asia/JP/17"),
            root("test root", "Asia/JP"),
        ],
        Trust::OursElsewhere => vec![root("test root", "Asia/JP/13")],
        Trust::Nobody => Vec::new(),
    }
}

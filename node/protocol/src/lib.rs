//! The rules of the municipal ledger: formats, signatures, validity, journal, place evidence and sync.
//!
//! Pure: this crate never waits and never reads a clock, a file, a socket or the environment. Time and
//! randomness are arguments; reading goes through
//! [`History`](ledger::History), writing is an [`Action`](replica::Action).
//!
//! # For apps
//!
//! An app on a person's device needs this crate alone, and no runtime: it makes keys ([`crypto`]), writes drafts, seals
//! messages and signs ([`client`], [`stage`]), keeps what stands behind private fields ([`body::PrivateValues`]), and
//! verifies receipts with nothing but the network's genesis record ([`vertex::Receipt`], [`genesis::Genesis`]). How the
//! bytes travel is the app's own affair: JSON over HTTPS (docs/formats.md, section 11), a QR code, a memory card.
//!
//! ```
//! use city_protocol::amount::Timestamp;
//! use city_protocol::client::{Home, Order, person::Person};
//! use city_protocol::crypto::Suite;
//! use city_protocol::ids::{BlockId, LogId};
//!
//! // What `GET /send/api/node` says of the two homes; made up here.
//! let network = BlockId::of(b"a genesis record");
//! let kanazawa = Home {
//!     network,
//!     log: LogId([1; 32]),
//!     region: "Asia/JP/17/17201".parse()?,
//!     suite: Suite::Fips,
//! };
//! let komatsu = Home {
//!     log: LogId([2; 32]),
//!     region: "Asia/JP/17/17203".parse()?,
//!     ..kanazawa.clone()
//! };
//! let hanako = Person::generate(kanazawa);
//! let taro = Person::generate(komatsu.clone());
//!
//! let mut order = Order::new(taro.account(), komatsu, "123.45".parse()?);
//! order.created_at = Timestamp(1_774_828_801_000);
//! order.subject = "野菜のお礼".into();
//! order.message = Some((taro.kem().public().clone(), "昨日の葱、おいしかったです".into()));
//! let (signed, private) = hanako.transfer(&order)?;
//! // `signed` and `private` go to 花子's home; the values fit what was signed.
//! private.check(signed.body())?;
//! # Ok::<(), city_protocol::Refusal>(())
//! ```
//!
//! `examples/pay.rs` goes the whole way, from the keys to a receipt that is verified offline:
//! `cargo run -p city-protocol --example pay`.
#![forbid(unsafe_code)]

pub mod amount;
pub mod body;
pub mod checkpoint;
pub mod client;
pub mod codec;
pub mod crypto;
pub mod genesis;
pub mod ids;
pub mod journal;
pub mod json;
pub mod ledger;
pub mod pki;
pub mod place;
pub mod refusal;
pub mod region;
pub mod replica;
pub mod stage;
pub mod sync;
pub mod trust;
pub mod vertex;

pub use refusal::Refusal;

//! The client side of the node's two interfaces, for the command line, the demo and tests.
//!
//! `http` one small HTTP/1.1 client over TLS or a Unix socket · `api` calls of the HTTPS API · `admin` calls of
//! the admin socket · `person` what a person's own device does: keys, drafts, signatures · `officer` grants ·
//! `wallet` a person's keys in a file, `paper` the same in QR codes.

mod admin;
mod api;
mod error;
mod http;
pub mod officer;
pub mod paper;
pub mod person;
pub mod wallet;

pub use admin::AdminClient;
pub use api::ApiClient;
pub use error::ClientError;

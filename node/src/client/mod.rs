//! The client side of the node's two interfaces, for the command line, the demo and tests.
//!
//! `http` one small HTTP/1.1 client over TLS or a Unix socket · `api` calls of the HTTPS API · `admin` calls of
//! the admin socket · `address` where an API is · `line` one call on a connection of its own · `wallet` a person's keys in a file, `paper` the same in QR codes. What a person's own device does
//! with its keys, `person` and `officer`, needs no node and stands in `city_protocol::client`.

mod address;
mod admin;
mod api;
mod error;
mod http;
mod line;
pub mod paper;
pub mod wallet;

pub use address::Address;
pub use admin::AdminClient;
pub use api::ApiClient;
pub use error::ClientError;
pub use http::Reply;
pub use line::{Line, Unanswered};

pub use city_protocol::client::officer;

/// What a person's own device does: keys, drafts, signatures.
pub mod person {
    pub use city_protocol::client::Order;
    pub use city_protocol::client::person::Person;
    pub use city_protocol::crypto::random;
}

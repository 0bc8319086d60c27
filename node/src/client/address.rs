//! Where a node's HTTPS API is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hyper::Uri;
use rustls::pki_types::{CertificateDer, ServerName};

use super::ClientError;
use super::http::Target;
use crate::pki::tls::client_config;

/// The port of an address that names none.
const DEFAULT_PORT: u16 = 443;

/// An address such as `https://node.example:8443`, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    /// What its TLS certificate must name.
    name: ServerName<'static>,
}

impl Address {
    /// What connects there; only these roots are trusted.
    pub(super) fn target(&self, roots: &[CertificateDer<'static>]) -> Result<Target, ClientError> {
        Ok(Target::Tls {
            host: self.host.clone(),
            port: self.port,
            name: self.name.clone(),
            config: Arc::new(client_config(roots)?),
        })
    }
}

impl FromStr for Address {
    type Err = ClientError;

    fn from_str(url: &str) -> Result<Self, ClientError> {
        let bad = || ClientError::Address(url.into());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let plain = uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/");
        let host = uri.host().filter(|_| plain && uri.query().is_none());
        let host = host.ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            name: ServerName::try_from(host.to_owned()).map_err(|_| bad())?,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(DEFAULT_PORT),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", authority(&self.host, self.port))
    }
}

/// A host that is an IPv6 address stands in brackets.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_a_host_and_a_port_and_nothing_more() {
        let check = |url: &str, expected: Option<&str>| {
            let read = url.parse::<Address>().ok();
            assert_eq!(read.map(|a| a.to_string()).as_deref(), expected, "{url}");
        };
        check(
            "https://node.example:8443",
            Some("https://node.example:8443"),
        );
        check("https://192.0.2.7", Some("https://192.0.2.7:443"));
        check("https://[2001:db8::1]:1/", Some("https://[2001:db8::1]:1"));
        for url in [
            "",
            "node.example:8443",
            "http://node.example",
            "https://",
            "https://node.example/send",
            "https://node.example?x=1",
            "https://node example",
        ] {
            check(url, None);
        }
    }
}

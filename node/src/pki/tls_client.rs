//! Whom a TLS client certificate names: an account or an operator. The common name says who, one alternative
//! name (a URI) says which of the two, so that no operator's name is ever read as an account or the other way.

use std::fmt;
use std::str::FromStr;

use city_protocol::ids::AccountId;
use city_protocol::pki::forms::read_common_name;
use serde::{Deserialize, Serialize};
use x509_cert::TbsCertificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Longest operator name in bytes: a column of a list.
pub const MAX_OPERATOR_NAME: usize = 32;
/// The alternative name of an account's certificate.
const ACCOUNT_URI: &str = "city-node:account";
/// The alternative name of an operator's certificate.
const OPERATOR_URI: &str = "city-node:operator";

/// A name that operators are told apart by, in certificates and in the access log: `[a-z0-9][a-z0-9._-]{0,31}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperatorName(String);

/// Not an operator's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an operator's name has 1 to {MAX_OPERATOR_NAME} characters of a-z 0-9 . _ - and begins with a letter or digit"
)]
pub struct BadOperatorName;

impl OperatorName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OperatorName {
    type Err = BadOperatorName;

    fn from_str(text: &str) -> Result<Self, BadOperatorName> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let begins = text.bytes().next().is_some_and(letter);
        let goes_on = text.bytes().all(|b| letter(b) || b"._-".contains(&b));
        if begins && goes_on && text.len() <= MAX_OPERATOR_NAME {
            Ok(Self(text.into()))
        } else {
            Err(BadOperatorName)
        }
    }
}

impl TryFrom<String> for OperatorName {
    type Error = BadOperatorName;

    fn try_from(text: String) -> Result<Self, BadOperatorName> {
        text.parse()
    }
}

impl From<OperatorName> for String {
    fn from(name: OperatorName) -> Self {
        name.0
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a TLS client certificate names. Read from a certificate it is a claim; the trust store judges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsSubject {
    /// A person's account.
    Account(AccountId),
    /// An operator of this node.
    Operator(OperatorName),
}

impl TlsSubject {
    /// The common name.
    #[must_use]
    pub fn common_name(&self) -> String {
        match self {
            Self::Account(account) => account.to_string(),
            Self::Operator(name) => name.to_string(),
        }
    }

    /// The alternative name (URI) that says which of the two it is.
    #[must_use]
    pub const fn uri(&self) -> &'static str {
        match self {
            Self::Account(_) => ACCOUNT_URI,
            Self::Operator(_) => OPERATOR_URI,
        }
    }

    /// Reads the subject; `None` unless there is exactly one common name and exactly one alternative name, both
    /// of our forms.
    pub(super) fn read(tbs: &TbsCertificate) -> Option<Self> {
        let name = read_common_name(tbs.subject()).ok()?;
        let (_, names) = tbs.get_extension::<SubjectAltName>().ok()??;
        let [GeneralName::UniformResourceIdentifier(uri)] = &names.0[..] else {
            return None;
        };
        match uri.as_str() {
            ACCOUNT_URI => Some(Self::Account(name.parse().ok()?)),
            OPERATOR_URI => Some(Self::Operator(name.parse().ok()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_plain_names() {
        let check = |text: &str, good: bool| {
            assert_eq!(text.parse::<OperatorName>().is_ok(), good, "{text:?}");
        };
        check("hanako", true);
        check("night-shift.2", true);
        check(&"x".repeat(MAX_OPERATOR_NAME), true);
        check(&"x".repeat(MAX_OPERATOR_NAME + 1), false);
        for bad in ["", "Hanako", "-x", "花子", "a b", "a\n"] {
            check(bad, false);
        }
    }
}

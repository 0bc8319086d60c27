//! What stands behind the private fields of a transfer (DESIGN §5): salted values whose digests alone are signed.
//!
//! Who is shown a value with its salt can check it against the ledger; who is not learns nothing, and nothing can be
//! guessed without the salt. Where values are kept, sent and erased is the node's.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::Transfer;
use crate::codec;
use crate::ids::Digest;
use crate::refusal::Refusal;

/// Bytes of a salt: as many as the digest has, so that nothing is guessed through it.
pub const SALT_LEN: usize = 32;
/// Longest value in bytes: a verifiable credential of a few attributes with an Ed25519 or P-256 proof.
pub const MAX_PRIVATE_VALUE: usize = 8 * 1024;
/// Longest values of one transfer in bytes, as DAG-CBOR: an API request has 64 KiB for them and the signed body.
pub const MAX_PRIVATE_VALUES: usize = 32 * 1024;

/// A field of a transfer of which the signed body has the digest only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivateField {
    /// What it is about.
    Subject,
    /// Details.
    Details,
    /// Where.
    Location,
    /// A verifiable credential.
    VerifiableCredential,
    /// Anything else.
    Attributes,
}

impl PrivateField {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Subject,
        Self::Details,
        Self::Location,
        Self::VerifiableCredential,
        Self::Attributes,
    ];

    /// The field's name in the body.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Details => "details",
            Self::Location => "location",
            Self::VerifiableCredential => "verifiable_credential",
            Self::Attributes => "attributes",
        }
    }

    /// The digest that stands in a body for this field; none if the body does not have it.
    #[must_use]
    pub const fn signed_in(self, transfer: &Transfer) -> Option<Digest> {
        match self {
            Self::Subject => Some(transfer.subject),
            Self::Details => Some(transfer.details),
            Self::Location => Some(transfer.location),
            Self::VerifiableCredential => transfer.verifiable_credential,
            Self::Attributes => transfer.attributes,
        }
    }
}

impl fmt::Display for PrivateField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PrivateField {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|field| field.as_str() == text)
            .ok_or(Refusal::BadField)
    }
}

/// A private value and the salt that hides it: the body holds SHA-256(salt ‖ value).
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub struct Salted {
    salt: Zeroizing<[u8; SALT_LEN]>,
    value: Zeroizing<String>,
}

/// As it is written: `{salt, value}`, the salt base64 in JSON and a byte string in DAG-CBOR.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    #[serde(with = "crate::json::base64_bytes")]
    salt: Vec<u8>,
    value: String,
}

impl Salted {
    /// A value with this salt: 32 fresh random bytes that stand behind nothing else.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] for a value of more than [`MAX_PRIVATE_VALUE`] bytes.
    pub fn new(salt: [u8; SALT_LEN], value: &str) -> Result<Self, Refusal> {
        if value.len() > MAX_PRIVATE_VALUE {
            return Err(Refusal::TooLarge);
        }
        Ok(Self {
            salt: Zeroizing::new(salt),
            value: Zeroizing::new(value.into()),
        })
    }

    /// What stands in the signed body.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[&*self.salt, self.value.as_bytes()])
    }

    /// The salt, to keep or to show.
    #[must_use]
    pub fn expose_salt(&self) -> &[u8; SALT_LEN] {
        &self.salt
    }

    /// The value, to keep or to show.
    #[must_use]
    pub fn expose_value(&self) -> &str {
        &self.value
    }

    /// Whether this is what stands in a body for a field.
    ///
    /// # Errors
    /// [`Refusal::PrivateMismatch`] if another digest stands there, or none.
    pub fn check(&self, field: PrivateField, transfer: &Transfer) -> Result<(), Refusal> {
        if field.signed_in(transfer) == Some(self.digest()) {
            Ok(())
        } else {
            Err(Refusal::PrivateMismatch)
        }
    }
}

impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salted(redacted)")
    }
}

impl TryFrom<Form> for Salted {
    type Error = Refusal;

    fn try_from(mut form: Form) -> Result<Self, Refusal> {
        let salt = form.salt.as_slice().try_into();
        let salted = salt
            .map_err(|_| Refusal::BadField)
            .and_then(|salt| Self::new(salt, &form.value));
        form.zeroize();
        salted
    }
}

impl From<Salted> for Form {
    fn from(salted: Salted) -> Self {
        Self {
            salt: salted.salt.to_vec(),
            value: salted.value.to_string(),
        }
    }
}

impl Form {
    fn zeroize(&mut self) {
        self.salt.zeroize();
        self.value.zeroize();
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        self.zeroize();
    }
}

/// What stands behind the private fields of one transfer: at least one, all within [`MAX_PRIVATE_VALUES`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<PrivateField, Salted>",
    into = "BTreeMap<PrivateField, Salted>"
)]
pub struct PrivateValues(BTreeMap<PrivateField, Salted>);

impl PrivateValues {
    /// Takes values.
    ///
    /// # Errors
    /// [`Refusal::BadField`] for none at all, [`Refusal::TooLarge`] for more than [`MAX_PRIVATE_VALUES`] bytes.
    pub fn new(values: BTreeMap<PrivateField, Salted>) -> Result<Self, Refusal> {
        if values.is_empty() {
            return Err(Refusal::BadField);
        }
        let values = Self(values);
        if values.to_bytes().len() > MAX_PRIVATE_VALUES {
            return Err(Refusal::TooLarge);
        }
        Ok(values)
    }

    /// Reads their DAG-CBOR.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`], or [`Refusal::BadCbor`].
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        codec::decode(bytes, MAX_PRIVATE_VALUES)
    }

    /// Their DAG-CBOR: a map of the fields, each `{salt: 32 bytes, value: text}`.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(codec::encode(&self.0))
    }

    /// The value of a field.
    #[must_use]
    pub fn get(&self, field: PrivateField) -> Option<&Salted> {
        self.0.get(&field)
    }

    /// All of them, in the order of [`PrivateField::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (PrivateField, &Salted)> {
        self.0.iter().map(|(field, salted)| (*field, salted))
    }

    /// Whether every one is what stands in the body: what was signed, and nothing else.
    ///
    /// # Errors
    /// [`Refusal::PrivateMismatch`] if for one of them another digest stands there, or none.
    pub fn check(&self, transfer: &Transfer) -> Result<(), Refusal> {
        self.iter()
            .try_for_each(|(field, salted)| salted.check(field, transfer))
    }
}

/// The DAG-CBOR of [`PrivateValues`] on its way between two homes, not read yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateBytes(#[serde(with = "serde_bytes")] Vec<u8>);

impl PrivateBytes {
    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for PrivateBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for PrivateBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateBytes({} bytes, redacted)", self.0.len())
    }
}

impl Drop for PrivateBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl TryFrom<BTreeMap<PrivateField, Salted>> for PrivateValues {
    type Error = Refusal;

    fn try_from(values: BTreeMap<PrivateField, Salted>) -> Result<Self, Refusal> {
        Self::new(values)
    }
}

impl From<PrivateValues> for BTreeMap<PrivateField, Salted> {
    fn from(values: PrivateValues) -> Self {
        values.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salted(salt: u8, value: &str) -> Salted {
        Salted::new([salt; SALT_LEN], value).unwrap()
    }

    fn values(list: &[(PrivateField, &str)]) -> Result<PrivateValues, Refusal> {
        let list = list.iter().zip(1..);
        PrivateValues::new(
            list.map(|((field, value), salt)| (*field, salted(salt, value)))
                .collect(),
        )
    }

    #[test]
    fn a_value_is_hidden_by_its_salt_and_proven_with_it() {
        let (one, other) = (salted(1, "薬"), salted(2, "薬"));
        assert_ne!(one.digest(), other.digest());
        let shown = Digest::of(&[one.expose_salt(), one.expose_value().as_bytes()]);
        assert_eq!(shown, one.digest());
        assert_eq!(format!("{one:?}"), "Salted(redacted)");
        let all = values(&[(PrivateField::Subject, "薬")]).unwrap();
        assert!(!format!("{all:?}").contains('薬'), "{all:?}");
    }

    #[test]
    fn values_come_back_from_cbor_and_json_and_nothing_else_does() {
        let all = values(&[
            (PrivateField::Subject, "野菜"),
            (PrivateField::VerifiableCredential, "eyJ…"),
            (PrivateField::Attributes, ""),
        ])
        .unwrap();
        let bytes = all.to_bytes();
        let back = PrivateValues::read(&bytes).unwrap();
        assert_eq!(*back.to_bytes(), *bytes);
        assert_eq!(
            back.get(PrivateField::Subject).unwrap().expose_value(),
            "野菜"
        );
        let json = serde_json::to_string(&all).unwrap();
        let back: PrivateValues = serde_json::from_str(&json).unwrap();
        assert_eq!(*back.to_bytes(), *bytes);

        let refused = |bytes: &[u8]| PrivateValues::read(bytes).unwrap_err();
        assert_eq!(refused(&[&bytes[..], &[0]].concat()), Refusal::BadCbor);
        assert_eq!(refused(&bytes[..bytes.len() - 1]), Refusal::BadCbor);
        assert_eq!(refused(b"\xa0"), Refusal::BadCbor);
        for json in [
            "{}".to_owned(),
            json.replace("subject", "amount"),
            json.replace("\"value\"", "\"other\""),
            r#"{"subject":{"salt":"AAAA","value":"short salt"}}"#.into(),
        ] {
            assert!(
                serde_json::from_str::<PrivateValues>(&json).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn one_value_and_all_together_are_bounded() {
        let long = "x".repeat(MAX_PRIVATE_VALUE);
        let check = |fields: usize, expected: Result<(), Refusal>| {
            let list: Vec<_> = PrivateField::ALL[..fields]
                .iter()
                .map(|field| (*field, long.as_str()))
                .collect();
            assert_eq!(values(&list).map(drop), expected, "{fields} fields");
        };
        check(0, Err(Refusal::BadField));
        check(3, Ok(()));
        check(4, Err(Refusal::TooLarge));
        let longer = format!("{long}x");
        assert_eq!(
            Salted::new([0; SALT_LEN], &longer).unwrap_err(),
            Refusal::TooLarge
        );
        let huge = vec![0xa1; MAX_PRIVATE_VALUES + 1];
        assert_eq!(PrivateValues::read(&huge).unwrap_err(), Refusal::TooLarge);
    }

    #[test]
    fn fields_have_the_names_of_the_body() {
        for field in PrivateField::ALL {
            assert_eq!(field.as_str().parse(), Ok(field));
            let json = serde_json::to_value(field).unwrap();
            assert_eq!(json, field.as_str());
        }
        assert_eq!("amount".parse::<PrivateField>(), Err(Refusal::BadField));
    }
}

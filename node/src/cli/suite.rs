//! Suites as arguments: every command that makes keys offers the same names.

use city_protocol::crypto::Suite;
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// Takes the ids of the suites that this software knows.
pub(super) fn suites() -> impl TypedValueParser<Value = Suite> {
    let ids = Suite::ALL.iter().map(|suite| suite.id());
    PossibleValuesParser::new(ids).try_map(|id| id.parse::<Suite>())
}

//! The environment over the file: `CITY_NODE_` and a key's path in capitals, `_` for `.`, such as
//! `CITY_NODE_API_LISTEN` for `api.listen`. An empty variable counts as not set.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::keys::{KEYS, VARIABLE_PREFIX};

/// Variables that begin alike and are no overrides: the command line's own two, what tests use for
/// themselves and the node ignores, and the mark of `main`'s second start.
const OTHERS: [&str; 5] = [
    "CITY_NODE_CONFIG",
    "CITY_NODE_DATA_DIR",
    "CITY_NODE_TEST_DATA",
    "CITY_NODE_SEED",
    crate::cli::KEYLOG_GUARD,
];

/// What the environment says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// By key path: the variable's name and its text, `None` if it is not UTF-8.
    pub(super) values: BTreeMap<&'static str, (String, Option<String>)>,
    unknown: Vec<String>,
}

impl Overrides {
    /// No overrides.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of this process.
    #[must_use]
    pub fn from_env() -> Self {
        Self::from_vars(std::env::vars_os())
    }

    /// Those of these variables.
    #[must_use]
    pub fn from_vars(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut overrides = Self::default();
        for (name, value) in vars {
            let Some(name) = name
                .to_str()
                .filter(|name| name.starts_with(VARIABLE_PREFIX))
            else {
                continue;
            };
            if value.is_empty() || OTHERS.contains(&name) {
                continue;
            }
            match KEYS.iter().find(|key| key.variable() == name) {
                Some(key) => {
                    let text = value.into_string().ok();
                    overrides.values.insert(key.path, (name.to_owned(), text));
                }
                None => overrides.unknown.push(name.to_owned()),
            }
        }
        overrides.unknown.sort_unstable();
        overrides
    }

    /// Variables that begin with `CITY_NODE_` and mean nothing: probably misspelt.
    #[must_use]
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }
}

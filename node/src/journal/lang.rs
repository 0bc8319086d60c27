//! Japanese and English: which one, and how the chart is called in it.

use city_protocol::journal::{AccountClass, ChartAccount};

use crate::api::wire::StatePage;

/// Language of what people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// 日本語.
    Ja,
    /// English.
    En,
}

impl Lang {
    /// What the environment asks for, by the first of LC_ALL, LC_MESSAGES and LANG that is set (POSIX): Japanese for
    /// `ja…`, else English.
    #[must_use]
    pub fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .filter_map(variable)
            .find(|value| !value.is_empty());
        match locale {
            Some(locale) if locale.starts_with("ja") => Self::Ja,
            _ => Self::En,
        }
    }

    /// One of two words.
    #[must_use]
    pub const fn pick(self, ja: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }

    /// The tag of the language (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        self.pick("ja", "en")
    }

    /// What an account of the chart is called.
    #[must_use]
    pub const fn account(self, account: &ChartAccount) -> &'static str {
        self.pick(account.name, account.english)
    }

    /// What a class of accounts is called.
    #[must_use]
    pub const fn class(self, class: AccountClass) -> &'static str {
        self.pick(class.name(), class.english())
    }

    /// What a transfer's state is called.
    #[must_use]
    pub fn state(self, state: &StatePage) -> &str {
        match self {
            Self::Ja => &state.ja,
            Self::En => &state.en,
        }
    }
}

/// Hundredths as people write them: two places, and a sign if they are negative.
#[must_use]
pub fn amount(hundredths: i128) -> String {
    let sign = if hundredths < 0 { "-" } else { "" };
    let magnitude = hundredths.unsigned_abs();
    format!("{sign}{}.{:02}", magnitude / 100, magnitude % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_decides() {
        let check = |set: &[(&str, &str)], expected| {
            let variable = |name: &str| {
                let found = set.iter().find(|(set, _)| *set == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Lang::of_locale(variable), expected, "{set:?}");
        };
        check(&[], Lang::En);
        check(&[("LANG", "ja_JP.UTF-8")], Lang::Ja);
        check(&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "C.UTF-8")], Lang::En);
        check(
            &[("LC_ALL", ""), ("LC_MESSAGES", "ja"), ("LANG", "C")],
            Lang::Ja,
        );
    }

    #[test]
    fn sums_are_written_like_amounts() {
        assert_eq!(amount(12_345), "123.45");
        assert_eq!(amount(-5), "-0.05");
        assert_eq!(amount(0), "0.00");
    }
}

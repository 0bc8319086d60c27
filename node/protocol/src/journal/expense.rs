//! Which expense a sender's home books (DESIGN §6, Journal). The home decides once, at admission, by what the sender
//! signed and by the private details that came beside it; the code stands in `booked.debit`, and nobody reads the
//! details again.

use crate::body::AccountTitle;

/// Details that hold one of these words name a reinvestment. They are compared by code points: no other writing
/// of the same word counts, so that every home decides alike.
const REINVESTMENT: [&str; 2] = ["長期的", "価値創出"];

/// The expense account that a home books for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expense(u16);

impl Expense {
    /// What the home decides by `account_title` and, for `other`, by the private details; details that the home was
    /// not given name nothing.
    #[must_use]
    pub fn decided(title: Option<AccountTitle>, details: Option<&str>) -> Self {
        let reinvests = |details: &str| REINVESTMENT.iter().any(|word| details.contains(word));
        Self(match title {
            None | Some(AccountTitle::Expense) => 501,
            Some(AccountTitle::Sales) => 502,
            Some(AccountTitle::Transfer) => 503,
            Some(AccountTitle::Other) if details.is_some_and(reinvests) => 510,
            Some(AccountTitle::Other) => 509,
        })
    }

    /// Code of the chart.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{chart_account, is_expense};

    #[test]
    fn the_title_decides_and_for_other_the_details() {
        let check = |title, details, name| {
            let code = Expense::decided(title, details).code();
            assert!(is_expense(code));
            assert_eq!(
                chart_account(code).unwrap().name,
                name,
                "{title:?} {details:?}"
            );
        };
        let other = Some(AccountTitle::Other);
        check(None, None, "愛の行動消費");
        check(Some(AccountTitle::Expense), None, "愛の行動消費");
        check(Some(AccountTitle::Sales), None, "愛貨感謝返礼費用");
        check(Some(AccountTitle::Transfer), None, "他者への愛貨の贈与");
        check(other, None, "他者のサポートに伴う愛貨の消費");
        check(other, Some("畑の手伝い"), "他者のサポートに伴う愛貨の消費");
        check(other, Some("長期的な森の手入れ"), "愛貨の再投資費用");
        check(other, Some("町の価値創出のため"), "愛貨の再投資費用");
        // Only with `other` do details count.
        check(None, Some("長期的"), "愛の行動消費");
        check(
            Some(AccountTitle::Sales),
            Some("価値創出"),
            "愛貨感謝返礼費用",
        );
        // By code points: the words with a space or a compatibility character in them are other words.
        check(other, Some("長 期的"), "他者のサポートに伴う愛貨の消費");
        check(
            other,
            Some("\u{2ed1}期的"),
            "他者のサポートに伴う愛貨の消費",
        );
    }
}

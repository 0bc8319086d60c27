//! 貸借対照表 and 損益計算書: what stands at the end of a period and what the period brought, from sums of postings.
//! Pure arithmetic; whose postings are summed, and until when, is the caller's.

use std::collections::BTreeMap;

use super::{AccountClass, CHART, ChartAccount};

/// Debits less credits by code of the chart, in hundredths.
pub type ByCode = BTreeMap<u16, i128>;

/// One account in a sheet, in hundredths: positive where it stands on its own side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetLine {
    /// The account.
    pub account: &'static ChartAccount,
    /// Its balance.
    pub amount: i128,
}

/// Balance sheet and income statement of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    /// 資産 at the end.
    pub assets: Vec<SheetLine>,
    /// 負債 at the end.
    pub liabilities: Vec<SheetLine>,
    /// 純資産 at the end, as it was posted.
    pub equity: Vec<SheetLine>,
    /// Revenue less expenses of all that came before the period: no posting closes a period, so a sheet carries it
    /// forward itself.
    pub carried: i128,
    /// 収益 of the period.
    pub revenue: Vec<SheetLine>,
    /// 費用 of the period.
    pub expenses: Vec<SheetLine>,
}

impl Sheet {
    /// The sheet over what was posted before the period and in it. Codes that the chart does not have are left out,
    /// and then it does not balance.
    #[must_use]
    pub fn new(before: &ByCode, period: &ByCode) -> Self {
        let of = |sums: &ByCode, code: u16| sums.get(&code).copied().unwrap_or(0);
        let at_end = |class| lines(class, |code| of(before, code) + of(period, code));
        let earlier = |class| total(&lines(class, |code| of(before, code)));
        let in_period = |class| lines(class, |code| of(period, code));
        Self {
            assets: at_end(AccountClass::Asset),
            liabilities: at_end(AccountClass::Liability),
            equity: at_end(AccountClass::Equity),
            carried: earlier(AccountClass::Revenue) - earlier(AccountClass::Expense),
            revenue: in_period(AccountClass::Revenue),
            expenses: in_period(AccountClass::Expense),
        }
    }

    /// Revenue less expenses of the period.
    #[must_use]
    pub fn result(&self) -> i128 {
        total(&self.revenue) - total(&self.expenses)
    }

    /// 純資産 with what was carried forward and the period's result.
    #[must_use]
    pub fn net_assets(&self) -> i128 {
        total(&self.equity) + self.carried + self.result()
    }

    /// Whether assets = liabilities + net assets.
    #[must_use]
    pub fn balances(&self) -> bool {
        total(&self.assets) == total(&self.liabilities) + self.net_assets()
    }
}

/// Sum of lines.
#[must_use]
pub fn total(lines: &[SheetLine]) -> i128 {
    lines.iter().map(|line| line.amount).sum()
}

/// The accounts of a class that are not zero, each positive on the class's own side.
fn lines(class: AccountClass, balance: impl Fn(u16) -> i128) -> Vec<SheetLine> {
    let own_side = match class {
        AccountClass::Asset | AccountClass::Expense => 1,
        AccountClass::Liability | AccountClass::Equity | AccountClass::Revenue => -1,
    };
    let accounts = CHART.iter().filter(|account| account.class() == class);
    let lines = accounts.map(|account| SheetLine {
        account,
        amount: own_side * balance(account.code),
    });
    lines.filter(|line| line.amount != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 金沢市's Hanako was granted 1,000.00 last year and spent 100.00 then; this year she sent 123.45, of which
    /// nothing is settled yet, and received 20.00.
    #[test]
    fn a_sheet_carries_earlier_results_forward_and_balances() {
        let before = ByCode::from([(101, 90_000), (305, -100_000), (501, 10_000)]);
        let period = ByCode::from([(101, 2_000), (203, -12_345), (401, -2_000), (503, 12_345)]);
        let sheet = Sheet::new(&before, &period);
        assert!(sheet.balances());
        let codes = |lines: &[SheetLine]| -> Vec<(u16, i128)> {
            lines.iter().map(|l| (l.account.code, l.amount)).collect()
        };
        assert_eq!(codes(&sheet.assets), [(101, 92_000)]);
        assert_eq!(codes(&sheet.liabilities), [(203, 12_345)]);
        assert_eq!(codes(&sheet.equity), [(305, 100_000)]);
        assert_eq!(sheet.carried, -10_000);
        assert_eq!(codes(&sheet.revenue), [(401, 2_000)]);
        assert_eq!(codes(&sheet.expenses), [(503, 12_345)]);
        assert_eq!(sheet.result(), 2_000 - 12_345);
        assert_eq!(sheet.net_assets(), 92_000 - 12_345);
    }

    #[test]
    fn postings_that_lack_their_other_side_do_not_balance() {
        let period = ByCode::from([(101, 2_000), (401, -1_999)]);
        assert!(!Sheet::new(&ByCode::new(), &period).balances());
        assert!(Sheet::new(&ByCode::new(), &ByCode::new()).balances());
    }
}

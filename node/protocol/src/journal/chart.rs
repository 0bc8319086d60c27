//! The chart of accounts: five classes of ten, Japanese names with English ids. Data with a version;
//! codes never change their meaning because they stand in `booked`.

/// Version of the chart.
pub const CHART_VERSION: u16 = 1;

/// Class of an account in the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountClass {
    /// 資産.
    Asset,
    /// 負債.
    Liability,
    /// 純資産.
    Equity,
    /// 収益.
    Revenue,
    /// 費用.
    Expense,
}

/// One account of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartAccount {
    /// Code, three digits; the first is the class.
    pub code: u16,
    /// English id.
    pub id: &'static str,
    /// Japanese name.
    pub name: &'static str,
}

impl ChartAccount {
    /// Its class.
    #[must_use]
    pub const fn class(&self) -> AccountClass {
        match self.code / 100 {
            1 => AccountClass::Asset,
            2 => AccountClass::Liability,
            3 => AccountClass::Equity,
            4 => AccountClass::Revenue,
            _ => AccountClass::Expense,
        }
    }
}

/// The account with this code.
#[must_use]
pub fn chart_account(code: u16) -> Option<&'static ChartAccount> {
    CHART.iter().find(|account| account.code == code)
}

/// Whether this is the code of an expense account.
#[must_use]
pub fn is_expense(code: u16) -> bool {
    chart_account(code).is_some_and(|account| account.class() == AccountClass::Expense)
}

const fn account(code: u16, id: &'static str, name: &'static str) -> ChartAccount {
    ChartAccount { code, id, name }
}

/// All fifty accounts in order of their codes.
pub const CHART: [ChartAccount; 50] = [
    account(101, "aika", "愛貨"),
    account(102, "unused-aika", "未使用愛貨"),
    account(103, "receivable", "他者からの未収愛貨"),
    account(104, "investment", "愛貨の投資"),
    account(105, "prepaid", "前払愛貨"),
    account(106, "loan-given", "他者への貸付愛貨"),
    account(107, "joint-project-share", "共同プロジェクト出資愛貨"),
    account(108, "expected", "他者から受け取る予定の愛貨"),
    account(109, "intellectual-property", "愛の行動に関する知的財産"),
    account(110, "revalued-asset", "愛貨の再評価による資産"),
    account(201, "action-owed", "未実施行動の債務"),
    account(202, "goal-missed-debt", "目標未達成による債務"),
    account(203, "payable", "他者への未払愛貨"),
    account(204, "extension-debt", "愛貨の有効期限延長による債務"),
    account(205, "loan-taken", "他者からの借入愛貨"),
    account(206, "duty-of-love", "愛の行動義務"),
    account(207, "cancellation-debt", "取引キャンセルによる愛貨返還義務"),
    account(208, "advance-received", "前受愛貨"),
    account(209, "unused-owed", "他者への未使用愛貨の債務"),
    account(210, "municipal-request-debt", "市町村依頼行動債務"),
    account(301, "carried-forward", "繰越愛貨"),
    account(302, "valuation-difference", "愛貨評価差額"),
    account(303, "fluctuation-difference", "愛貨の変動差額"),
    account(304, "investment-surplus", "投資利益剰余愛貨"),
    account(305, "grant-difference", "愛貨贈与差額"),
    account(306, "unused-carried-forward", "前期繰越未使用愛貨"),
    account(307, "reserve", "愛貨リザーブ"),
    account(308, "net-assets", "純資産愛貨"),
    account(309, "transfer-difference", "愛貨の振替差額"),
    account(310, "surplus", "利益剰余愛貨"),
    account(401, "action-received", "愛の行動受取"),
    account(402, "goal-reached", "目標達成による愛貨の獲得"),
    account(403, "thanks-received", "愛貨感謝返礼収益"),
    account(404, "received-increase", "受取愛貨の増加"),
    account(405, "introduction-reward", "愛貨紹介報酬"),
    account(406, "return-revenue", "愛貨還元収益"),
    account(407, "network-reward", "愛貨ネットワーク拡大報酬"),
    account(408, "support-received", "他者の支援による愛貨の獲得"),
    account(
        409,
        "community-received",
        "コミュニティ活動による愛貨の獲得",
    ),
    account(410, "approval-reward", "承認成功報酬愛貨"),
    account(501, "action-consumed", "愛の行動消費"),
    account(502, "thanks-given", "愛貨感謝返礼費用"),
    account(503, "gift-given", "他者への愛貨の贈与"),
    account(504, "goal-missed-loss", "目標未達成による損失"),
    account(505, "action-missed-loss", "他者への未実施行動による損失"),
    account(506, "expiry-loss", "愛貨の有効期限切れによる損失"),
    account(507, "decrease-expense", "愛貨の減少による費用"),
    account(508, "goal-use", "行動目標達成のための愛貨使用"),
    account(509, "support-given", "他者のサポートに伴う愛貨の消費"),
    account(510, "reinvestment", "愛貨の再投資費用"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_accounts_ten_a_class_with_unique_codes_ids_and_names() {
        for class in 1..=5u16 {
            let codes: Vec<_> = CHART
                .iter()
                .map(|a| a.code)
                .filter(|code| code / 100 == class)
                .collect();
            let expected: Vec<_> = (1..=10).map(|n| class * 100 + n).collect();
            assert_eq!(codes, expected);
        }
        let unique = |names: Vec<&str>| {
            names
                .iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        assert_eq!(unique(CHART.iter().map(|a| a.id).collect()), 50);
        assert_eq!(unique(CHART.iter().map(|a| a.name).collect()), 50);
        assert_eq!(
            chart_account(super::super::PAYABLE).unwrap().name,
            "他者への未払愛貨"
        );
        assert_eq!(
            chart_account(super::super::RECEIVED).unwrap().name,
            "愛の行動受取"
        );
    }
}

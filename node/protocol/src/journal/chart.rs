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

impl AccountClass {
    /// All of them, in the order of the chart.
    pub const ALL: [Self; 5] = [
        Self::Asset,
        Self::Liability,
        Self::Equity,
        Self::Revenue,
        Self::Expense,
    ];

    /// English id, which also begins the names of accounts in hledger's files.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Asset => "assets",
            Self::Liability => "liabilities",
            Self::Equity => "equity",
            Self::Revenue => "revenues",
            Self::Expense => "expenses",
        }
    }

    /// Japanese name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asset => "資産",
            Self::Liability => "負債",
            Self::Equity => "純資産",
            Self::Revenue => "収益",
            Self::Expense => "費用",
        }
    }

    /// English name.
    #[must_use]
    pub const fn english(self) -> &'static str {
        match self {
            Self::Asset => "Assets",
            Self::Liability => "Liabilities",
            Self::Equity => "Equity",
            Self::Revenue => "Revenue",
            Self::Expense => "Expenses",
        }
    }
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
    /// English name.
    pub english: &'static str,
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

const fn account(
    code: u16,
    id: &'static str,
    name: &'static str,
    english: &'static str,
) -> ChartAccount {
    ChartAccount {
        code,
        id,
        name,
        english,
    }
}

/// All fifty accounts in order of their codes.
pub const CHART: [ChartAccount; 50] = [
    account(101, "aika", "愛貨", "Aika"),
    account(102, "unused-aika", "未使用愛貨", "Unused aika"),
    account(
        103,
        "receivable",
        "他者からの未収愛貨",
        "Aika receivable from others",
    ),
    account(104, "investment", "愛貨の投資", "Aika invested"),
    account(105, "prepaid", "前払愛貨", "Prepaid aika"),
    account(106, "loan-given", "他者への貸付愛貨", "Aika lent to others"),
    account(
        107,
        "joint-project-share",
        "共同プロジェクト出資愛貨",
        "Aika in joint projects",
    ),
    account(
        108,
        "expected",
        "他者から受け取る予定の愛貨",
        "Aika expected from others",
    ),
    account(
        109,
        "intellectual-property",
        "愛の行動に関する知的財産",
        "Intellectual property of acts of love",
    ),
    account(
        110,
        "revalued-asset",
        "愛貨の再評価による資産",
        "Assets by revaluation of aika",
    ),
    account(
        201,
        "action-owed",
        "未実施行動の債務",
        "Actions not yet carried out",
    ),
    account(
        202,
        "goal-missed-debt",
        "目標未達成による債務",
        "Debt from missed goals",
    ),
    account(203, "payable", "他者への未払愛貨", "Aika payable to others"),
    account(
        204,
        "extension-debt",
        "愛貨の有効期限延長による債務",
        "Debt from extended validity of aika",
    ),
    account(
        205,
        "loan-taken",
        "他者からの借入愛貨",
        "Aika borrowed from others",
    ),
    account(206, "duty-of-love", "愛の行動義務", "Duty of acts of love"),
    account(
        207,
        "cancellation-debt",
        "取引キャンセルによる愛貨返還義務",
        "Aika to return for cancelled dealings",
    ),
    account(
        208,
        "advance-received",
        "前受愛貨",
        "Aika received in advance",
    ),
    account(
        209,
        "unused-owed",
        "他者への未使用愛貨の債務",
        "Debt of unused aika to others",
    ),
    account(
        210,
        "municipal-request-debt",
        "市町村依頼行動債務",
        "Actions owed at the municipality's request",
    ),
    account(301, "carried-forward", "繰越愛貨", "Aika carried forward"),
    account(
        302,
        "valuation-difference",
        "愛貨評価差額",
        "Valuation difference of aika",
    ),
    account(
        303,
        "fluctuation-difference",
        "愛貨の変動差額",
        "Fluctuation difference of aika",
    ),
    account(
        304,
        "investment-surplus",
        "投資利益剰余愛貨",
        "Investment surplus",
    ),
    account(
        305,
        "grant-difference",
        "愛貨贈与差額",
        "Difference by granted aika",
    ),
    account(
        306,
        "unused-carried-forward",
        "前期繰越未使用愛貨",
        "Unused aika carried forward",
    ),
    account(307, "reserve", "愛貨リザーブ", "Aika reserve"),
    account(308, "net-assets", "純資産愛貨", "Net assets in aika"),
    account(
        309,
        "transfer-difference",
        "愛貨の振替差額",
        "Transfer difference of aika",
    ),
    account(310, "surplus", "利益剰余愛貨", "Surplus"),
    account(
        401,
        "action-received",
        "愛の行動受取",
        "Acts of love received",
    ),
    account(
        402,
        "goal-reached",
        "目標達成による愛貨の獲得",
        "Aika gained by goals reached",
    ),
    account(
        403,
        "thanks-received",
        "愛貨感謝返礼収益",
        "Aika received in thanks",
    ),
    account(
        404,
        "received-increase",
        "受取愛貨の増加",
        "Increase of aika received",
    ),
    account(
        405,
        "introduction-reward",
        "愛貨紹介報酬",
        "Introduction rewards",
    ),
    account(
        406,
        "return-revenue",
        "愛貨還元収益",
        "Aika returned as revenue",
    ),
    account(
        407,
        "network-reward",
        "愛貨ネットワーク拡大報酬",
        "Rewards for widening the network",
    ),
    account(
        408,
        "support-received",
        "他者の支援による愛貨の獲得",
        "Aika gained by support of others",
    ),
    account(
        409,
        "community-received",
        "コミュニティ活動による愛貨の獲得",
        "Aika gained in the community",
    ),
    account(
        410,
        "approval-reward",
        "承認成功報酬愛貨",
        "Rewards for approvals",
    ),
    account(
        501,
        "action-consumed",
        "愛の行動消費",
        "Acts of love consumed",
    ),
    account(
        502,
        "thanks-given",
        "愛貨感謝返礼費用",
        "Aika given in thanks",
    ),
    account(
        503,
        "gift-given",
        "他者への愛貨の贈与",
        "Aika given as gifts",
    ),
    account(
        504,
        "goal-missed-loss",
        "目標未達成による損失",
        "Loss from missed goals",
    ),
    account(
        505,
        "action-missed-loss",
        "他者への未実施行動による損失",
        "Loss from actions not carried out",
    ),
    account(
        506,
        "expiry-loss",
        "愛貨の有効期限切れによる損失",
        "Loss from expired aika",
    ),
    account(
        507,
        "decrease-expense",
        "愛貨の減少による費用",
        "Expense from decrease of aika",
    ),
    account(
        508,
        "goal-use",
        "行動目標達成のための愛貨使用",
        "Aika used to reach goals",
    ),
    account(
        509,
        "support-given",
        "他者のサポートに伴う愛貨の消費",
        "Aika consumed in support of others",
    ),
    account(510, "reinvestment", "愛貨の再投資費用", "Aika reinvested"),
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
        assert_eq!(unique(CHART.iter().map(|a| a.english).collect()), 50);
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

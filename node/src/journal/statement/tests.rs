//! 春子 of 金沢市 pays 小松市, where somebody named their municipality to be found by a browser.

use city_protocol::ids::{AccountId, BlockId, Digest, KeyId, LogId};
use city_protocol::ledger::PeopleState;

use super::super::pages::{Counterparty, JournalLog, Movement};
use super::*;

const DAY: u64 = 86_400_000;
/// 2026-04-01T00:00:00Z.
const APRIL: u64 = 1_775_001_600_000;

fn account(n: u8) -> AccountId {
    AccountId::new(&LogId([7; 32]), &KeyId([n; 32]))
}

fn movement(kind: &str, day: u64, hundredths: i64, state: Option<PeopleState>) -> Movement {
    let counterparty = state.map(|_| Counterparty {
        account: account(2),
        home: LogId([8; 32]),
        region: Some("Asia/JP/17/17203".into()),
        name: Some("小松市<script>alert(1)</script>\"".into()),
    });
    Movement {
        time: Timestamp(APRIL + day * DAY),
        vertex: BlockId::of(b"v"),
        epoch: 1,
        seq: day + 1,
        index: 0,
        kind: kind.into(),
        code: 305,
        hundredths,
        counterparty,
        transfer: state.map(|_| Digest([3; 32])),
        transaction_hash: state.map(|_| Digest([4; 32])),
        state: state.map(Into::into),
    }
}

/// A grant of 1,000.00 on the 1st, 123.45 sent on the 3rd, 20.00 of it back on the 9th.
fn collected(from: u64, until: Option<u64>) -> Result<Statement, StatementError> {
    let all = [
        movement("grant", 0, 100_000, None),
        movement("transfer", 2, -12_345, Some(PeopleState::Rejected)),
        movement("refund", 8, 12_345, Some(PeopleState::Rejected)),
    ];
    let until = until.map(|day| Timestamp(APRIL + day * DAY));
    let from = Timestamp(APRIL + from * DAY);
    let mut collect = Collect::new(until);
    for movement in all.into_iter().filter(|movement| movement.time >= from) {
        collect.take(movement)?;
    }
    let whole = from.0 == APRIL;
    let (movements, opening, closing) = collect.end(100_000, whole)?;
    Ok(Statement {
        account: account(1),
        home: JournalLog {
            log: LogId([7; 32]),
            region: "Asia/JP/17/17201".into(),
            name: Some("金沢市".into()),
            epoch: 1,
            seq: 9,
            time: Timestamp(APRIL + 8 * DAY),
            headers_to: None,
        },
        from: (!whole).then_some(from),
        until,
        opening,
        closing,
        promised: 0,
        movements,
        made: Timestamp(APRIL + 10 * DAY),
    })
}

#[test]
fn opening_and_closing_are_those_of_the_period() {
    let check = |from, until, opening, closing, lines| {
        let statement = collected(from, until).unwrap();
        let found = (
            statement.opening,
            statement.closing,
            statement.movements.len(),
        );
        assert_eq!(found, (opening, closing, lines), "{from} {until:?}");
    };
    check(0, None, 0, 100_000, 3);
    check(0, Some(2), 0, 100_000, 1);
    check(1, Some(5), 100_000, 87_655, 1);
    check(5, None, 87_655, 100_000, 1);
    check(9, None, 100_000, 100_000, 0);
}

/// A home that says another sum than its postings give is not believed.
#[test]
fn movements_that_do_not_add_up_are_no_statement() {
    let mut collect = Collect::new(None);
    collect.take(movement("grant", 0, 100_000, None)).unwrap();
    let ended = collect.end(100_001, true);
    assert!(matches!(ended, Err(StatementError::DoesNotAddUp)));
    let mut collect = Collect::new(None);
    collect.take(movement("grant", 0, 100_000, None)).unwrap();
    let ended = collect.end(99_999, false);
    assert!(matches!(ended, Err(StatementError::DoesNotAddUp)));
}

#[test]
fn text_and_csv_name_the_other_side_in_both_languages() {
    let statement = collected(0, None).unwrap();
    let text = statement.write(StatementFormat::Text, Lang::Ja, &TimeZone::UTC);
    for part in [
        "金沢市 (Asia/JP/17/17201)",
        "2026-04-03 00:00         -123.45          876.55  送付",
        "宛先 ",
        "    受取拒否\n",
        &Digest([4; 32]).to_string(),
        "期末残高  1000.00",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let csv = statement.write(StatementFormat::Csv, Lang::En, &TimeZone::UTC);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 7, "{csv}");
    assert!(lines[1].contains("opening,opening,,0.00"), "{csv}");
    assert!(lines[3].contains(",transfer,sent,-123.45,876.55,"), "{csv}");
    assert!(
        lines[3].contains("\"小松市<script>alert(1)</script>\"\"\",rejected,rejected,"),
        "{csv}"
    );
    assert!(lines[5].contains(",closing,closing,,1000.00,"), "{csv}");
    assert_eq!(cell("=1+1".into()), "'=1+1");
    assert_eq!(cell("-1.00".into()), "-1.00");
}

/// Every element that is opened is closed in order, nothing is fetched, and what a stranger wrote is text.
#[test]
fn the_page_is_whole_and_needs_nothing_beside_it() {
    for (lang, from) in [(Lang::Ja, 0), (Lang::En, 9)] {
        let page = collected(from, None).unwrap();
        let page = page.write(StatementFormat::Html, lang, &TimeZone::UTC);
        let mut open = Vec::new();
        for tag in page
            .split('<')
            .skip(1)
            .map(|part| part.split('>').next().unwrap())
        {
            let name = tag.split(' ').next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "{page}"),
                None if ["!DOCTYPE", "meta"].contains(&name) => {}
                None => open.push(name),
            }
        }
        assert!(open.is_empty(), "{open:?}");
        for fetched in [
            "<script", "src=\"", "href=", "url(", "@import", "http:", "https:",
        ] {
            assert!(!page.contains(fetched), "{fetched} in {page}");
        }
        assert!(page.contains("@page{size:A4"));
        assert!(page.contains("default-src 'none'"));
    }
    let page = collected(0, None).unwrap();
    let page = page.write(StatementFormat::Html, Lang::Ja, &TimeZone::UTC);
    assert!(
        page.contains("小松市&lt;script&gt;alert(1)&lt;/script&gt;&quot;"),
        "{page}"
    );
    assert!(
        page.contains("<td>受取拒否</td><td class=\"n\">-123.45</td><td class=\"n\">876.55</td>")
    );
}

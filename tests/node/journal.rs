//! The books of 金沢市 by its own command line, while the node runs and after: 春子 is granted 10.00, sends 与謝 1.23 for a
//! wood that grows for long, and 与謝 accepts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use city_node::client::ApiClient;
use city_node::client::person::{Order, Person, random};
use city_node::engine::utc;
use city_protocol::amount::Amount;
use city_protocol::body::AccountTitle;
use serde_json::Value;

use crate::daemon::city::{City, PATIENCE, alone, directory};

fn city_node(city: &City, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_city-node"))
        .args(arguments)
        .arg("--data-dir")
        .arg(city.data.path())
        .env("TZ", "UTC")
        .env("LC_ALL", "ja_JP.UTF-8")
        .output()
        .unwrap()
}

fn text(city: &City, arguments: &[&str]) -> String {
    let output = city_node(city, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(city: &City, arguments: &[&str]) -> Value {
    let text = text(city, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Sends 1.23 as something else, with these details, and has it accepted.
async fn sent(api: &ApiClient, from: &Person, to: &Person, details: &str) {
    let home = api.node().await.unwrap();
    let mut order = Order::new(to.account(), &home, Amount::from_hundredths(123));
    order.sequence = api.account(&from.account()).await.unwrap().next_sequence;
    order.created_at = utc();
    order.account_title = Some(AccountTitle::Other);
    order.details = details.into();
    let place = api
        .place(&from.account(), &order.transfer_id, &random())
        .await
        .unwrap();
    order.proof_of_place = place.digest;
    let (signed, private) = from.transfer(&order).unwrap();
    api.transfer_with(&signed, &private).await.unwrap();
    api.login(to).await.unwrap();
    let waiting = api.incoming(&to.account(), None).await.unwrap().transfers;
    let sequence = api.account(&to.account()).await.unwrap().next_sequence;
    let accept = to.accept(&waiting[0], sequence, utc()).unwrap();
    api.accept(&accept).await.unwrap();
    api.login(from).await.unwrap();
}

/// Code, debit and credit of the postings in the home's log.
fn postings(listed: &Value) -> Vec<(u64, String, String)> {
    let lines = listed["lines"].as_array().unwrap().iter();
    let side = |line: &Value, side: &str| line[side].as_str().unwrap_or_default().to_owned();
    lines
        .map(|line| {
            (
                line["code"].as_u64().unwrap(),
                side(line, "debit"),
                side(line, "credit"),
            )
        })
        .collect()
}

fn line(code: u64, debit: &str, credit: &str) -> (u64, String, String) {
    (code, debit.into(), credit.into())
}

/// What the books say; the same of a node that runs and of one that does not.
fn books(city: &City, haruko: &str, yosa: &str) -> Vec<Value> {
    let list = json(city, &["journal", "list"]);
    let mut expected = vec![line(101, "10.00", ""), line(305, "", "10.00")];
    for code in [510, 509] {
        expected.extend([
            line(code, "1.23", ""),
            line(203, "", "1.23"),
            line(101, "1.23", ""),
            line(401, "", "1.23"),
            line(203, "1.23", ""),
            line(101, "", "1.23"),
        ]);
    }
    assert_eq!(postings(&list), expected);
    let of_yosa = json(
        city,
        &["journal", "list", "--account", yosa, "--code", "101"],
    );
    assert_eq!(
        postings(&of_yosa),
        [line(101, "1.23", ""), line(101, "1.23", "")]
    );
    // What an acceptance is booked for is what was booked as sent.
    let sent = json(city, &["journal", "list", "--code", "203"]);
    let about = |page: &Value| -> std::collections::BTreeSet<String> {
        let lines = page["lines"].as_array().unwrap().iter();
        lines
            .map(|line| line["about"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((about(&sent).len(), about(&of_yosa)), (2, about(&sent)));
    for days in [["--from", "2100-01-01"], ["--to", "2020-01-01"]] {
        let none = json(city, &[&["journal", "list"], &days[..]].concat());
        assert_eq!(postings(&none), []);
    }

    let balance = json(
        city,
        &["journal", "balance", "--by", "account", "--account", haruko],
    );
    let of = |code: u64| {
        let rows = balance["balances"].as_array().unwrap();
        let row = rows.iter().find(|row| row["code"] == code);
        row.map(|row| row["balance"].as_str().unwrap().to_owned())
    };
    assert_eq!(of(101).as_deref(), Some("7.54"));
    assert_eq!(of(203).as_deref(), Some("0.00"));
    assert_eq!(of(510).as_deref(), Some("1.23"), "長期的 is a reinvestment");
    assert_eq!(of(509).as_deref(), Some("1.23"), "anything else is support");

    let sheet = json(city, &["journal", "statement", "--log", "17201"]);
    let whole = &sheet["statements"][0];
    assert_eq!(sheet["balances"], true);
    assert_eq!(whole["balance_sheet"]["assets_total"], "10.00");
    assert_eq!(whole["income_statement"]["revenue_total"], "2.46");
    assert_eq!(whole["income_statement"]["result"], "0.00");
    let told = text(city, &["journal", "statement", "--account", haruko]);
    for part in [
        "貸借対照表",
        "損益計算書",
        "愛貨の再投資費用",
        "負債・純資産合計",
    ] {
        assert!(told.contains(part), "{part} is missing in\n{told}");
    }
    // Everything of before the period is carried forward, and it still balances.
    let later = json(
        city,
        &[
            "journal",
            "statement",
            "--account",
            haruko,
            "--from",
            "2100-01-01",
        ],
    );
    let later = &later["statements"][0];
    assert_eq!(later["balances"], true);
    assert_eq!(later["balance_sheet"]["carried_forward"], "-2.46");
    assert_eq!(later["income_statement"]["expenses_total"], "0.00");

    let verified = json(city, &["journal", "verify"]);
    assert_eq!(verified["ok"], true, "{verified}");
    assert_eq!(verified["postings"], 14);
    let statement = json(city, &["account", "statement", haruko]);
    assert_eq!(statement["closing"], "7.54");
    let movements = statement["movements"].as_array().unwrap();
    assert_eq!(movements.len(), 3);
    assert_eq!(movements[1]["state"]["code"], "complete");
    assert_eq!(movements[1]["counterparty"]["account"], yosa);
    assert_eq!(movements[1]["counterparty"]["name"], "金沢市");
    let received = json(city, &["account", "statement", yosa]);
    let hash = &received["movements"][0]["transaction_hash"];
    assert_eq!(
        hash, &movements[1]["transaction_hash"],
        "both sides name the same transaction"
    );
    let csv = text(city, &["journal", "export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 15);
    let hledger = text(city, &["journal", "export", "--format", "hledger"]);
    assert_eq!(hledger.matches("\naccount ").count(), 7);
    vec![
        list,
        of_yosa,
        balance,
        sheet,
        statement,
        received,
        csv.into(),
        hledger.into(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_the_same_of_a_node_that_runs_and_of_one_that_does_not() {
    let root = directory();
    let mut city = alone(root.path(), root.path().join("data"));
    let _line = city.plug_in(Vec::new);
    let node = city.ready().await;
    node.until("a place", |status| status.place.satisfies_policy)
        .await;
    let api = city.api(&node);
    let haruko = city.rich(&api, 1000).await;
    let yosa = city.citizen(&api).await;
    api.login(&haruko).await.unwrap();
    sent(&api, &haruko, &yosa, "長期的な森の手入れ").await;
    sent(&api, &haruko, &yosa, "畑の手伝い").await;
    let names = [haruko.account().to_string(), yosa.account().to_string()];

    let running = books(&city, &names[0], &names[1]);
    let stranger = city_node(
        &city,
        &["account", "statement", &names[0].replace('-', "-a")],
    );
    assert_eq!(stranger.status.code(), Some(2), "{stranger:?}");
    let elsewhere = city_node(&city, &["journal", "list", "--log", "17203"]);
    assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");
    // A period that ends before it begins is no empty one.
    let backwards = ["--from", "2026-04-02", "--to", "2026-04-01"];
    for command in [
        &["account", "statement", &names[0]][..],
        &["journal", "list"],
        &["journal", "statement"],
        &["journal", "export", "--format", "csv"],
    ] {
        let ended = city_node(&city, &[command, &backwards].concat());
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{command:?}: {told}");
        assert!(told.contains("is later than --to"), "{told}");
    }
    node.stop().await;
    let stopped = books(&city, &names[0], &names[1]);
    assert_eq!(running, stopped);
    printed(&city, root.path(), &names[0]);

    // An index that is gone is made again, not believed empty.
    std::fs::remove_dir_all(city.data.index()).unwrap();
    assert_eq!(running, books(&city, &names[0], &names[1]));
}

/// A browser makes a PDF of the page, with what stands in it.
fn printed(city: &City, root: &Path, account: &str) {
    let page = root.join("statement.html");
    let html = text(city, &["account", "statement", account, "--format", "html"]);
    assert!(html.contains("<html lang=\"ja\">"), "{html}");
    std::fs::write(&page, html).unwrap();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = names.into_iter().find(|name| {
        let version = Command::new(name).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    });
    let Some(browser) = found else {
        println!("skipped: no chromium to open a statement with");
        return;
    };
    let begun = Instant::now();
    let profile = root.join("profile");
    let dom = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&dom.stdout);
    assert_eq!(dom.matches("<tr>").count(), 4, "{dom}");
    assert!(
        dom.contains("<td class=\"n\">-1.23</td><td class=\"n\">7.54</td>"),
        "{dom}"
    );
    let pdf = root.join("statement.pdf");
    let done = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--print-to-pdf={}", pdf.display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let pdf = std::fs::read(&pdf).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    assert!(pdf.starts_with(b"%PDF-"));
    let a_while: Duration = PATIENCE;
    assert!(begun.elapsed() < a_while * 2);
}

//! The words of a statement in both languages.

use jiff::tz::TimeZone;

use super::super::export::day;
use super::super::lang::Lang;
use super::super::pages::Movement;
use super::Statement;

/// What happened.
pub(super) fn what(movement: &Movement, lang: Lang) -> &'static str {
    let (ja, en) = match movement.kind.as_str() {
        "grant" => ("付与", "granted"),
        "ungrant" => ("付与の取消", "grant taken back"),
        "transfer" => ("送付", "sent"),
        "accept" => ("受取", "received"),
        "refund" => ("返却", "came back"),
        "correct" => ("訂正", "corrected"),
        "adopt" => ("引継", "adopted"),
        _ => ("その他", "other"),
    };
    lang.pick(ja, en)
}

/// A municipality: its name beside the code.
pub(super) fn place(region: &str, name: Option<&str>) -> String {
    match name {
        Some(name) if !name.is_empty() => format!("{name} ({region})"),
        _ => region.to_owned(),
    }
}

/// From whom, or to whom.
pub(super) fn other_side(movement: &Movement, lang: Lang) -> Option<String> {
    let other = movement.counterparty.as_ref()?;
    let home = match &other.region {
        Some(region) => place(region, other.name.as_deref()),
        None => other.home.to_string(),
    };
    let word = match movement.hundredths < 0 {
        true => lang.pick("宛先", "to"),
        false if movement.kind == "accept" => lang.pick("送り主", "from"),
        false => lang.pick("宛先だった", "was for"),
    };
    Some(format!("{word} {} {home}", other.account))
}

/// The period in days; the end is the last day in it.
pub(super) fn period(statement: &Statement, lang: Lang, zone: &TimeZone) -> String {
    let from = match statement.from {
        Some(from) => day(from, zone),
        None => lang.pick("開設時", "the beginning").into(),
    };
    let to = statement
        .until
        .map_or(statement.made, |until| until.minus_ms(1));
    let to = day(to, zone);
    match lang {
        Lang::Ja => format!("{from} から {to} まで"),
        Lang::En => format!("{from} to {to}"),
    }
}

//! The statement as one HTML page that needs nothing beside it: no script, no font, no picture. A browser prints it on
//! A4, with the table's head on every page.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::super::lang::{Lang, amount};
use super::words::{period, place, what};
use super::{Statement, moment, signed};

/// The look. `thead` repeats on each printed page, and no row is torn.
const STYLE: &str = "\
@page{size:A4;margin:16mm 14mm 18mm}\
*{box-sizing:border-box}\
body{font:10pt/1.5 'Noto Sans CJK JP','Noto Sans JP','Hiragino Sans','Yu Gothic',sans-serif;color:#1a1a1a;\
max-width:182mm;margin:8mm auto;padding:0 4mm}\
h1{font-size:17pt;margin:0 0 5mm;border-bottom:.6mm solid #1a1a1a;padding-bottom:2mm}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.5mm 6mm;margin:0 0 6mm}\
dt{color:#555}dd{margin:0;overflow-wrap:anywhere}\
.sums{display:flex;gap:4mm;margin:0 0 6mm}\
.sums div{flex:1;border:.3mm solid #999;border-radius:1mm;padding:2mm 3mm}\
.sums span{display:block;color:#555;font-size:8.5pt}\
.sums b{font-size:13pt;font-variant-numeric:tabular-nums}\
table{width:100%;border-collapse:collapse;font-size:8.5pt}\
th{text-align:left;border-bottom:.4mm solid #1a1a1a;padding:1mm 1.5mm;font-weight:600}\
td{border-bottom:.2mm solid #ccc;padding:1.2mm 1.5mm;vertical-align:top}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
.w{white-space:nowrap}\
small{display:block;color:#666;font-size:6.5pt;overflow-wrap:anywhere;line-height:1.35}\
thead{display:table-header-group}tr{break-inside:avoid}\
footer{margin-top:6mm;color:#666;font-size:7.5pt}\
@media print{body{margin:0;padding:0;max-width:none}}";

impl Statement {
    pub(super) fn html(&self, lang: Lang, zone: &TimeZone) -> String {
        let title = lang.pick("愛貨 取引明細", "Aika statement");
        let mut page = format!(
            "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title} {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
            lang.tag(),
            escaped(self.account.as_str()),
        );
        self.head(&mut page, lang, zone);
        self.table(&mut page, lang, zone);
        let made = moment(self.made, zone);
        let (log, seq) = (self.home.log, self.home.seq);
        let foot = match lang {
            Lang::Ja => format!("{made} 作成。状態は作成時のもの。台帳 {log} の {seq} 番まで。"),
            Lang::En => {
                format!("Made {made}; states as of then. From log {log} up to position {seq}.")
            }
        };
        let _ = write!(
            page,
            "<footer>{}</footer>\n</body>\n</html>\n",
            escaped(&foot)
        );
        page
    }

    fn head(&self, page: &mut String, lang: Lang, zone: &TimeZone) {
        let home = place(&self.home.region, self.home.name.as_deref());
        page.push_str("<dl>");
        for (name, value) in [
            (lang.pick("口座", "Account"), self.account.to_string()),
            (lang.pick("市町村", "Municipality"), home),
            (lang.pick("期間", "Period"), period(self, lang, zone)),
        ] {
            let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escaped(&value));
        }
        page.push_str("</dl>\n<div class=\"sums\">");
        let came = |sign: i64| {
            let changes = self
                .movements
                .iter()
                .map(|movement| i128::from(movement.hundredths));
            changes
                .filter(|change| change.signum() == sign.into())
                .sum::<i128>()
        };
        for (name, sum) in [
            (
                lang.pick("期首残高", "Opening balance"),
                self.opening.into(),
            ),
            (lang.pick("増加", "In"), came(1)),
            (lang.pick("減少", "Out"), came(-1)),
            (
                lang.pick("期末残高", "Closing balance"),
                self.closing.into(),
            ),
        ] {
            let _ = write!(page, "<div><span>{name}</span><b>{}</b></div>", amount(sum));
        }
        page.push_str("</div>\n");
        if self.until.is_none() && self.promised > 0 {
            let promised = amount(self.promised.into());
            let _ = match lang {
                Lang::Ja => writeln!(page, "<p>ほかに未決済の送付 {promised}</p>"),
                Lang::En => writeln!(page, "<p>Besides, sent and not settled yet: {promised}</p>"),
            };
        }
    }

    fn table(&self, page: &mut String, lang: Lang, zone: &TimeZone) {
        page.push_str("<table>\n<thead><tr>");
        for (name, class) in [
            (lang.pick("日時", "Date"), "w"),
            (
                lang.pick(
                    "内容・相手・取引ハッシュ",
                    "What, other side, transaction hash",
                ),
                "",
            ),
            (lang.pick("状態", "State"), ""),
            (lang.pick("増減", "Change"), "n"),
            (lang.pick("残高", "Balance"), "n"),
        ] {
            let _ = write!(page, "<th class=\"{class}\">{name}</th>");
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        let mut balance = i128::from(self.opening);
        for movement in &self.movements {
            balance += i128::from(movement.hundredths);
            let _ = write!(
                page,
                "<tr><td class=\"w\">{}</td><td>{}",
                moment(movement.time, zone),
                what(movement, lang)
            );
            if let Some(other) = &movement.counterparty {
                let home = match &other.region {
                    Some(region) => place(region, other.name.as_deref()),
                    None => other.home.to_string(),
                };
                let (home, account) = (escaped(&home), escaped(other.account.as_str()));
                let _ = write!(page, " · {home}<small>{account}</small>");
            }
            if let Some(hash) = &movement.transaction_hash {
                let _ = write!(page, "<small>{}</small>", escaped(&hash.to_string()));
            }
            let state = movement
                .state
                .as_ref()
                .map_or("", |state| lang.state(state));
            let _ = writeln!(
                page,
                "</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escaped(state),
                signed(movement.hundredths),
                amount(balance)
            );
        }
        if self.movements.is_empty() {
            let nothing = lang.pick("この期間に動きはありません", "Nothing moved in this period");
            let _ = writeln!(page, "<tr><td colspan=\"5\">{nothing}</td></tr>");
        }
        page.push_str("</tbody>\n</table>\n");
    }
}

/// Text as text: a name out of a boundary file is no markup.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

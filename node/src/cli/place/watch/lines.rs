//! What is watched as lines: one per new epoch, for a pipe. It ends quietly when nobody reads any more.

use std::io::{self, Write as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use city_protocol::place::Grade;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::Value;

use super::source::News;
use crate::admin::pages::PlaceShown;
use crate::cli::exit::{Exit, Outcome};
use crate::cli::output::{SCHEMA, printable};
use crate::config::rfc3339;

/// How long news are waited for before it is looked whether somebody reads.
const LOOK: Duration = Duration::from_secs(1);

/// Prints until the source ends, fails, or nobody reads.
pub(super) fn run(source: Receiver<News>, json: bool) -> Outcome {
    let mut last = None;
    loop {
        let news = match source.recv_timeout(LOOK) {
            Ok(news) => news,
            Err(RecvTimeoutError::Timeout) if nobody_reads() => break,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if nobody_reads() {
            break;
        }
        let (page, value) = match news {
            News::Outline(_) => continue,
            News::Page(page, value) => (page, value),
            News::Trouble(failure) => return Err(failure),
            News::End => break,
        };
        // A receiver that gives nothing more is told once.
        let now = Some((
            page.receiver.fixes,
            page.verdict.grade,
            page.verdict.reasons.clone(),
            page.receiver.problem.clone(),
            page.receiver.antenna.clone(),
        ));
        if now == last {
            continue;
        }
        last = now;
        let text = if json { object(value) } else { line(&page) };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            written => written?,
        }
    }
    Ok(Exit::Ok)
}

/// Whether the other end of the pipe was closed: where there is nothing to write, nothing else tells.
fn nobody_reads() -> bool {
    let out = io::stdout();
    let mut look = [PollFd::new(&out, PollFlags::empty())];
    let now = Timespec::default();
    // What cannot be asked is found out by writing.
    poll(&mut look, Some(&now)).is_ok()
        && look[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
}

/// One object on one line, with `schema`.
fn object(mut value: Value) -> String {
    value["schema"] = SCHEMA.into();
    format!("{value}\n")
}

/// An epoch in a line for people; it begins with ! where the grade is suspect.
fn line(page: &PlaceShown) -> String {
    let PlaceShown {
        verdict,
        summary,
        receiver,
        ..
    } = page;
    let unknown = || "-".to_owned();
    let mark = if verdict.grade == Grade::Suspect {
        "!"
    } else {
        " "
    };
    let time = verdict.fix_time.map_or_else(unknown, rfc3339);
    let position = verdict
        .point
        .map_or("no position".to_owned(), |point| point.to_string());
    let count = |n: Option<u8>| n.map_or_else(unknown, |n| n.to_string());
    let place = match (&summary.municipality, &summary.name) {
        (Some(code), Some(name)) => format!("  {code} {}", printable(name)),
        (Some(code), None) => format!("  {code}"),
        (None, _) => String::new(),
    };
    let reasons: Vec<_> = verdict.reasons.iter().map(|reason| reason.code()).collect();
    let problem = receiver.problem.as_deref().or(receiver.antenna_fault());
    let problem = problem.map(|problem| format!("  {problem}"));
    format!(
        "{mark}{time}  {position}  {} of {} satellites  {}{place}  [{}]{}\n",
        count(verdict.satellites_used),
        count(verdict.figures.satellites_in_view),
        verdict.grade,
        reasons.join(" "),
        problem.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::place::watch::example;

    #[test]
    fn a_line_has_the_verdict_and_the_antennas_fault() {
        let mut page = example::page();
        let told = line(&page);
        let expected =
            "  7 of 8 satellites  plausible  17201 金沢市  [not-surveyed]  SHORT CIRCUIT";
        assert!(
            told.starts_with(" 2026-") && told.contains(expected),
            "{told}"
        );
        page.verdict.grade = Grade::Suspect;
        assert!(line(&page).starts_with('!'));
        page.verdict.point = None;
        assert!(line(&page).contains("no position"));
        assert_eq!(told.lines().count(), 1);
    }

    #[test]
    fn an_object_is_one_line_with_its_schema() {
        let told = object(serde_json::json!({"time": null, "lat": 36.5}));
        assert_eq!(told.lines().count(), 1);
        assert!(told.contains("\"schema\":1"), "{told}");
    }
}

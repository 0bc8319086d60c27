//! The whole picture of `place watch`, for any size of terminal. Pure: what is known in, characters out.

use city_protocol::place::Grade;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Wrap};

use super::words::{hundredths, metres, seconds, words};
use super::{map, sky};
use crate::admin::pages::{Outline, PlaceShown};
use crate::config::rfc3339;

/// From this size on there is room for the sky, the bars, the map and the words; below, for the sky and the bars.
const FULL: (u16, u16) = (72, 20);

/// From this size on there is room for two pictures beside each other.
const HALF: (u16, u16) = (36, 10);

/// Columns beyond which the sky gains nothing.
const SKY_COLUMNS: u16 = 44;

/// Notices of the receiver that are shown: the newest.
const NOTICES: usize = 4;

/// What there is to show.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    /// What the node said last.
    pub(super) page: Option<&'a PlaceShown>,
    /// The outline that the position is drawn on.
    pub(super) outline: Option<&'a Outline>,
    /// Why nothing newer comes.
    pub(super) trouble: Option<&'a str>,
    /// Whether colours are wanted.
    pub(super) coloured: bool,
}

/// Draws it.
pub(super) fn draw(frame: &mut Frame<'_>, shown: Shown<'_>) {
    let area = frame.area();
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(if area.height < HALF.1 { 1 } else { 2 }),
        Constraint::Min(0),
        Constraint::Length(u16::from(area.height > 3)),
    ])
    .areas(area);
    frame.render_widget(foot_line(shown), foot);
    let Some(page) = shown.page else {
        return frame.render_widget("asking …", head);
    };
    frame.render_widget(Paragraph::new(head_lines(page, shown.coloured)), head);
    let fits = |(width, height)| area.width >= width && area.height >= height;
    if fits(FULL) {
        full(frame, body, page, shown);
    } else if fits(HALF) {
        half(frame, body, page, shown);
    } else {
        frame.render_widget(reasons(page, shown.coloured), body);
    }
}

/// Sky, bars and map above, words and figures below.
fn full(frame: &mut Frame<'_>, area: Rect, page: &PlaceShown, shown: Shown<'_>) {
    // The words need some ten lines; what is more goes to the pictures.
    let above = (area.height / 2).max(area.height.saturating_sub(16));
    let [pictures, told] =
        Layout::vertical([Constraint::Length(above), Constraint::Min(0)]).areas(area);
    let side = (area.width / 3).min(SKY_COLUMNS);
    let [left, middle, right] = Layout::horizontal([
        Constraint::Length(side),
        Constraint::Min(0),
        Constraint::Length(side),
    ])
    .areas(pictures);
    sky::plot(frame, left, &page.satellites, shown.coloured);
    sky::bars(frame, middle, &page.satellites, shown.coloured);
    map::draw(
        frame,
        right,
        shown.outline,
        page.verdict.point,
        shown.coloured,
    );
    let [why, figures] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(told);
    let block = Block::bordered().title("why");
    frame.render_widget(reasons(page, shown.coloured).block(block), why);
    let block = Block::bordered().title("receiver");
    let text = Paragraph::new(receiver_lines(page)).wrap(Wrap { trim: true });
    frame.render_widget(text.block(block), figures);
}

/// Sky and bars, and the reasons if there is room below.
fn half(frame: &mut Frame<'_>, area: Rect, page: &PlaceShown, shown: Shown<'_>) {
    let told = area.height.saturating_sub(HALF.1 - 2).min(8);
    let [pictures, below] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(told)]).areas(area);
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(pictures);
    sky::plot(frame, left, &page.satellites, shown.coloured);
    sky::bars(frame, right, &page.satellites, shown.coloured);
    frame.render_widget(reasons(page, shown.coloured), below);
}

const fn grade_colour(grade: Grade) -> Color {
    match grade {
        Grade::Attested | Grade::Plausible => Color::Green,
        Grade::Claimed => Color::Yellow,
        Grade::Suspect | Grade::None => Color::Red,
    }
}

/// The grade and what it is enough for; the place.
fn head_lines(page: &PlaceShown, coloured: bool) -> Vec<Line<'static>> {
    let (verdict, summary) = (&page.verdict, &page.summary);
    let mut style = Style::new().add_modifier(Modifier::BOLD);
    if coloured {
        style = style.fg(grade_colour(verdict.grade));
    }
    let enough = if summary.satisfies_policy {
        "enough for transfers"
    } else {
        "NOT ENOUGH for transfers"
    };
    let place = match (&summary.municipality, &summary.name) {
        (Some(code), Some(name)) => format!("{name} {code}  "),
        (Some(code), None) => format!("{code}  "),
        (None, _) => String::new(),
    };
    let point = verdict
        .point
        .map_or("no position".to_owned(), |point| point.to_string());
    let age = match verdict.figures.fix_age_ms {
        Some(age) => format!("  {} old", seconds(Some(age))),
        None => String::new(),
    };
    vec![
        Line::from(vec![
            Span::styled(verdict.grade.code().to_uppercase(), style),
            Span::raw(format!(": {enough}")),
        ]),
        Line::from(format!("{place}{point}{age}")),
    ]
}

fn foot_line(shown: Shown<'_>) -> Line<'static> {
    match shown.trouble {
        Some(trouble) => Line::from(format!("q leaves · {trouble}"))
            .style(Style::new().add_modifier(Modifier::BOLD)),
        None => Line::from("q leaves · a capital letter or a filled bar: used"),
    }
}

/// The reasons, those that fail first.
fn reasons(page: &PlaceShown, coloured: bool) -> Paragraph<'static> {
    let mut reasons = page.verdict.reasons.clone();
    reasons.sort_by_key(|reason| !reason.fails());
    let line = |reason: city_protocol::place::Reason| {
        let mut style = Style::new();
        if reason.fails() {
            style = style.add_modifier(Modifier::BOLD);
            if coloured {
                style = style.fg(Color::Red);
            }
        }
        let mark = if reason.fails() { "!" } else { "-" };
        Line::from(format!("{mark} {}", words(reason, page))).style(style)
    };
    let mut lines: Vec<_> = reasons.into_iter().map(line).collect();
    if lines.is_empty() {
        lines.push(Line::from("every check ran and passed"));
    }
    Paragraph::new(lines).wrap(Wrap { trim: false })
}

/// What the receiver is and says, faults first.
fn receiver_lines(page: &PlaceShown) -> Vec<Line<'static>> {
    let (receiver, verdict) = (&page.receiver, &page.verdict);
    let figures = &verdict.figures;
    let mut lines = Vec::new();
    let mut line = |text: String| lines.push(Line::from(text));
    let device = receiver.device.as_deref().unwrap_or("none is configured");
    let found = receiver.found.as_ref().map(|found| format!(" ({found})"));
    line(format!("{device}{}", found.unwrap_or_default()));
    if let Some(problem) = &receiver.problem {
        line(format!("! {problem}"));
    }
    if let Some(fault) = receiver.antenna_fault() {
        line(format!("! {fault}"));
    }
    if let Some(identity) = &receiver.identity {
        line(identity.clone());
    }
    let protocol = receiver.protocol.as_deref().unwrap_or("nothing heard yet");
    let speed = receiver.baud.map(|baud| format!(" at {baud} baud"));
    line(format!(
        "{protocol}{}, {} epochs",
        speed.unwrap_or_default(),
        receiver.fixes
    ));
    if let Some(time) = verdict.fix_time {
        line(rfc3339(time));
    }
    let count = |n: Option<u8>| n.map_or("?".to_owned(), |n| n.to_string());
    line(format!(
        "{} of {} satellites, HDOP {}, accuracy {}",
        count(verdict.satellites_used),
        count(figures.satellites_in_view),
        hundredths(verdict.hdop_centi),
        metres(figures.accuracy_mm.map(u64::from))
    ));
    line(format!(
        "speed {}/s",
        metres(figures.speed_mm_s.map(u64::from))
    ));
    for said in receiver.notices.iter().rev().take(NOTICES) {
        line(format!("says {}: {}", said.severity, said.text));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::place::watch::example;
    use city_protocol::place::Reason;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    fn drawn(width: u16, height: u16, shown: Shown<'_>) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, shown)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The characters; of a wide one the second column is left out.
    fn text(buffer: &Buffer) -> String {
        let width = usize::from(buffer.area.width);
        let rows = buffer.content().chunks(width);
        let row = |row: &[ratatui::buffer::Cell]| -> String {
            let mut hidden = false;
            let shown = row.iter().filter(|cell| {
                let skip = std::mem::replace(
                    &mut hidden,
                    !cell.symbol().is_ascii() && is_wide(cell.symbol()),
                );
                !skip
            });
            shown.map(|cell| cell.symbol()).collect()
        };
        rows.map(row).collect::<Vec<_>>().join("\n")
    }

    fn is_wide(symbol: &str) -> bool {
        symbol
            .chars()
            .any(|c| ('\u{3000}'..'\u{a000}').contains(&c))
    }

    fn whole(page: &PlaceShown, outline: &Outline, (width, height): (u16, u16)) -> String {
        let shown = Shown {
            page: Some(page),
            outline: Some(outline),
            trouble: None,
            coloured: true,
        };
        text(&drawn(width, height, shown))
    }

    #[test]
    fn everything_is_there_on_the_usual_terminal() {
        let (page, outline) = (example::page(), example::outline());
        for size in [(80, 24), (132, 43), (250, 80)] {
            let text = whole(&page, &outline, size);
            for part in [
                "PLAUSIBLE: enough for transfers",
                "金沢市",
                "17201",
                "36.5613",
                "0.2 s old",
                // Each constellation, used in capitals.
                "G05",
                "R03",
                "E11",
                "C22",
                "J02",
                "S129",
                "i07",
                // Directions and the position.
                "N",
                "╋",
                // A reason in words with its figure.
                "no surveyed antenna point",
                "/dev/ttyACM0",
                "u-blox",
                "UBX at 38400 baud",
                "speed 0.12 m/s",
                "SHORT CIRCUIT",
                "█",
                "q leaves",
            ] {
                assert!(text.contains(part), "{part} at {size:?}:\n{text}");
            }
        }
    }

    #[test]
    fn a_failed_check_stands_first_with_its_figure() {
        let mut page = example::page();
        page.verdict.grade = Grade::Suspect;
        page.summary.satisfies_policy = false;
        page.verdict.hdop_centi = Some(620);
        page.verdict.reasons = vec![Reason::AccuracyUnknown, Reason::HdopHigh];
        let text = whole(&page, &example::outline(), (100, 30));
        assert!(text.contains("SUSPECT: NOT ENOUGH"), "{text}");
        let failed = text
            .find("! dilution of precision 6.20, at most 5.00")
            .expect(&text);
        assert!(
            failed
                < text
                    .find("- the receiver reports no accuracy")
                    .expect(&text)
        );
    }

    #[test]
    fn every_size_shows_what_fits() {
        let (page, outline) = (example::page(), example::outline());
        for width in 1..100 {
            for height in 1..32 {
                let text = whole(&page, &outline, (width, height));
                assert!(
                    text.starts_with('P'),
                    "the grade at {width}×{height}:\n{text}"
                );
            }
        }
        let small = whole(&page, &outline, (40, 12));
        for part in [
            "PLAUSIBLE",
            "36.5613",
            "sky",
            "C/N0",
            "G05",
            "no surveyed",
            "q leaves",
        ] {
            assert!(small.contains(part), "{part}:\n{small}");
        }
    }

    #[test]
    fn without_colours_nothing_is_coloured_and_used_satellites_are_still_filled() {
        let (page, outline) = (example::page(), example::outline());
        let mut shown = Shown {
            page: Some(&page),
            outline: Some(&outline),
            trouble: None,
            coloured: false,
        };
        let colourless = |buffer: &Buffer| {
            let mut cells = buffer.content().iter();
            cells.all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset))
        };
        let plain = drawn(80, 24, shown);
        assert!(colourless(&plain));
        let mut cells = plain.content().iter();
        assert!(cells.any(|cell| cell.modifier.contains(Modifier::REVERSED)));
        shown.coloured = true;
        assert!(!colourless(&drawn(80, 24, shown)));
    }

    #[test]
    fn without_an_outline_a_position_or_a_node() {
        let mut page = example::page();
        (page.verdict.point, page.satellites) = (None, Vec::new());
        let mut shown = Shown {
            page: Some(&page),
            outline: None,
            trouble: Some("the node does not answer"),
            coloured: true,
        };
        let bare = text(&drawn(100, 30, shown));
        for part in [
            "no position",
            "no outline",
            "sky: 0 of 0",
            "the node does not answer",
        ] {
            assert!(bare.contains(part), "{part}:\n{bare}");
        }
        shown.page = None;
        assert!(text(&drawn(20, 5, shown)).contains("asking"));
    }

    #[test]
    fn a_position_elsewhere_is_an_arrow() {
        let mut page = example::page();
        // 東京 lies south-east of 金沢.
        page.verdict.point =
            Some(city_protocol::place::Point::new(356_800_000, 1_397_600_000).unwrap());
        let text = whole(&page, &example::outline(), (100, 30));
        assert!(text.contains('→') || text.contains('↘'), "{text}");
        assert!(!text.contains('╋'), "{text}");
    }
}

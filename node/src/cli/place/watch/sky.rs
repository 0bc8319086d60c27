//! The sky as the receiver sees it: where its satellites stand, and how strong their signals are.

use city_protocol::place::{SeenSatellite, System};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::canvas::{Canvas, Circle};
use ratatui::widgets::{Block, Paragraph};

/// Circles of the plot: the horizon, 30° and 60° above it, as parts of the radius.
const CIRCLES: [f64; 3] = [1.0, 2.0 / 3.0, 1.0 / 3.0];

/// How far beyond the horizon the plot reaches, in radii: for the letters of the directions.
const MARGIN: f64 = 1.2;

/// The strongest signal that a bar shows, dB-Hz: a clear sky and a good antenna give up to 57.
const STRONGEST_DBHZ: usize = 60;

/// Columns before and behind a bar: the satellite's name, the figure, and blanks.
const BESIDE_BAR: usize = 9;

/// Columns of a satellite's name: those of SBAS have three digits.
const NAME: usize = 4;

/// The narrowest column of bars.
const MIN_COLUMN: usize = 16;

/// The system's letter as RINEX has it.
const fn letter(system: System) -> char {
    match system {
        System::Gps => 'G',
        System::Glonass => 'R',
        System::Galileo => 'E',
        System::Beidou => 'C',
        System::Qzss => 'J',
        System::NavIc => 'I',
        System::Sbas => 'S',
        System::Unknown => 'X',
    }
}

const fn colour(system: System) -> Color {
    match system {
        System::Gps => Color::Green,
        System::Glonass => Color::Red,
        System::Galileo => Color::Blue,
        System::Beidou => Color::Yellow,
        System::Qzss => Color::Magenta,
        System::NavIc => Color::Cyan,
        System::Sbas | System::Unknown => Color::Gray,
    }
}

/// Its letter and number: a capital where it is used.
pub(super) fn name(seen: &SeenSatellite) -> String {
    let letter = letter(seen.system);
    let letter = if seen.used {
        letter
    } else {
        letter.to_ascii_lowercase()
    };
    format!("{letter}{:02}", seen.id)
}

/// Filled where it is used.
fn style(seen: &SeenSatellite, coloured: bool) -> Style {
    let mut style = Style::new();
    if coloured {
        style = style.fg(colour(seen.system));
    }
    if seen.used {
        style.add_modifier(Modifier::REVERSED)
    } else {
        style
    }
}

/// Where it stands in the plot: the zenith is the middle, the horizon at 1, north is up. Nothing below the horizon, and
/// nothing where the receiver does not say.
fn spot(seen: &SeenSatellite) -> Option<(f64, f64)> {
    let elevation = seen.elevation_deg.filter(|&degrees| degrees >= 0)?;
    let turn = f64::from(seen.azimuth_deg?).to_radians();
    let radius = (90.0 - f64::from(elevation)) / 90.0;
    Some((radius * turn.sin(), radius * turn.cos()))
}

/// Half the sides of what the plot shows, in radii: dots are square, so the shorter side decides.
fn half_sides(area: Rect) -> (f64, f64) {
    // A character has two dots side by side and four on top of each other.
    let (width, height) = (f64::from(area.width) * 2.0, f64::from(area.height) * 4.0);
    let shorter = width.min(height).max(1.0);
    (MARGIN * width / shorter, MARGIN * height / shorter)
}

/// Draws the plot.
pub(super) fn plot(frame: &mut Frame<'_>, area: Rect, sky: &[SeenSatellite], coloured: bool) {
    let placed = sky.iter().filter(|seen| spot(seen).is_some()).count();
    let block = Block::bordered().title(format!("sky: {placed} of {} placed", sky.len()));
    let (across, up) = half_sides(block.inner(area));
    let grey = if coloured {
        Color::DarkGray
    } else {
        Color::Reset
    };
    let canvas = Canvas::default()
        .block(block)
        .x_bounds([-across, across])
        .y_bounds([-up, up])
        .paint(|ctx| {
            for radius in CIRCLES {
                ctx.draw(&Circle {
                    x: 0.0,
                    y: 0.0,
                    radius,
                    color: grey,
                });
            }
            ctx.layer();
            for (x, y, direction) in [
                (0.0, 1.1, "N"),
                (1.1, 0.0, "E"),
                (0.0, -1.1, "S"),
                (-1.1, 0.0, "W"),
            ] {
                ctx.print(x, y, direction);
            }
            // Those that are used lie on top.
            let (used, others): (Vec<_>, Vec<_>) = sky.iter().partition(|seen| seen.used);
            for seen in others.into_iter().chain(used) {
                if let Some((x, y)) = spot(seen) {
                    ctx.print(x, y, Span::styled(name(seen), style(seen, coloured)));
                }
            }
        });
    frame.render_widget(canvas, area);
}

/// The satellites, strongest first; those without a figure last.
fn by_strength(sky: &[SeenSatellite]) -> Vec<&SeenSatellite> {
    let mut sorted: Vec<_> = sky.iter().collect();
    sorted.sort_by_key(|seen| (std::cmp::Reverse(seen.cn0_dbhz), seen.system, seen.id));
    sorted
}

/// One satellite's bar within so many columns.
fn bar(seen: &SeenSatellite, width: usize, coloured: bool) -> Line<'static> {
    let room = width.saturating_sub(BESIDE_BAR);
    let strength = usize::from(seen.cn0_dbhz.unwrap_or(0)).min(STRONGEST_DBHZ);
    let filled = (room * strength).div_ceil(STRONGEST_DBHZ);
    let figure = seen
        .cn0_dbhz
        .map_or("--".to_owned(), |dbhz| dbhz.to_string());
    let drawn = if coloured {
        Style::new().fg(colour(seen.system))
    } else {
        Style::new()
    };
    let mark = if seen.used { "█" } else { "░" };
    let name = name(seen);
    let blanks = " ".repeat(NAME.saturating_sub(name.len()));
    Line::from(vec![
        Span::styled(name, style(seen, coloured)),
        Span::raw(format!("{blanks} {figure:>2} ")),
        Span::styled(mark.repeat(filled), drawn),
        Span::raw(" ".repeat(room - filled + 1)),
    ])
}

/// Draws the bars: in as many columns as fit, what does not fit is counted.
pub(super) fn bars(frame: &mut Frame<'_>, area: Rect, sky: &[SeenSatellite], coloured: bool) {
    let used = sky.iter().filter(|seen| seen.used).count();
    let block = Block::bordered().title(format!("C/N0 dB-Hz: {used} used"));
    let inner = block.inner(area);
    let (width, rows) = (usize::from(inner.width), usize::from(inner.height));
    let sorted = by_strength(sky);
    let needed = sorted.len().div_ceil(rows.max(1)).max(1);
    let columns = needed.min((width / MIN_COLUMN).max(1));
    let column = width / columns;
    let mut lines: Vec<Line<'_>> = Vec::new();
    for row in 0..rows.min(sorted.len()) {
        let in_row = (0..columns).filter_map(|n| sorted.get(n * rows + row));
        let spans = in_row.flat_map(|seen| bar(seen, column, coloured).spans);
        lines.push(spans.collect());
    }
    let left_over = sorted.len().saturating_sub(columns * rows);
    if left_over > 0
        && let Some(last) = lines.last_mut()
    {
        *last = Line::from(format!("and {} more", left_over + columns));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(elevation_deg: Option<i8>, azimuth_deg: Option<u16>) -> SeenSatellite {
        SeenSatellite {
            system: System::Qzss,
            id: 2,
            cn0_dbhz: Some(41),
            used: true,
            elevation_deg,
            azimuth_deg,
        }
    }

    #[test]
    fn where_a_satellite_stands() {
        let at = |elevation, azimuth| {
            let (x, y) = spot(&seen(Some(elevation), Some(azimuth))).unwrap();
            [x, y].map(|side| (side * 100.0).round() / 100.0 + 0.0)
        };
        assert_eq!(at(90, 123), [0.0, 0.0], "the zenith");
        assert_eq!(at(0, 0), [0.0, 1.0], "north");
        assert_eq!(at(0, 90), [1.0, 0.0], "east is right");
        assert_eq!(at(45, 180), [0.0, -0.5]);
        assert_eq!(at(30, 270), [-0.67, 0.0]);
        assert_eq!(spot(&seen(Some(-5), Some(10))), None);
        assert_eq!(spot(&seen(Some(5), None)), None);
        assert_eq!(spot(&seen(None, Some(5))), None);
    }

    #[test]
    fn the_strongest_comes_first_and_used_ones_are_capitals() {
        let mut weak = seen(None, None);
        (weak.id, weak.cn0_dbhz, weak.used) = (3, Some(20), false);
        let mut silent = weak;
        (silent.id, silent.cn0_dbhz) = (4, None);
        let sky = [silent, weak, seen(None, None)];
        let names: Vec<_> = by_strength(&sky).into_iter().map(name).collect();
        assert_eq!(names, ["J02", "j03", "j04"]);
        let text = |seen: &SeenSatellite| bar(seen, 21, false).to_string();
        assert_eq!(text(&sky[2]), format!("J02  41 {}    ", "█".repeat(9)));
        assert_eq!(text(&sky[0]), format!("j04  -- {}", " ".repeat(13)));
    }
}

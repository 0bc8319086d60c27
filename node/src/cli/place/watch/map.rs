//! The position on the municipality's outline, or an arrow to where it lies beyond the picture.

use city_protocol::place::Point;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;
use ratatui::widgets::canvas::{Canvas, Line as Stroke};
use ratatui::widgets::{Block, Paragraph, Wrap};

use crate::admin::pages::Outline;

/// Whole turn and half a turn, 1e-7 degrees.
const TURN: i64 = 3_600_000_000;

/// Margin around the outline, as a part of it.
const MARGIN: f64 = 0.08;

/// Arrows from north, clockwise in steps of 45°.
const ARROWS: [&str; 8] = ["↑", "↗", "→", "↘", "↓", "↙", "←", "↖"];

/// Brings positions into the plane: the middle of the outline is the origin, one unit is a degree of latitude.
struct Plane {
    lat: f64,
    lon_e7: i64,
    /// How much shorter a degree of longitude is.
    shrink: f64,
    /// Half the sides of the outline.
    half: (f64, f64),
}

impl Plane {
    /// Of an outline that has a point.
    fn of(outline: &Outline) -> Option<Self> {
        let first = outline.rings.first()?.first()?;
        let origin = i64::from(first.1);
        let points = || outline.rings.iter().flatten();
        let lats = || points().map(|&(lat, _)| f64::from(lat) / 1e7);
        // Around the first point: an outline may lie on both sides of the 180th meridian.
        let turns = || points().map(|&(_, lon)| short_way(i64::from(lon) - origin));
        let (south, north) = (lats().fold(90.0, f64::min), lats().fold(-90.0, f64::max));
        let (west, east) = (turns().min()?, turns().max()?);
        let lat = f64::midpoint(south, north);
        let shrink = lat.to_radians().cos().max(0.01);
        Some(Self {
            lat,
            lon_e7: origin + i64::midpoint(west, east),
            shrink,
            half: (degrees(east - west) / 2.0 * shrink, (north - south) / 2.0),
        })
    }

    fn place(&self, lat_e7: i32, lon_e7: i32) -> (f64, f64) {
        let east = short_way(i64::from(lon_e7) - self.lon_e7);
        (
            degrees(east) * self.shrink,
            f64::from(lat_e7) / 1e7 - self.lat,
        )
    }

    /// Half the sides of the picture in this area: dots are square.
    fn picture(&self, area: Rect) -> (f64, f64) {
        let (width, height) = (
            f64::from(area.width.max(1)) * 2.0,
            f64::from(area.height.max(1)) * 4.0,
        );
        let per_dot = (self.half.0 / width).max(self.half.1 / height).max(1e-9) * (1.0 + MARGIN);
        (per_dot * width, per_dot * height)
    }
}

/// A difference in longitude the short way round, 1e-7 degrees.
const fn short_way(difference_e7: i64) -> i64 {
    (difference_e7 + TURN / 2).rem_euclid(TURN) - TURN / 2
}

#[expect(clippy::cast_precision_loss, reason = "within a turn, far below 2^53")]
fn degrees(e7: i64) -> f64 {
    e7 as f64 / 1e7
}

/// The arrow from the middle towards there.
fn arrow((x, y): (f64, f64)) -> &'static str {
    let from_north = x.atan2(y).to_degrees().rem_euclid(360.0);
    let borders = (0_u16..8).map(|n| 45.0 * f64::from(n) + 22.5);
    ARROWS[borders.filter(|&border| from_north >= border).count() % ARROWS.len()]
}

/// Draws it. `trouble` says why there is no outline.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    outline: Option<&Outline>,
    point: Option<Point>,
    coloured: bool,
) {
    let title = outline.map_or("place".to_owned(), |outline| {
        format!("{} {}", outline.code, outline.name)
    });
    let block = Block::bordered().title(title);
    let Some((outline, plane)) = outline.and_then(|outline| Some((outline, Plane::of(outline)?)))
    else {
        let text = "no outline of this municipality: make a boundary index that has it with city-node place import";
        let text = Paragraph::new(text).wrap(Wrap { trim: true }).block(block);
        return frame.render_widget(text, area);
    };
    let (across, up) = plane.picture(block.inner(area));
    let line = if coloured { Color::Gray } else { Color::Reset };
    let here = if coloured {
        Style::new().fg(Color::LightRed)
    } else {
        Style::new()
    };
    let here = here.add_modifier(Modifier::BOLD);
    let canvas = Canvas::default()
        .block(block)
        .x_bounds([-across, across])
        .y_bounds([-up, up])
        .paint(|ctx| {
            for ring in &outline.rings {
                let next = ring.iter().cycle().skip(1);
                for (&(lat, lon), &(next_lat, next_lon)) in ring.iter().zip(next) {
                    let ((x1, y1), (x2, y2)) =
                        (plane.place(lat, lon), plane.place(next_lat, next_lon));
                    ctx.draw(&Stroke {
                        x1,
                        y1,
                        x2,
                        y2,
                        color: line,
                    });
                }
            }
            ctx.layer();
            if let Some(point) = point {
                let (x, y) = plane.place(point.lat_e7(), point.lon_e7());
                let beyond = x.abs() > across || y.abs() > up;
                let mark = if beyond { arrow((x, y)) } else { "╋" };
                let at = |side: f64, half: f64| side.clamp(-half * 0.95, half * 0.95);
                ctx.print(at(x, across), at(y, up), Span::styled(mark, here));
            }
        });
    frame.render_widget(canvas, area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_where_it_lies() {
        let check = |at, expected| assert_eq!(arrow(at), expected, "{at:?}");
        check((0.0, 1.0), "↑");
        check((-0.1, 1.0), "↑");
        check((1.0, 1.0), "↗");
        check((1.0, 0.0), "→");
        check((1.0, -1.0), "↘");
        check((0.0, -1.0), "↓");
        check((-1.0, -1.0), "↙");
        check((-1.0, 0.0), "←");
        check((-1.0, 1.0), "↖");
    }

    #[test]
    fn an_outline_on_both_sides_of_the_180th_meridian_is_one() {
        let outline = Outline {
            rings: vec![vec![
                (-170_000_000, 1_790_000_000),
                (-170_000_000, -1_790_000_000),
                (-160_000_000, -1_790_000_000),
                (-160_000_000, 1_790_000_000),
            ]],
            ..Outline::default()
        };
        let plane = Plane::of(&outline).unwrap();
        let (x, y) = plane.place(-165_000_000, 1_800_000_000);
        assert!(x.abs() < 1e-6 && y.abs() < 1e-6, "{x} {y}: the middle");
        let (x, _) = plane.place(-165_000_000, -1_795_000_000);
        assert!(
            (0.4..0.5).contains(&x),
            "{x}: half a degree, shorter at 16.5° south"
        );
        assert!(plane.half.0 < 1.0, "{:?}: not around the world", plane.half);
        assert!(Plane::of(&Outline::default()).is_none());
    }
}

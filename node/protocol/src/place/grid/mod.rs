//! A static grid in front of the exact test: which municipality a point lies in, with the edges of one cell only.
//!
//! Square cells of a power of two of 1e-7 degrees, in pages. A page or cell that no outline touches carries its owner. A
//! border cell carries, for each ring that touches it, the edges in it and on which side of the ring the cell's
//! reference point lies: a path from the point asked for to that reference crosses the ring as often as the edges say.
//! The answer is that of `Municipality::contains` on every point; integers only. Derived from the outlines when an
//! index is read, never stored: nothing beside the digest has to be believed.
//!
//! `frame` cells and their arithmetic · `build` outlines → grid · `near` the nearest edge.

mod build;
mod frame;
mod near;
#[cfg(test)]
pub(super) mod seeded;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::frame::{Frame, PAGE_CELLS};
use super::point::Point;
use super::ring::{RingSide, is_between, orientation};

/// No municipality: more than there may be.
const NOBODY: u32 = u32::MAX >> 1;
/// In a directory entry: the number of a page, not an owner. In a cell of a page: the number of a border cell.
const SPLIT: u32 = 1 << 31;
/// In a ring of a cell: the cell's reference point lies within it.
const WITHIN: u32 = 1 << 31;
/// In a polygon of a cell: its outer ring touches the cell and is its first.
const OUTER_TOUCHES: u32 = 1 << 31;
/// In a polygon of a cell: its outer ring does not touch the cell and lies around it.
const OUTER_AROUND: u32 = 1 << 30;
/// In a polygon of a cell: a hole that does not touch the cell lies around it.
const HOLE_AROUND: u32 = 1 << 29;
/// The municipality of a polygon of a cell; there are at most 50,000.
const MUNICIPALITY: u32 = HOLE_AROUND - 1;

/// The grid over all outlines of an index. Municipalities are numbers in the index's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    frame: Frame,
    /// By page: its owner, or `SPLIT` and its number.
    directory: Vec<u32>,
    /// By page and cell: its owner, or `SPLIT` and the number of the border cell.
    pages: Vec<u32>,
    /// Border cells, and one more that ends the last.
    cells: Vec<Cell>,
    /// Polygons of border cells, by municipality, and one more.
    polygons: Vec<CellPolygon>,
    /// Rings of border cells, the outer one first, and one more.
    rings: Vec<CellRing>,
    /// Edges of border cells.
    runs: Vec<Run>,
    /// All rings' points, shared with the outlines.
    outlines: Vec<Arc<[Point]>>,
    /// The lowest municipality that reaches the south pole and the north pole: one point each, whatever its longitude.
    poles: [u32; 2],
}

/// A cell that an outline touches. It ends where the next begins; so do polygons and rings of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    /// The lowest municipality that holds all of it by a polygon that does not touch it.
    base: u32,
    polygons: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CellPolygon {
    /// Municipality and flags.
    municipality: u32,
    rings: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CellRing {
    /// Number of the ring and `WITHIN`.
    ring: u32,
    runs: u32,
}

/// Edges that follow each other: the edge `i` goes from point `i` of its ring to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: u32,
    end: u32,
}

impl Grid {
    /// The lowest municipality that contains the point. The antimeridian's two spellings are one point, as are all
    /// those of a pole.
    pub(super) fn owner(&self, point: Point) -> Option<usize> {
        let owner = if point.is_pole() {
            self.poles[usize::from(point.lat_e7() > 0)]
        } else {
            let other = point.other_spelling().map(|other| self.spelled(other));
            self.spelled(point).min(other.unwrap_or(NOBODY))
        };
        (owner != NOBODY).then_some(owner as usize)
    }

    /// As `owner`, of exactly this pair of numbers.
    fn spelled(&self, point: Point) -> u32 {
        let Some((row, column)) = self.frame.cell_of(point) else {
            return NOBODY;
        };
        let value = self.value(row, column);
        if value & SPLIT == 0 {
            return value;
        }
        let number = (value & !SPLIT) as usize;
        let cell = self.cells[number];
        let corner = self.frame.far_corner(row, column);
        for at in cell.polygons..self.cells[number + 1].polygons {
            let municipality = self.polygons[at as usize].municipality & MUNICIPALITY;
            if municipality >= cell.base {
                break;
            }
            if self.contains(at as usize, corner, point) {
                return municipality;
            }
        }
        cell.base
    }

    /// What stands for a cell: an owner, or `SPLIT` and the number of a border cell.
    fn value(&self, row: u32, column: u32) -> u32 {
        let value = self.directory[self.frame.page_of(row, column)];
        if value & SPLIT == 0 {
            return value;
        }
        self.pages[(value & !SPLIT) as usize * PAGE_CELLS + Frame::within_page(row, column)]
    }

    fn contains(&self, polygon: usize, corner: (i64, i64), point: Point) -> bool {
        let flags = self.polygons[polygon].municipality;
        let mut rings = self.polygons[polygon].rings..self.polygons[polygon + 1].rings;
        let outer = if flags & OUTER_TOUCHES != 0 {
            let first = rings.next().expect("the ring that touches is the first");
            self.side(first as usize, corner, point)
        } else if flags & OUTER_AROUND != 0 {
            RingSide::Within
        } else {
            RingSide::Without
        };
        match outer {
            RingSide::Without => false,
            RingSide::On => true,
            RingSide::Within => {
                flags & HOLE_AROUND == 0
                    && rings.all(|hole| self.side(hole as usize, corner, point) != RingSide::Within)
            }
        }
    }

    /// Which side of a ring a point of a cell lies on, by the ring's edges in the cell.
    ///
    /// The path goes east from the point to half a unit beyond the cell's last column (`corner.1`), then north to half a
    /// unit beyond its last row (`corner.0`). All of it is thought an infinitely small step further north, so that it
    /// meets no vertex: on the way east, edges count that are half-open in latitude; on the way north none has a vertex.
    fn side(&self, ring: usize, corner: (i64, i64), point: Point) -> RingSide {
        let entry = self.rings[ring];
        let points = &self.outlines[(entry.ring & !WITHIN) as usize];
        let runs = entry.runs as usize..self.rings[ring + 1].runs as usize;
        let mut within = entry.ring & WITHIN != 0;
        for run in &self.runs[runs] {
            for edge in run.start as usize..run.end as usize {
                let a = points[edge];
                let b = points.get(edge + 1).copied().unwrap_or(points[0]);
                let (low, high) = if a.lat_e7() <= b.lat_e7() {
                    (a, b)
                } else {
                    (b, a)
                };
                if (low.lat_e7()..=high.lat_e7()).contains(&point.lat_e7()) {
                    let turn = orientation(low, high, point);
                    if turn == 0 && is_between(a.lon_e7(), b.lon_e7(), point.lon_e7()) {
                        return RingSide::On;
                    }
                    if point.lat_e7() < high.lat_e7() && turn > 0 {
                        within ^= ends_east_of(low, high, point, corner.1);
                    }
                }
                within ^= crosses_north_of(a, b, point, corner);
            }
        }
        if within {
            RingSide::Within
        } else {
            RingSide::Without
        }
    }
}

/// Whether the way east, at the point's latitude and an infinitely small step north of it, ends east of an edge that
/// goes up through that latitude. It ends half a unit beyond `column`.
fn ends_east_of(low: Point, high: Point, point: Point, column: i64) -> bool {
    let east = i64::from(low.lon_e7().max(high.lon_e7()));
    if east <= column {
        return true;
    }
    let difference = |x: i32, y: i32| i128::from(x) - i128::from(y);
    let (dx, dy) = (
        difference(high.lon_e7(), low.lon_e7()),
        difference(high.lat_e7(), low.lat_e7()),
    );
    // Twice the numbers, so that the half is whole.
    let from_low = i128::from(2 * column + 1) - 2 * i128::from(low.lon_e7());
    let turn = 2 * dx * difference(point.lat_e7(), low.lat_e7()) - dy * from_low;
    // Through the end itself: a step north the edge is west of it if it leans west.
    turn < 0 || (turn == 0 && dx < 0)
}

/// Whether the way north, half a unit beyond the corner's column, crosses the edge between the point's latitude and half
/// a unit beyond the corner's row.
fn crosses_north_of(a: Point, b: Point, point: Point, (row, column): (i64, i64)) -> bool {
    let (west, east) = if a.lon_e7() <= b.lon_e7() {
        (a, b)
    } else {
        (b, a)
    };
    if i64::from(west.lon_e7()) > column || i64::from(east.lon_e7()) <= column {
        return false;
    }
    let wide = |value: i32| i128::from(value);
    let dx = wide(east.lon_e7()) - wide(west.lon_e7());
    let dy = wide(east.lat_e7()) - wide(west.lat_e7());
    // Twice the height over the western end, times dx.
    let height = dy * (i128::from(2 * column + 1) - 2 * wide(west.lon_e7()));
    let from = 2 * (wide(point.lat_e7()) - wide(west.lat_e7())) * dx;
    let to = (i128::from(2 * row + 1) - 2 * wide(west.lat_e7())) * dx;
    from < height && height <= to
}

//! Cells and pages: which one a point lies in, which ones an edge touches, where a ring's edges pass reference points.

use super::super::point::Point;
use super::super::ring::Ring;

/// Cells of a page's side, as a power of two.
const PAGE_SHIFT: u32 = 4;
/// Cells of a page.
pub(super) const PAGE_CELLS: usize = 1 << (2 * PAGE_SHIFT);
/// Smallest side of a cell, as a power of two of 1e-7 degrees: 4096 are 45 m, less than between two corners of a border.
const MIN_SHIFT: u32 = 12;
/// Largest side: 2^31 is more than half the way round the world, and always within every budget.
const MAX_SHIFT: u32 = 30;
/// Cells that filling may look at for each vertex: cells about as large as the edges of simplified outlines; more is
/// slower to build and not faster to ask.
const VISITS_PER_VERTEX: u64 = 16;
/// Cells' borders that edges may cross for each vertex: what a border cell holds is kept once for each of them.
const CROSSINGS_PER_VERTEX: u64 = 2;
/// Visits and crossings that there may be in any case.
const MIN_BUDGET: u64 = 1 << 16;
/// Longest directory, pages: should all of them be split, 256 MiB. Outlines far apart, as overseas departments are, get
/// larger cells.
const MAX_DIRECTORY: u64 = 1 << 18;

/// The rectangle of cells around all outlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// A cell's side as a power of two of 1e-7 degrees.
    pub(super) shift: u32,
    /// The first row and column, counted in cells from latitude and longitude 0.
    south: i32,
    west: i32,
    pub(super) rows: u32,
    pub(super) columns: u32,
}

impl Frame {
    /// The finest frame around these rings that keeps to the budgets.
    pub(super) fn around<'a>(rings: impl Iterator<Item = &'a Ring> + Clone) -> Self {
        let vertices: u64 = rings.clone().map(|ring| ring.points().len() as u64).sum();
        let length: u64 = rings.clone().flat_map(Ring::edges).map(length_e7).sum();
        let visits = (vertices * VISITS_PER_VERTEX).max(MIN_BUDGET);
        let crossings = (vertices * CROSSINGS_PER_VERTEX).max(MIN_BUDGET);
        let mut frame = Self::with_shift(MIN_SHIFT, rings.clone());
        while frame.shift < MAX_SHIFT {
            let pages = u64::from(frame.page_rows()) * u64::from(frame.page_columns());
            let boxes: u64 = rings.clone().map(|ring| frame.cells_around(ring)).sum();
            if pages <= MAX_DIRECTORY && boxes <= visits && length >> frame.shift <= crossings {
                break;
            }
            frame = Self::with_shift(frame.shift + 1, rings.clone());
        }
        frame
    }

    /// The frame around these rings with cells of 2^shift, whatever it costs.
    pub(super) fn with_shift<'a>(shift: u32, rings: impl Iterator<Item = &'a Ring>) -> Self {
        let bounds = rings
            .map(Ring::bounds)
            .map(|(low, high)| (low.lat_e7(), low.lon_e7(), high.lat_e7(), high.lon_e7()))
            .reduce(|a, b| (a.0.min(b.0), a.1.min(b.1), a.2.max(b.2), a.3.max(b.3)));
        let Some((south, west, north, east)) = bounds else {
            return Self {
                shift: MAX_SHIFT,
                south: 0,
                west: 0,
                rows: 0,
                columns: 0,
            };
        };
        let (south, west) = (south >> shift, west >> shift);
        Self {
            shift,
            south,
            west,
            rows: (north >> shift).abs_diff(south) + 1,
            columns: (east >> shift).abs_diff(west) + 1,
        }
    }

    /// Cells of the box around a ring: what filling it looks at, at most.
    fn cells_around(&self, ring: &Ring) -> u64 {
        let (low, high) = ring.bounds();
        let side =
            |low: i32, high: i32| u64::from((high >> self.shift).abs_diff(low >> self.shift)) + 1;
        side(low.lat_e7(), high.lat_e7()) * side(low.lon_e7(), high.lon_e7())
    }

    pub(super) const fn page_rows(&self) -> u32 {
        self.rows.div_ceil(1 << PAGE_SHIFT)
    }

    pub(super) const fn page_columns(&self) -> u32 {
        self.columns.div_ceil(1 << PAGE_SHIFT)
    }

    /// Row and column of a point, if it is in the frame.
    pub(super) fn cell_of(&self, point: Point) -> Option<(u32, u32)> {
        let row = u32::try_from((point.lat_e7() >> self.shift).checked_sub(self.south)?).ok()?;
        let column = u32::try_from((point.lon_e7() >> self.shift).checked_sub(self.west)?).ok()?;
        (row < self.rows && column < self.columns).then_some((row, column))
    }

    /// Row and column of an outline's point.
    fn cell(&self, point: Point) -> (u32, u32) {
        self.cell_of(point)
            .expect("the frame is around all outlines")
    }

    /// The nearest row and column to a position, which may lie beyond the frame. Not for a frame without cells.
    pub(super) fn nearest_cell(&self, lat_e7: i64, lon_e7: i64) -> (u32, u32) {
        let clamp = |value: i64, first: i32, count: u32| {
            let value = (value >> self.shift) - i64::from(first);
            u32::try_from(value.clamp(0, i64::from(count) - 1)).expect("clamped")
        };
        (
            clamp(lat_e7, self.south, self.rows),
            clamp(lon_e7, self.west, self.columns),
        )
    }

    /// The last latitude and longitude of a cell, 1e-7 degrees.
    pub(super) fn far_corner(&self, row: u32, column: u32) -> (i64, i64) {
        let (lat, lon) = self.near_corner(row + 1, column + 1);
        (lat - 1, lon - 1)
    }

    /// The first latitude and longitude of a cell, 1e-7 degrees; also of one beyond the frame.
    pub(super) fn near_corner(&self, row: u32, column: u32) -> (i64, i64) {
        (
            (i64::from(self.south) + i64::from(row)) << self.shift,
            (i64::from(self.west) + i64::from(column)) << self.shift,
        )
    }

    /// Place of a cell's page in the directory.
    pub(super) const fn page_of(&self, row: u32, column: u32) -> usize {
        (row >> PAGE_SHIFT) as usize * self.page_columns() as usize
            + (column >> PAGE_SHIFT) as usize
    }

    /// Place of a cell in its page.
    pub(super) const fn within_page(row: u32, column: u32) -> usize {
        let mask = (1 << PAGE_SHIFT) - 1;
        ((row & mask) << PAGE_SHIFT | column & mask) as usize
    }

    /// The first column of the next page.
    pub(super) const fn next_page(column: u32) -> u32 {
        ((column >> PAGE_SHIFT) + 1) << PAGE_SHIFT
    }

    /// The cells of a page: rows and columns, ends excluded.
    pub(super) fn cells_of_page(
        &self,
        page_row: u32,
        page_column: u32,
    ) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
        let range =
            |page: u32, count: u32| (page << PAGE_SHIFT)..((page + 1) << PAGE_SHIFT).min(count);
        (range(page_row, self.rows), range(page_column, self.columns))
    }

    /// A cell's page, as row and column of pages.
    pub(super) const fn page(row: u32, column: u32) -> (u32, u32) {
        (row >> PAGE_SHIFT, column >> PAGE_SHIFT)
    }

    /// Visits all cells whose points an edge passes, borders between cells included; it may visit a neighbour of one.
    pub(super) fn trace(&self, a: Point, b: Point, mut visit: impl FnMut(u32, u32)) {
        let (low, high) = if a.lat_e7() <= b.lat_e7() {
            (a, b)
        } else {
            (b, a)
        };
        let (first, from) = self.cell(low);
        let (last, to) = self.cell(high);
        if first == last {
            for column in from.min(to)..=from.max(to) {
                visit(first, column);
            }
            return;
        }
        let [x, y] = [i64::from(low.lon_e7()), i64::from(low.lat_e7())];
        let dx = i64::from(high.lon_e7()) - x;
        let dy = i64::from(high.lat_e7()) - y;
        let top = i64::from(high.lat_e7());
        for row in first..=last {
            if from == to {
                visit(row, from);
                continue;
            }
            // The part of the edge in this row's closed band; |dx| ≤ 3.6e9 and dy ≤ 1.8e9, so products fit.
            let (south, _) = self.near_corner(row, 0);
            let (north, _) = self.near_corner(row + 1, 0);
            let [enters, leaves] = [y.max(south), top.min(north)].map(|at| dx * (at - y));
            let (west, east) = (enters.min(leaves), enters.max(leaves));
            let column = |lon: i64| self.nearest_cell(0, lon).1;
            let east = x + east.div_euclid(dy) + i64::from(east.rem_euclid(dy) != 0);
            for column in column(x + west.div_euclid(dy))..=column(east) {
                visit(row, column);
            }
        }
    }

    /// For each row whose reference latitude an edge passes: how many columns have their reference point west of it.
    /// The reference points lie half a unit beyond the last latitude and longitude of their cells; all is thought an
    /// infinitely small step further north.
    pub(super) fn passes(&self, a: Point, b: Point, mut pass: impl FnMut(u32, u32)) {
        let (low, high) = if a.lat_e7() <= b.lat_e7() {
            (a, b)
        } else {
            (b, a)
        };
        let (first, from) = self.cell(low);
        let (last, to) = self.cell(high);
        // A row's last latitude is below the edge's end in all rows but the last.
        for row in first..last {
            if from == to {
                pass(row, from);
                continue;
            }
            let (lat, _) = self.far_corner(row, 0);
            let [x, y] = [i128::from(low.lon_e7()), i128::from(low.lat_e7())];
            let dx = i128::from(high.lon_e7()) - x;
            let dy = i128::from(high.lat_e7()) - y;
            // Twice the longitude at that latitude, times dy; then in cells, half a unit further.
            let doubled = 2 * x * dy + dx * (i128::from(2 * lat + 1) - 2 * y);
            let cell = dy << (self.shift + 1);
            let (cells, rest) = (
                (doubled + dy).div_euclid(cell),
                (doubled + dy).rem_euclid(cell),
            );
            // Through a reference point itself: a step north it is west of the edge if that leans east.
            let cells = cells - i128::from(rest == 0 && dx < 0) - i128::from(self.west);
            pass(
                row,
                u32::try_from(cells).expect("a reference point between two outlines' points"),
            );
        }
    }
}

/// How far an edge goes north or south, and east or west, 1e-7 degrees: over a cell's side, the cells it passes.
fn length_e7((a, b): (Point, Point)) -> u64 {
    u64::from(a.lat_e7().abs_diff(b.lat_e7())) + u64::from(a.lon_e7().abs_diff(b.lon_e7()))
}

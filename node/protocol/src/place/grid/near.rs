//! The nearest edge: cells around the position, ring by ring, then pages; as soon as nothing nearer can come, it ends.
//!
//! The answer is the least over all edges. What is passed over is farther by more than all rounding.

use super::super::metric::Metric;
use super::frame::{Frame, PAGE_CELLS};
use super::{Grid, MUNICIPALITY, SPLIT, WITHIN};

/// So many rings of cells before pages: borders are seldom farther from those who live there.
const CELL_RINGS: u32 = 8;

/// Rows and columns of cells or pages, ends excluded.
struct Block {
    rows: u32,
    columns: u32,
}

impl Grid {
    /// The square of the distance to the nearest edge, of one municipality or of all, as far as it is below `best`.
    pub(in super::super) fn nearest(&self, map: &Metric, only: Option<usize>, best: u128) -> u128 {
        let frame = &self.frame;
        let cells = Block {
            rows: frame.rows,
            columns: frame.columns,
        };
        let mut best = best;
        if cells.rows == 0 {
            return best;
        }
        let (lat, lon) = map.origin_e7();
        let (row, column) = frame.nearest_cell(lat, lon);
        let corner = |row, column| frame.near_corner(row, column);
        for ring in 0..CELL_RINGS {
            if cells.beyond(map, (row, column), ring, corner) >= best {
                return best;
            }
            cells.ring((row, column), ring, |row, column| {
                best = self.nearest_in_cell(map, only, (row, column), best);
            });
        }
        let pages = Block {
            rows: frame.page_rows(),
            columns: frame.page_columns(),
        };
        let center = Frame::page(row, column);
        let corner = |row: u32, column: u32| {
            let (rows, columns) = frame.cells_of_page(row, column);
            frame.near_corner(rows.start, columns.start)
        };
        for ring in 0.. {
            if pages.beyond(map, center, ring, corner) >= best {
                break;
            }
            pages.ring(center, ring, |row, column| {
                best = self.nearest_in_page(map, only, (row, column), best);
            });
        }
        best
    }

    fn nearest_in_page(
        &self,
        map: &Metric,
        only: Option<usize>,
        (page_row, page_column): (u32, u32),
        best: u128,
    ) -> u128 {
        let mut best = best;
        let (rows, columns) = self.frame.cells_of_page(page_row, page_column);
        let split = self.directory[self.frame.page_of(rows.start, columns.start)] & SPLIT != 0;
        let low = self.frame.near_corner(rows.start, columns.start);
        let high = self.frame.near_corner(rows.end, columns.end);
        if !split || map.box_squared(low, high) >= best {
            return best;
        }
        for row in rows {
            for column in columns.clone() {
                best = self.nearest_in_cell(map, only, (row, column), best);
            }
        }
        best
    }

    fn nearest_in_cell(
        &self,
        map: &Metric,
        only: Option<usize>,
        (row, column): (u32, u32),
        best: u128,
    ) -> u128 {
        let mut best = best;
        let value = self.value(row, column);
        let low = self.frame.near_corner(row, column);
        let high = self.frame.near_corner(row + 1, column + 1);
        if value & SPLIT == 0 || map.box_squared(low, high) >= best {
            return best;
        }
        let number = (value & !SPLIT) as usize;
        for polygon in self.cells[number].polygons..self.cells[number + 1].polygons {
            let polygon = polygon as usize;
            let municipality = self.polygons[polygon].municipality & MUNICIPALITY;
            if only.is_some_and(|only| only != municipality as usize) {
                continue;
            }
            for ring in self.polygons[polygon].rings..self.polygons[polygon + 1].rings {
                let ring = ring as usize;
                let points = &self.outlines[(self.rings[ring].ring & !WITHIN) as usize];
                let runs = self.rings[ring].runs as usize..self.rings[ring + 1].runs as usize;
                for run in &self.runs[runs] {
                    for edge in run.start as usize..run.end as usize {
                        let next = points.get(edge + 1).unwrap_or(&points[0]);
                        best = map.segment_squared(points[edge], *next, best);
                    }
                }
            }
        }
        best
    }

    /// Bytes on the heap, but for the outlines' points, which it shares.
    pub(in super::super) fn heap_bytes(&self) -> usize {
        debug_assert_eq!(self.pages.len() % PAGE_CELLS, 0);
        size_of_val(&self.directory[..])
            + size_of_val(&self.pages[..])
            + size_of_val(&self.cells[..])
            + size_of_val(&self.polygons[..])
            + size_of_val(&self.rings[..])
            + size_of_val(&self.runs[..])
            + size_of_val(&self.outlines[..])
    }
}

impl Block {
    /// The least distance, squared, of what lies in the ring of this number around the center or beyond it; the largest
    /// number if nothing does. `corner` is the first position of a cell or page, also of one row or column too far.
    fn beyond(
        &self,
        map: &Metric,
        (row, column): (u32, u32),
        ring: u32,
        corner: impl Fn(u32, u32) -> (i64, i64),
    ) -> u128 {
        if ring == 0 {
            return 0;
        }
        let (south, west) = corner(0, 0);
        let (north, east) = corner(self.rows, self.columns);
        let mut least = u128::MAX;
        let mut consider = |low, high| least = least.min(map.box_squared(low, high));
        if row >= ring {
            consider((south, west), (corner(row - ring + 1, 0).0, east));
        }
        if row + ring < self.rows {
            consider((corner(row + ring, 0).0, west), (north, east));
        }
        if column >= ring {
            consider((south, west), (north, corner(0, column - ring + 1).1));
        }
        if column + ring < self.columns {
            consider((south, corner(0, column + ring).1), (north, east));
        }
        least
    }

    /// Calls for all of the square ring of this number around a center.
    fn ring(&self, (row, column): (u32, u32), ring: u32, mut each: impl FnMut(u32, u32)) {
        let rows = row.saturating_sub(ring)..=(row + ring).min(self.rows - 1);
        let columns = column.saturating_sub(ring)..=(column + ring).min(self.columns - 1);
        for at in rows {
            if at.abs_diff(row) == ring {
                columns.clone().for_each(|column| each(at, column));
                continue;
            }
            // Only the two ends; they are beyond the block where it is narrower.
            if column >= ring {
                each(at, column - ring);
            }
            if column + ring < self.columns {
                each(at, column + ring);
            }
        }
    }
}

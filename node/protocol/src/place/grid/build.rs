//! Outlines → grid: edges into cells, then each polygon's inside by rows of cells.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::super::boundary::{Municipality, Polygon};
use super::super::point::{DEGREE_E7, Point};
use super::super::ring::Ring;
use super::frame::{Frame, PAGE_CELLS};
use super::{
    Cell, CellPolygon, CellRing, Grid, HOLE_AROUND, MUNICIPALITY, NOBODY, OUTER_AROUND,
    OUTER_TOUCHES, Run, SPLIT, WITHIN,
};

/// Edges of one ring in one border cell.
#[derive(Clone, Copy)]
struct Piece {
    cell: u32,
    ring: u32,
    run: Run,
}

/// A ring's number, its polygon's number and that one's municipality.
#[derive(Clone, Copy)]
struct Names {
    ring: u32,
    polygon: u32,
    municipality: u32,
}

/// What stands for a cell while polygons are filled.
enum Place {
    /// A page without edges, by its place in the directory.
    Page(usize),
    /// A cell without edges, by its place in `pages`.
    Cell(usize),
    /// A border cell's number.
    Border(usize),
}

impl Grid {
    /// The grid over municipalities in the order of their codes.
    pub(in super::super) fn build(municipalities: &[Municipality]) -> Self {
        Self::on(Frame::around(rings_of(municipalities)), municipalities)
    }

    /// The same on a frame around all of them.
    pub(super) fn on(frame: Frame, municipalities: &[Municipality]) -> Self {
        let directory = frame.page_rows() as usize * frame.page_columns() as usize;
        let mut grid = Self {
            frame,
            directory: vec![NOBODY; directory],
            pages: Vec::new(),
            cells: Vec::new(),
            polygons: Vec::new(),
            rings: Vec::new(),
            runs: Vec::new(),
            outlines: rings_of(municipalities).map(Ring::shared).collect(),
            poles: poles(municipalities),
        };
        let (pieces, border_cells) = grid.cut();
        let names = names(municipalities);
        let polygon_ids = grid.gather(&sorted(pieces, border_cells), &names);
        let mut ring = 0;
        for polygon in municipalities.iter().flat_map(|m| &m.polygons) {
            grid.fill(polygon, names[ring], &polygon_ids);
            ring += 1 + polygon.holes.len();
        }
        grid
    }

    /// Cuts all rings at the cells and makes those border cells. Returns the pieces in the order of rings and edges, and
    /// how many border cells there are.
    fn cut(&mut self) -> (Vec<Piece>, usize) {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut border_cells = 0;
        let outlines = std::mem::take(&mut self.outlines);
        let mut ends = Vec::new();
        for (ring, points) in (0..).zip(&outlines) {
            // The cell in which the ring has been since a while, and its piece there.
            let mut last: Option<((u32, u32), usize)> = None;
            for (edge, (a, b)) in (0..).zip(edges(points)) {
                ends.clear();
                self.frame
                    .trace(a, b, |row, column| ends.push((row, column)));
                if let (&[cell], Some((before, piece))) = (&ends[..], last)
                    && cell == before
                {
                    pieces[piece].run.end = edge + 1;
                    continue;
                }
                for &(row, column) in &ends {
                    let cell = self.border_cell(row, column, &mut border_cells);
                    let run = Run {
                        start: edge,
                        end: edge + 1,
                    };
                    pieces.push(Piece { cell, ring, run });
                }
                last = ends.last().map(|&cell| (cell, pieces.len() - 1));
            }
        }
        self.outlines = outlines;
        (pieces, border_cells as usize)
    }

    /// The number of a border cell, made if it is not one yet.
    fn border_cell(&mut self, row: u32, column: u32, count: &mut u32) -> u32 {
        let page = &mut self.directory[self.frame.page_of(row, column)];
        if *page & SPLIT == 0 {
            *page = SPLIT | number(self.pages.len() / PAGE_CELLS);
            self.pages.resize(self.pages.len() + PAGE_CELLS, NOBODY);
        }
        let page = (*page & !SPLIT) as usize;
        let value = &mut self.pages[page * PAGE_CELLS + Frame::within_page(row, column)];
        if *value & SPLIT == 0 {
            *value = SPLIT | *count;
            *count += 1;
        }
        *value & !SPLIT
    }

    /// Border cells with their polygons, rings and runs from pieces that are sorted by cell. Returns the numbers of the
    /// cells' polygons.
    fn gather(&mut self, pieces: &[Piece], names: &[Names]) -> Vec<u32> {
        let mut polygon_ids = Vec::new();
        let mut last: Option<Piece> = None;
        for &piece in pieces {
            let same_cell = last.is_some_and(|last| last.cell == piece.cell);
            let same_ring = same_cell && last.is_some_and(|last| last.ring == piece.ring);
            last = Some(piece);
            if same_ring {
                let run = self.runs.last_mut().expect("a ring has a run");
                if run.end == piece.run.start {
                    run.end = piece.run.end;
                    continue;
                }
            } else {
                let name = names[piece.ring as usize];
                if !same_cell {
                    self.cells.push(Cell {
                        base: NOBODY,
                        polygons: number(self.polygons.len()),
                    });
                }
                if !same_cell || polygon_ids.last() != Some(&name.polygon) {
                    let outer = name.ring == piece.ring;
                    self.polygons.push(CellPolygon {
                        municipality: name.municipality | if outer { OUTER_TOUCHES } else { 0 },
                        rings: number(self.rings.len()),
                    });
                    polygon_ids.push(name.polygon);
                }
                self.rings.push(CellRing {
                    ring: piece.ring,
                    runs: number(self.runs.len()),
                });
            }
            self.runs.push(piece.run);
        }
        // The ends of the last ones.
        self.cells.push(Cell {
            base: NOBODY,
            polygons: number(self.polygons.len()),
        });
        self.polygons.push(CellPolygon {
            municipality: MUNICIPALITY,
            rings: number(self.rings.len()),
        });
        self.rings.push(CellRing {
            ring: 0,
            runs: number(self.runs.len()),
        });
        for list in [&mut self.pages, &mut polygon_ids] {
            list.shrink_to_fit();
        }
        self.cells.shrink_to_fit();
        self.polygons.shrink_to_fit();
        self.rings.shrink_to_fit();
        self.runs.shrink_to_fit();
        polygon_ids
    }

    /// Notes where a polygon lies around whole cells, and on which side of its rings border cells' references lie.
    fn fill(&mut self, polygon: &Polygon, names: Names, polygon_ids: &[u32]) {
        // Places that a hole lies around without touching them, by row and first column.
        let mut left_out = BTreeSet::new();
        for (ring, hole) in (names.ring + 1..).zip(&polygon.holes) {
            self.inside(hole, |grid, row, column, place| {
                let Place::Border(cell) = place else {
                    left_out.insert((row, column));
                    return;
                };
                if let Some(at) = grid.polygon_in(cell, names.polygon, polygon_ids) {
                    if grid.mark_within(at, ring) {
                        return;
                    }
                    grid.polygons[at].municipality |= HOLE_AROUND;
                }
                left_out.insert((row, column));
            });
        }
        self.inside(&polygon.outer, |grid, row, column, place| {
            let left_out = left_out.contains(&(row, column));
            let owner = match place {
                Place::Page(at) => &mut grid.directory[at],
                Place::Cell(at) => &mut grid.pages[at],
                Place::Border(cell) => {
                    if let Some(at) = grid.polygon_in(cell, names.polygon, polygon_ids) {
                        if !grid.mark_within(at, names.ring) {
                            grid.polygons[at].municipality |= OUTER_AROUND;
                        }
                        return;
                    }
                    &mut grid.cells[cell].base
                }
            };
            // Polygons come in the order of their municipalities: the first is the lowest.
            if *owner == NOBODY && !left_out {
                *owner = names.municipality;
            }
        });
    }

    /// Calls for all places whose reference point lies within a ring, with row and first column.
    fn inside(&mut self, ring: &Ring, mut each: impl FnMut(&mut Self, u32, u32, Place)) {
        let mut passes = Vec::new();
        for (a, b) in ring.edges() {
            self.frame
                .passes(a, b, |row, columns| passes.push((row, columns)));
        }
        passes.sort_unstable();
        // A closed line passes each latitude an even number of times.
        let (spans, _) = passes.as_chunks::<2>();
        for &[(row, mut column), (_, end)] in spans {
            while column < end {
                let page = self.frame.page_of(row, column);
                let value = self.directory[page];
                if value & SPLIT == 0 {
                    each(self, row, column, Place::Page(page));
                    column = Frame::next_page(column);
                    continue;
                }
                let at = (value & !SPLIT) as usize * PAGE_CELLS + Frame::within_page(row, column);
                let value = self.pages[at];
                let place = if value & SPLIT == 0 {
                    Place::Cell(at)
                } else {
                    Place::Border((value & !SPLIT) as usize)
                };
                each(self, row, column, place);
                column += 1;
            }
        }
    }

    /// Place of a polygon among those of a border cell.
    fn polygon_in(&self, cell: usize, polygon: u32, polygon_ids: &[u32]) -> Option<usize> {
        let range = self.cells[cell].polygons as usize..self.cells[cell + 1].polygons as usize;
        let found = polygon_ids[range.clone()].binary_search(&polygon);
        found.ok().map(|at| range.start + at)
    }

    /// Marks that a cell's reference point lies within a ring; says whether the ring touches the cell.
    fn mark_within(&mut self, polygon: usize, ring: u32) -> bool {
        let range: Range<usize> =
            self.polygons[polygon].rings as usize..self.polygons[polygon + 1].rings as usize;
        let rings = &mut self.rings[range];
        let found = rings.binary_search_by_key(&ring, |entry| entry.ring & !WITHIN);
        if let Ok(at) = found {
            rings[at].ring |= WITHIN;
        }
        found.is_ok()
    }
}

fn rings_of(municipalities: &[Municipality]) -> impl Iterator<Item = &Ring> + Clone {
    let polygons = municipalities.iter().flat_map(|m| &m.polygons);
    polygons.flat_map(Polygon::rings)
}

fn edges(points: &Arc<[Point]>) -> impl Iterator<Item = (Point, Point)> + '_ {
    points
        .iter()
        .copied()
        .zip(points.iter().copied().cycle().skip(1))
}

/// By ring: the number of the polygon's outer ring, of the polygon, and of the municipality.
fn names(municipalities: &[Municipality]) -> Vec<Names> {
    let mut names: Vec<Names> = Vec::new();
    let mut polygon = 0;
    for (municipality, outline) in (0..).zip(municipalities) {
        for part in &outline.polygons {
            let name = Names {
                ring: number(names.len()),
                polygon,
                municipality,
            };
            names.extend(part.rings().map(|_| name));
            polygon += 1;
        }
    }
    names
}

/// Sorted by cell; pieces of one cell stay in their order.
fn sorted(pieces: Vec<Piece>, cells: usize) -> Vec<Piece> {
    let mut next = vec![0; cells + 1];
    for piece in &pieces {
        next[piece.cell as usize + 1] += 1;
    }
    for cell in 0..cells {
        next[cell + 1] += next[cell];
    }
    let mut sorted = pieces.clone();
    for piece in pieces {
        let at: &mut usize = &mut next[piece.cell as usize];
        sorted[*at] = piece;
        *at += 1;
    }
    sorted
}

/// The lowest municipality that reaches the south pole, and the north pole.
fn poles(municipalities: &[Municipality]) -> [u32; 2] {
    let pole = 90 * DEGREE_E7;
    let reaches = |lat: i32| {
        let found = municipalities.iter().position(|municipality| {
            municipality.polygons.iter().any(|polygon| {
                let (low, high) = polygon.outer.bounds();
                low.lat_e7() == lat || high.lat_e7() == lat
            })
        });
        found.map_or(NOBODY, number)
    };
    [reaches(-pole), reaches(pole)]
}

/// A count as a number in the grid.
fn number(count: usize) -> u32 {
    u32::try_from(count)
        .expect("an index has fewer than 2^24 vertices, building looks at 16 cells for each")
}

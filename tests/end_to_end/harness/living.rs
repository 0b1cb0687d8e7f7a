//! A board as people leave it: solid at box 1, where everybody used to begin, and thinning out from
//! there; drawings in a few places; single boxes all over. The same every time.

use std::collections::BTreeSet;

use super::{
    TILE, TILE_COLUMNS,
    crowd::Crowd,
    eventually,
    painting::Random,
    server::{Server, Setup},
};

/// Columns and rows of the solid corner at box 1.
const SOLID: (f64, f64) = (120., 90.);
/// How far beyond that it thins out to a third.
const FADES: (f64, f64) = (60., 45.);

/// Drawings: in which tile of a large board, and how many boxes each.
const DRAWINGS: [(u32, u32); 8] = [
    (1, 900),
    (420, 1_500),
    (1_337, 2_500),
    (3_003, 700),
    (5_150, 2_000),
    (6_999, 1_200),
    (8_250, 3_000),
    (9_890, 500),
];
/// Spread of a drawing around the middle of its tile.
const DRAWN: (f64, f64) = (18., 10.);

/// One single box for so many.
const STREWN: u32 = 400_000;

impl Setup {
    /// Starts a server whose board many have played on; returns how many boxes they checked, too.
    pub fn start_living(&self, boxes: u32) -> (Server, u32) {
        let server = self.start();
        let ids = living(boxes);
        let count = ids.len() as u32;
        let _crowd = Crowd::start(server.address, 200_000, ids.into_iter());
        eventually("a living board", || (server.client().greeted == count).then_some(()));
        (server, count)
    }
}

/// The boxes that are checked on it, each once.
pub fn living(boxes: u32) -> Vec<u32> {
    let mut random = Random::new(0x0005_DEEC_E66D_1234);
    let mut ids = BTreeSet::new();
    let rows = TILE / TILE_COLUMNS;
    for row in 0..rows {
        for column in 0..TILE_COLUMNS {
            let beyond = |at: u32, solid: f64, fades: f64| (f64::from(at) - solid) / fades;
            let far = beyond(column, SOLID.0, FADES.0).max(beyond(row, SOLID.1, FADES.1)).max(0.);
            if random.share() < (-far * far).exp() {
                ids.insert(row * TILE_COLUMNS + column + 1);
            }
        }
    }
    for (tile, count) in DRAWINGS {
        for _ in 0..count {
            // The sum of a few is nearly a normal distribution; it never leaves the tile.
            let mut around = || (0..4).map(|_| random.share() - 0.5).sum::<f64>();
            let (column, row) = (200. + around() * 2. * DRAWN.0, 125. + around() * 2. * DRAWN.1);
            ids.insert(tile * TILE + row as u32 * TILE_COLUMNS + column as u32 + 1);
        }
    }
    for _ in 0..boxes / STREWN {
        ids.insert(1 + (random.share() * f64::from(boxes)) as u32);
    }
    ids.into_iter().filter(|id| *id <= boxes).collect()
}

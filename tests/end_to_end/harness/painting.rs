//! A board that looks as if many had played on it: a galaxy of busy tiles, a picture that can be
//! seen from the middle distance, and a small one of single boxes. The same every time.

use std::collections::BTreeSet;

use super::TILE;

/// Where to stand for all of it: the middle of a tile in one of its arms.
pub const HERE: u32 = 3_655 * TILE + 125 * 400 + 200;

/// Boxes that the painting leaves free around there, for the player to check.
pub const MINE: [u32; 5] = [at(-1, 5), at(0, 5), at(1, 5), at(2, 4), at(-2, 4)];

/// The box so many columns and rows from [`HERE`], which must be in the same tile.
const fn at(column: i32, row: i32) -> u32 {
    (HERE as i32 + column + 400 * row) as u32
}

/// One character per box; the middle one is at [`HERE`], three rows up.
const SMALL: [&str; 9] = [
    "..###...###..",
    ".#####.#####.",
    "#############",
    "#############",
    ".###########.",
    "..#########..",
    "....#####....",
    ".....###.....",
    "......#......",
];

/// Letters of five by seven, enough for the word below.
const WORD: &str = "HELLO WORLD";

fn letter(letter: char) -> [u8; 7] {
    match letter {
        'H' => [17, 17, 17, 31, 17, 17, 17],
        'E' => [31, 16, 16, 30, 16, 16, 31],
        'L' => [16, 16, 16, 16, 16, 16, 31],
        'O' => [14, 17, 17, 17, 17, 17, 14],
        'W' => [17, 17, 17, 21, 21, 27, 17],
        'R' => [30, 17, 17, 30, 20, 18, 17],
        'D' => [30, 17, 17, 17, 17, 17, 30],
        _ => [0; 7],
    }
}

/// All boxes of it, each once; the brightest tile has `peak` of them, the others far fewer.
pub fn boxes(peak: f64) -> Vec<u32> {
    let mut boxes = BTreeSet::new();
    let mut random = Random::new(0x9E37_79B9_7F4A_7C15);
    for tile in 0..10_000 {
        // The page shows fullness on such a scale as well, so brightness is what is seen.
        let count = peak.powf(brightness(tile)) - 1.;
        let count = count as u32 + u32::from(random.share() < count.fract());
        for _ in 0..count {
            boxes.insert(tile * TILE + 1 + (random.share() * f64::from(TILE)) as u32);
        }
    }
    word(&mut boxes, &mut random);
    // The middle is kept clean, so that the small picture stands out.
    for row in -12..=12 {
        for column in -18..=18 {
            let far = f64::from(column * column) / 324. + f64::from(row * row) / 144.;
            if random.share() > far * 0.4 - 0.1 {
                boxes.remove(&at(column, row));
            }
        }
    }
    for (row, line) in SMALL.iter().enumerate() {
        for (column, _) in line.char_indices().filter(|(_, dot)| *dot == '#') {
            boxes.insert(at(column as i32 - 6, row as i32 - 6));
        }
    }
    for id in MINE {
        boxes.remove(&id);
    }
    boxes.into_iter().collect()
}

/// Here and there along the arms, for ever.
pub fn glitter() -> impl Iterator<Item = u32> + Send {
    let mut random = Random::new(0x2545_F491_4F6C_DD1D);
    std::iter::repeat_with(move || {
        let mut tile;
        loop {
            tile = (random.share() * 10_000.) as u32;
            if random.share() < brightness(tile).powi(2) {
                break;
            }
        }
        tile * TILE + 1 + (random.share() * f64::from(TILE)) as u32
    })
}

/// A spiral with two arms, a bright core and a faint halo around the middle of the board: 0 to 1.
fn brightness(tile: u32) -> f64 {
    let (x, y) = (f64::from(tile % 100) - 48., (f64::from(tile / 100) - 47.) * 1.26);
    let (distance, angle) = (x.hypot(y), y.atan2(x));
    let core = (-distance * distance / 90.).exp();
    let arm = (2. * (angle - distance / 9.)).cos().max(0.).powf(1.2);
    let arms = arm * 0.62 * (-distance / 75.).exp();
    let halo = 0.3 * (-distance / 30.).exp();
    core.max(arms).max(halo)
}

/// The word in large letters above and below the small picture, its dots thinned out at random.
fn word(boxes: &mut BTreeSet<u32>, random: &mut Random) {
    const DOT: i32 = 4;
    for (line, text) in WORD.split(' ').enumerate() {
        let width = text.len() as i32 * 6 * DOT;
        for (position, character) in text.chars().enumerate() {
            for (row, bits) in letter(character).into_iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    let left = position as i32 * 6 * DOT + column * DOT - width / 2;
                    let top = row as i32 * DOT + if line == 0 { -48 } else { 20 };
                    for dot in 0..DOT * DOT {
                        if random.share() < 0.9 {
                            boxes.insert(at(left + dot % DOT, top + dot / DOT));
                        }
                    }
                }
            }
        }
    }
}

/// Xorshift; good enough for paint.
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed, which must not be zero.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 to just below 1.
    pub fn share(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

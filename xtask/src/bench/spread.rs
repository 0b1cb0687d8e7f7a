//! Several figures of one kind: the middle one and how far they lie apart.

use std::fmt;

/// The middle one of several figures, the least and the most.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// As many are below as above.
    pub middle: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// Of an even number, the upper of the two in the middle.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let middle = *figures.get(figures.len() / 2)?;
        Some(Self { least: *figures.first()?, middle, most: *figures.last()? })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, middle, most } = self;
        if middle.is_finite() {
            let places = f.precision().unwrap_or(2);
            write!(f, "{middle:.places$} ({least:.places$} – {most:.places$})")
        } else {
            f.write_str("–")
        }
    }
}

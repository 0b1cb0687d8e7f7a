//! The digest of a board's checked boxes: equal for a store, a file and a running node exactly if the
//! same boxes of an equally large board are checked, whatever the board's name.
//!
//! SHA-256 over the number of boxes (u32), then for every tile with a checked box, ascending, its
//! number (u32) and its bits; all little-endian.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A finished digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A digest being made.
#[derive(Debug)]
pub struct Digesting(Sha256);

impl Digesting {
    /// The digest of an empty board of `boxes` boxes, so far.
    pub fn new(boxes: u32) -> Self {
        Self(Sha256::new_with_prefix(boxes.to_le_bytes()))
    }

    /// Adds a tile with a checked box. Tiles come in ascending order.
    pub fn tile(&mut self, tile: u32, bits: &[u8]) {
        self.0.update(tile.to_le_bytes());
        self.0.update(bits);
    }

    /// The digest of all tiles added.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

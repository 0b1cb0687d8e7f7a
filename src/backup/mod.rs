//! Copies of a board as one file: `billion export`, `import` and `inspect`, and the admin listener's
//! `/export` and `/import`, all speak this. The bytes are described in `docs/BACKUP-FORMAT.md`.
//!
//! Written and read in one go without seeking, so that a file, a pipe and an HTTP body are the same:
//! a header that names the board, one block per tile with a checked box, and a footer with counts, the
//! digest of the boxes and a checksum over everything before it. A block holds its tile in whichever
//! of three codings is smallest, so an empty board is 78 bytes and a full one 180 KB; half a billion
//! random boxes are the 125 MB they have to be.
//!
//! - [`tile`]: one tile's bits, coded;
//! - [`encoder`]: tiles in, bytes out; knows no files;
//! - [`reader`]: bytes in, verified tiles out, or where they are damaged;
//! - [`digest`]: what two copies of one board have in common, however they were stored.
//!
//! Nothing that was read is to be trusted before [`Reader::next`](reader::Reader::next) has returned
//! `None`: only the footer says that nothing is missing. So an import reads its file twice.

pub mod digest;
pub mod encoder;
pub mod reader;
pub mod tile;

#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use actors::board::{BOXES_PER_TILE, Board};

use self::digest::Digest;

/// First bytes of every backup. Not text, and with both kinds of line end, so that a transfer in
/// text mode is noticed at once.
pub const MAGIC: [u8; 8] = *b"\x89BXB\r\n\x1a\n";

/// Version of the format. Raised when an older program would misread a file.
pub const VERSION: u32 = 1;

/// MIME type of a backup. No HTML form can send it, which keeps other sites' pages from importing.
pub const MEDIA_TYPE: &str = "application/x-billion-backup";

/// Magic, version, boxes, time, length of the name: what precedes the name.
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 1;

/// Kind, tile, checked, length: what precedes a block's body.
const BLOCK_HEAD_BYTES: usize = 1 + 4 + 4 + 4;

/// Kind, tiles, checked, digest: what precedes the file's checksum.
const FOOTER_BYTES: usize = 1 + 4 + 4 + 32;

/// Bytes of every checksum.
const CHECKSUM_BYTES: usize = 4;

/// Marks the footer, where a block would have its coding.
const END: u8 = b'E';

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The board's name.
    pub name: String,
    /// How many boxes it has.
    pub boxes: u32,
    /// When the copy was begun, in seconds since 1970.
    pub created_s: u64,
}

impl Header {
    /// The header of a copy of `board` that begins now.
    pub fn now(name: &str, boxes: u32) -> Self {
        let created_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        Self { name: name.to_owned(), boxes, created_s }
    }

    /// The board, if there can be one like this.
    pub fn board(&self) -> Option<Board> {
        Board::new(&self.name, self.boxes, 1).ok()
    }
}

/// What a complete backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// What it is of.
    pub header: Header,
    /// Tiles with a checked box.
    pub tiles: u32,
    /// Checked boxes.
    pub checked: u32,
    /// Digest of the checked boxes.
    pub digest: Digest,
    /// Length of the whole file.
    pub bytes: u64,
}

/// Number of tiles of a board of `boxes` boxes.
pub fn tiles_of(boxes: u32) -> u32 {
    boxes.div_ceil(BOXES_PER_TILE)
}

/// Boxes in tile `tile` of a board of `boxes` boxes; the last tile may have fewer than the others.
pub fn boxes_in(tile: u32, boxes: u32) -> u32 {
    boxes.saturating_sub(tile.saturating_mul(BOXES_PER_TILE)).min(BOXES_PER_TILE)
}

/// Bytes of the bits of `boxes` boxes.
pub fn bytes_for(boxes: u32) -> usize {
    boxes.div_ceil(8) as usize
}

/// No backup of a board of `boxes` boxes is longer.
pub fn bytes_max(boxes: u32) -> u64 {
    let blocks = u64::from(tiles_of(boxes)) * (BLOCK_HEAD_BYTES + CHECKSUM_BYTES) as u64;
    let ends = (HEADER_BYTES + 255 + FOOTER_BYTES + 2 * CHECKSUM_BYTES) as u64;
    u64::from(boxes.div_ceil(8)) + blocks + ends
}

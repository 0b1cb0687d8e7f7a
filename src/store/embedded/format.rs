//! What the bytes in the database mean: records, log entries and chunks, each under a checksum.
//!
//! The database engine verifies its own pages only when it repairs after a crash, so a flipped bit
//! could pass through it unnoticed. Every value therefore ends in a CRC-32C that covers its key as
//! well, and the [`Seal`] says how many values there are and what their checksums add up to: a
//! value that changed, moved or vanished cannot be taken for the truth.
//!
//! Boxes are stored by their 0-based index on the board (id − 1), whatever the number of shards.

use std::ops::Range;

use actors::board::BOXES_PER_TILE;

/// Version of everything this module describes. Raised when an older program would misread it.
pub const FORMAT: u32 = 1;

/// Boxes in one chunk: 5 tiles, 62,500 bytes. The engine gives a value a power of two of pages, so
/// a value of exactly 64 KiB, with key and checksum, would take 128 KiB of disk and of every write.
/// A billion boxes are 2,000 chunks, and with 50 shards no chunk belongs to two of them.
pub const BOXES_PER_CHUNK: u32 = 5 * BOXES_PER_TILE;

/// Bytes in one chunk without its checksum.
pub const CHUNK_BYTES: usize = BOXES_PER_CHUNK as usize / 8;

const CHECKSUM_BYTES: usize = 4;

const _: () = assert!(BOXES_PER_CHUNK.is_multiple_of(8), "a chunk is whole bytes");
const _: () = assert!(CHUNK_BYTES + CHECKSUM_BYTES + 64 <= 64 * 1024, "a chunk fits 16 pages");

/// Number of chunks of a board of `boxes` boxes.
pub fn chunks_for(boxes: u32) -> usize {
    boxes.div_ceil(BOXES_PER_CHUNK) as usize
}

/// The chunks that hold the boxes `indexes`.
pub fn chunks_of(indexes: &Range<u64>) -> Range<u32> {
    let boxes = u64::from(BOXES_PER_CHUNK);
    let first = indexes.start / boxes;
    let end = indexes.end.div_ceil(boxes);
    let number = |chunk| u32::try_from(chunk).expect("a board has fewer chunks than boxes");
    number(first)..number(end)
}

/// Appends the checksum of `body` stored under `key`, which makes it a value.
pub fn seal_value(key: &[u8], body: &mut Vec<u8>) -> u32 {
    let checksum = checksum(key, body);
    body.extend_from_slice(&checksum.to_le_bytes());
    checksum
}

/// The body and checksum of a value, or `None` if it is not what was stored under `key`.
pub fn open_value<'v>(key: &[u8], value: &'v [u8]) -> Option<(&'v [u8], u32)> {
    let (body, stored) = value.split_last_chunk::<CHECKSUM_BYTES>()?;
    let stored = u32::from_le_bytes(*stored);
    (stored == checksum(key, body)).then_some((body, stored))
}

fn checksum(key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), body)
}

/// The ids of a log entry as they are stored.
pub fn encode_ids(indexes: &[u32]) -> Vec<u8> {
    let mut body = Vec::with_capacity(indexes.len() * 4 + CHECKSUM_BYTES);
    for index in indexes {
        body.extend_from_slice(&index.to_le_bytes());
    }
    body
}

/// The ids of a log entry's body, or `None` if it cannot be one of a board of `boxes` boxes.
pub fn decode_ids(body: &[u8], boxes: u32) -> Option<Vec<u32>> {
    let (words, rest) = body.as_chunks::<4>();
    let ids: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    (rest.is_empty() && ids.iter().all(|id| *id < boxes)).then_some(ids)
}

/// Sets the bits of `indexes` in the bytes of chunk `chunk`.
pub fn set_bits(chunk_bytes: &mut [u8], chunk: u32, indexes: &[u32]) {
    for index in indexes {
        let bit = index - chunk * BOXES_PER_CHUNK;
        chunk_bytes[(bit / 8) as usize] |= 1 << (bit % 8);
    }
}

/// What the database was made for; checked before anything else in it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardRecord {
    pub format: u32,
    pub boxes: u32,
    pub shards: u32,
    pub name: String,
}

impl BoardRecord {
    pub const KEY: &str = "board";

    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(16 + self.name.len());
        for number in [self.format, self.boxes, self.shards] {
            value.extend_from_slice(&number.to_le_bytes());
        }
        value.extend_from_slice(self.name.as_bytes());
        seal_value(Self::KEY.as_bytes(), &mut value);
        value
    }

    pub fn decode(value: &[u8]) -> Option<Self> {
        let (body, _) = open_value(Self::KEY.as_bytes(), value)?;
        let (format, body) = body.split_first_chunk::<4>()?;
        let (boxes, body) = body.split_first_chunk::<4>()?;
        let (shards, name) = body.split_first_chunk::<4>()?;
        Some(Self {
            format: u32::from_le_bytes(*format),
            boxes: u32::from_le_bytes(*boxes),
            shards: u32::from_le_bytes(*shards),
            name: String::from_utf8(name.to_vec()).ok()?,
        })
    }
}

/// Counts and sums over everything stored, rewritten by every commit.
///
/// Sums are of checksums, wrapping, so that a commit updates them from what it touches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seal {
    /// Sequence number of the oldest log entry kept.
    pub log_first: u64,
    /// Sequence number the next log entry gets; entries are `log_first .. log_next` without gaps.
    pub log_next: u64,
    /// Cost of the log entries, see [`Seal::entry_cost`].
    pub log_bytes: u64,
    pub log_sum: u64,
    pub chunks: u64,
    pub chunk_sum: u64,
}

impl Seal {
    pub const KEY: &str = "seal";

    /// What an entry of `value_bytes` counts for. The constant stands for its place in the tree
    /// and bounds the number of entries: 64 MiB are at most a million, which load in moments.
    pub fn entry_cost(value_bytes: usize) -> u64 {
        value_bytes as u64 + 64
    }

    pub fn append(&mut self, value_bytes: usize, checksum: u32) {
        self.log_next += 1;
        self.log_bytes += Self::entry_cost(value_bytes);
        self.log_sum = self.log_sum.wrapping_add(u64::from(checksum));
    }

    pub fn trim(&mut self, value_bytes: usize, checksum: u32) {
        self.log_first += 1;
        self.log_bytes = self.log_bytes.saturating_sub(Self::entry_cost(value_bytes));
        self.log_sum = self.log_sum.wrapping_sub(u64::from(checksum));
    }

    pub fn replace_chunk(&mut self, old: Option<u32>, new: u32) {
        self.chunks += u64::from(old.is_none());
        let old = u64::from(old.unwrap_or(0));
        self.chunk_sum = self.chunk_sum.wrapping_sub(old).wrapping_add(u64::from(new));
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(6 * 8 + CHECKSUM_BYTES);
        for number in self.numbers() {
            value.extend_from_slice(&number.to_le_bytes());
        }
        seal_value(Self::KEY.as_bytes(), &mut value);
        value
    }

    pub fn decode(value: &[u8]) -> Option<Self> {
        let (body, _) = open_value(Self::KEY.as_bytes(), value)?;
        let (numbers, rest) = body.as_chunks::<8>();
        let &[log_first, log_next, log_bytes, log_sum, chunks, chunk_sum] = numbers else {
            return None;
        };
        let number = u64::from_le_bytes;
        rest.is_empty().then_some(Self {
            log_first: number(log_first),
            log_next: number(log_next),
            log_bytes: number(log_bytes),
            log_sum: number(log_sum),
            chunks: number(chunks),
            chunk_sum: number(chunk_sum),
        })
    }

    fn numbers(&self) -> [u64; 6] {
        let Self { log_first, log_next, log_bytes, log_sum, chunks, chunk_sum } = *self;
        [log_first, log_next, log_bytes, log_sum, chunks, chunk_sum]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_bound_to_its_key_and_to_every_bit() {
        let mut value = vec![1, 2, 3];
        seal_value(b"seven", &mut value);
        assert_eq!(open_value(b"seven", &value).expect("untouched").0, [1, 2, 3]);
        assert!(open_value(b"eight", &value).is_none());
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(open_value(b"seven", &flipped).is_none(), "bit {bit}");
        }
        assert!(open_value(b"seven", &value[..3]).is_none());
    }

    #[test]
    fn records_come_back_as_they_were() {
        let record = BoardRecord { format: 1, boxes: 2, shards: 3, name: "main".into() };
        assert_eq!(BoardRecord::decode(&record.encode()), Some(record));
        let mut seal = Seal::default();
        seal.append(12, 99);
        seal.replace_chunk(None, 7);
        seal.replace_chunk(Some(7), 9);
        assert_eq!(Seal::decode(&seal.encode()), Some(seal));
        assert_eq!((seal.chunks, seal.chunk_sum), (1, 9));
    }

    #[test]
    fn ids_past_the_board_are_no_log_entry() {
        let body = encode_ids(&[0, 9]);
        assert_eq!(decode_ids(&body, 10), Some(vec![0, 9]));
        assert_eq!(decode_ids(&body, 9), None);
        assert_eq!(decode_ids(&body[..5], 10), None);
    }

    #[test]
    fn chunks_of_a_range_are_all_it_touches() {
        assert_eq!(chunks_of(&(0..1)), 0..1);
        assert_eq!(chunks_of(&(499_999..500_001)), 0..2);
        assert_eq!(chunks_of(&(500_000..1_000_000)), 1..2);
        assert_eq!(chunks_for(1_000_000_000), 2_000);
        assert_eq!(chunks_for(1), 1);
    }
}

//! Tiles in, the bytes of a backup out. Knows no files and no sockets: whoever calls it decides where
//! the bytes go and when.

use super::{
    BLOCK_HEAD_BYTES, END, Header, MAGIC, Summary, VERSION, boxes_in, bytes_for, digest::Digesting,
    tile,
};

/// A backup being written.
#[derive(Debug)]
pub struct Encoder {
    header: Header,
    /// CRC-32C of everything so far but the other checksums: bytes followed by their own CRC leave any
    /// CRC over both in the same state, so a block could be exchanged for another sound one.
    checksum: u32,
    bytes: u64,
    tiles: u32,
    checked: u32,
    /// The lowest tile that may come next.
    next: u32,
    digest: Digesting,
}

impl Encoder {
    /// Appends the header to `out`.
    pub fn begin(header: Header, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        let length = u8::try_from(header.name.len()).expect("a board's name has at most 64 bytes");
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&header.boxes.to_le_bytes());
        out.extend_from_slice(&header.created_s.to_le_bytes());
        out.push(length);
        out.extend_from_slice(header.name.as_bytes());
        let digest = Digesting::new(header.boxes);
        let mut encoder =
            Self { header, checksum: 0, bytes: 0, tiles: 0, checked: 0, next: 0, digest };
        encoder.seal(start, out);
        encoder
    }

    /// Appends a tile to `out`, or nothing if no box of it is checked. Tiles come in ascending order.
    pub fn tile(&mut self, number: u32, bits: &[u8], out: &mut Vec<u8>) {
        let boxes = boxes_in(number, self.header.boxes);
        assert!(number >= self.next && boxes > 0, "tiles come in order, and from the board");
        assert_eq!(bits.len(), bytes_for(boxes), "a whole tile");
        self.next = number + 1;
        let checked = tile::count(bits);
        if checked == 0 {
            return;
        }
        let start = out.len();
        out.resize(start + BLOCK_HEAD_BYTES, 0);
        let coding = tile::encode(bits, boxes, out);
        let length = (out.len() - start - BLOCK_HEAD_BYTES) as u32;
        out[start] = coding.byte();
        out[start + 1..start + 5].copy_from_slice(&number.to_le_bytes());
        out[start + 5..start + 9].copy_from_slice(&checked.to_le_bytes());
        out[start + 9..start + 13].copy_from_slice(&length.to_le_bytes());
        self.seal(start, out);
        self.tiles += 1;
        self.checked += checked;
        self.digest.tile(number, bits);
    }

    /// Appends the footer to `out`.
    pub fn end(mut self, out: &mut Vec<u8>) -> Summary {
        let digest = std::mem::replace(&mut self.digest, Digesting::new(0)).finish();
        let start = out.len();
        out.push(END);
        out.extend_from_slice(&self.tiles.to_le_bytes());
        out.extend_from_slice(&self.checked.to_le_bytes());
        out.extend_from_slice(&digest.0);
        let checksum = crc32c::crc32c_append(self.checksum, &out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        self.bytes += (out.len() - start) as u64;
        let Self { header, tiles, checked, bytes, .. } = self;
        Summary { header, tiles, checked, digest, bytes }
    }

    /// Appends the checksum of what was appended since `start`.
    fn seal(&mut self, start: usize, out: &mut Vec<u8>) {
        self.checksum = crc32c::crc32c_append(self.checksum, &out[start..]);
        let checksum = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        self.bytes += (out.len() - start) as u64;
    }
}

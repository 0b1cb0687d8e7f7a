//! The reader of backups.
//!
//! A byte of options: two bits for what the rest is (0 a file; 1 a file whose checksums and footer are put right first,
//! so that what they protect is reached; else boxes of which a file is made), six for how many bytes are read at once.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use actors::board::BOXES_PER_TILE;

use super::Input;
use crate::backup::{
    Header, MAGIC, Summary, boxes_in, bytes_for,
    digest::Digesting,
    encoder::Encoder,
    reader::{BadBackup, Reader},
    tile::{self, Coding},
    tiles_of,
};

/// As docs/BACKUP-FORMAT.md has them.
const NAME_AT: usize = 25;
const BOXES_AT: usize = 12;
const BLOCK_HEAD_BYTES: usize = 13;
const FOOTER_BYTES: usize = 41;
const CHECKSUM_BYTES: usize = 4;

/// Boxes of the largest board that is made here: four tiles and a bit.
const BOXES_MAX: u32 = 400_061;

/// Tile → its bits, for tiles with a checked box.
type Contents = BTreeMap<u32, Vec<u8>>;

/// A file is read in the same way in pieces of any length; what it holds is a board, and can be written again.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let options = input.byte();
    let piece = 1 + usize::from(options >> 2);
    match options & 3 {
        0 => read(input.0, piece),
        1 => read(&mended(input.0), piece),
        _ => write(input, piece),
    }
}

/// A source that gives few bytes at once, as pipes and sockets do.
struct Dribble<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.piece.min(out.len());
        self.rest.read(&mut out[..length])
    }
}

fn decode(bytes: &[u8], piece: usize) -> Result<(Contents, Summary), BadBackup> {
    let mut reader = Reader::open(Dribble { rest: bytes, piece })?;
    let boxes = reader.header().boxes;
    let (mut tiles, mut bits) = (Contents::new(), Vec::new());
    while let Some(number) = reader.next(&mut bits)? {
        assert_eq!(bits.len(), bytes_for(boxes_in(number, boxes)));
        let before = tiles.insert(number, bits.clone());
        assert!(before.is_none() && number < tiles_of(boxes));
    }
    let summary = reader.summary().expect("the end was read").clone();
    Ok((tiles, summary))
}

fn read(bytes: &[u8], piece: usize) {
    let (whole, pieces) = (decode(bytes, usize::MAX), decode(bytes, piece));
    match (whole, pieces) {
        (Ok((tiles, summary)), Ok(pieces)) => {
            assert_eq!(summary.bytes, bytes.len() as u64);
            assert_eq!(pieces.1, summary);
            assert_eq!(pieces.0, tiles);
            let (written, told) = encode(&summary.header, &tiles);
            assert_eq!((told.digest, told.checked), (summary.digest, summary.checked));
            assert_eq!(decode(&written, piece).expect("just written").0, tiles);
        }
        (Err(whole), Err(pieces)) => assert_eq!(whole.to_string(), pieces.to_string()),
        (whole, pieces) => panic!("{:?} in one, {:?} in pieces", whole.is_ok(), pieces.is_ok()),
    }
}

fn encode(header: &Header, tiles: &Contents) -> (Vec<u8>, Summary) {
    let mut out = Vec::new();
    let mut encoder = Encoder::begin(header.clone(), &mut out);
    for (number, bits) in tiles {
        encoder.tile(*number, bits, &mut out);
    }
    let summary = encoder.end(&mut out);
    (out, summary)
}

/// What is written comes back, and not once a bit of it has changed.
fn write(mut input: Input<'_>, piece: usize) {
    let boxes = 1 + input.word() % BOXES_MAX;
    let (at, bit) = (input.word() as usize, input.byte() % 8);
    let header = Header { name: "fuzz".into(), boxes, created_s: input.word().into() };
    let mut tiles = Contents::new();
    // Stretches: where each begins, and how many boxes it has.
    let (stretches, _) = input.0.as_chunks::<5>();
    for [a, b, c, low, high] in stretches {
        let first = u32::from_le_bytes([*a, *b, *c, 0]) % boxes;
        let length = 1 + u32::from(u16::from_le_bytes([*low, *high]));
        for id in first..first.saturating_add(length).min(boxes) {
            let (number, offset) = (id / BOXES_PER_TILE, id % BOXES_PER_TILE);
            let empty = || vec![0; bytes_for(boxes_in(number, boxes))];
            let bits = tiles.entry(number).or_insert_with(empty);
            bits[(offset / 8) as usize] |= 1 << (offset % 8);
        }
    }
    let (mut bytes, summary) = encode(&header, &tiles);
    assert_eq!(decode(&bytes, piece).expect("just written"), (tiles, summary));
    let at = at % bytes.len();
    bytes[at] ^= 1 << bit;
    assert!(decode(&bytes, piece).is_err(), "bit {bit} of byte {at}");
}

/// The same file with its magic, checksums and footer put right, as far as it can be followed.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let Some(name) = file.get(NAME_AT - 1) else { return file };
    let end = NAME_AT + usize::from(*name);
    if file.len() < end + CHECKSUM_BYTES {
        return file;
    }
    file[..MAGIC.len()].copy_from_slice(&MAGIC);
    let mut checksum = seal(&mut file, 0, end, 0);
    let boxes = word(&file, BOXES_AT);
    let (mut at, mut digest) = (end + CHECKSUM_BYTES, Digesting::new(boxes));
    let (mut tiles, mut checked) = (0, 0_u32);
    while let Some(coding) = file.get(at).and_then(|kind| Coding::from_byte(*kind)) {
        if file.len() < at + BLOCK_HEAD_BYTES {
            return file;
        }
        let (number, body) = (word(&file, at + 1), at + BLOCK_HEAD_BYTES);
        let end = body.saturating_add(word(&file, at + 9) as usize);
        if file.len() < end.saturating_add(CHECKSUM_BYTES) {
            return file;
        }
        let mut bits = Vec::new();
        let boxes = boxes_in(number, boxes);
        if tile::decode(coding, &file[body..end], boxes, &mut bits).is_some() {
            let count = tile::count(&bits);
            file[at + 5..at + 9].copy_from_slice(&count.to_le_bytes());
            checked = checked.wrapping_add(count);
        }
        digest.tile(number, &bits);
        tiles += 1;
        checksum = seal(&mut file, at, end, checksum);
        at = end + CHECKSUM_BYTES;
    }
    if file.len() < at + FOOTER_BYTES + CHECKSUM_BYTES {
        return file;
    }
    let foot = &mut file[at + 1..at + FOOTER_BYTES];
    foot[..4].copy_from_slice(&u32::to_le_bytes(tiles));
    foot[4..8].copy_from_slice(&u32::to_le_bytes(checked));
    foot[8..].copy_from_slice(&digest.finish().0);
    let end = at + FOOTER_BYTES;
    let checksum = crc32c::crc32c_append(checksum, &file[at..end]);
    file[end..end + CHECKSUM_BYTES].copy_from_slice(&checksum.to_le_bytes());
    file
}

/// Writes the checksum of a part behind it; the one of the whole file with that part.
fn seal(file: &mut [u8], start: usize, end: usize, checksum: u32) -> u32 {
    let own = crc32c::crc32c(&file[start..end]);
    let whole = crc32c::crc32c_append(checksum, &file[start..end]);
    file[end..end + CHECKSUM_BYTES].copy_from_slice(&own.to_le_bytes());
    whole
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

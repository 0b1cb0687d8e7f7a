//! One tile's bits as the shortest of three codings. Pure: bytes in, bytes out.
//!
//! A *list* holds the checked boxes, *runs* hold the places where checked and unchecked meet; both are
//! ascending positions, each stored as a variable-length number of how many it skips since the one
//! before. A list is the same size as a bitmap at about one box in eight, runs are short wherever
//! boxes were checked in stretches, and a full tile is one number. The rest is a *bitmap*.

/// How a tile is stored. The value is the block's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Coding {
    /// The bits as they are.
    Bitmap = b'B',
    /// The checked boxes.
    List = b'L',
    /// Where unchecked turns to checked and back; the last run may have no end.
    Runs = b'R',
}

impl Coding {
    /// The coding a block's first byte names.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Bitmap, Self::List, Self::Runs].into_iter().find(|coding| coding.byte() == byte)
    }

    /// The block's first byte.
    pub fn byte(self) -> u8 {
        self as u8
    }
}

/// Number of checked boxes in `bits`.
pub fn count(bits: &[u8]) -> u32 {
    words(bits).map(u64::count_ones).sum()
}

/// Appends the shortest coding of the tile `bits` to `out`.
pub fn encode(bits: &[u8], boxes: u32, out: &mut Vec<u8>) -> Coding {
    debug_assert_eq!(bits.len(), boxes.div_ceil(8) as usize);
    let checked = count(bits);
    let turns: u32 = turns(bits).map(u64::count_ones).sum();
    // Every position takes a byte at least.
    let (coding, least) =
        if turns < checked { (Coding::Runs, turns) } else { (Coding::List, checked) };
    let start = out.len();
    if (least as usize) < bits.len() {
        match coding {
            Coding::Runs => put_positions(turns_of(bits, boxes), out),
            _ => put_positions(positions(words(bits)), out),
        }
        if out.len() - start < bits.len() {
            return coding;
        }
        out.truncate(start);
    }
    out.extend_from_slice(bits);
    Coding::Bitmap
}

/// Replaces `bits` by the tile of `boxes` boxes coded in `body`, unless that cannot be one.
pub fn decode(coding: Coding, body: &[u8], boxes: u32, bits: &mut Vec<u8>) -> Option<()> {
    bits.clear();
    if coding == Coding::Bitmap {
        bits.extend_from_slice(body);
        let spare = (body.len() * 8).checked_sub(boxes as usize).filter(|spare| *spare < 8)?;
        let past = body.last().map_or(0, |last| u32::from(*last) >> (8 - spare));
        return (past == 0).then_some(());
    }
    bits.resize(boxes.div_ceil(8) as usize, 0);
    let mut rest = body;
    let mut next = 0;
    let mut open: Option<u32> = None;
    while !rest.is_empty() {
        let position = next + take_number(&mut rest)?;
        if position >= boxes {
            return None;
        }
        next = position + 1;
        if coding == Coding::List {
            bits[(position / 8) as usize] |= 1 << (position % 8);
        } else if let Some(start) = open.take() {
            fill(bits, start, position);
        } else {
            open = Some(position);
        }
    }
    if let Some(start) = open {
        fill(bits, start, boxes);
    }
    Some(())
}

/// The offsets of the bits that are 1, ascending.
pub fn offsets(bits: &[u8]) -> impl Iterator<Item = u32> {
    positions(words(bits))
}

fn words(bits: &[u8]) -> impl Iterator<Item = u64> {
    let (whole, rest) = bits.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(u64::from_le_bytes(last));
    whole.iter().map(|word| u64::from_le_bytes(*word)).chain(last)
}

/// Words in which every bit that differs from the one before it is 1.
fn turns(bits: &[u8]) -> impl Iterator<Item = u64> {
    let mut before = 0;
    words(bits).map(move |word| {
        let turned = word ^ (word << 1 | before);
        before = word >> 63;
        turned
    })
}

/// Where the bits turn; the end of the tile is no turn.
fn turns_of(bits: &[u8], boxes: u32) -> impl Iterator<Item = u32> {
    positions(turns(bits)).take_while(move |position| *position < boxes)
}

fn positions(words: impl Iterator<Item = u64>) -> impl Iterator<Item = u32> {
    (0..).zip(words).flat_map(|(number, mut word): (u32, u64)| {
        std::iter::from_fn(move || {
            let bit = (word != 0).then(|| word.trailing_zeros())?;
            word &= word - 1;
            Some(number * 64 + bit)
        })
    })
}

fn fill(bits: &mut [u8], start: u32, end: u32) {
    let (first, last) = ((start / 8) as usize, ((end - 1) / 8) as usize);
    let from = 0xFF_u8 << (start % 8);
    let to = 0xFF_u8 >> (7 - (end - 1) % 8);
    if first == last {
        bits[first] |= from & to;
        return;
    }
    bits[first] |= from;
    bits[first + 1..last].fill(0xFF);
    bits[last] |= to;
}

fn put_positions(positions: impl Iterator<Item = u32>, out: &mut Vec<u8>) {
    let mut next = 0;
    for position in positions {
        let mut skipped = position - next;
        next = position + 1;
        while skipped >= 0x80 {
            out.push(skipped as u8 | 0x80);
            skipped >>= 7;
        }
        out.push(skipped as u8);
    }
}

/// A number of at most three bytes, seven bits each, least significant first.
fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in [0, 7, 14] {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u32::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits_of(boxes: u32, set: &[u32]) -> Vec<u8> {
        let mut bits = vec![0; boxes.div_ceil(8) as usize];
        for offset in set {
            bits[(offset / 8) as usize] |= 1 << (offset % 8);
        }
        bits
    }

    fn coded(bits: &[u8], boxes: u32) -> (Coding, Vec<u8>) {
        let mut body = vec![];
        let coding = encode(bits, boxes, &mut body);
        let mut back = vec![7];
        decode(coding, &body, boxes, &mut back).expect("what was encoded");
        assert_eq!(back, bits);
        (coding, body)
    }

    #[test]
    fn each_kind_of_tile_gets_the_coding_that_suits_it() {
        assert_eq!(coded(&bits_of(100_000, &[0]), 100_000), (Coding::List, vec![0]));
        assert_eq!(coded(&bits_of(100_000, &[300]), 100_000), (Coding::List, vec![0xAC, 2]));
        assert_eq!(coded(&vec![0xFF; 12_500], 100_000), (Coding::Runs, vec![0]));
        let stretch: Vec<u32> = (100..90_000).collect();
        assert_eq!(coded(&bits_of(100_000, &stretch), 100_000).0, Coding::Runs);
        let scattered: Vec<u32> = (0..100_000).filter(|n| n * 7_919 % 10 < 5).collect();
        let (coding, body) = coded(&bits_of(100_000, &scattered), 100_000);
        assert_eq!((coding, body.len()), (Coding::Bitmap, 12_500));
    }

    #[test]
    fn what_cannot_be_a_tile_is_refused() {
        let mut bits = vec![];
        assert!(decode(Coding::List, &[9], 10, &mut bits).is_some());
        assert!(decode(Coding::List, &[10], 10, &mut bits).is_none(), "past the end");
        assert!(decode(Coding::Runs, &[3, 6], 10, &mut bits).is_none(), "past the end");
        assert!(decode(Coding::List, &[0x80], 10, &mut bits).is_none(), "an unfinished number");
        assert!(decode(Coding::List, &[0x80, 0x80, 0x80, 0], 10, &mut bits).is_none(), "too long");
        assert!(decode(Coding::Bitmap, &[0xFF, 0x03], 10, &mut bits).is_some());
        assert!(decode(Coding::Bitmap, &[0xFF, 0x04], 10, &mut bits).is_none(), "past the end");
    }

    proptest! {
        #[test]
        fn a_tile_comes_back_whatever_its_pattern(
            boxes in 1_u32..2_000,
            runs in proptest::collection::vec((0_u32..2_000, 1_u32..300), 0..40),
            single in proptest::collection::vec(0_u32..2_000, 0..200),
        ) {
            let mut set: Vec<u32> = runs.iter().flat_map(|(at, len)| *at..at + len).collect();
            set.extend(single);
            set.retain(|offset| *offset < boxes);
            let bits = bits_of(boxes, &set);
            let (_, body) = coded(&bits, boxes);
            prop_assert!(body.len() <= bits.len());
            set.sort_unstable();
            set.dedup();
            prop_assert_eq!(count(&bits) as usize, set.len());
            prop_assert_eq!(offsets(&bits).collect::<Vec<_>>(), set);
        }
    }
}

//! The bits of one shard. Plain memory: no actor, no store, no clock.
//!
//! Box at offset `o` is bit `o % 64` of word `o / 64`. Read as little-endian bytes, the words are in
//! the wire order of the protocol: least significant bit of byte 0 first.

use bytes::{BufMut, BytesMut};

use crate::{
    board::Offset,
    store::{Words, words_for},
};

/// A grow-only set of offsets 0 .. `boxes`.
#[derive(Debug)]
pub struct Bitmap {
    words: Words,
    boxes: u32,
}

impl Bitmap {
    /// Takes over the words a store loaded. Fails if they are not of `boxes` boxes.
    pub fn from_words(words: Words, boxes: u32) -> Option<Self> {
        let spare = words.len() as u64 * 64 - u64::from(boxes).min(words.len() as u64 * 64);
        let last_is_clean =
            words.last().is_none_or(|last| spare == 0 || last >> (64 - spare.min(63)) == 0);
        (words.len() == words_for(boxes) && last_is_clean).then_some(Self { words, boxes })
    }

    /// Whether the box is checked.
    pub fn contains(&self, offset: Offset) -> bool {
        self.words[(offset.0 / 64) as usize] >> (offset.0 % 64) & 1 == 1
    }

    /// Checks the box; whether it was unchecked before. Only `Shard::learn` calls this.
    pub fn insert(&mut self, offset: Offset) -> bool {
        debug_assert!(offset.0 < self.boxes, "offset past the shard");
        let word = &mut self.words[(offset.0 / 64) as usize];
        let bit = 1 << (offset.0 % 64);
        let flipped = *word & bit == 0;
        *word |= bit;
        flipped
    }

    /// Unchecks every box. Only a reset of the board does this.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// All bits, in words of 64 boxes.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Numbers of checked boxes in consecutive stretches of `stretch` boxes, the last one maybe
    /// shorter. 17 ms for a billion boxes.
    pub fn counts(&self, stretch: u32) -> impl Iterator<Item = u32> + '_ {
        (0..self.boxes).step_by(stretch as usize).map(move |first| {
            let end = (first + stretch).min(self.boxes);
            self.count_before(end, first / 64) - self.count_before(first, first / 64)
        })
    }

    /// Checked boxes below `end`, from the word `from` on.
    fn count_before(&self, end: u32, from: u32) -> u32 {
        let (whole, rest) = ((end / 64) as usize, end % 64);
        let words = &self.words[from as usize..whole];
        let cut = match self.words.get(whole) {
            Some(word) if rest > 0 => (word & ((1 << rest) - 1)).count_ones(),
            _ => 0,
        };
        words.iter().map(|word| word.count_ones()).sum::<u32>() + cut
    }

    /// Number of boxes.
    pub fn boxes(&self) -> u32 {
        self.boxes
    }

    /// Appends the bits of `boxes` boxes from `first` on to `out`, the first one as the least
    /// significant bit of the first byte; bits past the range are 0.
    pub fn extract(&self, first: Offset, boxes: u32, out: &mut BytesMut) {
        debug_assert!(u64::from(first.0) + u64::from(boxes) <= u64::from(self.boxes));
        let bytes = boxes.div_ceil(8) as usize;
        let shift = first.0 % 64;
        let words = &self.words[(first.0 / 64) as usize..];
        let whole = bytes / 8;
        let start = out.len();
        if shift == 0 {
            for word in &words[..whole] {
                out.put_u64_le(*word);
            }
        } else {
            out.resize(start + whole * 8, 0);
            let chunks = out[start..].chunks_exact_mut(8);
            for (chunk, pair) in chunks.zip(words.windows(2)) {
                let word = pair[0] >> shift | pair[1] << (64 - shift);
                chunk.copy_from_slice(&word.to_le_bytes());
            }
            // The very last whole word has no right neighbour when the range ends with the shard.
            if whole > 0 && words.len() == whole {
                let tail = (words[whole - 1] >> shift).to_le_bytes();
                out[start + (whole - 1) * 8..].copy_from_slice(&tail);
            }
        }
        let rest = bytes - whole * 8;
        if rest > 0 {
            let low = words[whole] >> shift;
            let high = match words.get(whole + 1) {
                Some(next) if shift > 0 => next << (64 - shift),
                _ => 0,
            };
            out.put_slice(&(low | high).to_le_bytes()[..rest]);
        }
        let spare = (bytes * 8) as u32 - boxes;
        if spare > 0 {
            let last = out.len() - 1;
            out[last] &= 0xFF >> spare;
        }
    }
}

/// Appends `part` behind the first `bits` bits of a mask whose bytes end `out`: the join of a range
/// that goes on in the next shard. The last byte of `out` has its unused bits at 0.
pub fn append_bits(out: &mut BytesMut, bits: u32, part: &[u8]) {
    let used = bits % 8;
    if used == 0 {
        out.extend_from_slice(part);
        return;
    }
    for byte in part {
        if let Some(last) = out.last_mut() {
            *last |= byte << used;
        }
        out.put_u8(byte >> (8 - used));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bitmap(boxes: u32, set: &[u32]) -> Bitmap {
        let mut bitmap =
            Bitmap::from_words(vec![0; words_for(boxes)], boxes).expect("words of that many boxes");
        for offset in set {
            bitmap.insert(Offset(*offset));
        }
        bitmap
    }

    #[test]
    fn a_bit_flips_once() {
        let mut bitmap = bitmap(130, &[]);
        assert!(bitmap.insert(Offset(129)));
        assert!(!bitmap.insert(Offset(129)));
        assert!(bitmap.contains(Offset(129)) && !bitmap.contains(Offset(128)));
        assert!(bitmap.counts(130).eq([1]));
    }

    #[test]
    fn words_of_another_size_or_with_bits_past_the_end_are_refused() {
        assert!(Bitmap::from_words(vec![0; 2], 64).is_none());
        assert!(Bitmap::from_words(vec![0; 1], 65).is_none());
        assert!(Bitmap::from_words(vec![u64::MAX], 64).is_some());
        assert!(Bitmap::from_words(vec![1 << 63], 63).is_none());
        assert!(Bitmap::from_words(vec![1 << 1], 1).is_none());
        assert!(Bitmap::from_words(vec![1], 1).is_some());
    }

    proptest! {
        #[test]
        fn joined_parts_read_like_one_bitmap(
            set in proptest::collection::vec(0_u32..300, 0..100),
            cut in 1_u32..299,
            span in (1_u32..299, 1_u32..299),
        ) {
            let first = span.0.min(cut) - 1;
            let last = span.1.max(cut);
            let whole = bitmap(300, &set);
            let low: Vec<u32> = set.iter().copied().filter(|bit| *bit < cut).collect();
            let high: Vec<u32> =
                set.iter().filter(|bit| **bit >= cut).map(|bit| bit - cut).collect();
            let mut expected = BytesMut::new();
            whole.extract(Offset(first), last - first + 1, &mut expected);
            let (mut joined, mut part) = (BytesMut::new(), BytesMut::new());
            bitmap(cut, &low).extract(Offset(first), cut - first, &mut joined);
            bitmap(300 - cut, &high).extract(Offset(0), last - cut + 1, &mut part);
            append_bits(&mut joined, cut - first, &part);
            // The join may leave one byte of nothing at the end, which the caller cuts.
            joined.truncate(expected.len());
            prop_assert_eq!(joined, expected);
        }

        #[test]
        fn stretches_are_counted_like_their_boxes(
            boxes in 1_u32..1000,
            set in proptest::collection::btree_set(0_u32..1000, 0..400),
            stretch in 1_u32..300,
        ) {
            let set: Vec<u32> = set.into_iter().filter(|offset| *offset < boxes).collect();
            let counts: Vec<u32> = bitmap(boxes, &set).counts(stretch).collect();
            prop_assert_eq!(counts.len(), boxes.div_ceil(stretch) as usize);
            for (at, count) in (0..).zip(counts) {
                let inside = set.iter().filter(|offset| **offset / stretch == at).count();
                prop_assert_eq!(count as usize, inside);
            }
        }

        #[test]
        fn extraction_agrees_with_reading_bit_by_bit(
            boxes in 1_u32..1000,
            set in proptest::collection::vec(0_u32..1000, 0..400),
            a in 0_u32..1000,
            b in 0_u32..1000,
        ) {
            let set: Vec<u32> = set.into_iter().map(|offset| offset % boxes).collect();
            let bitmap = bitmap(boxes, &set);
            let (first, last) = (a.min(b) % boxes, a.max(b) % boxes);
            let (first, last) = (first.min(last), first.max(last));
            let mut out = BytesMut::new();
            bitmap.extract(Offset(first), last - first + 1, &mut out);
            prop_assert_eq!(out.len(), (last - first + 1).div_ceil(8) as usize);
            for bit in 0..out.len() as u32 * 8 {
                let read = out[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
                let expected = first + bit <= last && set.contains(&(first + bit));
                prop_assert_eq!(read, expected, "bit {}", bit);
            }
        }
    }
}

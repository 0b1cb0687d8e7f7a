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

    /// Checks the box; whether it was unchecked before. Only `Ledger::learn` calls this.
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
        let (words, shift) = (&self.words[(first.0 / 64) as usize..], first.0 % 64);
        if shift.is_multiple_of(8) {
            copy_bytes(words, shift as usize / 8, bytes, out);
        } else {
            shift_words(words, shift, bytes, out);
        }
        let spare = (bytes * 8) as u32 - boxes;
        if spare > 0 {
            let last = out.len() - 1;
            out[last] &= 0xFF >> spare;
        }
    }
}

/// Appends `count` bytes of `words`, all but the first `skipped`. Every tile begins at a whole byte.
///
/// One loop over a buffer that was zeroed first, which is vectorised: twice as long as a plain copy
/// (0.26 µs for a tile). Asking the buffer for room at every word took 7 times as long as one.
fn copy_bytes(words: &[u64], skipped: usize, count: usize, out: &mut BytesMut) {
    let begun = (8 - skipped).min(count);
    out.put_slice(&words[0].to_le_bytes()[skipped..skipped + begun]);
    let (whole, rest) = ((count - begun) / 8, (count - begun) % 8);
    let start = out.len();
    out.resize(start + whole * 8, 0);
    let chunks = out[start..].as_chunks_mut::<8>().0.iter_mut();
    for (bytes, word) in chunks.zip(&words[1..]) {
        *bytes = word.to_le_bytes();
    }
    if rest > 0 {
        out.put_slice(&words[1 + whole].to_le_bytes()[..rest]);
    }
}

/// Appends `count` bytes of `words`, all but the first `shift` bits; `shift` is no multiple of 8.
///
/// As above, 3.5 times as long as a plain copy (0.41 µs for a tile). Instead of zeroing, going block by
/// block over the stack was slower, for this and for whole bytes.
fn shift_words(words: &[u64], shift: u32, count: usize, out: &mut BytesMut) {
    let join = |low: u64, high: u64| low >> shift | high << (64 - shift);
    // The very last word has no right neighbour.
    let pairs = (count / 8).min(words.len() - 1);
    let start = out.len();
    out.resize(start + pairs * 8, 0);
    let chunks = out[start..].as_chunks_mut::<8>().0.iter_mut();
    for ((bytes, low), high) in chunks.zip(&words[..pairs]).zip(&words[1..]) {
        *bytes = join(*low, *high).to_le_bytes();
    }
    let mut rest = count - pairs * 8;
    for at in pairs..count.div_ceil(8) {
        let high = words.get(at + 1).copied().unwrap_or_default();
        let taken = rest.min(8);
        out.put_slice(&join(words[at], high).to_le_bytes()[..taken]);
        rest -= taken;
    }
}

/// Appends `part` behind the first `bits` bits of a mask whose bytes end `out`: the join of a range
/// that goes on in the next shard. The last byte of `out` has its unused bits at 0.
///
/// As above, 5 times as long as a plain copy (0.56 µs for a tile). Appending byte by byte took 60 times
/// as long as one.
pub fn append_bits(out: &mut BytesMut, bits: u32, part: &[u8]) {
    let used = bits % 8;
    let joined = out.last_mut().filter(|_| used > 0);
    let (Some(joined), Some(first), Some(last)) = (joined, part.first(), part.last()) else {
        out.extend_from_slice(part);
        return;
    };
    *joined |= first << used;
    let start = out.len();
    out.resize(start + part.len(), 0);
    for ((byte, low), high) in out[start..].iter_mut().zip(part).zip(&part[1..]) {
        *byte = low >> (8 - used) | high << used;
    }
    let end = out.len() - 1;
    out[end] = last >> (8 - used);
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

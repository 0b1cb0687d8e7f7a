//! Bits between Redis and memory: reading a key range, comparing it with memory, and putting back what
//! Redis has lost. The board only grows, so comparing is OR in both directions and may be done again at any
//! time.

use std::time::{Duration, Instant};

use actors::{
    board::Offset,
    store::{Words, words_for},
};
use redis::Value;

use super::{
    keys::Keys,
    layout::{self, Kept},
    nodes::Nodes,
    script::{BATCH_MAX, Outcome, Position, Scripts, Sender, State},
    trouble::Trouble,
};

/// Bytes read in one call: a tenth of a millisecond of Redis' time, 20 ms of a network of 100 Mbit/s.
const READ_BYTES: usize = 256 * 1024;

/// Bytes merged in one call, and at most as many boxes as that are checked one by one instead.
const MERGE_BYTES: usize = 250_000;

/// Boxes put back by checking them; more of them are merged.
const APPLY_BOXES: usize = 16 * BATCH_MAX;

/// Longest time for one key range.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What became of boxes that were put into a key range.
#[derive(Debug, Default)]
pub struct Put {
    /// Those that were new to it.
    pub fresh: u64,
    /// How far it had come with them; `None`: there were none to put.
    pub after: Option<Position>,
}

/// Reads and writes the bits of key ranges.
#[derive(Clone, Copy)]
pub struct Bits<'n> {
    /// Where they are.
    pub nodes: &'n Nodes,
    /// How they are written.
    pub scripts: &'n Scripts,
}

impl Bits<'_> {
    /// The bits of a key range of `boxes` boxes, and the state they have at least reached: both, or
    /// neither if there is no such key range or it changes its epoch meanwhile.
    pub async fn read(
        self,
        keys: &Keys,
        boxes: u32,
        deadline: Instant,
    ) -> Result<Option<(State, Words)>, Trouble> {
        let Some(state) = layout::state(self.nodes, keys, deadline).await? else {
            return Ok(None);
        };
        let mut bytes: Vec<u8> = Vec::with_capacity(words_for(boxes) * 8);
        let length = boxes.div_ceil(8) as usize;
        while bytes.len() < length {
            let (first, last) = (bytes.len(), (bytes.len() + READ_BYTES).min(length) - 1);
            let mut read = redis::cmd("GETRANGE");
            read.arg(&keys.bits).arg(first).arg(last);
            let piece = self.nodes.command(keys.slot, deadline, &read).await?;
            let Value::BulkString(piece) = piece else {
                let text = "GETRANGE answered something else than bytes";
                return Err(Trouble::Unexpected(text.to_owned()));
            };
            bytes.extend(piece);
            // A shorter string is one of a range that was just made anew; the rest is 0.
            bytes.resize(last + 1, 0);
        }
        // A reset in between would have mixed two boards.
        let after = layout::state(self.nodes, keys, deadline).await?;
        if after.is_none_or(|after| after.epoch != state.epoch) {
            return Ok(None);
        }
        Ok(Some((state, words(&bytes, boxes))))
    }

    /// Puts boxes that Redis seemed to lack into a key range.
    pub async fn put_back(
        self,
        keys: &Keys,
        sender: Sender,
        lacking: &[u64],
        deadline: Instant,
    ) -> Result<Put, Trouble> {
        let count: u64 = lacking.iter().map(|word| u64::from(word.count_ones())).sum();
        if count > APPLY_BOXES as u64 {
            let bytes: Vec<u8> = lacking.iter().flat_map(|word| word.to_le_bytes()).collect();
            return self.merge(keys, sender, &bytes, deadline).await;
        }
        let offsets: Vec<Offset> = offsets(lacking).collect();
        let mut put = Put::default();
        for batch in offsets.chunks(BATCH_MAX) {
            let call = self.scripts.apply(keys, sender, batch);
            put.accept(&self.nodes.call(keys.slot, deadline, &call).await?)?;
        }
        Ok(put)
    }

    /// ORs `bytes` into a key range, piece by piece.
    pub async fn merge(
        self,
        keys: &Keys,
        sender: Sender,
        bytes: &[u8],
        deadline: Instant,
    ) -> Result<Put, Trouble> {
        let mut put = Put::default();
        for (at, piece) in bytes.chunks(MERGE_BYTES).enumerate() {
            // Bytes of nothing at the end would lengthen the bitmap.
            let used = piece.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if used > 0 {
                let first = at * MERGE_BYTES;
                let call = self.scripts.merge(keys, sender, first, &piece[..used]);
                put.accept(&self.nodes.call(keys.slot, deadline, &call).await?)?;
            }
        }
        Ok(put)
    }

    /// Reads a key range of `kept`, making it first if it is missing or of an earlier epoch. How often
    /// that was necessary is added to `repaired`.
    pub async fn read_kept(
        self,
        keys: &Keys,
        boxes: u32,
        kept: &Kept,
        deadline: Instant,
        repaired: &mut u64,
    ) -> Result<(State, Words), Trouble> {
        loop {
            match self.read(keys, boxes, deadline).await? {
                Some((state, words)) if state.epoch >= kept.epoch => return Ok((state, words)),
                _ if Instant::now() > deadline => return Err(Trouble::NoAgreement),
                _ => {
                    *repaired += 1;
                    layout::prepare(self.nodes, self.scripts, keys, boxes, kept, deadline).await?;
                }
            }
        }
    }
}

impl Put {
    fn accept(&mut self, answer: &Value) -> Result<(), Trouble> {
        match Outcome::read(answer)? {
            Outcome::Applied { fresh, after } => {
                self.fresh += u64::from(fresh);
                self.after = Some(after);
                Ok(())
            }
            Outcome::Foreign(epoch) => Err(Trouble::Reset(epoch)),
        }
    }
}

/// Words of `boxes` boxes from the bytes of a bitmap; whatever lies past the last box is 0.
fn words(bytes: &[u8], boxes: u32) -> Words {
    let mut words: Words = bytes
        .chunks(8)
        .map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        })
        .collect();
    words.resize(words_for(boxes), 0);
    let used = boxes % 64;
    if let (Some(last), 1..) = (words.last_mut(), used) {
        *last &= (1 << used) - 1;
    }
    words
}

/// The boxes that are 1 in `words`.
pub fn offsets(words: &[u64]) -> impl Iterator<Item = Offset> + '_ {
    (0..).zip(words).flat_map(|(at, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            let bit = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(Offset(at * 64 + bit))
        })
    })
}

/// What `these` have and `those` lack.
pub fn without(these: &[u64], those: &[u64]) -> Words {
    these.iter().zip(those).map(|(this, that)| this & !that).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_past_the_last_box_are_cut() {
        assert_eq!(words(&[0xFF; 2], 11), [0b111_1111_1111]);
        assert_eq!(words(&[1], 64), [1]);
        assert_eq!(words(&[0xFF; 9], 70), [u64::MAX, 0b11_1111]);
        assert_eq!(words(&[], 65), [0, 0]);
    }

    #[test]
    fn what_one_side_lacks_are_offsets() {
        let lacking = without(&[0b1011, 1 << 63], &[0b0001, 0]);
        assert_eq!(offsets(&lacking).collect::<Vec<_>>(), [Offset(1), Offset(3), Offset(127)]);
    }
}

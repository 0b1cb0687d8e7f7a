//! The names of everything a board has in Redis. All of one key range share a hash tag, so that they
//! share a slot, one script may touch them all, and they move together.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `billion:{<board>}:board` | hash | `format`, `boxes`, `shards`, `epoch` of the whole board |
//! | `billion:{<board>:<shard>}:bits` | string | the bitmap, in the wire order of the protocol |
//! | `billion:{<board>:<shard>}:state` | hash | `epoch`, `count`, `tail`, and the board's `format`, `boxes`, `shards` |
//! | `billion:{<board>:<shard>}:credits` | hash | first checks of each user and day |
//! | `billion:{<board>:<shard>}:updates` | channel | one message per batch that checked a box |
//!
//! Redis numbers the bits of a byte from the most significant one, the protocol from the least: box
//! at offset `o` is bit `o ^ 7` for `GETBIT`, and the raw bytes are what a client is sent.

use actors::board::{Offset, ShardIndex};

/// Number of hash slots of every cluster.
const SLOTS: u16 = 16_384;

/// Keys and channel of one key range.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The bitmap.
    pub bits: String,
    /// What is known about it.
    pub state: String,
    /// Who was the first to check how many of it.
    pub credits: String,
    /// Where batches are announced.
    pub channel: String,
    /// The slot of all of them.
    pub slot: u16,
}

impl Keys {
    /// Those of `shard` of the board named `board`.
    pub fn of(board: &str, shard: ShardIndex) -> Self {
        let tag = format!("{board}:{}", shard.0);
        Self {
            bits: format!("billion:{{{tag}}}:bits"),
            state: format!("billion:{{{tag}}}:state"),
            credits: format!("billion:{{{tag}}}:credits"),
            channel: format!("billion:{{{tag}}}:updates"),
            slot: slot_of(&tag),
        }
    }
}

/// The key of the board's record, and its slot.
pub fn record(board: &str) -> (String, u16) {
    (format!("billion:{{{board}}}:board"), slot_of(board))
}

/// The slot of every key with the hash tag `tag` (Redis Cluster specification, "Key distribution
/// model").
pub fn slot_of(tag: &str) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % SLOTS
}

/// What Redis calls the bit of a box, and back.
pub fn redis_bit(offset: Offset) -> u32 {
    offset.0 ^ 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // CLUSTER KEYSLOT "123456789" is the specification's own example: 0x31C3.
        assert_eq!(slot_of("123456789"), 0x31C3);
        assert_eq!(Keys::of("main", ShardIndex(0)).slot, slot_of("main:0"));
    }

    #[test]
    fn bits_are_in_the_order_of_the_protocol() {
        // Box 0 is the least significant bit of byte 0, which Redis calls bit 7.
        assert_eq!([0, 7, 8, 15].map(|offset| redis_bit(Offset(offset))), [7, 0, 15, 8]);
    }
}

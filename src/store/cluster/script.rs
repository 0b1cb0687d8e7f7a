//! The only code that writes a board in Redis: the Lua scripts of `lua/` that run where the key range is, the
//! answers they give, and the message that each announces its change with.
//!
//! Every change extends the *tail* of its key range, a hash chain over all batches ever applied. A
//! replica's history is a beginning of its master's, so two copies with the same epoch, count and tail hold
//! the same boxes: a node that has followed the messages up to some tail need not look at the bits
//! to know whether it missed any.
//!
//! Version 1 of scripts, state and messages. All versions of the server that share a cluster agree on
//! them; a later one that changes a message raises its first byte and goes on reading this one, and
//! one that changes what the scripts mean raises `format`, which this one refuses to serve.

use actors::{
    board::Offset,
    store::{
        batch::{Piece, Share},
        credits::{Counted, CreditKey, Day},
    },
};
use redis::{Cmd, Script, Value};

use super::{
    credits::field,
    keys::{Keys, redis_bit},
    trouble::Trouble,
};

/// Version of what is stored. Raised when an older server would misread it.
pub const FORMAT: u32 = 1;

/// Most boxes in one batch: above this the time in which Redis does nothing else grows, and the cost
/// per box hardly falls any more.
pub const BATCH_MAX: usize = 256;

/// First byte of every message.
const MESSAGE_VERSION: u8 = 1;

/// Bytes of a tail: 64 bits of a hash in hexadecimal.
pub const TAIL_BYTES: usize = 16;

/// Version, origin, epoch: what the sender knows of its message.
const HEADER_BYTES: usize = 1 + 8 + 8;

/// Header, count, fresh, two tails: what precedes the boxes.
const MESSAGE_BYTES: usize = HEADER_BYTES + 4 + 4 + 2 * TAIL_BYTES;

/// KEYS bits, state; ARGV epoch, channel, header, boxes (`u32` each, as Redis numbers bits). If any of the boxes is a
/// user's, also KEYS credits and ARGV shares (`u16` each), fields: the first so many boxes are credited to the first
/// field and so on.
///
/// The channel is no key: as a key it would make Redis answer TRYAGAIN while the slot migrates.
///
/// What goes into `BITFIELD` are strings, because Redis prints a Lua number with `%.17g`, which took a
/// fifth of a master's time (170 boxes: 347 µs with numbers, 281 with strings). The chain costs 20 µs of
/// that, the message 25. Boxes sent in decimal beside the packed ones would save 16 more, for two
/// spellings that have to agree; `SETBIT` box by box costs four times as much.
/// Credits are read by one `HMGET` and written by one `HSET`: commands that every rule for access has allowed so far.
const APPLY: &str = include_str!("lua/apply.lua");

/// KEYS credits; ARGV field, value and so on: removes fields that still have that value.
const FORGET: &str = include_str!("lua/forget.lua");

/// KEYS bits, state; ARGV epoch, channel, header, a new tail, first byte, bytes to be ORed in there.
/// What others are told has no boxes in it: they read the bitmap.
const MERGE: &str = include_str!("lua/merge.lua");

/// KEYS bits, state; ARGV epoch, a new tail, last bit, format, boxes, shards.
///
/// Makes a key range that is missing, keeps bits whose state is missing, and forgets all bits of an
/// epoch before this one. Answers the state there is then.
///
/// The bitmap gets its full length at once: growing a large string costs milliseconds.
const PREPARE: &str = include_str!("lua/prepare.lua");

/// KEYS bits, state; ARGV epoch. Writes what is there already: whether anything can be written.
const PROBE: &str = include_str!("lua/probe.lua");

/// Fields of a state, in the order of [`State::read`].
const FIELDS: [&str; 6] = ["epoch", "count", "tail", "format", "boxes", "shards"];

/// A script and its digest.
pub struct Lua {
    text: &'static str,
    sha: String,
}

impl Lua {
    fn new(text: &'static str) -> Self {
        Self { text, sha: Script::new(text).get_hash().to_owned() }
    }

    /// The call by digest, and the same with the whole text for a node that does not know it yet.
    fn call(&self, keys: &[&String], add: impl Fn(&mut Cmd)) -> Call {
        let call = |name, code: &str| {
            let mut command = redis::cmd(name);
            command.arg(code).arg(keys.len()).arg(keys);
            add(&mut command);
            command
        };
        Call { known: call("EVALSHA", &self.sha), text: call("EVAL", self.text) }
    }
}

/// One call of a script.
pub struct Call {
    /// By digest.
    pub known: Cmd,
    /// With its text, which also makes it known.
    pub text: Cmd,
}

/// All scripts.
pub struct Scripts {
    apply: Lua,
    merge: Lua,
    prepare: Lua,
    probe: Lua,
    forget: Lua,
}

impl Default for Scripts {
    fn default() -> Self {
        let all = [APPLY, MERGE, PREPARE, PROBE, FORGET];
        let [apply, merge, prepare, probe, forget] = all.map(Lua::new);
        Self { apply, merge, prepare, probe, forget }
    }
}

/// Who announces, and of which epoch.
#[derive(Debug, Clone, Copy)]
pub struct Sender {
    /// The node: any number that no other node has.
    pub origin: u64,
    /// The epoch it believes in.
    pub epoch: u64,
}

impl Sender {
    fn header(self) -> [u8; HEADER_BYTES] {
        let mut header = [MESSAGE_VERSION; HEADER_BYTES];
        header[1..9].copy_from_slice(&self.origin.to_le_bytes());
        header[9..].copy_from_slice(&self.epoch.to_le_bytes());
        #[cfg(feature = "faults")]
        if actors::faults::active(actors::faults::Fault::LaterMessages) {
            header[0] += 1;
        }
        header
    }
}

impl Scripts {
    /// Checks boxes, at most [`BATCH_MAX`], and credits nobody.
    pub fn apply(&self, keys: &Keys, sender: Sender, offsets: &[Offset]) -> Call {
        let piece = Piece { offsets, shares: Vec::new() };
        self.apply_credited(keys, sender, &piece, Day::default())
    }

    /// Checks the boxes of a piece of a batch, at most [`BATCH_MAX`], and credits those that were unchecked on `day`.
    pub fn apply_credited(&self, keys: &Keys, sender: Sender, piece: &Piece<'_>, day: Day) -> Call {
        let Piece { offsets, shares } = piece;
        debug_assert!(offsets.len() <= BATCH_MAX, "one script is one pause of Redis");
        let boxes: Vec<u8> = offsets.iter().flat_map(|o| redis_bit(*o).to_le_bytes()).collect();
        let mut all = vec![&keys.bits, &keys.state];
        if !shares.is_empty() {
            all.push(&keys.credits);
        }
        self.apply.call(&all, |command| {
            command.arg(sender.epoch).arg(&keys.channel).arg(&sender.header()).arg(&boxes);
            if !shares.is_empty() {
                let count = |share: &Share| (share.boxes as u16).to_le_bytes();
                command.arg(shares.iter().flat_map(count).collect::<Vec<u8>>());
                for Share { user, .. } in shares {
                    command.arg(&field(CreditKey { day, user: *user }));
                }
            }
        })
    }

    /// Removes counters that have not changed.
    pub fn forget(&self, keys: &Keys, counted: &[Counted]) -> Call {
        self.forget.call(&[&keys.credits], |command| {
            for (key, count) in counted {
                command.arg(&field(*key)).arg(*count);
            }
        })
    }

    /// Changes nothing, like a batch of boxes that are checked.
    pub fn probe(&self, keys: &Keys, sender: Sender) -> Call {
        self.probe.call(&[&keys.bits, &keys.state], |command| {
            command.arg(sender.epoch);
        })
    }

    /// ORs `bytes` into the bitmap from byte `first` on.
    pub fn merge(&self, keys: &Keys, sender: Sender, first: usize, bytes: &[u8]) -> Call {
        let tail = new_tail();
        self.merge.call(&[&keys.bits, &keys.state], |command| {
            command.arg(sender.epoch).arg(&keys.channel).arg(&sender.header());
            command.arg(&tail).arg(first).arg(bytes);
        })
    }

    /// Makes a key range what it should be in `epoch`.
    pub fn prepare(&self, keys: &Keys, epoch: u64, boxes_here: u32, layout: Layout) -> Call {
        let (tail, last) = (new_tail(), redis_bit(Offset((boxes_here - 1) | 7)));
        self.prepare.call(&[&keys.bits, &keys.state], |command| {
            command.arg(epoch).arg(&tail).arg(last);
            command.arg(layout.format).arg(layout.boxes).arg(layout.shards);
        })
    }
}

/// A tail that no history has had.
fn new_tail() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// What became of a call that may change a key range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All of its boxes are checked now. So many were not before, as far as the answer knows: the
    /// client may have repeated the call by itself.
    Applied {
        /// Boxes that were new.
        fresh: u32,
        /// How far the key range has come with them.
        after: Position,
    },
    /// Nothing was changed: the key range is of another epoch, or has none.
    Foreign(Option<u64>),
}

impl Outcome {
    /// Reads the answer of `apply`, `merge` and `probe`.
    pub fn read(value: &Value) -> Result<Self, Trouble> {
        let Value::Array(parts) = value else { return Err(unexpected(value)) };
        match parts.as_slice() {
            [Value::Int(1), Value::Int(count), Value::Int(fresh), Value::BulkString(tail)] => {
                let word = |number: &i64| u32::try_from(*number).map_err(|_| unexpected(value));
                let tail = tail.as_slice().try_into().map_err(|_| unexpected(value))?;
                let after = Position { count: word(count)?, tail };
                Ok(Self::Applied { fresh: word(fresh)?, after })
            }
            [Value::Int(0)] | [Value::Int(0), Value::Nil] => Ok(Self::Foreign(None)),
            [Value::Int(0), epoch] => {
                Ok(Self::Foreign(Some(redis::from_redis_value(epoch.clone())?)))
            }
            _ => Err(unexpected(value)),
        }
    }
}

/// What the board looks like, as every key range records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Version of what is stored.
    pub format: u32,
    /// Boxes of the whole board.
    pub boxes: u32,
    /// Key ranges of the whole board.
    pub shards: u32,
}

/// How far a history has come: its length in boxes, and what it hashes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Checked boxes.
    pub count: u32,
    /// Names the history.
    pub tail: [u8; TAIL_BYTES],
}

/// The state of a key range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Raised by every reset.
    pub epoch: u64,
    /// Its history.
    pub position: Position,
    /// Of the whole board.
    pub layout: Layout,
}

impl State {
    /// Asks for it.
    pub fn ask(keys: &Keys) -> Cmd {
        let mut command = redis::cmd("HMGET");
        command.arg(&keys.state).arg(&FIELDS);
        command
    }

    /// Reads the answer. `None`: there is no such key range.
    pub fn read(value: Value) -> Result<Option<Self>, Trouble> {
        type Fields =
            (Option<u64>, Option<u32>, Option<Vec<u8>>, Option<u32>, Option<u32>, Option<u32>);
        let (epoch, count, tail, format, boxes, shards): Fields = redis::from_redis_value(value)?;
        let Some(epoch) = epoch else { return Ok(None) };
        let tail = tail.and_then(|tail| tail.try_into().ok());
        match (count, tail, format, boxes, shards) {
            (Some(count), Some(tail), Some(format), Some(boxes), Some(shards)) => Ok(Some(Self {
                epoch,
                position: Position { count, tail },
                layout: Layout { format, boxes, shards },
            })),
            _ => Err(Trouble::Unexpected("the state of a key range lacks fields".to_owned())),
        }
    }
}

/// A batch that some node has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The node.
    pub origin: u64,
    /// The epoch it was applied in.
    pub epoch: u64,
    /// Boxes in it that were unchecked before.
    pub fresh: u32,
    /// The tail it was appended to.
    pub before: [u8; TAIL_BYTES],
    /// The history with it.
    pub after: Position,
    /// Its boxes; none if too many to be told.
    pub offsets: Vec<Offset>,
}

impl Update {
    /// Reads a message. `None`: it is none of this version.
    pub fn read(message: &[u8], boxes_here: u32) -> Option<Self> {
        if message.len() < MESSAGE_BYTES || message[0] != MESSAGE_VERSION {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes(message[at..at + 4].try_into().expect("four"));
        let long = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().expect("eight"));
        let tail = |at: usize| message[at..at + TAIL_BYTES].try_into().expect("as many");
        let (boxes, rest) = message[MESSAGE_BYTES..].as_chunks::<4>();
        let offsets = boxes.iter().map(|bit| Offset(redis_bit(Offset(u32::from_le_bytes(*bit)))));
        let offsets: Vec<Offset> = offsets.collect();
        let legal = rest.is_empty() && offsets.iter().all(|offset| offset.0 < boxes_here);
        legal.then(|| Self {
            origin: long(1),
            epoch: long(9),
            fresh: word(HEADER_BYTES + 4),
            before: tail(HEADER_BYTES + 8),
            after: Position {
                count: word(HEADER_BYTES),
                tail: tail(HEADER_BYTES + 8 + TAIL_BYTES),
            },
            offsets,
        })
    }
}

fn unexpected(value: &Value) -> Trouble {
    Trouble::Unexpected(format!("unexpected answer of a script: {value:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(boxes: &[u32]) -> Vec<u8> {
        let mut bytes = Sender { origin: 7, epoch: 3 }.header().to_vec();
        bytes.extend([9_u32, 2].iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(b"0123456789abcdef");
        bytes.extend(b"fedcba9876543210");
        bytes.extend(boxes.iter().flat_map(|bit| bit.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_message_says_who_changed_what_and_what_was_before() {
        let update = Update::read(&message(&[7, 8]), 100).expect("a legal message");
        assert_eq!((update.origin, update.epoch, update.fresh), (7, 3, 2));
        assert_eq!(update.before, *b"0123456789abcdef");
        assert_eq!(update.after, Position { count: 9, tail: *b"fedcba9876543210" });
        assert_eq!(update.offsets, [Offset(0), Offset(15)]);
    }

    #[test]
    fn what_is_no_message_is_not_taken_for_one() {
        let good = message(&[7]);
        for length in 0..good.len() {
            assert!(length == MESSAGE_BYTES || Update::read(&good[..length], 100).is_none());
        }
        assert!(Update::read(&message(&[104]), 100).is_none(), "past the shard");
        let mut later = good;
        later[0] = 2;
        assert!(Update::read(&later, 100).is_none(), "of another version");
    }

    #[test]
    fn an_answer_says_whether_everything_is_checked() {
        let read = |parts| Outcome::read(&Value::Array(parts)).ok();
        let int = Value::Int;
        let tail = Value::BulkString(vec![7; TAIL_BYTES]);
        let after = Position { count: 5, tail: [7; TAIL_BYTES] };
        let applied = Outcome::Applied { fresh: 2, after };
        assert_eq!(read(vec![int(1), int(5), int(2), tail]), Some(applied));
        let epoch = Value::BulkString(b"4".to_vec());
        assert_eq!(read(vec![int(0), epoch]), Some(Outcome::Foreign(Some(4))));
        assert_eq!(read(vec![int(0), Value::Nil]), Some(Outcome::Foreign(None)));
        assert_eq!(read(vec![int(0)]), Some(Outcome::Foreign(None)));
        assert_eq!(read(vec![int(2)]), None);
        assert!(Outcome::read(&Value::Okay).is_err());
    }
}

//! The port through which messages between players pass: it gives each group's messages their order, keeps the last of
//! them, and sends them to every node.
//!
//! A message is published to a [`Group`] and has a [`Position`] there. What a node hears may have gaps, which it is
//! told of ([`Heard::Missed`]) and fills from the [`History`]; what it hears of one group comes in order.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::{
    player::{SessionId, UserId},
    store::{BoxFuture, StoreError},
};

/// Messages that are kept of a group.
pub const KEPT_MESSAGES: usize = 100;

/// How long a message is kept, and for how long a message of the same sender and id is the same message, in ms.
pub const KEPT_MS: u64 = 300_000;

/// Most bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 4096;

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The members of a team.
    Team(u64),
    /// The members of a room.
    Room(u64),
    /// All connections of a user.
    User(UserId),
    /// Whoever looks at this tile of the main board.
    Tile(u32),
    /// One connection: the process that has it, and which one it is there.
    Connection(u32, SessionId),
}

impl Group {
    /// Reads what `Display` has written, and nothing else.
    pub fn read(text: &str) -> Option<Self> {
        let (kind, id) = text.split_once(':')?;
        match kind {
            "team" => sixteen_digits(id).map(Self::Team),
            "room" => sixteen_digits(id).map(Self::Room),
            "user" => UserId::read(id).map(Self::User),
            "tile" => {
                let tile = id.parse().ok()?;
                Some(Self::Tile(tile)).filter(|tile| tile.to_string() == text)
            }
            "conn" => {
                let (process, session) = SessionId::read(id)?;
                let process = u32::from_str_radix(process, 16).ok()?;
                Some(Self::Connection(process, session)).filter(|group| group.to_string() == text)
            }
            _ => None,
        }
    }

    /// Its kind, as metrics and addresses have it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Team(_) => "team",
            Self::Room(_) => "room",
            Self::User(_) => "user",
            Self::Tile(_) => "tile",
            Self::Connection(..) => "conn",
        }
    }

    /// Whether a client joins it, and hears each message from then on once and in order.
    pub fn is_joined(self) -> bool {
        matches!(self, Self::Team(_) | Self::Room(_))
    }

    /// Whether its messages are numbered and kept. Those to a connection end with it.
    pub fn is_kept(self) -> bool {
        !matches!(self, Self::Connection(..))
    }
}

fn sixteen_digits(text: &str) -> Option<u64> {
    let is_plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| is_plain)
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Team(id) => write!(f, "team:{id:016x}"),
            Self::Room(id) => write!(f, "room:{id:016x}"),
            Self::User(id) => write!(f, "user:{id}"),
            Self::Tile(tile) => write!(f, "tile:{tile}"),
            Self::Connection(process, session) => {
                write!(f, "conn:{process:08x}-{}", session.number())
            }
        }
    }
}

/// Which numbering of a group's messages an offset belongs to. Another one whenever offsets begin again; never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Reads what `Display` has written.
    pub fn read(text: &str) -> Option<Self> {
        sixteen_digits(text).filter(|number| *number != 0).map(Self)
    }
}

impl fmt::Display for Epoch {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The place of a message among those of its group, or of a group's last message; offset 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The numbering.
    pub epoch: Epoch,
    /// The number in it: 1, 2, 3, …
    pub offset: u64,
}

/// A message that is to be published.
#[derive(Debug, Clone)]
pub struct Draft {
    /// For whom.
    pub group: Group,
    /// From whom.
    pub sender: UserId,
    /// Chosen by the sender: publishing it again within [`KEPT_MS`] changes nothing.
    pub id: String,
    /// What is delivered, as others made it; at most [`PAYLOAD_BYTES_MAX`].
    pub payload: Bytes,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its place.
    pub position: Position,
    /// It had been published before, and was not again.
    pub is_duplicate: bool,
}

/// A message that was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// For whom.
    pub group: Group,
    /// Its place.
    pub position: Position,
    /// When it was published, in ms since 1970; by one clock for all messages of a group.
    pub at_ms: u64,
    /// As it was drafted.
    pub payload: Bytes,
}

/// What is kept of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The last message of the group.
    pub last: Position,
    /// Those after the position that was asked for, or all that are kept, in order and up to the last.
    pub messages: Vec<Arc<Message>>,
    /// Whether these are all that were published after that position.
    pub is_complete: bool,
}

/// What a node hears.
#[derive(Debug, Clone)]
pub enum Heard {
    /// Some node, maybe this one, has published this.
    Message(Arc<Message>),
    /// Messages to groups of this part may have been missed, or were renumbered: what is kept tells.
    Missed(u8),
    /// Who is present in a group has changed on some node.
    Presence(Group),
}

/// Parts in which groups are kept apart: what happens to one leaves the others alone.
pub const PARTS: u8 = 16;

/// The part of a group, the same on all nodes and for all time: FNV-1a of its name.
pub fn part_of(group: Group) -> u8 {
    let hash = group.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % u64::from(PARTS)) as u8
}

/// How messages reach every node.
pub trait Channels: Send + Sync + 'static {
    /// Publishes a message: ready when it has its place.
    ///
    /// # Errors
    /// If it was not published, or it is not known whether it was. Publishing it again under its id is safe.
    fn publish(&self, draft: Draft) -> BoxFuture<Result<Published, StoreError>>;

    /// What is kept of a group after a position, or all that is kept.
    ///
    /// # Errors
    /// If what keeps it is away.
    fn history(
        &self,
        group: Group,
        after: Option<Position>,
    ) -> BoxFuture<Result<History, StoreError>>;

    /// Says which users are present in a group on this node, for at least 15 s from now, and returns those who are
    /// present on any. Each user once, in order.
    ///
    /// # Errors
    /// If what keeps it is away.
    fn present(
        &self,
        group: Group,
        here: Vec<UserId>,
    ) -> BoxFuture<Result<Vec<UserId>, StoreError>>;

    /// Everything heard from now on. A listener that falls behind has missed something of every part.
    fn listen(&self) -> broadcast::Receiver<Heard>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_as_it_is_written_and_in_no_other_spelling() {
        for text in [
            "team:00000000000000ff",
            "room:0123456789abcdef",
            "user:00000000000000ff",
            "tile:0",
            "tile:9999",
            "conn:00ab12cd-17",
        ] {
            assert_eq!(Group::read(text).expect(text).to_string(), text);
        }
        for wrong in [
            "",
            "team",
            "team:",
            "team:ff",
            "team:00000000000000FF",
            "user:0000000000000000",
            "tile:01",
            "tile:+1",
            "tile:-1",
            "tile:4294967296",
            "conn:ab12cd-17",
            "conn:00ab12cd-017",
            "conn:00AB12CD-17",
            "moon:1",
            "team:00000000000000ff ",
        ] {
            assert_eq!(Group::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn groups_spread_over_all_parts() {
        let mut parts = [0; PARTS as usize];
        for id in 0..1600 {
            parts[usize::from(part_of(Group::Team(id)))] += 1;
        }
        assert!(parts.iter().all(|groups| (50..=150).contains(groups)), "{parts:?}");
        // Nodes of different versions have to agree on it.
        assert_eq!(part_of(Group::Team(1)), 5);
    }
}

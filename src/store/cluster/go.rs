//! The board of the older server, written in Go, as it lies in a Redis Cluster. Read only, from masters,
//! while that server goes on serving or not.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `checks_0` … `checks_9` | sorted set | 100,000,000 boxes each; members are the ids of checked boxes in decimal, so are scores |
//! | `checks_count` | string | their number, known to drift |
//!
//! The members are believed and nothing else. A set is read in its own order, a page at a time, and each
//! page begins with the last member of the one before, *wherever that is by then*. That leaves out no
//! member that was there from the start, since boxes are only ever added:
//!
//! - windows of scores would believe the scores, ask for every empty stretch of a billion ids, and have
//!   no bound where scores are equal;
//! - a cursor of ZSCAN means a place in one process' hash table, and nothing to the replica that takes
//!   over in a failover;
//! - a rank alone would skip as many members as that failover lost.

use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, RedisError};

use super::{keys::slot_of, nodes::Nodes, trouble::Trouble};

/// Boxes of the older server's board.
pub const BOXES: u32 = 1_000_000_000;

/// Its sorted sets.
const SETS: u32 = 10;

/// Boxes in each of them.
const BOXES_PER_SET: u32 = BOXES / SETS;

/// Its counter.
const COUNTER: &str = "checks_count";

/// Members in one answer: a millisecond or two of Redis' time, 130 KB.
const PAGE: i64 = 10_000;

/// Longest time for one answer: longer than a failover.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a set is begun anew because the member to go on from has vanished.
const ATTEMPTS: u32 = 5;

/// Illegal members that are shown.
const EXAMPLES: usize = 8;

/// Why a board of the older server could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GoError {
    /// A key of that name is something else.
    #[error(
        "{key} is no {wanted} there, so this is not the older server's board: name its cluster with \
         --source ({error})"
    )]
    WrongType {
        /// The key.
        key: String,
        /// What it should be.
        wanted: &'static str,
        /// What Redis says.
        error: RedisError,
    },
    /// None of its keys is there.
    #[error(
        "no board of an older server is there, neither checks_0 to checks_9 nor checks_count: name its \
         cluster with --source"
    )]
    Nothing,
    /// Somebody removes members.
    #[error("{0} loses members as fast as it is read: is it being emptied?")]
    Shrinking(String),
    /// Redis.
    #[error("{0}: {1}")]
    Redis(String, Trouble),
}

/// What is there.
pub struct GoBoard {
    nodes: Nodes,
    sizes: Vec<u64>,
    /// What the counter says, if it is there.
    pub counter: Option<Vec<u8>>,
}

/// Members that are no box of their set.
#[derive(Debug, Default)]
pub struct Illegal {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// What was read.
pub struct Members {
    /// One bit per box, in the order of the wire: 125 MB, of which untouched pages take nothing.
    pub bits: Vec<u8>,
    /// Members read, illegal ones included.
    pub count: u64,
    /// Those that were passed over.
    pub illegal: Illegal,
}

impl GoBoard {
    /// Looks for the board's keys, and whether they are what they should be.
    pub async fn find(nodes: Nodes) -> Result<Self, GoError> {
        let mut board = Self { nodes, sizes: Vec::new(), counter: None };
        for set in 0..SETS {
            let key = name(set);
            let mut size = redis::cmd("ZCARD");
            board.sizes.push(board.ask(&key, "sorted set", size.arg(&key)).await?);
        }
        let mut counter = redis::cmd("GET");
        board.counter = board.ask(COUNTER, "string", counter.arg(COUNTER)).await?;
        if board.counter.is_none() && board.size() == 0 {
            return Err(GoError::Nothing);
        }
        Ok(board)
    }

    /// Members there were when it was found.
    pub fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }

    /// Reads all members; `told` is told how many so far.
    pub async fn read(&self, told: &mut dyn FnMut(u64)) -> Result<Members, GoError> {
        let bits = vec![0; (BOXES / 8) as usize];
        let mut members = Members { bits, count: 0, illegal: Illegal::default() };
        for set in 0..SETS {
            self.read_set(set, &mut members, told).await?;
        }
        Ok(members)
    }

    async fn read_set(
        &self,
        set: u32,
        members: &mut Members,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), GoError> {
        for _ in 0..ATTEMPTS {
            let (mut count, mut illegal) = (0, Illegal::default());
            let mut last: Option<Vec<u8>> = None;
            let whole = loop {
                let Some(page) = self.page(set, last.as_deref()).await? else { break false };
                for member in &page {
                    match box_of(member, set) {
                        Some(id) => set_bit(&mut members.bits, id),
                        None => illegal.add(member),
                    }
                }
                count += page.len() as u64;
                told(members.count + count);
                match page.into_iter().next_back() {
                    Some(member) => last = Some(member),
                    None => break true,
                }
            };
            // Bits of an attempt that broke off may stay: their members have been there.
            if whole {
                members.count += count;
                members.illegal.join(illegal);
                return Ok(());
            }
        }
        Err(GoError::Shrinking(name(set)))
    }

    /// The members after `last`, some of them; `None` if that is gone.
    async fn page(&self, set: u32, last: Option<&[u8]>) -> Result<Option<Vec<Vec<u8>>>, GoError> {
        let key = name(set);
        let Some(last) = last else { return Ok(Some(self.range(&key, 0, PAGE).await?)) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut find = redis::cmd("ZRANK");
            let rank: Option<i64> = self.ask(&key, "sorted set", find.arg(&key).arg(last)).await?;
            let Some(rank) = rank else { return Ok(None) };
            let mut page = self.range(&key, rank, PAGE + 1).await?;
            // Others may have been added before it in between: then that is the page before.
            if page.first().is_some_and(|first| first == last) {
                page.remove(0);
                return Ok(Some(page));
            }
            if Instant::now() > deadline {
                return Err(GoError::Shrinking(key));
            }
        }
    }

    async fn range(&self, key: &str, first: i64, count: i64) -> Result<Vec<Vec<u8>>, GoError> {
        let mut range = redis::cmd("ZRANGE");
        self.ask(key, "sorted set", range.arg(key).arg(first).arg(first + count - 1)).await
    }

    async fn ask<T: FromRedisValue>(
        &self,
        key: &str,
        wanted: &'static str,
        command: &Cmd,
    ) -> Result<T, GoError> {
        let answer = self.nodes.command(slot_of(key), Instant::now() + PATIENCE, command).await;
        let read = answer.and_then(|answer| Ok(redis::from_redis_value(answer)?));
        read.map_err(|problem: Trouble| match problem {
            Trouble::Redis(error) if error.code() == Some("WRONGTYPE") => {
                GoError::WrongType { key: key.to_owned(), wanted, error }
            }
            problem => GoError::Redis(key.to_owned(), problem),
        })
    }
}

impl Illegal {
    fn add(&mut self, member: &[u8]) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(member.escape_ascii().to_string());
        }
    }

    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.examples.extend(other.examples);
        self.examples.truncate(EXAMPLES);
    }
}

fn name(set: u32) -> String {
    format!("checks_{set}")
}

/// The box that `member` of a set is, if it is one of that set. Another set's box was never shown to
/// anybody, since the older server looks for it there.
fn box_of(member: &[u8], set: u32) -> Option<u32> {
    let plain = member.iter().all(u8::is_ascii_digit) && !member.starts_with(b"0");
    let id: u32 = std::str::from_utf8(member).ok().filter(|_| plain)?.parse().ok()?;
    ((1..=BOXES).contains(&id) && (id - 1) / BOXES_PER_SET == set).then_some(id)
}

fn set_bit(bits: &mut [u8], id: u32) {
    let index = id - 1;
    bits[(index / 8) as usize] |= 1 << (index % 8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_box_only_if_the_older_server_would_show_it() {
        assert_eq!(box_of(b"1", 0), Some(1));
        assert_eq!(box_of(b"100000000", 0), Some(100_000_000));
        assert_eq!(box_of(b"100000001", 1), Some(100_000_001));
        assert_eq!(box_of(b"1000000000", 9), Some(1_000_000_000));
        for (member, set) in [
            (&b"0"[..], 0),
            (b"", 0),
            (b"abc", 0),
            (b"+1", 0),
            (b"01", 0),
            (b"1.0", 0),
            (b"1", 1),
            (b"100000001", 0),
            (b"1000000001", 9),
            (b"1000000001", 10),
            (b"4294967297", 0),
            (b"\xFF", 0),
        ] {
            assert_eq!(box_of(member, set), None, "{}", member.escape_ascii());
        }
    }
}

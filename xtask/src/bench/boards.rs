//! Boards in Redis seen from outside: filled to the last box, and removed.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::redis::{Connection, RedisCluster, Reply, slot_of};

/// Two and a half megabytes go to a busy disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who serves which slot, as long as nobody fails.
#[derive(Debug, Clone)]
pub struct Routes(Vec<SocketAddr>);

impl Routes {
    /// Asks the cluster.
    pub fn ask(redis: &RedisCluster) -> Result<Self> {
        let node = redis.nodes().iter().find(|node| node.is_running()).context("nobody runs")?;
        let mut routes = vec![None; usize::from(crate::redis::SLOTS)];
        for member in node.members()?.iter().filter(|member| member.is_master()) {
            let address = member.address.parse().context("a master's address")?;
            for slot in member.slots.iter().cloned().flatten() {
                routes[usize::from(slot)] = Some(address);
            }
        }
        let routes: Option<_> = routes.into_iter().collect();
        Ok(Self(routes.context("a slot has no master")?))
    }

    /// The master of a key.
    pub fn of(&self, key: &str) -> SocketAddr {
        self.0[usize::from(slot_of(key))]
    }
}

/// Connections to masters, each made when it is needed.
#[derive(Debug)]
pub struct Client {
    routes: Routes,
    connections: BTreeMap<SocketAddr, Connection>,
}

impl Client {
    /// No connection yet.
    pub fn new(routes: Routes) -> Self {
        Self { routes, connections: BTreeMap::new() }
    }

    /// One command about `key` to its master; a refusal is an error.
    pub fn call<W: AsRef<[u8]>>(&mut self, key: &str, words: &[W]) -> Result<Reply> {
        let address = self.routes.of(key);
        let connection = match self.connections.entry(address) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(missing) => missing.insert(Connection::open(address, PATIENCE)?),
        };
        connection.call(words)?.accepted()
    }
}

/// The keys of a board, by name and number of key ranges.
struct Keys {
    record: String,
    /// Bits, state and credits of each key range.
    ranges: Vec<[String; 3]>,
}

fn keys(client: &mut Client, board: &str) -> Result<Keys> {
    let record = format!("billion:{{{board}}}:board");
    let shards = client.call(&record, &["HGET", &record, "shards"])?.integer();
    let shards = shards.with_context(|| format!("no board {board}"))?;
    let key = |shard, what| format!("billion:{{{board}:{shard}}}:{what}");
    let ranges = (0..shards).map(|shard| ["bits", "state", "credits"].map(|what| key(shard, what)));
    let ranges = ranges.collect();
    Ok(Keys { record, ranges })
}

/// Checks every box of a board that no node serves just now.
pub fn fill(routes: &Routes, board: &str, boxes: u32) -> Result<()> {
    ensure!(boxes.is_multiple_of(8), "only whole bytes can be filled");
    let mut client = Client::new(routes.clone());
    let mut filled = 0;
    for [bits, state, _] in keys(&mut client, board)?.ranges {
        let length = client.call(&bits, &["STRLEN", &bits])?.integer()?;
        let ones = vec![0xFF; length as usize];
        client.call(&bits, &[b"SETRANGE".as_slice(), bits.as_bytes(), b"0", &ones])?;
        let count = (length * 8).to_string();
        // Another history than before, so another tail.
        let words = ["HSET", &state, "count", &count, "tail", "ffffffffffffffff"];
        client.call(&state, &words)?;
        filled += length * 8;
    }
    ensure!(filled == i64::from(boxes), "{filled} of {boxes} boxes are in Redis");
    Ok(())
}

/// Removes a board that no node serves any more.
pub fn remove(routes: &Routes, board: &str) -> Result<()> {
    let mut client = Client::new(routes.clone());
    let Keys { record, ranges } = keys(&mut client, board)?;
    for [bits, state, credits] in ranges {
        client.call(&bits, &["UNLINK", &bits, &state, &credits])?;
    }
    client.call(&record, &["UNLINK", &record])?;
    Ok(())
}

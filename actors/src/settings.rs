//! The bounds and timings of every kind of actor.

use std::time::Duration;

use crate::{deflate::Level, live::LiveSettings};

/// The bounds and timings of every actor of a node.
#[derive(Debug, Clone, Copy)]
pub struct NodeSettings {
    /// Of sessions.
    pub session: SessionSettings,
    /// Of shards.
    pub shards: ShardSettings,
    /// Of the broadcaster.
    pub broadcaster: BroadcasterSettings,
    /// Of hubs.
    pub hub: HubSettings,
    /// Those that may change, as they are at the start.
    pub live: LiveSettings,
}

/// How sessions treat their clients.
#[derive(Debug, Clone, Copy)]
pub struct SessionSettings {
    /// Messages that may wait in a session's mailbox; full: the session counts as lagging.
    pub mailbox: usize,
    /// Output waiting above the kernel's buffer; above: updates are dropped, the session lags.
    pub outbox_bytes: usize,
    /// Size of the kernel's send buffer (SO_SNDBUF).
    pub send_buffer_bytes: usize,
    /// Size of the one read buffer that the sessions of a worker share.
    pub read_buffer_bytes: usize,
    /// Range requests not yet answered and written; at the limit: the socket is not read.
    pub ranges_outstanding: usize,
    /// Own checks of a `v=2` session not yet answered; at the limit: the socket is not read.
    pub checks_outstanding: usize,
}

/// How shards work.
#[derive(Debug, Clone, Copy)]
pub struct ShardSettings {
    /// Threads that the shards share.
    pub threads: usize,
    /// Messages that may wait in one shard's mailbox; full: the session stops reading its socket.
    pub mailbox: usize,
    /// Under load time between two deliveries of checks from a worker to its shards; the first check after
    /// quiet goes at once, and with 0 all do.
    pub gather: Duration,
    /// Checks one shard may have taken in and not passed on; full: the session stops reading.
    pub queue_checks: usize,
    /// Most checks in one commit.
    pub commit_checks: usize,
    /// How hard answers are compressed, for those who understand that.
    pub compression: Level,
}

/// How a node announces.
#[derive(Debug, Clone, Copy)]
pub struct BroadcasterSettings {
    /// Messages that may wait; full: shards keep what they have flipped and pause.
    pub mailbox: usize,
    /// Time between the beginnings of two flushes under load, on average, or a twentieth less. A full batch does
    /// not wait for it.
    pub interval: Duration,
    /// Under load a flush begins so long after the first news for it: the shards speak of one tick a moment apart,
    /// and who was too late for the flush would wait for another one. Timers round this up to a millisecond or two.
    pub gather: Duration,
    /// Updates and answers gathered for one flush; full: flushed without waiting for the interval,
    /// and the mailbox is left alone until the flush before it is out.
    pub batch_updates: usize,
    /// Time between two pulses: [`PULSE_INTERVAL`], except in tests.
    pub pulse_interval: Duration,
}

/// Time between two pulses as the protocol has it: about once a second.
pub const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// How a hub treats its sessions.
#[derive(Debug, Clone, Copy)]
pub struct HubSettings {
    /// Messages that may wait; full: a joining session and the broadcaster's flush wait.
    pub mailbox: usize,
}

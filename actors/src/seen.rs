//! What operators see of a session: plain data, as it was at one moment.

use std::net::IpAddr;

use crate::{
    player::{Address, SessionId, UserId},
    protocol::Version,
};

/// A session as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id in this process.
    pub session: SessionId,
    /// Where it comes from, exactly.
    pub ip: IpAddr,
    /// The same as far as it is counted.
    pub address: Address,
    /// Who it is, if it has said so.
    pub user: Option<UserId>,
    /// The name of its board.
    pub board: String,
    /// Which protocol it speaks.
    pub version: Version,
    /// Whether its messages may be compressed.
    pub takes_compressed: bool,
    /// Seconds since it began.
    pub age_s: u32,
    /// Seconds since its client was last heard.
    pub silent_s: u32,
    /// Bytes that wait for its socket.
    pub outbox_bytes: usize,
    /// Whether its client does not drain, so that updates are dropped.
    pub is_lagging: bool,
    /// The tiles that a `v=2` client looks at, in their order.
    pub tiles: Vec<u32>,
    /// Own checks of a `v=2` client that have no answer yet.
    pub unanswered: usize,
    /// Checks that its own rate lets through now; `None`: any number.
    pub checks_left: Option<u64>,
    /// The same of range requests.
    pub ranges_left: Option<u64>,
}

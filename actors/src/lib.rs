//! The game: boards of checkboxes, the shards that hold them and the sessions that play on them.
//!
//! All state and behaviour live here; Redis, HTTP routes and settings files do not. The modules in
//! the order a check meets them:
//!
//! ```text
//! socket ─▶ session ─▶ courier ─▶ shard ─▶ store ─▶ ledger.learn ─▶ broadcaster ─▶ hub ─▶ session
//!                                                                                   ─▶ socket
//! ```
//!
//! - [`board`] is geometry, [`protocol`] is bytes, [`messages`] and [`wires`] are who tells whom what.
//! - A [`session`] owns one socket. It sends checks and range requests to the [`shard`] of the box.
//! - A shard owns the bits of one key range. It commits checks in groups to the [`store`] and only
//!   then flips their bits and tells the [`broadcaster`].
//! - The broadcaster numbers flips, encodes a batch once and hands it to the board's hub on each [`worker`]
//!   thread, which hands it to that thread's sessions.
//! - A [`table`] is a board in play, with its shards and its broadcaster; a [`node`] has one or more of them, and each
//!   HTTP [`worker`] thread a desk for each. [`stats`] counts; [`live`] has the settings that may change
//!   meanwhile; [`operator`] copies a board in use.
//!
//! A box goes from unchecked to checked once, so the board is a grow-only set: merging is OR,
//! repeating is harmless, order does not matter. Every queue is bounded, with its overflow action
//! written beside its capacity.

mod billboard;
pub mod board;
pub mod protocol;
pub mod deflate;
pub mod trace;
pub mod messages;
pub mod link;
pub mod wires;
pub mod limits;
pub mod player;
pub mod seen;
pub mod seats;
pub mod live;
pub mod rules;
pub mod settings;
pub mod session;
pub mod shard;
pub mod store;
pub mod bus;
pub mod channels;
pub mod interest;
pub mod talk;
pub mod broadcaster;
pub mod worker;
pub mod stats;
pub mod recent;
pub mod clock;
pub mod vital;
pub mod table;
pub mod node;
pub mod operator;
mod interval;
pub mod waiters;
#[cfg(feature = "faults")]
pub mod faults;

#[cfg(test)]
mod tests;

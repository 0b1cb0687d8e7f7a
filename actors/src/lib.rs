//! The game: one board of checkboxes, the shards that hold it and the sessions that play on it.

pub mod board;
pub mod stats;
pub mod store;

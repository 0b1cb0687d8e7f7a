//! The durable copies a board can have: implementations of the port `actors::store::Store`.
//!
//! Nothing here flips a box or counts one. A store is loaded once, makes batches durable, and
//! reports what it learns by itself.

pub mod embedded;
pub mod cluster;

#[cfg(test)]
mod contract;

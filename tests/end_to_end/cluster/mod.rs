//! Many nodes, one board: real Redis Clusters and what may happen to them.

mod access;
mod faults;
mod limits;
#[cfg(feature = "faults")]
mod guards;
mod losses;
mod page;
mod play;
mod releases;
mod replicas;
pub mod world;

//! Many nodes, one board: real Redis Clusters and what may happen to them.

mod faults;
mod play;
mod review;
pub mod world;

//! What the binary can be told to do, one file each.

pub mod serve;
pub mod health;

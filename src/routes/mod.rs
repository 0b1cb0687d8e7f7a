//! Everything the server answers over plain HTTP, on its two listeners.

pub mod backup;
pub mod health;
pub mod metrics;
pub mod page;

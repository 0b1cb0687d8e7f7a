//! Everything the server answers over plain HTTP, on its two listeners.

pub mod assets;
pub mod backup;
pub mod encoded;
pub mod health;
pub mod methods;
pub mod metrics;
pub mod missing;
pub mod overview;
pub mod page;
pub mod query;

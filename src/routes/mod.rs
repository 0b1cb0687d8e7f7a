//! What players' listener answers over plain HTTP, and health, which both listeners answer.

pub mod assets;
pub mod encoded;
pub mod files;
pub mod headers;
pub mod health;
pub mod methods;
pub mod missing;
pub mod overview;
pub mod page;
pub mod query;

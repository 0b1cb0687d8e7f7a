//! What the project's commands share with its end-to-end tests: benchmarks, Redis Clusters of local
//! processes, and the promise that none of them is ever left behind.
//!
//! The commands themselves are in `main.rs`, so that changing one does not rebuild the tests.

pub mod bench;
pub mod guardian;
pub mod http;
pub mod mariadb;
pub mod postgres;
pub mod process;
pub mod redis;

//! The tables, as rows of Rust. Made by [`migrations`](super::migrations), which has their types and keys.

pub mod player;
pub mod account;
pub mod team;
pub mod team_member;
pub mod room;
pub mod room_member;
pub mod counter;
pub mod revocation;
pub mod credit;
pub mod day_total;
pub mod team_day_total;
pub mod report;

//! People: who somebody is, and what belongs to it (`docs/PEOPLE.md`). The board owes nothing to any of this.

pub mod cookie;
pub mod keys;
pub mod identity;
pub mod model;
pub mod repository;
pub mod names;
pub mod passwords;
pub mod attempts;
pub mod accounts;
pub mod groups;

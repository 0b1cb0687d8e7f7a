//! People: who somebody is, and what belongs to it (`docs/PEOPLE.md`). The board owes nothing to any of this.

pub mod credits;
pub mod cookie;
pub mod keys;
pub mod identity;

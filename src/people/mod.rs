//! People: who somebody is, and what belongs to it (`docs/PEOPLE.md`). The board owes nothing to any of this.

pub mod keys;
pub mod keyring;
pub mod identity;
pub mod cookie;
pub mod revoked;

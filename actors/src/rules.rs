//! Which checks a board takes.

use std::fmt;

use crate::{
    board::BoxId,
    protocol::{Close, Refusal},
};

/// Why a check is not even asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forbidden {
    /// Nothing may be checked.
    ReadOnly,
    /// This box is set aside.
    Reserved,
}

impl Forbidden {
    /// What a `v=2` client is told.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::ReadOnly => Refusal::ReadOnly,
            Self::Reserved => Refusal::Reserved,
        }
    }

    /// How a plain client's connection ends.
    pub fn close(self) -> Close {
        match self {
            Self::ReadOnly => Close::READ_ONLY,
            Self::Reserved => Close::RESERVED,
        }
    }
}

/// Asked for each check before it leaves its session, on that session's thread: answers from memory, at once.
pub trait Rules: fmt::Debug + Send + Sync + 'static {
    /// Why the board does not take a check of this box, if it does not.
    fn forbid(&self, id: BoxId) -> Option<Forbidden>;
}

/// Every box may be checked by everybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Free;

impl Rules for Free {
    fn forbid(&self, _: BoxId) -> Option<Forbidden> {
        None
    }
}

/// Nobody may check anything (any more).
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOnly;

impl Rules for ReadOnly {
    fn forbid(&self, _: BoxId) -> Option<Forbidden> {
        Some(Forbidden::ReadOnly)
    }
}

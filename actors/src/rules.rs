//! Which checks a board takes.

use std::fmt;

use crate::{board::BoxId, protocol::Refusal};

/// Asked for each check before it leaves its session, on that session's thread: answers from memory, at once.
pub trait Rules: fmt::Debug + Send + Sync + 'static {
    /// Why the board does not take a check of this box, if it does not: [`Refusal::ReadOnly`] or
    /// [`Refusal::Reserved`].
    fn refuses(&self, id: BoxId) -> Option<Refusal>;
}

/// Every box may be checked by everybody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Free;

impl Rules for Free {
    fn refuses(&self, _: BoxId) -> Option<Refusal> {
        None
    }
}

/// Nobody may check anything (any more).
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOnly;

impl Rules for ReadOnly {
    fn refuses(&self, _: BoxId) -> Option<Refusal> {
        Some(Refusal::ReadOnly)
    }
}

//! Checks that shards have refused, on their way to the session that sent them.
//!
//! Shared memory instead of messages, because one store that is down refuses thousands of checks of one
//! session at once. As messages they overflowed its mailbox; the session lagged, asked for every unanswered
//! check again, and all of those were refused once more.
//!
//! Bounded by the checks that the session has under way, each of which is refused once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{board::BoxId, protocol::Refusal};

/// Refused checks of one session that it has not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<Vec<(BoxId, Refusal)>>);

impl Refused {
    /// Adds a check; whether it is the first one since the session looked.
    pub(super) fn add(&self, id: BoxId, reason: Refusal) -> bool {
        let mut refused = self.lock();
        refused.push((id, reason));
        refused.len() == 1
    }

    /// Takes all of them out, in the order in which they were refused.
    pub(super) fn take(&self) -> Vec<(BoxId, Refusal)> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(BoxId, Refusal)>> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

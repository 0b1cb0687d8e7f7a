//! What both stores share about credits: which day it is, and which counters this process has changed.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actors::store::credits::{ChangedCredits, CreditKey, CreditRange, Day};

/// Asks for the day of now.
pub type Today = fn() -> Day;

/// Changed counters that are remembered until somebody collects them: 2^17 of 24 bytes are 4 MB with the tree around
/// them. Full: further ones are forgotten, and the collector has to read all counters.
const REMEMBERED: usize = 1 << 17;

/// Counters that commits of this process have changed and nobody has collected.
#[derive(Debug, Default)]
pub struct Changed(Mutex<ChangedCredits>);

impl Changed {
    /// A commit has changed these counters of a range, or may have. To be called after the commit: whoever reads a
    /// counter when it is noted must find the commit in it.
    pub fn note(&self, range: CreditRange, keys: impl IntoIterator<Item = CreditKey>) {
        let mut changed = self.lock();
        for key in keys {
            if changed.keys.len() < REMEMBERED {
                changed.keys.insert((range, key));
            } else if !changed.keys.contains(&(range, key)) {
                changed.is_cut = true;
            }
        }
    }

    /// What was noted since the last call.
    pub fn take(&self) -> ChangedCredits {
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, ChangedCredits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use actors::player::UserId;

    use super::*;

    #[test]
    fn more_than_is_remembered_is_said_to_be_missing() {
        let changed = Changed::default();
        let key = |number| CreditKey { day: Day(1), user: UserId::new(number).expect("legal") };
        changed.note(CreditRange(0), (1..=REMEMBERED as u64).map(key));
        changed.note(CreditRange(0), [key(7)]);
        assert!(!changed.lock().is_cut, "it was there");
        changed.note(CreditRange(1), [key(7)]);
        let taken = changed.take();
        assert_eq!((taken.keys.len(), taken.is_cut), (REMEMBERED, true));
        assert_eq!(changed.take(), ChangedCredits::default());
    }
}

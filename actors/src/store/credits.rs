//! Credits: how many boxes a user was the first to check, counted by day beside the boxes themselves.
//!
//! A store adds to a counter in the very transaction or script that makes a box durable, and only for a box that
//! was not durable before. So a credit is never concluded from an answer that may be lost or repeated. Counters
//! only grow, until their day is over and they are forgotten: to read one twice, or from an old copy, does no harm.

use std::collections::BTreeSet;

use super::{BoxFuture, StoreError};
use crate::player::UserId;

/// A day in UTC: whole days since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u32);

impl Day {
    /// The day of a moment, in milliseconds since 1970.
    pub fn of_ms(ms: u64) -> Self {
        Self(u32::try_from(ms / 86_400_000).unwrap_or(u32::MAX))
    }

    /// The day that was so many days before; never one before 1970.
    #[must_use]
    pub fn before(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

/// Names a counter within its range. Days come first, so that those to be forgotten lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreditKey {
    /// When the boxes were checked.
    pub day: Day,
    /// Who checked them.
    pub user: UserId,
}

/// A part of the board whose counters lie together. A user's credits of a day are the sum over all ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreditRange(pub u32);

/// A counter and its value.
pub type Counted = (CreditKey, u64);

/// How far the counters of a range have been read; what it says is the store's business. The default begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreditCursor(pub u128);

/// Some counters of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreditPage {
    /// Those found. A counter may come more than once, with the same or a greater value.
    pub counted: Vec<Counted>,
    /// Where to go on; `None`: that was all.
    pub next: Option<CreditCursor>,
}

/// Counters that commits of this node have changed, or may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangedCredits {
    /// Those that are known.
    pub keys: BTreeSet<(CreditRange, CreditKey)>,
    /// Whether more were changed than are remembered: only reading all of them finds those.
    pub is_cut: bool,
}

/// The counters of a store, for who collects them.
pub trait Credits: Send + Sync + 'static {
    /// How many ranges there are: 0 and those after it.
    fn credit_ranges(&self) -> u32;

    /// The counters that commits of this process may have changed since this was last called. A commit whose outcome
    /// is not known counts; if it arrives later still, only reading all counters finds it.
    fn changed_credits(&self) -> ChangedCredits;

    /// The values of some counters, in the order of `keys`; 0 for one that does not exist.
    fn credits(
        &self,
        range: CreditRange,
        keys: Vec<CreditKey>,
    ) -> BoxFuture<Result<Vec<u64>, StoreError>>;

    /// Reads all counters of a range, some at a time. Those that exist all the time are found; of those that come or
    /// change meanwhile, some may not be.
    fn all_credits(
        &self,
        range: CreditRange,
        from: CreditCursor,
    ) -> BoxFuture<Result<CreditPage, StoreError>>;

    /// Removes counters, each unless it has changed since it had the value given. How many were removed.
    fn forget_credits(
        &self,
        range: CreditRange,
        counted: Vec<Counted>,
    ) -> BoxFuture<Result<u64, StoreError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let day = 86_400_000;
        assert_eq!([0, day - 1, day, 20_000 * day + 5].map(Day::of_ms), [0, 0, 1, 20_000].map(Day));
        assert_eq!((Day(2).before(1), Day(2).before(3)), (Day(1), Day(0)));
    }
}

//! Token buckets: how fast somebody may ask. Plain arithmetic, time comes in as `now`.
//!
//! A bucket is stored as the one instant at which it will be full again (the virtual scheduling
//! form of GCRA, ITU-T I.371), so an idle connection pays eight bytes and no refill timer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The rate and burst that all buckets of one kind share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Nanoseconds one token takes to grow; 0 means unlimited.
    token_ns: u64,
    /// Nanoseconds an empty bucket takes to fill.
    burst_ns: u64,
}

impl Rate {
    /// `per_second` tokens a second, at most `burst` saved up. A rate of 0 means no limit.
    pub fn new(per_second: f64, burst: u32) -> Self {
        if per_second <= 0.0 {
            return Self { token_ns: 0, burst_ns: 0 };
        }
        let token_ns = ((1e9 / per_second).round() as u64).max(1);
        Self { token_ns, burst_ns: token_ns.saturating_mul(u64::from(burst.max(1))) }
    }
}

/// Tokens of one kind: of a connection, or shared by all who hold it.
#[derive(Debug, Default)]
pub struct TokenBucket {
    full_at_ns: AtomicU64,
}

impl TokenBucket {
    /// Takes a token at `now_ns`, or says how long until there is one. Of several who ask at once each gets its own.
    pub fn take(&self, rate: Rate, now_ns: u64) -> Result<(), Duration> {
        let mut missing = 0;
        let take = |full_at_ns: u64| {
            // A bucket that was emptied at another rate lacks no more than all it holds at this one.
            let base = full_at_ns.clamp(now_ns, now_ns.saturating_add(rate.burst_ns));
            let full_at = base.saturating_add(rate.token_ns);
            missing = (full_at - now_ns).saturating_sub(rate.burst_ns);
            Some(if missing > 0 { base } else { full_at })
        };
        // Nothing else is read or written by its order.
        let taken = self.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        debug_assert!(taken.is_ok(), "there is always a next value");
        if missing > 0 { Err(Duration::from_nanos(missing)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_the_next_waits_for_exactly_one_token() {
        let rate = Rate::new(10.0, 20);
        let bucket = TokenBucket::default();
        for _ in 0..20 {
            assert_eq!(bucket.take(rate, 5 * S), Ok(()));
        }
        assert_eq!(bucket.take(rate, 5 * S), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(rate, 5 * S + S / 10 - 1), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.take(rate, 5 * S + S / 10), Ok(()));
        assert!(bucket.take(rate, 5 * S + S / 10).is_err());
    }

    #[test]
    fn rest_refills_up_to_the_burst_and_no_further() {
        let rate = Rate::new(10.0, 3);
        let bucket = TokenBucket::default();
        for _ in 0..3 {
            assert!(bucket.take(rate, 0).is_ok());
        }
        let later = 1_000 * S;
        let passed = (0..10).filter(|_| bucket.take(rate, later).is_ok()).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn over_time_the_rate_is_kept() {
        let rate = Rate::new(10.0, 20);
        let bucket = TokenBucket::default();
        let passed = (0..10_000).filter(|ms| bucket.take(rate, ms * S / 1000).is_ok()).count();
        assert_eq!(passed, 20 + 99, "the burst, then ten a second for ten seconds");
    }

    /// A rate may change while a connection lasts. What it owed at the old one, which may be hours, would lock it out.
    #[test]
    fn a_bucket_owes_no_more_than_it_holds_at_the_present_rate() {
        let (slow, fast) = (Rate::new(0.001, 20), Rate::new(10.0, 2));
        let bucket = TokenBucket::default();
        let taken = |bucket: &TokenBucket, rate, now| {
            (0..1000).take_while(|_| bucket.take(rate, now).is_ok()).count()
        };
        assert_eq!(taken(&bucket, slow, S), 20);
        assert_eq!(bucket.take(fast, S), Err(Duration::from_millis(100)), "empty, and no more");
        assert_eq!(taken(&bucket, fast, 2 * S), 2);
        assert_eq!(taken(&bucket, slow, 2 * S), 19, "what it lacks is next to nothing here");
        assert_eq!(taken(&bucket, Rate::new(0.0, 0), 2 * S), 1000, "no limit");
        assert_eq!(taken(&bucket, fast, 2 * S), 2, "nor anything owed");
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let bucket = TokenBucket::default();
        assert!((0..1000).all(|_| bucket.take(Rate::new(0.0, 0), 1).is_ok()));
    }

    /// A connection, an address and a user may hold one together.
    #[test]
    fn those_who_share_a_bucket_take_no_more_than_it_holds() {
        let (bucket, rate) = (TokenBucket::default(), Rate::new(1.0, 1000));
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| bucket.take(rate, S).is_ok()).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().expect("it ends")).sum()
        });
        assert_eq!(taken, 1000);
    }
}

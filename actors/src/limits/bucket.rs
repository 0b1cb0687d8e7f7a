//! One token bucket. Plain arithmetic, time comes in as `now_ns`.
//!
//! A bucket is stored as the one instant at which it will be full again (the virtual scheduling form of GCRA,
//! ITU-T I.371), so it takes eight bytes and no refill timer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::rate::Rate;

/// Longest wait for tokens that are promised before they have grown.
pub const PROMISE_MAX: Duration = Duration::from_secs(5);

const PROMISE_MAX_NS: u64 = PROMISE_MAX.as_nanos() as u64;

/// What came of asking for tokens that there are, or will be soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Nanoseconds until they are there; 0: they are.
    pub wait_ns: u64,
    /// Nanoseconds until the bucket would be full again.
    pub full_in_ns: u64,
}

impl Taken {
    /// Tokens that are left.
    pub fn left(self, rate: Rate) -> u64 {
        rate.left(self.full_in_ns)
    }

    /// Whether less than a fifth of the bucket is left.
    pub fn is_near_the_limit(self, rate: Rate) -> bool {
        self.full_in_ns > rate.burst_ns() / 5 * 4
    }
}

/// When a bucket that is full again at `full_at_ns` will be full once `tokens` are taken from it, and what is told of
/// that; or how long it takes until they could be.
///
/// `promise`: they may be taken up to [`PROMISE_MAX`] before they have grown. Whoever takes them so has them for
/// itself, and those who come later wait longer: they take turns.
pub(super) fn taken(
    full_at_ns: u64,
    rate: Rate,
    tokens: u32,
    now_ns: u64,
    promise: bool,
) -> (u64, Result<Taken, Duration>) {
    if rate.is_unlimited() {
        // Nothing is owed any more.
        return (now_ns, Ok(Taken { wait_ns: 0, full_in_ns: 0 }));
    }
    // A bucket that was emptied at another rate lacks no more than all it holds at this one, and what it promised.
    let most = now_ns.saturating_add(rate.burst_ns()).saturating_add(PROMISE_MAX_NS);
    let full_at_ns = full_at_ns.clamp(now_ns, most);
    let full_at_then = full_at_ns.saturating_add(rate.ns_of(tokens.into()));
    let full_in_ns = full_at_then - now_ns;
    // Whoever asks for more than a bucket ever holds waits until it is full.
    let holds_ns = rate.burst_ns().max(rate.ns_of(tokens.into()));
    let wait_ns = full_in_ns.saturating_sub(holds_ns);
    if wait_ns == 0 || (promise && wait_ns <= PROMISE_MAX_NS) {
        (full_at_then, Ok(Taken { wait_ns, full_in_ns }))
    } else {
        (full_at_ns, Err(Duration::from_nanos(wait_ns)))
    }
}

/// When a bucket is full of which nothing was known as the clock began. It had a single token then: a restart gives
/// nobody another burst, and the first who comes need not wait for an hour where there is one an hour.
pub(super) fn at_start(rate: Rate) -> u64 {
    rate.burst_ns().saturating_sub(rate.ns_of(1))
}

/// Tokens of one kind: of a connection, or shared by all who hold it. Full at first.
#[derive(Debug, Default)]
pub struct TokenBucket {
    full_at_ns: AtomicU64,
}

impl TokenBucket {
    /// Unless it has been used, it begins as a bucket of which nothing is known: see [`at_start`].
    pub(super) fn begin(&self, rate: Rate) {
        if self.full_at_ns.load(Ordering::Relaxed) == 0 {
            let (begun, relaxed) = (at_start(rate), Ordering::Relaxed);
            // In vain if somebody else did it meanwhile.
            let _ = self.full_at_ns.compare_exchange(0, begun, relaxed, relaxed);
        }
    }

    /// Takes `tokens` at `now_ns`, or says how long until they can be. Of several who ask at once each gets its own.
    ///
    /// # Errors
    /// If they are not there; nothing was taken.
    pub fn take(&self, rate: Rate, tokens: u32, now_ns: u64) -> Result<Taken, Duration> {
        self.change(rate, tokens, now_ns, false)
    }

    /// The same, and tokens that grow within [`PROMISE_MAX`] are taken, too: they are there after [`Taken::wait_ns`].
    ///
    /// # Errors
    /// If it would take longer; nothing was taken.
    pub fn reserve(&self, rate: Rate, tokens: u32, now_ns: u64) -> Result<Taken, Duration> {
        self.change(rate, tokens, now_ns, true)
    }

    fn change(
        &self,
        rate: Rate,
        tokens: u32,
        now_ns: u64,
        promise: bool,
    ) -> Result<Taken, Duration> {
        let mut outcome = Err(Duration::ZERO);
        // Nothing else is read or written by its order.
        let _ = self.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at_ns| {
            let (full_at_then, told) = taken(full_at_ns, rate, tokens, now_ns, promise);
            outcome = told;
            Some(full_at_then)
        });
        outcome
    }

    /// Nanoseconds until it is full.
    pub fn full_in_ns(&self, now_ns: u64) -> u64 {
        self.full_at_ns.load(Ordering::Relaxed).saturating_sub(now_ns)
    }

    /// Gives tokens back that were taken, or promised, and will not be used.
    pub fn give_back(&self, rate: Rate, tokens: u32) {
        let ns = rate.ns_of(tokens.into());
        let _ = self.full_at_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at_ns| {
            Some(full_at_ns.saturating_sub(ns))
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: u64 = 1_000_000_000;

    fn passes(bucket: &TokenBucket, rate: Rate, now_ns: u64) -> bool {
        bucket.take(rate, 1, now_ns).is_ok()
    }

    #[test]
    fn a_burst_passes_and_the_next_waits_for_exactly_one_token() {
        let rate = Rate::new(10.0, 20);
        let bucket = TokenBucket::default();
        for _ in 0..20 {
            assert!(passes(&bucket, rate, 5 * S));
        }
        assert_eq!(bucket.take(rate, 1, 5 * S), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(rate, 1, 5 * S + S / 10 - 1), Err(Duration::from_nanos(1)));
        assert!(passes(&bucket, rate, 5 * S + S / 10));
        assert!(!passes(&bucket, rate, 5 * S + S / 10));
    }

    #[test]
    fn a_bucket_says_when_it_will_be_full() {
        let (rate, bucket) = (Rate::new(10.0, 20), TokenBucket::default());
        assert_eq!(bucket.full_in_ns(5 * S), 0);
        bucket.take(rate, 15, 5 * S).expect("there are 20");
        assert_eq!(bucket.full_in_ns(5 * S), 3 * S / 2);
        assert_eq!(bucket.full_in_ns(6 * S), S / 2);
        assert_eq!(bucket.full_in_ns(7 * S), 0);
    }

    #[test]
    fn rest_refills_up_to_the_burst_and_no_further() {
        let rate = Rate::new(10.0, 3);
        let bucket = TokenBucket::default();
        for _ in 0..3 {
            assert!(passes(&bucket, rate, 0));
        }
        let later = 1_000 * S;
        let passed = (0..10).filter(|_| passes(&bucket, rate, later)).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn over_time_the_rate_is_kept() {
        let rate = Rate::new(10.0, 20);
        let bucket = TokenBucket::default();
        let passed = (0..10_000).filter(|ms| passes(&bucket, rate, ms * S / 1000)).count();
        assert_eq!(passed, 20 + 99, "the burst, then ten a second for ten seconds");
        let late = TokenBucket::default();
        let passes_late = |ms: &u64| {
            late.begin(rate);
            passes(&late, rate, ms * S / 1000)
        };
        assert_eq!((0..10_000).filter(passes_late).count(), 1 + 99, "without the burst");
    }

    /// A rate may change while a connection lasts. What it owed at the old one, which may be hours, would lock it out.
    #[test]
    fn a_bucket_owes_no_more_than_it_holds_at_the_present_rate_and_has_promised() {
        let (slow, fast) = (Rate::new(0.001, 20), Rate::new(10.0, 2));
        let bucket = TokenBucket::default();
        let taken = |bucket: &TokenBucket, rate, now| {
            (0..1000).take_while(|_| passes(bucket, rate, now)).count()
        };
        assert_eq!(taken(&bucket, slow, S), 20);
        let wait = bucket.take(fast, 1, S).expect_err("empty");
        assert_eq!(wait, PROMISE_MAX + Duration::from_millis(100));
        assert_eq!(taken(&bucket, fast, 7 * S), 2);
        assert_eq!(taken(&bucket, slow, 7 * S), 19, "what it lacks is next to nothing here");
        assert_eq!(taken(&bucket, Rate::UNLIMITED, 7 * S), 1000, "no limit");
        assert_eq!(taken(&bucket, fast, 7 * S), 2, "nor anything owed");
    }

    #[test]
    fn those_who_wait_take_turns() {
        let (bucket, rate) = (TokenBucket::default(), Rate::new(10.0, 1));
        let waits: Vec<_> =
            (0..60).map(|_| bucket.reserve(rate, 1, S).map(|taken| taken.wait_ns)).collect();
        for (place, wait) in waits.iter().take(51).enumerate() {
            assert_eq!(*wait, Ok(place as u64 * S / 10));
        }
        let too_long = Duration::from_millis(5100);
        assert!(waits[51..].iter().all(|wait| *wait == Err(too_long)), "and nothing was taken");
        bucket.give_back(rate, 1);
        assert_eq!(bucket.reserve(rate, 1, S).map(|taken| taken.wait_ns), Ok(5 * S));
    }

    #[test]
    fn what_costs_more_than_a_bucket_holds_waits_until_it_is_full_and_then_as_long() {
        let (bucket, rate) = (TokenBucket::default(), Rate::new(1000.0, 100));
        let taken = bucket.take(rate, 1000, S).expect("it was full");
        assert_eq!((taken.left(rate), taken.full_in_ns), (0, S));
        assert_eq!(bucket.take(rate, 100, S), Err(Duration::from_millis(1000)));
        assert_eq!(bucket.take(rate, 1, S), Err(Duration::from_millis(901)));
    }

    #[test]
    fn a_level_is_told_in_tokens() {
        let (bucket, rate) = (TokenBucket::default(), Rate::new(10.0, 20));
        let lefts: Vec<_> = (0..20)
            .map(|_| bucket.take(rate, 1, S).expect("a token"))
            .map(|taken| (taken.left(rate), taken.is_near_the_limit(rate)))
            .collect();
        assert_eq!(lefts[0], (19, false));
        assert_eq!(lefts[15], (4, false));
        assert_eq!(lefts[16], (3, true), "above 80 %");
        assert_eq!(lefts[19], (0, true));
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let bucket = TokenBucket::default();
        assert!((0..1000).all(|_| passes(&bucket, Rate::UNLIMITED, 1)));
    }

    /// A connection, an address and a user may hold one together.
    #[test]
    fn those_who_share_a_bucket_take_no_more_than_it_holds() {
        let (bucket, rate) = (TokenBucket::default(), Rate::new(1.0, 1000));
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| passes(&bucket, rate, S)).count()))
                .collect();
            takers.into_iter().map(|taker| taker.join().expect("it ends")).sum()
        });
        assert_eq!(taken, 1000);
    }

    proptest! {
        /// In any stretch of time, however tokens are asked for, promised and given back.
        #[test]
        fn no_stretch_of_time_sees_more_than_the_burst_and_what_grew_in_it(
            per_second in 1_u32..2000,
            burst in 1_u32..50,
            asked in prop::collection::vec((0_u64..200_000_000, 1_u32..4, any::<bool>()), 1..200),
        ) {
            let (bucket, rate) = (TokenBucket::default(), Rate::new(per_second.into(), burst));
            let (mut now, mut had) = (0, Vec::new());
            for (pause, tokens, promise) in asked {
                now += pause;
                let taken = match promise {
                    true => bucket.reserve(rate, tokens, now),
                    false => bucket.take(rate, tokens, now),
                };
                had.extend(taken.map(|taken| (now + taken.wait_ns, tokens)));
            }
            for (first, (from, _)) in had.iter().enumerate() {
                let (mut sum, mut largest) = (0, burst);
                for (at, tokens) in &had[first..] {
                    sum += u64::from(*tokens);
                    // One request may be of more than the bucket holds.
                    largest = largest.max(*tokens);
                    let grown = at.saturating_sub(*from) as f64 * f64::from(per_second) / 1e9;
                    let most = f64::from(largest) + grown + 1e-6;
                    prop_assert!(sum as f64 <= most + 1.0, "{sum} of {most} from {from} to {at}");
                }
            }
        }
    }
}

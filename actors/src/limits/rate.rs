//! How fast something may happen: tokens that grow at a steady pace, and how many may be saved up.

use std::time::Duration;

/// Nanoseconds of the longest period that a rate may be given in.
const DAY: Duration = Duration::from_secs(86_400);

/// The rate and burst that all buckets of one kind share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Picoseconds one token takes to grow, rounded up, so that rounding never gives anything away; 0 means unlimited.
    token_ps: u64,
    /// Tokens a rested bucket holds.
    burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self { token_ps: 0, burst: 0 };

    /// `per_second` tokens a second, at most `burst` saved up. A rate of 0 means no limit.
    pub fn new(per_second: f64, burst: u32) -> Self {
        if per_second <= 0.0 {
            return Self::UNLIMITED;
        }
        let token_ps = ((1e12 / per_second).ceil() as u64).max(1);
        Self { token_ps, burst: burst.max(1) }
    }

    /// `count` tokens in each `period`, which is at most a day; at most `burst` saved up. 0 tokens mean no limit.
    pub fn every(period: Duration, count: u64, burst: u32) -> Self {
        debug_assert!(period <= DAY, "picoseconds of a day fit into 64 bits");
        let period_ps = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).saturating_mul(1000);
        match count {
            0 => Self::UNLIMITED,
            count => Self { token_ps: period_ps.div_ceil(count).max(1), burst: burst.max(1) },
        }
    }

    /// Whether there is no limit.
    pub fn is_unlimited(self) -> bool {
        self.token_ps == 0
    }

    /// Tokens a rested bucket holds.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Tokens that grow in a second.
    pub fn per_second(self) -> f64 {
        if self.is_unlimited() { f64::INFINITY } else { 1e12 / self.token_ps as f64 }
    }

    /// Microseconds in which a token grows.
    pub fn token_us(self) -> f64 {
        self.token_ps as f64 / 1e6
    }

    /// Nanoseconds in which `tokens` grow.
    pub fn ns_of(self, tokens: u64) -> u64 {
        self.token_ps.saturating_mul(tokens).div_ceil(1000)
    }

    /// Nanoseconds in which an empty bucket fills.
    pub fn burst_ns(self) -> u64 {
        self.ns_of(self.burst.into())
    }

    /// Whole tokens that grow in `ns` nanoseconds.
    pub fn tokens_in(self, ns: u64) -> u64 {
        // Picoseconds of 200 days fit into 64 bits; what is more is no less.
        ns.saturating_mul(1000).checked_div(self.token_ps).unwrap_or(u64::MAX)
    }

    /// Whole tokens in a bucket that will be full in `full_in_ns` nanoseconds.
    pub fn left(self, full_in_ns: u64) -> u64 {
        self.tokens_in(self.burst_ns().saturating_sub(full_in_ns))
    }

    /// Nanoseconds until there is a token in such a bucket; 0: there is one.
    pub fn wait_ns(self, full_in_ns: u64) -> u64 {
        full_in_ns.saturating_add(self.ns_of(1)).saturating_sub(self.burst_ns())
    }

    /// So many times as fast, and as much at once.
    pub fn times(self, times: u32) -> Self {
        let token_ps = self.token_ps.div_ceil(times.max(1).into());
        Self { token_ps, burst: self.burst.saturating_mul(times) }
    }

    /// The same rate with another burst.
    pub fn with_burst(self, burst: u32) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    /// A node's share where `nodes` of them do without each other; all of it for one.
    pub fn shared_by(self, nodes: u32) -> Self {
        Self { token_ps: self.token_ps.saturating_mul(nodes.max(1).into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_never_more_than_it_says() {
        for (per_second, tokens) in [(3.0, 7_u64), (7.0, 1), (1e9, 12_500), (0.001, 3)] {
            let rate = Rate::new(per_second, 20);
            let exact_ns = tokens as f64 * 1e9 / per_second;
            let ns = rate.ns_of(tokens) as f64;
            assert!(ns >= exact_ns - 0.5 && ns <= exact_ns * 1.001 + 1.0, "{per_second}: {ns}");
            assert!(rate.tokens_in(rate.ns_of(tokens)) >= tokens, "and never less");
        }
        assert_eq!(Rate::every(Duration::from_secs(60), 120, 5), Rate::new(2.0, 5));
        assert_eq!(Rate::every(DAY, 1, 1).burst_ns(), 86_400_000_000_000);
        assert!(Rate::every(DAY, 0, 1).is_unlimited());
        assert!(Rate::new(0.0, 9).is_unlimited());
    }

    #[test]
    fn a_rate_is_told_by_the_second_and_by_the_token() {
        let rate = Rate::every(Duration::from_secs(60), 240, 5);
        assert_eq!((rate.per_second(), rate.token_us()), (4.0, 250_000.0));
        assert_eq!(Rate::UNLIMITED.per_second(), f64::INFINITY);
    }

    #[test]
    fn what_a_bucket_lacks_tells_what_is_left() {
        let (rate, ms) = (Rate::new(10.0, 20), 1_000_000);
        let told = [0, 150 * ms, 1900 * ms, 1950 * ms, 2000 * ms, 2300 * ms];
        assert_eq!(told.map(|full_in_ns| rate.left(full_in_ns)), [20, 18, 1, 0, 0, 0]);
        assert_eq!(told.map(|full_in_ns| rate.wait_ns(full_in_ns) / ms), [0, 0, 0, 50, 100, 400]);
    }

    #[test]
    fn ten_have_ten_times_as_much() {
        assert_eq!(Rate::new(30.0, 6).times(10), Rate::new(300.0, 60));
        assert!(Rate::UNLIMITED.times(10).is_unlimited());
    }

    #[test]
    fn nodes_that_do_without_each_other_share_a_rate() {
        let half = Rate::new(20.0, 6).shared_by(2);
        assert_eq!(half, Rate::new(10.0, 6));
        assert_eq!(half.shared_by(0), half, "one at least");
    }
}

//! Times, in microseconds: the run's clock and histograms of what took how long. Microseconds fit a `u32` for 71
//! minutes, which is why no run may be longer (`args.rs` limits it to an hour).

use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Latencies above two minutes are counted as two minutes.
const LATENCY_US_MAX: u64 = 120_000_000;

/// Microseconds since the run began; never 0, because 0 means "not yet" in the books.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn us(&self) -> u32 {
        self.0.elapsed().as_micros() as u32 + 1
    }

    /// The instant that `us` means.
    pub(crate) fn at(&self, us: u32) -> Instant {
        self.0 + std::time::Duration::from_micros(u64::from(us) - 1)
    }
}

/// A histogram of microseconds, to three significant digits.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        Self(
            Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
                .expect("1 < LATENCY_US_MAX and 3 digits are allowed"),
        )
    }

    #[inline]
    pub(crate) fn record(&mut self, us: u32) {
        self.0.saturating_record(u64::from(us));
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let ms = |us: u64| us as f64 / 1000.0;
        let quantile = |quantile| ms(self.0.value_at_quantile(quantile));
        Percentiles {
            count: self.0.len(),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p99_9: quantile(0.999),
            max: ms(self.0.max()),
            mean: self.0.mean() / 1000.0,
        }
    }
}

/// Milliseconds, ready for the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
    pub(crate) mean: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds_and_merge() {
        let (mut low, mut high) = (Latency::new(), Latency::new());
        (1..=900).for_each(|_| low.record(2_000));
        (1..=100).for_each(|_| high.record(50_000));
        high.record(u32::MAX);
        low.merge(&high);
        let percentiles = low.percentiles();
        assert_eq!(percentiles.count, 1001);
        assert!((percentiles.p50 - 2.0).abs() < 0.01, "{percentiles:?}");
        assert!((percentiles.p99 - 50.0).abs() < 0.1, "{percentiles:?}");
        assert!((119_000.0..121_000.0).contains(&percentiles.max), "{percentiles:?}");
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        let percentiles = Latency::new().percentiles();
        assert_eq!((percentiles.count, percentiles.p50, percentiles.max), (0, 0.0, 0.0));
    }

    #[test]
    fn the_clock_never_says_zero_and_goes_both_ways() {
        let clock = Clock::start();
        let us = clock.us();
        assert!(us > 0 && clock.at(us) <= Instant::now());
    }
}

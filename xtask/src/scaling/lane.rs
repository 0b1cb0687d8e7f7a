//! How many checks share a batch to Redis: one key range of one node, batch by batch.
//!
//! A node gathers for `redis.batch_linger_ms` only if its last batch held more than one check. So a
//! lane has two moods, alone and gathering, and stays in either for long; the formula
//! `1 + rate · (linger + round trip)` knows the second one only.

use super::dice::Dice;

/// Batches that are averaged over: a mood may last for hundreds of them.
const BATCHES: usize = 100_000;

/// Most checks in a batch: `redis.batch_checks`.
pub const BATCH_MAX: f64 = 256.;

/// Checks a batch if `rate` a second arrive at the lane.
pub fn batch_size(rate: f64, linger_s: f64, round_trip_s: f64, dice: &mut Dice) -> f64 {
    let most = BATCH_MAX as u64;
    let (mut waiting, mut last, mut sent) = (0, 1, 0);
    for _ in 0..BATCHES {
        // An idle lane waits for the next check.
        waiting = waiting.max(1);
        if last > 1 && waiting < most {
            waiting += dice.poisson(rate * linger_s);
        }
        last = waiting.min(most);
        sent += last;
        // More than a few batches never wait: then players do.
        waiting = (waiting - last + dice.poisson(rate * round_trip_s)).min(4 * most);
    }
    sent as f64 / BATCHES as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a second of a node with 50 key ranges, milliseconds to gather, boxes a request as
    /// `billion_redis_requests_total` told them.
    const MEASURED: [(f64, f64, f64); 5] = [
        (4_000., 1., 1.0),
        (10_000., 1., 1.15),
        (4_000., 20., 1.2),
        (10_000., 20., 4.8),
        (20_000., 20., 9.4),
    ];

    #[test]
    fn batches_are_as_large_as_measured() {
        for (rate, linger_ms, measured) in MEASURED {
            let size = batch_size(rate / 50., linger_ms / 1e3, 0.002, &mut Dice::new(3));
            let error = (size - measured).abs() / measured;
            assert!(error < 0.25, "{rate}/s, {linger_ms} ms: {size:.2}, measured {measured}");
        }
    }

    #[test]
    fn the_formula_is_right_under_load_and_wrong_before() {
        let formula = |rate: f64| 1. + rate * 0.022;
        let size = |rate: f64| batch_size(rate, 0.02, 0.002, &mut Dice::new(3));
        assert!((size(400.) / formula(400.) - 1.).abs() < 0.1);
        assert!(size(80.) < formula(80.) / 2.);
    }

    #[test]
    fn a_flooded_lane_fills_its_batches() {
        assert_eq!(batch_size(150_000., 0.001, 0.002, &mut Dice::new(3)).round(), BATCH_MAX);
    }
}

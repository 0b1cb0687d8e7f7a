//! How many checks share a batch to Redis: one key range of one node.

/// Most checks in a batch: `redis.batch_checks`.
pub const BATCH_MAX: f64 = 256.;

/// Checks a batch if `rate` a second arrive at the key range.
///
/// A node's workers hand over what they have gathered at the same moments (`shards.gather_ms`), and each key range
/// that then has any sends one batch. Those that have none send none, so this is the mean of a Poisson
/// distribution without its zero.
pub fn batch_size(rate: f64, gather_s: f64, round_trip_s: f64) -> f64 {
    // A key range has one batch under way; what comes meanwhile waits for the next one.
    let mean = rate * gather_s.max(round_trip_s);
    if mean < 1e-6 {
        return 1.;
    }
    (mean / -(-mean).exp_m1()).min(BATCH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a second of a node with 50 key ranges, milliseconds to gather, boxes a request as
    /// `billion_redis_requests_total` told them.
    const MEASURED: [(f64, f64, f64); 3] =
        [(4_000., 20., 1.94), (10_000., 20., 3.97), (20_000., 20., 7.78)];

    #[test]
    fn batches_are_as_large_as_measured() {
        for (rate, gather_ms, measured) in MEASURED {
            let size = batch_size(rate / 50., gather_ms / 1e3, 0.002);
            let error = (size - measured).abs() / measured;
            assert!(error < 0.1, "{rate}/s, {gather_ms} ms: {size:.2}, measured {measured}");
        }
    }

    #[test]
    fn an_idle_key_range_sends_single_checks_and_a_flooded_one_full_batches() {
        assert!((batch_size(0.01, 0.02, 0.002) - 1.).abs() < 1e-3);
        assert_eq!(batch_size(0., 0.02, 0.002), 1.);
        assert_eq!(batch_size(1e6, 0.02, 0.002), BATCH_MAX);
    }
}

//! When the next flush may begin. Plain data.

use std::time::{Duration, Instant};

/// By this part of an interval flushes may follow each other faster, so that who is late once is not late for
/// ever when bursts come exactly an interval apart.
const CATCH_UP: u32 = 20;

/// Allows a flush per interval, or a twentieth more, on average, each up to half an interval early.
///
/// This is the generic cell rate algorithm (ITU-T I.371) with a tolerance of half an interval. What is to be
/// flushed comes in bursts an interval apart, a little sooner or later each time. Without tolerance one late
/// burst would make all that come after it wait.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    /// When the next one is due.
    due: Instant,
}

impl Pace {
    /// One that allows a flush at `now`.
    pub fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, due: now }
    }

    /// A flush has begun. One that did not wait for its turn, because a batch was full, costs no more than one that
    /// came as early as it may.
    pub fn began(&mut self, now: Instant) {
        let due = self.due.clamp(now, now + self.interval / 2);
        self.due = due + self.interval - self.interval / CATCH_UP;
    }

    /// Time until the next flush may begin; 0: it may.
    pub fn remaining(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now).saturating_sub(self.interval / 2)
    }

    /// Whether the last flush is so long ago that nothing has to be gathered.
    pub fn is_quiet(&self, now: Instant) -> bool {
        now >= self.due + self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn after_quiet_at_once_and_then_one_per_interval() {
        let start = Instant::now();
        let mut pace = Pace::new(INTERVAL, start);
        assert_eq!(pace.remaining(start), ms(0));
        let mut now = start;
        for _ in 0..10 {
            now += pace.remaining(now);
            pace.began(now);
        }
        assert_eq!(
            now - start,
            ms(9) + 8 * ms(19),
            "the first pause is shorter by half an interval"
        );
        assert!(!pace.is_quiet(now + ms(48)));
        assert!(pace.is_quiet(now + ms(49)));
    }

    #[test]
    fn who_is_late_once_makes_nobody_late_afterwards() {
        let start = Instant::now();
        let mut pace = Pace::new(INTERVAL, start);
        for (burst, late) in [0, 1, 9, 0, 3, 0].into_iter().enumerate() {
            let now = start + INTERVAL * burst as u32 + ms(late);
            assert_eq!(pace.remaining(now), ms(0), "burst {burst}");
            pace.began(now);
        }
    }

    #[test]
    fn flushes_out_of_turn_leave_no_debt() {
        let start = Instant::now();
        let mut pace = Pace::new(INTERVAL, start);
        for _ in 0..1000 {
            pace.began(start);
        }
        assert!(pace.remaining(start) <= INTERVAL, "{:?}", pace.remaining(start));
    }

    #[test]
    fn without_an_interval_everything_is_quiet() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::ZERO, now);
        pace.began(now);
        assert!(pace.is_quiet(now) && pace.remaining(now).is_zero());
    }
}

//! When a store begins with what it has been asked for. Plain data.

use std::time::{Duration, Instant};

/// Gathers commits that come within a moment of each other, except after quiet.
#[derive(Debug, Clone)]
pub struct Window {
    gather: Duration,
    quiet: Duration,
    /// When those gathered last go out, or went.
    at: Option<Instant>,
}

impl Window {
    /// One that gathers for this long, unless there was no commit for `quiet` before.
    pub fn new(gather: Duration, quiet: Duration) -> Self {
        Self { gather, quiet, at: None }
    }

    /// One that gathers nothing.
    pub fn none() -> Self {
        Self::new(Duration::ZERO, Duration::ZERO)
    }

    /// A commit is asked for: when it goes out, together with all that are asked for until then.
    pub fn join(&mut self, now: Instant) -> Instant {
        let at = match self.at {
            Some(at) if now < at => at,
            Some(at) if now < at + self.quiet => now + self.gather,
            _ => now,
        };
        self.at = Some(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_load_all_go_out_together_and_after_quiet_at_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut window = Window::new(Duration::from_millis(2), Duration::from_millis(100));
        assert_eq!(window.join(at(0)), at(0), "the first one");
        assert_eq!(window.join(at(1)), at(3));
        assert_eq!(window.join(at(2)), at(3), "together with the one before");
        assert_eq!(window.join(at(3)), at(5), "too late for those");
        assert_eq!(window.join(at(104)), at(106), "99 ms are no quiet");
        assert_eq!(window.join(at(206)), at(206), "and 100 are");
    }

    #[test]
    fn without_gathering_all_go_at_once() {
        let now = Instant::now();
        let mut window = Window::none();
        assert_eq!([window.join(now), window.join(now)], [now, now]);
    }
}

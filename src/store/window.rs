//! When a store begins with what it has been asked for. Plain data.

use std::time::{Duration, Instant};

/// After so many times the gathering without a commit it is quiet, and the next one goes at once.
const QUIET: u32 = 50;

/// Gathers commits that come within a moment of each other, except after quiet.
#[derive(Debug)]
pub struct Window {
    gather: Duration,
    /// When those gathered last go out, or went.
    at: Option<Instant>,
}

impl Window {
    /// One that gathers for this long; not at all if that is 0.
    pub fn new(gather: Duration) -> Self {
        Self { gather, at: None }
    }

    /// A commit is asked for: when it goes out, together with all that are asked for until then.
    pub fn join(&mut self, now: Instant) -> Instant {
        let at = match self.at {
            Some(at) if now < at => at,
            Some(at) if now < at + QUIET * self.gather => now + self.gather,
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
        let mut window = Window::new(Duration::from_millis(2));
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
        let mut window = Window::new(Duration::ZERO);
        assert_eq!([window.join(now), window.join(now)], [now, now]);
    }
}

//! Time as a node counts it.

use std::time::{Duration, Instant};

/// The node's clock: starts at 1 second, so that 0 can mean "never".
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// One that begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// When it began.
    pub(crate) fn began(self) -> Instant {
        self.0
    }

    /// Whole seconds.
    pub fn now_s(self) -> u32 {
        self.0.elapsed().as_secs() as u32 + 1
    }

    /// Nanoseconds.
    pub fn now_ns(self) -> u64 {
        self.0.elapsed().as_nanos() as u64
    }
}

/// A duration in the clock's unit; what does not fit is longer than any node runs.
pub(crate) fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX / 2).min(u32::MAX / 2)
}

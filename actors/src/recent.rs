//! The last times that something took, until somebody takes them out. Plain data behind a short lock.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Times that are kept: a second of flushes 4 ms apart. Of more the slowest is still known.
const KEPT_MAX: usize = 256;

#[derive(Debug, Default)]
struct Kept {
    times: Vec<Duration>,
    slowest: Duration,
}

/// Times that nobody has taken out yet.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Kept>);

impl Recent {
    /// One more.
    pub fn observe(&self, took: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.slowest = kept.slowest.max(took);
        if kept.times.len() < KEPT_MAX {
            kept.times.push(took);
        }
    }

    /// The median of all since the last call, and the slowest; `None` if there were none.
    pub fn take(&self) -> Option<(Duration, Duration)> {
        let Kept { mut times, slowest } =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let middle = times.len() / 2;
        (!times.is_empty()).then(|| (*times.select_nth_unstable(middle).1, slowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_taken_out_once_and_the_slowest_is_never_lost() {
        let (recent, ms) = (Recent::default(), Duration::from_millis);
        assert_eq!(recent.take(), None);
        for took in [9, 1, 5] {
            recent.observe(ms(took));
        }
        assert_eq!(recent.take(), Some((ms(5), ms(9))));
        assert_eq!(recent.take(), None);
        for took in 1..=1000 {
            recent.observe(ms(took));
        }
        assert_eq!(recent.take().map(|(_, slowest)| slowest), Some(ms(1000)));
    }
}

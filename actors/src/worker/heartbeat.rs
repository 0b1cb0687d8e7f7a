//! When a client is pinged, and when its silence has lasted too long.
//!
//! Counted in the hub's ticks, which have a second between them and are not made up for when the thread had no
//! time, and not by the clock: whatever held the node up, a second at least lies between a ping and giving up,
//! so that nobody is given up who was not asked first.

/// A member's heartbeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heartbeat {
    /// Second at which the client was last heard, as seen by the last tick.
    seen_s: u32,
    /// Ticks since then.
    silent: u32,
    /// Ticks since the last ping.
    unpinged: u32,
    /// Ticks that were too long a silence at the last one.
    idle: u32,
}

/// What a tick asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Rest,
    Ping,
    /// Not heard for the idle timeout, with a ping in it.
    Silent,
}

impl Heartbeat {
    /// Of a client that was heard at `seen_s`.
    pub(super) fn new(seen_s: u32) -> Self {
        Self { seen_s, silent: 0, unpinged: 0, idle: 0 }
    }

    /// The next tick, with a ping due every `ping` of them, until it is [`Self::pinged`]; `idle`, which is more,
    /// is too long a silence, if there was a ping in it. Who has been silent for longer than what is allowed from now
    /// on gets all of that anew.
    pub(super) fn tick(&mut self, seen_s: u32, ping: u32, idle: u32) -> Beat {
        if seen_s == self.seen_s && idle >= self.idle {
            self.silent = self.silent.saturating_add(1);
        } else {
            (self.seen_s, self.silent) = (seen_s, 0);
        }
        self.idle = idle;
        self.unpinged = self.unpinged.saturating_add(1);
        if self.silent >= idle && self.unpinged <= ping {
            Beat::Silent
        } else if self.unpinged >= ping {
            Beat::Ping
        } else {
            Beat::Rest
        }
    }

    /// A ping is on its way.
    pub(super) fn pinged(&mut self) {
        self.unpinged = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beats of a client that is heard at the seconds in `heard`, one tick a second.
    fn beats(heard: &[u32], ticks: u32, ping: u32, idle: u32) -> Vec<Beat> {
        let mut heartbeat = Heartbeat::new(0);
        let seen_s = |tick| heard.iter().copied().filter(|at| *at <= tick).max().unwrap_or(0);
        let beat = |tick| {
            let beat = heartbeat.tick(seen_s(tick), ping, idle);
            if beat == Beat::Ping {
                heartbeat.pinged();
            }
            beat
        };
        (1..=ticks).map(beat).collect()
    }

    /// Whenever it was last heard, a silent client is pinged once more, and has until the next tick at
    /// least. By the clock of whole seconds, one that joined as the second changed was never asked.
    #[test]
    fn nobody_is_given_up_without_being_asked() {
        for (ping, idle) in [(1, 2), (4, 5), (4, 20), (54, 60)] {
            for last_heard in 0..3 * ping {
                let heard: Vec<u32> = (0..=last_heard).collect();
                let beats = beats(&heard, last_heard + idle + 1, ping, idle);
                let given_up = beats.iter().position(|beat| *beat == Beat::Silent).unwrap();
                assert_eq!(given_up as u32 + 1, last_heard + idle, "{ping} {idle} {last_heard}");
                let silence = &beats[last_heard as usize..given_up];
                assert!(silence.contains(&Beat::Ping), "{ping} {idle} {last_heard}: {beats:?}");
            }
        }
    }

    #[test]
    fn who_is_silent_for_longer_than_a_new_limit_has_all_of_it_to_answer() {
        let mut heartbeat = Heartbeat::new(0);
        for _ in 0..20 {
            assert_eq!(heartbeat.tick(0, 25, 60), Beat::Rest);
        }
        assert_eq!(heartbeat.tick(0, 5, 10), Beat::Ping);
        heartbeat.pinged();
        for second in 1..10 {
            let wanted = if second % 5 == 0 { Beat::Ping } else { Beat::Rest };
            assert_eq!(heartbeat.tick(0, 5, 10), wanted, "{second}");
            if wanted == Beat::Ping {
                heartbeat.pinged();
            }
        }
        assert_eq!(heartbeat.tick(0, 5, 10), Beat::Silent);
    }

    #[test]
    fn a_ping_that_did_not_fit_stays_due() {
        let mut heartbeat = Heartbeat::new(0);
        assert_eq!(heartbeat.tick(0, 2, 9), Beat::Rest);
        assert_eq!([(); 3].map(|()| heartbeat.tick(0, 2, 9)), [Beat::Ping; 3]);
        heartbeat.pinged();
        assert_eq!(heartbeat.tick(0, 2, 9), Beat::Rest);
    }

    #[test]
    fn whose_pings_never_fit_is_asked_before_it_is_given_up() {
        let mut heartbeat = Heartbeat::new(0);
        assert_eq!(heartbeat.tick(0, 2, 3), Beat::Rest);
        assert_eq!([(); 9].map(|()| heartbeat.tick(0, 2, 3)), [Beat::Ping; 9]);
        heartbeat.pinged();
        assert_eq!(heartbeat.tick(0, 2, 3), Beat::Silent);
    }

    #[test]
    fn who_answers_is_pinged_again_and_again() {
        let answers: Vec<u32> = (1..100).map(|turn| turn * 4 + 1).collect();
        let beats = beats(&answers, 400, 4, 5);
        assert!(!beats.contains(&Beat::Silent));
        assert_eq!(beats.iter().filter(|beat| **beat == Beat::Ping).count(), 100);
    }
}

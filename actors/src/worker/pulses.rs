//! Pulses on their way out to the `v=2` sessions of one board on one worker thread. Plain data, time comes in as `now`.
//!
//! A pulse goes along with the next batch that concerns a session ([`Rider`]); the others are told in slots over
//! the second, so that a socket write for each does not come in one burst. It is never told before the updates
//! that it counts: a total told ahead of them would seem to fall with each of them.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::broadcaster::census::Pulse;

/// Parts of a second in which a pulse goes out, each to its share of the sessions.
pub(crate) const PULSE_SLOTS: u8 = 20;

/// Length of a slot: 20 of them are over before the next pulse comes.
pub(crate) const PULSE_SLOT: Duration = Duration::from_millis(45);

/// Pulses that may wait while a walk goes on; the oldest is given up then. Whoever missed it sees
/// its tiles when they change again or when it asks for the overview again.
const PULSES_MAX: usize = 4;

/// A pulse that goes along with a batch, to those who have not been told it: one write instead of two.
pub(crate) struct Rider {
    /// Its number.
    pub(crate) sequence: u32,
    /// The total after the batch, which is in the frame.
    pub(crate) total: u32,
    /// The complete frame.
    pub(crate) frame: Bytes,
}

/// A pulse to be told now.
#[derive(Debug)]
pub(super) struct Turn {
    /// Its number.
    pub(super) sequence: u32,
    /// To whom: sessions of the slots below this one.
    pub(super) slots: u8,
    /// The announced total, which is in the frame.
    pub(super) total: u32,
    /// The complete frame.
    pub(super) frame: Bytes,
}

/// Pulses on their way out, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    waiting: VecDeque<Arc<Pulse>>,
    /// When the first of them began.
    began: Option<Instant>,
    /// Slots of the first that were told.
    slots_done: u8,
    /// Number of the newest there was.
    newest: u32,
}

impl Pulses {
    /// Takes in the next one.
    pub(super) fn push(&mut self, pulse: Arc<Pulse>) {
        if self.waiting.len() == PULSES_MAX {
            self.next();
        }
        self.newest = pulse.sequence;
        self.waiting.push_back(pulse);
    }

    /// Whether none is on its way out.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Number of the newest there was.
    pub(super) fn newest(&self) -> u32 {
        self.newest
    }

    /// The board is another one.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        (self.began, self.slots_done) = (None, 0);
    }

    /// The pulse at hand, for those sessions that the batch before `announced` concerns. They hear the
    /// batch first, and with it every update that the pulse counts.
    pub(super) fn rider(&self, announced: u32) -> Option<Rider> {
        let pulse = self.waiting.front().filter(|pulse| pulse.total <= announced)?;
        Some(Rider { sequence: pulse.sequence, total: announced, frame: pulse.frame(announced) })
    }

    /// What is to be told at `now`, when the sessions have been told `announced`; again until there is nothing.
    /// Not to be asked while a batch is on its way to them. A pulse that a newer one has caught up with goes out
    /// whole.
    pub(super) fn turn(&mut self, now: Instant, announced: u32) -> Option<Turn> {
        let pulse = self.waiting.front().filter(|pulse| pulse.total <= announced)?;
        let began = *self.began.get_or_insert(now);
        let slots = match self.waiting.len() {
            1 => slots_due(now.saturating_duration_since(began)),
            _ => PULSE_SLOTS,
        };
        if slots <= self.slots_done {
            return None;
        }
        let (sequence, frame) = (pulse.sequence, pulse.frame(announced));
        self.slots_done = slots;
        if slots == PULSE_SLOTS {
            self.next();
        }
        Some(Turn { sequence, slots, total: announced, frame })
    }

    fn next(&mut self) {
        self.waiting.pop_front();
        (self.began, self.slots_done) = (None, 0);
    }
}

/// Slots that have come within this time; the first one comes at once.
fn slots_due(elapsed: Duration) -> u8 {
    let passed = elapsed.as_millis() / PULSE_SLOT.as_millis();
    u8::try_from(passed + 1).unwrap_or(PULSE_SLOTS).min(PULSE_SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(sequence: u32, total: u32) -> Arc<Pulse> {
        Arc::new(Pulse { sequence, total, players: 1, tiles: vec![(2, sequence)] })
    }

    /// Number, slots and total of everything that is to be told.
    fn turns(pulses: &mut Pulses, now: Instant, announced: u32) -> Vec<(u32, u8, u32)> {
        std::iter::from_fn(|| pulses.turn(now, announced))
            .map(|turn| (turn.sequence, turn.slots, turn.total))
            .collect()
    }

    #[test]
    fn slots_fill_the_time_between_two_pulses() {
        assert_eq!(slots_due(Duration::ZERO), 1);
        assert_eq!(slots_due(PULSE_SLOT), 2);
        assert_eq!(slots_due(PULSE_SLOT * 19), PULSE_SLOTS);
        assert_eq!(slots_due(Duration::from_secs(9_999)), PULSE_SLOTS);
    }

    #[test]
    fn a_pulse_is_told_slot_by_slot_and_then_never_again() {
        let (mut pulses, start) = (Pulses::default(), Instant::now());
        assert!(pulses.turn(start, 9).is_none() && pulses.rider(9).is_none());
        pulses.push(pulse(1, 5));
        assert_eq!(turns(&mut pulses, start, 5), [(1, 1, 5)]);
        assert_eq!(turns(&mut pulses, start + PULSE_SLOT / 2, 5), []);
        assert_eq!(turns(&mut pulses, start + PULSE_SLOT * 3, 7), [(1, 4, 7)], "the total by now");
        assert_eq!(pulses.rider(8).map(|rider| (rider.sequence, rider.total)), Some((1, 8)));
        assert_eq!(turns(&mut pulses, start + PULSE_SLOT * 30, 8), [(1, PULSE_SLOTS, 8)]);
        assert_eq!(turns(&mut pulses, start + PULSE_SLOT * 31, 8), []);
        assert!(pulses.rider(8).is_none() && pulses.newest() == 1);
    }

    #[test]
    fn no_pulse_is_told_ahead_of_the_updates_it_counts() {
        let (mut pulses, start) = (Pulses::default(), Instant::now());
        pulses.push(pulse(1, 6));
        assert_eq!(
            turns(&mut pulses, start, 5),
            [],
            "it counts a batch that has not come here yet"
        );
        assert!(pulses.rider(5).is_none());
        assert_eq!(turns(&mut pulses, start, 6), [(1, 1, 6)]);
    }

    #[test]
    fn one_that_a_newer_one_has_caught_up_with_goes_out_whole() {
        let (mut pulses, start) = (Pulses::default(), Instant::now());
        pulses.push(pulse(1, 1));
        assert_eq!(turns(&mut pulses, start, 1), [(1, 1, 1)]);
        pulses.push(pulse(2, 1));
        assert_eq!(turns(&mut pulses, start, 1), [(1, PULSE_SLOTS, 1), (2, 1, 1)]);
        for sequence in 3..=9 {
            pulses.push(pulse(sequence, 2));
        }
        let told = turns(&mut pulses, start, 2);
        assert_eq!(told.first(), Some(&(6, PULSE_SLOTS, 2)), "those before were given up");
        assert_eq!(told.last(), Some(&(9, 1, 2)));
        pulses.forget();
        assert!(turns(&mut pulses, start, 2).is_empty() && pulses.newest() == 9);
    }
}

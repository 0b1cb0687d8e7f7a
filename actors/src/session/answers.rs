//! Answers in the order of their requests, however they arrive. Plain data.

use std::collections::VecDeque;

use bytes::Bytes;

/// Range requests of one connection that are on their way, oldest first.
#[derive(Debug, Default)]
pub(super) struct Answers {
    slots: VecDeque<Option<Bytes>>,
    first: u32,
}

impl Answers {
    /// Requests without an answer, or with one that waits for others.
    pub(super) fn outstanding(&self) -> usize {
        self.slots.len()
    }

    /// One more request; its place in the order.
    pub(super) fn expect(&mut self) -> u32 {
        self.slots.push_back(None);
        self.first.wrapping_add(self.slots.len() as u32 - 1)
    }

    /// Takes an answer in and gives out those that are next in order.
    pub(super) fn arrived(
        &mut self,
        sequence: u32,
        frame: Bytes,
    ) -> impl Iterator<Item = Bytes> + '_ {
        let place = sequence.wrapping_sub(self.first) as usize;
        // Answers from before a resync find no slot: the resync asked again.
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Some(frame);
        }
        std::iter::from_fn(|| {
            let next = self.slots.front_mut()?.take()?;
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
            if self.slots.is_empty() {
                self.slots = VecDeque::new();
            }
            Some(next)
        })
    }

    /// What is on its way is not waited for any more.
    pub(super) fn forget(&mut self) {
        self.first = self.first.wrapping_add(self.slots.len() as u32);
        self.slots = VecDeque::new();
    }
}

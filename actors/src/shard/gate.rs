//! How much a shard may have taken in: the bound that sessions feel as backpressure.
//!
//! Every check holds a place from the moment a session sends it until the shard has passed it on or
//! refused it. A session that finds no place, or a full mailbox, leaves its waker and stops reading
//! its socket; a courier whose checks found the mailbox full leaves its waker, too. Ranges hold no place: a store that stalls must not take the readers away.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

/// What a shard that takes no more lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// Its gate is full.
    Place,
    /// Its mailbox is full.
    Mailbox,
}

/// Places for checks in one shard, and who waits for one.
#[derive(Debug)]
pub struct Gate {
    places: usize,
    taken: AtomicUsize,
    for_place: Waiters,
    for_mailbox: Waiters,
}

impl Gate {
    /// A gate with `places` places.
    pub fn new(places: usize) -> Self {
        Self {
            places,
            taken: AtomicUsize::new(0),
            for_place: Waiters::default(),
            for_mailbox: Waiters::default(),
        }
    }

    /// Takes a place if there is one.
    pub fn enter(&self) -> bool {
        let enter = |taken| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
    }

    /// Gives back `places` places.
    pub fn leave(&self, places: usize) {
        let before = self.taken.fetch_sub(places, Ordering::AcqRel);
        debug_assert!(before >= places, "a place is given back once");
    }

    /// Wakes those that can go on now: all that wait for the mailbox, which was just drained, and
    /// those that wait for a place if there is one.
    pub fn wake(&self) {
        self.for_mailbox.wake();
        if self.taken.load(Ordering::Acquire) < self.places {
            self.for_place.wake();
        }
    }

    /// Has `waker` woken when there may be a place. The caller tries once more after this.
    pub fn wait_for_place(&self, waker: &Waker) {
        self.for_place.add(waker);
    }

    /// Has `waker` woken when the mailbox was drained. The caller tries once more after this.
    pub fn wait_for_mailbox(&self, waker: &Waker) {
        self.for_mailbox.add(waker);
    }
}

/// Tasks to be woken. Bounded by the number of sessions and couriers, each of which waits for one thing.
#[derive(Debug, Default)]
struct Waiters {
    count: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

impl Waiters {
    fn add(&self, waker: &Waker) {
        let mut wakers = self.wakers.lock().expect("nothing panics under this lock");
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
        self.count.store(wakers.len(), Ordering::SeqCst);
    }

    fn wake(&self) {
        // Read without the lock: nobody waits most of the time.
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut wakers = self.wakers.lock().expect("nothing panics under this lock");
        self.count.store(0, Ordering::SeqCst);
        for waker in wakers.drain(..) {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_exactly_so_many_places() {
        let gate = Gate::new(2);
        assert!(gate.enter() && gate.enter());
        assert!(!gate.enter());
        gate.leave(1);
        assert!(gate.enter() && !gate.enter());
    }

    #[test]
    fn waiters_for_a_place_sleep_until_there_is_one() {
        use std::{
            sync::Arc,
            task::{Wake, Waker},
        };
        #[derive(Default)]
        struct Counter(AtomicUsize);
        impl Wake for Counter {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (place, mailbox) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let gate = Gate::new(1);
        assert!(gate.enter());
        gate.wait_for_place(&Waker::from(place.clone()));
        gate.wait_for_mailbox(&Waker::from(mailbox.clone()));
        gate.wake();
        assert_eq!((place.0.load(Ordering::SeqCst), mailbox.0.load(Ordering::SeqCst)), (0, 1));
        gate.leave(1);
        gate.wake();
        gate.wake();
        assert_eq!((place.0.load(Ordering::SeqCst), mailbox.0.load(Ordering::SeqCst)), (1, 1));
    }
}

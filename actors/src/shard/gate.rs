//! How much a shard may have taken in: the bound that sessions feel as backpressure.
//!
//! Every check holds a place from the moment a session sends it until the shard has passed it on or
//! refused it. A session that finds no place, or a full mailbox, leaves its waker and stops reading
//! its socket; a courier whose checks found the mailbox full leaves its waker, too. Ranges hold no place: a store that stalls must not take the readers away.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::Waker,
};

use prometheus_client::metrics::gauge::Gauge;

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
    /// Checks that ever took one.
    entered: AtomicU64,
    /// Of all shards together.
    counted: Gauge,
    for_place: Waiters,
    for_mailbox: Waiters,
}

impl Gate {
    /// A gate with `places` places; those that are taken are counted in `counted`.
    pub fn new(places: usize, counted: Gauge) -> Self {
        Self {
            places,
            taken: AtomicUsize::new(0),
            entered: AtomicU64::new(0),
            counted,
            for_place: Waiters::default(),
            for_mailbox: Waiters::default(),
        }
    }

    /// Takes a place if there is one.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        let enter = |taken| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).ok()?;
        self.entered.fetch_add(1, Ordering::Relaxed);
        self.counted.inc();
        Some(Place(self.clone()))
    }

    /// Checks that ever took a place.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Whether no place is taken.
    #[cfg(test)]
    pub(crate) fn is_free(&self) -> bool {
        self.taken.load(Ordering::Acquire) == 0
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

/// A check's place in a shard, given back when it is dropped. Who drops it wakes those who wait for one
/// ([`Gate::wake`]).
#[derive(Debug)]
pub struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.counted.dec();
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
        let counted = Gauge::default();
        let gate = Arc::new(Gate::new(2, counted.clone()));
        let (first, _second) = (gate.enter(), gate.enter());
        assert!(first.is_some() && gate.enter().is_none());
        drop(first);
        assert_eq!(counted.get(), 1);
        let _third = gate.enter().expect("one was given back");
        assert!(gate.enter().is_none());
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
        let gate = Arc::new(Gate::new(1, Gauge::default()));
        let taken = gate.enter();
        assert!(taken.is_some());
        gate.wait_for_place(&Waker::from(place.clone()));
        gate.wait_for_mailbox(&Waker::from(mailbox.clone()));
        gate.wake();
        assert_eq!((place.0.load(Ordering::SeqCst), mailbox.0.load(Ordering::SeqCst)), (0, 1));
        drop(taken);
        gate.wake();
        gate.wake();
        assert_eq!((place.0.load(Ordering::SeqCst), mailbox.0.load(Ordering::SeqCst)), (1, 1));
    }
}

//! How many connections there are, in all and from one address: a seat is taken before a session begins and given back
//! when it ends.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::player::Address;

/// Most seats that may be taken.
#[derive(Debug, Clone, Copy)]
pub struct SeatLimits {
    /// By everybody.
    pub all: usize,
    /// From one address; 0: as many as one likes.
    pub per_address: usize,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All are taken.
    All,
    /// Those for this address are.
    Address,
}

/// The seats that are taken.
#[derive(Debug, Default)]
pub struct Seats {
    taken: AtomicUsize,
    /// Without a limit, too: there may be one tomorrow.
    by_address: Mutex<HashMap<Address, usize>>,
}

impl Seats {
    /// Takes a seat for a client from `address`, if `limits` leave one.
    ///
    /// # Errors
    /// If not.
    pub fn take(self: &Arc<Self>, address: Address, limits: SeatLimits) -> Result<Seat, Full> {
        let take = |taken| (taken < limits.all).then_some(taken + 1);
        if self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_err() {
            return Err(Full::All);
        }
        // From here on dropping it gives both back.
        let seat = Seat { seats: self.clone(), address };
        let mut by_address = self.by_address();
        let count = by_address.entry(address).or_default();
        *count += 1;
        let is_too_many = limits.per_address > 0 && *count > limits.per_address;
        drop(by_address);
        if is_too_many { Err(Full::Address) } else { Ok(seat) }
    }

    /// Those that are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Those that are taken by clients from `address`.
    pub fn of(&self, address: Address) -> usize {
        self.by_address().get(&address).copied().unwrap_or(0)
    }

    /// The addresses that most are taken from, at most `most`, those with the most first.
    pub fn top(&self, most: usize) -> Vec<(Address, usize)> {
        // One look at each, and no copy of all: there may be as many addresses as seats.
        let mut top = BinaryHeap::with_capacity(most + 1);
        for (address, count) in &*self.by_address() {
            top.push(Reverse((*count, Reverse(*address))));
            if top.len() > most {
                top.pop();
            }
        }
        let sorted = top.into_sorted_vec().into_iter();
        sorted.map(|Reverse((count, Reverse(address)))| (address, count)).collect()
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<Address, usize>> {
        // Nothing panics under this lock.
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    address: Address,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.fetch_sub(1, Ordering::AcqRel);
        let mut by_address = self.seats.by_address();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::player::IPV6_PREFIX;

    fn address(last: u8) -> Address {
        Address::of([192, 0, 2, last].into(), IPV6_PREFIX)
    }

    #[test]
    fn seats_are_counted_and_given_back() {
        let (seats, limits) = (Arc::<Seats>::default(), SeatLimits { all: 2, per_address: 1 });
        let first = seats.take(address(1), limits).expect("a seat");
        assert_eq!(seats.take(address(1), limits).err(), Some(Full::Address));
        let second = seats.take(address(2), limits).expect("a seat");
        assert_eq!(seats.take(address(3), limits).err(), Some(Full::All));
        drop((first, second));
        assert!(seats.by_address().is_empty(), "nothing is kept of those who have gone");
        assert!(seats.take(address(1), limits).is_ok());
    }

    #[test]
    fn the_addresses_with_the_most_seats_come_first() {
        let (seats, limits) = (Arc::<Seats>::default(), SeatLimits { all: 99, per_address: 0 });
        let from = [1, 2, 2, 3, 3, 3, 4, 4, 5];
        let _taken: Vec<_> = from.map(|last| seats.take(address(last), limits)).into();
        let top = [(address(3), 3), (address(2), 2), (address(4), 2)];
        assert_eq!(seats.top(3), top);
        assert_eq!((seats.top(99).len(), seats.top(0)), (5, vec![]));
    }

    #[test]
    fn a_limit_that_comes_later_counts_those_who_were_there_before() {
        let seats = Arc::<Seats>::default();
        let free = SeatLimits { all: 9, per_address: 0 };
        let before: Vec<_> = (0..3).map(|_| seats.take(address(1), free)).collect();
        assert!(before.iter().all(Result::is_ok));
        let strict = SeatLimits { all: 9, per_address: 3 };
        assert_eq!(seats.take(address(1), strict).err(), Some(Full::Address));
        drop(before);
        assert!(seats.take(address(1), strict).is_ok());
    }
}

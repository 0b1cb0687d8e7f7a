//! The token buckets of many keys (addresses, users, header values) in a table of fixed size.
//!
//! A key that is not in the table has a full bucket, and only full buckets leave it: whoever fills the table is
//! forgiven nothing, nor is anybody else. A key whose place is taken by sixteen others that are not full shares one
//! *overflow* bucket with all such keys of its class. At the start of a node every bucket has one token, the unknown
//! ones too, so that a restart gives nobody a second burst.
//!
//! Sets of sixteen slots, found by a keyed hash, in shards with a lock each. 24 bytes a slot; memory is touched as
//! keys come. Measured beside 64 × `Mutex<HashMap>` of as many keys by `cargo bench --bench micro limits`.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    bucket::{self, Taken},
    rate::Rate,
};

/// Whose bucket it is, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who: unlike everybody else of its class.
    pub subject: u64,
    /// Of what, and at which height: as many as there are rules.
    pub class: u32,
}

/// Slots that a key may be in.
const WAYS: usize = 16;

/// Locks; a power of two. Two threads meet at one in 64 decisions at most.
const SHARDS: usize = 64;

/// Keys that a node keeps apart: a million with a spare half, so that one in a thousand shares the overflow then.
/// 48 MiB once all are used.
pub const SLOTS: usize = 1 << 21;

/// Subject, class with a mark that tells it from a slot that was never used, and when it is full.
///
/// An array of numbers, because a vector of zeros of them costs no memory until they are written.
type Slot = [u64; 3];

/// What every class has added to it in a slot.
const USED: u64 = 1 << 32;

/// The buckets of many keys.
#[derive(Debug)]
pub struct KeyedBuckets {
    shards: Box<[Mutex<Box<[Slot]>>]>,
    /// Sets in each of them.
    sets: usize,
    hasher: RandomState,
    /// When the bucket that is shared by those without a slot is full, by class.
    overflow: Mutex<HashMap<u32, u64>>,
    /// Decisions by such a bucket.
    overflowed: AtomicU64,
}

impl Default for KeyedBuckets {
    fn default() -> Self {
        Self::with_slots(SLOTS)
    }
}

impl KeyedBuckets {
    /// For at most so many keys at once, rounded up.
    pub fn with_slots(slots: usize) -> Self {
        let sets = slots.div_ceil(SHARDS * WAYS).next_power_of_two();
        let shard = || Mutex::new(vec![[0; 3]; sets * WAYS].into_boxed_slice());
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            sets,
            hasher: RandomState::new(),
            overflow: Mutex::default(),
            overflowed: AtomicU64::new(0),
        }
    }

    /// Takes `tokens` of `key`, at once or (`promise`) as soon as they have grown; see [`bucket`].
    ///
    /// # Errors
    /// If they are not there, or not soon enough: how long it takes. Nothing was taken.
    pub fn take(
        &self,
        key: Key,
        rate: Rate,
        tokens: u32,
        now_ns: u64,
        promise: bool,
    ) -> Result<Taken, Duration> {
        if rate.is_unlimited() {
            return Ok(Taken { wait_ns: 0, full_in_ns: 0 });
        }
        self.with_bucket(key, rate, now_ns, |full_at_ns| {
            let (full_at_then, told) = bucket::taken(*full_at_ns, rate, tokens, now_ns, promise);
            *full_at_ns = full_at_then;
            told
        })
    }

    /// Gives tokens back that were taken, or promised, and will not be used.
    pub fn give_back(&self, key: Key, rate: Rate, tokens: u32, now_ns: u64) {
        if !rate.is_unlimited() {
            let ns = rate.ns_of(tokens.into());
            self.with_bucket(key, rate, now_ns, |full_at_ns| {
                *full_at_ns = full_at_ns.saturating_sub(ns);
            });
        }
    }

    /// Nanoseconds until the bucket of `key` is full; nothing is changed.
    pub fn full_in_ns(&self, key: Key, rate: Rate, now_ns: u64) -> u64 {
        let (shard, first) = self.place(key);
        let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = shard[first..first + WAYS].iter().find(|slot| is_of(slot, key));
        let full_at_ns = slot.map_or_else(|| bucket::at_start(rate), |slot| slot[2]);
        full_at_ns.saturating_sub(now_ns)
    }

    /// Decisions so far that were made by a bucket which several keys share.
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// The shard of a key, and the first slot of its set in there.
    fn place(&self, key: Key) -> (&Mutex<Box<[Slot]>>, usize) {
        let hash = self.hasher.hash_one(key) as usize;
        (&self.shards[hash % SHARDS], hash / SHARDS % self.sets * WAYS)
    }

    fn with_bucket<T>(
        &self,
        key: Key,
        rate: Rate,
        now_ns: u64,
        change: impl FnOnce(&mut u64) -> T,
    ) -> T {
        let (shard, first) = self.place(key);
        // Nothing panics under this lock.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let set = &mut shard[first..first + WAYS];
        let mut free = None;
        for (way, slot) in set.iter().enumerate() {
            if is_of(slot, key) {
                return change(&mut set[way][2]);
            }
            // Never used, or full: nothing is lost with it.
            if free.is_none() && slot[2] <= now_ns {
                free = Some(way);
            }
        }
        if let Some(way) = free {
            let mut full_at_ns = bucket::at_start(rate);
            let outcome = change(&mut full_at_ns);
            set[way] = [key.subject, u64::from(key.class) + USED, full_at_ns];
            return outcome;
        }
        drop(shard);
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        change(self.overflow().entry(key.class).or_insert_with(|| bucket::at_start(rate)))
    }

    fn overflow(&self) -> MutexGuard<'_, HashMap<u32, u64>> {
        // Nor under this one.
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_of(slot: &Slot, key: Key) -> bool {
    slot[0] == key.subject && slot[1] == u64::from(key.class) + USED
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::bucket::TokenBucket, *};

    const S: u64 = 1_000_000_000;
    /// Later than any bucket of these tests fills from the start.
    const LATER: u64 = 1000 * S;

    fn of(subject: u64) -> Key {
        Key { subject, class: 3 }
    }

    fn passed(buckets: &KeyedBuckets, key: Key, rate: Rate, now_ns: u64) -> usize {
        (0..1000).take_while(|_| buckets.take(key, rate, 1, now_ns, false).is_ok()).count()
    }

    #[test]
    fn each_key_of_each_class_has_a_bucket_of_its_own() {
        let (buckets, rate) = (KeyedBuckets::with_slots(1024), Rate::new(1.0, 5));
        assert_eq!(passed(&buckets, of(1), rate, LATER), 5);
        assert_eq!(passed(&buckets, of(2), rate, LATER), 5);
        assert_eq!(passed(&buckets, Key { class: 4, ..of(1) }, rate, LATER), 5);
        assert_eq!(passed(&buckets, of(1), rate, LATER + 2 * S), 2);
        assert_eq!(buckets.full_in_ns(of(1), rate, LATER + 2 * S), 5 * S);
        buckets.give_back(of(1), rate, 1, LATER + 2 * S);
        assert_eq!(passed(&buckets, of(1), rate, LATER + 2 * S), 1);
    }

    #[test]
    fn a_restart_gives_nobody_a_burst() {
        let (buckets, rate) = (KeyedBuckets::with_slots(1024), Rate::new(10.0, 100));
        assert_eq!(passed(&buckets, of(1), rate, S), 11, "one, and what has grown since");
        assert_eq!(passed(&buckets, of(2), rate, 11 * S), 100);
        assert_eq!(buckets.full_in_ns(of(3), rate, S), 89 * S / 10);
        // Whoever has one an hour need not wait for the first of them.
        let hourly = Rate::every(Duration::from_secs(3600), 1, 1);
        assert_eq!(passed(&buckets, Key { class: 9, ..of(1) }, hourly, 1), 1);
    }

    #[test]
    fn the_first_key_of_all_is_told_from_a_slot_that_was_never_used() {
        let (buckets, rate) = (KeyedBuckets::with_slots(1024), Rate::new(10.0, 100));
        let zero = Key { subject: 0, class: 0 };
        assert_eq!(buckets.full_in_ns(zero, rate, S), 89 * S / 10);
        assert_eq!(passed(&buckets, zero, rate, S), 11, "not the whole burst");
    }

    #[test]
    fn a_million_keys_have_room_with_a_spare_half() {
        let buckets = KeyedBuckets::default();
        assert_eq!(buckets.shards.len() * buckets.sets * WAYS, 2_097_152);
    }

    /// An abuser brings many addresses to have its own bucket forgotten, or those of others.
    #[test]
    fn filling_the_table_forgives_nobody() {
        let (buckets, rate) = (KeyedBuckets::with_slots(4096), Rate::new(1.0, 10));
        assert_eq!(passed(&buckets, of(0), rate, LATER), 10);
        let mut others = 0;
        for subject in 1..100_000 {
            others += usize::from(buckets.take(of(subject), rate, 1, LATER, false).is_ok());
            assert!(buckets.take(of(0), rate, 1, LATER, false).is_err(), "after {subject}");
        }
        // Each slot lets ten pass, the shared bucket ten in all.
        assert!(others <= 4096 + 10, "{others}");
        assert!(buckets.overflowed() > 90_000);
        // Once their buckets are full they leave room for others.
        let before = buckets.overflowed();
        let fresh = (200_000..201_000)
            .filter(|subject| buckets.take(of(*subject), rate, 1, LATER + 20 * S, false).is_ok());
        assert_eq!(fresh.count(), 1000);
        assert_eq!(buckets.overflowed(), before);
    }

    #[test]
    fn no_limit_takes_no_slot() {
        let buckets = KeyedBuckets::with_slots(1);
        for subject in 0..10_000 {
            assert!(buckets.take(of(subject), Rate::UNLIMITED, 1, LATER, false).is_ok());
        }
        let rate = Rate::new(1.0, 1);
        assert!(buckets.take(of(1), rate, 1, LATER, false).is_ok());
        assert_eq!(buckets.overflowed(), 0);
    }

    proptest! {
        /// Like so many single buckets, as long as there is room.
        #[test]
        fn a_table_decides_as_single_buckets_do(
            asked in prop::collection::vec(
                (0_u64..6, 0_u64..300_000_000, 1_u32..4, 0_u8..3), 1..200
            ),
        ) {
            let (table, rate) = (KeyedBuckets::with_slots(1 << 14), Rate::new(20.0, 6));
            let single: [TokenBucket; 6] = Default::default();
            single.iter().for_each(|bucket| bucket.begin(rate));
            let mut now = LATER;
            for (subject, pause, tokens, how) in asked {
                now += pause;
                let (key, bucket) = (of(subject), &single[subject as usize]);
                match how {
                    0 => prop_assert_eq!(
                        table.take(key, rate, tokens, now, false),
                        bucket.take(rate, tokens, now)
                    ),
                    1 => prop_assert_eq!(
                        table.take(key, rate, tokens, now, true),
                        bucket.reserve(rate, tokens, now)
                    ),
                    _ => {
                        table.give_back(key, rate, tokens, now);
                        bucket.give_back(rate, tokens);
                    }
                }
            }
        }
    }
}

//! How often somebody may try a password: the first three times at once, then after 1, 2, 4 … seconds, at most 60. Counted
//! for the address and for the name; never a lock, which anybody could put on somebody else. Plain; time comes in.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use actors::player::Address;

/// Attempts without a delay.
const FREE: u32 = 3;

/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// After so long without an attempt all is as before: 15 delays of the longest kind.
const FORGOTTEN_AFTER_MS: u64 = 15 * 60 * 1000;

/// Most addresses and names: 65,536 × 40 bytes = 2.6 MB. As many attempts take 9 minutes of two cores that hash. When it
/// is full, newcomers share one count.
const KEYS_MAX: usize = 1 << 16;

/// Looking for what is forgotten takes a ms, so it is done once in so long at most.
const SWEEP_INTERVAL_MS: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(Address),
    /// Its hash: names may be long.
    Name(u64),
    /// Of those for whom there was no room.
    Others,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    attempts: u32,
    last_ms: u64,
}

impl Count {
    /// Until the next attempt is allowed.
    fn wait_ms(self, now_ms: u64) -> u64 {
        let Some(beyond) = self.attempts.checked_sub(FREE) else { return 0 };
        let longest_ms = DELAY_MAX.as_millis() as u64;
        let delay_ms = 1000u64.checked_shl(beyond).unwrap_or(longest_ms).min(longest_ms);
        // A clock that went backwards makes nobody wait for longer than that.
        (self.last_ms + delay_ms).saturating_sub(now_ms).min(delay_ms)
    }

    fn is_forgotten(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) >= FORGOTTEN_AFTER_MS
    }
}

/// All attempts that still count.
#[derive(Debug)]
pub struct Attempts {
    counts: HashMap<Key, Count>,
    hasher: RandomState,
    keys_max: usize,
    swept_ms: u64,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::with_room_for(KEYS_MAX)
    }
}

impl Attempts {
    fn with_room_for(keys_max: usize) -> Self {
        Self { counts: HashMap::new(), hasher: RandomState::new(), keys_max, swept_ms: 0 }
    }

    /// Counts an attempt from `address` at the account of a folded name, before anybody knows how it ends: many at once
    /// are no way around.
    ///
    /// # Errors
    /// If it comes too early: how long to wait. It is not counted then, so that whoever waits is not held up by others
    /// who do not.
    pub fn begin(
        &mut self,
        address: Option<Address>,
        folded: &str,
        now_ms: u64,
    ) -> Result<(), Duration> {
        self.sweep(now_ms);
        let keys = self.keys(address, folded);
        let waits = keys.iter().flatten().map(|key| self.count(*key, now_ms).wait_ms(now_ms));
        if let Some(wait_ms @ 1..) = waits.max() {
            return Err(Duration::from_millis(wait_ms));
        }
        for key in keys.into_iter().flatten() {
            let attempts = self.count(key, now_ms).attempts.saturating_add(1);
            self.counts.insert(key, Count { attempts, last_ms: now_ms });
        }
        Ok(())
    }

    /// The password was right: the name is as before. The address is not, which may have an account of its own to clear
    /// itself between attempts at those of others.
    pub fn succeeded(&mut self, folded: &str) {
        let name = Key::Name(self.hasher.hash_one(folded));
        self.counts.remove(&name);
    }

    /// Takes an attempt back that was not made for want of somebody to judge it.
    pub fn undo(&mut self, address: Option<Address>, folded: &str) {
        for key in self.keys(address, folded).into_iter().flatten() {
            if let Some(count) = self.counts.get_mut(&key) {
                count.attempts = count.attempts.saturating_sub(1);
            }
        }
    }

    fn count(&self, key: Key, now_ms: u64) -> Count {
        let known = self.counts.get(&key).copied().filter(|count| !count.is_forgotten(now_ms));
        known.unwrap_or(Count { attempts: 0, last_ms: now_ms })
    }

    fn keys(&self, address: Option<Address>, folded: &str) -> [Option<Key>; 2] {
        let place = |key| {
            let has_room = self.counts.len() < self.keys_max || self.counts.contains_key(&key);
            if has_room { key } else { Key::Others }
        };
        let name = place(Key::Name(self.hasher.hash_one(folded)));
        let address = address.map(|address| place(Key::Address(address)));
        // Counted once.
        [Some(name), address.filter(|address| *address != name)]
    }

    fn sweep(&mut self, now_ms: u64) {
        let is_due = now_ms.abs_diff(self.swept_ms) >= SWEEP_INTERVAL_MS;
        if is_due && self.counts.len() + 1 >= self.keys_max {
            self.swept_ms = now_ms;
            self.counts.retain(|_, count| !count.is_forgotten(now_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn address(number: u32) -> Option<Address> {
        Some(Address::of(IpAddr::V4(Ipv4Addr::from_bits(number)), 64))
    }

    /// Attempts as early as each is allowed; the seconds between them.
    fn delays(
        attempts: &mut Attempts,
        count: usize,
        mut who: impl FnMut() -> (Option<Address>, String),
    ) -> Vec<u64> {
        let mut now_ms = NOW_MS;
        let mut next = || {
            let (address, name) = who();
            let wait = attempts.begin(address, &name, now_ms).err().unwrap_or_default();
            if !wait.is_zero() {
                let ms = wait.as_millis() as u64;
                assert!(attempts.begin(address, &name, now_ms + ms - 1).is_err(), "not earlier");
                now_ms += ms;
                attempts.begin(address, &name, now_ms).expect("as early as that");
            }
            wait.as_secs()
        };
        (0..count).map(|_| next()).collect()
    }

    const DELAYS: [u64; 12] = [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60];

    #[test]
    fn three_attempts_are_free_and_then_the_delay_doubles_up_to_a_minute() {
        let mut number = 0;
        let mut other = || {
            number += 1;
            number
        };
        let of_name = delays(&mut Attempts::default(), 12, || (address(other()), "jo".to_owned()));
        assert_eq!(of_name, DELAYS, "from ever new addresses");
        let of_address = delays(&mut Attempts::default(), 12, || (address(1), other().to_string()));
        assert_eq!(of_address, DELAYS, "at ever new names");
        assert_eq!(delays(&mut Attempts::default(), 12, || (None, "jo".to_owned())), DELAYS);
        let mut many = Attempts::default();
        many.counts.insert(Key::Others, Count { attempts: u32::MAX, last_ms: NOW_MS });
        assert_eq!(many.counts[&Key::Others].wait_ms(NOW_MS), 60_000);
    }

    #[test]
    fn a_right_password_frees_the_name_and_not_the_address() {
        let mut attempts = Attempts::default();
        for _ in 0..3 {
            attempts.begin(address(1), "jo", NOW_MS).expect("free");
        }
        attempts.succeeded("jo");
        assert!(attempts.begin(address(1), "jo", NOW_MS).is_err(), "the address");
        assert!(attempts.begin(address(2), "jo", NOW_MS).is_ok(), "the name");
        attempts.undo(address(1), "other");
        assert!(attempts.begin(address(1), "another", NOW_MS).is_ok(), "taken back");
    }

    #[test]
    fn nobody_is_held_up_by_refused_attempts_of_others_or_for_ever() {
        let mut attempts = Attempts::default();
        delays(&mut attempts, 4, || (None, "jo".to_owned()));
        let now_ms = NOW_MS + 1000;
        for early_ms in 0..2_000 {
            assert!(attempts.begin(None, "jo", now_ms + early_ms).is_err(), "{early_ms}");
        }
        assert!(attempts.begin(None, "jo", now_ms + 2_000).is_ok());
        assert!(attempts.begin(None, "jo", now_ms - 100_000).is_err(), "the clock went back");
        let wait = attempts.begin(None, "jo", now_ms - 100_000).expect_err("still");
        assert!(wait <= DELAY_MAX);
        let later_ms = now_ms + 2_000 + FORGOTTEN_AFTER_MS;
        for _ in 0..3 {
            attempts.begin(None, "jo", later_ms).expect("forgotten");
        }
        assert!(attempts.begin(None, "jo", later_ms).is_err());
    }

    #[test]
    fn memory_is_bounded_and_newcomers_share_a_count() {
        let mut attempts = Attempts::with_room_for(100);
        for number in 0..50 {
            attempts.begin(address(number), &number.to_string(), NOW_MS).expect("new");
        }
        for number in 50..53 {
            attempts.begin(address(number), &number.to_string(), NOW_MS).expect("free");
        }
        assert!(attempts.begin(address(60), "60", NOW_MS).is_err(), "with 50, 51 and 52");
        assert!(attempts.begin(address(7), "7", NOW_MS).is_ok(), "who is known is not");
        assert!(attempts.counts.len() <= 101);
        assert!(attempts.begin(address(60), "60", NOW_MS + FORGOTTEN_AFTER_MS).is_ok());
        assert!(attempts.counts.len() <= 3, "the others are forgotten");
    }
}

//! Token buckets that many nodes share, without a question on the way of a decision.
//!
//! The tokens of a key lie in two places. Each node has its *own* part, from which it takes at once; the rest is a
//! *pool* that all nodes draw from (in Redis). A node decides from its own part and draws for many keys in one
//! call per tick: what it has taken, what askers wait for, and as much again as was used in the last tick. What lies
//! idle above the own part goes back with the next call. A key of which nothing is known has a full own part, so only
//! those with a full own part are forgotten.
//!
//! The bound: no stretch of time sees more than `burst + rate × time + 1`. For `n` nodes with an own part of `c` the
//! pool's burst is `burst − n × c − what grows in two ticks`: in a stretch nodes use what they held when it began (own
//! parts, and tokens drawn in the tick before), what the pool held, and what grew. Where the burst is smaller than all
//! of that the pool holds what grows in a tick, so that the rate can be had, and the bound is missed by what grows in
//! three.
//!
//! A node that does not reach the pool goes on *alone*: tokens grow in it at `rate / n`, from nothing. When it is
//! back it debits them where they would have been taken. A node that has just started holds nothing of its own either.
//!
//! Who has to wait has a *ticket*: tokens are numbered by key, and a ticket is due when so many have been granted. So
//! those who wait take turns. Who gives its place up is skipped when the line comes to it: nobody behind it waits for
//! tokens that nobody will use.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::{bucket::Taken, keyed::Key, rate::Rate};

/// Time between two calls for a node's keys.
pub const TICK: Duration = Duration::from_millis(50);

const TICK_NS: u64 = TICK.as_nanos() as u64;

/// Locks.
const SHARDS: usize = 64;

/// Keys that are not full, at most: 2^17 of 176 bytes, 45 MiB in maps that are half full. Beyond them those of a class
/// share one.
pub const KEYS_MAX: usize = 1 << 17;

/// Whose lease those without one share.
const OVERFLOW: u64 = u64::MAX;

/// Of a burst, the part that nodes hold as their own is a quarter.
const OWN_PARTS: u32 = 4;

/// What a node may take of a key at once while it is not known to be used.
pub fn own_part(rate: Rate, nodes: u32) -> u32 {
    rate.burst() / OWN_PARTS / nodes.max(1)
}

/// The burst of the pool that `nodes` nodes share beside their own parts.
pub fn pool_burst(rate: Rate, nodes: u32) -> u32 {
    let grown = rate.tokens_in(2 * TICK_NS).saturating_add(1);
    let kept = u64::from(own_part(rate, nodes)) * u64::from(nodes.max(1)) + grown;
    let least = rate.tokens_in(TICK_NS).saturating_add(1);
    u64::from(rate.burst()).saturating_sub(kept).max(least).min(u32::MAX.into()) as u32
}

/// A place among those who wait for tokens of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    key: Key,
    /// Due when so many tokens have been granted.
    end: u64,
    /// Of those, its own.
    tokens: u32,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The tokens are there.
    Now(Taken),
    /// They are promised; [`Leases::is_due`] tells when they are there.
    Later(Ticket, Taken),
}

/// What a node asks of the pool for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Whose tokens.
    pub key: Key,
    /// How fast they grow; with the burst of the pool.
    pub rate: Rate,
    /// Tokens wanted.
    pub want: u32,
    /// Tokens given back.
    pub back: u32,
    /// Tokens that grew in this node while it was alone.
    pub alone: u32,
}

/// What the pool answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Tokens granted, at most as many as were wanted.
    pub granted: u32,
    /// Nanoseconds until the pool of this key is full.
    pub full_in_ns: u64,
}

/// What one node knows of one key.
#[derive(Debug)]
struct Lease {
    rate: Rate,
    /// Tokens ever taken or promised here.
    taken: u64,
    /// Tokens ever had here, and those that were skipped.
    granted: u64,
    /// Places that were given up, by the end of their tickets, and their tokens: skipped when all before them are served.
    given_up: BTreeMap<u64, u32>,
    /// Tokens of all of these.
    given_up_tokens: u64,
    /// [`taken`](Self::taken) at the last tick.
    taken_before: u64,
    /// The pool has nothing before this time.
    dry_until_ns: u64,
    /// When the pool will be full, as far as is known.
    full_at_ns: u64,
    /// Up to when tokens have grown here, while alone.
    grown_at_ns: u64,
    /// Of those, what has not been debited.
    alone: u64,
    /// Asked for, and not answered.
    asked: Option<Ask>,
}

impl Lease {
    /// Tokens that somebody waits for.
    fn waiting(&self) -> u64 {
        self.taken.saturating_sub(self.granted).saturating_sub(self.given_up_tokens)
    }

    /// Tokens have come.
    fn grant(&mut self, tokens: u64) {
        self.granted += tokens;
        self.skip();
    }

    /// Passes what those at the head of the line do not want any more on to those behind them.
    fn skip(&mut self) {
        while let Some(place) = self.given_up.first_entry()
            && place.key() - u64::from(*place.get()) <= self.granted
        {
            let tokens = u64::from(place.remove());
            self.granted += tokens;
            self.given_up_tokens -= tokens;
        }
    }

    /// Somebody does not want its tokens any more, whether they have come or not.
    fn give_up(&mut self, end: u64, tokens: u32) {
        if end <= self.granted {
            // For whoever comes next.
            self.grant(tokens.into());
        } else {
            self.given_up.insert(end, tokens);
            self.given_up_tokens += u64::from(tokens);
            self.skip();
        }
        // Those at the end of the line have nobody behind them.
        while let Some(place) = self.given_up.last_entry()
            && *place.key() == self.taken
        {
            let tokens = u64::from(place.remove());
            self.taken -= tokens;
            self.given_up_tokens -= tokens;
        }
        self.taken_before = self.taken_before.min(self.taken);
    }

    fn holds(&self) -> u64 {
        self.granted.saturating_sub(self.taken)
    }

    fn told(&self, wait_ns: u64, nodes: u32, now_ns: u64) -> Taken {
        let own = u64::from(own_part(self.rate, nodes));
        let lacking = (own + self.waiting()).saturating_sub(self.holds());
        let full_in_ns = self.full_at_ns.saturating_sub(now_ns);
        Taken { wait_ns, full_in_ns: full_in_ns.saturating_add(self.rate.ns_of(lacking)) }
    }

    /// Tokens grow at the share of a node that does without the others.
    fn grow(&mut self, nodes: u32, now_ns: u64) {
        let share = self.rate.shared_by(nodes);
        let room = u64::from(own_part(self.rate, nodes).max(1)) + self.waiting();
        let grown = share.tokens_in(now_ns.saturating_sub(self.grown_at_ns));
        let kept = grown.min(room.saturating_sub(self.holds()));
        // What found no room has gone for good; what is not yet a token stays.
        self.grown_at_ns += share.ns_of(grown);
        self.grant(kept);
        self.alone += kept;
    }

    /// What to ask for, if anything.
    fn ask(&mut self, key: Key, nodes: u32, now_ns: u64) -> Option<Ask> {
        let used = self.taken - self.taken_before;
        self.taken_before = self.taken;
        if self.asked.is_some() {
            return None;
        }
        let (own, holds) = (u64::from(own_part(self.rate, nodes)), self.holds());
        let back = holds.saturating_sub(own + used);
        self.granted -= back;
        let is_dry = now_ns < self.dry_until_ns;
        let want = if is_dry { 0 } else { (self.waiting() + own + used).saturating_sub(holds) };
        // At rest nothing is drawn ahead.
        let want = if used == 0 && holds >= own { 0 } else { want };
        let alone = std::mem::take(&mut self.alone);
        let counted = |tokens: u64| u32::try_from(tokens).unwrap_or(u32::MAX);
        let rate = self.rate.with_burst(pool_burst(self.rate, nodes));
        let (want, back, alone) = (counted(want), counted(back), counted(alone));
        let ask = Ask { key, rate, want, back, alone };
        let has_any = want > 0 || back > 0 || alone > 0;
        self.asked = has_any.then_some(ask);
        self.asked
    }

    fn is_at_rest(&self, nodes: u32, now_ns: u64) -> bool {
        let own = u64::from(own_part(self.rate, nodes));
        self.asked.is_none()
            && self.taken == self.taken_before
            && self.alone == 0
            && self.waiting() == 0
            && self.holds() == own
            && self.dry_until_ns <= now_ns
    }
}

/// What one node holds of the keys that are in use.
#[derive(Debug)]
pub struct Leases {
    shards: Box<[Mutex<HashMap<Key, Lease>>]>,
    hasher: RandomState,
    keys: AtomicUsize,
    /// Nodes that draw from the pool, this one among them.
    nodes: AtomicU32,
    is_alone: AtomicBool,
}

impl Default for Leases {
    /// Alone, until the pool has answered for the first time.
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            keys: AtomicUsize::new(0),
            nodes: AtomicU32::new(1),
            is_alone: AtomicBool::new(true),
        }
    }
}

impl Leases {
    /// Keys of which something is held, wanted or owed.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Nodes that draw from the pool.
    pub fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Whether the pool is not reached.
    pub fn is_alone(&self) -> bool {
        self.is_alone.load(Ordering::Relaxed)
    }

    fn shard(&self, key: Key) -> MutexGuard<'_, HashMap<Key, Lease>> {
        let shard = &self.shards[self.hasher.hash_one(key) as usize % SHARDS];
        // Nothing panics under this lock.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `f` look at the lease of `key`, made if there is none.
    fn with<T>(
        &self,
        key: Key,
        rate: Rate,
        now_ns: u64,
        f: impl FnOnce(Key, &mut Lease) -> T,
    ) -> T {
        let mut shard = self.shard(key);
        if !shard.contains_key(&key) {
            if self.keys() >= KEYS_MAX && key.subject != OVERFLOW {
                drop(shard);
                return self.with(Key { subject: OVERFLOW, ..key }, rate, now_ns, f);
            }
            self.keys.fetch_add(1, Ordering::Relaxed);
            shard.insert(key, self.unknown(rate, now_ns));
        }
        let lease = shard.get_mut(&key).expect("it was just put there");
        // A changed rate, and what was promised at the old one, are followed at the next tick.
        lease.rate = rate;
        f(key, lease)
    }

    /// What is known of a key that nothing is known of.
    fn unknown(&self, rate: Rate, now_ns: u64) -> Lease {
        let is_fresh = now_ns < rate.burst_ns() || self.is_alone();
        let own = if is_fresh { 0 } else { own_part(rate, self.nodes()) };
        Lease {
            rate,
            taken: 0,
            granted: own.into(),
            given_up: BTreeMap::new(),
            given_up_tokens: 0,
            taken_before: 0,
            dry_until_ns: 0,
            full_at_ns: 0,
            grown_at_ns: now_ns,
            alone: 0,
            asked: None,
        }
    }

    /// Takes `tokens` of `key`, at once or after at most `patience`, as far as is known.
    ///
    /// # Errors
    /// If it takes longer; nothing was taken.
    pub fn take(
        &self,
        key: Key,
        rate: Rate,
        tokens: u32,
        now_ns: u64,
        patience: Duration,
    ) -> Result<Outcome, Duration> {
        let nodes = self.nodes();
        self.with(key, rate, now_ns, |key, lease| {
            let end = lease.taken + u64::from(tokens);
            if end <= lease.granted {
                lease.taken = end;
                return Ok(Outcome::Now(lease.told(0, nodes, now_ns)));
            }
            let share = if self.is_alone() { rate.shared_by(nodes) } else { rate };
            let is_known = self.is_alone() || now_ns < lease.dry_until_ns;
            let lacking = (end - lease.granted).saturating_sub(lease.given_up_tokens);
            let wait_ns = if is_known {
                share.ns_of(lacking)
            } else {
                // The pool has no more than it would have if nobody else drew from it.
                let lacks_ns = lease.full_at_ns.saturating_sub(now_ns);
                let has_ns = rate.ns_of(pool_burst(rate, nodes).into()).saturating_sub(lacks_ns);
                TICK_NS.saturating_add(rate.ns_of(lacking).saturating_sub(has_ns))
            };
            if u128::from(wait_ns) > patience.as_nanos() {
                return Err(Duration::from_nanos(wait_ns));
            }
            lease.taken = end;
            let ticket = Ticket { key, end, tokens };
            Ok(Outcome::Later(ticket, lease.told(wait_ns, nodes, now_ns)))
        })
    }

    /// Nanoseconds until the bucket of `key` is full, as far as this node knows.
    pub fn full_in_ns(&self, key: Key, now_ns: u64) -> u64 {
        let nodes = self.nodes();
        self.shard(key).get(&key).map_or(0, |lease| lease.told(0, nodes, now_ns).full_in_ns)
    }

    /// Whether what was promised is there.
    pub fn is_due(&self, ticket: Ticket) -> bool {
        // One that is not there any more has nobody who waits.
        self.shard(ticket.key).get(&ticket.key).is_none_or(|lease| ticket.end <= lease.granted)
    }

    /// Gives tokens back that were taken and will not be used, unless somebody waits behind them.
    pub fn give_back(&self, key: Key, tokens: u32) {
        if let Some(lease) = self.shard(key).get_mut(&key)
            && lease.taken <= lease.granted
        {
            lease.taken = lease.taken.saturating_sub(tokens.into());
            lease.taken_before = lease.taken_before.min(lease.taken);
        }
    }

    /// Gives up a place in the line, or the tokens that have come for it.
    pub fn give_up(&self, ticket: Ticket) {
        if let Some(lease) = self.shard(ticket.key).get_mut(&ticket.key) {
            lease.give_up(ticket.end, ticket.tokens);
        }
    }

    /// A tick of a node that reaches the pool: what to ask for. Forgets keys at rest.
    pub fn tick(&self, now_ns: u64) -> Vec<Ask> {
        let (nodes, mut asks) = (self.nodes(), Vec::new());
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|key, lease| {
                let is_kept = !lease.is_at_rest(nodes, now_ns);
                if is_kept {
                    asks.extend(lease.ask(*key, nodes, now_ns));
                } else {
                    self.keys.fetch_sub(1, Ordering::Relaxed);
                }
                is_kept
            });
        }
        asks
    }

    /// A tick of a node that does not reach the pool: tokens grow in it.
    pub fn tick_alone(&self, now_ns: u64) {
        let (nodes, was_alone) = (self.nodes(), self.is_alone.swap(true, Ordering::Relaxed));
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for lease in shard.values_mut() {
                if !was_alone {
                    lease.grown_at_ns = now_ns;
                    lease.dry_until_ns = 0;
                }
                lease.grow(nodes, now_ns);
                lease.taken_before = lease.taken;
            }
        }
    }

    /// The pool has answered a call, which may have been for no key, and counts so many nodes.
    pub fn reached(&self, nodes: u32) {
        self.nodes.store(nodes.max(1), Ordering::Relaxed);
        self.is_alone.store(false, Ordering::Relaxed);
    }

    /// The pool's answer for one key.
    pub fn answered(&self, key: Key, answer: Answer, now_ns: u64) {
        let mut shard = self.shard(key);
        let Some(lease) = shard.get_mut(&key) else { return };
        let Some(ask) = lease.asked.take() else { return };
        lease.grant(answer.granted.into());
        lease.full_at_ns = now_ns.saturating_add(answer.full_in_ns);
        let is_dry = answer.granted < ask.want;
        // Until then the pool grows a tick's worth, or a single token.
        let worth_ns = ask.rate.ns_of(1).max(TICK_NS);
        lease.dry_until_ns = if is_dry { now_ns.saturating_add(worth_ns) } else { 0 };
    }

    /// A call for this key was not answered: what it would have brought, or has brought back, is given up.
    pub fn unanswered(&self, key: Key) {
        if let Some(lease) = self.shard(key).get_mut(&key)
            && let Some(ask) = lease.asked.take()
        {
            // If it was debited, then it is twice: that forgives nobody.
            lease.alone += u64::from(ask.alone);
        }
    }
}

#[cfg(test)]
mod tests;

//! May this one do this, now? One place that decides for WebSocket messages, handshakes and HTTP requests.
//!
//! What somebody does is counted at several *heights*: its connection, its address, its user, the node. Whoever is over
//! at any of them waits or is refused. The buckets of a connection lie in its player; those of addresses and users
//! in a table of fixed size ([`keyed`]) or, where many nodes share them, in [`lease`]s; those of the node here.
//!
//! - [`rate`] how fast · [`bucket`] one token bucket · [`keyed`] those of many keys · [`lease`] those of many nodes
//!
//! Rates come in with each decision, because they may change meanwhile; time comes in as `now_ns` of the node's clock.

mod kinds;
mod counts;
pub mod rate;
pub mod bucket;
pub mod keyed;
pub mod lease;

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, family::Family};

use self::{
    bucket::{PROMISE_MAX, Taken, TokenBucket},
    keyed::{Key, KeyedBuckets},
    lease::{Leases, Outcome, Ticket},
    rate::Rate,
};
pub use self::{
    counts::{OfRule, RuleCounts},
    kinds::{Height, Kind, Rates},
    lease::TICK,
};
use crate::player::{Address, UserId, Who};

/// How long somebody waits for tokens that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes to ask, if nothing is known: somebody waits for an answer.
    Answer,
    /// Up to [`PROMISE_MAX`]: it takes its turn.
    Turn,
}

impl Patience {
    /// Long enough for a tick, an answer and another tick.
    const ANSWER: Duration = Duration::from_millis(200);

    /// So long at most.
    pub fn longest(self) -> Duration {
        match self {
            Self::Answer => Self::ANSWER,
            Self::Turn => PROMISE_MAX,
        }
    }
}

/// Tokens that were taken, or promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permit {
    /// Not before this time of the clock.
    due_ns: u64,
    tickets: [Option<Ticket>; 2],
    of_address: Option<Taken>,
}

impl Permit {
    /// For tokens that are there at this time of the clock.
    pub(crate) fn at(due_ns: u64) -> Self {
        Self { due_ns, ..Self::default() }
    }

    /// Not before this time of the clock.
    pub fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// What was taken from an address, if it is counted.
    pub fn of_address(&self) -> Option<Taken> {
        self.of_address
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Where it is over.
    pub height: Height,
    /// When it would not be.
    pub wait: Duration,
}

/// All buckets of a node but those of connections.
#[derive(Debug)]
pub struct Limits {
    keyed: KeyedBuckets,
    /// Those that many nodes share, if they do.
    leases: Option<Arc<Leases>>,
    node: [TokenBucket; Kind::ALL.len()],
    /// `limit_decisions_total`.
    pub decisions: Family<OfRule, Counter>,
    counts: [[RuleCounts; Kind::ALL.len()]; Height::ALL.len()],
}

impl Default for Limits {
    /// Of a node that shares with nobody.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Limits {
    /// Of a node that shares by `leases`, if it does.
    pub fn new(leases: Option<Arc<Leases>>) -> Self {
        let decisions = Family::default();
        let counts = Height::ALL.map(|height| {
            Kind::ALL.map(|kind| RuleCounts::new(&decisions, kind.label(), height.label()))
        });
        Self { keyed: KeyedBuckets::default(), leases, node: Default::default(), decisions, counts }
    }

    /// Tokens that are shared with other nodes.
    pub fn leases(&self) -> Option<&Arc<Leases>> {
        self.leases.as_ref()
    }

    /// Decisions made by a bucket that several keys share, because there was no room for more.
    pub fn overflowed(&self) -> u64 {
        self.keyed.overflowed()
    }

    /// Takes `tokens` of `kind` for `who` at all heights, or none at any.
    ///
    /// # Errors
    /// If it is over at one of them, for longer than its patience.
    pub fn take(
        &self,
        who: Who,
        kind: Kind,
        tokens: u32,
        rates: &Rates,
        now_ns: u64,
        patience: Patience,
    ) -> Result<Permit, Refused> {
        let mut permit = Permit::at(now_ns);
        for height in Height::ALL {
            let rate = rates.of(height, kind);
            let Some(subject) = subject(who, height).filter(|_| !rate.is_unlimited()) else {
                continue;
            };
            let counts = &self.counts[height as usize][kind as usize];
            let asked = self.take_at(height, subject, kind, rate, tokens, now_ns, patience);
            match asked {
                Ok((taken, ticket)) => {
                    // Whether a token comes in time is not known yet: counted when it is.
                    if ticket.is_none() || patience == Patience::Turn || rates.is_shadow {
                        counts.allowed(rate, taken);
                    }
                    permit.due_ns = permit.due_ns.max(now_ns.saturating_add(taken.wait_ns));
                    if let Some(ticket) = ticket {
                        permit.tickets[height as usize] = Some(ticket);
                    }
                    if height == Height::Address {
                        permit.of_address = Some(taken);
                    }
                }
                Err(_) if rates.is_shadow => counts.refused(true),
                Err(wait) => {
                    counts.refused(false);
                    self.give_back(who, kind, tokens, rates, now_ns, height, &permit);
                    return Err(Refused { height, wait });
                }
            }
        }
        if rates.is_shadow {
            // Nobody waits, either.
            return Ok(Permit::at(now_ns));
        }
        Ok(permit)
    }

    /// Counts whether what was promised to somebody with the patience for an answer came in time.
    pub fn conclude(&self, permit: &Permit, kind: Kind, has_come: bool) {
        for height in Height::ALL.into_iter().take(permit.tickets.len()) {
            if permit.tickets[height as usize].is_some() {
                let counts = &self.counts[height as usize][kind as usize];
                if has_come { counts.waited() } else { counts.refused(false) }
            }
        }
    }

    /// Gives up what was promised by other nodes: whoever waited for it has left.
    pub fn give_up(&self, permit: &Permit) {
        if let Some(leases) = &self.leases {
            permit.tickets.into_iter().flatten().for_each(|ticket| leases.give_up(ticket));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, apart for its length")]
    fn take_at(
        &self,
        height: Height,
        subject: u64,
        kind: Kind,
        rate: Rate,
        tokens: u32,
        now_ns: u64,
        patience: Patience,
    ) -> Result<(Taken, Option<Ticket>), Duration> {
        let promise = patience == Patience::Turn;
        if height == Height::Node {
            let bucket = &self.node[kind as usize];
            bucket.begin(rate);
            let taken = match promise {
                true => bucket.reserve(rate, tokens, now_ns),
                false => bucket.take(rate, tokens, now_ns),
            };
            return taken.map(|taken| (taken, None));
        }
        let key = key(height, kind, subject);
        self.take_keyed(key, kind.is_of_all_nodes(), rate, tokens, now_ns, patience)
    }

    /// Whether one of `kind` would be there for `who` now, as far as this node knows. Nothing is taken.
    ///
    /// # Errors
    /// If not.
    pub fn would_take(
        &self,
        who: Who,
        kind: Kind,
        rates: &Rates,
        now_ns: u64,
    ) -> Result<(), Refused> {
        if rates.is_shadow {
            return Ok(());
        }
        for height in Height::ALL {
            let Some(wait_ns) = self.lacks_ns(who, height, kind, rates, now_ns) else { continue };
            if wait_ns > 0 {
                return Err(Refused { height, wait: Duration::from_nanos(wait_ns) });
            }
        }
        Ok(())
    }

    /// Nanoseconds until there is one of `kind` at `height`; none if there is no limit.
    fn lacks_ns(
        &self,
        who: Who,
        height: Height,
        kind: Kind,
        rates: &Rates,
        now_ns: u64,
    ) -> Option<u64> {
        let full_in_ns = self.full_in_ns(who, height, kind, rates, now_ns)?;
        Some(rates.of(height, kind).wait_ns(full_in_ns))
    }

    /// Nanoseconds until the bucket at `height` is full, as far as this node knows; none if there is no limit.
    pub fn full_in_ns(
        &self,
        who: Who,
        height: Height,
        kind: Kind,
        rates: &Rates,
        now_ns: u64,
    ) -> Option<u64> {
        let rate = rates.of(height, kind);
        let subject = subject(who, height).filter(|_| !rate.is_unlimited())?;
        if height == Height::Node {
            let bucket = &self.node[kind as usize];
            bucket.begin(rate);
            return Some(bucket.full_in_ns(now_ns));
        }
        let key = key(height, kind, subject);
        Some(self.keyed_full_in_ns(key, kind.is_of_all_nodes(), rate, now_ns))
    }

    /// Nanoseconds until the bucket of one key of a rule is full, as far as this node knows.
    pub fn key_full_in_ns(&self, key: Key, rate: Rate, now_ns: u64) -> u64 {
        self.keyed_full_in_ns(key, true, rate, now_ns)
    }

    fn keyed_full_in_ns(&self, key: Key, is_of_all_nodes: bool, rate: Rate, now_ns: u64) -> u64 {
        match self.leases.as_ref().filter(|_| is_of_all_nodes) {
            Some(leases) => leases.full_in_ns(key, now_ns),
            None => self.keyed.full_in_ns(key, rate, now_ns),
        }
    }

    /// Takes `tokens` of one key of a rule, which all nodes count together.
    ///
    /// # Errors
    /// If they are not there: how long it takes.
    pub fn take_key(
        &self,
        key: Key,
        rate: Rate,
        tokens: u32,
        now_ns: u64,
        patience: Patience,
    ) -> Result<(Taken, Permit), Duration> {
        let (taken, ticket) = self.take_keyed(key, true, rate, tokens, now_ns, patience)?;
        let due_ns = now_ns.saturating_add(taken.wait_ns);
        Ok((taken, Permit { tickets: [ticket, None], ..Permit::at(due_ns) }))
    }

    /// Takes `tokens` of one key.
    fn take_keyed(
        &self,
        key: Key,
        is_of_all_nodes: bool,
        rate: Rate,
        tokens: u32,
        now_ns: u64,
        patience: Patience,
    ) -> Result<(Taken, Option<Ticket>), Duration> {
        match self.leases.as_ref().filter(|_| is_of_all_nodes) {
            Some(leases) => {
                match leases.take(key, rate, tokens, now_ns, patience.longest())? {
                    Outcome::Now(taken) => Ok((taken, None)),
                    // Asked for again at each tick: when it comes is not known.
                    Outcome::Later(ticket, taken) => {
                        Ok((Taken { wait_ns: 0, ..taken }, Some(ticket)))
                    }
                }
            }
            None => {
                let promise = patience == Patience::Turn;
                let taken = self.keyed.take(key, rate, tokens, now_ns, promise)?;
                Ok((taken, None))
            }
        }
    }

    /// Gives back what was taken, or a place that was taken, below `height`.
    #[expect(clippy::too_many_arguments, reason = "one call, apart for its length")]
    fn give_back(
        &self,
        who: Who,
        kind: Kind,
        tokens: u32,
        rates: &Rates,
        now_ns: u64,
        height: Height,
        permit: &Permit,
    ) {
        self.give_up(permit);
        for lower in Height::ALL.into_iter().take_while(|lower| *lower != height) {
            let rate = rates.of(lower, kind);
            let Some(subject) = subject(who, lower).filter(|_| !rate.is_unlimited()) else {
                continue;
            };
            if permit.tickets.get(lower as usize).is_some_and(Option::is_some) {
                continue;
            }
            let key = key(lower, kind, subject);
            match self.leases.as_ref().filter(|_| kind.is_of_all_nodes()) {
                Some(leases) => leases.give_back(key, tokens),
                None => self.keyed.give_back(key, rate, tokens, now_ns),
            }
        }
    }

    /// Whether what was promised is there.
    ///
    /// # Errors
    /// If not: when to look again, as a time of the clock.
    pub fn due(&self, permit: &Permit, now_ns: u64) -> Result<(), u64> {
        if now_ns < permit.due_ns {
            return Err(permit.due_ns);
        }
        let is_due =
            |ticket: &Ticket| self.leases.as_ref().is_none_or(|leases| leases.is_due(*ticket));
        if permit.tickets.iter().flatten().all(is_due) {
            Ok(())
        } else {
            // Half a tick: then it is found three quarters of a tick after it came, at most.
            Err(now_ns + TICK.as_nanos() as u64 / 2)
        }
    }
}

/// Who is counted at `height`, if anybody is.
fn subject(who: Who, height: Height) -> Option<u64> {
    match height {
        Height::Address => who.address.map(Address::number),
        Height::User => who.user.map(UserId::get),
        Height::Node => Some(0),
    }
}

fn key(height: Height, kind: Kind, subject: u64) -> Key {
    Key { subject, class: (height as usize * Kind::ALL.len() + kind as usize) as u32 }
}

#[cfg(test)]
mod tests;

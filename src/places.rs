//! The places for connections that are with HTTP: who has one, and who gives it up.
//!
//! A connection *asks* when its first request has come in as a whole. Until then it has its place on sufferance: where
//! somebody else waits for one, whoever has been silent for [`SILENCE`], or has not said what it wants within
//! [`HALF_SAID`], gives it up; first those of the address that has most. An address that has more than its share gives
//! up a silent one of its own for each that comes, and where somebody waits, also one that has asked, once it is
//! [`LONG`] there: clients that do not take their answers keep nobody out. Trusted proxies speak for many, and give up
//! nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    net::IpAddr,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use actors::player::Address;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{sync::Notify, time::timeout};

use crate::live::Following;

/// Connections of one worker with HTTP at once; beyond them the others wait.
pub const PLACES_MAX: usize = 2048;

/// Connections of one worker that may wait for a place before no more are accepted.
pub const WAITING_MAX: usize = 64;

/// Places that one address may have before its silent connections give up theirs.
const SHARE: usize = PLACES_MAX / 8;

/// Silence after which somebody who waits gets the place: browsers that have a question ask at once.
const SILENCE: Duration = Duration::from_millis(250);

/// The same for whoever has said a part.
const HALF_SAID: Duration = Duration::from_secs(2);

/// The same for whoever has asked, and is one of too many from its address: answers are made in milliseconds.
const LONG: Duration = Duration::from_secs(5);

/// Between two looks for a place that somebody gives up.
const LOOK: Duration = Duration::from_millis(50);

/// Connections of one worker that are with HTTP.
pub struct Places {
    taken: Cell<usize>,
    /// Those of each address.
    by_address: RefCell<HashMap<Address, Of>>,
    freed: Notify,
    /// How many of them may be idle: with more, each answer ends its connection.
    live: Following,
    /// Age from which on each answer is the last one, so that nobody holds a place for ever, and
    /// load balancers spread their connections anew now and then.
    old: Duration,
    all_workers: Gauge,
}

/// Those of one address.
#[derive(Default)]
struct Of {
    taken: usize,
    /// Oldest first; some have left.
    all: VecDeque<Weak<Place>>,
}

/// One of them, until it is dropped.
pub struct Place {
    places: Rc<Places>,
    address: Address,
    /// Of a proxy that speaks for many.
    is_trusted: bool,
    /// Since when.
    pub opened: Instant,
    has_spoken: Cell<bool>,
    has_asked: Cell<bool>,
    /// Bytes that came since it last asked for something.
    unasked: Cell<usize>,
    is_given_up: Cell<bool>,
    given_up: Notify,
}

impl Places {
    /// All of them are free.
    pub fn new(live: Following, old: Duration, all_workers: Gauge) -> Self {
        let (taken, by_address) = (Cell::new(0), RefCell::default());
        Self { taken, by_address, freed: Notify::new(), live, old, all_workers }
    }

    /// Whether the connection that an answer goes to, opened so long ago, has to end with it.
    pub fn ends(&self, age: Duration) -> bool {
        age >= self.old || self.taken.get() > self.live.now().kept_max
    }

    /// Waits for a place for a connection from `peer`.
    pub async fn take(self: &Rc<Self>, peer: IpAddr) -> Rc<Place> {
        let (address, is_trusted, has_share) = {
            let (live, peer) = (self.live.now(), peer.to_canonical());
            let address = Address::of(peer, live.limits.ipv6_prefix);
            let is_trusted = live.rules.trusted_proxies().trusts(peer);
            (address, is_trusted, live.limits.has_address_limits && !live.limits.allows(peer))
        };
        if has_share && !is_trusted {
            self.give_up_one_of(address, Instant::now());
        }
        while self.taken.get() >= PLACES_MAX && !self.give_up_one(Instant::now()) {
            // A place that is freed, or another look at who is silent.
            let _ = timeout(LOOK, self.freed.notified()).await;
        }
        self.taken.set(self.taken.get() + 1);
        self.all_workers.inc();
        let place = Rc::new(Place {
            places: self.clone(),
            address,
            is_trusted,
            opened: Instant::now(),
            has_spoken: Cell::new(false),
            has_asked: Cell::new(false),
            unasked: Cell::new(0),
            is_given_up: Cell::new(false),
            given_up: Notify::new(),
        });
        let mut by_address = self.by_address.borrow_mut();
        let of = by_address.entry(address).or_default();
        of.taken += 1;
        of.all.push_back(Rc::downgrade(&place));
        place
    }

    /// Has an address that has its share give up a place.
    fn give_up_one_of(&self, address: Address, now: Instant) {
        let by_address = self.by_address.borrow();
        let Some(of) = by_address.get(&address).filter(|of| of.taken >= SHARE) else { return };
        let place = of.silent(now);
        drop(by_address);
        if let Some(place) = place {
            place.give_up();
        }
    }

    /// Has somebody give up a place, of the address that has most of those who can; whether anybody has.
    fn give_up_one(&self, now: Instant) -> bool {
        let by_address = self.by_address.borrow();
        let of_most = |place: fn(&Of, Instant) -> Option<Rc<Place>>| {
            let each = by_address.values().filter_map(|of| Some((of.taken, place(of, now)?)));
            each.max_by_key(|(taken, _)| *taken).map(|(_, place)| place)
        };
        let place = of_most(Of::silent).or_else(|| of_most(Of::above_its_share));
        drop(by_address);
        place.inspect(|place| place.give_up()).is_some()
    }

    fn left(&self, address: Address) {
        self.taken.set(self.taken.get() - 1);
        self.all_workers.dec();
        let mut by_address = self.by_address.borrow_mut();
        if let Some(of) = by_address.get_mut(&address) {
            of.taken -= 1;
            if of.taken == 0 {
                by_address.remove(&address);
            } else if of.all.len() > 2 * of.taken + SHARE {
                // Now and then, so that it costs each that leaves next to nothing.
                of.all.retain(|place| place.upgrade().is_some_and(|place| place.is_taken()));
            }
        }
        self.freed.notify_one();
    }
}

impl Of {
    /// The one that came first of those that have said nothing, or too little, for too long.
    fn silent(&self, now: Instant) -> Option<Rc<Place>> {
        self.all.iter().filter_map(Weak::upgrade).find(|place| place.has_to_give_up(now))
    }

    /// The one that came first of those of an address that has more than its share.
    fn above_its_share(&self, now: Instant) -> Option<Rc<Place>> {
        let mut all = self.all.iter().filter(|_| self.taken > SHARE).filter_map(Weak::upgrade);
        all.find(|place| place.is_taken() && !place.is_trusted && place.age(now) >= LONG)
    }
}

impl Place {
    /// It has said something.
    pub fn spoke(&self) {
        self.has_spoken.set(true);
    }

    /// It has said so many more bytes: how many it has said since it asked.
    pub fn said(&self, more: usize) -> usize {
        self.unasked.set(self.unasked.get() + more);
        self.unasked.get()
    }

    /// Whether it has asked.
    pub fn has_asked(&self) -> bool {
        self.has_asked.get()
    }

    /// It has asked, and keeps its place.
    pub fn asked(&self) {
        self.has_asked.set(true);
        self.unasked.set(0);
    }

    fn is_taken(&self) -> bool {
        !self.is_given_up.get()
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened)
    }

    fn has_to_give_up(&self, now: Instant) -> bool {
        let patience = if self.has_spoken.get() { HALF_SAID } else { SILENCE };
        !self.is_trusted && !self.has_asked.get() && self.is_taken() && self.age(now) >= patience
    }

    fn give_up(&self) {
        self.is_given_up.set(true);
        // Somebody else has it from now on.
        self.places.left(self.address);
        self.given_up.notify_one();
    }

    /// Returns once somebody else has the place.
    pub async fn given_up(&self) {
        self.given_up.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_given_up.get() {
            self.places.left(self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Live;

    const CROWD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    impl Places {
        /// All of them free, by the defaults.
        pub fn any() -> Rc<Self> {
            let (_sender, live) = Following::begin(Live::any());
            Rc::new(Self::new(live, Duration::from_secs(75), Gauge::default()))
        }
    }

    #[actix_rt::test]
    async fn an_address_that_has_too_many_gives_some_up_whatever_they_have_asked() {
        let (places, mut taken) = (Places::any(), Vec::new());
        for _ in 0..=SHARE {
            taken.push(places.take(CROWD).await);
        }
        taken.iter().for_each(|place| place.asked());
        let now = Instant::now();
        assert!(!places.give_up_one(now), "they are being answered");
        assert!(places.give_up_one(now + LONG));
        taken[0].given_up().await;
        assert!(!places.give_up_one(now + LONG), "it has its share");
        assert_eq!(places.taken.get(), SHARE);
        // Whoever has gone leaves nothing behind, however long another one stays.
        taken.truncate(2);
        for _ in 0..10 * SHARE {
            drop(places.take(CROWD).await);
        }
        let kept = places.by_address.borrow().values().map(|of| of.all.len()).sum::<usize>();
        assert!(kept <= 2 * SHARE, "{kept}");
        drop(taken);
        assert!(places.by_address.borrow().is_empty() && places.taken.get() == 0);
    }
}

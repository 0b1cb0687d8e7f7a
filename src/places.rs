//! The places for connections that are with HTTP: who has one, who gives it up, and how long an answer may take.
//!
//! A connection *asks* when its first request has come in as a whole. Until then it has its place on sufferance: where
//! somebody else waits for one, whoever has been silent for [`SILENCE`], or has not said what it wants within
//! [`HALF_SAID`], gives it up; first those of the address that has most. An address that has more than its share gives
//! up a silent one of its own for each that comes. Trusted proxies speak for many, and give up nothing.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    io,
    net::IpAddr,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actors::player::Address;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Sleep, sleep, timeout},
};

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

/// Between two looks for a place that somebody gives up.
const LOOK: Duration = Duration::from_millis(50);

/// Time for all of what is written at once to be taken: 32 KiB, so a kilobyte a second.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Connections of one worker that are with HTTP.
pub struct Places {
    taken: Cell<usize>,
    /// Those that have not asked yet, by address, oldest first.
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
    not_asked: VecDeque<Weak<Place>>,
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
            self.give_up_one_of(address);
        }
        while self.taken.get() >= PLACES_MAX && !self.give_up_one() {
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
            is_given_up: Cell::new(false),
            given_up: Notify::new(),
        });
        let mut by_address = self.by_address.borrow_mut();
        let of = by_address.entry(address).or_default();
        of.taken += 1;
        of.not_asked.push_back(Rc::downgrade(&place));
        place
    }

    /// Has an address that has its share give up a place.
    fn give_up_one_of(&self, address: Address) {
        let by_address = self.by_address.borrow();
        let Some(of) = by_address.get(&address).filter(|of| of.taken >= SHARE) else { return };
        let place = of.oldest();
        drop(by_address);
        if let Some(place) = place {
            place.give_up();
        }
    }

    /// Has somebody give up a place, of the address that has most of those who can; whether anybody has.
    fn give_up_one(&self) -> bool {
        let by_address = self.by_address.borrow();
        let most = by_address.values().filter_map(|of| Some((of.taken, of.oldest()?)));
        let place = most.max_by_key(|(taken, _)| *taken).map(|(_, place)| place);
        drop(by_address);
        place.inspect(|place| place.give_up()).is_some()
    }

    fn left(&self, address: Address) {
        self.taken.set(self.taken.get() - 1);
        self.all_workers.dec();
        let mut by_address = self.by_address.borrow_mut();
        if let Some(of) = by_address.get_mut(&address) {
            of.taken -= 1;
            while of.not_asked.front().is_some_and(|place| !may_be_asked(place)) {
                of.not_asked.pop_front();
            }
            if of.taken == 0 {
                by_address.remove(&address);
            }
        }
        self.freed.notify_one();
    }
}

fn may_be_asked(place: &Weak<Place>) -> bool {
    place.upgrade().is_some_and(|place| !place.has_asked.get() && !place.is_given_up.get())
}

impl Of {
    /// The one that came first of those that have to give up their place where somebody else waits.
    fn oldest(&self) -> Option<Rc<Place>> {
        self.not_asked.iter().filter_map(Weak::upgrade).find(|place| place.has_to_give_up())
    }
}

impl Place {
    /// It has said something.
    pub fn spoke(&self) {
        self.has_spoken.set(true);
    }

    /// It has asked, and keeps its place.
    pub fn asked(&self) {
        self.has_asked.set(true);
    }

    fn has_to_give_up(&self) -> bool {
        let patience = if self.has_spoken.get() { HALF_SAID } else { SILENCE };
        !self.is_trusted
            && !self.has_asked.get()
            && !self.is_given_up.get()
            && self.opened.elapsed() >= patience
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

/// The socket of a connection with HTTP. What is written to it has to be taken within [`WRITE_TIMEOUT`]: HTTP itself
/// waits for ever for a client that asks and never reads.
pub struct Line {
    /// The socket.
    pub stream: TcpStream,
    /// Its place.
    pub place: Rc<Place>,
    /// Since something could not be written.
    late: Option<Pin<Box<Sleep>>>,
}

impl Line {
    /// With nothing to be written.
    pub fn new(stream: TcpStream, place: Rc<Place>) -> Self {
        Self { stream, place, late: None }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(task, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        match &written {
            Poll::Ready(Ok(taken)) if *taken == bytes.len() => self.late = None,
            Poll::Ready(_) => {}
            Poll::Pending => {
                let late = self.late.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
                if late.as_mut().poll(task).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

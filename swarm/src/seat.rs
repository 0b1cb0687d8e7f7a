//! One seat of a crew: opens its connection, lets its player play, and again if it fails or comes again; remembers how the
//! connection stands. `crew` owns the threads that seats are on.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use crate::client::{self, Link, OpenError, Player, Seated};
use crate::crew::{Desk, Stage, Station};
use crate::faults::Fault;
use crate::shuffle::mix64;
use crate::target::Target;
use crate::wire::Closed;

/// How long to wait after a handshake that failed before the next attempt: about as long as a page does.
const RETRY_PAUSE_MS: std::ops::Range<u64> = 500..1500;

/// How a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Opening,
    Failed(OpenError),
    Open,
    Lost(Closed),
    Left,
}

/// One connection's player and fate.
#[derive(Debug)]
pub(crate) struct Seat<P> {
    pub(crate) index: usize,
    pub(crate) player: RefCell<P>,
    pub(crate) fate: RefCell<Fate>,
    pub(crate) stream: RefCell<Option<Rc<TcpStream>>>,
}

/// A seat after the run, when threads and sockets are gone.
#[derive(Debug)]
pub(crate) struct Left<P> {
    pub(crate) index: usize,
    pub(crate) player: P,
    pub(crate) fate: Fate,
}

impl<P> Seat<P> {
    pub(crate) fn leave(self) -> Left<P> {
        Left { index: self.index, player: self.player.into_inner(), fate: self.fate.into_inner() }
    }
}

/// A seat and its thread's station.
pub(crate) struct Place<P> {
    pub(crate) seat: Rc<Seat<P>>,
    pub(crate) station: Rc<Station>,
}

impl<P> Seated<P> for Place<P> {
    fn with<R>(&self, work: impl FnOnce(&mut P, &mut Desk, &mut [u8]) -> R) -> R {
        let mut desk = self.station.desk.borrow_mut();
        let mut scratch = self.station.scratch.borrow_mut();
        work(&mut self.seat.player.borrow_mut(), &mut desk, &mut scratch)
    }
}

impl<P: Player> Place<P> {
    pub(crate) fn new(index: usize, player: P, station: Rc<Station>) -> Self {
        let seat = Seat {
            index,
            player: RefCell::new(player),
            fate: RefCell::new(Fate::Opening),
            stream: RefCell::new(None),
        };
        Self { seat: Rc::new(seat), station }
    }

    /// The whole life of a connection, and of the next ones if its player comes again.
    pub(crate) async fn live(
        self,
        target: &Target,
        door: &Door,
        mut permit: Option<OwnedSemaphorePermit>,
    ) {
        loop {
            let Some(link) = self.enter(target, door, permit.take()).await else { return };
            *self.seat.stream.borrow_mut() = Some(Rc::clone(&link.stream));
            let ended = link.play(&self).await;
            *self.seat.stream.borrow_mut() = None;
            if let Err(closed) = ended {
                return *self.seat.fate.borrow_mut() = Fate::Lost(closed);
            }
            *self.seat.fate.borrow_mut() = Fate::Left;
            let again = self.with(|player, desk, _| player.again(desk));
            let Some(pause) = again else { return };
            sleep(pause).await;
            if self.station.desk.borrow().run.stage() > Stage::Running {
                return;
            }
            *self.seat.fate.borrow_mut() = Fate::Opening;
            permit = Arc::clone(&door.gate).acquire_owned().await.ok();
        }
    }

    /// Opens a connection, at the first attempt or, if it insists, at a later one.
    async fn enter(
        &self,
        target: &Target,
        door: &Door,
        mut permit: Option<OwnedSemaphorePermit>,
    ) -> Option<Link> {
        let (v2, cookie) = {
            let player = self.seat.player.borrow();
            (player.v2(), player.cookie())
        };
        for attempt in 0.. {
            let began = Instant::now();
            let opened =
                client::open(target, self.seat.index, v2, cookie.as_deref(), door.limit).await;
            drop(permit.take());
            let error = match opened {
                Ok(link) => {
                    let took_us = began.elapsed().as_micros() as u32;
                    self.station.desk.borrow_mut().tally.handshake.record(took_us);
                    *self.seat.fate.borrow_mut() = Fate::Open;
                    return Some(link);
                }
                Err(error) => error,
            };
            self.count_failure(&error, door.insists);
            if !door.insists {
                *self.seat.fate.borrow_mut() = Fate::Failed(error);
                return None;
            }
            sleep(retry_pause(self.seat.index, attempt)).await;
            permit = Arc::clone(&door.gate).acquire_owned().await.ok();
        }
        None
    }

    /// Being turned away is no fault. That a handshake failed is one by itself only if it was tried again;
    /// else its connection's fate tells.
    fn count_failure(&self, error: &OpenError, tried_again: bool) {
        let tally = &mut self.station.desk.borrow_mut().tally;
        if let OpenError::Status(429 | 503, _) = error {
            tally.turned_away += 1;
            tally.turned_away_by.get_or_insert_with(|| error.to_string());
        } else if tried_again {
            let index = self.seat.index;
            tally.faults.note(Fault::HandshakeFailed, || format!("connection {index}: {error}"));
        }
    }
}

/// Spread, so that those who failed together do not come back together.
fn retry_pause(index: usize, attempt: u64) -> Duration {
    let random = mix64(attempt << 32 | index as u64);
    let spread = RETRY_PAUSE_MS.end - RETRY_PAUSE_MS.start;
    Duration::from_millis(RETRY_PAUSE_MS.start + random % spread)
}

/// How one thread opens connections.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// For one handshake.
    pub(crate) limit: Duration,
    /// As many permits as handshakes may be under way.
    pub(crate) gate: Arc<Semaphore>,
    /// Whoever fails tries again; failures are counted.
    pub(crate) insists: bool,
}

impl Door {
    /// For a few connections, one attempt each.
    pub(crate) fn simple(limit: Duration) -> Self {
        Self { limit, gate: Arc::new(Semaphore::new(1)), insists: false }
    }
}

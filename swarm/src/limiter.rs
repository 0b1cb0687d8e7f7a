//! Whether the server limits how many checks a connection may send: then most of a load waits in sockets or is refused,
//! and no figure means anything. Asked when far fewer checks came back than were sent, with checks of a box that is
//! checked already, which change nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::client::{Next, Player};
use crate::crew::{Desk, Run, Station};
use crate::seat::{Door, Place};
use crate::target::Target;
use crate::wire::{Message, Outgoing};

/// Sent at once: far more than any limit lets through that is meant for people.
const CHECKS: u32 = 256;
/// Why a `v=2` connection is refused a check: it is over its rate.
const RATE: u8 = 4;
/// A server without a limit need not answer each of several checks of one box.
pub(crate) const LIMIT: Duration = Duration::from_secs(2);

/// What is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
#[error(
    "the server limits how many checks a connection may send: of {CHECKS} at once it refused some for their rate. Start it \
     with LIMITER_LIMIT=0 BILLION__LIMITER__RANGE_LIMIT=0 BILLION__LIMITS__ADDRESS=off, or use more --checkers or a lower \
     --rate"
)]
pub(crate) struct Limited;

/// Asks on a connection of its own, with checks of `id`. A server that cannot be asked is not known to limit.
pub(crate) async fn is_on(target: &Target, run: &Arc<Run>, id: u32) -> bool {
    let prober = Prober { id, greeted: false, asked: false, refused: false };
    let place = Place::new(0, prober, Station::new(Arc::clone(run)));
    let seat = Rc::clone(&place.seat);
    let tasks = LocalSet::new();
    let target = target.clone();
    tasks.spawn_local(async move { place.live(&target, &Door::simple(LIMIT), None).await });
    // In vain if all are taken: nobody says that no more answers come.
    let _ = timeout(LIMIT, tasks).await;
    seat.player.borrow().refused
}

/// Checks one box many times; leaves as soon as one of these is refused.
struct Prober {
    id: u32,
    greeted: bool,
    asked: bool,
    refused: bool,
}

impl Player for Prober {
    fn v2(&self) -> bool {
        true
    }

    fn update(&mut self, _total: u32, _id: u32, _desk: &mut Desk) {}

    fn message(&mut self, message: Message<'_>, _desk: &mut Desk) {
        match message {
            Message::Total(_) => self.greeted = true,
            Message::Refused { reason: RATE, .. } => self.refused = true,
            _ => {}
        }
    }

    fn fill(&mut self, _desk: &mut Desk, out: &mut Outgoing) -> Next {
        if self.refused {
            return Next::Leave;
        }
        if self.greeted && !std::mem::replace(&mut self.asked, true) {
            (0..CHECKS).for_each(|_| out.check(self.id));
        }
        Next::Read
    }

    fn settled(&self, _desk: &Desk) -> bool {
        true
    }
}

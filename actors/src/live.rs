//! The settings that may change while a node runs, and how its threads follow.
//!
//! Whoever changes them sends all of them to the watch in the node. Each worker thread has a copy, which its hub and
//! its sessions read. Looking for newer ones is one load of a number that nobody writes but with a change: no lock,
//! no read-modify-write, and no cache line that threads take from each other. So it is done with each reading, and a
//! session follows at its very next message.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tokio::sync::watch;

use crate::{
    limits::{Rates, rate::Rate},
    session::frame::FrameLimits,
};

/// All of them.
#[derive(Debug, Clone, Copy)]
pub struct LiveSettings {
    /// What a client may send.
    pub frames: FrameLimits,
    /// Checks a client may send.
    pub checks: Rate,
    /// Range requests a client may send.
    pub ranges: Rate,
    /// Pings and Pongs a client may send.
    pub control_frames: Rate,
    /// Text messages a client may send.
    pub messages: Rate,
    /// Bytes a client may send.
    pub bytes_in: Rate,
    /// How fast what may happen that is counted for addresses, users and the node.
    pub shared: Rates,
    /// Longest wait for room in a shard.
    pub shard_wait_timeout: Duration,
    /// Longest time a client may take to drain its outbox.
    pub drain_timeout: Duration,
    /// Time for the closing handshake.
    pub close_timeout: Duration,
    /// Time between two Pings to one session.
    pub ping_interval: Duration,
    /// Silence after which a session is ended.
    pub idle_timeout: Duration,
}

/// One thread's copy.
pub(crate) struct LiveCopy {
    changes: RefCell<watch::Receiver<LiveSettings>>,
    copy: RefCell<Rc<LiveSettings>>,
}

impl LiveCopy {
    /// A copy that follows `changes`.
    pub(crate) fn new(mut changes: watch::Receiver<LiveSettings>) -> Rc<Self> {
        let copy = RefCell::new(Rc::new(*changes.borrow_and_update()));
        Rc::new(Self { changes: RefCell::new(changes), copy })
    }

    /// The settings in force.
    pub(crate) fn now(&self) -> Rc<LiveSettings> {
        let mut changes = self.changes.borrow_mut();
        // An error means that the node is gone: nothing changes any more.
        if changes.has_changed().unwrap_or(false) {
            *self.copy.borrow_mut() = Rc::new(*changes.borrow_and_update());
        }
        self.copy.borrow().clone()
    }
}

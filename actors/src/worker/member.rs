//! A session on its hub's list.

use std::rc::{Rc, Weak};

use super::{
    downlink::{Downlink, Told},
    heartbeat::{Beat, Heartbeat},
    pulses::Turn,
};
use crate::{
    link::ToSession,
    player::Player,
    protocol::{Close, ping_frame},
    stats::Tally,
};

/// What a hub knows of a session beside its downlink.
pub(super) struct Member {
    /// Gone when its session has ended, which closes the socket.
    downlink: Weak<Downlink>,
    heartbeat: Heartbeat,
    /// Number of the last pulse whose slot it has had. Here as well as in the downlink, so that a slot
    /// visits only those whose turn it is.
    pulse: u32,
    /// Its part of the second.
    slot: u8,
}

impl Member {
    /// A session that has joined, when pulse number `pulse` was the newest, for slot `slot`.
    pub(super) fn new(downlink: &Rc<Downlink>, pulse: u32, slot: u8) -> Self {
        let heartbeat = Heartbeat::new(downlink.link.seen_s());
        downlink.take_pulse(pulse);
        Self { downlink: Rc::downgrade(downlink), heartbeat, pulse, slot }
    }

    /// Whether the session has ended.
    pub(super) fn is_gone(&self) -> bool {
        self.downlink.strong_count() == 0
    }

    /// Its downlink, if it may still hear of anything.
    pub(super) fn listening(&self) -> Option<Rc<Downlink>> {
        self.downlink.upgrade().filter(|downlink| downlink.ending().is_none())
    }

    /// Its downlink, if it has not ended and its player is meant.
    pub(super) fn of(&self, is_meant: &dyn Fn(&Player) -> bool) -> Option<Rc<Downlink>> {
        self.downlink.upgrade().filter(|downlink| is_meant(downlink.link.player()))
    }

    /// Has it end.
    pub(super) fn end(&self, end: Close) {
        if let Some(downlink) = self.downlink.upgrade() {
            downlink.end(end);
        }
    }

    /// Once a second, of which this is `now_s`: pings, timeouts and deadlines.
    pub(super) fn tick(&mut self, now_s: u32, ping_s: u32, idle_s: u32, tally: &mut Tally) {
        let Some(downlink) = self.downlink.upgrade() else { return };
        let link = &downlink.link;
        if link.has_overflowed() {
            // Again until it has looked: nobody may have woken it after it drained its mailbox.
            link.tell(ToSession::LookAround);
        }
        if link.deadline_passed(now_s) {
            link.tell(ToSession::DeadlinePassed);
        }
        let seen_s = link.seen_s();
        match self.heartbeat.tick(seen_s, ping_s, idle_s) {
            Beat::Rest => {}
            Beat::Ping => {
                if downlink.tell(Told::Frame(&ping_frame()), &mut Vec::new(), tally) {
                    self.heartbeat.pinged();
                }
            }
            Beat::Silent => link.tell(ToSession::ClientSilent { seen_s }),
        }
    }

    /// Tells a pulse, if its slot has come.
    pub(super) fn tell_pulse(&mut self, turn: &Turn, picked: &mut Vec<u32>, tally: &mut Tally) {
        if self.pulse == turn.sequence || self.slot >= turn.slots {
            return;
        }
        self.pulse = turn.sequence;
        // It may have come to it with a batch.
        if let Some(downlink) = self.listening()
            && downlink.take_pulse(turn.sequence)
        {
            downlink.tell(Told::Pulse(turn.total, &turn.frame), picked, tally);
        }
    }
}

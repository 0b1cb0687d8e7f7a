//! What a session is told by those who share its node.

use std::sync::Arc;

use actix::{Context, Handler};
use bytes::{Bytes, BytesMut};

use super::Session;
use crate::{
    board::BoxId,
    broadcaster::batch::Batch,
    link::ToSession,
    protocol::{Close, put_update_frame},
    stats::Tally,
    worker::downlink::{Phase, Told},
};

impl Handler<ToSession> for Session {
    type Result = ();

    fn handle(&mut self, told: ToSession, ctx: &mut Self::Context) {
        match told {
            ToSession::Welcome(total) => self.downlink.open(total),
            ToSession::Updates(batch) => self.tell_updates(&batch),
            ToSession::Pulse { total, frame } => self.tell_pulse(total, &frame),
            ToSession::Range { sequence, frame } => self.answer_range(sequence, frame),
            ToSession::AlreadyChecked(ids) => self.answer_checks(ids),
            // The pump, which is polled after every message, looks at everything that may wait.
            ToSession::LookAround => {}
            ToSession::Frame(frame) => self.tell_frame(frame),
            ToSession::DeadlinePassed => self.deadline_passed(ctx),
            ToSession::ClientSilent { seen_s } => self.client_silent(seen_s, ctx),
        }
    }
}

impl Session {
    fn tell_updates(&mut self, batch: &Arc<Batch>) {
        self.downlink.heard_of(batch.total_after());
        if !self.downlink.is_open() {
            return;
        }
        if !self.keeps_up() {
            self.stats().batches_dropped.inc();
            return;
        }
        let (mut picked, mut tally) = (self.desk.scratch.picked.borrow_mut(), Tally::default());
        if let Some(frames) = self.downlink.take(Told::Batch(batch, None), &mut picked, &mut tally)
        {
            self.downlink.say(frames);
            self.stats().delivered(&mut tally);
        }
    }

    fn tell_pulse(&mut self, total: u32, frame: &Bytes) {
        self.downlink.heard_of(total);
        // One that does not fit is left out. Nobody lags for a pulse: after a resync the answers for
        // 16 ranges may fill the outbox, and a pulse behind them would begin another one.
        let fits = self.downlink.load() <= self.settings().outbox_bytes;
        if self.downlink.is_open() && !self.downlink.is_lagging() && fits {
            let (mut picked, mut tally) = (self.desk.scratch.picked.borrow_mut(), Tally::default());
            let told = Told::Pulse(total, frame);
            if let Some(frame) = self.downlink.take(told, &mut picked, &mut tally) {
                self.downlink.say(frame);
            }
        }
    }

    fn answer_range(&mut self, sequence: u32, frame: Bytes) {
        if !self.downlink.is_open() {
            return;
        }
        for frame in self.conversation.answered(sequence, frame) {
            self.downlink.say_range(frame);
        }
    }

    fn answer_checks(&self, ids: Vec<BoxId>) {
        if !self.downlink.is_open() {
            return;
        }
        let mut frames = BytesMut::new();
        for id in ids {
            // A `v=2` client may have got its answer with a batch in the meantime.
            if self.downlink.view().is_none_or(|mut view| view.answered(id.get())) {
                put_update_frame(&mut frames, self.downlink.told(), id.get());
            }
        }
        if !frames.is_empty() {
            self.downlink.say(frames.freeze());
        }
    }

    fn tell_frame(&self, frame: Bytes) {
        self.downlink.heard();
        if self.downlink.is_open() {
            self.downlink.say(frame);
        }
    }

    fn deadline_passed(&mut self, ctx: &mut Context<Self>) {
        // The client may have drained since the hub looked, or been told goodbye with a new deadline.
        if !self.link.deadline_passed(self.desk.node.clock.now_s()) {
            return;
        }
        match self.downlink.phase() {
            Phase::Open => {
                self.begin_to_lag();
                self.close(Close::LAGGING);
            }
            Phase::Joining => {}
            Phase::Closing | Phase::Discarding => self.reset(ctx),
        }
    }

    fn client_silent(&mut self, seen_s: u32, ctx: &mut Context<Self>) {
        // It is us who do not listen while a message of its is held, which is not for long.
        if self.link.seen_s() != seen_s || self.conversation.is_held() {
            return;
        }
        match self.downlink.phase() {
            Phase::Open | Phase::Joining => self.close(Close::TIMEOUT),
            Phase::Closing | Phase::Discarding => self.reset(ctx),
        }
    }
}

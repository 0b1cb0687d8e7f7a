//! What a client says in text: under its own rate, one thing after the other, and never a reason to end.

use std::{
    rc::{Rc, Weak},
    sync::Arc,
};

use bytes::Bytes;
use tokio::task::spawn_local;

use super::Session;
use crate::{
    limits::rate::Rate,
    protocol::Version,
    store::BoxFuture,
    talk::{Reply, TEXTS, Unheard},
    trace::What,
    worker::{circle::Circle, downlink::Downlink},
};

impl Session {
    /// Whether its client may speak at all.
    pub(super) fn takes_text(&self) -> bool {
        self.desk.circle.is_some() && self.link.version() == Version::V2
    }

    /// A user's session is found by its user from the start.
    pub(super) fn be_known(&self) {
        if self.takes_text()
            && self.link.player().user().is_some()
            && let Some(circle) = &self.desk.circle
        {
            circle.know(&self.downlink);
        }
    }

    /// Takes one text message.
    pub(super) fn hear(&mut self, text: &str) {
        self.downlink.trace.note(|| What::ReceivedText(text.len()));
        let Some(circle) = self.desk.circle.clone() else { return };
        let (now_ns, rate) = (self.now_ns(), self.live().messages);
        circle.know(&self.downlink);
        let voice = self.downlink.own_voice();
        let taken = match circle.is_message(text) {
            true => voice.messages.take(rate, 1, now_ns),
            false => voice.texts.take(Rate::new(TEXTS.0, TEXTS.1), 1, now_ns),
        };
        if let Err(wait) = taken {
            circle.refuse(&self.downlink, text, Unheard::Rate(wait));
            self.decide(|conversation, moment| conversation.was_refused(moment));
            return self.note_wait();
        }
        if voice.is_working.get() {
            return match voice.has_room() {
                true => voice.wait(text),
                false => circle.refuse(&self.downlink, text, Unheard::Busy),
            };
        }
        let speech = Speech {
            circle,
            is_on_main: Arc::ptr_eq(&self.desk.table, self.desk.node.main()),
            outbox_bytes: self.settings().outbox_bytes,
        };
        if let Some(work) = speech.judge(&self.downlink, text) {
            voice.is_working.set(true);
            spawn_local(speech.go_on(Rc::downgrade(&self.downlink), work));
        }
    }

    /// Tells a client that has drained how many messages it has lost, if it has; whether there was something to tell.
    pub(super) fn tell_lost(&self) -> bool {
        let Some(voice) = self.downlink.voice().filter(|voice| voice.is_losing()) else {
            return false;
        };
        if self.downlink.is_lagging() || !self.downlink.is_open() {
            return false;
        }
        if let Some(circle) = &self.desk.circle {
            self.downlink.say(circle.lost(&self.link, voice.take_lost()));
        }
        true
    }
}

/// How what one client says is dealt with.
struct Speech {
    circle: Rc<Circle>,
    is_on_main: bool,
    /// With more than this waiting for it, a client is heard no more.
    outbox_bytes: usize,
}

impl Speech {
    /// Has a text judged and sends the answer; or what has to be waited for before there is one.
    fn judge(&self, downlink: &Rc<Downlink>, text: &str) -> Option<BoxFuture<Option<Bytes>>> {
        if downlink.load() > self.outbox_bytes {
            self.circle.refuse(downlink, text, Unheard::Busy);
            return None;
        }
        let reply = self.circle.hear(downlink, self.is_on_main, text);
        let work = match reply {
            Reply::Nothing => None,
            Reply::Frame(frame) => {
                send(downlink, frame);
                None
            }
            Reply::Later(work) => Some(work),
        };
        // It may have said who it is.
        self.circle.know(downlink);
        work
    }

    /// Waits for `work`, then deals with what was said meanwhile.
    async fn go_on(self, downlink: Weak<Downlink>, mut work: BoxFuture<Option<Bytes>>) {
        loop {
            let answer = work.await;
            // Its session has ended, and with it whatever waits.
            let is_there =
                |downlink: &Rc<Downlink>| downlink.is_open() && downlink.ending().is_none();
            let Some(downlink) = downlink.upgrade().filter(is_there) else { return };
            if let Some(frame) = answer {
                send(&downlink, frame);
            }
            self.circle.know(&downlink);
            let voice = downlink.own_voice();
            let next = std::iter::from_fn(|| voice.next());
            let Some(next) = next.into_iter().find_map(|text| self.judge(&downlink, &text)) else {
                voice.is_working.set(false);
                return;
            };
            work = next;
        }
    }
}

/// Sends an answer and has the session look after its socket.
fn send(downlink: &Downlink, frame: Bytes) {
    if downlink.is_open() {
        downlink.say(frame);
        downlink.link.nudge();
    }
}

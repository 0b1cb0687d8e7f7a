//! One on each worker thread: delivers messages to the members of groups there.
//!
//! Takes one thing after the other, so that what is sent to a group comes to each member in that order. Walks in slices, as
//! a hub does, and writes to idle sockets itself. Never waits for a session: one that does not drain, or lags, loses
//! messages and is told how many ([`Voice`](super::voice::Voice)).
//!
//! Its mailbox is bounded; who finds it full has its message delivered to nobody here, and has to count that.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use actix::{Actor, ActorFuture, AsyncContext, Context, Handler};
use bytes::Bytes;

use super::{circle::Circle, downlink::Downlink};
use crate::{
    channels::Group,
    messages::{Audience, Member, ToPost},
    node::Node,
    stats::{Stats, Tally},
    talk::{Talk, count},
    vital::Vital,
};

/// Things that may wait for one post.
const MAILBOX: usize = 1024;

/// Sessions handed a message before the thread's other tasks get a turn.
const SLICE: usize = 64;

/// Delivers what is sent to groups on its thread.
pub(super) struct Post {
    circle: Rc<Circle>,
    /// Of the main board, which counts what is written.
    stats: Arc<Stats>,
    /// What may wait for the socket of one that still gets messages: half of what makes it lag, so that messages are lost
    /// before boxes.
    room: usize,
    _vital: Vital,
}

impl Post {
    /// Starts the post of this thread, and tells the node; the circle that it shares with its sessions.
    pub(super) fn start_for(node: &Node, talk: Arc<dyn Talk>) -> Rc<Circle> {
        let (stats, vital) = (node.main().stats.clone(), node.vital_post());
        let room = node.settings.session.outbox_bytes / 2;
        let made = RefCell::new(None);
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(MAILBOX);
            let link = node.add_post(ctx.address().recipient());
            let circle = Circle::new(talk, link, node.interest.clone());
            *made.borrow_mut() = Some(circle.clone());
            Self { circle, stats, room, _vital: vital }
        });
        made.into_inner().expect("a context is made at once")
    }

    fn admit(&self, to_post: ToPost) {
        let ToPost::Admit { group, session, wants_presence, frames, held, done } = to_post else {
            unreachable!("asked before")
        };
        if let Some(downlink) = self.circle.speaker(session) {
            self.circle.join(&downlink, group, wants_presence, held);
            self.answer(&downlink, &frames);
        }
        // Whoever asked may be gone.
        let _ = done.send(());
    }

    /// Sends a client what it has asked for, however much waits: it is asked no more until it has drained that.
    fn answer(&self, downlink: &Downlink, frames: &Bytes) {
        let mut tally = Tally::default();
        if !downlink.send_beside(frames, usize::MAX, &mut tally) && downlink.is_open() {
            downlink.say(frames.clone());
        }
        self.stats.delivered(&mut tally);
    }

    fn dismiss(&self, group: Group, who: Member, frame: &Bytes) {
        let meant: Vec<_> = match who {
            Member::Session(session) => self.circle.speaker(session).into_iter().collect(),
            Member::User(user) => self.circle.find(Group::User(user)),
        };
        for downlink in meant {
            if self.circle.leave(&downlink, group) {
                self.answer(&downlink, frame);
            }
        }
    }
}

impl Actor for Post {
    type Context = Context<Self>;
}

impl Handler<ToPost> for Post {
    type Result = ();

    fn handle(&mut self, to_post: ToPost, ctx: &mut Self::Context) {
        match to_post {
            ToPost::Deliver { group, audience, frame } => {
                let found = self.circle.find(group).into_iter();
                let mut walk = Walk { group, audience, frame, found, pause: None };
                if !walk.slice(self) {
                    // The next message waits: none overtakes another.
                    ctx.wait(walk);
                }
            }
            ToPost::Admit { .. } => self.admit(to_post),
            ToPost::Dismiss { group, who, frame, done } => {
                self.dismiss(group, who, &frame);
                if let Some(done) = done {
                    // Whoever asked may be gone.
                    let _ = done.send(());
                }
            }
            ToPost::ReadMembers { group, members } => {
                let _ = members.send(self.circle.members(group));
            }
        }
    }
}

/// A message on its way through those who were there when it came.
struct Walk {
    group: Group,
    audience: Audience,
    frame: Bytes,
    found: std::vec::IntoIter<Rc<Downlink>>,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl Walk {
    /// Hands the message to the next sessions; whether that was all of them.
    fn slice(&mut self, post: &Post) -> bool {
        let (mut tally, mut delivered, mut lost) = (Tally::default(), 0, 0);
        for downlink in self.found.by_ref().take(SLICE) {
            let voice = downlink.voice();
            if self.audience == Audience::Observers
                && !voice.is_some_and(|voice| voice.wants_presence(self.group))
            {
                continue;
            }
            let is_losing = voice.is_some_and(|voice| voice.is_losing());
            if !is_losing && downlink.send_beside(&self.frame, post.room, &mut tally) {
                delivered += 1;
            } else {
                downlink.own_voice().lose();
                lost += 1;
            }
        }
        post.stats.delivered(&mut tally);
        let stats = post.circle.talk.stats();
        stats.delivered.inc_by(delivered);
        if lost > 0 {
            count(&stats.lost, "reason", "lagging", lost);
        }
        self.found.len() == 0
    }
}

impl ActorFuture<Post> for Walk {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        post: &mut Post,
        _: &mut Context<Post>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            // First: a slice was handed over when the message came.
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::task::yield_now()));
            std::task::ready!(pause.as_mut().poll(task));
            self.pause = None;
            if self.slice(post) {
                return Poll::Ready(());
            }
        }
    }
}

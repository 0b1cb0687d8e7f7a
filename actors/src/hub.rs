//! One per worker thread: the sessions of that thread, and the only place that walks them.
//!
//! Hands each batch to every session's mailbox in slices, so that sockets are served in between,
//! and drives pings, idle timeouts and session deadlines with one timer. Never waits for a session:
//! a full mailbox marks its session as overflowed and the walk goes on.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, Handler,
    ResponseActFuture, WrapFuture,
};

use crate::{
    broadcaster::{Broadcaster, batch::Batch},
    messages::{
        AttachHub, DeadlinePassed, EndSessions, FlushBatch, Join, MailboxOverflowed, PingDue,
        TotalDue, UpdatesFlushed, Welcome,
    },
    protocol::Version,
    session::SessionLink,
    topology::{Clock, Vital, whole_seconds},
};

/// Sessions handed a batch before the thread's other tasks get a turn. Latency at 5,000 listeners
/// halved with 64 compared with one uninterrupted walk.
const SLICE: usize = 64;

/// How a hub treats its sessions.
#[derive(Debug, Clone, Copy)]
pub struct HubSettings {
    /// Messages that may wait; full: a joining session and the broadcaster's flush wait.
    pub mailbox: usize,
    /// Time between two Pings to one session.
    pub ping_interval: Duration,
    /// Silence after which a session is ended.
    pub idle_timeout: Duration,
}

struct Member {
    link: Arc<SessionLink>,
    pinged_s: u32,
}

/// The sessions of one worker thread.
pub struct Hub {
    settings: HubSettings,
    clock: Clock,
    broadcaster: Addr<Broadcaster>,
    members: Vec<Member>,
    /// What every member has been told, the batch being walked included.
    announced: u32,
    walking: bool,
    /// Set once the node says goodbye: who joins after that is told at once.
    ended: Option<EndSessions>,
    _vital: Vital,
}

impl Hub {
    /// A hub without sessions, to be attached to `broadcaster` when it starts.
    pub fn new(
        settings: HubSettings,
        clock: Clock,
        broadcaster: Addr<Broadcaster>,
        vital: Vital,
    ) -> Self {
        let members = Vec::new();
        let (announced, walking, ended) = (0, false, None);
        Self { settings, clock, broadcaster, members, announced, walking, ended, _vital: vital }
    }

    /// Removes sessions that ended. Never during a walk, whose position it would shift.
    fn sweep(&mut self) {
        let mut at = 0;
        while at < self.members.len() {
            if self.members[at].link.is_gone() {
                self.members.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Once a second: pings, timeouts, deadlines and totals of those that missed some.
    fn tick(&mut self) {
        let now_s = self.clock.now_s();
        let ping_s = whole_seconds(self.settings.ping_interval);
        let idle_s = whole_seconds(self.settings.idle_timeout);
        for member in &mut self.members {
            let link = &member.link;
            if link.has_overflowed() {
                link.tell(MailboxOverflowed);
            }
            if let Some(end) = self.ended {
                // Again, in case it did not fit the first time.
                link.tell(end);
            }
            if link.deadline_passed(now_s) || now_s.saturating_sub(link.seen_s()) >= idle_s {
                link.tell(DeadlinePassed);
            } else if now_s.saturating_sub(member.pinged_s) >= ping_s {
                member.pinged_s = now_s;
                link.tell(PingDue);
            }
            // Not during a walk: members it has not reached would hear the total before its updates.
            let missed = link.version() == Version::V2 && link.told() < self.announced;
            if missed && !self.walking {
                link.tell(TotalDue { total: self.announced });
            }
        }
        if !self.walking {
            self.sweep();
        }
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.settings.mailbox);
        // Sessions that join meanwhile wait in the mailbox, and so does the first batch.
        let attached = self.broadcaster.send(AttachHub(ctx.address())).into_actor(self);
        ctx.wait(attached.map(|total, hub, ctx| match total {
            Ok(total) => hub.announced = total,
            Err(_) => ctx.stop(),
        }));
        ctx.run_interval(Duration::from_secs(1), |hub, _| hub.tick());
    }
}

impl Handler<Join> for Hub {
    type Result = ();

    fn handle(&mut self, Join(link): Join, _: &mut Self::Context) {
        // One step: on the list from here on, and told exactly what the others have been told.
        link.tell(Welcome { total: self.announced });
        if let Some(end) = self.ended {
            link.tell(end);
        }
        self.members.push(Member { link, pinged_s: self.clock.now_s() });
    }
}

/// A batch on its way through the members that were there when it came.
struct Walk {
    batch: Arc<Batch>,
    at: usize,
    end: usize,
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl ActorFuture<Hub> for Walk {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        hub: &mut Hub,
        _: &mut Context<Hub>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                std::task::ready!(pause.as_mut().poll(task));
                self.pause = None;
            }
            let slice_end = (self.at + SLICE).min(self.end);
            for member in &hub.members[self.at..slice_end] {
                member.link.tell(UpdatesFlushed(self.batch.clone()));
            }
            self.at = slice_end;
            if self.at == self.end {
                return Poll::Ready(());
            }
            // yield_now, not wake_by_ref: a local set polls 61 tasks before it looks at I/O.
            self.pause = Some(Box::pin(tokio::task::yield_now()));
        }
    }
}

impl Handler<FlushBatch> for Hub {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, FlushBatch(batch): FlushBatch, _: &mut Self::Context) -> Self::Result {
        debug_assert!(!self.walking, "the broadcaster waits for one walk before the next");
        // From here on a joining session is greeted with this batch's total and is beyond `end`.
        self.announced = batch.total_after();
        self.walking = true;
        let walk = Walk { batch, at: 0, end: self.members.len(), pause: None };
        Box::pin(walk.map(|(), hub: &mut Self, _| {
            hub.walking = false;
            hub.sweep();
        }))
    }
}

impl Handler<EndSessions> for Hub {
    type Result = ();

    fn handle(&mut self, end: EndSessions, _: &mut Self::Context) {
        self.ended = Some(end);
        for member in &self.members {
            member.link.tell(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::Message;

    use super::*;
    use crate::tests::{Client, FREELY, TestStore, run, settings};

    /// A tick at a moment of the test's choice.
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Tick {
        announced: u32,
        walking: bool,
    }

    impl Handler<Tick> for Hub {
        type Result = ();

        fn handle(&mut self, tick: Tick, _: &mut Self::Context) {
            (self.announced, self.walking) = (tick.announced, tick.walking);
            self.tick();
            self.walking = false;
        }
    }

    /// A batch raises the hub's total before its walk has reached anybody. A tick in between told
    /// `v=2` sessions that total, and the updates that came after it seemed to lower it.
    #[test]
    fn no_total_is_told_while_its_updates_are_still_on_their_way() {
        let store = TestStore::new(1000, 1, FREELY);
        run(settings(), &store, async |worker| {
            let mut client = Client::connect(&worker, Version::V2).await;
            let tick = |walking| worker.hub.send(Tick { announced: 5, walking });
            tick(true).await.expect("the hub is there");
            client.send(&[1, 8]).await;
            assert_eq!(client.frame().await.len(), 9, "the answer, and no total before it");
            tick(false).await.expect("the hub is there");
            assert_eq!(client.frame().await, [5, 0, 0, 0]);
        });
    }
}

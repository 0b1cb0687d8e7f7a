//! One on each node, between the channels and the posts: has what is published delivered to the members of groups here,
//! fills gaps, and lets in who joins.
//!
//! A single task, so that everything about a group happens in one order: what is delivered, who joins, and what it is
//! sent first. Never waits for a post: where its mailbox is full the message is lost on that thread, and its members are told so
//! before they hear anything else of that group.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actors::{
    channels::{Channels, Group, Heard, History, Message},
    interest::Held,
    messages::{Audience, ToPost},
    node::Node,
    player::{SessionId, UserId},
    store::{BoxFuture, StoreError},
    talk::{Speaker, TalkStats, count},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{
    envelope::{self, After, Fault},
    follow::{Effect, Follower},
    members,
    presence::{NAMED_MAX, Presence},
};

/// Joins that may wait; whoever finds no room is told that the server is busy.
const JOINS_MAX: usize = 1024;

/// Time between two attempts to read what is kept.
const PAUSE: Duration = Duration::from_millis(250);

/// Histories that are read for one that joins before it is told to try again: more is published meanwhile each time.
const ATTEMPTS: u32 = 5;

/// Somebody joins a group that it may join.
#[derive(Debug)]
pub struct Join {
    /// Which.
    pub group: Group,
    /// Who.
    pub speaker: Speaker,
    /// Whether it wants to hear who is present.
    pub presence: bool,
    /// After which message it is to be sent what was published.
    pub recover: Option<After>,
    /// Answered when it is in, and was sent all that comes first.
    pub answer: oneshot::Sender<Result<(), Fault>>,
}

/// How to reach the relay.
#[derive(Debug, Clone)]
pub struct RelayLink(mpsc::Sender<Join>);

impl RelayLink {
    /// Asks for somebody to be let in; `false`: too many wait.
    pub fn join(&self, join: Join) -> bool {
        self.0.try_send(join).is_ok()
    }
}

/// A join that waits.
struct Waiting {
    join: Join,
    held: Held,
    /// What was read for it.
    history: Option<History>,
    attempts: u32,
}

/// Work that is done.
enum Done {
    Read(Group, Result<History, StoreError>),
    ReadForJoin(Group, SessionId, Result<History, StoreError>),
    Present(Group, Option<Vec<UserId>>),
    Admitted,
}

/// The relay of a node.
pub struct Relay {
    node: Arc<Node>,
    channels: Arc<dyn Channels>,
    stats: TalkStats,
    joins: mpsc::Receiver<Join>,
    follower: Follower,
    presence: Presence,
    waiting: HashMap<Group, Vec<Waiting>>,
    work: FuturesUnordered<BoxFuture<Done>>,
    /// Messages that found the mailbox of a post full, whose members were not told yet.
    untold: HashMap<(usize, Group), u64>,
    seconds: u64,
}

impl Relay {
    /// Of a node without members of any group.
    pub fn new(
        node: Arc<Node>,
        channels: Arc<dyn Channels>,
        stats: TalkStats,
    ) -> (Self, RelayLink) {
        let (link, joins) = mpsc::channel(JOINS_MAX);
        let relay = Self {
            node,
            channels,
            stats,
            joins,
            follower: Follower::default(),
            presence: Presence::default(),
            waiting: HashMap::new(),
            work: FuturesUnordered::new(),
            untold: HashMap::new(),
            seconds: 0,
        };
        (relay, RelayLink(link))
    }

    /// Works for as long as the process lives.
    pub async fn run(mut self) {
        let mut heard = self.channels.listen();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = heard.recv() => match news {
                    Ok(Heard::Message(message)) => self.hear(&message),
                    Ok(Heard::Missed(part)) => {
                        let effects = self.follower.miss(part);
                        self.perform(effects);
                    }
                    Ok(Heard::Presence(group)) => self.presence.change_elsewhere(group),
                    Err(RecvError::Lagged(_)) => {
                        let effects = self.follower.miss_all();
                        self.perform(effects);
                    }
                    Err(RecvError::Closed) => return,
                },
                Some(join) = self.joins.recv() => self.begin(join),
                Some(done) = self.work.next() => self.done(done),
                _ = ticks.tick() => self.tick(),
            }
        }
    }

    fn hear(&mut self, message: &Arc<Message>) {
        if message.group.is_joined() {
            let effects = self.follower.hear(message);
            self.perform(effects);
        } else {
            self.deliver(message.group, Audience::Members, &envelope::message(message), 1);
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Deliver(message) => {
                    let frame = envelope::message(&message);
                    self.deliver(message.group, Audience::Members, &frame, 1);
                }
                Effect::Lost(group, messages, position) => {
                    let at_least = messages.unwrap_or(1);
                    count(&self.stats.lost, "reason", "history", at_least);
                    let frame = envelope::lost(group, messages, Some(position));
                    self.deliver(group, Audience::Members, &frame, at_least);
                }
                Effect::Read(group, after) => {
                    let read = self.channels.history(group, after);
                    self.work.push(Box::pin(async move { Done::Read(group, read.await) }));
                }
                Effect::Settled(group) => self.let_in(group),
            }
        }
    }

    /// Hands a frame with so many messages to the posts with members of a group; whether all had room for it.
    fn deliver(&mut self, group: Group, audience: Audience, frame: &Bytes, messages: u64) -> bool {
        let posts = self.node.posts();
        let meant: Vec<usize> = match group {
            Group::Team(_) | Group::Room(_) | Group::User(_) => self.node.interest.posts(group),
            Group::Tile(_) => (0..posts.len()).collect(),
            Group::Connection(process, _) if process == SessionId::process_number() => {
                (0..posts.len()).collect()
            }
            Group::Connection(..) => Vec::new(),
        };
        let mut is_delivered = true;
        for number in meant {
            let Some(post) = posts.get(number) else { continue };
            let deliver = ToPost::Deliver { group, audience, frame: frame.clone() };
            if self.tell_untold(number, group) && post.inbox.try_send(deliver).is_ok() {
                continue;
            }
            is_delivered = false;
            if messages > 0 {
                count(&self.stats.lost, "reason", "post", messages);
                *self.untold.entry((number, group)).or_default() += messages;
            }
        }
        is_delivered
    }

    /// Tells the members on a thread what they have not got, if anything; whether they know.
    fn tell_untold(&mut self, number: usize, group: Group) -> bool {
        let Some(messages) = self.untold.get(&(number, group)).copied() else { return true };
        let posts = self.node.posts();
        let frame = envelope::lost(group, Some(messages), None);
        let deliver = ToPost::Deliver { group, audience: Audience::Members, frame };
        let is_told = posts.get(number).is_none_or(|post| post.inbox.try_send(deliver).is_ok());
        if is_told {
            self.untold.remove(&(number, group));
        }
        is_told
    }

    fn begin(&mut self, join: Join) {
        let group = join.group;
        let held = self.node.interest.hold(group, join.speaker.post.number);
        let opened = self.follower.open(group);
        self.stats.groups.set(self.follower.len() as i64);
        if let Some(after) = join.recover {
            self.follower.remember(group, true);
            self.read_for(group, join.speaker.link.id(), after);
        }
        let waiting = Waiting { join, held, history: None, attempts: 0 };
        self.waiting.entry(group).or_default().push(waiting);
        self.perform(opened.into_iter().collect());
        self.let_in(group);
    }

    fn read_for(&self, group: Group, session: SessionId, after: After) {
        let read = self.channels.history(group, after);
        self.work.push(Box::pin(async move { Done::ReadForJoin(group, session, read.await) }));
    }

    /// Lets in who waits to join a group and can.
    fn let_in(&mut self, group: Group) {
        let Some(waiting) = self.waiting.remove(&group) else { return };
        let settled = self.follower.settled(group);
        let mut left = Vec::new();
        for mut waiting in waiting {
            if waiting.join.answer.is_closed() {
                continue;
            }
            let Some(position) = settled else {
                left.push(waiting);
                continue;
            };
            let Some(after) = waiting.join.recover else {
                self.admit(waiting, envelope::joined(group, position));
                continue;
            };
            let Some(history) = waiting.history.take() else {
                left.push(waiting);
                continue;
            };
            match self.follower.complete(group, &history) {
                Some(history) => {
                    let frames = self.recovered(group, after, &history);
                    self.admit(
                        waiting,
                        [frames, envelope::joined(group, position)].concat().into(),
                    );
                }
                None if waiting.attempts < ATTEMPTS => {
                    waiting.attempts += 1;
                    self.read_for(group, waiting.join.speaker.link.id(), after);
                    left.push(waiting);
                }
                None => _ = waiting.join.answer.send(Err(Fault::Unavailable)),
            }
        }
        if left.iter().all(|waiting| waiting.join.recover.is_none()) {
            self.follower.remember(group, false);
        }
        if !left.is_empty() {
            self.waiting.insert(group, left);
        }
    }

    fn recovered(&self, group: Group, after: After, history: &History) -> Bytes {
        super::recovered(group, after, history, &self.stats)
    }

    fn admit(&mut self, waiting: Waiting, frames: Bytes) {
        let Waiting { join, held, .. } = waiting;
        let Join { group, speaker, presence, answer, .. } = join;
        let (session, (done, admitted)) = (speaker.link.id(), oneshot::channel());
        let admit = ToPost::Admit { group, session, wants_presence: presence, frames, held, done };
        // What it would be told is lost concerns those who were there.
        let is_told = self.tell_untold(speaker.post.number, group);
        if !is_told || speaker.post.inbox.try_send(admit).is_err() {
            // Whoever asked may be gone.
            let _ = answer.send(Err(Fault::Busy));
            return;
        }
        if presence {
            self.presence.welcome(group, session);
        }
        self.work.push(Box::pin(async move {
            // An error means that the post is gone, and the node with it.
            let _ = admitted.await;
            let _ = answer.send(Ok(()));
            Done::Admitted
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Read(group, Ok(history)) => {
                self.stats.caught_up.inc_by(history.messages.len() as u64);
                let effects = self.follower.read(group, &history);
                self.perform(effects);
            }
            Done::Read(group, Err(error)) => {
                log::debug!("talk: {group}: {error}");
                if self.is_wanted(group) {
                    self.read_again(group);
                } else {
                    self.close(group);
                }
            }
            Done::ReadForJoin(group, session, read) => self.read_for_join(group, session, read),
            Done::Present(group, present) => self.heard_of_presence(group, present),
            Done::Admitted => {}
        }
    }

    fn read_for_join(
        &mut self,
        group: Group,
        session: SessionId,
        read: Result<History, StoreError>,
    ) {
        let Some(waiting) = self.waiting.get_mut(&group) else { return };
        let of_session = |waiting: &Waiting| waiting.join.speaker.link.id() == session;
        let Some(at) = waiting.iter().position(of_session) else { return };
        match read {
            Ok(history) => waiting[at].history = Some(history),
            Err(error) => {
                log::debug!("talk: {group}: {error}");
                let _ = waiting.remove(at).join.answer.send(Err(Fault::Unavailable));
            }
        }
        self.let_in(group);
    }

    fn read_again(&self, group: Group) {
        let (channels, after) = (self.channels.clone(), self.follower.heard(group));
        self.work.push(Box::pin(async move {
            sleep(PAUSE).await;
            Done::Read(group, channels.history(group, after).await)
        }));
    }

    /// Whether somebody is in a group, or about to be.
    fn is_wanted(&self, group: Group) -> bool {
        self.node.interest.is_held(group)
    }

    fn close(&mut self, group: Group) {
        self.follower.close(group);
        self.untold.retain(|(_, of), _| *of != group);
    }

    /// Once a second.
    fn tick(&mut self) {
        self.seconds += 1;
        for group in self.waiting.keys().copied().collect::<Vec<_>>() {
            // Who has given up waits no more.
            self.let_in(group);
        }
        for group in self.follower.groups() {
            if !self.is_wanted(group) {
                self.close(group);
            }
        }
        self.stats.groups.set(self.follower.len() as i64);
        for (number, group) in self.untold.keys().copied().collect::<Vec<_>>() {
            self.tell_untold(number, group);
        }
        for group in self.node.interest.take_changed() {
            self.presence.change(group);
        }
        for group in self.presence.tick(self.seconds) {
            let (channels, here) = (self.channels.clone(), members::here(&self.node, group));
            self.work.push(Box::pin(async move {
                let present = async {
                    let users = members::users(&here.await?);
                    channels.present(group, users).await.ok()
                };
                Done::Present(group, present.await)
            }));
        }
    }

    fn heard_of_presence(&mut self, group: Group, present: Option<Vec<UserId>>) {
        let is_here = self.is_wanted(group);
        let Some(news) = self.presence.read(group, present, is_here) else { return };
        let state = envelope::presence_state(group, &news.present, NAMED_MAX);
        let changes = news.joins.len() + news.leaves.len();
        let is_told = match changes {
            0 if !news.is_untold => true,
            1..=NAMED_MAX if !news.is_untold => {
                let (joins, leaves, count) = (&news.joins, &news.leaves, news.present.len());
                let frame = envelope::presence_diff(group, joins, leaves, count);
                self.deliver(group, Audience::Observers, &frame, 0)
            }
            // A frame has room for so many.
            _ => self.deliver(group, Audience::Observers, &state, 0),
        };
        let process = SessionId::process_number();
        let mut untold = news.newcomers;
        untold.retain(|newcomer| {
            let address = Group::Connection(process, *newcomer);
            !self.deliver(address, Audience::Members, &state, 0)
        });
        if !is_told || !untold.is_empty() {
            self.presence.tell_again(group, untold);
        }
    }
}

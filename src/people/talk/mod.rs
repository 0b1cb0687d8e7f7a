//! What players say to each other: judged here, ordered and kept by the [`Channels`], delivered by posts.
//!
//! - [`envelope`] what is said, in JSON · [`rights`] who may say it where · [`Talks`] decides
//! - [`relay`] from the channels to the members here: [`follow`] closes gaps, [`presence`] knows who is there
//! - [`chat`] what a sender is called, a slow mode, and [`words`] that are not shown
//! - [`members`] who is in a group on this node · [`operating`] what operators do in groups · [`report`] what
//!   they are to look at
//!
//! Nobody is heard who has no identity, and nothing that a client says of itself is believed: `from` and `timestamp` are
//! the server's.

pub mod chat;
pub mod envelope;
mod follow;
mod members;
pub mod operating;
mod presence;
pub mod relay;
mod report;
pub mod rights;
pub mod words;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{
    channels::{Channels, Draft, Group, History, PAYLOAD_BYTES_MAX},
    link::SessionLink,
    messages::{Member, ToPost},
    node::Node,
    player::UserId,
    store::StoreError,
    talk::{ByWord, GROUPS_MAX, Reply, Said, Scene, Speaker, Talk, TalkStats, Unheard, count},
};
use bytes::Bytes;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value};
use tokio::{sync::oneshot, time::timeout};

use self::{
    chat::Chat,
    envelope::{After, Asked, Fault},
    relay::{Join, Relay, RelayLink},
    report::Accusation,
    rights::Rights,
};
use super::People;
use crate::{operators::envelope::ulid, wall::now_ms};

/// Longest time that anything a client has asked for may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Decides about what clients say.
pub struct Talks {
    channels: Arc<dyn Channels>,
    rights: Arc<dyn Rights>,
    people: Arc<People>,
    chat: Arc<Chat>,
    relay: RelayLink,
    stats: TalkStats,
}

impl Talks {
    /// Has the clients of `node` heard from now on, and starts the relay on this thread. Before the first worker begins.
    pub fn start(
        node: &Arc<Node>,
        channels: Arc<dyn Channels>,
        rights: Arc<dyn Rights>,
        people: Arc<People>,
        chat: Chat,
    ) -> Arc<Self> {
        let stats = TalkStats::default();
        let (task, relay) = Relay::new(node.clone(), channels.clone(), stats.clone());
        actix_rt::spawn(task.run());
        let talks = Arc::new(Self { channels, rights, people, chat: Arc::new(chat), relay, stats });
        node.set_talk(talks.clone());
        talks
    }

    /// Has those leave that have left on any node, for as long as the process lives.
    pub async fn follow(self: Arc<Self>, node: Arc<Node>) {
        let mut heard = self.people.listen();
        loop {
            let (user, group) = People::next_to_leave(&mut heard).await;
            self.expel(&node, user, group);
        }
    }

    /// Adds what is counted to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        register(&self.stats, registry);
    }

    /// Ends the membership of a user in a group on this node, which has lost the right to it.
    pub fn expel(&self, node: &Node, user: UserId, group: Group) {
        let frame = envelope::frame("left", &group.to_string(), &Value::Null);
        for post in node.posts() {
            let who = Member::User(user);
            let dismiss = ToPost::Dismiss { group, who, frame: frame.clone(), done: None };
            if post.inbox.try_send(dismiss).is_err() {
                log::warn!("a post is too busy to dismiss user {user} from {group}");
            }
        }
    }

    fn judge(&self, said: &Said<'_>, id: Option<String>, asked: Asked) -> Result<Reply, Fault> {
        let link = &said.speaker.link;
        let asked = match asked {
            Asked::Identify { ticket } => return self.identify(link, ticket.as_deref()),
            asked => asked,
        };
        let user = link.player().user().ok_or(Fault::NotIdentified)?;
        match asked {
            Asked::Message { to, data } => {
                let right = may_write(to, said.scene)?;
                self.message(said.speaker, user, Post { to, id, data, right })
            }
            Asked::Join { to, presence, recover } => {
                if !to.is_joined() {
                    return Err(Fault::BadAddress);
                }
                if said.scene.groups() >= GROUPS_MAX && !said.scene.is_in(to) {
                    return Err(Fault::TooManyGroups);
                }
                Ok(self.join(said.speaker, user, id, to, presence, recover))
            }
            Asked::Leave { to } => {
                if !to.is_joined() {
                    return Err(Fault::BadAddress);
                }
                Ok(leave(said.speaker, id, to))
            }
            Asked::Recover { to, after } => {
                let right = may_read(to, user, said.scene)?;
                Ok(self.recover(link, user, id, to, after, right))
            }
            Asked::Report { to, which, reason } => {
                let right = may_read(to, user, said.scene)?;
                Ok(self.report(link, user, id, Accusation { to, which, reason, right }))
            }
            Asked::Identify { .. } => unreachable!("answered above"),
        }
    }

    /// Makes a connection that of the ticket's owner, and says whose it is.
    fn identify(&self, link: &SessionLink, ticket: Option<&str>) -> Result<Reply, Fault> {
        if let Some(ticket) = ticket {
            let identity =
                self.people.redeem(ticket, link.id(), now_ms()).ok_or(Fault::BadTicket)?;
            identity.take_over(link.player());
            log::debug!(connection:% = link.id(); "is that of {} now", identity.user);
        }
        Ok(Reply::Frame(envelope::welcome(link)))
    }

    fn message(&self, speaker: &Speaker, user: UserId, post: Post) -> Result<Reply, Fault> {
        let Post { to, id: of, mut data, right } = post;
        let id = of.clone().unwrap_or_else(ulid);
        self.chat.mask(to, &mut data);
        let (link, published) = (speaker.link.clone(), self.stats.published.clone());
        let (channels, allowed) = (self.channels.clone(), self.allowed(user, to, right));
        let (chat, sent) = (self.chat.clone(), id.clone());
        let publish = async move {
            allowed.await?;
            chat.slow_down(user, to, &sent, Instant::now()).map_err(Fault::Rate)?;
            let payload =
                envelope::payload(&sent, user, chat.called(user).await.as_ref(), to, &data);
            if payload.len() > PAYLOAD_BYTES_MAX {
                return Err(Fault::BadEnvelope("`data` is too large as the server writes it"));
            }
            let draft = Draft { group: to, sender: user, id: sent, payload };
            channels.publish(draft).await.map_err(unavailable)
        };
        Ok(self.later(speaker, of, async move {
            let done = publish.await?;
            if !done.is_duplicate {
                count(&published, "to", to.kind(), 1);
            }
            Ok(Some(envelope::sent(&link, &id, done.position, done.is_duplicate)))
        }))
    }

    fn join(
        &self,
        speaker: &Speaker,
        user: UserId,
        id: Option<String>,
        group: Group,
        presence: bool,
        recover: Option<After>,
    ) -> Reply {
        let allowed = self.allowed(user, group, Right::Member);
        let (relay, joining) = (self.relay.clone(), speaker.clone());
        self.later(speaker, id, async move {
            allowed.await?;
            let (answer, answered) = oneshot::channel();
            if !relay.join(Join { group, speaker: joining, presence, recover, answer }) {
                return Err(Fault::Busy);
            }
            answered.await.unwrap_or(Err(Fault::Unavailable)).map(|()| None)
        })
    }

    fn recover(
        &self,
        link: &Arc<SessionLink>,
        user: UserId,
        id: Option<String>,
        group: Group,
        after: After,
        right: Right,
    ) -> Reply {
        let (channels, stats) = (self.channels.clone(), self.stats.clone());
        let allowed = self.allowed(user, group, right);
        self.later_to(link.clone(), id, async move {
            allowed.await?;
            let history = channels.history(group, after).await.map_err(unavailable)?;
            Ok(Some(recovered(group, after, &history, &stats)))
        })
    }

    /// Whether a user may do something that needs `right`.
    fn allowed(
        &self,
        user: UserId,
        group: Group,
        right: Right,
    ) -> impl Future<Output = Result<(), Fault>> + Send + use<> {
        let asked = (right == Right::Member).then(|| self.rights.is_member(user, group));
        async move {
            let Some(asked) = asked else { return Ok(()) };
            let is_member = asked.await.map_err(unavailable)?;
            if is_member { Ok(()) } else { Err(Fault::Forbidden) }
        }
    }

    fn later(
        &self,
        speaker: &Speaker,
        id: Option<String>,
        work: impl Future<Output = Result<Option<Bytes>, Fault>> + Send + 'static,
    ) -> Reply {
        self.later_to(speaker.link.clone(), id, work)
    }

    fn later_to(
        &self,
        link: Arc<SessionLink>,
        id: Option<String>,
        work: impl Future<Output = Result<Option<Bytes>, Fault>> + Send + 'static,
    ) -> Reply {
        let refused = self.stats.refused.clone();
        Reply::Later(Box::pin(async move {
            let done = timeout(PATIENCE, work).await.unwrap_or(Err(Fault::Unavailable));
            done.unwrap_or_else(|fault| Some(refuse(&refused, &link, id.as_deref(), fault)))
        }))
    }
}

/// A message that may be published if its sender has the right.
struct Post {
    to: Group,
    /// As its sender has chosen it.
    id: Option<String>,
    data: Map<String, Value>,
    right: Right,
}

/// What somebody has to be for what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    /// A user, which it is.
    Anybody,
    /// A member of the team or room.
    Member,
}

/// What one has to be to write there.
fn may_write(to: Group, scene: &dyn Scene) -> Result<Right, Fault> {
    match to {
        Group::Team(_) | Group::Room(_) => Ok(Right::Member),
        Group::User(_) => Ok(Right::Anybody),
        Group::Tile(tile) if scene.looks_at(tile) => Ok(Right::Anybody),
        Group::Tile(_) => Err(Fault::Forbidden),
        Group::Connection(..) => Err(Fault::BadAddress),
    }
}

/// The same to read what is kept.
fn may_read(to: Group, user: UserId, scene: &dyn Scene) -> Result<Right, Fault> {
    match to {
        Group::User(own) if own != user => Err(Fault::Forbidden),
        _ => may_write(to, scene),
    }
}

fn leave(speaker: &Speaker, id: Option<String>, group: Group) -> Reply {
    let (link, post) = (speaker.link.clone(), speaker.post.clone());
    Reply::Later(Box::pin(async move {
        let (done, left) = oneshot::channel();
        let frame = envelope::frame("left", &group.to_string(), &Value::Null);
        let who = Member::Session(link.id());
        let dismiss = ToPost::Dismiss { group, who, frame, done: Some(done) };
        if post.inbox.try_send(dismiss).is_err() {
            return Some(envelope::error(&link, id.as_deref(), Fault::Busy));
        }
        // An error means that the post is gone, and the node with it.
        let _ = left.await;
        None
    }))
}

/// The frames of what is kept after a place, and the one that ends them. Where some of that is not kept any more this is
/// said, and nothing sent; whoever names no place asks for no more than what is kept.
fn recovered(group: Group, after: After, history: &History, stats: &TalkStats) -> Bytes {
    let History { last, messages, is_complete } = history;
    let has_all = *is_complete || after.is_none();
    let messages = if has_all { &messages[..] } else { &[] };
    stats.recovered.inc_by(messages.len() as u64);
    let mut frames: Vec<_> = messages.iter().map(|message| envelope::message(message)).collect();
    frames.push(envelope::recovered(group, messages.len(), has_all, *last));
    frames.concat().into()
}

fn unavailable(error: StoreError) -> Fault {
    log::debug!("talk: {error}");
    Fault::Unavailable
}

fn refuse(refused: &ByWord, link: &SessionLink, id: Option<&str>, fault: Fault) -> Bytes {
    count(refused, "code", fault.code(), 1);
    envelope::error(link, id, fault)
}

/// How the type of what was asked for is counted.
fn label(asked: &Result<Asked, Fault>) -> &'static str {
    match asked {
        Ok(Asked::Message { .. }) => "message",
        Ok(Asked::Join { .. }) => "join",
        Ok(Asked::Leave { .. }) => "leave",
        Ok(Asked::Recover { .. }) => "recover",
        Ok(Asked::Report { .. }) => "report",
        Ok(Asked::Identify { .. }) => "identify",
        Err(_) => "bad",
    }
}

impl Talk for Talks {
    fn hear(&self, said: &Said<'_>) -> Reply {
        let envelope::Read { id, asked } = envelope::read(said.text);
        count(&self.stats.received, "type", label(&asked), 1);
        let link = &said.speaker.link;
        let reply = asked.and_then(|asked| self.judge(said, id.clone(), asked));
        reply.unwrap_or_else(|fault| {
            Reply::Frame(refuse(&self.stats.refused, link, id.as_deref(), fault))
        })
    }

    fn is_message(&self, text: &str) -> bool {
        matches!(envelope::read(text).asked, Ok(Asked::Message { .. }))
    }

    fn unheard(&self, said: &Said<'_>, why: Unheard) -> Bytes {
        let (link, id) = (&said.speaker.link, envelope::read(said.text).id);
        let fault = match why {
            Unheard::Rate(wait) => Fault::Rate(wait),
            Unheard::Busy => Fault::Busy,
        };
        refuse(&self.stats.refused, link, id.as_deref(), fault)
    }

    fn lost(&self, link: &SessionLink, messages: u64) -> Bytes {
        let data = serde_json::json!({ "messages": messages });
        envelope::frame("lost", &envelope::address(link.id()), &data)
    }

    fn stats(&self) -> &TalkStats {
        &self.stats
    }
}

/// Every word that a count is split by, so that each is there from the start.
const WORDS: [(&str, &[&str]); 4] = [
    ("type", &["message", "join", "leave", "recover", "report", "identify", "bad"]),
    ("code", &Fault::CODES),
    ("to", &["team", "room", "tile", "user"]),
    ("reason", &["lagging", "post", "history"]),
];

fn register(stats: &TalkStats, registry: &mut Registry) {
    let families = [&stats.received, &stats.refused, &stats.published, &stats.lost];
    for (family, (label, words)) in families.into_iter().zip(WORDS) {
        for word in words {
            count(family, label, word, 0);
        }
    }
    let r = registry.sub_registry_with_prefix("billion");
    r.register("texts_received", "Text messages of clients, by type", stats.received.clone());
    r.register(
        "texts_refused",
        "Text messages of clients that were answered with an error, by its code",
        stats.refused.clone(),
    );
    r.register(
        "messages_published",
        "Messages that were given a place, by kind of group",
        stats.published.clone(),
    );
    r.register(
        "messages_delivered",
        "Messages put into outboxes or written, for each receiver",
        stats.delivered.clone(),
    );
    r.register(
        "messages_lost",
        "Messages that receivers did not get and were told of, by reason",
        stats.lost.clone(),
    );
    r.register(
        "messages_recovered",
        "Messages sent from what is kept to clients that asked",
        stats.recovered.clone(),
    );
    r.register(
        "messages_caught_up",
        "Messages read from what is kept because they may have been missed",
        stats.caught_up.clone(),
    );
    r.register("talk_groups", "Groups with members on this node", stats.groups.clone());
    r.register("talk_members", "Members of groups on this node", stats.members.clone());
}

#[cfg(test)]
mod tests;

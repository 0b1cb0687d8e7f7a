//! The port through which sessions pass on what their clients say in text, and what is counted about messages.
//!
//! Nothing here understands a message. A session takes text only where a node was given a [`Talk`]
//! ([`Node::set_talk`](crate::node::Node::set_talk)) and its client speaks `v=2`.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

use crate::{channels::Group, link::SessionLink, store::BoxFuture, wires::PostLink};

/// Largest text message of a client, in bytes.
pub const TEXT_BYTES_MAX: u64 = 1024;

/// Texts other than messages that a client may send a second, and how many at once: joining all of its groups, and a hand that is quick.
pub const TEXTS: (f64, u32) = (5.0, 40);

/// Texts of a client that may wait until those before them are done with; one more is refused as busy.
pub const WAITING_MAX: usize = 8;

/// Groups that a session may be in at the same time.
pub const GROUPS_MAX: usize = 32;

/// Who says something, and how to reach them.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The session.
    pub link: Arc<SessionLink>,
    /// The post of its thread.
    pub post: Arc<PostLink>,
}

/// What a client has said.
pub struct Said<'a> {
    /// UTF-8, at most [`TEXT_BYTES_MAX`].
    pub text: &'a str,
    /// Who.
    pub speaker: &'a Speaker,
    /// Where its client is.
    pub scene: &'a dyn Scene,
}

/// Where a client is.
pub trait Scene {
    /// Whether it looks at a tile of the main board.
    fn looks_at(&self, tile: u32) -> bool;

    /// Whether it has joined a group.
    fn is_in(&self, group: Group) -> bool;

    /// How many groups it has joined.
    fn groups(&self) -> usize;
}

/// What is to be done about it.
pub enum Reply {
    /// Nothing.
    Nothing,
    /// To send a complete frame.
    Frame(Bytes),
    /// To wait for this, and before the next text of this client is heard send the frame that comes of it. Must end by
    /// itself.
    Later(BoxFuture<Option<Bytes>>),
}

/// Why nothing is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// Its client is over its rate; there is room again after this time.
    Rate(Duration),
    /// [`WAITING_MAX`] wait, or the client does not drain what it is sent.
    Busy,
}

/// Whoever understands what clients say.
pub trait Talk: Send + Sync + 'static {
    /// Judges what was said. Called on the session's thread, one text after the other; must not wait.
    fn hear(&self, said: &Said<'_>) -> Reply;

    /// Whether others are to be sent a text, so that it counts as a message.
    fn is_message(&self, text: &str) -> bool;

    /// The frame that says that a text was not heard.
    fn unheard(&self, said: &Said<'_>, why: Unheard) -> Bytes;

    /// The frame that tells a client how many messages it has lost because it did not drain.
    fn lost(&self, speaker: &SessionLink, messages: u64) -> Bytes;

    /// What is counted.
    fn stats(&self) -> &TalkStats;
}

/// A count that is split by one word.
pub type ByWord = Family<[(&'static str, &'static str); 1], Counter>;

/// What is counted about messages, on a whole node. Docs name the metric without its `billion_` prefix.
#[derive(Debug, Clone, Default)]
pub struct TalkStats {
    /// `texts_received_total{type}`: text messages of clients, by type; `bad` for what is no envelope of a known type.
    pub received: ByWord,
    /// `texts_refused_total{code}`: those that were answered with an error.
    pub refused: ByWord,
    /// `messages_published_total{to}`: messages that were given a place, by kind of group.
    pub published: ByWord,
    /// `messages_delivered_total`: messages put into outboxes or written, for each receiver.
    pub delivered: Counter,
    /// `messages_lost_total{reason}`: messages that a receiver did not get: `lagging` (it does not drain), `post` (the
    /// mailbox of its thread was full), `history` (they are not kept any more; counted once for each group).
    pub lost: ByWord,
    /// `messages_recovered_total`: messages sent from what is kept, to clients that asked.
    pub recovered: Counter,
    /// `messages_caught_up_total`: messages that this node had missed and delivered from what is kept.
    pub caught_up: Counter,
    /// `talk_groups`: groups with members on this node.
    pub groups: Gauge,
    /// `talk_members`: members of groups on this node, a client in two groups twice.
    pub members: Gauge,
}

/// Counts one in a count that is split by a word.
pub fn count(family: &ByWord, label: &'static str, word: &'static str, by: u64) {
    family.get_or_create(&[(label, word)]).inc_by(by);
}

//! The channels of nodes that share a Redis Cluster: order, history and presence lie there.
//!
//! Groups are kept apart in [`PARTS`] parts, each of one hash slot, with one channel that every node hears.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `billion:{<board>:talk:<part>}:state` | hash | `run`, `mark`, `count`: how many messages the part has had, and in which numbering; `link` of the last |
//! | `billion:{<board>:talk:<part>}:links` | list | the links of its last 4,096 messages |
//! | `billion:{<board>:talk:<part>}:group:<group>` | hash | `epoch`, `last`, and the `mark` of the numbering it began in |
//! | `billion:{<board>:talk:<part>}:kept:<group>` | list | its last messages, as they were published |
//! | `billion:{<board>:talk:<part>}:known:<group>:<user>:<id>` | string | the place of a message |
//! | `billion:{<board>:talk:<part>}:present:<group>` | hash | for each node until when it has said so, and its users |
//! | `billion:{<board>:talk:<part>}` | channel | messages, and `P` with a group whose presence has changed |
//!
//! A message carries the count of its part, so a node that has missed one sees that by the next one, or by a look at the
//! count once a second ([`ear`]). A failover may take back the last messages, and their counts and offsets are given again. So each message has a *link*, a
//! digest of the link before it and of chance: with each call a node says which counts it has seen with which links, and
//! where one of them is not there, the part begins another *run*, in which all its groups have new epochs.
//!
//! Calls go by the pools of [`Nodes`], which ask their node before each: twice the time of a call that did not, and none
//! that hangs. A call is repeated for as long as it may help: a message has an id, by which it is published once.

mod ear;
mod script;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{
    channels::{Channels, Draft, Group, Heard, History, PARTS, Position, Published, part_of},
    player::UserId,
    store::{BoxFuture, StoreError},
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use redis::Value;
use tokio::sync::{Semaphore, broadcast};

use self::{
    ear::{Ears, Seen},
    script::Scripts,
    wire::{Run, entry, places, whole},
};
use super::{
    access::Access,
    keys::slot_of,
    nodes::Nodes,
    script::Call,
    trouble::{Trouble, one_line},
};

/// Messages that a listener may be behind.
const BEHIND_MAX: usize = 4096;

/// Time for a call with all its repetitions: a failover takes longer, and whoever waits is told.
const CALL_TIME: Duration = Duration::from_secs(3);

/// Calls under way at the same time; others wait for these.
const CALLS_MAX: usize = 64;

/// How long what a node says of presence holds: three times the pause after which it says it again.
const PRESENT_MS: u64 = 15_000;

/// What is counted.
#[derive(Debug, Clone, Default)]
struct ChannelStats {
    subscriptions: Gauge,
    disconnects: Counter,
    gaps: Counter,
    runs: Counter,
    failed: Counter,
}

/// The names of one part.
struct Part {
    state: String,
    links: String,
    channel: String,
    slot: u16,
}

impl Part {
    fn of(board: &str, part: u8) -> Self {
        let tag = format!("{board}:talk:{part}");
        let channel = format!("billion:{{{tag}}}");
        let [state, links] = ["state", "links"].map(|what| format!("{channel}:{what}"));
        Self { state, links, slot: slot_of(&tag), channel }
    }

    fn key(&self, what: &str, group: Group) -> String {
        format!("{}:{what}:{group}", self.channel)
    }
}

struct Shared {
    nodes: Nodes,
    parts: Vec<Part>,
    scripts: Scripts,
    ears: Ears,
    heard: broadcast::Sender<Heard>,
    calls: Semaphore,
    stats: ChannelStats,
    /// This node, among those that say who is present.
    name: String,
}

/// The channels of one node of many.
pub struct RedisChannels(Arc<Shared>);

impl RedisChannels {
    /// Of the nodes that play `board`; messages are heard once [`run`](Self::run) has connected.
    pub fn new(access: Access, board: &str) -> Self {
        let parts = (0..PARTS).map(|part| Part::of(board, part)).collect();
        Self(Arc::new(Shared {
            nodes: Nodes::new(access),
            parts,
            scripts: Scripts::default(),
            ears: Ears::default(),
            heard: broadcast::channel(BEHIND_MAX).0,
            calls: Semaphore::new(CALLS_MAX),
            stats: ChannelStats::default(),
            name: format!("{:016x}", rand::random::<u64>()),
        }))
    }

    /// Connects, stays connected and listens, for as long as the process lives.
    pub fn run(&self) -> impl Future<Output = ()> + Send + use<> {
        ear::run(self.0.clone())
    }

    /// Waits until every part is heard and was looked at.
    #[cfg(test)]
    pub async fn until_heard(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.0.stats.subscriptions.get() < i64::from(PARTS) || !self.0.ears.are_known() {
            assert!(Instant::now() < deadline, "it does not hear");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Adds what it counts to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let stats = &self.0.stats;
        registry.register(
            "talk_subscriptions",
            "Channels of messages that are heard, 16 when all is well",
            stats.subscriptions.clone(),
        );
        registry.register(
            "talk_disconnects",
            "Times the connection that hears messages was lost",
            stats.disconnects.clone(),
        );
        registry.register(
            "talk_gaps",
            "Times messages may have been missed, so that what is kept was read",
            stats.gaps.clone(),
        );
        registry.register(
            "talk_runs",
            "Times the numbering of a part began again",
            stats.runs.clone(),
        );
        registry.register(
            "talk_calls_failed",
            "Calls to Redis for messages that were given up",
            stats.failed.clone(),
        );
    }
}

impl Shared {
    fn part(&self, group: Group) -> (u8, &Part) {
        let part = part_of(group);
        (part, &self.parts[usize::from(part)])
    }

    async fn call(&self, slot: u16, call: &Call) -> Result<Value, StoreError> {
        let deadline = Instant::now() + CALL_TIME;
        let answered = async {
            let _place = self.calls.acquire().await.expect("never closed");
            self.nodes.call(slot, deadline, call).await
        };
        // However long connecting and repeating take.
        let answer = tokio::time::timeout(2 * CALL_TIME, answered).await;
        let failed = |why: String| StoreError::Unavailable(why.into());
        let answer = match answer {
            Ok(answer) => answer.map_err(|trouble| failed(one_line(&trouble))),
            Err(_) => Err(failed("Redis did not answer in time".to_owned())),
        };
        answer.inspect_err(|_| _ = self.stats.failed.inc())
    }

    async fn publish(&self, draft: Draft) -> Result<Published, StoreError> {
        let (number, part) = self.part(draft.group);
        let seen = self.ears.seen(number);
        let call = self.scripts.publish(part, &seen, &draft);
        let answer = self.call(part.slot, &call).await?;
        let Value::Array(parts) = &answer else { return Err(unexpected(&answer)) };
        let [Value::Int(is_duplicate), place, run @ ..] = &parts[..] else {
            return Err(unexpected(&answer));
        };
        let (Some(position), Some(run)) = (places(place), Run::read(run)) else {
            return Err(unexpected(&answer));
        };
        self.ears.saw(number, &seen, run);
        Ok(Published { position, is_duplicate: *is_duplicate == 1 })
    }

    async fn history(&self, group: Group, after: Option<Position>) -> Result<History, StoreError> {
        let (number, part) = self.part(group);
        let seen = self.ears.seen(number);
        let call = self.scripts.read(part, &seen, group, after);
        let answer = self.call(part.slot, &call).await?;
        let Value::Array(parts) = &answer else { return Err(unexpected(&answer)) };
        let [now_ms, epoch, last, run @ .., Value::Array(messages)] = &parts[..] else {
            return Err(unexpected(&answer));
        };
        let read = || {
            let run = Run::read(run)?;
            let last = Position { epoch: wire::epoch(epoch)?, offset: whole(last)? };
            let messages =
                messages.iter().map(|message| entry(message).map(|e| Arc::new(e.message)));
            Some((run, last, whole(now_ms)?, messages.collect::<Option<Vec<_>>>()?))
        };
        let (run, last, now_ms, messages) = read().ok_or_else(|| unexpected(&answer))?;
        self.ears.saw(number, &seen, run);
        Ok(wire::history(after, last, messages, now_ms))
    }

    /// How far a part has come. `seen`: what is said to have been seen of it.
    async fn look(&self, number: u8, seen: &Seen) -> Result<Run, StoreError> {
        let part = &self.parts[usize::from(number)];
        let answer = self.call(part.slot, &self.scripts.look(part, seen)).await?;
        let Value::Array(parts) = &answer else { return Err(unexpected(&answer)) };
        Run::read(parts).ok_or_else(|| unexpected(&answer))
    }

    async fn present(&self, group: Group, here: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
        let (_, part) = self.part(group);
        let mut here: Vec<_> = here.iter().map(ToString::to_string).collect();
        here.sort_unstable();
        here.dedup();
        let here = here.join(" ");
        let call = self.scripts.present(part, group, &self.name, PRESENT_MS, &here);
        let answer = self.call(part.slot, &call).await?;
        let Value::Array(nodes) = &answer else { return Err(unexpected(&answer)) };
        let mut users = Vec::new();
        for node in nodes {
            let said = wire::text(node).ok_or_else(|| unexpected(&answer))?;
            users.extend(said.split(' ').filter_map(UserId::read));
        }
        users.sort_unstable();
        users.dedup();
        Ok(users)
    }
}

fn unexpected(answer: &Value) -> StoreError {
    let trouble = Trouble::Unexpected(format!("a script of messages answered {answer:?}"));
    StoreError::Unavailable(one_line(&trouble).into())
}

impl Channels for RedisChannels {
    fn publish(&self, draft: Draft) -> BoxFuture<Result<Published, StoreError>> {
        let shared = self.0.clone();
        Box::pin(async move { shared.publish(draft).await })
    }

    fn history(
        &self,
        group: Group,
        after: Option<Position>,
    ) -> BoxFuture<Result<History, StoreError>> {
        let shared = self.0.clone();
        Box::pin(async move { shared.history(group, after).await })
    }

    fn present(
        &self,
        group: Group,
        here: Vec<UserId>,
    ) -> BoxFuture<Result<Vec<UserId>, StoreError>> {
        let shared = self.0.clone();
        Box::pin(async move { shared.present(group, here).await })
    }

    fn listen(&self) -> broadcast::Receiver<Heard> {
        self.0.heard.subscribe()
    }
}

#[cfg(test)]
mod tests;

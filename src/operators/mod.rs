//! What operators have decided, on all nodes of the board: kept over the [`Bus`], applied to this node.
//!
//! A decision is kept first and applied then, by the node that was asked as by every other one: whoever hears that
//! something has changed reads all that is kept, and applies what differs. So a node that was away, or has just
//! started, comes to the same as those that were there.

pub mod audit;
pub mod envelope;
pub mod model;
pub mod nodes;
mod snapshot;
pub mod talk;
pub mod traces;

use std::{
    sync::{
        Arc, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actors::{
    bus::{Bus, Heard, Kept},
    node::Node,
    player::{Player, SessionId, UserId},
    protocol::Close,
    store::StoreError,
};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use ipnet::IpNet;
use log::{info, warn};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Mutex, broadcast::error::RecvError, watch},
    time::{sleep, timeout},
};

use self::{
    model::{Block, Decisions, Notice, READ_ONLY, ReadOnly},
    nodes::{Nodes, Watch},
    traces::Traces,
};
use crate::{admission::Admission, limits::blocks::Blocks, live::Following, wall::now_ms};

/// Time between two attempts to read what is kept.
pub const PAUSE: Duration = Duration::from_millis(250);

/// Time within which a handshake that was let in becomes a session that can be found.
pub const LATE_JOIN: Duration = Duration::from_secs(1);

/// Longest time to read it for the first time.
pub const START_TIME: Duration = Duration::from_secs(10);

/// The key of an entry that is there as soon as any is, and never removed.
const MARK: &str = "mark";

/// The topic of [`NodeStats`](nodes::NodeStats).
const STATS: &str = "node.stats";

/// The topic of [`EndConnection`].
const END: &str = "connection.end";

/// The topic of [`EndUser`].
const END_USER: &str = "user.end";

/// What the node is told that has a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndConnection {
    /// As [`SessionId`] is written.
    pub id: String,
    /// How it is to end.
    pub code: u16,
    /// What its client is told.
    pub reason: String,
}

/// All connections of a user are to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndUser {
    /// As [`UserId`] is written.
    pub user: String,
    /// How they are to end.
    pub code: u16,
    /// What its clients are sent.
    pub reason: String,
}

/// The decisions in force, and how to change them.
pub struct Operators {
    bus: Arc<dyn Bus>,
    node: Arc<Node>,
    /// Those that requests and handshakes meet.
    blocks: Arc<Blocks>,
    /// Who is never blocked.
    live: Following,
    decisions: watch::Sender<Arc<Decisions>>,
    /// How often the blocks in force have changed.
    blocks_version: AtomicU64,
    /// The last second, for all who watch.
    snapshots: watch::Sender<Bytes>,
    /// What all nodes do.
    pub nodes: Nodes,
    traces: Traces,
    /// All entries as they were last kept.
    known: std::sync::Mutex<Kept>,
    /// The id of the notice that the pages of this node show.
    shown: std::sync::Mutex<Option<String>>,
    /// One change is applied after the other.
    applying: Mutex<()>,
}

impl Operators {
    /// Reads what is kept and applies it, before anybody is served.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn start(
        bus: Arc<dyn Bus>,
        node: Arc<Node>,
        blocks: Arc<Blocks>,
        live: Following,
    ) -> Result<Arc<Self>> {
        let (decisions, applying) = (watch::Sender::default(), Mutex::default());
        let operators = Arc::new(Self {
            bus,
            node,
            blocks,
            live,
            decisions,
            blocks_version: AtomicU64::default(),
            snapshots: watch::Sender::default(),
            nodes: Nodes::default(),
            traces: Traces::default(),
            known: std::sync::Mutex::default(),
            shown: std::sync::Mutex::default(),
            applying,
        });
        let began = Instant::now();
        loop {
            match operators.refresh().await {
                Ok(()) => break,
                Err(error) if began.elapsed() > START_TIME => {
                    return Err(error).context("what operators have decided cannot be read");
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
        Ok(operators)
    }

    /// Follows what any node decides, for as long as the process lives.
    pub async fn follow(self: Arc<Self>) {
        let mut heard = self.bus.listen();
        // What was decided before somebody listened.
        let mut is_behind = true;
        loop {
            if is_behind {
                match self.refresh().await {
                    Ok(()) => is_behind = false,
                    Err(error) => {
                        log::debug!("operators: {error}");
                        sleep(PAUSE).await;
                        continue;
                    }
                }
            }
            let heard = tokio::select! {
                heard = heard.recv() => heard,
                () = self.notice_is_over() => {
                    self.end_notice().await;
                    continue;
                }
            };
            match heard {
                Ok(Heard::Changed) | Err(RecvError::Lagged(_)) => is_behind = true,
                Ok(Heard::Message { topic, payload }) => {
                    if let Err(error) = self.heard(&topic, &payload).await {
                        log::debug!("operators: {topic}: {error}");
                    }
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Does what a message of another node asks for, or of this one. Topics of a later version are left alone.
    async fn heard(self: &Arc<Self>, topic: &str, payload: &[u8]) -> serde_json::Result<()> {
        match topic {
            END => _ = self.end_here(&serde_json::from_slice(payload)?).await,
            END_USER => self.end_user_here(&serde_json::from_slice(payload)?).await,
            traces::ASK => self.asked_to_trace(serde_json::from_slice(payload)?).await,
            traces::TELL => self.told_of_trace(serde_json::from_slice(payload)?),
            talk::SAY => _ = self.say_here(&serde_json::from_slice(payload)?).await,
            STATS => self.nodes.heard(serde_json::from_slice(payload)?),
            _ => {}
        }
        Ok(())
    }

    /// Counts what this node does and publishes it, once a second, for as long as the process lives.
    pub async fn observe(self: Arc<Self>, admission: Arc<Admission>) {
        let mut watch = Watch::begin();
        let mut tick = tokio::time::interval(nodes::INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let stats = watch.look(&self.node, &admission, &self.live.now().rules);
            let told = model::written(&stats);
            self.nodes.heard(stats);
            if self.snapshots.receiver_count() > 0 {
                self.snapshots.send_replace(self.snapshot(&admission));
            }
            // Where nobody is reached this node knows of itself alone, and goes on to count.
            let published = self.bus.publish(STATS.to_owned(), told.into());
            match timeout(nodes::INTERVAL, published).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::debug!("operators: {STATS}: {error}"),
                Err(_) => log::debug!("operators: {STATS}: not published in time"),
            }
        }
    }

    fn snapshot(&self, admission: &Admission) -> Bytes {
        let version = self.blocks_version.load(Ordering::Acquire);
        snapshot::event(&self.node, self.nodes.now(), admission, &self.decisions(), version)
    }

    /// What is sent to dashboards, from the next second on; a second is skipped by who is not ready for it. Made while
    /// anybody has this.
    pub fn watch(&self) -> watch::Receiver<Bytes> {
        self.snapshots.subscribe()
    }

    /// The decisions in force on this node.
    pub fn decisions(&self) -> Arc<Decisions> {
        self.decisions.borrow().clone()
    }

    /// Makes the board read-only on all nodes, or writable again. Ready when this node acknowledges no check any more.
    ///
    /// # Errors
    /// If that could not be kept: nothing has changed, or every node follows when what keeps it is back.
    pub async fn set_read_only(&self, read_only: Option<ReadOnly>) -> Result<(), StoreError> {
        let value = read_only.map(|read_only| model::written(&read_only));
        self.keep(READ_ONLY.to_owned(), value).await?;
        self.refresh().await
    }

    /// Blocks a network on all nodes. Ready when this node has ended its connections and refuses new ones.
    ///
    /// # Errors
    /// As [`set_read_only`](Self::set_read_only).
    pub async fn block(&self, block: &Block) -> Result<(), StoreError> {
        self.forget_what_is_over().await;
        self.keep(Block::key(block.network), Some(model::written(block))).await?;
        self.refresh().await
    }

    /// Ends the block of a network on all nodes.
    ///
    /// # Errors
    /// As [`set_read_only`](Self::set_read_only).
    pub async fn unblock(&self, network: IpNet) -> Result<(), StoreError> {
        self.keep(Block::key(network), None).await?;
        self.refresh().await
    }

    /// Ends a connection, on whichever node it is. Ready when it has been told to end, if it is on this one.
    ///
    /// # Errors
    /// If other nodes cannot be asked.
    pub async fn end(&self, end: &EndConnection) -> Result<(), StoreError> {
        if self.end_here(end).await {
            return Ok(());
        }
        self.bus.publish(END.to_owned(), model::written(end).into()).await
    }

    /// Ends a connection of this node; whether it is one.
    async fn end_here(&self, end: &EndConnection) -> bool {
        let Some((process, session)) = SessionId::read(&end.id) else { return false };
        if process != SessionId::process() {
            return false;
        }
        let close = Close::by_operator(end.code, &end.reason).unwrap_or(Close::ENDED);
        self.node.end_players(move |player| player.session == session, close).await;
        true
    }

    /// Ends all connections of a user on all nodes. Ready when those of this one have been sent word.
    ///
    /// # Errors
    /// If other nodes cannot be asked.
    pub async fn end_user(&self, end: &EndUser) -> Result<(), StoreError> {
        self.end_user_here(end).await;
        self.bus.publish(END_USER.to_owned(), model::written(end).into()).await
    }

    async fn end_user_here(&self, end: &EndUser) {
        let Some(user) = UserId::read(&end.user) else { return };
        let are_meant = move |player: &Player| player.user() == Some(user);
        // A reason is remembered: not for nobody.
        if self.node.sessions(are_meant, 1).await.is_empty() {
            return;
        }
        let close = Close::by_operator(end.code, &end.reason).unwrap_or(Close::ENDED);
        self.node.end_players(are_meant, close).await;
    }

    /// Blocks that have ended by themselves take room for nothing.
    async fn forget_what_is_over(&self) {
        let (decisions, now_ms) = (self.decisions(), now_ms());
        for block in decisions.blocks.iter().filter(|block| block.is_over(now_ms)) {
            // If it fails, the next time will do.
            let _ = self.keep(Block::key(block.network), None).await;
        }
    }

    /// What is kept. If that was lost, by a Redis that came back empty, this node writes down again what it knows.
    async fn kept(&self) -> Result<Kept, StoreError> {
        let kept = self.bus.kept().await?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !known.contains_key(MARK) || kept.contains_key(MARK) {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&kept);
            return Ok(kept);
        }
        warn!(
            "what operators have decided was lost where it is kept: this node writes down again what it knows"
        );
        // What was decided since then wins.
        for (key, value) in known.iter().filter(|(key, _)| !kept.contains_key(*key)) {
            self.bus.keep(key.clone(), Some(value.clone())).await?;
        }
        let kept = self.bus.kept().await?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&kept);
        Ok(kept)
    }

    /// Keeps an entry, or removes it; and first the mark by which all nodes see that entries were not lost.
    async fn keep(&self, key: String, value: Option<String>) -> Result<(), StoreError> {
        let is_marked =
            self.known.lock().unwrap_or_else(PoisonError::into_inner).contains_key(MARK);
        if !is_marked {
            self.bus.keep(MARK.to_owned(), Some("1".to_owned())).await?;
        }
        self.bus.keep(key, value).await
    }

    /// Reads what is kept and applies what has changed. Ready when it is in force on this node.
    async fn refresh(&self) -> Result<(), StoreError> {
        let _one_after_the_other = self.applying.lock().await;
        let decided = Arc::new(Decisions::read(&self.kept().await?));
        let before = self.decisions();
        let has_new_blocks = before.blocks != decided.blocks;
        if has_new_blocks {
            let ends = decided
                .blocks
                .iter()
                .map(|block| (block.network, block.until_ms.unwrap_or(u64::MAX)));
            self.blocks.replace(ends);
            // A handshake that was let in just before joins its hub within this time.
            let (live, node) = (self.live.clone(), self.node.clone());
            actix_rt::spawn(async move {
                sleep(LATE_JOIN).await;
                end_blocked(&live, &node).await;
            });
            end_blocked(&self.live, &self.node).await;
        }
        if before.notice != decided.notice {
            let now_ms = now_ms();
            let lasting = |notice: &&Notice| !notice.is_over(now_ms);
            self.show(decided.notice.as_ref().filter(lasting)).await;
        }
        if before.read_only != decided.read_only {
            match &decided.read_only {
                Some(ReadOnly { reason, by, .. }) => {
                    warn!("the board is read-only from now on ({by}: {reason:?})");
                }
                None => info!("the board takes checks again"),
            }
            self.node.main().set_read_only(decided.read_only.is_some()).await;
        }
        // Last: a caller that hangs up before leaves it to whoever reads next to apply all of it.
        self.decisions.send_replace(decided);
        if has_new_blocks {
            // Who sees another number finds other blocks.
            self.blocks_version.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }
}

/// Ends the sessions of all who are blocked now.
async fn end_blocked(live: &Following, node: &Node) {
    let live = live.now();
    let is_blocked =
        move |player: &Player| live.limits.blocks(player.ip) && !live.limits.allows(player.ip);
    node.end_players(is_blocked, Close::BLOCKED).await;
}

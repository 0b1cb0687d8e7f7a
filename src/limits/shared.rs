//! Limits that many nodes share: draws tokens for the keys of a node from Redis, many in one call per tick.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `<prefix>:{limits}:nodes` | sorted set | the nodes that draw, each with when it did last, in µs |
//! | `<prefix>:{limits}:<class>:<subject>` | string | when the bucket of this key is full, in µs of Redis' clock; gone when it is |
//!
//! One slot for all of them, so that one call may be for many: a master does 2 million keys a second, and a node asks
//! for a key about once a second. What is asked for, and what follows from an answer, is `actors::limits::lease`.
//!
//! A node that gets no answer in time is alone from then on, and tries to get back.

use std::{sync::Arc, time::Duration};

use actors::{
    clock::Clock,
    limits::{
        TICK,
        lease::{Answer, Ask, Leases},
    },
    player::SessionId,
};
use log::{info, warn};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use redis::{RedisResult, Script, cluster_async::ClusterConnection};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::store::cluster::access::Access;

/// Keys of one call: 100 take Redis 0.3 ms, in which it does nothing else.
const KEYS_PER_CALL: usize = 100;

/// Time for an answer. A master that is slower than this decides nothing in time.
const PATIENCE: Duration = Duration::from_millis(500);

/// Time between two calls of a node that wants nothing: a third of that after which it is not counted any more.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Time between two attempts of a node that is alone.
const PAUSE: Duration = Duration::from_millis(250);

/// KEYS the nodes, then one for each that is asked for; ARGV this node, the time in µs for which it was alone, then for
/// each the µs in which a token grows, the burst, and how many tokens are wanted, given back, and owed.
///
/// Answers the number of nodes, and for each key the tokens granted and the µs until it is full.
const DRAW: &str = include_str!("lua/draw.lua");

/// What is counted.
#[derive(Debug, Clone, Default)]
pub struct SharedStats {
    calls: Counter,
    failed: Counter,
    drawn: Counter,
    given_back: Counter,
    alone: Gauge,
    nodes: Gauge,
    keys: Gauge,
}

impl SharedStats {
    /// Adds it to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "limit_calls",
            "Calls to Redis for limits that nodes share",
            self.calls.clone(),
        );
        registry.register(
            "limit_calls_failed",
            "Those without an answer in time",
            self.failed.clone(),
        );
        registry.register("limit_tokens_drawn", "Tokens drawn from Redis", self.drawn.clone());
        registry.register(
            "limit_tokens_given_back",
            "Tokens given back to Redis unused",
            self.given_back.clone(),
        );
        registry.register(
            "limit_alone",
            "1 while limits are not shared because Redis is not reached",
            self.alone.clone(),
        );
        registry.register("limit_nodes", "Nodes that share limits", self.nodes.clone());
        registry.register("limit_keys", "Keys of which tokens are held or owed", self.keys.clone());
    }
}

/// One node's side of it.
pub struct Shared {
    /// What it holds.
    pub leases: Arc<Leases>,
    /// How Redis is reached.
    pub access: Access,
    /// `limits.prefix`.
    pub prefix: String,
    /// The node's.
    pub clock: Clock,
    /// What is counted.
    pub stats: SharedStats,
}

/// How it stands with Redis.
enum Line {
    /// It answers, or has not been asked yet.
    Open(ClusterConnection),
    /// It does not; since when, by the clock.
    Alone { since_ns: u64, attempt: Option<JoinHandle<Option<ClusterConnection>>> },
}

impl Shared {
    /// Draws at each tick, for as long as the process lives.
    pub async fn run(self) {
        let script = Script::new(DRAW);
        let mut line = Line::Alone { since_ns: self.clock.now_ns(), attempt: None };
        let (mut called_ns, mut was_alone_ns, mut tried_ns) = (0, 0, 0);
        // What the log has said last: once each, however often a connection comes and fails.
        let mut said_alone = false;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now_ns = self.clock.now_ns();
            self.stats.keys.set(self.leases.keys() as i64);
            match &mut line {
                Line::Open(connection) => {
                    let asks = self.leases.tick(now_ns);
                    if asks.is_empty() && now_ns - called_ns < HEARTBEAT.as_nanos() as u64 {
                        continue;
                    }
                    called_ns = now_ns;
                    let alone_ns = std::mem::take(&mut was_alone_ns);
                    match self.draw(connection, &script, &asks, alone_ns).await {
                        Ok(()) => {
                            self.stats.alone.set(0);
                            if std::mem::take(&mut said_alone) {
                                info!("limits are shared again");
                            }
                        }
                        Err(why) => {
                            self.stats.alone.set(1);
                            if !std::mem::replace(&mut said_alone, true) {
                                warn!(
                                    "limits are not shared, this node has its part of them: {why}"
                                );
                            }
                            line = Line::Alone { since_ns: now_ns, attempt: None };
                        }
                    }
                }
                Line::Alone { since_ns, attempt } => {
                    if called_ns > 0 {
                        self.leases.tick_alone(now_ns);
                    }
                    match attempt {
                        Some(running) if running.is_finished() => {
                            let found = running.await.ok().flatten();
                            *attempt = None;
                            if let Some(connection) = found {
                                was_alone_ns = now_ns - *since_ns;
                                line = Line::Open(connection);
                                // So that the number of nodes is known before anything is held.
                                called_ns = 0;
                            }
                        }
                        None if now_ns >= tried_ns => {
                            tried_ns = now_ns + PAUSE.as_nanos() as u64;
                            *attempt = Some(tokio::spawn(connect(self.access.clone())));
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// Asks for all of `asks`.
    ///
    /// # Errors
    /// If not all were answered: why the first was not.
    async fn draw(
        &self,
        connection: &mut ClusterConnection,
        script: &Script,
        asks: &[Ask],
        alone_ns: u64,
    ) -> Result<(), String> {
        let nobody: [&[Ask]; 1] = [&[]];
        let pieces: Vec<&[Ask]> = match asks {
            [] => nobody.into(),
            asks => asks.chunks(KEYS_PER_CALL).collect(),
        };
        let mut outcome = Ok(());
        for asks in pieces {
            // Whoever has not answered once is not waited for again.
            let answer = match outcome {
                Ok(()) => self.answer(connection, script, asks, alone_ns).await,
                Err(_) => Err(String::new()),
            };
            match answer {
                Ok(answer) => self.take_in(asks, &answer),
                Err(why) => {
                    asks.iter().for_each(|ask| self.leases.unanswered(ask.key));
                    outcome = outcome.and(Err(why));
                }
            }
        }
        outcome
    }

    /// What Redis says to one piece.
    async fn answer(
        &self,
        connection: &mut ClusterConnection,
        script: &Script,
        asks: &[Ask],
        alone_ns: u64,
    ) -> Result<Vec<i64>, String> {
        self.stats.calls.inc();
        let call = self.call(connection, script, asks, alone_ns);
        let answer = match timeout(PATIENCE, call).await {
            Ok(Ok(answer)) if answer.len() == 1 + 2 * asks.len() => return Ok(answer),
            Ok(Ok(answer)) => format!("Redis answered {} numbers to {}", answer.len(), asks.len()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("Redis did not answer within {} ms", PATIENCE.as_millis()),
        };
        self.stats.failed.inc();
        Err(answer)
    }

    fn take_in(&self, asks: &[Ask], answer: &[i64]) {
        let now_ns = self.clock.now_ns();
        self.stats.nodes.set(answer[0]);
        self.leases.reached(u32::try_from(answer[0]).unwrap_or(1));
        for (ask, told) in asks.iter().zip(answer[1..].as_chunks::<2>().0) {
            let granted = u32::try_from(told[0]).unwrap_or(0).min(ask.want);
            self.stats.drawn.inc_by(granted.into());
            self.stats.given_back.inc_by(ask.back.into());
            let full_in_ns = u64::try_from(told[1]).unwrap_or(0).saturating_mul(1000);
            self.leases.answered(ask.key, Answer { granted, full_in_ns }, now_ns);
        }
    }

    async fn call(
        &self,
        connection: &mut ClusterConnection,
        script: &Script,
        asks: &[Ask],
        alone_ns: u64,
    ) -> RedisResult<Vec<i64>> {
        let prefix = &self.prefix;
        let mut call = script.key(format!("{prefix}:{{limits}}:nodes"));
        call.arg(SessionId::process()).arg(alone_ns / 1000);
        for Ask { key, rate, want, back, alone } in asks {
            call.key(format!("{prefix}:{{limits}}:{:x}:{:x}", key.class, key.subject));
            call.arg(rate.token_us()).arg(rate.burst()).arg(*want).arg(*back).arg(*alone);
        }
        call.invoke_async(connection).await
    }
}

async fn connect(access: Access) -> Option<ClusterConnection> {
    let client = access.cluster().ok()?;
    client.get_async_connection().await.ok()
}

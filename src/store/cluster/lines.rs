//! The connections that checks travel on: a few clients of the whole cluster, each multiplexed, with
//! a bound on what is in flight and a replacement for one that does not answer.
//!
//! Several, because one that has to follow a moved slot with hundreds of calls in flight was seen to
//! hang for good. A line whose call timed out, or that has lost every node, is replaced while it goes
//! on serving: one master that is away must not take the others' key ranges with it. While no node can be
//! reached it is dropped: the client then asks nobody who serves what, again and again without a pause.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr},
};
use tokio::{runtime::Handle, sync::Semaphore, time::sleep};

use super::{
    access::Access,
    script::Call,
    stats::{ClusterStats, PAUSE},
    trouble::{Trouble, is_unknown_script},
};

/// Calls of one line at once. A shard has one in flight, so most lines never have so many.
const IN_FLIGHT: usize = 64;

/// Every line.
pub struct Lines(Vec<Line>);

struct Line {
    client: ClusterClient,
    /// `None` while it is replaced and no node can be reached.
    current: Arc<Mutex<Option<ClusterConnection>>>,
    replacing: Arc<AtomicBool>,
    in_flight: Semaphore,
    runtime: Handle,
    stats: Arc<ClusterStats>,
    access: Access,
}

impl Lines {
    /// Connects `count` lines, on whose tasks the connections live.
    pub async fn connect(
        access: &Access,
        count: usize,
        stats: &Arc<ClusterStats>,
    ) -> RedisResult<Self> {
        let mut lines = Vec::new();
        for _ in 0..count {
            let client = access.cluster()?;
            let connection = client.get_async_connection().await?;
            lines.push(Line {
                client,
                current: Arc::new(Mutex::new(Some(connection))),
                replacing: Arc::default(),
                in_flight: Semaphore::new(IN_FLIGHT),
                runtime: Handle::current(),
                stats: stats.clone(),
                access: access.clone(),
            });
        }
        Ok(Self(lines))
    }

    /// One command to the master of `slot`. Users of the same `which` share a line.
    pub async fn command(&self, which: usize, slot: u16, command: &Cmd) -> Result<Value, Trouble> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command.clone());
        let answers = self.line(which).ask(slot, pipeline, 1).await?;
        answers.into_iter().next().ok_or_else(no_answer)
    }

    /// Runs a script on the master of `slot`; with `replicas` above 0 waits until so many have what
    /// it did (WAIT), and fails if they do not in time.
    pub async fn call(
        &self,
        which: usize,
        slot: u16,
        call: &Call,
        replicas: u32,
    ) -> Result<Value, Trouble> {
        let line = self.line(which);
        match line.script(slot, &call.known, replicas).await {
            Err(Trouble::Redis(error)) if is_unknown_script(&error) => {
                line.script(slot, &call.text, replicas).await
            }
            answer => answer,
        }
    }

    fn line(&self, which: usize) -> &Line {
        &self.0[which % self.0.len()]
    }
}

impl Line {
    async fn script(&self, slot: u16, command: &Cmd, replicas: u32) -> Result<Value, Trouble> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command.clone());
        if replicas > 0 {
            // In one piece with the script: WAIT speaks of what this connection has written.
            let patience = self.access.response_timeout / 2;
            pipeline.cmd("WAIT").arg(replicas).arg(patience.as_millis() as u64);
        }
        let expected = 1 + usize::from(replicas > 0);
        let mut answers = self.ask(slot, pipeline, expected).await?.into_iter();
        let answer = answers.next().ok_or_else(no_answer)?;
        match answers.next() {
            Some(Value::Int(have)) if have < i64::from(replicas) => {
                Err(Trouble::TooFewCopies { have, wanted: replicas })
            }
            _ => Ok(answer),
        }
    }

    async fn ask(
        &self,
        slot: u16,
        pipeline: Pipeline,
        expected: usize,
    ) -> Result<Vec<Value>, Trouble> {
        let _permit = self.in_flight.acquire().await.expect("never closed");
        let connection = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(mut connection) = connection else {
            self.replace();
            return Err(Trouble::NotConnected);
        };
        let route = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
        let began = std::time::Instant::now();
        let answered = connection.route_pipeline(pipeline, 0, expected, route).await;
        let answered = answered.and_then(|values| {
            values.into_iter().map(Value::extract_error).collect::<RedisResult<Vec<_>>>()
        });
        self.stats.asked(began.elapsed(), answered.is_ok());
        if answered.as_ref().is_err_and(is_lost) {
            self.replace();
        }
        Ok(answered?)
    }

    /// Connects anew beside the present connection, and then takes its place; or before, if nobody can
    /// be reached.
    fn replace(&self) {
        if self.replacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (client, stats) = (self.client.clone(), self.stats.clone());
        let (current, replacing) = (self.current.clone(), self.replacing.clone());
        self.runtime.spawn(async move {
            // Ends with the store's runtime.
            let connection = loop {
                match client.get_async_connection().await {
                    Ok(connection) => break connection,
                    Err(_) => {
                        *current.lock().unwrap_or_else(PoisonError::into_inner) = None;
                        sleep(PAUSE).await;
                    }
                }
            };
            *current.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
            stats.lines_replaced.inc();
            replacing.store(false, Ordering::Release);
        });
    }
}

/// Whether the client may not get over it by itself: it waits for an answer that does not come, or has
/// lost every node, and was seen never to find one again.
fn is_lost(error: &RedisError) -> bool {
    error.is_timeout() || error.kind() == ErrorKind::ClusterConnectionNotFound
}

fn no_answer() -> Trouble {
    Trouble::Unexpected("no answer".to_owned())
}

//! The masters of a cluster one by one, each with a small pool of connections: for loading,
//! comparing and administration, whose large answers must not hold up checks.
//!
//! A pool asks its node before it gives out a connection, so a node that is away is noticed here and
//! nothing is sent to it; that is right for these uses and would be wrong for checks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use deadpool_redis::{Connection, Pool, PoolError};
use futures_util::future::join_all;
use redis::{Cmd, RedisError, RedisResult, Value, cluster::NodeAddress};

use super::{
    access::Access,
    script::Call,
    stats::PAUSE,
    trouble::{Trouble, is_passing, is_unknown_script},
};

/// Slots from the first to the second, and who serves them.
type Served = (u16, u16, NodeAddress);

/// The masters, as far as they are known.
pub struct Nodes {
    access: Access,
    pools: Mutex<HashMap<NodeAddress, Pool>>,
    served: Mutex<Arc<Vec<Served>>>,
}

impl Nodes {
    /// Knows nobody yet.
    pub fn new(access: Access) -> Self {
        Self { access, pools: Mutex::default(), served: Mutex::default() }
    }

    /// How they are reached.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Sends `command` to the master of `slot`, again and again until it succeeds, the error is not one
    /// that time or another node could help against, or `deadline` has passed.
    pub async fn command(
        &self,
        slot: u16,
        deadline: Instant,
        command: &Cmd,
    ) -> Result<Value, Trouble> {
        self.on_master(slot, deadline, command, None).await
    }

    /// Runs a script on the master of `slot`, as above.
    pub async fn call(&self, slot: u16, deadline: Instant, call: &Call) -> Result<Value, Trouble> {
        self.on_master(slot, deadline, &call.known, Some(&call.text)).await
    }

    async fn on_master(
        &self,
        slot: u16,
        deadline: Instant,
        command: &Cmd,
        text: Option<&Cmd>,
    ) -> Result<Value, Trouble> {
        loop {
            match self.ask(slot, command, text).await {
                Err(error) if is_passing(&error) => {
                    log::debug!("slot {slot}: {error}");
                    // Others go on with what is known meanwhile: most of it is still right.
                    let _ = self.learn_masters().await;
                    if Instant::now() >= deadline {
                        return Err(error);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask(&self, slot: u16, command: &Cmd, text: Option<&Cmd>) -> Result<Value, Trouble> {
        let answer = self.ask_master(slot, command, text).await;
        match answer.as_ref().err().and_then(importing) {
            Some(importing) => self.ask_importing(&importing, text.unwrap_or(command)).await,
            None => answer,
        }
    }

    /// The key has gone ahead to the node that its slot is moving to; a slot may stay like that for long.
    async fn ask_importing(&self, node: &NodeAddress, command: &Cmd) -> Result<Value, Trouble> {
        let mut connection = self.connection(node).await?;
        let mut asking = redis::pipe();
        asking.cmd("ASKING").ignore().add_command(command.clone());
        let (answer,) = asking.query_async(&mut connection).await?;
        Ok(answer)
    }

    async fn ask_master(
        &self,
        slot: u16,
        command: &Cmd,
        text: Option<&Cmd>,
    ) -> Result<Value, Trouble> {
        let mut connection = self.connect(slot).await?;
        let mut answer: RedisResult<Value> = command.query_async(&mut connection).await;
        if let (Err(error), Some(text)) = (&answer, text)
            && is_unknown_script(error)
        {
            answer = text.query_async(&mut connection).await;
        }
        if answer.as_ref().is_err_and(RedisError::is_io_error) {
            // Whatever it still answers belongs to nobody.
            drop(Connection::take(connection));
        }
        Ok(answer?)
    }

    /// Every master, once each has answered.
    pub async fn masters(&self) -> Result<Vec<NodeAddress>, Trouble> {
        let served = self.learn_masters().await?;
        let mut masters: Vec<_> = served.iter().map(|(_, _, master)| master.clone()).collect();
        masters.sort_unstable();
        masters.dedup();
        let answers = join_all(masters.iter().map(|master| self.connection(master))).await;
        for answer in answers {
            answer?;
        }
        let slots: u32 = served.iter().map(|(first, last, _)| u32::from(last - first) + 1).sum();
        if slots < 16_384 {
            return Err(Trouble::Incomplete(slots));
        }
        Ok(masters)
    }

    async fn connect(&self, slot: u16) -> Result<Connection, Trouble> {
        let known = self.served.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let served = if known.is_empty() { self.learn_masters().await? } else { known };
        let master = served.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        let Some((_, _, master)) = master else { return Err(Trouble::Unserved(slot)) };
        self.connection(master).await
    }

    async fn connection(&self, node: &NodeAddress) -> Result<Connection, Trouble> {
        let pool = {
            let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            match pools.get(node) {
                Some(pool) => pool.clone(),
                None => pools.entry(node.clone()).or_insert(self.access.pool(node)?).clone(),
            }
        };
        pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.into(),
            other => Trouble::NoConnection(node.clone(), other),
        })
    }

    /// Asks everybody known, one after the other, who serves what.
    async fn learn_masters(&self) -> Result<Arc<Vec<Served>>, Trouble> {
        let mut asked: Vec<NodeAddress> = {
            let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
            pools.keys().cloned().collect()
        };
        asked.extend(self.access.seeds.iter().cloned());
        let mut problem = Trouble::NoAddress;
        for node in asked {
            match self.ask_masters(&node).await {
                Ok(served) => {
                    let served = Arc::new(served);
                    let mut known = self.served.lock().unwrap_or_else(PoisonError::into_inner);
                    *known = served.clone();
                    return Ok(served);
                }
                Err(error) => problem = Trouble::At(node, Box::new(error)),
            }
        }
        Err(problem)
    }

    async fn ask_masters(&self, node: &NodeAddress) -> Result<Vec<Served>, Trouble> {
        let mut connection = self.connection(node).await?;
        let answer = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await?;
        let Value::Array(ranges) = answer else { return Err(no_slots(&answer)) };
        ranges.iter().map(|range| served(range, node).ok_or_else(|| no_slots(range))).collect()
    }
}

/// One range of `CLUSTER SLOTS`: first, last, master, replicas. A node that does not know its own
/// address leaves it empty: it is the one that was asked.
fn served(range: &Value, asked: &NodeAddress) -> Option<Served> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = parts.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
        _ => asked.host().to_owned(),
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    Some((first, last, NodeAddress::new(host, u16::try_from(*port).ok()?)))
}

fn no_slots(answer: &Value) -> Trouble {
    Trouble::Unexpected(format!("CLUSTER SLOTS answered {answer:?}"))
}

/// Where an ASK leads.
fn importing(problem: &Trouble) -> Option<NodeAddress> {
    let Trouble::Redis(error) = problem else { return None };
    if error.code() != Some("ASK") {
        return None;
    }
    let (node, _) = error.redirect_node()?;
    NodeAddress::try_from(node).ok()
}

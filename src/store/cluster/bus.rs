//! The bus of nodes that share a Redis Cluster.
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `billion:{<board>:operators}:kept` | hash | the kept entries |
//! | `billion:{<board>:operators}:changes` | string | how often they were changed |
//! | `billion:{<board>:operators}:bus` | channel | `\0`: they have changed; or a topic with its length in front, and the message |
//!
//! One connection, which is replaced when it does not answer. Messages that come meanwhile are lost. Changes are not:
//! a node looks at their count twice a second, and reads everything again when it is another one. A failover may
//! take back the last change before it was copied, as it may a check; then every node follows what is kept.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actors::{
    bus::{Bus, Heard, Kept},
    store::{BoxFuture, StoreError},
};
use bytes::Bytes;
use redis::{
    AsyncCommands as _, PushInfo, PushKind, RedisResult, Script, Value,
    cluster_async::ClusterConnection,
};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep, timeout},
};

use super::access::Access;

/// Messages that a listener may be behind.
const BEHIND_MAX: usize = 1024;

/// Time between two looks at the count of changes: half of the second in which every node follows.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Time after which the channel is subscribed to again, because a slot may have moved.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(2);

/// Time between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(250);

const KEEP: &str = include_str!("lua/keep.lua");
const PUBLISH: &str = include_str!("lua/publish.lua");

/// Names of one board's operators in Redis.
struct Names {
    kept: String,
    changes: String,
    channel: String,
}

impl Names {
    fn of(board: &str) -> Self {
        let name = |what| format!("billion:{{{board}:operators}}:{what}");
        Self { kept: name("kept"), changes: name("changes"), channel: name("bus") }
    }
}

struct Line {
    access: Access,
    names: Names,
    heard: broadcast::Sender<Heard>,
    /// `None` while Redis is not reached.
    connection: Mutex<Option<ClusterConnection>>,
}

/// The bus of one node of many.
pub struct RedisBus(Arc<Line>);

impl RedisBus {
    /// Of the nodes that play `board`; reached once [`run`](Self::run) has connected.
    pub fn new(access: Access, board: &str) -> Self {
        let heard = broadcast::channel(BEHIND_MAX).0;
        let line = Line { access, names: Names::of(board), heard, connection: Mutex::default() };
        Self(Arc::new(line))
    }

    /// Connects, stays connected and listens, for as long as the process lives.
    pub fn run(&self) -> impl Future<Output = ()> + Send + use<> {
        let line = self.0.clone();
        async move {
            loop {
                match line.connect().await {
                    Ok(connection) => line.listen(connection).await,
                    Err(error) => log::debug!("bus: {error}"),
                }
                line.set(None);
                sleep(PAUSE).await;
            }
        }
    }
}

impl Line {
    fn set(&self, connection: Option<ClusterConnection>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    fn current(&self) -> Result<ClusterConnection, StoreError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        connection.ok_or_else(|| StoreError::Unavailable("Redis is not reached".into()))
    }

    async fn connect(self: &Arc<Self>) -> RedisResult<ClusterConnection> {
        let line = Arc::downgrade(self);
        let receive = move |push: PushInfo| -> Result<(), ()> {
            line.upgrade().ok_or(())?.receive(&push);
            Ok(())
        };
        self.access.subscriber(receive)?.get_async_connection().await
    }

    /// Listens until Redis does not answer any more.
    async fn listen(&self, mut connection: ClusterConnection) {
        let (mut seen, mut subscribed) = (None, None);
        loop {
            let is_due = subscribed.is_none_or(|at: Instant| at.elapsed() >= SUBSCRIBE_INTERVAL);
            let look = async {
                if is_due {
                    connection.ssubscribe(&self.names.channel).await?;
                }
                connection.get::<_, Option<u64>>(&self.names.changes).await
            };
            match timeout(self.access.request_timeout(), look).await {
                Ok(Ok(changes)) => {
                    subscribed = if is_due { Some(Instant::now()) } else { subscribed };
                    if seen.replace(changes) != Some(changes) {
                        self.set(Some(connection.clone()));
                        let _ = self.heard.send(Heard::Changed);
                    }
                }
                Ok(Err(error)) => return log::debug!("bus: {error}"),
                Err(_) => return log::debug!("bus: Redis did not answer"),
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Takes in what Redis pushes, without waiting: this holds up the connection.
    fn receive(&self, push: &PushInfo) {
        let (PushKind::SMessage, [_, Value::BulkString(message)]) = (&push.kind, &push.data[..])
        else {
            return;
        };
        let heard = match message.split_first() {
            Some((0, _)) => Some(Heard::Changed),
            Some((length, rest)) => {
                rest.split_at_checked(usize::from(*length)).and_then(|(topic, payload)| {
                    let topic = String::from_utf8(topic.to_vec()).ok()?;
                    Some(Heard::Message { topic, payload: Bytes::copy_from_slice(payload) })
                })
            }
            None => None,
        };
        if let Some(heard) = heard {
            let _ = self.heard.send(heard);
        }
    }

    /// Runs `call` on a connection, within the time of one request.
    async fn ask<T>(
        &self,
        call: impl AsyncFnOnce(&mut ClusterConnection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let mut connection = self.current()?;
        let failed = |why: String| StoreError::Unavailable(why.into());
        match timeout(self.access.request_timeout(), call(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed("Redis did not answer".to_owned())),
        }
    }
}

impl Bus for RedisBus {
    fn kept(&self) -> BoxFuture<Result<Kept, StoreError>> {
        let line = self.0.clone();
        Box::pin(async move { line.ask(async |redis| redis.hgetall(&line.names.kept).await).await })
    }

    fn keep(&self, key: String, value: Option<String>) -> BoxFuture<Result<(), StoreError>> {
        let line = self.0.clone();
        Box::pin(async move {
            let (script, names) = (Script::new(KEEP), &line.names);
            line.ask(async |redis| {
                let mut call = script.key(&names.kept);
                call.key(&names.changes).arg(&names.channel).arg(&key);
                match &value {
                    Some(value) => call.arg("1").arg(value),
                    None => call.arg("0"),
                };
                call.invoke_async(redis).await
            })
            .await
        })
    }

    fn publish(&self, topic: String, payload: Bytes) -> BoxFuture<Result<(), StoreError>> {
        let line = self.0.clone();
        Box::pin(async move {
            let length = u8::try_from(topic.len()).ok().filter(|length| *length > 0);
            let length = length.expect("a topic has 1 to 255 bytes");
            let message = [&[length], topic.as_bytes(), &payload].concat();
            let (script, names) = (Script::new(PUBLISH), &line.names);
            line.ask(async |redis| {
                script.key(&names.kept).arg(&names.channel).arg(&message).invoke_async(redis).await
            })
            .await
        })
    }

    fn listen(&self) -> broadcast::Receiver<Heard> {
        self.0.heard.subscribe()
    }
}

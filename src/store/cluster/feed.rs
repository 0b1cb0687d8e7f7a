//! What other nodes check: sharded Pub/Sub, one channel per key range, on a connection that is used
//! for nothing else.
//!
//! The client subscribes again by itself after a disconnect, with all channels of a node in one call,
//! which Redis refuses (CROSSSLOT) without anybody noticing. So every channel is subscribed to with a
//! call of its own, again after each disconnect and every few seconds anyway. An end of a subscription
//! that Redis decides, because the slot has moved, confuses the client's answers: the connection is
//! then replaced by a new one that subscribes before the old one goes. What is missed meanwhile shows
//! in the lanes.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use redis::{PushInfo, PushKind, RedisResult, Value, cluster_async::ClusterConnection};
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

use super::{Shared, script::Update, stats::PAUSE};

/// Time after which every channel is subscribed to again, without a reason.
const SUBSCRIBE_INTERVAL: Duration = Duration::from_secs(2);

/// Channels subscribed to at the same moment.
const CALLS: usize = 64;

/// Rounds of subscribing that may fail before the connection is replaced.
const FAILURES_MAX: u32 = 5;

/// What the connection has said of itself.
#[derive(Default)]
struct Signs {
    unsubscribed: AtomicBool,
    broken: AtomicBool,
    seen: Notify,
}

/// One connection with its subscriptions.
struct Subscriber {
    connection: ClusterConnection,
    signs: Arc<Signs>,
}

/// Subscribes and stays subscribed until it is dropped. Tells `first` when all channels are heard for
/// the first time, or why not.
pub async fn run(shared: Arc<Shared>, first: oneshot::Sender<RedisResult<()>>) {
    let mut subscriber = match Subscriber::begin(&shared).await {
        Ok(subscriber) => subscriber,
        Err(error) => {
            let _ = first.send(Err(error));
            return;
        }
    };
    let _ = first.send(Ok(()));
    #[cfg(feature = "faults")]
    if actors::faults::active(actors::faults::Fault::NoResubscribe) {
        return std::future::pending().await;
    }
    let mut failures = 0;
    loop {
        // Whatever they say happened before the round that begins now.
        let broken = subscriber.signs.broken.swap(false, Ordering::AcqRel);
        let unsubscribed = subscriber.signs.unsubscribed.swap(false, Ordering::AcqRel);
        let (channels, heard) = subscriber.subscribe(&shared).await;
        if channels == 0 {
            // One that has lost every node would go on asking nobody, without a pause.
            drop(subscriber);
            subscriber = Subscriber::regain(&shared).await;
            shared.stats.feed_replaced.inc();
            failures = 0;
            shared.look.notify_one();
            continue;
        }
        if unsubscribed || failures >= FAILURES_MAX {
            if let Ok(next) = Subscriber::begin(&shared).await {
                shared.stats.feed_replaced.inc();
                subscriber = next;
                failures = 0;
                shared.look.notify_one();
            }
        } else if heard.is_ok() {
            failures = 0;
            if broken {
                shared.look.notify_one();
            }
        }
        if let Err(error) = heard {
            log::debug!("feed: {error}");
            failures += 1;
            sleep(PAUSE).await;
            continue;
        }
        tokio::select! {
            () = sleep(SUBSCRIBE_INTERVAL) => {}
            () = subscriber.signs.seen.notified() => {}
        }
    }
}

impl Subscriber {
    /// Connects and subscribes to everything.
    async fn begin(shared: &Arc<Shared>) -> RedisResult<Self> {
        let signs = Arc::new(Signs::default());
        let channels = shared.lanes.iter().enumerate();
        let channels: HashMap<Vec<u8>, usize> =
            channels.map(|(at, lane)| (lane.keys.channel.clone().into_bytes(), at)).collect();
        let receive = {
            let (shared, signs) = (Arc::downgrade(shared), signs.clone());
            move |push: PushInfo| -> Result<(), ()> {
                let shared = shared.upgrade().ok_or(())?;
                receive(&shared, &signs, &channels, &push);
                Ok(())
            }
        };
        let client = shared.nodes.access().subscriber(receive)?;
        let subscriber = Self { connection: client.get_async_connection().await?, signs };
        subscriber.subscribe(shared).await.1?;
        Ok(subscriber)
    }

    /// The same, for as long as it takes.
    async fn regain(shared: &Arc<Shared>) -> Self {
        loop {
            match Self::begin(shared).await {
                Ok(subscriber) => return subscriber,
                Err(error) => log::debug!("feed: {error}"),
            }
            sleep(PAUSE).await;
        }
    }

    /// One round: a call for each channel; how many are heard now, and a problem if any is not. Those of
    /// a master that is away do not keep the others waiting.
    async fn subscribe(&self, shared: &Shared) -> (i64, RedisResult<()>) {
        let patience = shared.nodes.access().request_timeout();
        let (mut heard, mut problem) = (0, None);
        for lanes in shared.lanes.chunks(CALLS) {
            let mut calls = Vec::new();
            for lane in lanes {
                let mut connection = self.connection.clone();
                calls.push(async move {
                    timeout(patience, connection.ssubscribe(&lane.keys.channel)).await
                });
            }
            for answer in join_all(calls).await {
                match answer {
                    Ok(Ok(())) => heard += 1,
                    Ok(Err(error)) => problem = Some(error),
                    Err(_) => problem = Some(io::Error::from(io::ErrorKind::TimedOut).into()),
                }
            }
        }
        shared.stats.feed_subscriptions.set(heard);
        (heard, problem.map_or(Ok(()), Err))
    }
}

/// Takes in whatever Redis pushes, without waiting: this holds up the connection.
fn receive(shared: &Shared, signs: &Signs, channels: &HashMap<Vec<u8>, usize>, push: &PushInfo) {
    match (&push.kind, push.data.as_slice()) {
        (PushKind::SMessage, [Value::BulkString(channel), Value::BulkString(message)]) => {
            let Some(lane) = channels.get(channel).map(|at| &shared.lanes[*at]) else { return };
            match Update::read(message, lane.boxes) {
                Some(update) => lane.deliver(update),
                // Of a later version: what it says is found by comparing.
                None => lane.want("unknown"),
            }
        }
        (PushKind::SUnsubscribe, _) => {
            shared.stats.feed_unsubscribed.inc();
            signs.unsubscribed.store(true, Ordering::Release);
            signs.seen.notify_one();
        }
        (PushKind::Disconnection, _) => {
            shared.stats.feed_disconnects.inc();
            signs.broken.store(true, Ordering::Release);
            signs.seen.notify_one();
        }
        _ => {}
    }
}

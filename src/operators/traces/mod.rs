//! Following one connection: what happens to it, as JSON, on whichever node it is.
//!
//! Of this node it comes straight from the session. Another node is asked over the bus, and sends what happened in
//! batches for as long as it is asked to go on: who follows may be gone without a word. Whatever is slow loses events,
//! which are counted, and never holds up a session.

mod describe;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actors::{
    player::SessionId,
    store::StoreError,
    trace::{Events, Tracer},
};
use log::debug;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

use self::describe::describe;
use super::{Operators, envelope::ulid, model};
use crate::wall::now_ms;

/// Longest time that one connection is followed without asking again.
pub const LONGEST: Duration = Duration::from_secs(600);

/// Connections that are followed at once, of this node and from this node: each may have 3.2 MB of events that wait.
const TRACES_MAX: usize = 8;

/// Time within which another node answers that it has begun.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// Time between two batches of another node.
const BATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Most events of a batch.
const BATCH_EVENTS: usize = 256;

/// Batches that wait for whoever follows.
const BATCHES: usize = 16;

/// Time between two words that it is to go on.
const GO_ON_INTERVAL: Duration = Duration::from_secs(5);

/// A node that was not asked to go on for so long stops: whoever followed is gone.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// The topic of [`Asked`].
pub(super) const ASK: &str = "trace.ask";

/// The topic of [`Told`].
pub(super) const TELL: &str = "trace.tell";

/// Why a connection is not followed.
#[derive(Debug)]
pub enum Refused {
    /// It has ended, or never was.
    Unknown,
    /// Somebody follows it already.
    Followed,
    /// As many as can be are followed.
    TooMany,
    /// Its node has not answered.
    Silent,
    /// Its node cannot be asked.
    Bus(StoreError),
}

/// Asks the node of a connection to begin, or to go on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    /// Tells this from every other following.
    trace: String,
    /// As [`SessionId`] is written.
    connection: String,
}

/// What became of it, and what happened since the last time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    trace: String,
    state: State,
    /// How many batches were sent before this one.
    number: u64,
    events: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Runs,
    Unknown,
    Followed,
    TooMany,
    Ended,
}

/// A connection that is followed, for as long as this is kept.
#[derive(Debug)]
pub struct Follower {
    batches: mpsc::Receiver<Vec<Value>>,
    /// Of another node: its id.
    abroad: Option<String>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// What happened next, one event at least; `None` once the connection has ended.
    pub async fn next(&mut self) -> Option<Vec<Value>> {
        self.batches.recv().await
    }

    /// Whether the node of the connection is there.
    pub fn is_heard(&self, operators: &Operators) -> bool {
        self.abroad.as_ref().is_none_or(|node| operators.nodes.knows(node))
    }
}

/// What is followed, by this node and of this node.
#[derive(Debug)]
pub(super) struct Traces {
    places: Arc<Semaphore>,
    /// Of other nodes: where what they send goes.
    abroad: Mutex<BTreeMap<String, Abroad>>,
    /// For other nodes: when each was last asked to go on.
    lent: Mutex<BTreeMap<String, Instant>>,
}

#[derive(Debug)]
struct Abroad {
    /// Until it has answered.
    answer: Option<oneshot::Sender<State>>,
    batches: mpsc::Sender<Vec<Value>>,
    /// The number of the last batch that was passed on.
    last: u64,
}

impl Default for Traces {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(TRACES_MAX));
        Self { places, abroad: Mutex::default(), lent: Mutex::default() }
    }
}

/// Waits for events and returns all that are there; `None` when the session has ended.
async fn batch(events: &mut Events) -> Option<Vec<Value>> {
    let mut batch = Vec::new();
    (events.recv_many(&mut batch, BATCH_EVENTS).await > 0)
        .then(|| batch.iter().flat_map(describe).collect())
}

impl Operators {
    /// Follows a connection.
    ///
    /// # Errors
    /// Why it is not followed.
    pub async fn follow_connection(
        self: &Arc<Self>,
        connection: &str,
    ) -> Result<Follower, Refused> {
        let (process, session) = SessionId::read(connection).ok_or(Refused::Unknown)?;
        let place = self.traces.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Refused::TooMany)?;
        let (sender, batches) = mpsc::channel(BATCHES);
        let abroad = (process != SessionId::process()).then(|| process.to_owned());
        if abroad.is_none() {
            let mut events = self.events_of(session).await?;
            actix_rt::spawn(async move {
                while let Some(batch) = batch(&mut events).await
                    && sender.send(batch).await.is_ok()
                {}
            });
        } else {
            if !self.nodes.knows(process) {
                return Err(Refused::Unknown);
            }
            self.follow_abroad(connection, sender).await?;
        }
        Ok(Follower { batches, abroad, _place: place })
    }

    async fn events_of(&self, session: SessionId) -> Result<Events, Refused> {
        let (tracer, events) = Tracer::new();
        match self.node.trace(session, tracer).await {
            Some(true) => Ok(events),
            Some(false) => Err(Refused::Followed),
            None => Err(Refused::Unknown),
        }
    }

    /// Has another node send to `batches` what happens to its connection.
    async fn follow_abroad(
        self: &Arc<Self>,
        connection: &str,
        batches: mpsc::Sender<Vec<Value>>,
    ) -> Result<(), Refused> {
        let asked = Asked { trace: ulid(), connection: connection.to_owned() };
        let (answer, answered) = oneshot::channel();
        let abroad = Abroad { answer: Some(answer), batches: batches.clone(), last: 0 };
        self.traces.abroad().insert(asked.trace.clone(), abroad);
        let state = match self.bus.publish(ASK.to_owned(), model::written(&asked).into()).await {
            Err(error) => Err(Refused::Bus(error)),
            Ok(()) => match timeout(ANSWER_TIME, answered).await {
                Ok(Ok(State::Runs)) => Ok(()),
                Ok(Ok(State::Followed)) => Err(Refused::Followed),
                Ok(Ok(State::TooMany)) => Err(Refused::TooMany),
                Ok(Ok(State::Unknown | State::Ended)) => Err(Refused::Unknown),
                Ok(Err(_)) | Err(_) => Err(Refused::Silent),
            },
        };
        if state.is_err() {
            self.traces.abroad().remove(&asked.trace);
            return state;
        }
        let operators = self.clone();
        actix_rt::spawn(async move {
            // Asked to go on until nobody listens here, or the connection has ended.
            while timeout(GO_ON_INTERVAL, batches.closed()).await.is_err()
                && operators.traces.abroad().contains_key(&asked.trace)
            {
                let payload = model::written(&asked).into();
                if let Err(error) = operators.bus.publish(ASK.to_owned(), payload).await {
                    debug!("operators: {ASK}: {error}");
                }
            }
            operators.traces.abroad().remove(&asked.trace);
        });
        Ok(())
    }

    /// Another node follows a connection, which may be of this one.
    pub(super) async fn asked_to_trace(self: &Arc<Self>, asked: Asked) {
        let Some((process, session)) = SessionId::read(&asked.connection) else { return };
        if process != SessionId::process() {
            return;
        }
        if let Some(at) = self.traces.lent().get_mut(&asked.trace) {
            *at = Instant::now();
            return;
        }
        let Ok(place) = self.traces.places.clone().try_acquire_owned() else {
            return self.tell(&asked.trace, State::TooMany, 0, Vec::new()).await;
        };
        let mut events = match self.events_of(session).await {
            Ok(events) => events,
            Err(Refused::Followed) => {
                return self.tell(&asked.trace, State::Followed, 0, Vec::new()).await;
            }
            Err(_) => return self.tell(&asked.trace, State::Unknown, 0, Vec::new()).await,
        };
        self.traces.lent().insert(asked.trace.clone(), Instant::now());
        let operators = self.clone();
        actix_rt::spawn(async move {
            let _place = place;
            operators.tell(&asked.trace, State::Runs, 0, Vec::new()).await;
            let mut number = 0;
            while operators.traces.is_wanted(&asked.trace) {
                match timeout(GO_ON_INTERVAL, batch(&mut events)).await {
                    Ok(Some(batch)) => {
                        number += 1;
                        operators.tell(&asked.trace, State::Runs, number, batch).await;
                    }
                    Ok(None) => {
                        operators.tell(&asked.trace, State::Ended, number + 1, Vec::new()).await;
                        break;
                    }
                    Err(_) => {}
                }
                sleep(BATCH_INTERVAL).await;
            }
            operators.traces.lent().remove(&asked.trace);
        });
    }

    async fn tell(&self, trace: &str, state: State, number: u64, events: Vec<Value>) {
        let told = Told { trace: trace.to_owned(), state, number, events };
        if let Err(error) = self.bus.publish(TELL.to_owned(), model::written(&told).into()).await {
            debug!("operators: {TELL}: {error}");
        }
    }

    /// Another node has sent what happened to a connection, which may be followed from here.
    pub(super) fn told_of_trace(&self, told: Told) {
        let Told { trace, state, number, mut events } = told;
        let mut abroad = self.traces.abroad();
        let Some(following) = abroad.get_mut(&trace) else { return };
        if let Some(answer) = following.answer.take() {
            // Who asked may have given up.
            let _ = answer.send(state);
        }
        if number > following.last + 1 {
            // Batches in between did not come, or found no room here.
            events.insert(0, json!({ "at_ms": now_ms(), "what": "lost", "events": null }));
        }
        if events.is_empty() || following.batches.try_send(events).is_ok() {
            following.last = number;
        }
        if state != State::Runs {
            abroad.remove(&trace);
        }
    }
}

impl Traces {
    fn abroad(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Abroad>> {
        self.abroad.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lent(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Instant>> {
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether whoever follows has spoken lately.
    fn is_wanted(&self, trace: &str) -> bool {
        self.lent().get(trace).is_some_and(|at| at.elapsed() < SILENCE_MAX)
    }
}

//! `GET /ws/stats/stream`: what `/ws/stats` has and more of this node, once a second, as server-sent events.
//!
//! The first event, `caller`, says who is let in and in which role; each further one, `stats`, is a second. All streams
//! are sent the same bytes. A client that does not read misses seconds, and nothing is kept for it.

use std::{io, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::door::{Caller, Door, Pass};
use crate::{admission::Admission, operators::Operators, problem::problem};

/// Streams at once: some 40 KB of buffers each, and as many operators as no node has.
const STREAMS_MAX: usize = 64;

/// The streams there may still be.
pub struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(STREAMS_MAX)))
    }
}

/// Somebody who is sent every second.
struct Watching {
    seconds: watch::Receiver<Bytes>,
    pass: Pass,
    admission: web::Data<Admission>,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    /// The next second, unless its caller is not let in any more, or the node has begun to stop.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        self.seconds.changed().await.ok()?;
        if !self.pass.is_valid() || self.admission.is_closed() {
            return None;
        }
        let second = self.seconds.borrow_and_update().clone();
        Some((second, self))
    }
}

/// Streams every second of the nodes, as server-sent events.
///
/// `caller` once: the caller's name and role. Then `stats` each second: what `/ws/stats` has, what this node has refused,
/// its busiest addresses, and the decisions in force.
#[utoipa::path(
    get, path = "/ws/stats/stream", tag = "watching", operation_id = "streamStats",
    responses(
        (status = 200, description = "It ends with the caller's token, and when the node stops.",
            body = String, content_type = "text/event-stream"),
        (status = 429, description = "64 watch this node already."),
    ),
)]
pub async fn stream(
    request: HttpRequest,
    caller: Caller,
    door: web::Data<Door>,
    places: web::Data<Places>,
    operators: web::Data<Operators>,
    admission: web::Data<Admission>,
) -> HttpResponse {
    let Ok(place) = places.0.clone().try_acquire_owned() else {
        let text = format!(
            "{STREAMS_MAX} dashboards watch this node already: close one, or ask another node"
        );
        return problem(StatusCode::TOO_MANY_REQUESTS, &text);
    };
    let pass = door.pass(request.headers());
    let watching = Watching { seconds: operators.watch(), pass, admission, _place: place };
    let who = json!({ "name": caller.name, "role": caller.role.to_string() });
    let first = Bytes::from(format!("event: caller\ndata: {who}\n\n"));
    let seconds = stream::unfold(watching, Watching::next);
    let events = stream::once(async { first }).chain(seconds).map(Ok::<_, io::Error>);
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Otherwise nginx gathers some seconds before it passes them on.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events)
}

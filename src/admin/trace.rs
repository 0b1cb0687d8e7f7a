//! `GET /trace/{connection}`: a stream of what happens to one connection.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{
    change::{Change, Unmade},
    door::{Caller, Door, Pass},
};
use crate::{
    admission::Admission,
    operators::{
        Operators,
        traces::{Follower, LONGEST, Refused},
    },
    problem::problem,
    routes::query::{expect_only, number},
};

/// Time between two looks whether the stream may go on. After each without an event a word is sent, so that both notice when the other is gone.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A stream on its way.
struct Tracing {
    follower: Follower,
    until: Instant,
    pass: Pass,
    admission: web::Data<Admission>,
    operators: Arc<Operators>,
}

/// Follows one connection.
///
/// Server-sent events (WHATWG HTML, section 9.2), one for each thing that happens, and an `end` with the reason. For
/// operators, since it shows what a player does.
#[utoipa::path(
    get, path = "/trace/{connection}", tag = "players", operation_id = "followConnection",
    params(
        ("connection" = String, Path, description = "As `GET /connections` has it", example = "5e1f09ab-17"),
        ("for_s" = Option<u32>, Query, description = "For how many seconds; without it 600", minimum = 1, maximum = 600, example = 60),
    ),
    responses(
        (status = 200, description = "What happens, as it happens.", body = String, content_type = "text/event-stream"),
        (status = 400, description = "The query is not understood."),
        (status = 404, description = "There is no such connection now."),
        (status = 409, description = "Somebody follows it already."),
        (status = 429, description = "As many connections as can be are followed already."),
        (status = 504, description = "The node of the connection does not answer."),
        Unmade,
    ),
)]
pub async fn trace(
    caller: Caller,
    connection: web::Path<String>,
    request: HttpRequest,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
    door: web::Data<Door>,
    admission: web::Data<Admission>,
) -> HttpResponse {
    if let Err(refusal) = caller.demand_operator("to follow players") {
        return refusal;
    }
    let time = match time(request.query_string()) {
        Ok(time) => time,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why.trim_end()),
    };
    let what = json!({ "connection": *connection, "for_s": time.as_secs() });
    if let Err(refusal) = change.note(&caller, "trace", what).await {
        return refusal;
    }
    let operators = operators.into_inner();
    let follower = match operators.follow_connection(&connection).await {
        Ok(follower) => follower,
        Err(refused) => return refusal(&refused),
    };
    let until = Instant::now() + time;
    let pass = door.pass(request.headers());
    let tracing = Tracing { follower, until, pass, admission, operators };
    let begin = json!({ "connection": *connection, "for_s": time.as_secs() });
    let begun = stream::once(std::future::ready(Ok(event("begin", &begin))));
    let rest = stream::unfold(Some(tracing), async |tracing| {
        let (bytes, tracing) = tracing?.step().await;
        Some((Ok::<_, std::io::Error>(bytes), tracing))
    });
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .content_type("text/event-stream")
        .streaming(stream::StreamExt::chain(begun, rest))
}

fn time(query: &str) -> Result<Duration, String> {
    expect_only(query, &["for_s"])?;
    let longest = LONGEST.as_secs();
    match number(query, "for_s")?.map_or(longest, u64::from) {
        seconds if (1..=longest).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!("for_s is 1 to {longest} seconds")),
    }
}

fn refusal(refused: &Refused) -> HttpResponse {
    let (status, text) = match refused {
        Refused::Unknown => {
            (StatusCode::NOT_FOUND, "there is no such connection now: see GET /connections")
        }
        Refused::Followed => (StatusCode::CONFLICT, "somebody follows this connection already"),
        Refused::TooMany => {
            (StatusCode::TOO_MANY_REQUESTS, "as many connections as can be are followed already")
        }
        Refused::Silent => {
            (StatusCode::GATEWAY_TIMEOUT, "the node of this connection does not answer")
        }
        Refused::Bus(error) => {
            let text = format!("the node of this connection cannot be asked: {error}");
            return problem(StatusCode::SERVICE_UNAVAILABLE, &text);
        }
    };
    problem(status, text)
}

fn event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

impl Tracing {
    /// The next piece of the stream, and what comes after it.
    async fn step(mut self) -> (Bytes, Option<Self>) {
        let left = self.until.saturating_duration_since(Instant::now());
        if let Some(reason) = self.is_over(left) {
            return (event("end", &json!({ "reason": reason })), None);
        }
        match timeout(LOOK_INTERVAL.min(left), self.follower.next()).await {
            Ok(Some(events)) => {
                let lines = events.iter().map(|event| format!("data: {event}\n\n"));
                (lines.collect::<String>().into(), Some(self))
            }
            Ok(None) => (event("end", &json!({ "reason": "the connection has ended" })), None),
            Err(_) => (Bytes::from_static(b":\n\n"), Some(self)),
        }
    }

    fn is_over(&self, left: Duration) -> Option<&'static str> {
        if left.is_zero() {
            return Some("the time is over");
        }
        if self.admission.is_closed() {
            return Some("the node is stopping");
        }
        if !self.follower.is_heard(&self.operators) {
            return Some("the node of this connection is not heard any more");
        }
        (!self.pass.is_valid()).then_some("the token was revoked")
    }
}

//! `GET /connections` and `DELETE /connections/{id}`: who is connected to this node, and ending one.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{
    node::Node,
    player::{Player, SessionId},
    protocol::{Close, Version},
    seen::Seen,
};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::{change::Change, door::Caller};
use crate::{
    operators::{EndConnection, Operators},
    problem::problem,
    routes::query::{expect_only, number},
    settings::network,
};

/// Connections of a page without `limit=`, and at most.
const PAGE: (u32, u32) = (100, 1000);

fn shown(seen: &Seen) -> Value {
    json!({
        "id": seen.session.to_string(),
        "address": seen.ip.to_string(),
        "counted_as": seen.address.to_string(),
        "user": seen.user.map(|user| user.0),
        "board": seen.board,
        "protocol": match seen.version { Version::Plain => 1, Version::V2 => 2 },
        "compressed": seen.takes_compressed,
        "age_s": seen.age_s,
        "silent_s": seen.silent_s,
        "outbox_bytes": seen.outbox_bytes,
        "lagging": seen.is_lagging,
        "tiles": seen.tiles,
        "unanswered_checks": seen.unanswered,
    })
}

/// What `GET` asks for.
struct Wanted {
    network: Option<IpNet>,
    after: Option<SessionId>,
    limit: usize,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, String> {
        expect_only(query, &["address", "after", "limit"])?;
        let mut wanted = Self { network: None, after: None, limit: 0 };
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "address" => wanted.network = Some(network(&value)?),
                "after" => wanted.after = Some(of_this_node(&value)?),
                _ => {}
            }
        }
        wanted.limit = number(query, "limit")?.unwrap_or(PAGE.0).clamp(1, PAGE.1) as usize;
        Ok(wanted)
    }
}

fn of_this_node(id: &str) -> Result<SessionId, String> {
    let (process, session) =
        SessionId::read(id).ok_or_else(|| format!("{id:?} is no id of a connection"))?;
    if process == SessionId::process() {
        return Ok(session);
    }
    Err(format!("{id:?} is a connection of another node, or of this one before it was restarted"))
}

/// `GET /connections?address=&after=&limit=`: one page of them, in the order in which they came.
pub async fn list(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let Wanted { network, after, limit } = match Wanted::read(request.query_string()) {
        Ok(wanted) => wanted,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why.trim_end()),
    };
    let are_meant = move |player: &Player| {
        after.is_none_or(|after| player.session > after)
            && network.is_none_or(|network| network.contains(&player.ip))
    };
    // One more tells whether there is another page.
    let seen = node.sessions(are_meant, limit + 1).await;
    let page = &seen[..seen.len().min(limit)];
    let next = page.last().filter(|_| seen.len() > limit).map(|last| last.session.to_string());
    HttpResponse::Ok().json(json!({
        "node": SessionId::process(),
        "connections": page.iter().map(shown).collect::<Vec<_>>(),
        "next": next,
    }))
}

/// `DELETE /connections/{id}?code=&reason=`: ends one. 200 if it was of this node; 202 if it is of another one, which is
/// told.
pub async fn end(
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    node: web::Data<Node>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let close = match close(request.query_string()) {
        Ok(close) => close,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why.trim_end()),
    };
    let Some((process, session)) = SessionId::read(&id) else {
        return problem(
            StatusCode::NOT_FOUND,
            "this is no id of a connection: see GET /connections",
        );
    };
    let is_ours = process == SessionId::process();
    if is_ours && node.sessions(move |player| player.session == session, 1).await.is_empty() {
        return problem(StatusCode::NOT_FOUND, "this connection has ended");
    }
    let end =
        EndConnection { id: id.into_inner(), code: close.code, reason: close.reason.to_owned() };
    let what = json!({ "connection": end.id, "code": end.code, "reason": end.reason });
    let done = change.make(&caller, "connection.end", what, async || operators.end(&end).await);
    match done.await {
        Ok(()) if is_ours => HttpResponse::Ok().json(json!({ "ended": end.id })),
        Ok(()) => HttpResponse::Accepted().json(json!({ "asked_to_end": end.id })),
        Err(refusal) => refusal,
    }
}

fn close(query: &str) -> Result<Close, String> {
    expect_only(query, &["code", "reason"])?;
    let code = number(query, "code")?.unwrap_or(Close::ENDED.code.into());
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let reason = pairs.find(|(name, _)| name == "reason").map(|(_, reason)| reason.into_owned());
    let reason = reason.unwrap_or_else(|| Close::ENDED.reason.to_owned());
    let close = u16::try_from(code).ok().filter(|_| !reason.chars().any(char::is_control));
    close.and_then(|code| Close::by_operator(code, &reason)).ok_or_else(|| {
        "code is 1001, 1008, 1012 or 1013, and reason one line of 1 to 123 bytes".to_owned()
    })
}

//! `GET /connections` and `DELETE /connections/{id}`: who is connected to this node, and ending one.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{
    node::Node,
    player::{Player, SessionId, UserId},
    protocol::{Close, Version},
    seen::Seen,
};
use ipnet::IpNet;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
};
use crate::{
    operators::{EndConnection, Operators},
    problem::problem,
    routes::query::{expect_only, number, text},
    settings::network,
};

/// Connections of a page without `limit=`, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// What is said of a user that is none.
pub const NO_USER: &str = "a user id has 16 hexadecimal digits, as GET /connections shows them";

/// One connection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connection {
    /// Of this connection, and of no other one on any node.
    #[schema(examples("5e1f09ab-17"))]
    id: String,
    /// Where it comes from.
    #[schema(examples("2001:db8::17"))]
    address: String,
    /// As what that is counted: an IPv6 address as its network.
    #[schema(examples("2001:db8::/64"))]
    counted_as: String,
    /// Who it is, if it has said so.
    user: Option<String>,
    /// The name of its board.
    #[schema(examples("main"))]
    board: String,
    /// Which protocol it speaks, 1 or 2.
    protocol: u8,
    /// Whether its messages may be compressed.
    compressed: bool,
    /// Seconds since it began.
    age_s: u32,
    /// Seconds since its client was last heard.
    silent_s: u32,
    /// Bytes that wait for its socket.
    outbox_bytes: usize,
    /// Whether its client does not drain, so that updates are dropped.
    lagging: bool,
    /// The tiles that a client of protocol 2 looks at.
    tiles: Vec<u32>,
    /// Own checks of a client of protocol 2 that have no answer yet.
    unanswered_checks: usize,
    /// Checks that its own rate (`limiter.limit`) lets through now; without one any number.
    checks_left: Option<u64>,
    /// Range requests that its own rate (`limiter.range_limit`) lets through now; without one any number.
    ranges_left: Option<u64>,
}

impl From<&Seen> for Connection {
    fn from(seen: &Seen) -> Self {
        Self {
            id: seen.session.to_string(),
            address: seen.ip.to_string(),
            counted_as: seen.address.to_string(),
            user: seen.user.map(|user| user.to_string()),
            board: seen.board.clone(),
            protocol: match seen.version {
                Version::Plain => 1,
                Version::V2 => 2,
            },
            compressed: seen.takes_compressed,
            age_s: seen.age_s,
            silent_s: seen.silent_s,
            outbox_bytes: seen.outbox_bytes,
            lagging: seen.is_lagging,
            tiles: seen.tiles.clone(),
            unanswered_checks: seen.unanswered,
            checks_left: seen.checks_left,
            ranges_left: seen.ranges_left,
        }
    }
}

/// A page of connections.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connections {
    /// The id of the node, with which those of its connections begin.
    #[schema(examples("5e1f09ab"))]
    node: String,
    /// In the order in which they came.
    connections: Vec<Connection>,
    /// What to ask for as `after` to get the next page, if there is one.
    next: Option<String>,
}

/// The connection has been told to end.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ended {
    /// Its id.
    ended: String,
}

/// The node of the connection has been asked to end it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AskedToEnd {
    /// Its id.
    asked_to_end: String,
}

/// What `GET` asks for.
struct Wanted {
    network: Option<IpNet>,
    user: Option<UserId>,
    after: Option<SessionId>,
    limit: usize,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, String> {
        expect_only(query, &["address", "user", "after", "limit"])?;
        let user = |id: String| UserId::read(&id).ok_or_else(|| NO_USER.to_owned());
        Ok(Self {
            network: text(query, "address")?.map(|text| network(&text)).transpose()?,
            user: text(query, "user")?.map(user).transpose()?,
            after: text(query, "after")?.map(|id| of_this_node(&id)).transpose()?,
            limit: number(query, "limit")?.unwrap_or(PAGE.0).clamp(1, PAGE.1) as usize,
        })
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

/// Lists the connections of this node, page by page.
///
/// In the order in which they came.
#[utoipa::path(
    get, path = "/connections", tag = "players", operation_id = "listConnections",
    params(
        ("address" = Option<String>, Query, description = "Only those from this address or network", example = "127.0.0.0/8"),
        ("user" = Option<String>, Query, description = "Only those of this user", example = "00abcdef01234567"),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<u32>, Query, description = "How many make a page: 100, and at most 1000", maximum = 4294967295u32, example = 10),
    ),
    responses(
        (status = 200, description = "One page.", body = Connections),
        (status = 400, description = "The query is not understood, or `after` is a connection of another node."),
    ),
)]
pub async fn list(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let Wanted { network, user, after, limit } = match Wanted::read(request.query_string()) {
        Ok(wanted) => wanted,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why.trim_end()),
    };
    let are_meant = move |player: &Player| {
        after.is_none_or(|after| player.session > after)
            && network.is_none_or(|network| network.contains(&player.ip))
            && user.is_none_or(|user| player.user() == Some(user))
    };
    // One more tells whether there is another page.
    let seen = node.sessions(are_meant, limit + 1).await;
    let page = &seen[..seen.len().min(limit)];
    let next = page.last().filter(|_| seen.len() > limit).map(|last| last.session.to_string());
    HttpResponse::Ok().json(Connections {
        node: SessionId::process(),
        connections: page.iter().map(Connection::from).collect(),
        next,
    })
}

/// What is said of a connection whose node is none that was heard lately.
pub const UNKNOWN_NODE: &str = "this connection is of a node that is not there: see GET /ws/stats";

/// Ends a connection, on whichever node it is.
#[utoipa::path(
    delete, path = "/connections/{id}", tag = "players", operation_id = "endConnection",
    params(
        ("id" = String, Path, description = "As `GET /connections` has it", example = "5e1f09ab-17"),
        ("code" = Option<u32>, Query, description = "The code of its Close: 1001, 1008, 1012 or 1013; without it 1008", minimum = 1001, maximum = 1013, example = 1008),
        ("reason" = Option<String>, Query, description = "What its client is told: one line of 1 to 123 bytes", example = "come back at noon"),
    ),
    responses(
        (status = 200, description = "It was of this node, and has been told to end.", body = Ended),
        (status = 202, description = "It is of another node, which has been asked to end it.", body = AskedToEnd),
        (status = 400, description = "The query is not understood."),
        (status = 404, description = "This is no id of a connection of a node that is there, or the connection has ended."),
        Unmade,
    ),
)]
pub async fn end(
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    node: web::Data<Node>,
    operators: web::Data<Operators>,
    change: web::Data<Change>,
) -> HttpResponse {
    let (code, reason) = match close(request.query_string()) {
        Ok(wanted) => wanted,
        Err(why) => return problem(StatusCode::BAD_REQUEST, why.trim_end()),
    };
    let end = EndConnection { id: id.into_inner(), code, reason };
    end_one(&caller, end, &node, &operators, &change).await
}

/// Ends one connection, on whichever node it is; the answer.
pub async fn end_one(
    caller: &Caller,
    end: EndConnection,
    node: &Node,
    operators: &Operators,
    change: &Change,
) -> HttpResponse {
    let Some((process, session)) = SessionId::read(&end.id) else {
        return problem(
            StatusCode::NOT_FOUND,
            "this is no id of a connection: see GET /connections",
        );
    };
    let is_ours = process == SessionId::process();
    if !is_ours && !operators.nodes.knows(process) {
        return problem(StatusCode::NOT_FOUND, UNKNOWN_NODE);
    }
    if is_ours && node.sessions(move |player| player.session == session, 1).await.is_empty() {
        return problem(StatusCode::NOT_FOUND, "this connection has ended");
    }
    let what = json!({ "connection": end.id, "code": end.code, "reason": end.reason });
    let done = change.make(caller, "connection.end", what, async || operators.end(&end).await);
    match done.await {
        Ok(()) if is_ours => HttpResponse::Ok().json(Ended { ended: end.id }),
        Ok(()) => HttpResponse::Accepted().json(AskedToEnd { asked_to_end: end.id }),
        Err(refusal) => refusal,
    }
}

/// Code and reason. The reason is remembered by the node of a connection that it ends, and by no other one.
fn close(query: &str) -> Result<(u16, String), String> {
    expect_only(query, &["code", "reason"])?;
    let code = number(query, "code")?;
    judge_close(code, text(query, "reason")?)
}

/// How a connection ends by an operator who has said this of it, or nothing.
///
/// # Errors
/// If it may not end that way.
pub fn judge_close(code: Option<u32>, reason: Option<String>) -> Result<(u16, String), String> {
    let code = code.unwrap_or(Close::ENDED.code.into());
    let reason = reason.unwrap_or_else(|| Close::ENDED.reason.to_owned());
    let code = u16::try_from(code).ok().filter(|_| !reason.chars().any(char::is_control));
    match code.filter(|code| Close::is_for_operators(*code, &reason)) {
        Some(code) => Ok((code, reason)),
        None => {
            Err("code is 1001, 1008, 1012 or 1013, and reason one line of 1 to 123 bytes"
                .to_owned())
        }
    }
}

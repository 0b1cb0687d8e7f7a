//! `GET /ws/history` and `GET /ws/presence`: what is kept of a group, and who is in it.

use std::{collections::HashMap, fmt, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{
    channels::{Epoch, Group, History, KEPT_MESSAGES, Position},
    node::Node,
    player::{SessionId, UserId},
    store::StoreError,
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
    messages::group,
};
use crate::{
    people::talk::{Talks, envelope, operating::Present},
    problem::problem,
    routes::query::{expect_only, number, text},
};

/// Members of a page without `limit=`, and at most.
const PAGE: (u32, u32) = (100, 1000);

/// Messages of a group, in their order.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GroupHistory)]
pub struct Messages {
    /// Which.
    #[schema(examples("room:0123456789abcdef"))]
    group: String,
    /// As members hear them, with `offset`, `epoch` and `timestamp`.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, Value>>)]
    messages: Vec<Value>,
    /// Whether these are all that were published after the place that was asked for, up to the last of them.
    complete: bool,
    /// The number of the group's last message; 0 before the first.
    offset: u64,
    /// The numbering.
    #[schema(examples("89abcdef01234567"))]
    epoch: String,
    /// What to ask for as `after` to get the next page, if there is one.
    next: Option<u64>,
}

/// Somebody in a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PresentUser)]
pub struct Somebody {
    /// Null: a connection that looks at a tile and has no identity.
    #[schema(examples("00abcdef01234567"))]
    user: Option<String>,
    /// Its connections on this node, as `GET /connections` has them.
    #[schema(examples(json!(["5e1f09ab-17"])))]
    connections: Vec<String>,
}

/// A page of those who are in a group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Presence)]
pub struct Members {
    /// Which.
    #[schema(examples("room:0123456789abcdef"))]
    group: String,
    /// The id of the node, with which those of its connections begin.
    #[schema(examples("5e1f09ab"))]
    node: String,
    /// Users in the order of their ids, then those without one.
    members: Vec<Somebody>,
    /// How many users there are.
    users: usize,
    /// How many connections this node has there.
    connections: usize,
    /// Whether the users are those of all nodes: of a tile and of a user they are those of this node.
    everywhere: bool,
    /// What to ask for as `after` to get the next page, if there is one.
    next: Option<String>,
}

/// Refuses what is not understood.
fn bad(why: &str) -> HttpResponse {
    problem(StatusCode::BAD_REQUEST, why.trim_end())
}

fn away(error: &StoreError) -> HttpResponse {
    problem(StatusCode::SERVICE_UNAVAILABLE, &format!("it cannot be read now: {error}"))
}

fn named(query: &str, node: &Node) -> Result<Group, String> {
    let named = text(query, "group")?;
    group(&named.ok_or("name a group: group=room:0123456789abcdef")?, node)
}

/// The place after which messages are asked for, and how many.
fn place(query: &str) -> Result<(Option<Position>, usize), String> {
    let after = text(query, "after")?.map(|after| {
        let is_plain = after.bytes().all(|byte| byte.is_ascii_digit());
        after.parse::<u64>().ok().filter(|_| is_plain).ok_or("after is the offset of a message")
    });
    let epoch = text(query, "epoch")?
        .map(|epoch| Epoch::read(&epoch).ok_or("epoch is 16 hexadecimal digits"));
    let after = match (after.transpose()?, epoch.transpose()?) {
        (None, None) => None,
        (Some(offset), Some(epoch)) => Some(Position { epoch, offset }),
        _ => return Err("after and epoch belong together".to_owned()),
    };
    let most = KEPT_MESSAGES as u32;
    let limit = number(query, "limit")?.unwrap_or(most).clamp(1, most);
    Ok((after, limit as usize))
}

/// Reads what is kept of a group's messages.
///
/// The last 100 messages of the last five minutes. For operators, and with a line of the audit, since it shows what
/// players write.
#[utoipa::path(
    get, path = "/ws/history", tag = "players", operation_id = "readHistory",
    params(
        ("group" = String, Query, description = "`team:ID`, `room:ID`, `user:ID` or `tile:N`", example = "tile:0"),
        ("after" = Option<u64>, Query, description = "Only those after this offset of `epoch`", example = 0),
        ("epoch" = Option<String>, Query, description = "The numbering of `after`", example = "89abcdef01234567"),
        ("limit" = Option<u32>, Query, description = "How many make a page: 100 at most", maximum = 4294967295u32, example = 10),
    ),
    responses(
        (status = 200, description = "One page.", body = Messages),
        (status = 400, description = "The query is not understood."),
        Unmade,
    ),
)]
pub async fn history(
    caller: Caller,
    request: HttpRequest,
    node: web::Data<Node>,
    talks: web::Data<Talks>,
    change: web::Data<Change>,
) -> HttpResponse {
    if let Err(refusal) = caller.demand_operator("to read what players write") {
        return refusal;
    }
    let query = request.query_string();
    let wanted = expect_only(query, &["group", "after", "epoch", "limit"])
        .and_then(|()| Ok((named(query, &node)?, place(query)?)));
    let (group, (after, limit)) = match wanted {
        Ok(wanted) => wanted,
        Err(why) => return bad(&why),
    };
    let what = json!({ "group": group.to_string() });
    if let Err(refusal) = change.note(&caller, "history", what).await {
        return refusal;
    }
    match talks.history(group, after).await {
        Ok(history) => HttpResponse::Ok().json(page(group, &history, limit)),
        Err(error) => away(&error),
    }
}

fn page(group: Group, history: &History, limit: usize) -> Messages {
    let History { last, messages, is_complete } = history;
    let shown = &messages[..messages.len().min(limit)];
    let next = shown.last().filter(|_| messages.len() > limit);
    let read = |message: &Arc<_>| serde_json::from_str(&envelope::text(message)).ok();
    Messages {
        group: group.to_string(),
        // Each is the JSON that was published.
        messages: shown.iter().filter_map(read).collect(),
        complete: *is_complete,
        offset: last.offset,
        epoch: last.epoch.to_string(),
        next: next.map(|message| message.position.offset),
    }
}

/// Where a page begins: behind a user, or behind a connection without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    User(UserId),
    Connection(SessionId),
}

impl Key {
    fn read(text: &str) -> Option<Self> {
        let connection = || {
            let (process, session) = SessionId::read(text)?;
            (process == SessionId::process()).then_some(Self::Connection(session))
        };
        UserId::read(text).map(Self::User).or_else(connection)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Connection(session) => session.fmt(f),
        }
    }
}

/// Shows who is in a group.
///
/// Of a team or a room the users on all nodes, as each of them has said within the last 15 seconds; of a tile whoever
/// looks there, and of a user its connections, on this node.
#[utoipa::path(
    get, path = "/ws/presence", tag = "players", operation_id = "showPresence",
    params(
        ("group" = String, Query, description = "`team:ID`, `room:ID`, `user:ID` or `tile:N`", example = "tile:0"),
        ("after" = Option<String>, Query, description = "`next` of the page before", example = "0000000000000001"),
        ("limit" = Option<u32>, Query, description = "How many make a page: 100, and at most 1000", maximum = 4294967295u32, example = 10),
    ),
    responses(
        (status = 200, description = "One page.", body = Members),
        (status = 400, description = "The query is not understood, or `after` is a connection of another node."),
        (status = 503, description = "What other nodes have said cannot be read now."),
    ),
)]
pub async fn presence(
    request: HttpRequest,
    node: web::Data<Node>,
    talks: web::Data<Talks>,
) -> HttpResponse {
    let query = request.query_string();
    let wanted = expect_only(query, &["group", "after", "limit"]).and_then(|()| {
        let after = text(query, "after")?
            .map(|after| Key::read(&after).ok_or("after is `next` of the page before"));
        let limit = number(query, "limit")?.unwrap_or(PAGE.0).clamp(1, PAGE.1);
        Ok((named(query, &node)?, after.transpose()?, limit as usize))
    });
    let (group, after, limit) = match wanted {
        Ok(wanted) => wanted,
        Err(why) => return bad(&why),
    };
    match talks.present(&node, group).await {
        Ok(present) => HttpResponse::Ok().json(members(group, &present, after, limit)),
        Err(error) => away(&error),
    }
}

fn members(group: Group, present: &Present, after: Option<Key>, limit: usize) -> Members {
    let Present { users, here } = present;
    let nobody = here.iter().filter(|(_, user)| user.is_none());
    let keys = users.iter().map(|user| Key::User(*user));
    let keys = keys.chain(nobody.map(|(session, _)| Key::Connection(*session)));
    // One more says whether there is another page.
    let keys: Vec<_> =
        keys.filter(|key| after.is_none_or(|after| *key > after)).take(limit + 1).collect();
    let shown = &keys[..keys.len().min(limit)];
    let next = shown.last().filter(|_| keys.len() > limit);
    let mut of_users: HashMap<UserId, Vec<SessionId>> = HashMap::new();
    for (session, user) in here {
        if let Some(user) = user {
            of_users.entry(*user).or_default().push(*session);
        }
    }
    let somebody = |key: &Key| match *key {
        Key::User(user) => {
            let own = of_users.get(&user).into_iter().flatten();
            Somebody {
                user: Some(user.to_string()),
                connections: own.map(SessionId::to_string).collect(),
            }
        }
        Key::Connection(session) => Somebody { user: None, connections: vec![session.to_string()] },
    };
    Members {
        group: group.to_string(),
        node: SessionId::process(),
        members: shown.iter().map(somebody).collect(),
        users: users.len(),
        connections: here.len(),
        everywhere: group.is_joined(),
        next: next.map(Key::to_string),
    }
}

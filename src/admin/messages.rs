//! `POST /ws/message`: to one page, or to a group in the order of its messages; several at once.

use actix_web::{HttpResponse, http::StatusCode, web};
use actors::{
    channels::{Draft, Group, Published},
    node::Node,
    player::SessionId,
    store::StoreError,
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    connections::UNKNOWN_NODE,
    door::Caller,
    notices::judge,
};
use crate::{
    object::Object,
    operators::{Operators, envelope::ulid, model::Severity, talk::Message},
    people::talk::{
        Talks, envelope,
        operating::{deadline, draft},
    },
    problem::problem,
};

/// Messages of one request.
const MESSAGES_MAX: usize = 100;

/// Most bytes of a request: as many messages of a kilobyte, and what belongs to each. The audit has a line of that size.
pub const BODY_BYTES_MAX: usize = 128 * 1024;

/// What is to be sent.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[schema(as = NewMessages)]
pub enum Wanted {
    /// A message to a group.
    One(ToGroup),
    /// Several of them.
    Several(Several),
    /// A notice to one connection.
    Page(ToPage),
}

/// What a group is to hear, from `operator`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGroupMessage)]
pub struct ToGroup {
    /// `team:ID`, `room:ID`, `user:ID`, or `tile:N` for whoever looks there.
    #[schema(examples("room:0123456789abcdef", "tile:0"))]
    to: String,
    /// 1 to 64 letters, digits, `-` and `_`: for five minutes a message of the same `id` to the same group is the same
    /// message, whichever operator sends it. Without one the server chooses it.
    #[schema(examples("deploy-7"))]
    id: Option<String>,
    /// What players' programs are sent; of the page's chat a `text`.
    #[schema(value_type = std::collections::BTreeMap<String, Value>, examples(json!({ "text": "hello" })))]
    data: Map<String, Value>,
}

/// Messages to groups, published one after the other.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGroupMessages)]
pub struct Several {
    /// 1 to 100 of them.
    #[schema(value_type = Vec<ToGroup>, min_items = 1, max_items = 100)]
    messages: Vec<Object<ToGroup>>,
}

/// What one page is to show.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewMessage)]
pub struct ToPage {
    /// To which connection.
    #[schema(examples("5e1f09ab-17"))]
    connection: String,
    /// Plain text, 1 to 1024 bytes.
    #[schema(examples("please slow down"))]
    text: String,
    /// How urgent it is.
    #[serde(default)]
    severity: Severity,
}

impl<'de> Deserialize<'de> for Wanted {
    /// By the field that only one form has, so that a mistake in it is named.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let has = |name| fields.contains_key(name);
        let (is_several, is_page) = (has("messages"), has("connection"));
        let fields = Value::Object(fields);
        let read = match (is_several, is_page) {
            (true, _) => serde_json::from_value(fields).map(Self::Several),
            (false, true) => serde_json::from_value(fields).map(Self::Page),
            (false, false) => serde_json::from_value(fields).map(Self::One),
        };
        read.map_err(D::Error::custom)
    }
}

/// The message is on its way to a page.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sent {
    /// No other message has it.
    #[schema(examples("01KB6XGZ7V3T9QZ4R1M5H2C8DE"))]
    id: String,
    /// Whether another node was asked to send it, and it is not known here what came of that.
    asked: bool,
}

/// A message that has its place among those of its group.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PublishedMessage)]
pub struct Placed {
    /// As it was chosen.
    id: String,
    /// The group.
    to: String,
    /// Its number in the group.
    offset: u64,
    /// The numbering: another one whenever offsets begin again.
    #[schema(examples("89abcdef01234567"))]
    epoch: String,
    /// It had been published before, and was not again.
    duplicate: bool,
}

/// What became of one of several messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageOutcome)]
pub struct Outcome {
    /// What it would have been answered with alone: 200, 422 or 503.
    #[schema(examples(200))]
    status: u16,
    /// Its place, if it has one.
    published: Option<Placed>,
    /// What is wrong with it, for people.
    detail: Option<String>,
}

/// What became of several messages.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageOutcomes)]
pub struct Outcomes {
    /// In the order of the messages.
    outcomes: Vec<Outcome>,
}

/// What is answered to each form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = MessageAnswer)]
#[expect(dead_code, reason = "describes answers that are made one by one")]
pub enum Done {
    /// To a group.
    One(Placed),
    /// To several.
    Several(Outcomes),
    /// To a page.
    Page(Sent),
}

impl Placed {
    fn new(id: String, to: Group, published: Published) -> Self {
        let Published { position, is_duplicate } = published;
        Self {
            id,
            to: to.to_string(),
            offset: position.offset,
            epoch: position.epoch.to_string(),
            duplicate: is_duplicate,
        }
    }
}

impl From<Result<Placed, (StatusCode, String)>> for Outcome {
    fn from(done: Result<Placed, (StatusCode, String)>) -> Self {
        match done {
            Ok(placed) => Self { status: 200, published: Some(placed), detail: None },
            Err((status, detail)) => {
                Self { status: status.as_u16(), published: None, detail: Some(detail) }
            }
        }
    }
}

/// The group that `text` names, if messages to it are kept and it can be there.
///
/// # Errors
/// What is wrong with it.
pub fn group(text: &str, node: &Node) -> Result<Group, String> {
    let group = Group::read(text).filter(|group| group.is_kept());
    let group = group.ok_or_else(|| {
        format!("{text:?} is no group: write team:ID, room:ID, user:ID or tile:N")
    })?;
    match group {
        Group::Tile(tile) if node.main().board.tile(tile).is_none() => {
            Err(format!("the main board has {} tiles, from 0 on", node.main().board.tiles()))
        }
        _ => Ok(group),
    }
}

/// Sends a message to a group or to one page, or several to groups.
///
/// To a group it is published as players' messages are, from `operator`: heard by its members on all nodes, kept, and
/// numbered in the same order. Whether anybody is there, and whether there is such a team or room, is not asked.
#[utoipa::path(
    post, path = "/ws/message", tag = "players", operation_id = "sendMessage",
    request_body = Wanted,
    responses(
        (status = 200, description = "It was published, or published before under this `id`. Of several each has an outcome of its own. To a page: the connection is of this node, and was sent it.", body = Done),
        (status = 202, description = "The connection is of another node, which has been asked to send it.", body = Sent),
        (status = 404, description = "This is no id of a connection of a node that is there, or it has ended, or its client shows no messages."),
        Unmade,
    ),
)]
pub async fn send(
    caller: Caller,
    wanted: web::Json<Wanted>,
    operators: web::Data<Operators>,
    node: web::Data<Node>,
    talks: web::Data<Talks>,
    change: web::Data<Change>,
) -> HttpResponse {
    match wanted.into_inner() {
        Wanted::Page(to_page) => say(&caller, to_page, &operators, &change).await,
        Wanted::One(message) => publish(&caller, message, &node, &talks, &change).await,
        Wanted::Several(Several { messages }) => {
            if !(1..=MESSAGES_MAX).contains(&messages.len()) {
                let text = format!("messages: 1 to {MESSAGES_MAX} of them");
                return problem(StatusCode::UNPROCESSABLE_ENTITY, &text);
            }
            let messages = messages.into_iter().map(|message| message.0);
            publish_all(&caller, messages.collect(), &node, &talks, &change).await
        }
    }
}

async fn say(
    caller: &Caller,
    to_page: ToPage,
    operators: &Operators,
    change: &Change,
) -> HttpResponse {
    let ToPage { connection, text, severity } = to_page;
    if let Err(refusal) = judge(&text) {
        return refusal;
    }
    let Some((process, _)) = SessionId::read(&connection) else {
        return problem(
            StatusCode::NOT_FOUND,
            "this is no id of a connection: see GET /connections",
        );
    };
    let is_ours = process == SessionId::process();
    if !is_ours && !operators.nodes.knows(process) {
        return problem(StatusCode::NOT_FOUND, UNKNOWN_NODE);
    }
    let what = json!({ "connection": connection, "text": text, "severity": severity });
    let message = Message { connection, id: ulid(), text, severity };
    let mut was_sent = false;
    let done = change.make(caller, "message", what, async || {
        was_sent = operators.say(&message).await?;
        Ok(())
    });
    match done.await {
        Ok(()) if was_sent => HttpResponse::Ok().json(Sent { id: message.id, asked: false }),
        Ok(()) if is_ours => {
            let text = "this connection has ended, or its client does not speak v=2, which messages are for";
            problem(StatusCode::NOT_FOUND, text)
        }
        Ok(()) => HttpResponse::Accepted().json(Sent { id: message.id, asked: true }),
        Err(refusal) => refusal,
    }
}

/// A message that may be published, and what the audit says of it.
fn judged(message: ToGroup, node: &Node) -> Result<(Draft, Value), String> {
    let ToGroup { to, id, data } = message;
    let group = group(&to, node)?;
    let id = id.unwrap_or_else(ulid);
    if !envelope::is_legal(&id) {
        return Err("id: 1 to 64 letters, digits, - and _".to_owned());
    }
    let what = json!({ "to": to, "id": id, "data": data });
    let draft = draft(group, id, &data).ok_or_else(|| {
        let most = actors::channels::PAYLOAD_BYTES_MAX;
        format!("data: with its envelope a message has at most {most} bytes")
    })?;
    Ok((draft, what))
}

fn away(error: &StoreError) -> String {
    format!("it is not known to be published: {error}. Send it again under the same id")
}

async fn publish(
    caller: &Caller,
    message: ToGroup,
    node: &Node,
    talks: &Talks,
    change: &Change,
) -> HttpResponse {
    let (draft, what) = match judged(message, node) {
        Ok(judged) => judged,
        Err(why) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
    };
    let (id, to) = (draft.id.clone(), draft.group);
    let done = change
        .attempt(caller, "message", what, async || talks.publish(draft, deadline()).await)
        .await;
    match done {
        Ok(published) => HttpResponse::Ok().json(Placed::new(id, to, published)),
        Err(failed) => {
            failed.answer(|error| problem(StatusCode::SERVICE_UNAVAILABLE, &away(&error)))
        }
    }
}

async fn publish_all(
    caller: &Caller,
    messages: Vec<ToGroup>,
    node: &Node,
    talks: &Talks,
    change: &Change,
) -> HttpResponse {
    let judged: Vec<_> = messages.into_iter().map(|message| judged(message, node)).collect();
    let what: Vec<_> = judged.iter().flatten().map(|(_, what)| what).collect();
    if !what.is_empty()
        && let Err(refusal) = change.note(caller, "message", json!({ "messages": what })).await
    {
        return refusal;
    }
    let (until, mut outcomes, mut failed) = (deadline(), Vec::new(), Vec::new());
    for message in judged {
        let outcome = match message {
            Err(why) => Err((StatusCode::UNPROCESSABLE_ENTITY, why)),
            Ok((draft, _)) => {
                let (id, to) = (draft.id.clone(), draft.group);
                match talks.publish(draft, until).await {
                    Ok(published) => Ok(Placed::new(id, to, published)),
                    Err(error) => {
                        failed.push(json!({ "to": to.to_string(), "id": id }));
                        Err((StatusCode::SERVICE_UNAVAILABLE, away(&error)))
                    }
                }
            }
        };
        outcomes.push(Outcome::from(outcome));
    }
    if !failed.is_empty() {
        change.note_failure(caller, "message", json!({ "failed": failed })).await;
    }
    HttpResponse::Ok().json(Outcomes { outcomes })
}

//! What clients say and hear in text: envelopes of JSON (`docs/PROTOCOL.md`, "Text"). Plain data.

use std::time::Duration;

use actors::{
    channels::{Epoch, Group, Message, Position},
    link::SessionLink,
    player::{SessionId, UserId},
    protocol::text_frame,
};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::chat::Called;
use crate::{operators::envelope::ulid, wall::now_ms};

/// Longest id that a client may choose.
const ID_BYTES_MAX: usize = 64;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Send `data` to a group, under the client's id if it has chosen one.
    Message { to: Group, data: Map<String, Value> },
    /// Join a group, and what else belongs to it.
    Join { to: Group, presence: bool, recover: Option<After> },
    /// Leave a group.
    Leave { to: Group },
    /// Send what was published to a group.
    Recover { to: Group, after: After },
    /// Report a message to operators.
    Report { to: Group, which: Which, reason: String },
    /// Take on an identity.
    Identify { ticket: Option<String> },
}

/// Which of the messages that are kept of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The first one that has this id.
    Id(String),
    /// The one at this place, in the numbering of now if no other is named.
    Offset(u64, Option<Epoch>),
}

/// After which message: `None`: everything that is kept.
pub type After = Option<Position>;

/// Why a text was not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No JSON, or no object.
    #[error("a message is a JSON object")]
    BadJson,
    /// A field is missing, or is not what it has to be.
    #[error("{0}")]
    BadEnvelope(&'static str),
    /// Not known here.
    #[error("there is no such type")]
    UnknownType,
    /// It names no group that could be meant.
    #[error("`to` names nobody that this may be sent to")]
    BadAddress,
    /// Who has said it is nobody in particular.
    #[error("this needs an identity")]
    NotIdentified,
    /// Of another connection, too old, or of somebody who has signed out.
    #[error("this ticket is not for this connection, or not any more: ask for another one")]
    BadTicket,
    /// It is not for this player.
    #[error("you may not do this there")]
    Forbidden,
    /// There is no such message in what is kept.
    #[error("this message is not kept, or not any more")]
    UnknownMessage,
    /// Too many of its reports are open.
    #[error("your earlier reports have not been read yet")]
    TooManyReports,
    /// It is in too many groups.
    #[error("you are in as many groups as you may be")]
    TooManyGroups,
    /// Over the rate, or sooner than the slow mode allows; it may be heard after this.
    #[error("too many messages")]
    Rate(Duration),
    /// Too much of it is under way.
    #[error("your earlier messages are not done with")]
    Busy,
    /// What it needs is away.
    #[error("this cannot be done now: try again")]
    Unavailable,
}

impl Fault {
    /// All codes.
    pub const CODES: [&str; 13] = [
        "bad_json",
        "bad_envelope",
        "unknown_type",
        "bad_address",
        "not_identified",
        "bad_ticket",
        "forbidden",
        "unknown_message",
        "too_many_reports",
        "too_many_groups",
        "rate",
        "busy",
        "unavailable",
    ];

    /// What it is called in envelopes and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadEnvelope(_) => "bad_envelope",
            Self::UnknownType => "unknown_type",
            Self::BadAddress => "bad_address",
            Self::NotIdentified => "not_identified",
            Self::BadTicket => "bad_ticket",
            Self::Forbidden => "forbidden",
            Self::UnknownMessage => "unknown_message",
            Self::TooManyReports => "too_many_reports",
            Self::TooManyGroups => "too_many_groups",
            Self::Rate(_) => "rate",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A text as far as it was understood.
#[derive(Debug, PartialEq)]
pub struct Read {
    /// The client's own id of it.
    pub id: Option<String>,
    /// What it asks for.
    pub asked: Result<Asked, Fault>,
}

/// Reads a text.
pub fn read(text: &str) -> Read {
    let Ok(Value::Object(mut envelope)) = serde_json::from_str(text) else {
        return Read { id: None, asked: Err(Fault::BadJson) };
    };
    match envelope.remove("id") {
        None | Some(Value::Null) => Read { id: None, asked: asked(envelope) },
        Some(Value::String(id)) if is_legal(&id) => Read { id: Some(id), asked: asked(envelope) },
        Some(_) => {
            let why = "`id` has 1 to 64 letters, digits, `-` and `_`";
            Read { id: None, asked: Err(Fault::BadEnvelope(why)) }
        }
    }
}

/// Whether this may be the id of a message.
pub fn is_legal(id: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(legal)
}

fn asked(mut envelope: Map<String, Value>) -> Result<Asked, Fault> {
    let Some(Value::String(kind)) = envelope.remove("type") else {
        return Err(Fault::BadEnvelope("`type` is a text"));
    };
    let data = match envelope.remove("data") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(data)) => data,
        Some(_) => return Err(Fault::BadEnvelope("`data` is an object")),
    };
    let to = envelope.remove("to");
    let to = || match to {
        Some(Value::String(to)) => Group::read(&to).ok_or(Fault::BadAddress),
        _ => Err(Fault::BadEnvelope("`to` is a text")),
    };
    match &*kind {
        "message" => Ok(Asked::Message { to: to()?, data }),
        "join" => {
            let presence = match data.get("presence") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(presence)) => *presence,
                Some(_) => return Err(Fault::BadEnvelope("`data.presence` is true or false")),
            };
            let recover = match data.get("recover") {
                None | Some(Value::Null) => None,
                Some(Value::Object(recover)) => Some(after(recover)?),
                Some(_) => return Err(Fault::BadEnvelope("`data.recover` is an object")),
            };
            Ok(Asked::Join { to: to()?, presence, recover })
        }
        "leave" => Ok(Asked::Leave { to: to()? }),
        "recover" => Ok(Asked::Recover { to: to()?, after: after(&data)? }),
        "report" => {
            let Some(Value::String(reason)) = data.get("reason") else {
                return Err(Fault::BadEnvelope("`data.reason` is a text"));
            };
            Ok(Asked::Report { to: to()?, which: which(&data)?, reason: reason.clone() })
        }
        "identify" => match data.get("ticket") {
            None | Some(Value::Null) => Ok(Asked::Identify { ticket: None }),
            Some(Value::String(ticket)) => Ok(Asked::Identify { ticket: Some(ticket.clone()) }),
            Some(_) => Err(Fault::BadEnvelope("`data.ticket` is a text")),
        },
        _ => Err(Fault::UnknownType),
    }
}

/// Reads `message`: an id, or an offset with or without `epoch`.
fn which(data: &Map<String, Value>) -> Result<Which, Fault> {
    let bad = Fault::BadEnvelope("`data.message` is the id of a message, or its offset");
    let epoch = match data.get("epoch") {
        None | Some(Value::Null) => None,
        Some(Value::String(epoch)) => Some(Epoch::read(epoch).ok_or(bad)?),
        Some(_) => return Err(bad),
    };
    match data.get("message") {
        Some(Value::String(id)) if is_legal(id) => Ok(Which::Id(id.clone())),
        Some(Value::Number(offset)) => Ok(Which::Offset(offset.as_u64().ok_or(bad)?, epoch)),
        _ => Err(bad),
    }
}

/// Reads `offset` and `epoch`: both, or neither.
fn after(data: &Map<String, Value>) -> Result<After, Fault> {
    let bad = Fault::BadEnvelope("`offset` is a whole number and `epoch` 16 digits; or neither");
    match (data.get("offset"), data.get("epoch")) {
        (None, None) => Ok(None),
        (Some(offset), Some(Value::String(epoch))) => {
            let offset = offset.as_u64().ok_or(bad)?;
            let epoch = Epoch::read(epoch).ok_or(bad)?;
            Ok(Some(Position { epoch, offset }))
        }
        _ => Err(bad),
    }
}

/// A message as it is published: all of its envelope but what its place and time add.
pub fn payload(
    id: &str,
    from: UserId,
    called: Option<&Called>,
    to: Group,
    data: &Map<String, Value>,
) -> Bytes {
    let mut envelope = published(&format!("user:{from}"), id, to, data);
    if let Some(Called { name, colour }) = called {
        envelope["name"] = name.as_str().into();
        if let Some(colour) = colour {
            envelope["colour"] = colour.as_str().into();
        }
    }
    envelope.to_string().into()
}

/// The same from whoever is called `from` in envelopes.
pub fn payload_from(from: &str, id: &str, to: Group, data: &Map<String, Value>) -> Bytes {
    published(from, id, to, data).to_string().into()
}

fn published(from: &str, id: &str, to: Group, data: &Map<String, Value>) -> Value {
    json!({ "type": "message", "id": id, "from": from, "to": to.to_string(), "data": data })
}

/// The frame of a message, the same for all who hear it.
pub fn message(message: &Message) -> Bytes {
    text_frame(&text(message))
}

/// A message as text, the same for all who hear or read it.
pub fn text(message: &Message) -> String {
    let Message { position, at_ms, payload, .. } = message;
    // Whoever has published it made an object of it.
    let open = payload.strip_suffix(b"}").unwrap_or(payload);
    let open = String::from_utf8_lossy(open);
    let Position { epoch, offset } = position;
    format!("{open},\"timestamp\":{at_ms},\"offset\":{offset},\"epoch\":\"{epoch}\"}}")
}

/// An envelope of the server's own.
pub fn frame(kind: &str, to: &str, data: &Value) -> Bytes {
    let envelope = json!({
        "type": kind,
        "id": ulid(),
        "from": "server",
        "to": to,
        "timestamp": now_ms(),
        "data": data,
    });
    text_frame(&envelope.to_string())
}

/// The address of a connection of this process.
pub fn address(session: SessionId) -> String {
    format!("conn:{session}")
}

/// The frame that says which connection this is, and whose.
pub fn welcome(to: &SessionLink) -> Bytes {
    let user = to.player().user().map(|user| user.to_string());
    let data = json!({ "connection": to.id().to_string(), "user": user });
    frame("welcome", &address(to.id()), &data)
}

/// The frame that says that a text was not heard.
pub fn error(to: &SessionLink, of: Option<&str>, fault: Fault) -> Bytes {
    let mut data = json!({ "code": fault.code(), "message": fault.to_string(), "of": of });
    if let Fault::Rate(wait) = fault {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        data["retry_after_ms"] = wait_ms.saturating_add(1).into();
    }
    frame("error", &address(to.id()), &data)
}

/// The frame that tells the sender of a message that it has its place.
pub fn sent(to: &SessionLink, of: &str, position: Position, is_duplicate: bool) -> Bytes {
    let Position { epoch, offset } = position;
    let data = json!({
        "of": of,
        "offset": offset,
        "epoch": epoch.to_string(),
        "duplicate": is_duplicate,
    });
    frame("sent", &address(to.id()), &data)
}

/// The frame that says that a report is with operators.
pub fn reported(to: &SessionLink, of: Option<&str>) -> Bytes {
    frame("reported", &address(to.id()), &json!({ "of": of }))
}

/// The frame that tells a client where it has joined a group: it hears what comes after this.
pub fn joined(group: Group, position: Position) -> Bytes {
    let Position { epoch, offset } = position;
    frame("joined", &group.to_string(), &json!({ "offset": offset, "epoch": epoch.to_string() }))
}

/// The frame that ends what was recovered.
pub fn recovered(group: Group, messages: usize, is_complete: bool, last: Position) -> Bytes {
    let Position { epoch, offset } = last;
    let data = json!({
        "recovered": is_complete,
        "messages": messages,
        "offset": offset,
        "epoch": epoch.to_string(),
    });
    frame("recovered", &group.to_string(), &data)
}

/// The frame that tells the members of a group that messages are missing: how many, if that is known, and after which
/// place there are others.
pub fn lost(group: Group, messages: Option<u64>, position: Option<Position>) -> Bytes {
    let data = json!({
        "messages": messages,
        "offset": position.map(|position| position.offset),
        "epoch": position.map(|position| position.epoch.to_string()),
    });
    frame("lost", &group.to_string(), &data)
}

fn names<'u>(users: impl IntoIterator<Item = &'u UserId>) -> Vec<String> {
    users.into_iter().map(|user| format!("user:{user}")).collect()
}

/// The frame that says who is present in a group, as far as there is room, and how many.
pub fn presence_state(group: Group, present: &[UserId], most: usize) -> Bytes {
    let data = json!({ "members": names(present.iter().take(most)), "count": present.len() });
    frame("presence_state", &group.to_string(), &data)
}

/// The frame that says how that has changed.
pub fn presence_diff(group: Group, joins: &[UserId], leaves: &[UserId], count: usize) -> Bytes {
    let data = json!({ "joins": names(joins), "leaves": names(leaves), "count": count });
    frame("presence_diff", &group.to_string(), &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_are_read() {
        let room = Group::Room(0xab);
        let to = r#""to":"room:00000000000000ab""#;
        let at = Position { epoch: Epoch(0xcd), offset: 7 };
        let place = r#""offset":7,"epoch":"00000000000000cd""#;
        let report = |which| Asked::Report { to: room, which, reason: "spam".to_owned() };
        for (text, expected) in [
            (format!(r#"{{"type":"leave",{to}}}"#), Asked::Leave { to: room }),
            (
                // What is not known is ignored, and what a client says of itself.
                format!(r#"{{"type":"join",{to},"from":"operator","timestamp":1,"x":[]}}"#),
                Asked::Join { to: room, presence: false, recover: None },
            ),
            (
                format!(r#"{{"type":"join",{to},"data":{{"presence":true,"recover":{{}}}}}}"#),
                Asked::Join { to: room, presence: true, recover: Some(None) },
            ),
            (
                format!(r#"{{"type":"join",{to},"data":{{"recover":{{{place}}}}}}}"#),
                Asked::Join { to: room, presence: false, recover: Some(Some(at)) },
            ),
            (
                format!(r#"{{"type":"recover",{to},"data":{{{place}}}}}"#),
                Asked::Recover { to: room, after: Some(at) },
            ),
            (r#"{"type":"identify"}"#.to_owned(), Asked::Identify { ticket: None }),
            (
                format!(r#"{{"type":"report",{to},"data":{{"message":"a-1","reason":"spam"}}}}"#),
                report(Which::Id("a-1".to_owned())),
            ),
            (
                format!(r#"{{"type":"report",{to},"data":{{"message":7,"reason":"spam"}}}}"#),
                report(Which::Offset(7, None)),
            ),
            (
                r#"{"type":"report","to":"room:00000000000000ab","data":{"message":7,"reason":"spam","epoch":"00000000000000cd"}}"#.to_owned(),
                report(Which::Offset(7, Some(Epoch(0xcd)))),
            ),
        ] {
            assert_eq!(read(&text), Read { id: None, asked: Ok(expected) }, "{text}");
        }
        let Read { id, asked } =
            read(&format!(r#"{{"type":"message","id":"a-1",{to},"data":{{"text":"hi"}}}}"#));
        assert_eq!(id.as_deref(), Some("a-1"));
        let data = json!({ "text": "hi" }).as_object().expect("an object").clone();
        assert_eq!(asked, Ok(Asked::Message { to: room, data }));
    }

    #[test]
    fn bad_envelopes_are_named() {
        let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
        for (text, code) in [
            ("", "bad_json"),
            ("{", "bad_json"),
            ("[]", "bad_json"),
            ("null", "bad_json"),
            (&*deep, "bad_json"),
            (r#"{"type":"leave","to":"tile:1"} x"#, "bad_json"),
            ("{}", "bad_envelope"),
            (r#"{"type":1}"#, "bad_envelope"),
            (r#"{"type":"leave"}"#, "bad_envelope"),
            (r#"{"type":"leave","to":5}"#, "bad_envelope"),
            (r#"{"type":"leave","to":"tile:x"}"#, "bad_address"),
            (r#"{"type":"leave","to":"*"}"#, "bad_address"),
            (r#"{"type":"message","to":"tile:1","data":"x"}"#, "bad_envelope"),
            (r#"{"type":"message","to":"tile:1","id":""}"#, "bad_envelope"),
            (r#"{"type":"message","to":"tile:1","id":"a b"}"#, "bad_envelope"),
            (r#"{"type":"message","to":"tile:1","id":7}"#, "bad_envelope"),
            (r#"{"type":"recover","to":"tile:1","data":{"offset":1}}"#, "bad_envelope"),
            (
                r#"{"type":"recover","to":"tile:1","data":{"offset":-1,"epoch":"00000000000000cd"}}"#,
                "bad_envelope",
            ),
            (r#"{"type":"join","to":"tile:1","data":{"recover":true}}"#, "bad_envelope"),
            (r#"{"type":"report","to":"tile:1","data":{"message":1}}"#, "bad_envelope"),
            (r#"{"type":"report","to":"tile:1","data":{"reason":"x"}}"#, "bad_envelope"),
            (
                r#"{"type":"report","to":"tile:1","data":{"reason":"x","message":-1}}"#,
                "bad_envelope",
            ),
            (
                r#"{"type":"report","to":"tile:1","data":{"reason":"x","message":""}}"#,
                "bad_envelope",
            ),
            (r#"{"type":"notice","to":"tile:1"}"#, "unknown_type"),
            (r#"{"type":"","to":"tile:1"}"#, "unknown_type"),
        ] {
            assert_eq!(read(text).asked.expect_err(text).code(), code, "{text}");
        }
    }

    #[test]
    fn a_message_is_framed_with_its_place_and_time_as_the_server_has_them() {
        let data = json!({ "text": "\"}", "offset": 9 }).as_object().expect("an object").clone();
        let (from, group) = (UserId::new(5).expect("not 0"), Group::Tile(3));
        let position = Position { epoch: Epoch(0xcd), offset: 7 };
        let payload = payload("a", from, None, group, &data);
        let frame = message(&Message { group, position, at_ms: 11, payload });
        let text = &frame[if frame[1] == 126 { 4 } else { 2 }..];
        let read: Value = serde_json::from_slice(text).expect("JSON");
        let expected = json!({
            "type": "message", "id": "a", "from": "user:0000000000000005", "to": "tile:3",
            "data": { "text": "\"}", "offset": 9 },
            "timestamp": 11, "offset": 7, "epoch": "00000000000000cd",
        });
        assert_eq!(read, expected);
    }
}

//! `POST /me`: who I am.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use actors::player::SessionId;
use serde::{Deserialize, Serialize};

use super::answer;
use crate::{
    people::{People, Presented, identity::Identity, request::Command},
    problem::problem,
    wall::now_ms,
};

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The connection that is to become mine.
    connection: Option<String>,
}

/// Who somebody is.
#[derive(Debug, Serialize)]
struct Me {
    /// For others, and in credits.
    user: String,
    /// Makes the connection theirs that was named, within ten seconds.
    ticket: Option<String>,
}

/// Says who somebody is, and makes an identity for whoever has none, or renews an old one.
pub async fn identify(command: Command<Asked>, people: web::Data<People>) -> HttpResponse {
    let Command { from, is_secure, body: Asked { connection } } = command;
    if connection.as_ref().is_some_and(|connection| SessionId::read(connection).is_none()) {
        let text = "connection is the id of an open WebSocket, as its welcome says";
        return problem(StatusCode::UNPROCESSABLE_ENTITY, text);
    }
    let now_ms = now_ms();
    let (identity, is_new) = match from {
        Presented::Valid(identity) if identity.is_old(now_ms) => (identity.renewed(now_ms), true),
        Presented::Valid(identity) => (identity, false),
        Presented::Nobody => (Identity::anonymous(now_ms), true),
        // A new identity would replace one that may well hold.
        Presented::Unknown => return not_now(),
    };
    let value = is_new.then(|| people.seal(&identity));
    let ticket = connection.map(|connection| people.ticket(identity, &connection, now_ms));
    answer(&Me { user: identity.user.to_string(), ticket }, value.as_deref(), is_secure)
}

/// What is needed is away.
fn not_now() -> HttpResponse {
    let mut answer = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "who was signed out is not known yet: come again in a moment",
    );
    answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    answer
}

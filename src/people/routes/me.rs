//! `POST /me`: who I am. `POST /me/logout`: nobody any more.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use actors::player::SessionId;
use serde::{Deserialize, Serialize};

use super::{answer, away, later};
use crate::{
    people::{
        People, Presented, cookie, identity::Identity, repository::revocation::Revocation,
        request::Command,
    },
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
        Presented::Unknown => {
            return later("who was signed out is not known yet: come again in a moment");
        }
    };
    let value = is_new.then(|| people.seal(&identity));
    let ticket = connection.map(|connection| people.ticket(identity, &connection, now_ms));
    answer(&Me { user: identity.user.to_string(), ticket }, value.as_deref(), is_secure)
}

/// What is to end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogOut {
    /// All sign-ins, and not this one alone.
    #[serde(default)]
    everywhere: bool,
}

/// Ends a sign-in, or all of its user. Whoever has none is answered likewise.
pub async fn log_out(command: Command<LogOut>, people: web::Data<People>) -> HttpResponse {
    let identity = match command.from {
        Presented::Valid(identity) => identity,
        Presented::Nobody => return left(command.is_secure),
        Presented::Unknown => {
            return later("the database of people is away: come again in a moment");
        }
    };
    let wanted = match command.body.everywhere {
        true => Revocation::AllCookies,
        false => Revocation::SignIn(identity.sign_in.0),
    };
    match people.into_inner().revoke(identity.user, wanted).await {
        Ok(()) => left(command.is_secure),
        Err(trouble) => away(&trouble),
    }
}

/// The browser forgets who it was.
fn left(is_secure: bool) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header((header::SET_COOKIE, cookie::remove(is_secure)));
    answer.finish()
}

//! `POST /me`: who I am. `POST /me/logout`: nobody any more.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use actors::player::SessionId;
use serde::{Deserialize, Serialize};

use super::{Answer, Refused, answer, known};
use crate::{
    people::{
        People, Presented, accounts::AccountError, cookie, identity::Identity, model::Team,
        repository::revocation::Revocation, request::Command,
    },
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
pub struct Me {
    /// For others, and in credits.
    user: String,
    /// Of the account; none without one, and while the database is away.
    name: Option<String>,
    /// Whether there is an account; unknown while the database is away.
    is_account: Option<bool>,
    /// The team, if there is one and the database is not away.
    team: Option<TeamOfMine>,
    /// Makes the connection theirs that was named, within ten seconds.
    ticket: Option<String>,
}

/// What one's team is called.
#[derive(Debug, Serialize)]
struct TeamOfMine {
    id: String,
    name: String,
    colour: String,
}

impl Me {
    /// Of somebody, with a ticket for `connection`, if one is named.
    pub async fn of(people: &People, identity: Identity, connection: Option<&str>) -> Self {
        let user = identity.user;
        let (is_account, name) = match people.accounts.find(user).await {
            Ok(account) => (Some(true), Some(account.name)),
            Err(AccountError::NoAccount) => (Some(false), None),
            Err(error) => {
                log::debug!("people: {error}");
                (None, None)
            }
        };
        let team = people.groups.team_of(user).await.unwrap_or_else(|error| {
            log::debug!("people: {error}");
            None
        });
        Self {
            user: user.to_string(),
            is_account,
            name,
            team: team.map(|Team { id, name, colour, .. }| TeamOfMine {
                id: id.to_string(),
                name,
                colour,
            }),
            ticket: connection.map(|connection| people.ticket(identity, connection, now_ms())),
        }
    }
}

/// Refuses what cannot be the id of a connection.
///
/// # Errors
/// 422.
pub fn judge_connection(connection: Option<&str>) -> Result<(), Refused> {
    if connection.is_none_or(|connection| SessionId::read(connection).is_some()) {
        return Ok(());
    }
    let text = "connection is the id of an open WebSocket, as its welcome says";
    Err(Refused::new(StatusCode::UNPROCESSABLE_ENTITY, text))
}

/// Says who somebody is, and makes an identity for whoever has none, or renews an old one.
pub async fn identify(command: Command<Asked>, people: web::Data<People>) -> Answer {
    let Command { from, is_secure, body: Asked { connection } } = command;
    judge_connection(connection.as_deref())?;
    let now_ms = now_ms();
    let (identity, is_new) = match from {
        Presented::Valid(identity) if identity.is_old(now_ms) => (identity.renewed(now_ms), true),
        Presented::Valid(identity) => (identity, false),
        Presented::Nobody => (Identity::anonymous(now_ms), true),
        // A new identity would replace one that may well hold.
        Presented::Unknown => return Err(Refused::not_yet()),
    };
    if let Presented::Valid(known) = from
        && let Err(error) = people.accounts.see(known.user, now_ms).await
    {
        // It comes again before it is forgotten.
        log::debug!("people: {error}");
    }
    let value = is_new.then(|| people.seal(&identity));
    let me = Me::of(&people, identity, connection.as_deref()).await;
    Ok(answer(&me, value.as_deref(), is_secure))
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
pub async fn log_out(command: Command<LogOut>, people: web::Data<People>) -> Answer {
    if command.from == Presented::Nobody {
        return Ok(left(command.is_secure));
    }
    let identity = known(command.from)?;
    let wanted = match command.body.everywhere {
        true => Revocation::AllCookies,
        false => Revocation::SignIn(identity.sign_in.0),
    };
    people.into_inner().revoke(identity.user, wanted).await?;
    Ok(left(command.is_secure))
}

/// The browser forgets who it was.
pub fn left(is_secure: bool) -> HttpResponse {
    let mut answer = HttpResponse::NoContent();
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    answer.insert_header((header::SET_COOKIE, cookie::remove(is_secure)));
    answer.finish()
}

//! Accounts: `POST /me/register`, `login`, `reset`, `name`, `password`, `export`, and `DELETE /me`.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use actors::player::UserId;
use serde::Deserialize;

use super::{
    answer, away, known, later,
    me::{Me, judge_connection, left},
    wait,
};
use crate::{
    limits,
    people::{
        People, Presented,
        accounts::{AccountError, Visitor},
        identity::Identity,
        request::Command,
    },
    problem::problem,
    wall::now_ms,
};

/// A name, its password, and the connection that is to become the account's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    name: String,
    password: String,
    connection: Option<String>,
}

/// A name, the code that an operator has made for it, and the new password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    name: String,
    code: String,
    password: String,
    connection: Option<String>,
}

/// The new name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    name: String,
}

/// Both passwords.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    old: String,
    new: String,
    connection: Option<String>,
}

/// The password, to be sure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    password: String,
}

/// Nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Where a request comes from, and who it says it is.
fn visitor(request: &HttpRequest, from: Presented) -> Visitor {
    let visitor =
        *request.extensions().get::<limits::visitor::Visitor>().expect("limits come first");
    Visitor { address: visitor.who().address, identity: from.valid().map(|found| found.user) }
}

/// Begins a sign-in: the answer says who it is and has the browser keep it.
async fn signed_in(
    people: &People,
    user: UserId,
    epoch: u32,
    connection: Option<&str>,
    is_secure: bool,
) -> HttpResponse {
    let identity = Identity::begin(user, epoch, now_ms());
    let value = people.seal(&identity);
    answer(&Me::of(people, identity, connection).await, Some(&value), is_secure)
}

/// Makes an account of whoever asks.
pub async fn register(
    request: HttpRequest,
    command: Command<Credentials>,
    people: web::Data<People>,
) -> HttpResponse {
    let Command { from, is_secure, body: Credentials { name, password, connection } } = command;
    if let Err(refusal) = judge_connection(connection.as_deref()) {
        return refusal;
    }
    let anonymous = visitor(&request, from).identity;
    match people.accounts.register(anonymous, &name, &password, now_ms()).await {
        Ok(signed) => {
            signed_in(&people, signed.user, signed.epoch, connection.as_deref(), is_secure).await
        }
        Err(error) => refusal(&error),
    }
}

/// Logs into an account.
pub async fn log_in(
    request: HttpRequest,
    command: Command<Credentials>,
    people: web::Data<People>,
) -> HttpResponse {
    let Command { from, is_secure, body: Credentials { name, password, connection } } = command;
    if let Err(refusal) = judge_connection(connection.as_deref()) {
        return refusal;
    }
    let visitor = visitor(&request, from);
    match people.accounts.log_in(&visitor, &name, &password, now_ms()).await {
        Ok(signed) => {
            signed_in(&people, signed.user, signed.epoch, connection.as_deref(), is_secure).await
        }
        Err(error) => refusal(&error),
    }
}

/// Sets a new password by a code, and logs in.
pub async fn reset(
    request: HttpRequest,
    command: Command<Reset>,
    people: web::Data<People>,
) -> HttpResponse {
    let Command { from, is_secure, body: Reset { name, code, password, connection } } = command;
    if let Err(refusal) = judge_connection(connection.as_deref()) {
        return refusal;
    }
    let visitor = visitor(&request, from);
    match people.accounts.redeem(&visitor, &name, &code, &password, now_ms()).await {
        Ok(signed) => {
            signed_in(&people, signed.user, signed.epoch, connection.as_deref(), is_secure).await
        }
        Err(error) => refusal(&error),
    }
}

/// Gives an account another name.
pub async fn rename(command: Command<Rename>, people: web::Data<People>) -> HttpResponse {
    let identity = match known(command.from) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    match people.accounts.rename(identity.user, &command.body.name, now_ms()).await {
        Ok(()) => answer(&Me::of(&people, identity, None).await, None, command.is_secure),
        Err(error) => refusal(&error),
    }
}

/// Sets another password: all sign-ins end but the one that begins with the answer.
pub async fn change_password(
    request: HttpRequest,
    command: Command<NewPassword>,
    people: web::Data<People>,
) -> HttpResponse {
    let Command { from, is_secure, body: NewPassword { old, new, connection } } = command;
    let identity = match judge_connection(connection.as_deref()).and_then(|()| known(from)) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let (people, visitor) = (people.into_inner(), visitor(&request, from));
    let changed =
        people.accounts.change_password(&visitor, identity.user, &old, &new, now_ms()).await;
    match changed {
        Ok(row) => {
            people.revoked_now(row).await;
            let epoch = row.epoch.unwrap_or_default();
            signed_in(&people, identity.user, epoch, connection.as_deref(), is_secure).await
        }
        Err(error) => refusal(&error),
    }
}

/// Deletes an account.
pub async fn delete(
    request: HttpRequest,
    command: Command<Delete>,
    people: web::Data<People>,
) -> HttpResponse {
    let Command { from, is_secure, body: Delete { password } } = command;
    let identity = match known(from) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    let (people, visitor) = (people.into_inner(), visitor(&request, from));
    match people.accounts.delete(&visitor, identity.user, &password, now_ms()).await {
        Ok(row) => {
            people.revoked_now(row).await;
            left(is_secure)
        }
        Err(error) => refusal(&error),
    }
}

/// All that is kept about whoever asks.
pub async fn export(command: Command<Nothing>, people: web::Data<People>) -> HttpResponse {
    let identity = match known(command.from) {
        Ok(identity) => identity,
        Err(refusal) => return refusal,
    };
    match people.accounts.export(identity.user).await {
        Ok(export) => {
            let mut answer = answer(&export, None, command.is_secure);
            let name = HeaderValue::from_static("attachment; filename=\"billion-me.json\"");
            answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            answer
        }
        Err(error) => refusal(&error),
    }
}

/// What an error of the service is over HTTP.
fn refusal(error: &AccountError) -> HttpResponse {
    let status = match error {
        AccountError::Database(trouble) => return away(trouble),
        AccountError::Busy(busy) => return later(&busy.to_string()),
        AccountError::TooSoon(time) => {
            return wait(StatusCode::TOO_MANY_REQUESTS, &error.to_string(), *time);
        }
        AccountError::Name(_) | AccountError::Password(_) => StatusCode::UNPROCESSABLE_ENTITY,
        AccountError::NameTaken => StatusCode::CONFLICT,
        // One that has none is as wrong as one that does not know the password.
        AccountError::Wrong | AccountError::NoAccount => StatusCode::UNAUTHORIZED,
        AccountError::Banned => StatusCode::FORBIDDEN,
    };
    problem(status, &error.to_string())
}

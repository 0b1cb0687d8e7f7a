//! Accounts: `POST /me/register`, `login`, `reset`, `name`, `password`, `export`, and `DELETE /me`.

use actix_web::{
    HttpMessage as _, HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web,
};
use actors::player::UserId;
use serde::Deserialize;

use super::{
    Answer, Nothing, answer, known,
    me::{Me, judge_connection, left},
};
use crate::{
    limits,
    people::{People, Presented, accounts::Visitor, identity::Identity, request::Command},
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

/// Where a request comes from, and who it says it is.
fn visitor(request: &HttpRequest, from: Presented) -> Visitor {
    let visitor =
        *request.extensions().get::<limits::visitor::Visitor>().expect("limits come first");
    Visitor { address: visitor.who().address, identity: from.valid().map(|found| found.user) }
}

/// Begins a sign-in: the answer says who it is and has the browser keep it.
async fn signed_in(
    people: &People,
    (user, epoch): (UserId, u32),
    connection: Option<&str>,
    is_secure: bool,
) -> HttpResponse {
    let identity = Identity::begin(user, epoch, now_ms());
    let value = people.seal(&identity);
    answer(&Me::of(people, identity, connection).await, Some(&value), is_secure)
}

/// Makes an account of whoever asks.
pub async fn register(command: Command<Credentials>, people: web::Data<People>) -> Answer {
    let Command { from, is_secure, body: Credentials { name, password, connection } } = command;
    judge_connection(connection.as_deref())?;
    let anonymous = from.valid().map(|identity| identity.user);
    let signed = people.accounts.register(anonymous, &name, &password, now_ms()).await?;
    let who = (signed.user, signed.epoch);
    Ok(signed_in(&people, who, connection.as_deref(), is_secure).await)
}

/// Logs into an account.
pub async fn log_in(
    request: HttpRequest,
    command: Command<Credentials>,
    people: web::Data<People>,
) -> Answer {
    let Command { from, is_secure, body: Credentials { name, password, connection } } = command;
    judge_connection(connection.as_deref())?;
    let visitor = visitor(&request, from);
    let signed = people.accounts.log_in(&visitor, &name, &password, now_ms()).await?;
    let who = (signed.user, signed.epoch);
    Ok(signed_in(&people, who, connection.as_deref(), is_secure).await)
}

/// Sets a new password by a code, and logs in.
pub async fn reset(
    request: HttpRequest,
    command: Command<Reset>,
    people: web::Data<People>,
) -> Answer {
    let Command { from, is_secure, body: Reset { name, code, password, connection } } = command;
    judge_connection(connection.as_deref())?;
    let visitor = visitor(&request, from);
    let signed = people.accounts.redeem(&visitor, &name, &code, &password, now_ms()).await?;
    let who = (signed.user, signed.epoch);
    Ok(signed_in(&people, who, connection.as_deref(), is_secure).await)
}

/// Gives an account another name.
pub async fn rename(command: Command<Rename>, people: web::Data<People>) -> Answer {
    let identity = known(command.from)?;
    people.accounts.rename(identity.user, &command.body.name, now_ms()).await?;
    Ok(answer(&Me::of(&people, identity, None).await, None, command.is_secure))
}

/// Sets another password: all sign-ins end but the one that begins with the answer.
pub async fn change_password(
    request: HttpRequest,
    command: Command<NewPassword>,
    people: web::Data<People>,
) -> Answer {
    let Command { from, is_secure, body: NewPassword { old, new, connection } } = command;
    judge_connection(connection.as_deref())?;
    let user = known(from)?.user;
    let (people, visitor) = (people.into_inner(), visitor(&request, from));
    let row = people.accounts.change_password(&visitor, user, &old, &new, now_ms()).await?;
    people.revoked_now(row).await;
    let who = (user, row.epoch.unwrap_or_default());
    Ok(signed_in(&people, who, connection.as_deref(), is_secure).await)
}

/// Deletes an account.
pub async fn delete(
    request: HttpRequest,
    command: Command<Delete>,
    people: web::Data<People>,
) -> Answer {
    let Command { from, is_secure, body: Delete { password } } = command;
    let user = known(from)?.user;
    let (people, visitor) = (people.into_inner(), visitor(&request, from));
    let row = people.accounts.delete(&visitor, user, &password, now_ms()).await?;
    people.revoked_now(row).await;
    Ok(left(is_secure))
}

/// All that is kept about whoever asks.
pub async fn export(command: Command<Nothing>, people: web::Data<People>) -> Answer {
    let export = people.accounts.export(known(command.from)?.user).await?;
    let mut answer = answer(&export, None, command.is_secure);
    let name = HeaderValue::from_static("attachment; filename=\"billion-me.json\"");
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(answer)
}

//! `POST /ws/disconnect`, `POST` and `DELETE /people/bans`: ending all connections of a user, and keeping one out.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{node::Node, player::UserId};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    connections::{AskedToEnd, Ended, NO_USER, end_one, judge_close},
    door::Caller,
    judge_reason,
};
use crate::{
    database::Trouble,
    object::Object,
    operators::{EndConnection, EndUser, Operators},
    people::{People, groups::GroupError, repository::revocation::Revocation},
    problem::problem,
    routes::query::{expect_only, text},
};

/// Whose connections are to end.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[schema(as = Disconnect)]
pub enum Wanted {
    /// All of a user.
    User(OfUser),
    /// One.
    One(One),
}

/// All connections of a user are to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DisconnectUser)]
pub struct OfUser {
    /// Which user.
    #[schema(examples("00abcdef01234567"))]
    user: String,
    /// Whether all of its cookies are void from now on: it has to log in again, and without an account it is somebody
    /// new. Its connections end with 1008 `signed out` then.
    #[serde(default)]
    sign_out: bool,
    /// The code of each Close: 1001, 1008, 1012 or 1013; without it 1008. Not with `sign_out`.
    #[schema(minimum = 1001, maximum = 1013)]
    code: Option<u32>,
    /// What clients are sent: one line of 1 to 123 bytes. Not with `sign_out`.
    #[schema(examples("come back at noon"))]
    reason: Option<String>,
}

/// One connection is to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DisconnectOne)]
pub struct One {
    /// As `GET /connections` has it.
    #[schema(examples("5e1f09ab-17"))]
    connection: String,
    /// The code of its Close: 1001, 1008, 1012 or 1013; without it 1008.
    #[schema(minimum = 1001, maximum = 1013)]
    code: Option<u32>,
    /// What its client is sent: one line of 1 to 123 bytes.
    #[schema(examples("come back at noon"))]
    reason: Option<String>,
}

impl<'de> Deserialize<'de> for Wanted {
    /// By the field that only one form has, so that a mistake in it is named.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let is_one = fields.contains_key("connection");
        let fields = Value::Object(fields);
        let read = if is_one {
            serde_json::from_value(fields).map(Self::One)
        } else {
            serde_json::from_value(fields).map(Self::User)
        };
        read.map_err(D::Error::custom)
    }
}

/// Connections of a user have been ended on this node, and the other nodes were asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserDisconnected)]
pub struct UserEnded {
    /// Which user.
    user: String,
    /// Whether its cookies are void.
    signed_out: bool,
}

/// What is answered to each form.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Disconnected)]
#[expect(dead_code, reason = "describes answers that are made one by one")]
pub enum Done {
    /// All of a user.
    User(UserEnded),
    /// One.
    One(Ended),
}

/// Who is to be kept out.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    /// Which user.
    #[schema(examples("00abcdef01234567"))]
    user: String,
    /// For the audit: one line.
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1f\x7f-\x9f]*$", examples("insults"))]
    reason: String,
}

/// Whether a user is kept out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ban {
    /// Which user.
    user: String,
    /// Whether it is.
    banned: bool,
}

/// The user that a body names.
///
/// # Errors
/// The answer if it names none (422).
pub fn named(text: &str) -> Result<UserId, HttpResponse> {
    UserId::read(text).ok_or_else(|| problem(StatusCode::UNPROCESSABLE_ENTITY, NO_USER))
}

/// The user that a query names, and nothing else.
///
/// # Errors
/// The answer if it does not (400).
pub fn in_query(query: &str) -> Result<UserId, HttpResponse> {
    let user = expect_only(query, &["user"]).and_then(|()| text(query, "user"));
    let user = user.map_err(|why| problem(StatusCode::BAD_REQUEST, why.trim_end()))?;
    let user = user.as_deref().and_then(UserId::read);
    user.ok_or_else(|| problem(StatusCode::BAD_REQUEST, &format!("name one user: {NO_USER}")))
}

/// The database was not of help (503).
fn away(trouble: &Trouble) -> HttpResponse {
    problem(StatusCode::SERVICE_UNAVAILABLE, &format!("come again in a moment: {trouble}"))
}

/// Why a group did not do something, to an operator.
pub fn refusal(error: &GroupError) -> HttpResponse {
    let status = match error {
        GroupError::Database(trouble) => return away(trouble),
        GroupError::NoAccount => {
            let text = "the maker of a room has an account, and this user has none";
            return problem(StatusCode::UNPROCESSABLE_ENTITY, text);
        }
        GroupError::TooManyRooms => {
            return problem(StatusCode::CONFLICT, "this user is in as many rooms as can be");
        }
        GroupError::Unknown => {
            return problem(
                StatusCode::NOT_FOUND,
                "there is no such room, or this user is not in it",
            );
        }
        GroupError::Name(_) | GroupError::Colour | GroupError::TooLong => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        GroupError::NameTaken
        | GroupError::InTeam
        | GroupError::NotMaker
        | GroupError::Full
        | GroupError::TooManyReports => StatusCode::CONFLICT,
    };
    problem(status, &error.to_string())
}

/// Ends all connections of a user, on all nodes, or one connection.
///
/// Whoever was ended may connect again, unless it is signed out or banned.
#[utoipa::path(
    post, path = "/ws/disconnect", tag = "people", operation_id = "disconnect",
    request_body = Wanted,
    responses(
        (status = 200, description = "Those of this node have been sent word, and the other nodes were asked.", body = Done),
        (status = 202, description = "The one connection is of another node, which has been asked to end it.", body = AskedToEnd),
        (status = 404, description = "This is no id of a connection of a node that is there, or the connection has ended."),
        Unmade,
    ),
)]
pub async fn disconnect(
    caller: Caller,
    wanted: web::Json<Wanted>,
    node: web::Data<Node>,
    operators: web::Data<Operators>,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    match wanted.into_inner() {
        Wanted::One(One { connection, code, reason }) => match judge_close(code, reason) {
            Ok((code, reason)) => {
                let end = EndConnection { id: connection, code, reason };
                end_one(&caller, end, &node, &operators, &change).await
            }
            Err(why) => problem(StatusCode::UNPROCESSABLE_ENTITY, &why),
        },
        Wanted::User(OfUser { user, sign_out: true, code: None, reason: None }) => {
            sign_out(&caller, &user, people, &change).await
        }
        Wanted::User(OfUser { sign_out: true, .. }) => {
            let text = "who is signed out is sent 1008 `signed out`: leave out code and reason";
            problem(StatusCode::UNPROCESSABLE_ENTITY, text)
        }
        Wanted::User(OfUser { user, code, reason, .. }) => {
            let judged = named(&user).and_then(|_| {
                judge_close(code, reason)
                    .map_err(|why| problem(StatusCode::UNPROCESSABLE_ENTITY, &why))
            });
            let (code, reason) = match judged {
                Ok(judged) => judged,
                Err(refusal) => return refusal,
            };
            let end = EndUser { user, code, reason };
            let what = json!({ "user": end.user, "code": end.code, "reason": end.reason });
            let make = async || operators.end_user(&end).await;
            match change.make(&caller, "user.end", what, make).await {
                Ok(()) => HttpResponse::Ok().json(UserEnded { user: end.user, signed_out: false }),
                Err(refusal) => refusal,
            }
        }
    }
}

async fn sign_out(
    caller: &Caller,
    user: &str,
    people: web::Data<People>,
    change: &Change,
) -> HttpResponse {
    let user = match named(user) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    match revoke(caller, "user.sign_out", "", user, Revocation::AllCookies, people, change).await {
        Ok(()) => HttpResponse::Ok().json(UserEnded { user: user.to_string(), signed_out: true }),
        Err(refusal) => refusal,
    }
}

async fn revoke(
    caller: &Caller,
    action: &str,
    reason: &str,
    user: UserId,
    wanted: Revocation,
    people: web::Data<People>,
    change: &Change,
) -> Result<(), HttpResponse> {
    let people = people.into_inner();
    let mut what = json!({ "user": user.to_string() });
    if !reason.is_empty() {
        what["reason"] = reason.into();
    }
    let make = async || people.revoke(user, wanted).await;
    change
        .attempt(caller, action, what, make)
        .await
        .map_err(|failed| failed.answer(|error| away(&error)))
}

/// Keeps a user out, on all nodes.
///
/// Its cookies are void, its connections end with 1008 `blocked`, and its account does not log in. It may play on as
/// somebody else: to keep an address out there is `POST /blocks`.
#[utoipa::path(
    post, path = "/people/bans", tag = "people", operation_id = "ban",
    request_body = NewBan,
    responses((status = 200, description = "It is in force on this node, and on all others within a second.", body = Ban), Unmade),
)]
pub async fn ban(
    caller: Caller,
    wanted: web::Json<Object<NewBan>>,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    let NewBan { user, reason } = wanted.into_inner().0;
    if let Err(why) = judge_reason(&reason) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &why);
    }
    let user = match named(&user) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    match revoke(&caller, "ban", &reason, user, Revocation::Ban, people, &change).await {
        Ok(()) => HttpResponse::Ok().json(Ban { user: user.to_string(), banned: true }),
        Err(refusal) => refusal,
    }
}

/// Lets a user in again.
///
/// Its cookies stay void: it logs in, or is somebody new.
#[utoipa::path(
    delete, path = "/people/bans", tag = "people", operation_id = "unban",
    params(("user" = String, Query, description = "Which user", example = "00abcdef01234567")),
    responses(
        (status = 200, description = "It is in force on this node, and on all others within a second.", body = Ban),
        (status = 400, description = "The query names no user, or something else."),
        (status = 404, description = "This user is not banned."),
        Unmade,
    ),
)]
pub async fn unban(
    caller: Caller,
    request: HttpRequest,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    let user = match in_query(request.query_string()) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    match people.is_banned(user).await {
        Ok(true) => {}
        Ok(false) => return problem(StatusCode::NOT_FOUND, "this user is not banned"),
        Err(trouble) => return away(&trouble),
    }
    match revoke(&caller, "unban", "", user, Revocation::Unban, people, &change).await {
        Ok(()) => HttpResponse::Ok().json(Ban { user: user.to_string(), banned: false }),
        Err(refusal) => refusal,
    }
}

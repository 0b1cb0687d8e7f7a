//! `POST /rooms`, `GET /rooms/{id}`, `POST` and `DELETE /rooms/{id}/members`: rooms, who is in them, and putting
//! somebody in or out.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actors::{channels::Group, player::UserId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{
    change::{Change, Unmade},
    door::Caller,
    people::{named, refusal},
};
use crate::{
    object::Object,
    people::{
        People,
        groups::GroupError,
        model::{GroupId, Room},
    },
    problem::problem,
    wall::now_ms,
};

/// A room that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    /// 2 to 24 letters and digits of any script, single spaces inside, `-`, `_` and `.`.
    #[schema(examples("Foxes"))]
    name: String,
    /// The user who makes it and is its first member: one with an account.
    #[schema(examples("00abcdef01234567"))]
    maker: String,
}

/// Somebody who is to be in a room.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoomMember {
    /// Which user.
    #[schema(examples("00abcdef01234567"))]
    user: String,
}

/// A room, as operators see it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Room)]
pub struct Shown {
    /// Which.
    #[schema(examples("0123456789abcdef"))]
    id: String,
    /// What it is called.
    name: String,
    /// Who has made it, or was its member of longest standing when the maker left.
    maker: Option<String>,
    /// When it was made, in milliseconds since 1970 (UTC).
    created_ms: u64,
    /// Those of longest standing first.
    members: Vec<RoomMember>,
}

/// Somebody in a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoomMember {
    /// Which user.
    user: String,
    /// Null without an account.
    name: Option<String>,
    /// Since when, in milliseconds since 1970 (UTC).
    since_ms: u64,
}

/// Somebody is not in a room any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemovedRoomMember)]
pub struct Removed {
    /// Which user.
    removed: String,
}

const NO_ROOM: &str = "there is no such room";

async fn shown(people: &People, room: Room) -> Result<Shown, GroupError> {
    let members = people.groups.room_members(room.id).await?.into_iter();
    let members = members.map(|member| RoomMember {
        user: member.user.to_string(),
        name: member.name,
        since_ms: member.since_ms,
    });
    Ok(Shown {
        id: room.id.to_string(),
        name: room.name,
        maker: room.maker.map(|maker| maker.to_string()),
        created_ms: room.created_ms,
        members: members.collect(),
    })
}

async fn answer(people: &People, room: Room) -> HttpResponse {
    match shown(people, room).await {
        Ok(shown) => HttpResponse::Ok().json(shown),
        Err(error) => refusal(&error),
    }
}

/// Makes a room for a user with an account.
#[utoipa::path(
    post, path = "/rooms", tag = "people", operation_id = "createRoom",
    request_body = NewRoom,
    responses(
        (status = 200, description = "It is made.", body = Shown),
        (status = 409, description = "The user is in as many rooms as can be."),
        Unmade,
    ),
)]
pub async fn create(
    caller: Caller,
    wanted: web::Json<Object<NewRoom>>,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    let NewRoom { name, maker } = wanted.into_inner().0;
    let maker = match named(&maker) {
        Ok(maker) => maker,
        Err(refusal) => return refusal,
    };
    let what = json!({ "name": name, "maker": maker.to_string() });
    let make = async || people.groups.create_room(maker, &name, now_ms()).await;
    match change.attempt(&caller, "room", what, make).await {
        Ok(room) => answer(&people, room).await,
        Err(failed) => failed.answer(|error| refusal(&error)),
    }
}

/// Shows a room and who is in it.
#[utoipa::path(
    get, path = "/rooms/{id}", tag = "people", operation_id = "showRoom",
    params(("id" = String, Path, description = "16 hexadecimal digits", example = "0123456789abcdef")),
    responses(
        (status = 200, description = "The room.", body = Shown),
        (status = 404, description = "There is no such room."),
        (status = 503, description = "The database of people is away."),
    ),
)]
pub async fn show(id: web::Path<String>, people: web::Data<People>) -> HttpResponse {
    let Some(id) = GroupId::read(&id) else { return problem(StatusCode::NOT_FOUND, NO_ROOM) };
    match people.groups.room(id).await {
        Ok(Some(room)) => answer(&people, room).await,
        Ok(None) => problem(StatusCode::NOT_FOUND, NO_ROOM),
        Err(error) => refusal(&error),
    }
}

/// Puts a user into a room, with or without an account.
#[utoipa::path(
    post, path = "/rooms/{id}/members", tag = "people", operation_id = "addRoomMember",
    params(("id" = String, Path, description = "16 hexadecimal digits", example = "0123456789abcdef")),
    request_body = NewRoomMember,
    responses(
        (status = 200, description = "The user is in it, as it may have been before.", body = Shown),
        (status = 404, description = "There is no such room."),
        (status = 409, description = "The room is full, or the user is in as many rooms as can be."),
        Unmade,
    ),
)]
pub async fn add(
    caller: Caller,
    id: web::Path<String>,
    wanted: web::Json<Object<NewRoomMember>>,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    let user = match named(&wanted.0.0.user) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    let Some(id) = GroupId::read(&id) else { return problem(StatusCode::NOT_FOUND, NO_ROOM) };
    let what = json!({ "room": id.to_string(), "user": user.to_string() });
    let make = async || people.groups.add_to_room(user, id, now_ms()).await;
    match change.attempt(&caller, "room.add", what, make).await {
        Ok(room) => answer(&people, room).await,
        Err(failed) => failed.answer(|error| refusal(&error)),
    }
}

/// Takes a user out of a room.
///
/// Its connections hear no more of the room, on all nodes. A room ends with its last member.
#[utoipa::path(
    delete, path = "/rooms/{id}/members", tag = "people", operation_id = "removeRoomMember",
    params(
        ("id" = String, Path, description = "16 hexadecimal digits", example = "0123456789abcdef"),
        ("user" = String, Query, description = "Which user", example = "00abcdef01234567"),
    ),
    responses(
        (status = 200, description = "The user is out.", body = Removed),
        (status = 400, description = "The query names no user, or something else."),
        (status = 404, description = "There is no such room, or the user is not in it."),
        Unmade,
    ),
)]
pub async fn remove(
    caller: Caller,
    id: web::Path<String>,
    request: HttpRequest,
    people: web::Data<People>,
    change: web::Data<Change>,
) -> HttpResponse {
    let user: UserId = match super::people::in_query(request.query_string()) {
        Ok(user) => user,
        Err(refusal) => return refusal,
    };
    let Some(id) = GroupId::read(&id) else { return problem(StatusCode::NOT_FOUND, NO_ROOM) };
    let what = json!({ "room": id.to_string(), "user": user.to_string() });
    let make = async || people.groups.leave_room(user, id).await;
    match change.attempt(&caller, "room.remove", what, make).await {
        Ok(()) => {
            people.left(user, Group::Room(id.get())).await;
            HttpResponse::Ok().json(Removed { removed: user.to_string() })
        }
        Err(failed) => failed.answer(|error| refusal(&error)),
    }
}

//! Rows of rooms and their members.

use actors::player::UserId;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait,
    DatabaseTransaction, DbErr, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::{named, number, user as user_of};
use crate::{
    database::entities::{room, room_member},
    people::model::{GroupId, Member, Room},
};

fn read(row: room::Model) -> Result<Room, DbErr> {
    Ok(Room {
        id: super::group(row.id)?,
        name: row.name,
        maker: row.maker.map(user_of).transpose()?,
        invite: row.invite,
        created_ms: row.created_ms.cast_unsigned(),
    })
}

/// Adds a room without members.
///
/// # Errors
/// What the database says.
pub async fn insert(transaction: &DatabaseTransaction, room: &Room) -> Result<(), DbErr> {
    let row = room::Model {
        id: room.id.get().cast_signed(),
        name: room.name.clone(),
        maker: room.maker.map(number),
        invite: room.invite.clone(),
        created_ms: room.created_ms.cast_signed(),
    };
    let row = row.into_active_model().reset_all();
    room::Entity::insert(row).exec_without_returning(transaction).await.map(|_| ())
}

/// A room, if there is one.
///
/// # Errors
/// What the database says.
pub async fn find(connection: &impl ConnectionTrait, id: GroupId) -> Result<Option<Room>, DbErr> {
    room::Entity::find_by_id(id.get().cast_signed()).one(connection).await?.map(read).transpose()
}

/// A room; no other transaction changes its members before this one ends.
///
/// # Errors
/// What the database says.
pub async fn lock(transaction: &DatabaseTransaction, id: GroupId) -> Result<Option<Room>, DbErr> {
    let found = room::Entity::find_by_id(id.get().cast_signed()).lock_exclusive();
    found.one(transaction).await?.map(read).transpose()
}

/// Likewise, the one that an invite is for.
///
/// # Errors
/// What the database says.
pub async fn lock_by_invite(
    transaction: &DatabaseTransaction,
    invite: &str,
) -> Result<Option<Room>, DbErr> {
    let found = room::Entity::find().filter(room::Column::Invite.eq(invite)).lock_exclusive();
    found.one(transaction).await?.map(read).transpose()
}

/// The rooms of a player, and since when.
///
/// # Errors
/// What the database says.
pub async fn of(
    connection: &impl ConnectionTrait,
    user: UserId,
) -> Result<Vec<(Room, u64)>, DbErr> {
    let rows = room_member::Entity::find()
        .filter(room_member::Column::Player.eq(number(user)))
        .order_by_asc(room_member::Column::SinceMs)
        .order_by_asc(room_member::Column::Room)
        .all(connection)
        .await?;
    let ids = rows.iter().map(|row| row.room);
    let rooms = room::Entity::find().filter(room::Column::Id.is_in(ids)).all(connection).await?;
    let room = |row: &room_member::Model| {
        let room = rooms.iter().find(|room| room.id == row.room)?.clone();
        Some(read(room).map(|room| (room, row.since_ms.cast_unsigned())))
    };
    rows.iter().filter_map(room).collect()
}

/// Whether a player is in a room.
///
/// # Errors
/// What the database says.
pub async fn has(
    connection: &impl ConnectionTrait,
    id: GroupId,
    user: UserId,
) -> Result<bool, DbErr> {
    let key = (id.get().cast_signed(), number(user));
    Ok(room_member::Entity::find_by_id(key).one(connection).await?.is_some())
}

/// How many members a room has.
///
/// # Errors
/// What the database says.
pub async fn count(connection: &impl ConnectionTrait, id: GroupId) -> Result<u64, DbErr> {
    let of_room = room_member::Column::Room.eq(id.get().cast_signed());
    room_member::Entity::find().filter(of_room).count(connection).await
}

/// Adds a member.
///
/// # Errors
/// What the database says; a clash of keys if it is in the room.
pub async fn add(
    transaction: &DatabaseTransaction,
    id: GroupId,
    user: UserId,
    now_ms: u64,
) -> Result<(), DbErr> {
    let row = room_member::ActiveModel {
        room: Set(id.get().cast_signed()),
        player: Set(number(user)),
        since_ms: Set(now_ms.cast_signed()),
    };
    room_member::Entity::insert(row).exec_without_returning(transaction).await.map(|_| ())
}

/// Takes a player out; whether it was in.
///
/// # Errors
/// What the database says.
pub async fn remove(
    transaction: &DatabaseTransaction,
    id: GroupId,
    user: UserId,
) -> Result<bool, DbErr> {
    let key = (id.get().cast_signed(), number(user));
    let removed = room_member::Entity::delete_by_id(key).exec(transaction).await?;
    Ok(removed.rows_affected > 0)
}

/// Members, those of longest standing first.
///
/// # Errors
/// What the database says.
pub async fn members(
    connection: &impl ConnectionTrait,
    id: GroupId,
    limit: u64,
) -> Result<Vec<Member>, DbErr> {
    let rows = room_member::Entity::find()
        .filter(room_member::Column::Room.eq(id.get().cast_signed()))
        .order_by_asc(room_member::Column::SinceMs)
        .order_by_asc(room_member::Column::Player)
        .limit(limit)
        .all(connection)
        .await?;
    named(connection, rows.into_iter().map(|row| (row.player, row.since_ms)).collect()).await
}

/// Sets another maker.
///
/// # Errors
/// What the database says.
pub async fn set_maker(
    transaction: &DatabaseTransaction,
    id: GroupId,
    maker: UserId,
) -> Result<(), DbErr> {
    let row = room::ActiveModel {
        id: Set(id.get().cast_signed()),
        maker: Set(Some(number(maker))),
        ..Default::default()
    };
    room::Entity::update(row).exec(transaction).await.map(|_| ())
}

/// Removes a room without members.
///
/// # Errors
/// What the database says.
pub async fn delete(transaction: &DatabaseTransaction, id: GroupId) -> Result<(), DbErr> {
    room::Entity::delete_by_id(id.get().cast_signed()).exec(transaction).await.map(|_| ())
}

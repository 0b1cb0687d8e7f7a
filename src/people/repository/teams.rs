//! Rows of teams and their members.

use actors::player::UserId;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait,
    DatabaseTransaction, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use super::{named, number, user as user_of};
use crate::{
    database::entities::{team, team_day_total, team_member},
    people::model::{GroupId, Member, Team},
};

/// A team as services have it.
///
/// # Errors
/// If the row has what cannot be one.
pub fn read(row: team::Model) -> Result<Team, DbErr> {
    Ok(Team {
        id: super::group(row.id)?,
        name: row.name,
        colour: row.colour,
        maker: row.maker.map(user_of).transpose()?,
        invite: row.invite,
        created_ms: row.created_ms.cast_unsigned(),
    })
}

/// Adds a team without members.
///
/// # Errors
/// What the database says; a clash of keys if the name is another team's.
pub async fn insert(
    transaction: &DatabaseTransaction,
    team: &Team,
    folded: String,
) -> Result<(), DbErr> {
    let row = team::Model {
        id: team.id.get().cast_signed(),
        name: team.name.clone(),
        folded,
        colour: team.colour.clone(),
        maker: team.maker.map(number),
        invite: team.invite.clone(),
        created_ms: team.created_ms.cast_signed(),
    };
    let row = row.into_active_model().reset_all();
    team::Entity::insert(row).exec_without_returning(transaction).await.map(|_| ())
}

/// Writes name, colour, maker and invite.
///
/// # Errors
/// As [`insert`].
pub async fn update(
    transaction: &DatabaseTransaction,
    team: &Team,
    folded: String,
) -> Result<(), DbErr> {
    let row = team::ActiveModel {
        id: Set(team.id.get().cast_signed()),
        name: Set(team.name.clone()),
        folded: Set(folded),
        colour: Set(team.colour.clone()),
        maker: Set(team.maker.map(number)),
        invite: Set(team.invite.clone()),
        ..Default::default()
    };
    team::Entity::update(row).exec(transaction).await.map(|_| ())
}

/// A team; no other transaction changes it or its members before this one ends.
///
/// # Errors
/// What the database says.
pub async fn lock(transaction: &DatabaseTransaction, id: GroupId) -> Result<Option<Team>, DbErr> {
    let found = team::Entity::find_by_id(id.get().cast_signed()).lock_exclusive();
    found.one(transaction).await?.map(read).transpose()
}

/// A team.
///
/// # Errors
/// What the database says.
pub async fn find(connection: &impl ConnectionTrait, id: GroupId) -> Result<Option<Team>, DbErr> {
    let found = team::Entity::find_by_id(id.get().cast_signed()).one(connection).await?;
    found.map(read).transpose()
}

/// First checks of a team's members, each while it was one, of all days.
///
/// # Errors
/// What the database says.
pub async fn total(connection: &impl ConnectionTrait, id: GroupId) -> Result<u64, DbErr> {
    let days = team_day_total::Entity::find()
        .filter(team_day_total::Column::Team.eq(id.get().cast_signed()))
        .all(connection)
        .await?;
    Ok(days.iter().map(|day| day.checks.cast_unsigned()).sum())
}

/// Likewise, the one that an invite is for.
///
/// # Errors
/// What the database says.
pub async fn lock_by_invite(
    transaction: &DatabaseTransaction,
    invite: &str,
) -> Result<Option<Team>, DbErr> {
    let found = team::Entity::find().filter(team::Column::Invite.eq(invite)).lock_exclusive();
    found.one(transaction).await?.map(read).transpose()
}

/// Which team has a folded name.
///
/// # Errors
/// What the database says.
pub async fn by_name(
    connection: &impl ConnectionTrait,
    folded: &str,
) -> Result<Option<GroupId>, DbErr> {
    let found =
        team::Entity::find().filter(team::Column::Folded.eq(folded)).one(connection).await?;
    found.map(|row| super::group(row.id)).transpose()
}

/// The team of a player, and since when.
///
/// # Errors
/// What the database says.
pub async fn of(
    connection: &impl ConnectionTrait,
    user: UserId,
) -> Result<Option<(Team, u64)>, DbErr> {
    let member = team_member::Entity::find_by_id(number(user)).one(connection).await?;
    let Some(member) = member else { return Ok(None) };
    let team = team::Entity::find_by_id(member.team).one(connection).await?;
    Ok(team.map(read).transpose()?.map(|team| (team, member.since_ms.cast_unsigned())))
}

/// Adds a member.
///
/// # Errors
/// What the database says; a clash of keys if it is in a team.
pub async fn add(
    transaction: &DatabaseTransaction,
    id: GroupId,
    user: UserId,
    now_ms: u64,
) -> Result<(), DbErr> {
    let row = team_member::ActiveModel {
        player: Set(number(user)),
        team: Set(id.get().cast_signed()),
        since_ms: Set(now_ms.cast_signed()),
    };
    team_member::Entity::insert(row).exec_without_returning(transaction).await.map(|_| ())
}

/// Takes a player out of whatever team it is in.
///
/// # Errors
/// What the database says.
pub async fn remove(transaction: &DatabaseTransaction, user: UserId) -> Result<(), DbErr> {
    team_member::Entity::delete_by_id(number(user)).exec(transaction).await.map(|_| ())
}

/// Members, those of longest standing first, so many at most.
///
/// # Errors
/// What the database says.
pub async fn members(
    connection: &impl ConnectionTrait,
    id: GroupId,
    limit: u64,
) -> Result<Vec<Member>, DbErr> {
    let rows = team_member::Entity::find()
        .filter(team_member::Column::Team.eq(id.get().cast_signed()))
        .order_by_asc(team_member::Column::SinceMs)
        .order_by_asc(team_member::Column::Player)
        .limit(limit)
        .all(connection)
        .await?;
    named(connection, rows.into_iter().map(|row| (row.player, row.since_ms)).collect()).await
}

/// Removes a team without members, and what it had.
///
/// # Errors
/// What the database says.
pub async fn delete(transaction: &DatabaseTransaction, id: GroupId) -> Result<(), DbErr> {
    let id = id.get().cast_signed();
    team_day_total::Entity::delete_many()
        .filter(team_day_total::Column::Team.eq(id))
        .exec(transaction)
        .await?;
    team::Entity::delete_by_id(id).exec(transaction).await.map(|_| ())
}

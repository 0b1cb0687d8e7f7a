//! Rows of players and what they have checked: made, moved and removed here; raised by those who collect credits.

use std::{cmp::max, collections::BTreeSet};

use actors::player::UserId;
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};

use super::number;
use crate::{
    database::entities::{account, credit, day_total, player, room_member, team_member},
    people::model::{Streak, day_of},
};

/// Players that are removed in one transaction: some ms for each table, and one for each who leaves a group.
pub const EXPIRE_BATCH: u64 = 200;

/// The row of a player, which no other transaction changes before this one ends.
///
/// # Errors
/// What the database says.
pub async fn lock(
    transaction: &DatabaseTransaction,
    user: UserId,
) -> Result<Option<player::Model>, DbErr> {
    player::Entity::find_by_id(number(user)).lock_exclusive().one(transaction).await
}

/// Likewise, of a player who may have none yet.
///
/// # Errors
/// What the database says; a clash of keys if another transaction does the same, and then trying again helps.
pub async fn ensure(
    transaction: &DatabaseTransaction,
    user: UserId,
    now_ms: u64,
) -> Result<player::Model, DbErr> {
    if let Some(row) = lock(transaction, user).await? {
        return Ok(row);
    }
    let row = newcomer(number(user), now_ms);
    let insert = row.clone().into_active_model().reset_all();
    player::Entity::insert(insert).exec_without_returning(transaction).await?;
    Ok(row)
}

/// The row of a player who has checked nothing yet.
pub fn newcomer(id: i64, now_ms: u64) -> player::Model {
    player::Model {
        id,
        created_ms: now_ms.cast_signed(),
        seen_day: day_of(now_ms),
        total: 0,
        first_day: None,
        last_day: None,
        streak: 0,
        best_streak: 0,
        moved_to: None,
    }
}

/// Whether a player has a row that says it came last before `day`.
///
/// # Errors
/// What the database says.
pub async fn is_unseen(
    connection: &impl ConnectionTrait,
    user: UserId,
    day: i32,
) -> Result<bool, DbErr> {
    let row = player::Entity::find_by_id(number(user)).one(connection).await?;
    Ok(row.is_some_and(|row| row.seen_day < day))
}

/// Notes that a player came on `day`, if it has a row. Never lowers it.
///
/// # Errors
/// What the database says.
pub async fn see(transaction: &DatabaseTransaction, user: UserId, day: i32) -> Result<(), DbErr> {
    player::Entity::update_many()
        .col_expr(player::Column::SeenDay, Expr::value(day))
        .filter(player::Column::Id.eq(number(user)))
        .filter(player::Column::SeenDay.lt(day))
        .exec(transaction)
        .await?;
    Ok(())
}

/// Gives all that an anonymous player has checked to an account, at most once in its life. What is collected later goes
/// there, too, by `moved_to`. False if it has moved before or has an account itself.
///
/// # Errors
/// What the database says.
pub async fn move_to(
    transaction: &DatabaseTransaction,
    anonymous: UserId,
    to: UserId,
    now_ms: u64,
) -> Result<bool, DbErr> {
    if anonymous == to {
        return Ok(false);
    }
    // Always in the same order, as two log-ins may do this in opposite directions.
    let (first, second) =
        if number(anonymous) < number(to) { (anonymous, to) } else { (to, anonymous) };
    let first = ensure(transaction, first, now_ms).await?;
    let second = ensure(transaction, second, now_ms).await?;
    let (from, target) =
        if first.id == number(anonymous) { (first, second) } else { (second, first) };
    let has_account = account::Entity::find_by_id(from.id).one(transaction).await?.is_some();
    if from.moved_to.is_some() || target.moved_to.is_some() || has_account {
        return Ok(false);
    }
    move_days(transaction, from.id, target.id).await?;
    let days = day_total::Entity::find()
        .filter(day_total::Column::Player.eq(target.id))
        .order_by_asc(day_total::Column::Day)
        .all(transaction)
        .await?;
    let streak = Streak::of(days.iter().filter(|row| row.checks > 0).map(|row| row.day));
    let moved = player::ActiveModel {
        id: Set(from.id),
        total: Set(0),
        first_day: Set(None),
        last_day: Set(None),
        streak: Set(0),
        best_streak: Set(0),
        moved_to: Set(Some(target.id)),
        ..Default::default()
    };
    player::Entity::update(moved).exec(transaction).await?;
    let grown = player::ActiveModel {
        id: Set(target.id),
        total: Set(target.total + from.total),
        seen_day: Set(max(target.seen_day, from.seen_day)),
        first_day: Set(streak.first.or(target.first_day)),
        last_day: Set(streak.last.or(target.last_day)),
        streak: Set(streak.current),
        best_streak: Set(max(streak.best, target.best_streak)),
        ..Default::default()
    };
    player::Entity::update(grown).exec(transaction).await?;
    Ok(true)
}

async fn move_days(transaction: &DatabaseTransaction, from: i64, to: i64) -> Result<(), DbErr> {
    use day_total::{ActiveModel, Column, Entity, Model};
    let of = |player: i64| Entity::find().filter(Column::Player.eq(player)).lock_exclusive();
    for Model { day, checks, .. } in of(from).all(transaction).await? {
        let raised = Entity::update_many()
            .col_expr(Column::Checks, Expr::col(Column::Checks).add(checks))
            .filter(Column::Player.eq(to))
            .filter(Column::Day.eq(day))
            .exec(transaction)
            .await?;
        if raised.rows_affected == 0 {
            let row = ActiveModel { player: Set(to), day: Set(day), checks: Set(checks) };
            Entity::insert(row).exec_without_returning(transaction).await?;
        }
    }
    Entity::delete_many().filter(Column::Player.eq(from)).exec(transaction).await?;
    Ok(())
}

/// Players without an account who did not come since `before_day`, so many at most; and which of them are in a team or
/// a room. No other transaction changes them before this one ends.
///
/// # Errors
/// What the database says.
pub async fn lock_old(
    transaction: &DatabaseTransaction,
    before_day: i32,
) -> Result<(Vec<UserId>, Vec<UserId>), DbErr> {
    let accounts = Query::select().column(account::Column::Player).from(account::Entity).to_owned();
    let old = player::Entity::find()
        .filter(player::Column::SeenDay.lt(before_day))
        .filter(player::Column::Id.not_in_subquery(accounts))
        .limit(EXPIRE_BATCH)
        .lock_exclusive()
        .all(transaction)
        .await?;
    let ids: Vec<i64> = old.into_iter().map(|row| row.id).collect();
    let in_team = team_member::Column::Player.is_in(ids.iter().copied());
    let in_team = team_member::Entity::find().filter(in_team).all(transaction).await?;
    let in_room = room_member::Column::Player.is_in(ids.iter().copied());
    let in_room = room_member::Entity::find().filter(in_room).all(transaction).await?;
    let members: BTreeSet<i64> =
        in_team.iter().map(|row| row.player).chain(in_room.iter().map(|row| row.player)).collect();
    let users = |ids: Vec<i64>| ids.into_iter().map(super::user).collect::<Result<Vec<_>, _>>();
    Ok((users(ids)?, users(members.into_iter().collect())?))
}

/// Removes players who are in no team and no room, with all that is known of them.
///
/// # Errors
/// What the database says.
pub async fn remove(transaction: &DatabaseTransaction, users: &[UserId]) -> Result<(), DbErr> {
    let ids = || users.iter().map(|user| number(*user));
    credit::Entity::delete_many()
        .filter(credit::Column::Player.is_in(ids()))
        .exec(transaction)
        .await?;
    day_total::Entity::delete_many()
        .filter(day_total::Column::Player.is_in(ids()))
        .exec(transaction)
        .await?;
    player::Entity::delete_many().filter(player::Column::Id.is_in(ids())).exec(transaction).await?;
    Ok(())
}

//! What is kept of people, as the database has it: statements, no decisions. Time comes in as milliseconds.

pub mod revocation;
pub mod players;
pub mod accounts;
pub mod teams;
pub mod rooms;
pub mod reports;
pub mod export;
pub mod credits;

use std::collections::HashMap;

use actors::player::UserId;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _,
    QueryFilter as _,
    sea_query::{Expr, ExprTrait as _},
};

use crate::{
    database::entities::{account, counter},
    people::model::{GroupId, Member},
};

/// A user id as databases have it: 63 bits, so never negative.
pub fn number(user: UserId) -> i64 {
    user.get().cast_signed()
}

/// The user of a column.
///
/// # Errors
/// If the column has what is no user id, which somebody else must have written.
pub fn user(number: i64) -> Result<UserId, DbErr> {
    let user = u64::try_from(number).ok().and_then(UserId::new);
    user.ok_or_else(|| DbErr::Type(format!("{number} is no user id")))
}

/// The team or room of a column.
fn group(number: i64) -> Result<GroupId, DbErr> {
    let group = u64::try_from(number).ok().and_then(GroupId::new);
    group.ok_or_else(|| DbErr::Type(format!("{number} is no group's id")))
}

/// Members, given as player and since when, with the names of those who have one.
async fn named(
    connection: &impl ConnectionTrait,
    rows: Vec<(i64, i64)>,
) -> Result<Vec<Member>, DbErr> {
    let ids = rows.iter().map(|(player, _)| *player);
    let accounts = account::Entity::find().filter(account::Column::Player.is_in(ids));
    let accounts = accounts.all(connection).await?;
    let mut names: HashMap<i64, String> =
        accounts.into_iter().map(|row| (row.player, row.name)).collect();
    let member = |(player, since_ms): (i64, i64)| {
        let name = names.remove(&player);
        Ok(Member { user: user(player)?, name, since_ms: since_ms.cast_unsigned() })
    };
    rows.into_iter().map(member).collect()
}

/// The next number of the counter `name`, from 1 on. Until this transaction ends no other one is given a number, so that
/// whoever sees a number sees all before it.
async fn next(transaction: &DatabaseTransaction, name: &str) -> Result<i64, DbErr> {
    let raised = counter::Entity::update_many()
        .col_expr(counter::Column::Value, Expr::col(counter::Column::Value).add(1))
        .filter(counter::Column::Name.eq(name))
        .exec(transaction)
        .await?;
    if raised.rows_affected == 0 {
        // Where two do this at once, one is tried again and finds the row.
        let first = counter::ActiveModel { name: Set(name.to_owned()), value: Set(1) };
        counter::Entity::insert(first).exec_without_returning(transaction).await?;
        return Ok(1);
    }
    let row = counter::Entity::find_by_id(name).one(transaction).await?;
    row.map(|row| row.value).ok_or_else(|| DbErr::RecordNotFound(format!("counter {name}")))
}

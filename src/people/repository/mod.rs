//! What is kept of people, as the database has it: statements, no decisions. Time comes in as milliseconds.

pub mod revocation;

use actors::player::UserId;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, DatabaseTransaction, DbErr, EntityTrait as _, QueryFilter as _,
    sea_query::{Expr, ExprTrait as _},
};

use crate::database::entities::counter;

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

//! Rows of reports.

use actors::player::UserId;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait as _,
    PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};

use super::{number, user as user_of};
use crate::{
    database::entities::report::{ActiveModel, Column, Entity, Model},
    people::model::{NewReport, Report, user_by_chance},
};

/// Adds a report; returns its id.
///
/// # Errors
/// What the database says.
pub async fn insert(
    transaction: &DatabaseTransaction,
    reporter: UserId,
    report: &NewReport,
    now_ms: u64,
) -> Result<u64, DbErr> {
    let id = user_by_chance().get();
    let row = ActiveModel {
        id: Set(id.cast_signed()),
        reporter: Set(Some(number(reporter))),
        about: Set(number(report.about)),
        reason: Set(report.reason.clone()),
        message: Set(report.message.clone()),
        at_ms: Set(now_ms.cast_signed()),
        closed_by: Set(None),
        closed_ms: Set(None),
    };
    Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(id)
}

/// How many open reports somebody has made.
///
/// # Errors
/// What the database says.
pub async fn open_of(connection: &impl ConnectionTrait, reporter: UserId) -> Result<u64, DbErr> {
    let open = Entity::find().filter(Column::ClosedMs.is_null());
    open.filter(Column::Reporter.eq(number(reporter))).count(connection).await
}

/// Open reports, the oldest first.
///
/// # Errors
/// What the database says.
pub async fn open(connection: &impl ConnectionTrait, limit: u64) -> Result<Vec<Report>, DbErr> {
    let open = Entity::find()
        .filter(Column::ClosedMs.is_null())
        .order_by_asc(Column::AtMs)
        .order_by_asc(Column::Id)
        .limit(limit);
    open.all(connection).await?.into_iter().map(read).collect()
}

/// Closes a report, once; whether this did.
///
/// # Errors
/// What the database says.
pub async fn close(
    transaction: &DatabaseTransaction,
    id: u64,
    operator: &str,
    now_ms: u64,
) -> Result<bool, DbErr> {
    let closed = Entity::update_many()
        .col_expr(Column::ClosedBy, Expr::value(operator))
        .col_expr(Column::ClosedMs, Expr::value(now_ms.cast_signed()))
        .filter(Column::Id.eq(id.cast_signed()))
        .filter(Column::ClosedMs.is_null())
        .exec(transaction)
        .await?;
    Ok(closed.rows_affected > 0)
}

/// Removes reports that were closed before `before_ms`, 500 at most; returns how many.
///
/// # Errors
/// What the database says.
pub async fn forget(transaction: &DatabaseTransaction, before_ms: u64) -> Result<u64, DbErr> {
    let old = Entity::find().filter(Column::ClosedMs.lt(before_ms.cast_signed())).limit(500);
    let ids: Vec<i64> = old.all(transaction).await?.into_iter().map(|row| row.id).collect();
    let removed = Entity::delete_many().filter(Column::Id.is_in(ids)).exec(transaction).await?;
    Ok(removed.rows_affected)
}

/// Forgets who has made these reports.
///
/// # Errors
/// What the database says.
pub async fn forget_reporter(
    transaction: &DatabaseTransaction,
    reporter: UserId,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Reporter, Expr::value(None::<i64>))
        .filter(Expr::col(Column::Reporter).eq(number(reporter)))
        .exec(transaction)
        .await
        .map(|_| ())
}

fn read(row: Model) -> Result<Report, DbErr> {
    Ok(Report {
        id: row.id.cast_unsigned(),
        reporter: row.reporter.map(user_of).transpose()?,
        what: NewReport { about: user_of(row.about)?, reason: row.reason, message: row.message },
        at_ms: row.at_ms.cast_unsigned(),
    })
}

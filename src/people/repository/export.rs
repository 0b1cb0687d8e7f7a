//! Everything that there is about a user, as it has a right to (GDPR Art. 15): one read of each table that names users.

use actors::player::UserId;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::{accounts, number, rooms, teams};
use crate::{
    database::entities::{credit, day_total, player, report, revocation},
    people::model::{Export, ExportedPlayer},
};

/// All about a user.
///
/// # Errors
/// What the database says.
pub async fn export(connection: &impl ConnectionTrait, user: UserId) -> Result<Export, DbErr> {
    let id = number(user);
    let account = accounts::of(connection, user).await?;
    let row = player::Entity::find_by_id(id).one(connection).await?;
    let days = day_total::Entity::find()
        .filter(day_total::Column::Player.eq(id))
        .order_by_asc(day_total::Column::Day);
    let moved =
        player::Entity::find().filter(player::Column::MovedTo.eq(id)).all(connection).await?;
    let mut moved_from = Vec::new();
    for row in moved {
        moved_from.push(super::user(row.id)?.to_string());
    }
    let team = teams::of(connection, user).await?;
    let rooms = rooms::of(connection, user).await?;
    Ok(Export {
        user: user.to_string(),
        account_created_ms: account.as_ref().map(|account| account.created_ms),
        account_changed_ms: account.as_ref().map(|account| account.changed_ms),
        has_reset_code: account.as_ref().is_some_and(|account| account.code.is_some()),
        name: account.map(|account| account.name),
        player: row.map(|row| ExportedPlayer {
            created_ms: row.created_ms,
            seen_day: row.seen_day,
            total: row.total,
            first_day: row.first_day,
            last_day: row.last_day,
            streak: row.streak,
            best_streak: row.best_streak,
        }),
        days: days.all(connection).await?.into_iter().map(|row| (row.day, row.checks)).collect(),
        credits: credits(connection, id).await?,
        moved_from,
        team: team.map(|(team, since_ms)| (team.name, since_ms.cast_signed())),
        rooms: rooms.into_iter().map(|(room, ms)| (room.name, ms.cast_signed())).collect(),
        revocations: revocations(connection, id).await?,
        reports: reports(connection, id).await?,
    })
}

async fn credits(
    connection: &impl ConnectionTrait,
    id: i64,
) -> Result<Vec<(String, i64, i32, i64)>, DbErr> {
    let rows = credit::Entity::find().filter(credit::Column::Player.eq(id)).all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.board, row.key_range, row.day, row.checks)).collect())
}

async fn revocations(
    connection: &impl ConnectionTrait,
    id: i64,
) -> Result<Vec<(i64, Option<i64>, Option<i64>, Option<bool>)>, DbErr> {
    let rows = revocation::Entity::find()
        .filter(revocation::Column::Player.eq(id))
        .order_by_asc(revocation::Column::Sequence)
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.at_ms, row.epoch, row.sign_in, row.banned)).collect())
}

async fn reports(
    connection: &impl ConnectionTrait,
    id: i64,
) -> Result<Vec<(i64, String, String, String)>, DbErr> {
    let rows =
        report::Entity::find().filter(report::Column::Reporter.eq(id)).all(connection).await?;
    let read = |row: report::Model| {
        Ok((row.at_ms, super::user(row.about)?.to_string(), row.reason, row.message))
    };
    rows.into_iter().map(read).collect()
}

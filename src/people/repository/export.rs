//! Everything that there is about a user, as it has a right to (GDPR Art. 15): one read of each table that names users.

use actors::player::UserId;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::{accounts, number, rooms, teams};
use crate::{
    database::entities::{credit, day_total, player, report, revocation},
    people::model::{
        Export, ExportedCredit, ExportedDay, ExportedGroup, ExportedPlayer, ExportedReport,
        ExportedRevocation, GroupId,
    },
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
    // Credits stay where they were counted.
    let ids: Vec<i64> = moved.iter().map(|row| row.id).chain([id]).collect();
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
        days: days.all(connection).await?.into_iter().map(day).collect(),
        credits: credits(connection, ids).await?,
        moved_from,
        team: team.map(|(team, since_ms)| group(team.id, team.name, since_ms)),
        rooms: rooms.into_iter().map(|(room, ms)| group(room.id, room.name, ms)).collect(),
        revocations: revocations(connection, id).await?,
        reports: reports(connection, id).await?,
    })
}

fn day(row: day_total::Model) -> ExportedDay {
    ExportedDay { day: row.day, checks: row.checks }
}

fn group(id: GroupId, name: String, since_ms: u64) -> ExportedGroup {
    ExportedGroup { id: id.to_string(), name, since_ms }
}

async fn credits(
    connection: &impl ConnectionTrait,
    ids: Vec<i64>,
) -> Result<Vec<ExportedCredit>, DbErr> {
    let of = credit::Column::Player.is_in(ids);
    let rows = credit::Entity::find().filter(of).all(connection).await?;
    let read = |row: credit::Model| {
        let credit::Model { board, key_range, day, checks, .. } = row;
        ExportedCredit { board, key_range, day, checks }
    };
    Ok(rows.into_iter().map(read).collect())
}

async fn revocations(
    connection: &impl ConnectionTrait,
    id: i64,
) -> Result<Vec<ExportedRevocation>, DbErr> {
    let rows = revocation::Entity::find()
        .filter(revocation::Column::Player.eq(id))
        .order_by_asc(revocation::Column::Sequence)
        .all(connection)
        .await?;
    let read = |row: revocation::Model| {
        let revocation::Model { epoch, sign_in, banned, at_ms, .. } = row;
        ExportedRevocation { at_ms, epoch, sign_in, banned }
    };
    Ok(rows.into_iter().map(read).collect())
}

async fn reports(connection: &impl ConnectionTrait, id: i64) -> Result<Vec<ExportedReport>, DbErr> {
    let of = report::Column::Reporter.eq(id);
    let rows = report::Entity::find().filter(of).all(connection).await?;
    let read = |row: report::Model| {
        let about = super::user(row.about)?.to_string();
        let report::Model { reason, message, at_ms, .. } = row;
        Ok(ExportedReport { at_ms, about, reason, message })
    };
    rows.into_iter().map(read).collect()
}

//! What ends cookies before their time: rows that are only added, numbered in the order of commits.

use actors::player::UserId;
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, DbErr,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::{next, number, user as user_of};
use crate::database::{
    Database, Trouble,
    entities::revocation::{ActiveModel, Column, Entity, Model},
};

/// The counter whose row all revocations of all nodes pass, one after the other.
const COUNTER: &str = "revocation";

/// Most rows that are removed in one transaction, which others wait for: some ms.
const FORGET_BATCH: u64 = 500;

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// All cookies that there are: the epoch is raised.
    AllCookies,
    /// Those of one sign-in.
    SignIn(u32),
    /// All cookies, and the right to act.
    Ban,
    /// The ban.
    Unban,
}

/// A row as nodes follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Greater than that of every row that a reader could see before.
    pub sequence: u64,
    /// Whose cookies.
    pub user: UserId,
    /// Cookies of an earlier epoch are void.
    pub epoch: Option<u32>,
    /// Cookies of this sign-in are void.
    pub sign_in: Option<u32>,
    /// Whether the user is banned from here on.
    pub banned: Option<bool>,
    /// When it was, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// How things are with a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// What new cookies have.
    pub epoch: u32,
    /// Whether it may act.
    pub is_banned: bool,
}

/// Revokes, in a transaction of its own; returns the row.
///
/// # Errors
/// The database's trouble. After [`Trouble::Away`] it may be revoked nevertheless.
pub async fn revoke(
    database: &Database,
    user: UserId,
    revocation: Revocation,
    now_ms: u64,
) -> Result<Revoked, Trouble> {
    database
        .write(async move |transaction: &DatabaseTransaction| {
            Ok(revoke_in(transaction, user, revocation, now_ms).await?)
        })
        .await
}

/// Likewise, as part of a larger transaction; its last statement, because all others wait for its end.
///
/// # Errors
/// What the database says.
pub async fn revoke_in(
    transaction: &DatabaseTransaction,
    user: UserId,
    revocation: Revocation,
    now_ms: u64,
) -> Result<Revoked, DbErr> {
    let sequence = next(transaction, COUNTER).await?;
    let raised = match revocation {
        Revocation::AllCookies | Revocation::Ban => {
            // Nobody else raises it before this transaction ends.
            let standing = standing(transaction, user).await?;
            Some(i64::from(standing.epoch.saturating_add(1)))
        }
        Revocation::SignIn(_) | Revocation::Unban => None,
    };
    let row = Model {
        sequence,
        player: number(user),
        epoch: raised,
        sign_in: match revocation {
            Revocation::SignIn(sign_in) => Some(sign_in.into()),
            _ => None,
        },
        banned: match revocation {
            Revocation::Ban => Some(true),
            Revocation::Unban => Some(false),
            _ => None,
        },
        at_ms: now_ms.cast_signed(),
    };
    Entity::insert(active(row.clone())).exec_without_returning(transaction).await?;
    read(row)
}

/// Rows after `sequence` (0: all), the oldest first, `limit` at most.
///
/// # Errors
/// The database's trouble.
pub async fn revocations_after(
    database: &Database,
    sequence: u64,
    limit: u64,
) -> Result<Vec<Revoked>, Trouble> {
    let after = i64::try_from(sequence).unwrap_or(i64::MAX);
    database
        .read(async move |connection| {
            let rows = Entity::find()
                .filter(Column::Sequence.gt(after))
                .order_by_asc(Column::Sequence)
                .limit(limit)
                .all(connection)
                .await?;
            Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
        })
        .await
}

/// How things are with a user; of somebody nobody has heard of, the default.
///
/// # Errors
/// What the database says.
pub async fn standing(connection: &impl ConnectionTrait, user: UserId) -> Result<Standing, DbErr> {
    let of_user =
        || Entity::find().filter(Column::Player.eq(number(user))).order_by_desc(Column::Sequence);
    let epoch = of_user().filter(Column::Epoch.is_not_null()).one(connection).await?;
    let banned = of_user().filter(Column::Banned.is_not_null()).one(connection).await?;
    Ok(Standing {
        epoch: epoch.map(read).transpose()?.and_then(|row| row.epoch).unwrap_or(0),
        is_banned: banned.and_then(|row| row.banned).unwrap_or(false),
    })
}

/// Removes rows of sign-ins that ended before `before_ms`, whose cookies are too old by now: so many at most, and returns
/// how many. Epochs and bans stay.
///
/// # Errors
/// The database's trouble.
pub async fn forget_sign_ins(database: &Database, before_ms: u64) -> Result<u64, Trouble> {
    database
        .write(async move |transaction: &DatabaseTransaction| {
            let old = Entity::find()
                .filter(Column::AtMs.lt(before_ms.cast_signed()))
                .filter(Column::SignIn.is_not_null())
                .limit(FORGET_BATCH)
                .all(transaction)
                .await?;
            let sequences = old.into_iter().map(|row| row.sequence);
            let removed = Entity::delete_many()
                .filter(Column::Sequence.is_in(sequences))
                .exec(transaction)
                .await?;
            Ok(removed.rows_affected)
        })
        .await
}

fn active(row: Model) -> ActiveModel {
    let Model { sequence, player, epoch, sign_in, banned, at_ms } = row;
    ActiveModel {
        sequence: Set(sequence),
        player: Set(player),
        epoch: Set(epoch),
        sign_in: Set(sign_in),
        banned: Set(banned),
        at_ms: Set(at_ms),
    }
}

fn read(row: Model) -> Result<Revoked, DbErr> {
    let number = |number: i64| {
        u32::try_from(number).map_err(|_| DbErr::Type(format!("{number} has more than 32 bits")))
    };
    Ok(Revoked {
        sequence: row.sequence.cast_unsigned(),
        user: user_of(row.player)?,
        epoch: row.epoch.map(number).transpose()?,
        sign_in: row.sign_in.map(number).transpose()?,
        banned: row.banned,
        at_ms: row.at_ms.cast_unsigned(),
    })
}

#[cfg(test)]
mod tests;

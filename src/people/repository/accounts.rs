//! Rows of accounts.

use actors::player::UserId;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait,
    DatabaseTransaction, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QuerySelect as _,
};

use super::number;
use crate::{
    database::entities::account::{ActiveModel, Column, Entity, Model},
    people::names::Name,
};

/// An account, as the table has it.
pub use crate::database::entities::account::Model as Row;

/// The account of a folded name.
///
/// # Errors
/// What the database says.
pub async fn by_name(
    connection: &impl ConnectionTrait,
    folded: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Folded.eq(folded)).one(connection).await
}

/// The account of a user.
///
/// # Errors
/// What the database says.
pub async fn of(connection: &impl ConnectionTrait, user: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(number(user)).one(connection).await
}

/// Likewise; no other transaction changes it before this one ends.
///
/// # Errors
/// What the database says.
pub async fn lock(transaction: &DatabaseTransaction, user: UserId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(number(user)).lock_exclusive().one(transaction).await
}

/// Adds an account.
///
/// # Errors
/// What the database says; a clash of keys if the user has one, or the name is somebody's.
pub async fn insert(
    transaction: &DatabaseTransaction,
    user: UserId,
    name: &Name,
    password: &str,
    now_ms: u64,
) -> Result<(), DbErr> {
    let row = Model {
        player: number(user),
        name: name.as_str().to_owned(),
        folded: name.folded(),
        password: password.to_owned(),
        created_ms: now_ms.cast_signed(),
        changed_ms: now_ms.cast_signed(),
        code: None,
        code_until_ms: None,
    };
    let row = row.into_active_model().reset_all();
    Entity::insert(row).exec_without_returning(transaction).await.map(|_| ())
}

/// Sets another name.
///
/// # Errors
/// What the database says; a clash of keys if the name is somebody's.
pub async fn rename(
    transaction: &DatabaseTransaction,
    user: UserId,
    name: &Name,
    now_ms: u64,
) -> Result<(), DbErr> {
    update(
        transaction,
        ActiveModel {
            player: Set(number(user)),
            name: Set(name.as_str().to_owned()),
            folded: Set(name.folded()),
            changed_ms: Set(now_ms.cast_signed()),
            ..Default::default()
        },
    )
    .await
}

/// Sets another password; a code that sets one is void.
///
/// # Errors
/// What the database says.
pub async fn set_password(
    transaction: &DatabaseTransaction,
    user: UserId,
    password: &str,
    now_ms: u64,
) -> Result<(), DbErr> {
    update(
        transaction,
        ActiveModel {
            player: Set(number(user)),
            password: Set(password.to_owned()),
            changed_ms: Set(now_ms.cast_signed()),
            code: Set(None),
            code_until_ms: Set(None),
            ..Default::default()
        },
    )
    .await
}

/// Sets a code that sets another password, by its hash, in place of one there was.
///
/// # Errors
/// What the database says.
pub async fn set_code(
    transaction: &DatabaseTransaction,
    user: UserId,
    code: &str,
    until_ms: u64,
) -> Result<(), DbErr> {
    update(
        transaction,
        ActiveModel {
            player: Set(number(user)),
            code: Set(Some(code.to_owned())),
            code_until_ms: Set(Some(until_ms.cast_signed())),
            ..Default::default()
        },
    )
    .await
}

async fn update(transaction: &DatabaseTransaction, row: ActiveModel) -> Result<(), DbErr> {
    Entity::update(row).exec(transaction).await.map(|_| ())
}

/// Removes the account.
///
/// # Errors
/// What the database says.
pub async fn delete(transaction: &DatabaseTransaction, user: UserId) -> Result<(), DbErr> {
    Entity::delete_by_id(number(user)).exec(transaction).await.map(|_| ())
}

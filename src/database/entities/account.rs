//! What a player needs to be known on another device.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub player: i64,
    /// As its owner writes it.
    pub name: String,
    /// As it is compared: unique.
    pub folded: String,
    /// Its hash, a PHC string.
    pub password: String,
    /// When it was made.
    pub created_ms: i64,
    /// When name or password changed last.
    pub changed_ms: i64,
    /// SHA-256 of the code that sets a new password, as hexadecimal digits.
    pub code: Option<String>,
    /// Until when that is good.
    pub code_until_ms: Option<i64>,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! First checks of a player in a key range on a day, as the board's store has counted them.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "credit")]
pub struct Model {
    /// Which board.
    #[sea_orm(primary_key, auto_increment = false)]
    pub board: String,
    /// Which of its key ranges.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key_range: i64,
    /// Who.
    #[sea_orm(primary_key, auto_increment = false)]
    pub player: i64,
    /// In days since 1970 (UTC).
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i32,
    /// How many; it only grows.
    pub checks: i64,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

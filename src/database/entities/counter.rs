//! Numbers that are given in the order in which transactions commit: the row is the lock.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "counter")]
pub struct Model {
    /// What is numbered.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// The last number given.
    pub value: i64,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

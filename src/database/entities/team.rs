//! Players who count together.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "team")]
pub struct Model {
    /// By chance.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// As its maker writes it.
    pub name: String,
    /// As it is compared: unique.
    pub folded: String,
    /// `#rrggbb`.
    pub colour: String,
    /// Who may change it; none once the last member's account is gone.
    pub maker: Option<i64>,
    /// What lets somebody join: unique.
    pub invite: String,
    /// When it was made.
    pub created_ms: i64,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

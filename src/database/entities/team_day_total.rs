//! First checks of those who were in a team on a day.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "team_day_total")]
pub struct Model {
    /// Which.
    #[sea_orm(primary_key, auto_increment = false)]
    pub team: i64,
    /// In days since 1970 (UTC).
    #[sea_orm(primary_key, auto_increment = false)]
    pub day: i32,
    /// How many.
    pub checks: i64,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

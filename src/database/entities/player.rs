//! Somebody with a credit or an account. Who has an account keeps its row for good; others expire.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "player")]
pub struct Model {
    /// Its user id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// When the row was made.
    pub created_ms: i64,
    /// The last day it came, in days since 1970 (UTC).
    pub seen_day: i32,
    /// First checks of all days.
    pub total: i64,
    /// The first day with a first check.
    pub first_day: Option<i32>,
    /// The last one.
    pub last_day: Option<i32>,
    /// Days in a row up to `last_day`.
    pub streak: i32,
    /// The most days in a row there were.
    pub best_streak: i32,
    /// The account that all of it went to; credits of later go there, too.
    pub moved_to: Option<i64>,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! What somebody has reported to operators.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "report")]
pub struct Model {
    /// By chance.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// Who; none once its account is gone.
    pub reporter: Option<i64>,
    /// About whom.
    pub about: i64,
    /// In the words of who reports.
    pub reason: String,
    /// The message, and those before it, as JSON.
    pub message: String,
    /// When.
    pub at_ms: i64,
    /// The operator who has dealt with it.
    pub closed_by: Option<String>,
    /// When.
    pub closed_ms: Option<i64>,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

//! What ends cookies before their time.

use sea_orm::entity::prelude::*;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "revocation")]
pub struct Model {
    /// In the order of commits, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// Whose; it need not have a row.
    pub player: i64,
    /// Cookies of an earlier one are void from here on.
    pub epoch: Option<i64>,
    /// The sign-in that ended.
    pub sign_in: Option<i64>,
    /// Whether the player is banned from here on.
    pub banned: Option<bool>,
    /// When.
    pub at_ms: i64,
}

/// Tables are joined where they are asked.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

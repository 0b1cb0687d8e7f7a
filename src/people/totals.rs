//! From credits to totals: what the collector of a board hands over becomes rows of SQL.

use std::sync::Arc;

use actors::store::BoxFuture;
use sea_orm::DatabaseTransaction;

use super::{
    credits::{Away, Credit, Sink},
    repository::credits::{self as rows, take},
};
use crate::{
    database::{Database, Trouble},
    wall::now_ms,
};

/// The totals of a board's players and teams.
pub struct Totals {
    database: Database,
    /// The name of the board, the same on all of its nodes.
    board: String,
}

impl Totals {
    /// Of the board of that name.
    pub fn new(database: Database, board: &str) -> Self {
        Self { database, board: board.to_owned() }
    }
}

impl Sink for Totals {
    fn take(&self, credits: Arc<[Credit]>) -> BoxFuture<Result<(), Away>> {
        let (database, board) = (self.database.clone(), self.board.clone());
        Box::pin(async move {
            let credits: Vec<_> = credits.iter().map(row).collect();
            let now_ms = now_ms();
            let taken: Result<i64, Trouble> = database
                .write(async move |transaction: &DatabaseTransaction| {
                    Ok(take(transaction, &board, &credits, now_ms).await?)
                })
                .await;
            taken.map(|_| ()).map_err(|trouble| Away(trouble.to_string()))
        })
    }
}

fn row(credit: &Credit) -> rows::Credit {
    rows::Credit {
        range: credit.range.0.into(),
        player: super::repository::number(credit.user),
        day: i32::try_from(credit.day.0).unwrap_or(i32::MAX),
        checks: i64::try_from(credit.count).unwrap_or(i64::MAX),
    }
}

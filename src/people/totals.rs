//! From credits to totals: what the collector of a board hands over becomes rows of SQL.

use std::sync::Arc;

use actors::store::BoxFuture;
use sea_orm::DatabaseTransaction;

use super::{
    credits::{Away, Credit, Sink},
    repository::credits::take,
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

//! `GET /overview`: how full every tile is, from memory.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{broadcaster::census::Overview, node::Node, table::Table};

use super::{
    encoded::{Effort, Encoded},
    query,
};

/// An overview, and what is sent of it.
type Sent = (Arc<Overview>, Arc<Encoded>);

/// The latest overviews as they are sent, by board. Each changes at most once a second, however many ask.
#[derive(Debug, Default)]
pub struct Latest(Mutex<BTreeMap<String, Sent>>);

impl Latest {
    fn encoded(&self, table: &Table, node: &Node) -> Arc<Encoded> {
        let overview = table.overview();
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, encoded)) = latest.get(table.board.name())
            && Arc::ptr_eq(of, &overview)
        {
            return encoded.clone();
        }
        // To be asked about each time: a page that joins needs what is true now, and pulses go on
        // from there.
        let bytes = overview.encode();
        let encoded = Encoded::new("application/octet-stream", "no-cache", Effort::Quick, bytes);
        let encoded = Arc::new(encoded);
        // Boards that were closed are forgotten.
        latest.retain(|name, _| node.table(name).is_some());
        latest.insert(table.board.name().to_owned(), (overview, encoded.clone()));
        encoded
    }
}

/// `GET /overview`: the encoded [`Overview`] of the main board, or of `?board=NAME`, at most a second old.
pub async fn overview(
    request: HttpRequest,
    node: web::Data<Node>,
    latest: web::Data<Latest>,
) -> HttpResponse {
    match query::table(request.query_string(), &node) {
        Ok(table) => latest.encoded(&table, &node).respond(&request),
        Err(response) => response,
    }
}

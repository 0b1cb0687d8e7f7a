//! `GET /overview`: how full every tile is, from memory.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{broadcaster::census::Overview, node::Node};

use super::encoded::{Effort, Encoded};

/// The latest overview as it is sent. It changes at most once a second, however many ask.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Option<(Arc<Overview>, Arc<Encoded>)>>);

impl Latest {
    fn encoded(&self, overview: Arc<Overview>) -> Arc<Encoded> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, encoded)) = &*latest
            && Arc::ptr_eq(of, &overview)
        {
            return encoded.clone();
        }
        // To be asked about each time: a page that joins needs what is true now, and pulses go on
        // from there.
        let bytes = overview.encode();
        let encoded = Encoded::new("application/octet-stream", "no-cache", Effort::Quick, bytes);
        let encoded = Arc::new(encoded);
        *latest = Some((overview, encoded.clone()));
        encoded
    }
}

/// `GET /overview`: the encoded [`Overview`], at most a second old.
pub async fn overview(
    request: HttpRequest,
    node: web::Data<Node>,
    latest: web::Data<Latest>,
) -> HttpResponse {
    latest.encoded(node.overview()).respond(&request)
}

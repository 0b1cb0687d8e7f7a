//! How every change over the operators' API is made: written down first, then made, and answered for either way.

use actix_web::{HttpResponse, http::StatusCode};
use actors::store::StoreError;
use serde_json::{Value, json};
use utoipa::IntoResponses;

use super::door::Caller;
use crate::{operators::audit::Audit, problem::problem};

/// Why a change is not made, as the file of the API has it.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are made elsewhere")]
pub enum Unmade {
    /// The decision cannot be kept. Nothing has changed, or every node follows when what keeps it is back.
    #[response(status = 503)]
    NotKept,
    /// The audit cannot be written. Nothing has changed.
    #[response(status = 507)]
    NotAudited,
}

/// Makes changes, with a line of the audit for each.
pub struct Change(pub Audit);

impl Change {
    /// Writes that `caller` does `action`, whatever comes of it.
    ///
    /// # Errors
    /// The answer, if the line could not be written (507): the action must not be begun.
    pub async fn note(
        &self,
        caller: &Caller,
        action: &str,
        what: Value,
    ) -> Result<(), HttpResponse> {
        let Err(error) = self.0.write(caller, action, what).await else {
            log::info!("{} ({}): {action}", caller.name, caller.ip);
            return Ok(());
        };
        log::error!("the audit {} cannot be written: {error}", self.0.path().display());
        let text = format!("nothing was changed, because the audit cannot be written: {error}");
        Err(problem(StatusCode::INSUFFICIENT_STORAGE, &text))
    }

    /// Writes that `caller` does `action`, and has `make` do it.
    ///
    /// # Errors
    /// The answer, if the line could not be written (507) or the change could not be made (503).
    pub async fn make(
        &self,
        caller: &Caller,
        action: &str,
        what: Value,
        make: impl AsyncFnOnce() -> Result<(), StoreError>,
    ) -> Result<(), HttpResponse> {
        self.note(caller, action, what).await?;
        let Err(error) = make().await else { return Ok(()) };
        log::warn!("{} ({}): {action} failed: {error}", caller.name, caller.ip);
        let failed = json!({ "failed": error.to_string() });
        if let Err(error) = self.0.write(caller, action, failed).await {
            log::error!("the audit {} cannot be written: {error}", self.0.path().display());
        }
        Err(problem(StatusCode::SERVICE_UNAVAILABLE, &format!("it could not be kept: {error}")))
    }
}

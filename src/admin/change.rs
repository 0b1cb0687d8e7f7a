//! How every change over the operators' API is made: written down first, then made, and answered for either way.

use std::fmt::Display;

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

/// Why a change was not made.
pub enum Failed<E> {
    /// The line of the audit could not be written: the answer (507).
    NotAudited(HttpResponse),
    /// It was tried.
    NotMade(E),
}

impl<E> Failed<E> {
    /// The answer; to what was tried as `refuse` has it.
    pub fn answer(self, refuse: impl FnOnce(E) -> HttpResponse) -> HttpResponse {
        match self {
            Self::NotAudited(answer) => answer,
            Self::NotMade(error) => refuse(error),
        }
    }
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
        self.attempt(caller, action, what, make).await.map_err(|failed| {
            failed.answer(|error| {
                problem(StatusCode::SERVICE_UNAVAILABLE, &format!("it could not be kept: {error}"))
            })
        })
    }

    /// The same for a change that may fail in other ways, or has a result.
    ///
    /// # Errors
    /// If the line could not be written, or the change could not be made.
    pub async fn attempt<T, E: Display>(
        &self,
        caller: &Caller,
        action: &str,
        what: Value,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<T, Failed<E>> {
        self.note(caller, action, what).await.map_err(Failed::NotAudited)?;
        match make().await {
            Ok(made) => Ok(made),
            Err(error) => {
                self.note_failure(caller, action, json!({ "failed": error.to_string() })).await;
                Err(Failed::NotMade(error))
            }
        }
    }

    /// Writes that what `caller` did was not done after all, behind the line that says so.
    pub async fn note_failure(&self, caller: &Caller, action: &str, what: Value) {
        log::warn!("{} ({}): {action} failed: {what}", caller.name, caller.ip);
        if let Err(error) = self.0.write(caller, action, what).await {
            log::error!("the audit {} cannot be written: {error}", self.0.path().display());
        }
    }
}

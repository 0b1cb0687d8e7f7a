//! `GET /settings`: the settings in force, each with its place and what it takes to change it.

use std::sync::{Mutex, PoisonError};

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::settings::{InForce, Setting};

/// All settings.
#[derive(Debug, Serialize, ToSchema)]
pub struct Settings {
    /// In the order of `settings.toml`.
    settings: Vec<Setting>,
}

/// Lists the settings in force.
///
/// Each with the place it comes from, and what it takes to change it. Secrets are masked.
#[utoipa::path(
    get, path = "/settings", tag = "watching", operation_id = "listSettings",
    responses((status = 200, description = "All of them.", body = Settings)),
)]
pub async fn settings(in_force: web::Data<Mutex<InForce>>) -> HttpResponse {
    let settings = in_force.lock().unwrap_or_else(PoisonError::into_inner).shown();
    HttpResponse::Ok().json(Settings { settings })
}

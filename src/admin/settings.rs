//! `GET /settings`: the settings in force, each with its place and what it takes to change it.

use std::sync::{Mutex, PoisonError};

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::settings::InForce;

/// `GET /settings`; secrets are masked.
pub async fn settings(in_force: web::Data<Mutex<InForce>>) -> HttpResponse {
    let settings = in_force.lock().unwrap_or_else(PoisonError::into_inner).json();
    HttpResponse::Ok().json(json!({ "settings": settings }))
}

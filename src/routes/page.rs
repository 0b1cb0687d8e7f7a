//! The page: one template, and the headers that keep it to itself.

use std::path::Path;

use actix_web::{HttpRequest, HttpResponse, Responder, http::header, web};
use actors::topology::Node;
use anyhow::{Context as _, Result};
use tera::{Context, Tera};

/// The template's name in `templates/`.
const INDEX: &str = "index.html";

/// The parsed templates.
pub struct Templates(Tera);

impl Templates {
    /// Reads `templates/` in `folder`, so that a mistake in them is found at start.
    pub fn load(folder: &Path) -> Result<Self> {
        let file = folder.join("templates").join(INDEX);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read the page's template {}: start the server in the folder that holds \
                 templates/ and static/, or set page.path to it",
                file.display()
            )
        })?;
        let mut tera = Tera::default();
        tera.add_raw_template(INDEX, &text)
            .with_context(|| format!("mistake in template {}", file.display()))?;
        Ok(Self(tera))
    }
}

/// `GET /`.
pub async fn index(
    request: HttpRequest,
    node: web::Data<Node>,
    templates: web::Data<Templates>,
) -> impl Responder {
    let mut context = Context::new();
    context.insert("boxes", &node.board.boxes());
    context.insert("board", node.board.name());
    context.insert("version", env!("CARGO_PKG_VERSION"));
    match templates.0.render(INDEX, &context) {
        Ok(html) => HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::CONTENT_SECURITY_POLICY, policy(host(&request))))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .body(html),
        Err(error) => {
            log::error!("the page's template failed: {error}");
            HttpResponse::InternalServerError().body("the page cannot be shown\n")
        }
    }
}

fn host(request: &HttpRequest) -> Option<&str> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || ".:-[]".contains(c);
    (!host.is_empty() && host.chars().all(legal)).then_some(host)
}

/// Only what this server serves, and its own WebSocket: browsers differ in whether `'self'` covers
/// `ws:` (CSP3 says so, older Safari does not), so it is spelled out.
fn policy(host: Option<&str>) -> String {
    let sockets = host.map(|host| format!(" ws://{host} wss://{host}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_the_own_socket_and_nothing_inline() {
        let policy = policy(Some("localhost:8080"));
        assert!(policy.contains("connect-src 'self' ws://localhost:8080 wss://localhost:8080;"));
        assert!(!policy.contains("unsafe"));
    }
}

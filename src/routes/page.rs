//! The page: one template, and the headers that keep it to itself.

use actix_web::{HttpRequest, HttpResponse, Responder, http::header, web};
use actors::topology::Node;
use anyhow::{Context as _, Result};
use tera::{Context, Tera};
use url::Url;

use crate::settings::Page;

/// The template's name in `templates/`.
const INDEX: &str = "index.html";

/// The parsed templates, and what the settings put into them.
pub struct Templates {
    tera: Tera,
    page: Page,
}

impl Templates {
    /// Reads `templates/` in `page.path`, so that a mistake in them is found at start.
    pub fn load(page: &Page) -> Result<Self> {
        let file = page.path.join("templates").join(INDEX);
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
        Ok(Self { tera, page: page.clone() })
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
    let page = &templates.page;
    context.insert("me_url", &page.me_url);
    context.insert("coffee_url", &page.coffee_url);
    context.insert("websocket_url", &page.websocket_url);
    let policy = policy(host(&request), &page.websocket_url);
    match templates.tera.render(INDEX, &context) {
        Ok(html) => HttpResponse::Ok()
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
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

/// Only what this server serves, and the WebSocket: the configured one, or else its own. Browsers
/// differ in whether `'self'` covers `ws:` (CSP3 says so, older Safari does not), so that is spelled
/// out.
fn policy(host: Option<&str>, websocket_url: &str) -> String {
    let elsewhere = Url::parse(websocket_url).map(|url| url.origin().ascii_serialization());
    let sockets = match (elsewhere, host) {
        (Ok(origin), _) => format!(" {origin}"),
        (Err(_), Some(host)) => format!(" ws://{host} wss://{host}"),
        (Err(_), None) => String::new(),
    };
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
        let policy = policy(Some("localhost:8080"), "");
        assert!(policy.contains("connect-src 'self' ws://localhost:8080 wss://localhost:8080;"));
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn the_policy_names_a_socket_elsewhere_by_its_origin() {
        let connect = |url| {
            let policy = policy(Some("localhost:8080"), url);
            let (_, rest) = policy.split_once("connect-src ").expect("it is there");
            rest.split(';').next().expect("its sources").to_owned()
        };
        assert_eq!(connect("wss://play.example.org/ws?room=1"), "'self' wss://play.example.org");
        assert_eq!(connect("ws://10.0.0.1:9000/ws"), "'self' ws://10.0.0.1:9000");
        assert_eq!(connect("wss://example.org:443/ws"), "'self' wss://example.org");
        let own = "'self' ws://localhost:8080 wss://localhost:8080";
        assert_eq!((connect("/other/ws").as_str(), connect("").as_str()), (own, own));
    }
}

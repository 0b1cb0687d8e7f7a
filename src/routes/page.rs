//! The page: one template, the files it is made of, and the headers that keep it to itself.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    http::header::{self, ETag, EntityTag},
    web,
};
use actors::{board::Board, node::Node};
use anyhow::{Context as _, Result};
use indicatif::HumanCount;
use tera::{Context, Tera};
use url::Url;

use super::{
    assets::{Assets, ICON},
    encoded::{Effort, is_known},
    files::{Files, holds_another_page},
};
use crate::settings;

/// The name of the template.
const INDEX: &str = "index.html";

/// For whoever starts the server in a folder with a page of its own.
const PASSED_OVER: &str = "the page that is compiled in is served, from which templates/ and static/ in the \
                           working directory differ: page.path = \".\" serves that folder instead";

/// For what nobody needs to allow: this page asks for none of it.
const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// What is to be known about a page that is compiled in, if the working directory holds another one.
pub fn notice(settings: &settings::Page) -> Option<&'static str> {
    let is_passed_over = settings.folder().is_none() && holds_another_page(Path::new("."));
    is_passed_over.then_some(PASSED_OVER)
}

/// The page as it was read.
pub struct Loaded {
    templates: Tera,
    /// The files it asks for.
    pub assets: Assets,
}

/// The page and where it comes from.
pub struct Page {
    settings: settings::Page,
    /// `server.base_path`, without a slash at its end.
    base: String,
    /// Whether players can talk to each other on it.
    has_chat: bool,
    loaded: RwLock<Arc<Loaded>>,
}

impl Page {
    /// Takes the page that is compiled in, or the folder's, and tries it, so that a mistake in it is found
    /// at start. The page is served below `base`, and has a chat if it is to have one.
    ///
    /// # Errors
    /// If a file is missing or cannot be read, or the template has a mistake; the error names the file.
    pub fn load(settings: &settings::Page, base: &str, has_chat: bool) -> Result<Self> {
        let effort = if settings.reload { Effort::Quick } else { Effort::Thorough };
        let loaded = Loaded::load(settings, base, effort)?;
        let (settings, base) = (settings.clone(), base.to_owned());
        Ok(Self { settings, base, has_chat, loaded: RwLock::new(Arc::new(loaded)) })
    }

    /// What was read last.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What stands before every path of the site.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What is there now, if it may change, else what was read at start.
    async fn current(self: Arc<Self>) -> Result<Arc<Loaded>> {
        if self.settings.reload {
            let page = self.clone();
            let load = move || Loaded::load(&page.settings, &page.base, Effort::Quick);
            let loaded = web::block(load).await??;
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        }
        Ok(self.loaded())
    }
}

impl Loaded {
    fn load(settings: &settings::Page, base: &str, effort: Effort) -> Result<Self> {
        let Files { template_path, template, statics } = Files::load(settings.folder())?;
        let assets = Assets::new(statics, base, effort);
        let mut templates = Tera::default();
        let mistake = || format!("mistake in template {}", template_path.display());
        templates.add_raw_template(INDEX, &template).with_context(mistake)?;
        let loaded = Self { templates, assets };
        let any_board = Board::new("main", 1, 1).expect("a legal board");
        let html = loaded.render(settings, base, true, &any_board).with_context(mistake)?;
        loaded.assets.ensure_complete(&html)?;
        Ok(loaded)
    }

    fn render(
        &self,
        settings: &settings::Page,
        base: &str,
        has_chat: bool,
        board: &Board,
    ) -> Result<String> {
        let own_socket = if base.is_empty() { String::new() } else { format!("{base}/ws") };
        let socket = Some(&settings.websocket_url).filter(|url| !url.is_empty());
        let mut context = Context::new();
        context.insert("base", base);
        context.insert("static", &self.assets.prefix());
        context.insert("modules", &self.assets.modules());
        context.insert("boxes", &board.boxes());
        // As the page writes it before it knows the reader's language: 1,000,000,000.
        context.insert("boxes_words", &HumanCount(board.boxes().into()).to_string());
        context.insert("chat", &has_chat);
        context.insert("board", board.name());
        context.insert("version", env!("CARGO_PKG_VERSION"));
        context.insert("me_url", &settings.me_url);
        context.insert("coffee_url", &settings.coffee_url);
        context.insert("websocket_url", socket.unwrap_or(&own_socket));
        Ok(self.templates.render(INDEX, &context)?)
    }
}

/// `GET /`.
pub async fn index(
    request: HttpRequest,
    node: web::Data<Node>,
    page: web::Data<Page>,
) -> impl Responder {
    let page = page.into_inner();
    let rendered = page.clone().current().await;
    let board = &node.main().board;
    let html = match rendered
        .and_then(|now| now.render(&page.settings, &page.base, page.has_chat, board))
    {
        Ok(html) => html,
        Err(problem) => {
            log::error!("{problem:#}");
            return HttpResponse::InternalServerError().body(format!("{problem:#}\n"));
        }
    };
    // Weak: the same page is sent in several compressed forms.
    let tag =
        EntityTag::new_weak(format!("{:08x}-{:x}", crc32c::crc32c(html.as_bytes()), html.len()));
    let known = is_known(&request, &tag);
    let policy = policy(host(&request), &page.settings.websocket_url);
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header(ETag(tag))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header(("permissions-policy", PERMISSIONS))
        .insert_header(("cross-origin-opener-policy", "same-origin"));
    if known {
        return response.finish();
    }
    response.content_type("text/html; charset=utf-8").body(html)
}

/// `GET /robots.txt`: the page may be found; the rest is nothing to read.
pub async fn robots(page: web::Data<Page>) -> impl Responder {
    let base = page.base();
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body(format!("User-agent: *\nDisallow: {base}/overview\nDisallow: {base}/ws\n"))
}

/// `GET /manifest.webmanifest`: what a phone needs to keep the page among its programs.
pub async fn manifest(page: web::Data<Page>) -> impl Responder {
    let icon = format!("{}/{ICON}", page.loaded().assets.prefix());
    let manifest = serde_json::json!({
        "name": "Billion Checkboxes",
        "short_name": "Checkboxes",
        "description": "One page with a billion checkboxes that everyone in the world shares.",
        "start_url": format!("{}/", page.base()),
        "scope": format!("{}/", page.base()),
        "display": "standalone",
        "background_color": "#f6f5fb",
        "theme_color": "#f6f5fb",
        "icons": [{ "src": icon, "sizes": "any", "type": "image/svg+xml", "purpose": "any" }],
    });
    HttpResponse::Ok()
        .content_type("application/manifest+json")
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(manifest.to_string())
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
         manifest-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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

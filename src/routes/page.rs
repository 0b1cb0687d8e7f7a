//! The page: one template, the files it is made of, and the headers that keep it to itself.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use actix_web::{HttpRequest, HttpResponse, Responder, http::header, web};
use actors::topology::Node;
use anyhow::{Context as _, Result};
use tera::{Context, Tera};
use url::Url;

use super::{assets::Assets, encoded::Effort};
use crate::settings;

/// The template's name in `templates/`.
const INDEX: &str = "index.html";

/// What to do if the page's files cannot be read.
pub const WAY_OUT: &str = "start the server in the folder that holds templates/ and static/, or set \
                           page.path to it";

/// The page as it was read.
pub struct Loaded {
    templates: Tera,
    /// The files it asks for.
    pub assets: Assets,
}

/// The page and where it comes from.
pub struct Page {
    settings: settings::Page,
    loaded: RwLock<Arc<Loaded>>,
}

impl Page {
    /// Reads `templates/` and `static/`, so that a mistake in them is found at start.
    ///
    /// # Errors
    /// If a file cannot be read or the template has a mistake; the error names the file.
    pub fn load(settings: &settings::Page) -> Result<Self> {
        let effort = if settings.reload { Effort::Quick } else { Effort::Thorough };
        let loaded = Loaded::load(&settings.path, effort)?;
        Ok(Self { settings: settings.clone(), loaded: RwLock::new(Arc::new(loaded)) })
    }

    /// What was read last.
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is there now, if it may change, else what was read at start.
    async fn current(self: Arc<Self>) -> Result<Arc<Loaded>> {
        if self.settings.reload {
            let folder = self.settings.path.clone();
            let loaded = web::block(move || Loaded::load(&folder, Effort::Quick)).await??;
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
        }
        Ok(self.loaded())
    }
}

impl Loaded {
    fn load(folder: &Path, effort: Effort) -> Result<Self> {
        let assets = Assets::load(&folder.join("static"), effort)?;
        let file = folder.join("templates").join(INDEX);
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!("cannot read the page's template {}: {WAY_OUT}", file.display())
        })?;
        let mut tera = Tera::default();
        tera.add_raw_template(INDEX, &text)
            .with_context(|| format!("mistake in template {}", file.display()))?;
        Ok(Self { templates: tera, assets })
    }
}

/// `GET /`.
pub async fn index(
    request: HttpRequest,
    node: web::Data<Node>,
    page: web::Data<Page>,
) -> impl Responder {
    let page = page.into_inner();
    let loaded = match page.clone().current().await {
        Ok(loaded) => loaded,
        Err(problem) => {
            log::error!("{problem:#}");
            return HttpResponse::InternalServerError().body(format!("{problem:#}\n"));
        }
    };
    let mut context = Context::new();
    context.insert("static", &loaded.assets.prefix());
    context.insert("modules", &loaded.assets.modules());
    context.insert("boxes", &node.board.boxes());
    context.insert("board", node.board.name());
    context.insert("version", env!("CARGO_PKG_VERSION"));
    let settings = &page.settings;
    context.insert("me_url", &settings.me_url);
    context.insert("coffee_url", &settings.coffee_url);
    context.insert("websocket_url", &settings.websocket_url);
    let policy = policy(host(&request), &settings.websocket_url);
    match loaded.templates.render(INDEX, &context) {
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

//! `GET /`: the operators' dashboard. Its files hold nothing of the board, so they are for everybody who gets here; all that
//! they show comes from what stands behind the guard.

use std::collections::BTreeMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
    web,
};
use bytes::Bytes;
use include_dir::{Dir, include_dir};

use crate::{
    problem::problem,
    routes::{
        assets::content_type,
        encoded::{Effort, Encoded},
        files,
    },
};

/// `build.rs` asks cargo to compile it anew after any change.
static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/dashboard");

/// The document.
const DOCUMENT: &str = "index.html";

/// Files of the game's page that this one uses: its colours, and its picture.
const OF_THE_GAME: [&str; 2] = ["page.css", "favicon.svg"];

/// Only what this listener serves; nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files, each compressed for the first who asks for it.
pub struct Dashboard(BTreeMap<String, Encoded>);

impl Default for Dashboard {
    fn default() -> Self {
        let own = FILES.files().filter_map(|file| {
            let name = file.path().file_name()?.to_str()?;
            Some((name.to_owned(), Bytes::from_static(file.contents())))
        });
        let game = OF_THE_GAME.into_iter();
        let game = game.filter_map(|name| Some((name.to_owned(), files::compiled_in(name)?)));
        let encoded = own.chain(game).map(|(name, bytes)| {
            let media = content_type(&name);
            (name, Encoded::new(media, "no-cache", Effort::Quick, bytes))
        });
        Self(encoded.collect())
    }
}

/// `GET /`.
pub async fn document(request: HttpRequest, dashboard: web::Data<Dashboard>) -> HttpResponse {
    let mut response = dashboard.0[DOCUMENT].respond(&request);
    let headers = response.headers_mut();
    for (name, value) in
        [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "no-referrer")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `GET /dashboard/{file}`.
pub async fn file(
    request: HttpRequest,
    name: web::Path<String>,
    dashboard: web::Data<Dashboard>,
) -> HttpResponse {
    match dashboard.0.get(&*name).filter(|_| *name != DOCUMENT) {
        Some(file) => file.respond(&request),
        None => problem(StatusCode::NOT_FOUND, "the dashboard has no such file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a file.
    fn text(dashboard: &Dashboard, name: &str) -> String {
        String::from_utf8(dashboard.0[name].plain().to_vec()).expect("text")
    }

    #[test]
    fn every_file_that_the_dashboard_names_is_there() {
        let dashboard = Dashboard::default();
        let mut named = 0;
        let names = dashboard.0.keys().filter(|name| name.ends_with(".js") || *name == DOCUMENT);
        for name in names {
            let text = text(&dashboard, name);
            for before in ["=\"dashboard/", "from './"] {
                for (at, _) in text.match_indices(before) {
                    let rest = &text[at + before.len()..];
                    let file = rest.split(['"', '\'']).next().unwrap_or_default();
                    assert!(dashboard.0.contains_key(file), "{file}, which {name} names");
                    named += 1;
                }
            }
        }
        assert!(named > 5, "{named}");
        assert!(!text(&dashboard, DOCUMENT).contains("style="), "the policy allows none inline");
    }
}

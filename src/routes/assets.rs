//! What the page asks for: every file of `static/`, in memory, compressed once.
//!
//! Each is served under a name that changes with the contents of any of them,
//! `/static/<hash>/<file>`, and may be kept for ever. One hash for all, because modules name each other
//! relatively: the whole page is always of one version, and no file has to be rewritten.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::{Result, ensure};
use bytes::Bytes;

use super::{
    encoded::{Effort, Encoded},
    missing::missing,
    page::Page,
    query::switch,
};

/// A file under its hashed name never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A page of another version asks, from a node that was or will be upgraded: it gets today's file,
/// which nobody may keep under that name.
const NOT_AT_ALL: &str = "no-store";

/// Under its plain name a file is asked for again before each use.
const NO_CACHE: &str = "no-cache";

/// Under a name that stays, a file may change with any start.
const A_DAY: &str = "public, max-age=86400";

/// The site's picture, which the page names.
pub const ICON: &str = "favicon.svg";

/// All files of the page.
#[derive(Debug)]
pub struct Assets {
    /// `server.base_path`, without a slash at its end.
    base: String,
    hash: String,
    files: BTreeMap<String, Encoded>,
}

impl Assets {
    /// Takes the files, which are served below `base`, and compresses them with `Effort::Thorough`.
    pub fn new(files: BTreeMap<String, Bytes>, base: &str, effort: Effort) -> Self {
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        let hash = format!("{:016x}", hasher.finish());
        let files = files.into_iter().map(|(name, bytes)| {
            let encoded = Encoded::new(content_type(&name), FOR_EVER, effort, bytes);
            if matches!(effort, Effort::Thorough) {
                encoded.compress();
            }
            (name, encoded)
        });
        Self { base: base.to_owned(), files: files.collect(), hash }
    }

    /// Where they are served: a path without a slash at its end.
    pub fn prefix(&self) -> String {
        format!("{}/static/{}", self.base, self.hash)
    }

    /// That whatever `html` names of them is there, and whatever their modules import.
    ///
    /// # Errors
    /// If not; the error says what is missing and who names it.
    pub fn ensure_complete(&self, html: &str) -> Result<()> {
        let named = |text: &str, before: &str, by: &str| {
            for (at, _) in text.match_indices(before) {
                let name = text[at + before.len()..].split(['"', '\'']).next().unwrap_or_default();
                let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                ensure!(
                    name.is_empty() || !name.chars().all(legal) || self.files.contains_key(name),
                    "static/{name} is missing, which {by} names: copy all of static/"
                );
            }
            Ok(())
        };
        named(html, &format!("{}/", self.prefix()), "the page")?;
        for module in self.modules() {
            let text = String::from_utf8_lossy(self.files[module].plain());
            named(&text, "from './", module)?;
        }
        Ok(())
    }

    /// Names of the JavaScript modules, for the page to ask for all of them at once.
    pub fn modules(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).filter(|name| name.ends_with(".js")).collect()
    }
}

/// Text is UTF-8, which a media type has to say.
pub fn content_type(name: &str) -> String {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    let mime = actix_files::file_extension_to_mime(extension.unwrap_or_default());
    if mime.type_() == "text" { format!("{mime}; charset=utf-8") } else { mime.to_string() }
}

/// `GET /static/<hash>/<file>`, or with `?exact` that version of the file or none: what a proxy in
/// front of nodes of two versions asks for, which can still find the node that has it.
pub async fn asset(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    page: web::Data<Page>,
) -> HttpResponse {
    let (hash, name) = path.into_inner();
    let loaded = page.loaded();
    let assets = &loaded.assets;
    match assets.files.get(&name) {
        Some(file) if hash == assets.hash => file.respond(&request),
        Some(_) if is_exact(request.query_string()) => {
            HttpResponse::NotFound().body("this node has another version of that file\n")
        }
        Some(file) => file.respond_with(&request, NOT_AT_ALL),
        None => HttpResponse::NotFound().body("there is no such file\n"),
    }
}

/// `GET /static/<file>` of the page that is compiled in. A folder's files are served so by actix-files
/// (`http.rs`).
pub async fn by_name(
    request: HttpRequest,
    name: web::Path<String>,
    page: web::Data<Page>,
) -> HttpResponse {
    match page.loaded().assets.files.get(&*name) {
        Some(file) => file.respond_with(&request, NO_CACHE),
        None => missing(request, page).await,
    }
}

fn is_exact(query: &str) -> bool {
    switch(query, "exact").unwrap_or(false)
}

/// `GET /favicon.ico`, which browsers and others ask for without having read the page.
pub async fn icon(request: HttpRequest, page: web::Data<Page>) -> HttpResponse {
    match page.loaded().assets.files.get(ICON) {
        Some(icon) => icon.respond_with(&request, A_DAY),
        None => HttpResponse::NotFound().body("there is no such file\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets_of(files: &[(&str, &str)]) -> Assets {
        let files = files.iter().map(|(name, text)| (name.to_string(), text.to_string().into()));
        Assets::new(files.collect(), "", Effort::Quick)
    }

    #[test]
    fn the_name_changes_with_any_file() {
        let before = assets_of(&[("a.js", "1"), ("b.css", "2")]);
        assert_eq!(before.prefix(), assets_of(&[("a.js", "1"), ("b.css", "2")]).prefix());
        for other in [
            assets_of(&[("a.js", "1"), ("b.css", "3")]),
            assets_of(&[("a.js", "1"), ("c.css", "2")]),
            assets_of(&[("a.js", "1")]),
        ] {
            assert_ne!(before.prefix(), other.prefix());
        }
        assert_eq!(before.modules(), ["a.js"]);
    }

    #[test]
    fn whatever_is_named_has_to_be_there() {
        let import = "import { b } from './b.js';";
        let assets = assets_of(&[("a.js", import), ("b.js", "")]);
        let page = |name: &str| format!("<script src=\"{}/{name}\">", assets.prefix());
        assert!(assets.ensure_complete(&page("a.js")).is_ok());
        let told = |assets: &Assets, html: &str| {
            assets.ensure_complete(html).expect_err("one is missing").to_string()
        };
        assert!(
            told(&assets, &page("c.css")).starts_with("static/c.css is missing, which the page")
        );
        let half = assets_of(&[("a.js", import)]);
        assert!(told(&half, "").starts_with("static/b.js is missing, which a.js names"));
    }

    #[test]
    fn every_kind_of_file_has_its_media_type() {
        assert_eq!(content_type("main.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("page.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("favicon.svg"), "image/svg+xml");
    }
}

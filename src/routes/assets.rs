//! What the page is made of: every file of `static/`, in memory, compressed once.
//!
//! Each is served under a name that changes with the contents of any of them,
//! `/static/<hash>/<file>`, and may be kept for ever. One hash for all, because modules name each other
//! relatively: the whole page is always of one version, and no file has to be rewritten.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use actix_web::{HttpRequest, HttpResponse, web};
use anyhow::{Context, Result, ensure};

use super::{
    encoded::{Effort, Encoded},
    page::{Page, WAY_OUT},
    query::switch,
};

/// A file under its hashed name never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A page of another version asks, from a node that was or will be upgraded: it gets today's file,
/// which nobody may keep under that name.
const NOT_AT_ALL: &str = "no-store";

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
    /// Reads and, with `Effort::Thorough`, compresses the files in `folder`, which are served below
    /// `base`.
    ///
    /// # Errors
    /// If a file cannot be read; the error names it.
    pub fn load(folder: &Path, base: &str, effort: Effort) -> Result<Self> {
        let mut contents = BTreeMap::new();
        let unreadable =
            || format!("cannot read the page's folder {}: {WAY_OUT}", folder.display());
        for entry in fs::read_dir(folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.starts_with('.') || !path.is_file() {
                continue;
            }
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            contents.insert(name.to_owned(), bytes);
        }
        let mut hasher = DefaultHasher::new();
        contents.hash(&mut hasher);
        let hash = format!("{:016x}", hasher.finish());
        let files = contents.into_iter().map(|(name, bytes)| {
            let encoded = Encoded::new(content_type(&name), FOR_EVER, effort, bytes);
            if matches!(effort, Effort::Thorough) {
                encoded.compress();
            }
            (name, encoded)
        });
        Ok(Self { base: base.to_owned(), files: files.collect(), hash })
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
fn content_type(name: &str) -> String {
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

    fn load(files: &[(&str, &str)]) -> Assets {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a writable file");
        }
        Assets::load(folder.path(), "", Effort::Quick).expect("readable")
    }

    #[test]
    fn the_name_changes_with_any_file() {
        let before = load(&[("a.js", "1"), ("b.css", "2")]);
        assert_eq!(before.prefix(), load(&[("a.js", "1"), ("b.css", "2")]).prefix());
        for other in [
            load(&[("a.js", "1"), ("b.css", "3")]),
            load(&[("a.js", "1"), ("c.css", "2")]),
            load(&[("a.js", "1")]),
        ] {
            assert_ne!(before.prefix(), other.prefix());
        }
        assert_eq!(before.modules(), ["a.js"]);
    }

    #[test]
    fn whatever_is_named_has_to_be_there() {
        let import = "import { b } from './b.js';";
        let assets = load(&[("a.js", import), ("b.js", "")]);
        let page = |name: &str| format!("<script src=\"{}/{name}\">", assets.prefix());
        assert!(assets.ensure_complete(&page("a.js")).is_ok());
        let told = |assets: &Assets, html: &str| {
            assets.ensure_complete(html).expect_err("one is missing").to_string()
        };
        assert!(
            told(&assets, &page("c.css")).starts_with("static/c.css is missing, which the page")
        );
        let half = load(&[("a.js", import)]);
        assert!(told(&half, "").starts_with("static/b.js is missing, which a.js names"));
    }

    #[test]
    fn every_kind_of_file_has_its_media_type() {
        assert_eq!(content_type("main.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("page.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("favicon.svg"), "image/svg+xml");
    }
}

//! The files that the page is made of, as they were written: those that are compiled in, or those of the
//! folder that `page.path` names.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use include_dir::{Dir, include_dir};

use crate::reading;

/// The template, in the repository as in a folder.
const TEMPLATE: &str = "templates/index.html";

/// The folder of everything else.
const STATIC: &str = "static";

/// `build.rs` asks cargo to compile both anew after any change of them.
const COMPILED_IN_TEMPLATE: &str = include_str!("../../templates/index.html");
static COMPILED_IN_STATIC: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/static");

/// What to do if the page's files cannot be read.
const WAY_OUT: &str = "set page.path to the folder that holds templates/ and static/, or remove it: the \
                       page is compiled in";

/// The files of one version of the page.
#[derive(Debug)]
pub struct Files {
    /// Where the template comes from, for messages about it.
    pub template_path: PathBuf,
    /// The template.
    pub template: String,
    /// Everything that the page asks for, by name.
    pub statics: BTreeMap<String, Bytes>,
}

impl Files {
    /// The files in `folder`, or those that are compiled in.
    ///
    /// # Errors
    /// If a file is missing or cannot be read; the error names it.
    pub fn load(folder: Option<&Path>) -> Result<Self> {
        folder.map_or_else(|| Ok(Self::compiled_in()), Self::read)
    }

    fn compiled_in() -> Self {
        let files = COMPILED_IN_STATIC.files().filter_map(|file| {
            let name = page_name(file.path())?;
            Some((name.to_owned(), Bytes::from_static(file.contents())))
        });
        Self {
            template_path: TEMPLATE.into(),
            template: COMPILED_IN_TEMPLATE.to_owned(),
            statics: files.collect(),
        }
    }

    fn read(folder: &Path) -> Result<Self> {
        let statics = static_folder(folder);
        let unreadable =
            || format!("cannot read the page's folder {}: {WAY_OUT}", statics.display());
        let files = list(&statics).with_context(unreadable)?.into_iter().map(|(name, path)| {
            let bytes =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok((name, bytes.into()))
        });
        let statics = files.collect::<Result<_>>()?;
        let template_path = folder.join(TEMPLATE);
        let unreadable =
            || format!("cannot read the page's template {}: {WAY_OUT}", template_path.display());
        let template = reading::found(&template_path).with_context(unreadable)?;
        let template = String::from_utf8(template).with_context(unreadable)?;
        Ok(Self { template_path, template, statics })
    }
}

/// One of the files that are compiled in.
pub fn compiled_in(name: &str) -> Option<Bytes> {
    COMPILED_IN_STATIC.get_file(name).map(|file| Bytes::from_static(file.contents()))
}

/// Where the files other than the template are in a folder of the page.
pub fn static_folder(folder: &Path) -> PathBuf {
    folder.join(STATIC)
}

/// Whether `folder` holds a page, and a different one from what is compiled in. Nothing is read of files
/// with other names: they may be anybody's, and of any size.
pub fn holds_another_page(folder: &Path) -> bool {
    let Ok(template) = reading::found(&folder.join(TEMPLATE)) else { return false };
    let Ok(found) = list(&static_folder(folder)) else { return false };
    let Files { statics: ours, .. } = Files::compiled_in();
    let is_ours = |name, path| {
        ours.get(name).is_some_and(|ours| fs::read(path).is_ok_and(|found| found == *ours))
    };
    template != COMPILED_IN_TEMPLATE.as_bytes()
        || !found.keys().eq(ours.keys())
        || !found.iter().all(|(name, path)| is_ours(name, path))
}

/// The page's files in a folder, by name.
fn list(folder: &Path) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(name) = page_name(&path)
            && path.is_file()
        {
            files.insert(name.to_owned(), path);
        }
    }
    Ok(files)
}

/// What the page calls a file; none for what editors and systems leave in folders.
fn page_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str().filter(|name| !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_page_that_is_compiled_in_is_the_one_in_the_repository() {
        let (compiled_in, read) = (Files::load(None), Files::load(Some(repository())));
        let (compiled_in, read) = (compiled_in.expect("in memory"), read.expect("readable"));
        assert!(compiled_in.statics.len() > 40, "{:?}", compiled_in.statics.keys());
        assert!(compiled_in.statics.keys().eq(read.statics.keys()));
        assert!(compiled_in.statics == read.statics && compiled_in.template == read.template);
    }

    #[test]
    fn a_folder_holds_another_page_if_any_file_differs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let is_another = || holds_another_page(folder.path());
        assert!(!is_another(), "there is no page");
        for part in ["templates", STATIC] {
            fs::create_dir(path(part)).expect("a folder can be made");
            for entry in fs::read_dir(repository().join(part)).expect("a folder") {
                let from = entry.expect("an entry").path();
                let to = path(part).join(from.file_name().expect("a name"));
                fs::copy(from, to).expect("copied");
            }
        }
        assert!(!is_another(), "the same page");
        fs::write(path("static/.main.js.swp"), "").expect("a writable file");
        assert!(!is_another(), "not a file of the page");

        for changed in [TEMPLATE, "static/main.js"] {
            let text = fs::read(path(changed)).expect("readable");
            fs::write(path(changed), [&text[..], b"\n"].concat()).expect("writable");
            assert!(is_another(), "{changed}");
            fs::write(path(changed), text).expect("writable");
        }
        fs::write(path("static/more.js"), "").expect("a writable file");
        assert!(is_another(), "one more");
        fs::rename(path("static/more.js"), path("static/main.js")).expect("it can be moved");
        assert!(is_another(), "an empty one");
        fs::remove_file(path("static/main.js")).expect("it can be removed");
        assert!(is_another(), "one less");
        fs::remove_file(path(TEMPLATE)).expect("it can be removed");
        assert!(!is_another(), "no page without a template");
    }
}

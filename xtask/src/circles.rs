//! No file of a crate imports, directly or round about, one that imports it. What holds for crates keeps files
//! apart, too: each can be read, tested and changed without those that stand on it.
//!
//! An import is any path that leads to another file of the crate, also one handed to a macro. Tests may import what
//! they like. The root may not pass on what is in files, which would hide where a path leads.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMod, UseTree,
    visit::{self, Visit},
};

/// A module as its path from the crate's root: `["worker", "hub"]`.
type Module = Vec<String>;

/// Which modules each module imports, and one path by which it does.
type Imports = BTreeMap<Module, BTreeMap<Module, String>>;

/// Fails, naming every file on the way, if files below `sources` import each other in a circle.
pub fn check(sources: &Path) -> Result<()> {
    let files = files_of(sources)?;
    let imports = imports(&files)?;
    if let Some(circle) = circle(&imports) {
        let mut told = String::from("files import each other in a circle:");
        for (from, to) in circle.iter().zip(circle.iter().cycle().skip(1)) {
            let path = &imports[from][to];
            told += &format!("\n  {} imports {path}", files[from].display());
        }
        bail!("{told}");
    }
    let count: usize = imports.values().map(BTreeMap::len).sum();
    println!("{} files below {}: {count} imports, no circle", files.len(), sources.display());
    Ok(())
}

/// The file of every module, but for those of tests.
fn files_of(sources: &Path) -> Result<BTreeMap<Module, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![sources.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let module = path.strip_prefix(sources)?.with_extension("");
            let module: Module =
                module.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if module.last().is_some_and(|name| name == "mod") {
                bail!("{}: name it after its folder, beside that", path.display());
            }
            let is_root = module == ["lib"] || module == ["main"];
            let is_test = module.iter().any(|name| name == "tests");
            if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                files.insert(if is_root { Vec::new() } else { module }, path);
            }
        }
    }
    Ok(files)
}

fn imports(files: &BTreeMap<Module, PathBuf>) -> Result<Imports> {
    let known: BTreeSet<&Module> = files.keys().collect();
    let read = |(module, file): (&Module, &PathBuf)| {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| file.display().to_string())?;
        let mut reader = Reader { module, known: &known, found: BTreeMap::new() };
        if module.is_empty()
            && let Some(name) = parsed.items.iter().find_map(passed_on)
        {
            bail!("{} passes on {name}: import it from its own file", file.display());
        }
        reader.visit_file(&parsed);
        Ok((module.clone(), reader.found))
    };
    files.iter().map(read).collect()
}

/// Reads the paths of one file.
struct Reader<'f> {
    module: &'f Module,
    known: &'f BTreeSet<&'f Module>,
    found: BTreeMap<Module, String>,
}

impl Reader<'_> {
    /// A path as it is written: adds the file it leads to, if that is another one of this crate.
    fn path(&mut self, path: &[String]) {
        let mut names = path.iter();
        let mut at = match names.next().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            // A module of this file's own; a name alone is a variable of that name.
            Some(name) if path.len() > 1 && self.is_known(self.module, name) => {
                names = path.iter();
                self.module.clone()
            }
            _ => return,
        };
        for name in names {
            if name == "super" {
                at.pop();
            } else if self.is_known(&at, name) {
                at.push(name.clone());
            } else {
                break;
            }
        }
        if at != *self.module && !at.is_empty() {
            self.found.entry(at).or_insert_with(|| path.join("::"));
        }
    }

    fn is_known(&self, module: &[String], name: &str) -> bool {
        self.known.contains(&[module, &[name.to_owned()]].concat())
    }

    /// What a macro is given: names with `::` between them are a path there, too.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.path_of_some(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.path_of_some(&mut path);
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.path_of_some(&mut path),
            }
        }
        self.path_of_some(&mut path);
    }

    /// Takes a path of some names: one alone may be any word of the macro's.
    fn path_of_some(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.path(path);
        }
        path.clear();
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.path(&with(&name.ident)),
            UseTree::Rename(rename) => self.path(&with(&rename.ident)),
            UseTree::Glob(_) => self.path(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (Item::Mod(ItemMod { attrs, .. })
        | Item::Use(syn::ItemUse { attrs, .. })
        | Item::Fn(syn::ItemFn { attrs, .. })
        | Item::Impl(syn::ItemImpl { attrs, .. })) = item
        else {
            return visit::visit_item(self, item);
        };
        if !attrs.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    /// `pub(super)` and the like import nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.path(&names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }
}

/// What a file of others is given by `pub use`, if this is one.
fn passed_on(item: &Item) -> Option<String> {
    let Item::Use(syn::ItemUse {
        vis: syn::Visibility::Public(_), tree: UseTree::Path(tree), ..
    }) = item
    else {
        return None;
    };
    Some(tree.ident.to_string())
}

fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
}

/// The shortest circle, if there is one.
fn circle(imports: &Imports) -> Option<Vec<Module>> {
    imports.keys().filter_map(|start| way_back(imports, start)).min_by_key(Vec::len)
}

/// The shortest way from a module's imports back to it; begins with the module itself.
fn way_back(imports: &Imports, start: &Module) -> Option<Vec<Module>> {
    let mut seen = BTreeSet::new();
    let mut ways = std::collections::VecDeque::from([vec![start.clone()]]);
    while let Some(way) = ways.pop_front() {
        let next = imports.get(way.last()?).into_iter().flat_map(BTreeMap::keys);
        for module in next {
            if module == start {
                return Some(way);
            }
            if seen.insert(module) {
                ways.push_back([&way[..], std::slice::from_ref(module)].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate in a folder of its own.
    fn sources(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("circles-{name}-{}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        folder
    }

    fn checked(name: &str, files: &[(&str, &str)]) -> Result<(), String> {
        let folder = sources(name, files);
        let checked = check(&folder).map_err(|error| error.to_string());
        fs::remove_dir_all(folder).expect("it was made");
        checked
    }

    #[test]
    fn files_that_stand_on_each_other_in_order_pass() {
        let files = [
            ("lib.rs", "pub mod a; pub mod b; use b::Both;"),
            (
                "a.rs",
                "mod inner; use self::inner::One; pub struct A(One); fn f(inner: u8) -> u8 { inner }",
            ),
            (
                "a/inner.rs",
                "pub(super) struct One; fn f() -> u8 { std::mem::size_of::<One>() as u8 }",
            ),
            ("b.rs", "use crate::a::{A, inner}; pub struct Both; use std::rc::Rc;"),
        ];
        assert_eq!(checked("good", &files), Ok(()));
    }

    #[test]
    fn a_circle_is_named_file_by_file() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; mod d;"),
            ("a.rs", "use crate::{b::{B, Other}, d::D};"),
            ("b.rs", "fn f() { crate::c::g(); }"),
            ("c.rs", "use super::a as renamed; pub fn g() {}"),
            ("d.rs", "use crate::c::g;"),
        ];
        let told = checked("bad", &files).expect_err("a, b and c stand on each other");
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        for (line, words) in lines[1..].iter().zip([
            "a.rs imports crate::b::B",
            "b.rs imports crate::c::g",
            "c.rs imports super::a",
        ]) {
            assert!(line.ends_with(words), "{told}");
        }
    }

    #[test]
    fn a_file_and_its_own_module_may_not_import_each_other() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a.rs", "mod part; pub struct A; fn f() { part::help() }"),
            ("a/part.rs", "use super::A; pub fn help() {}"),
        ];
        let told = checked("part", &files).expect_err("they do");
        assert!(told.contains("a.rs imports part::help"), "{told}");
        assert!(told.contains("part.rs imports super::A"), "{told}");
    }

    #[test]
    fn what_is_handed_to_a_macro_is_an_import() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "fn f() { assert!(g(7, &[crate::b::h()]), \"b\"); }"),
            ("b.rs", "fn f() { println!(\"{}\", super::a::f); }"),
        ];
        let told = checked("macro", &files).expect_err("a and b stand on each other");
        assert!(told.contains("a.rs imports crate::b::h"), "{told}");
        assert!(told.contains("b.rs imports super::a::f"), "{told}");
    }

    #[test]
    fn what_would_hide_where_a_path_leads_is_refused() {
        let told = checked("passed", &[("lib.rs", "mod a; pub use a::A;"), ("a.rs", "")]);
        assert!(told.is_err_and(|told| told.contains("passes on a")));
        let told = checked("mod", &[("lib.rs", "mod a;"), ("a/mod.rs", "")]);
        assert!(told.is_err_and(|told| told.contains("after its folder")));
    }

    #[test]
    fn tests_may_import_what_they_like() {
        let files = [
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod tests;"),
            ("a.rs", "use crate::b::B; #[cfg(test)] mod tests { use super::*; use crate::a::A; }"),
            ("b.rs", "#[cfg(test)] use crate::a::A; #[cfg(test)] mod tests { use crate::a::A; }"),
            ("tests.rs", "use crate::a::A;"),
        ];
        assert_eq!(checked("tests", &files), Ok(()));
    }
}

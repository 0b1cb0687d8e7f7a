//! People: who somebody is to the server, and what they may do with that.

mod accounts;
mod books;
mod cookies;
mod rotation;
mod sign_outs;
mod tickets;
mod totals;

use std::{fs, path::Path};

/// Every test that the manual names, and in which files it may be.
#[test]
fn the_table_for_users_of_centrifugo_names_tests_that_exist() {
    let manual = include_str!("../../docs/PEOPLE.md");
    let (_, table) = manual.split_once("## For users of Centrifugo").expect("the chapter");
    let named = table.lines().filter_map(|line| line.strip_suffix("` |")?.rsplit_once('`'));
    let named: Vec<_> = named.map(|(_, name)| name).collect();
    assert!(named.len() >= 10, "{named:?}");
    let mut sources = String::new();
    for folder in ["tests/end_to_end", "src/people"] {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut sources);
    }
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

fn read(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            read(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            *into += &fs::read_to_string(path).expect("UTF-8");
        }
    }
}

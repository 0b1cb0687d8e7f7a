//! `SECURITY.md` and the tests keep each other in step.

use std::{fs, path::Path};

/// A file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table of threats.
fn rows() -> Vec<String> {
    let text = read("SECURITY.md");
    let (_, table) = text.split_once("\n| threat | ").expect("the table");
    let (table, _) = table.split_once("\n\n").expect("its end");
    table.lines().skip(2).map(ToOwned::to_owned).collect()
}

/// The tests that a row names, as file and name.
fn named(row: &str) -> Vec<(&str, &str)> {
    let words = row.split('`').skip(1).step_by(2);
    words
        .filter_map(|word| word.split_once("::"))
        .filter(|(file, _)| file.ends_with(".rs"))
        .collect()
}

#[test]
fn every_threat_names_tests_that_there_are() {
    let rows = rows();
    assert!(rows.len() > 20, "{rows:?}");
    for row in &rows {
        let named = named(row);
        assert!(!named.is_empty() || row.contains("`cargo xtask "), "no test: {row}");
        for (file, name) in named {
            let text = read(&format!("tests/end_to_end/{file}"));
            assert!(text.contains(&format!("\nfn {name}() {{\n")), "{file} has no {name}");
        }
    }
}

#[test]
fn every_test_of_a_threat_is_in_the_table() {
    let table = rows().concat();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/security");
    let files =
        fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").file_name());
    for file in
        files.map(|name| name.into_string().expect("text")).filter(|name| name != "table.rs")
    {
        let text = read(&format!("tests/end_to_end/security/{file}"));
        let tests = text.split("#[test]\n").skip(1).filter_map(|rest| rest.split_once("fn "));
        for (_, rest) in tests {
            let name = rest.split('(').next().expect("a name");
            assert!(
                table.contains(&format!("`security/{file}::{name}`")),
                "{file}: {name} is not in SECURITY.md"
            );
        }
    }
}

//! The binary alone is the whole server: the page is compiled in, and a folder is served where one is set.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::harness::{
    server::{Server, Setup, request},
    site::copy_page,
};

/// A server with a small board, and nothing set but that and free ports.
fn bare() -> Setup {
    Setup::bare().with_arguments(&[
        "--address=127.0.0.1:0",
        "--admin-address=127.0.0.1:0",
        "--set=board.boxes=1000",
    ])
}

/// Files of the repository's `static/`.
fn statics() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
    let entries = fs::read_dir(folder).expect("a folder");
    let files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(files.len() > 40, "{files:?}");
    files
}

/// Paths of files that the page names.
fn named(server: &Server) -> Vec<String> {
    let page = server.get("/");
    assert_eq!(page.status, 200, "{}", page.body);
    let words = page.body.split(['"', '\'']).filter(|word| word.starts_with("/static/"));
    words.filter(|word| !word.ends_with('/')).map(str::to_owned).collect()
}

#[test]
fn a_binary_in_an_empty_folder_serves_the_complete_page() {
    let setup = bare();
    let checked = setup.run(&["--check"]);
    assert_eq!((checked.code, checked.said.as_str()), (Some(0), ""), "{checked:?}");
    let server = setup.start();
    let named = named(&server);
    for wanted in ["/main.js", "/page.css", "/favicon.svg"] {
        assert!(named.iter().any(|path| path.ends_with(wanted)), "{wanted}: {named:?}");
    }
    for path in &named {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let (prefix, _) = named[0].rsplit_once('/').expect("a name");
    for file in statics() {
        let name = file.file_name().and_then(|name| name.to_str()).expect("text");
        let served = server.get(&format!("{prefix}/{name}"));
        assert!(served.bytes == fs::read(&file).expect("readable"), "{name}");
    }
    assert_eq!(server.get("/favicon.ico").status, 200);
    assert_eq!(server.get("/manifest.webmanifest").status, 200);
    assert!(!server.log().contains("page.path"), "{}", server.log());
    let made = fs::read_dir(setup.folder()).expect("a folder");
    let made: Vec<_> = made.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(made, ["data"], "the board, and nothing else");
}

#[test]
fn the_page_that_is_compiled_in_and_the_same_one_in_a_folder_answer_alike() {
    let compiled_in = Setup::new(1000, 1).start();
    let folder = Setup::new(1000, 1).with("PAGE__PATH", env!("CARGO_MANIFEST_DIR")).start();
    let answer = |server: &Server, method, path: &str| {
        let response = request(server.address, method, path, &[]);
        let head = response.head.lines();
        let kept = ["allow: ", "cache-control: ", "content-type: ", "x-content-type-options: "];
        let kept = head.filter(|line| kept.iter().any(|name| line.starts_with(name)));
        // actix-files leaves out the charset of scripts.
        let mut kept: Vec<_> = kept.map(|line| line.replace("; charset=utf-8", "")).collect();
        kept.sort_unstable();
        (response.status, kept, response.body)
    };
    let main = named(&compiled_in).into_iter().find(|path| path.ends_with("/main.js"));
    let main = main.expect("the page has its script");
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", &main, 200),
        ("GET", "/static/main.js", 200),
        ("HEAD", "/static/main.js", 200),
        ("GET", "/static/favicon.svg", 200),
        ("POST", "/static/main.js", 405),
        ("OPTIONS", "/static/main.js", 204),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/static/", 404),
        ("GET", "/static/../Cargo.toml", 404),
        ("GET", "/static/0123456789abcdef", 404),
        ("GET", "/favicon.ico", 200),
    ] {
        let ours = answer(&compiled_in, method, path);
        assert_eq!(ours.0, status, "{method} {path}");
        assert_eq!(ours, answer(&folder, method, path), "{method} {path}");
    }
}

#[test]
fn another_page_in_the_working_directory_is_noted_and_served_only_if_asked_for() {
    let setup = bare();
    copy_page(setup.folder());
    let note = "page.path = \".\" serves that folder instead";
    let noted = |setup: &Setup| setup.run(&["--check"]).said.matches(note).count();
    assert_eq!(noted(&setup), 0, "the same page");

    let script = setup.folder().join("static/main.js");
    fs::write(&script, "// ours\n").expect("a writable file");
    let server = setup.start();
    assert_eq!(noted(&setup), 1);
    let log = server.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("page.path")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN ") && told[0].ends_with(note), "{log}");
    assert_ne!(server.get("/static/main.js").body, "// ours\n");
    drop(server);

    let setup = setup.with("PAGE__PATH", ".");
    let server = setup.start();
    assert_eq!(noted(&setup), 0, "it is served");
    assert_eq!(server.get("/static/main.js").body, "// ours\n");
    let main = named(&server).into_iter().find(|path| path.ends_with("/main.js"));
    assert_eq!(server.get(&main.expect("a script")).body, "// ours\n");
    assert!(!server.log().contains("page.path"), "{}", server.log());
}

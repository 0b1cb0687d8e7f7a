//! Paths that lead out of the folder of the page's files.

use std::fs;

use super::{say, statuses};
use crate::harness::{
    server::{Server, Setup},
    site::copy_page,
};

/// What is in files that nobody serves.
const SECRET: &str = "this is not for players";

/// Ways out, below `/static`.
const WAYS: [&str; 38] = [
    "/../secret.txt",
    "/../../secret.txt",
    "/../templates/index.html",
    "/x/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/%2E%2E/secret.txt",
    "/.%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/%2e%2e%5csecret.txt",
    "/....//secret.txt",
    "/..;/secret.txt",
    "/%252e%252e/secret.txt",
    "/..%252fsecret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/\u{ff0e}\u{ff0e}/secret.txt",
    "//etc/passwd",
    "///etc/passwd",
    "/%2fetc/passwd",
    "/%2Fetc%2Fpasswd",
    "/../../../../../../../../../../etc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/file:///etc/passwd",
    "/main.js%00.png",
    "/%00",
    "/secret.txt%00",
    "/..%00/secret.txt",
    "/.hidden",
    "/%2ehidden",
    "/~root/.profile",
    "/*",
    "/C:/windows/win.ini",
    "/0123456789abcdef/../../secret.txt",
    "/0123456789abcdef/..%2f..%2fsecret.txt",
    "/0123456789abcdef/%2e%2e",
];

/// Asks for a path as it is: nobody may find what is not served, nor break anything.
fn leads_nowhere(server: &Server, target: &str) {
    let answer = say(
        server.address,
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
    );
    let leaked = [SECRET, "root:x:", "data-boxes="].iter().find(|text| answer.contains(**text));
    assert_eq!(leaked, None, "{target}: {answer}");
    let statuses = statuses(&answer);
    assert!(matches!(statuses[..], [400] | [404]), "{target}: {answer}");
}

#[test]
fn no_path_leads_out_of_the_folder_of_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_page(folder.path());
    for hidden in ["secret.txt", "static/.hidden"] {
        fs::write(folder.path().join(hidden), SECRET).expect("a writable file");
    }
    let of_a_folder = Setup::new(1000, 1)
        .with("PAGE__PATH", folder.path().display())
        .with("SERVER__BASE_PATH", "/boxes");
    let compiled_in = Setup::new(1000, 1).with("SERVER__BASE_PATH", "/boxes");
    for server in [of_a_folder.start(), compiled_in.start()] {
        for way in WAYS {
            for target in [
                format!("/static{way}"),
                format!("/boxes/static{way}"),
                format!("http://x/static{way}"),
                format!("/boxes/../static{way}"),
            ] {
                leads_nowhere(&server, &target);
            }
        }
        for target in [
            "/../secret.txt",
            "/static",
            "/static/",
            "/static/..",
            "/boxes/../secret.txt",
            "//etc/passwd",
            "/etc/passwd",
            "file:///etc/passwd",
            "../secret.txt",
            "secret.txt",
            "/%2e%2e/secret.txt",
        ] {
            leads_nowhere(&server, target);
        }
        let file = say(
            server.address,
            "GET /static/main.js HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        );
        assert_eq!(statuses(&file), [200], "what is served is served");
        assert_eq!(server.metric("billion_panics_total "), 0.0);
    }
}

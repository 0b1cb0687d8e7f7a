//! The file of the operators' API, `/openapi.json`: valid, complete, and true of a real node.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use serde_json::Value;

use super::{Guarded, refused, with_token};
use crate::harness::{
    long, seed,
    server::{Server, request, send},
    within,
};

/// Test cases of each operation and phase, and longest time that all of them may take: five times what they took on
/// two cores beside other tests.
const EXAMPLES: [u32; 2] = [30, 500];
const LIMITS: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(3600)];

const PROBLEM: &str = "content-type: application/problem+json";

/// What is not made only for its head.
const STREAMS: [&str; 3] = ["/export", "/trace/{connection}", STREAM];

/// What needs no token.
const OPEN: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// What viewers may not read.
const FOR_OPERATORS: [&str; 3] = ["/trace/{connection}", "/ws/history", "/reports"];

/// What has no end: it has tests of its own.
const STREAM: &str = "/ws/stats/stream";

/// A program that `cargo xtask test` puts into the target folder.
fn program(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in a target folder");
    let program = target.join("openapi").join(path);
    assert!(program.exists(), "{} is not there; cargo xtask test puts it there", program.display());
    program
}

fn file(server: &Server, token: &str) -> Value {
    let answer = with_token(server.admin, "GET", "/openapi.json", token);
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Each path, with its methods in capital letters.
fn operations(file: &Value) -> Vec<(String, BTreeSet<String>)> {
    let paths = file["paths"].as_object().expect("paths").iter();
    let methods = |operations: &Value| {
        let operations = operations.as_object().expect("operations");
        operations.keys().map(|method| method.to_uppercase()).collect()
    };
    paths.map(|(path, operations)| (path.clone(), methods(operations))).collect()
}

#[test]
fn the_file_is_valid_openapi() {
    let guarded = Guarded::new();
    let grafana = guarded.token("grafana", "viewer");
    let server = guarded.setup.start();
    let mut file = file(&server, &grafana);
    let path = guarded.setup.folder().join("openapi.json");
    let validate = |file: &Value| {
        fs::write(&path, file.to_string()).expect("room");
        let mut validator = Command::new(program("validator/bin/openapi-spec-validator"));
        let ran = validator.args(["--schema", "3.1"]).arg(&path).output().expect("it runs");
        (ran.status.success(), String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    let (is_valid, said) = validate(&file);
    assert!(is_valid, "{said}");
    file["paths"]["/blocks"]["get"]["responses"] = Value::Null;
    assert!(!validate(&file).0, "it would be noticed");
}

#[test]
fn every_path_in_the_file_takes_its_methods_and_no_other() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    let server = guarded.setup.start();
    for (path, methods) in operations(&file(&server, &alice)) {
        let options = with_token(server.admin, "OPTIONS", &path, &alice);
        assert_eq!(options.status, 204, "{path}: {}", options.body);
        let mut allowed = methods.clone();
        allowed.insert("OPTIONS".into());
        if methods.contains("GET") && !STREAMS.contains(&&*path) {
            allowed.insert("HEAD".into());
        }
        let told: BTreeSet<_> =
            header(&options.head, "allow").split(", ").map(str::to_uppercase).collect();
        assert_eq!(told, allowed, "{path}");
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"] {
            if !methods.contains(method) {
                let answer = with_token(server.admin, method, &path, &alice);
                assert_eq!(answer.status, 405, "{method} {path}: {}", answer.body);
                assert!(answer.head.contains(PROBLEM), "{method} {path}: {}", answer.head);
                let again = header(&answer.head, "allow");
                assert_eq!(again, header(&options.head, "allow"), "{method} {path}");
            }
        }
        let elsewhere = with_token(server.admin, "GET", "/nothing", &alice);
        assert!(elsewhere.body.contains(&path), "whoever is lost is told of {path}");
    }
}

/// The value of a header in a head of small letters.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut lines = head.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("{name} is not there: {head}"))
}

#[test]
fn every_operation_asks_for_a_token_and_every_change_for_an_operators() {
    let guarded = Guarded::new();
    let (alice, grafana) = (guarded.token("alice", "operator"), guarded.token("grafana", "viewer"));
    let server = guarded.setup.start();
    let all = operations(&file(&server, &alice));
    for (path, methods) in &all {
        for method in methods {
            let nobody = request(server.admin, method, path, &[]);
            if OPEN.contains(&&**path) {
                assert_eq!(nobody.status, 200, "{method} {path}");
                continue;
            }
            assert_eq!(nobody.status, 401, "{method} {path}: {}", nobody.body);
            let stranger = with_token(server.admin, method, path, "bc_wrong");
            assert!([401, 429].contains(&stranger.status), "{method} {path}: {}", stranger.body);
            if path == STREAM {
                continue;
            }
            let viewer = with_token(server.admin, method, path, &grafana).status;
            let is_for_operators = method != "GET" || FOR_OPERATORS.contains(&&**path);
            assert_eq!(viewer == 403, is_for_operators, "{method} {path}: {viewer}");
        }
    }
    let guarded: usize = all
        .iter()
        .filter(|(path, _)| !OPEN.contains(&&**path))
        .map(|(_, methods)| methods.len())
        .sum();
    assert_eq!(refused(&server, "no_token"), guarded as f64);
}

#[test]
fn errors_are_problems_whoever_finds_them() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    let server = guarded.setup.start();
    for (method, path, status) in [
        ("GET", "/readyz?store=maybe", 400),
        ("GET", "/store?file=a&file=b", 400),
        ("GET", "/export?board=nothing", 404),
        ("GET", "/export?board=main&board=main", 400),
        ("GET", "/limits/why?address=192.0.2.1&address=192.0.2.2", 400),
        ("GET", "/connections?address=192.0.2.1&address=192.0.2.2", 400),
        ("GET", "/connections?limit=4294967296", 400),
        ("DELETE", "/connections/00000000-1?reason=a&reason=b", 400),
        ("DELETE", "/connections/%ff", 404),
        ("DELETE", "/blocks?network=192.0.2.1&network=192.0.2.2", 400),
        ("GET", "/nothing", 404),
        ("PUT", "/metrics", 405),
    ] {
        let answer = with_token(server.admin, method, path, &alice);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.head.contains(PROBLEM), "{method} {path}: {}", answer.head);
        let problem: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(problem["status"], status, "{method} {path}");
    }
    let authorization = format!("Bearer {alice}");
    let headers =
        [("Authorization", &*authorization), ("Content-Type", "application/x-billion-backup")];
    let import = send(server.admin, "POST", "/import?board=nothing", &headers, b"no backup");
    assert_eq!(import.status, 404, "{}", import.body);
    assert!(import.head.contains(PROBLEM), "{}", import.head);
}

/// Runs Schemathesis on `server` by `file`, with more `arguments`; what it says.
fn schemathesis(
    server: &Server,
    file: &Path,
    token: &str,
    arguments: &[&str],
    limit: Duration,
) -> (ExitStatus, String) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/operators");
    let folder = file.parent().expect("it is in a folder");
    let said = folder.join("said");
    let output = File::create(&said).expect("room");
    let mut schemathesis = Command::new(program("schemathesis/bin/schemathesis"));
    schemathesis.arg("--config-file").arg(here.join("schemathesis.toml"));
    schemathesis.arg("run").arg(file).args(["--url", &format!("http://{}", server.admin)]);
    schemathesis.args(["--header", &format!("Authorization: Bearer {token}")]);
    schemathesis.args(["--continue-on-failure", "--no-color", "--request-timeout", "30"]);
    schemathesis.args(["--generation-database", "none"]).args(arguments);
    schemathesis.env("SCHEMATHESIS_HOOKS", here.join("schemathesis_hooks.py"));
    schemathesis.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder);
    schemathesis.stdout(output.try_clone().expect("a descriptor")).stderr(output);
    let mut child = Ending(schemathesis.spawn().expect("it runs"));
    let status = within(limit, "Schemathesis to end", || child.0.try_wait().expect("our child"));
    (status, fs::read_to_string(said).expect("text"))
}

/// Is ended, however the test ends.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn schemathesis_finds_no_answer_that_the_file_does_not_describe() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    // Whatever is blocked, this machine is not.
    let server = guarded.setup.with("LIMITS__ALLOW", "127.0.0.1").start();
    let mut file = file(&server, &alice);
    let paths = file["paths"].as_object_mut().expect("paths");
    assert!(paths.remove(STREAM).is_some());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("openapi.json");
    fs::write(&path, file.to_string()).expect("room");
    let _player = server.client_v2();

    let is_long = usize::from(long());
    let seed = seed("schemathesis_finds_no_answer_that_the_file_does_not_describe") % (1 << 32);
    let arguments = ["--seed", &seed.to_string(), "--max-examples", &EXAMPLES[is_long].to_string()];
    let (status, said) = schemathesis(&server, &path, &alice, &arguments, LIMITS[is_long]);
    assert!(status.success(), "{said}");
    let all: usize = operations(&file).iter().map(|(_, methods)| methods.len()).sum();
    assert!(said.contains(&format!("Tested: {all}\n")), "{said}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
    for (route, method) in [
        ("/blocks", "write"),
        ("/blocks", "read"),
        ("/board/read-only", "write"),
        ("/ws/broadcast", "write"),
        ("/connections", "read"),
        ("/connections/{id}", "write"),
        ("/export", "read"),
        ("/limits/why", "read"),
    ] {
        let labels =
            format!("listener=\"operators\",route=\"{route}\",method=\"{method}\",status=\"2xx\"");
        let right = server.metric(&format!("billion_http_requests_total{{{labels}}}"));
        assert!(right > 0.0, "{method} {route} was never asked as it should be");
    }
    drop(server.client_v2());

    // With a file that says less it would have found something.
    let answers = file["paths"]["/blocks"]["delete"]["responses"].as_object_mut();
    assert!(answers.expect("answers").remove("404").is_some());
    fs::write(&path, file.to_string()).expect("room");
    let arguments = ["--include-operation-id", "unblock", "--phases", "examples,coverage"];
    let (status, said) = schemathesis(&server, &path, &alice, &arguments, LIMITS[0]);
    assert!(!status.success() && said.contains("Undocumented status code"), "{said}");
}

//! The operators' listener: who is let in, and in which role.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, thread};

use serde_json::{Value, json};

use crate::harness::{
    eventually,
    server::{Response, Server, Setup, request, send},
};

mod api;
mod audits;
mod blocks;
mod connections;
mod dashboard;
mod notices;
mod people;
mod read_only;
mod stats;
mod stream;
mod traces;

/// A server with a token file, and the tokens in it.
pub struct Guarded {
    setup: Setup,
    file: PathBuf,
}

impl Guarded {
    pub fn new() -> Self {
        let setup = Setup::new(1000, 1);
        let file = setup.folder().join("tokens");
        let setup = setup.with("ADMIN__TOKEN_FILE", file.display());
        Self { setup, file }
    }

    /// Starts it with one more setting.
    fn start_with(self, name: &str, value: &str) -> Server {
        self.setup.with(name, value).start()
    }

    /// Has the file say this from one moment to the next.
    fn replace(&self, text: &str) {
        let new = self.setup.folder().join("tokens.new");
        fs::write(&new, text).expect("room");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("its own file");
        fs::rename(new, &self.file).expect("in the same folder");
    }

    /// Makes a token as operators do.
    pub fn token(&self, name: &str, role: &str) -> String {
        let ran = self.setup.run(&["admin", "token", name, role]);
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        ran.printed().trim().to_owned()
    }
}

fn with_token(to: SocketAddr, method: &str, path: &str, token: &str) -> Response {
    request(to, method, path, &[("Authorization", &format!("Bearer {token}"))])
}

/// What of the guard's refusals is counted.
fn refused(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("billion_admin_refused_total{{reason=\"{reason}\"}}"))
}

#[test]
fn a_token_opens_what_its_role_may_do() {
    let guarded = Guarded::new();
    let (alice, grafana) = (guarded.token("alice", "operator"), guarded.token("grafana", "viewer"));
    let written = fs::read_to_string(&guarded.file).expect("the token file");
    assert!(
        written.contains("alice operator ") && written.contains("grafana viewer "),
        "{written}"
    );
    assert!(!written.contains(&alice), "a file that leaks gives nobody a token");
    let mode = fs::metadata(&guarded.file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let server = guarded.setup.start();
    let admin = server.admin;
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(request(admin, "GET", path, &[]).status, 200, "{path}");
    }
    for path in ["/store", "/export", "/limits/why?address=192.0.2.1", "/nothing"] {
        let nobody = request(admin, "GET", path, &[]);
        assert_eq!(nobody.status, 401, "{path}: {}", nobody.body);
        assert!(nobody.head.contains("www-authenticate: bearer"), "{}", nobody.head);
        assert!(nobody.head.contains("content-type: application/problem+json"), "{}", nobody.head);
        let there = if path == "/nothing" { 404 } else { 200 };
        for token in [&alice, &grafana] {
            assert_eq!(with_token(admin, "GET", path, token).status, there, "{path}");
            assert_eq!(
                request(admin, "GET", path, &[("X-API-Key", token)]).status,
                there,
                "{path}"
            );
        }
    }
    assert_eq!(request(admin, "GET", &format!("/store?token={alice}"), &[]).status, 401);
    // 415: what is sent is no backup.
    assert_eq!(with_token(admin, "POST", "/import", &alice).status, 415);
    let viewer = with_token(admin, "POST", "/import", &grafana);
    assert_eq!(viewer.status, 403, "{}", viewer.body);
    assert!(viewer.body.contains("viewer"), "{}", viewer.body);
    let page = [("X-API-Key", &*alice), ("Origin", "http://evil.example")];
    assert_eq!(
        request(admin, "GET", "/store", &page).status,
        403,
        "not for a page of another site"
    );
    assert_eq!((refused(&server, "role"), refused(&server, "page")), (1.0, 1.0));
    assert_eq!(refused(&server, "no_token"), 5.0);
}

#[test]
fn tokens_are_added_and_revoked_without_a_restart_and_a_mistake_changes_nothing() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    let server = guarded.setup.start();
    let opens = |token: &str| with_token(server.admin, "GET", "/store", token).status == 200;
    assert!(opens(&alice));
    let bob = guarded.token("bob", "viewer");
    eventually("bob's token to be valid", || opens(&bob).then_some(()));
    let written = fs::read_to_string(&guarded.file).expect("the token file");
    fs::write(&guarded.file, "alice operator nonsense\n").expect("it can be written");
    eventually("word of the mistake", || server.log().contains("line 1: ").then_some(()));
    assert!(opens(&alice) && opens(&bob));
    let bobs = written.lines().find(|line| line.starts_with("bob ")).expect("his line");
    fs::write(&guarded.file, format!("{bobs}\n")).expect("it can be written");
    eventually("alice's token to be revoked", || (!opens(&alice)).then_some(()));
    assert!(opens(&bob));
}

#[test]
fn who_guesses_is_slowed_down_and_a_right_token_is_not() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "viewer");
    let server = guarded.setup.start();
    let admin = server.admin;
    let statuses: Vec<u16> = thread::scope(|scope| {
        let guess = |at| with_token(admin, "GET", "/store", &format!("bc_{at}")).status;
        let guesses: Vec<_> = (0..40).map(|at| scope.spawn(move || guess(at))).collect();
        assert_eq!(with_token(admin, "GET", "/store", &alice).status, 200);
        guesses.into_iter().map(|guess| guess.join().expect("an answer")).collect()
    });
    let late = statuses.iter().filter(|status| **status == 401).count();
    let at_once = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(late + at_once, 40, "{statuses:?}");
    // A burst of five, and one a second while the forty come.
    assert!((1..=15).contains(&late), "{statuses:?}");
    assert_eq!(with_token(admin, "GET", "/store", &alice).status, 200);
    assert_eq!(refused(&server, "wrong_token"), 40.0);
    assert!(server.log().contains("127.0.0.1 presents a wrong token"), "{}", server.log());
}

#[test]
fn without_tokens_this_machine_may_do_all_and_not_through_a_proxy() {
    let server = Setup::new(1000, 1).start();
    assert_eq!(request(server.admin, "GET", "/store", &[]).status, 200);
    for proxied in ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"] {
        let headers = [(proxied, "203.0.113.7")];
        let refusal = request(server.admin, "GET", "/store", &headers);
        assert_eq!(refusal.status, 403, "{proxied}");
        assert!(refusal.body.contains("admin.token_file"), "{}", refusal.body);
        assert_eq!(request(server.admin, "GET", "/readyz", &headers).status, 200, "{proxied}");
    }
    assert_eq!(refused(&server, "not_local"), 4.0);
}

#[test]
fn commands_take_their_token_from_the_environment() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    let server = guarded.setup.start();
    let from = format!("http://{}", server.admin);
    let copy = guarded.setup.folder().join("copy.bxb").display().to_string();
    let export = ["export", "--from", &*from, &*copy];
    let ran = Setup::bare().run(&export);
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(ran.said.contains("BILLION_TOKEN"), "{}", ran.said);
    let known = Setup::bare().with_variable("BILLION_TOKEN", &alice);
    for command in [
        &export[..],
        &["import", "--to", &from, &copy],
        &["limits", "why", "192.0.2.1", "--from", &from],
    ] {
        let ran = known.run(command);
        assert_eq!(ran.code, Some(0), "{command:?}: {}", ran.said);
    }
}

#[test]
fn a_token_file_that_cannot_be_used_keeps_the_server_from_starting() {
    let guarded = Guarded::new();
    let (_, missing) = guarded.setup.fail_to_start(&[]);
    assert!(missing.contains("admin.token_file"), "{missing}");
    let alice = guarded.token("alice", "operator");
    fs::set_permissions(&guarded.file, fs::Permissions::from_mode(0o644)).expect("its own file");
    let ran = guarded.setup.run(&["--check"]);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    assert!(ran.said.contains("chmod 600") && !ran.said.contains(&alice), "{}", ran.said);
    let again = guarded.setup.run(&["admin", "token", "bob", "viewer"]);
    assert!(again.code != Some(0) && again.said.contains("chmod 600"), "{}", again.said);
    fs::set_permissions(&guarded.file, fs::Permissions::from_mode(0o600)).expect("its own file");
    let twice = guarded.setup.run(&["admin", "token", "alice", "viewer"]);
    assert!(twice.code == Some(2) && twice.said.contains("token named alice"), "{}", twice.said);
}

/// A change by a request with a body of JSON; status and answer.
pub fn change(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let answer = send(
        server.admin,
        method,
        path,
        &[("Content-Type", "application/json")],
        body.to_string().as_bytes(),
    );
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

/// Waits until two nodes of a board know each other, each of which speaks once a second.
fn await_each_other(one: &Server, other: &Server) {
    for node in [one, other] {
        eventually("the nodes to know each other", || {
            let (_, answer) = change(node, "GET", "/ws/stats", &Value::Null);
            answer["nodes"].as_array().is_some_and(|nodes| nodes.len() >= 2).then_some(())
        });
    }
}

/// The actions in a server's audit, oldest first.
fn audit(server: &Server) -> Vec<String> {
    let answer = request(server.admin, "GET", "/audit", &[]);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    let lines = answer["lines"].as_array().expect("a list").iter();
    lines.map(|line| line["action"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn bad_bodies_are_refused_with_the_reason() {
    let server = Setup::new(1000, 1).start();
    let path = "/board/read-only";
    let plain = send(server.admin, "POST", path, &[("Content-Type", "text/plain")], b"{}");
    let broken = send(server.admin, "POST", path, &[("Content-Type", "application/json")], b"{");
    assert_eq!((plain.status, broken.status), (415, 400));
    for body in [
        json!({"raeson": "x"}),
        json!({"reason": 7}),
        json!([]),
        json!(["upgrade"]),
        json!({"reason": "x".repeat(201)}),
        json!({"reason": "a\u{7}"}),
    ] {
        let (status, problem) = change(&server, "POST", path, &body);
        assert_eq!((status, &problem["status"]), (422, &json!(422)), "{body}: {problem}");
    }
    let large = vec![b' '; 20_000];
    assert_eq!(
        send(server.admin, "POST", path, &[("Content-Type", "application/json")], &large).status,
        413
    );
    let other = request(server.admin, "PUT", path, &[]);
    assert_eq!(other.status, 405);
    assert!(other.head.contains("allow: get, head, post, delete, options"), "{}", other.head);
    assert_eq!(audit(&server), Vec::<String>::new(), "nothing was changed");
}

#[test]
fn settings_are_read_back_with_their_places_and_without_secrets() {
    let setup = Setup::new(1000, 1).with("REDIS__PASSWORD", "hunter2");
    let setup =
        setup.with_file("settings.toml", "[limiter]\nlimit = 7\n").without("LIMITER__LIMIT");
    let setup = setup.without_terminal().with_heeded("HUP");
    let server = setup.start();
    let setting = |key: &str| {
        let answer = request(server.admin, "GET", "/settings", &[]);
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        let settings = answer["settings"].as_array().expect("a list");
        settings.iter().find(|setting| setting["key"] == key).expect("it is in the list").clone()
    };
    let limit = setting("limiter.limit");
    assert_eq!((&limit["value"], &limit["change"]), (&json!(7.0), &json!("live")));
    assert!(limit["from"].as_str().is_some_and(|from| from.contains("settings.toml")), "{limit}");
    assert_eq!(setting("redis.password")["value"], "***");
    assert_eq!(setting("limits.allow")["value"], json!([]));
    assert_eq!(setting("server.workers")["change"], "restart");
    // What is read again is shown.
    fs::write(setup.folder().join("settings.toml"), "[limiter]\nlimit = 9\n").expect("room");
    server.signal("-HUP");
    eventually("the change to be in force", || {
        (setting("limiter.limit")["value"] == 9.0).then_some(())
    });
}

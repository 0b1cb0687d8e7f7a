//! The identity cookie: forged, cut, foreign, fixed by others, of an old key; and who may send commands.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use serde_json::{Value, json};

use crate::harness::{
    client::{Client, handshake},
    eventually,
    person::Person,
    server::{Response, Server, Setup, request, send},
};

/// Who the connections of a server belong to, in the order of their ids.
fn users(server: &Server) -> Vec<Option<String>> {
    let answer = request(server.admin, "GET", "/connections", &[]);
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    let connections = answer["connections"].as_array().expect("a list").iter();
    connections.map(|connection| connection["user"].as_str().map(ToOwned::to_owned)).collect()
}

/// What a `POST /me` with these headers gets.
fn post(server: &Server, headers: &[(&str, &str)]) -> Response {
    send(server.address, "POST", "/me", headers, b"{}")
}

fn own_origin(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// Who a request with this `Cookie` is from: `POST /me` gives a cookie to those who have none.
fn user_of(server: &Server, cookie: &str) -> (String, bool) {
    let own = own_origin(server);
    let answer =
        post(server, &[("Origin", &own), ("Content-Type", "application/json"), ("Cookie", cookie)]);
    assert_eq!(answer.status, 200, "{cookie:?}: {answer:?}");
    let me: Value = serde_json::from_str(&answer.body).expect("JSON");
    (me["user"].as_str().expect("an id").to_owned(), !answer.cookies.is_empty())
}

#[test]
fn an_identity_is_given_once_and_found_again_by_requests_and_sockets() {
    let server = Setup::new(1000, 1).start();
    let mut alice = Person::new(server.address);
    let answer = alice.post("/me", &json!({}));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("cache-control: no-store"), "{answer:?}");
    let [cookie] = &answer.cookies[..] else { panic!("one cookie: {answer:?}") };
    assert!(cookie.len() < 200, "{cookie}");
    assert!(cookie.starts_with("billion_me=") && !cookie.contains("Secure"), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax"), "{cookie}");
    let user = alice.user();
    assert_eq!(alice.post("/me", &json!({})).cookies, [""; 0], "it is new enough");
    assert_ne!(Person::new(server.address).user(), user, "somebody else");
    let _hers = alice.connect("/ws");
    let _nobodys = server.client();
    assert_eq!(users(&server), [Some(user), None]);
}

#[test]
fn by_https_only_the_cookie_counts_that_no_other_host_can_set() {
    let server = Setup::new(1000, 1).start();
    let json = ("Content-Type", "application/json");
    let https = [("Origin", "https://play.example"), ("Host", "play.example"), json];
    let answer = post(&server, &https);
    assert_eq!(answer.status, 200, "{answer:?}");
    let [set] = &answer.cookies[..] else { panic!("one cookie: {answer:?}") };
    assert!(set.starts_with("__Host-billion_me=") && set.ends_with("; Secure"), "{set}");
    let (cookie, _) = set.split_once(';').expect("attributes");
    let value = cookie.split_once('=').expect("a value").1;
    let with = |cookie: &str| post(&server, &[&https[..], &[("Cookie", cookie)]].concat());
    assert_eq!(with(cookie).cookies, [""; 0]);
    // Another subdomain can set the plain one, and so make somebody act for the attacker.
    let fixed = format!("billion_me={value}");
    assert_eq!(with(&fixed).cookies.len(), 1, "somebody new");
    assert_eq!(with(&format!("{fixed}; {cookie}")).cookies, [""; 0]);
    // The scheme may also be what a proxy says.
    for (name, said) in [("X-Forwarded-Proto", "https"), ("Forwarded", "for=x;proto=https")] {
        let headers = [("Cookie", &*fixed), (name, said)];
        let _socket = Client::try_connect_with(server.address, "/ws", &headers).expect("let in");
        assert_eq!(users(&server), [None], "{name}");
        drop(_socket);
        eventually("it is gone", || users(&server).is_empty().then_some(()));
    }
}

#[test]
fn forged_cut_foreign_and_endless_cookies_are_nobodys_and_no_error() {
    let server = Setup::new(1000, 1).start();
    let mut alice = Person::new(server.address);
    let user = alice.user();
    let cookie = alice.cookie.clone().expect("hers");
    let value = cookie.split_once('=').expect("a value").1.to_owned();
    let long = "x".repeat(5000);
    // Beside rubbish of others she is who she is.
    for beside in [
        format!("a=b; {cookie}"),
        format!("billion_me=rubbish; {cookie}; billion_me="),
        format!("broken; =; {}={}; \"{cookie}\"; {cookie}", "\u{e4}", "\u{e4}"),
        format!("long={long}; {cookie}"),
        format!("billion_me={long}; {cookie}"),
        format!("{cookie};"),
    ] {
        assert_eq!(user_of(&server, &beside), (user.clone(), false), "{beside:?}");
    }
    let other = Setup::new(1000, 1).start();
    let mut stranger = Person::new(other.address);
    stranger.user();
    let flipped = |at: usize| {
        let mut bytes = value.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    let mut wrong: Vec<String> = (0..value.len()).map(flipped).collect();
    wrong.extend((0..value.len()).step_by(7).map(|length| value[..length].to_owned()));
    wrong.extend([format!("{value}A"), format!("{value}=="), format!("\"{value}\""), long]);
    let wrong = wrong.into_iter().map(|value| format!("billion_me={value}"));
    for wrong in wrong.chain([stranger.cookie.expect("of another key")]) {
        let (found, is_new) = user_of(&server, &wrong);
        assert!(found != user && is_new, "{wrong:?}");
        let socket = Client::try_connect_with(server.address, "/ws", &[("Cookie", &wrong)]);
        drop(socket.expect("let in as anybody"));
    }
    assert!(!users(&server).contains(&Some(user)));
}

#[test]
fn commands_come_from_the_own_page_and_are_json() {
    let server = Setup::new(1000, 1).start();
    let mut alice = Person::new(server.address);
    alice.user();
    let (own, cookie) = (own_origin(&server), alice.cookie.expect("hers"));
    let (host, port) = (server.address.ip(), server.address.port());
    let json = ("Content-Type", "application/json");
    for origin in [
        format!("http://{host}:{}", port ^ 1),
        format!("http://{host}"),
        format!("http://sub.{host}:{port}"),
        "https://evil.example".to_owned(),
        "null".to_owned(),
    ] {
        let answer = post(&server, &[("Origin", &origin), json, ("Cookie", &cookie)]);
        assert_eq!(answer.status, 403, "{origin}");
        assert!(answer.head.contains("application/problem+json"), "{answer:?}");
        assert_eq!(answer.cookies, [""; 0]);
    }
    assert_eq!(post(&server, &[json, ("Cookie", &cookie)]).status, 403, "from nowhere");
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "text/plain; application/json",
    ] {
        let answer = post(&server, &[("Origin", &own), ("Content-Type", media)]);
        assert_eq!(answer.status, 415, "{media:?}");
    }
    let json_too = [("Origin", &*own), ("Content-Type", "Application/JSON; charset=utf-8")];
    assert_eq!(post(&server, &json_too).status, 200);
    let mine = [("Origin", &*own), json];
    for (body, status) in [
        (&b""[..], 400),
        (b"[]", 400),
        (b"null", 400),
        (b"{\"other\":1}", 400),
        (b"{\"connection\":\"x\"}", 422),
        (b"\xff", 400),
        (&[b' '; 5000], 413),
    ] {
        let answer = send(server.address, "POST", "/me", &mine, body);
        assert_eq!(answer.status, status, "{:?}", String::from_utf8_lossy(body));
    }
    assert_eq!(request(server.address, "GET", "/me", &[]).status, 405);
    assert_eq!(request(server.address, "OPTIONS", "/me", &[]).status, 204);
}

#[test]
fn a_page_that_may_play_acts_for_nobody() {
    let setup = Setup::new(1000, 1);
    let server = setup.with("SERVER__ALLOWED_ORIGINS", "https://friend.example").start();
    let headers = [("Origin", "https://friend.example"), ("Content-Type", "application/json")];
    let answer = post(&server, &headers);
    let (cookie, _) = answer.cookies[0].split_once(';').expect("attributes");
    // A browser of a sibling domain sends it along.
    let headers = [("Origin", "https://friend.example"), ("Cookie", cookie)];
    let _socket = Client::try_connect_with(server.address, "/ws", &headers).expect("may play");
    assert_eq!(users(&server), [None]);
}

/// A file of keys, replaced as operators do it.
pub struct KeysFile(pub PathBuf);

impl KeysFile {
    pub fn write(&self, keys: &[&str]) {
        let new = self.0.with_extension("new");
        fs::write(&new, keys.join("\n")).expect("room");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).expect("its own file");
        fs::rename(new, &self.0).expect("in the same folder");
    }
}

#[test]
fn keys_rotate_live_and_a_removed_one_signs_everybody_out() {
    let setup = Setup::new(1000, 1);
    let file = KeysFile(setup.folder().join("keys"));
    // Their ids differ.
    let [old, new] = ["11", "22"].map(|byte| byte.repeat(32));
    file.write(&[&old]);
    let server = setup.with("PEOPLE__KEYS_FILE", file.0.display()).start();
    let mut alice = Person::new(server.address);
    let user = alice.user();
    let before = alice.cookie.clone().expect("hers");
    let lines = || server.log().matches("people.keys_file: ").count();
    file.write(&[&new, &old]);
    eventually("both are in force", || (lines() == 1).then_some(()));
    assert_eq!(user_of(&server, &before), (user.clone(), false));
    let after = {
        let mut bob = Person::new(server.address);
        bob.user();
        bob.cookie.expect("his")
    };
    file.write(&["nonsense"]);
    eventually("that is refused", || (lines() == 2).then_some(()));
    assert_eq!(user_of(&server, &before), (user.clone(), false), "and changes nothing");
    file.write(&[&new]);
    eventually("the new one alone is in force", || (lines() == 3).then_some(()));
    assert!(user_of(&server, &before).1, "of a key that is gone");
    assert!(!user_of(&server, &after).1, "of one that is left");
}

#[test]
fn handshakes_of_the_older_protocol_need_none_of_this() {
    let server = Setup::new(1000, 1).start();
    let own = own_origin(&server);
    let answer = request(server.address, "GET", "/ws", &handshake(&own));
    assert_eq!(answer.status, 101);
    assert_eq!(answer.cookies, [""; 0]);
}

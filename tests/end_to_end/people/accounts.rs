//! Accounts and teams over HTTP: what a page does with them, and what somebody who guesses gets.

use serde_json::{Value, json};

use super::sign_outs::knows;
use crate::harness::{
    eventually,
    person::Person,
    server::{Response, Server, Setup, request},
};

const PASSWORD: &str = "correct horse";

fn body(answer: &Response) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Somebody with an account.
fn registered(server: &Server, name: &str) -> Person {
    let mut person = Person::new(server.address);
    let answer = person.post("/me/register", &json!({ "name": name, "password": PASSWORD }));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(body(&answer)["name"], name);
    person
}

fn log_in(person: &mut Person, name: &str, password: &str) -> Response {
    person.post("/me/login", &json!({ "name": name, "password": password }))
}

#[test]
fn an_account_keeps_the_identity_that_made_it_and_is_found_again_elsewhere() {
    let server = Setup::new(1000, 1).start();
    let mut ann = knows(&server);
    let user = ann.user();
    let answer = ann.post("/me/register", &json!({ "name": "Ann", "password": PASSWORD }));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(body(&answer)["user"], json!(user), "the boxes are hers still");
    assert_eq!(answer.cookies.len(), 1, "a new sign-in");
    assert_eq!(ann.me()["is_account"], json!(true));
    let mut other = knows(&server);
    for (name, password, status) in
        [("Ann", "wrong password", 401), ("Nobody", PASSWORD, 401), ("ANN", PASSWORD, 200)]
    {
        let answer = log_in(&mut other, name, password);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    assert_eq!(other.user(), user, "the same on another device");
    for (taken, password, status) in [
        ("ann", PASSWORD, 409),
        ("\u{410}nn", PASSWORD, 409),
        ("Bob", "short", 422),
        ("<b>", PASSWORD, 422),
    ] {
        let answer = Person::new(server.address)
            .post("/me/register", &json!({ "name": taken, "password": password }));
        assert_eq!(answer.status, status, "{taken}: {answer:?}");
        assert!(answer.head.contains("application/problem+json"));
    }
    assert_eq!(other.post("/me/name", &json!({ "name": "Annie" })).status, 200);
    assert_eq!(ann.me()["name"], "Annie");
    let nobody = knows(&server).post("/me/name", &json!({ "name": "Carl" }));
    assert_eq!(nobody.status, 401, "without an account");
    let exported = ann.post("/me/export", &json!({}));
    assert!(exported.head.contains("content-disposition: attachment"), "{exported:?}");
    assert_eq!(body(&exported)["name"], "Annie");
    assert!(!exported.body.contains("argon2"), "{exported:?}");
}

#[test]
fn a_new_password_ends_all_other_sign_ins_and_deleting_ends_all() {
    let server = Setup::new(1000, 1).start();
    let mut ann = registered(&server, "Ann");
    let user = ann.user();
    let mut other = knows(&server);
    assert_eq!(log_in(&mut other, "Ann", PASSWORD).status, 200);
    let new = "another horse";
    let wrong = ann.post("/me/password", &json!({ "old": "wrong password", "new": new }));
    assert_eq!(wrong.status, 401, "{wrong:?}");
    let changed = ann.post("/me/password", &json!({ "old": PASSWORD, "new": new }));
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(ann.user(), user);
    assert_ne!(other.user(), user, "signed out");
    let deleted = ann.command("DELETE", "/me", &json!({ "password": new }));
    assert_eq!((deleted.status, &ann.cookie), (204, &None), "{deleted:?}");
    registered(&server, "Ann");
}

#[test]
fn who_guesses_waits_and_nobody_is_locked_out() {
    let server = Setup::new(1000, 1).start();
    let mut ann = registered(&server, "Ann");
    let mut guesser = knows(&server);
    let refused = eventually("it has to wait", || {
        let answer = log_in(&mut guesser, "Ann", "a wrong password");
        (answer.status == 429).then_some(answer)
    });
    assert!(refused.head.contains("retry-after: "), "{refused:?}");
    // Tests come from one address, so she waits, too: but is not locked out.
    assert_eq!(ann.me()["name"], "Ann", "who is signed in plays on");
    eventually("the delay is over", || {
        (log_in(&mut ann, "Ann", PASSWORD).status == 200).then_some(())
    });
}

#[test]
fn a_code_of_the_operators_sets_a_new_password_once() {
    let setup = Setup::new(1000, 1);
    let server = setup.start();
    registered(&server, "Ann");
    let ran = setup.run(&["people", "reset", "ann"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let code = ran.printed().trim().to_owned();
    let mut ann = knows(&server);
    let reset = |person: &mut Person, code: &str| {
        let body = json!({ "name": "Ann", "code": code, "password": "a new password" });
        person.post("/me/reset", &body).status
    };
    assert_eq!(reset(&mut ann, "0000-0000-0000"), 401);
    assert_eq!(reset(&mut ann, &code), 200);
    assert_eq!(ann.me()["name"], "Ann");
    assert_eq!(reset(&mut knows(&server), &code), 401, "used up");
}

#[test]
fn a_team_is_joined_by_its_invitation_and_shown_to_everybody() {
    let server = Setup::new(1000, 1).start();
    let (mut ann, mut bob) = (registered(&server, "Ann"), registered(&server, "Bob"));
    let team = ann.post("/teams", &json!({ "name": "Foxes", "colour": "#cc3311" }));
    assert_eq!(team.status, 200, "{team:?}");
    let team = body(&team);
    let (id, invite) = (team["id"].as_str().expect("an id"), &team["invite"]);
    let path = format!("/teams/{id}");
    let shown = body(&request(server.address, "GET", &path, &[]));
    assert_eq!((&shown["name"], &shown["members"][0]["name"]), (&json!("Foxes"), &json!("Ann")));
    assert_eq!(shown.get("invite"), None, "for members alone");
    assert_eq!(bob.post("/teams/join", &json!({ "invite": "wrong" })).status, 404);
    let joined = bob.post("/teams/join", &json!({ "invite": invite }));
    assert_eq!(joined.status, 200, "{joined:?}");
    assert_eq!(bob.me()["team"]["name"], "Foxes");
    assert_eq!(bob.post("/teams", &json!({ "name": "Owls", "colour": "#000000" })).status, 409);
    assert_eq!(bob.command("PUT", &path, &json!({ "name": "Wolves" })).status, 403);
    let renamed = ann.command("PUT", &path, &json!({ "name": "Wolves" }));
    assert_eq!((renamed.status, &body(&renamed)["colour"]), (200, &json!("#cc3311")));
    // Who is in it hears what is said there, until it leaves.
    let to = format!("team:{id}");
    let mut socket = bob.connect("/ws?v=2");
    socket.say(&json!({ "type": "join", "to": to }));
    assert_eq!(socket.text()["type"], "joined");
    let mut writer = ann.connect("/ws?v=2");
    writer.say(&json!({ "type": "message", "to": to, "data": { "text": "hello" } }));
    let heard = socket.text();
    assert_eq!((&heard["type"], &heard["data"]["text"]), (&json!("message"), &json!("hello")));
    assert_eq!(bob.post("/teams/leave", &json!({})).status, 204);
    assert_eq!(socket.text()["type"], "left");
    assert_eq!(bob.me()["team"], Value::Null);
    for path in ["/teams/0123456789abcdef", "/teams/x"] {
        assert_eq!(request(server.address, "GET", path, &[]).status, 404, "{path}");
    }
}

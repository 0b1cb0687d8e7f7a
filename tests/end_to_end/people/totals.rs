//! Totals and leaderboards: first checks, counted once for whoever was first, whatever happens to the server.

use serde_json::{Value, json};

use super::sign_outs::knows;
use crate::harness::{
    client::{Client, Told},
    eventually,
    person::Person,
    server::{Server, Setup, request},
};

/// Checks boxes and waits until each is answered.
fn check(client: &mut Client, ids: impl IntoIterator<Item = u32>) {
    for id in ids {
        client.check(id);
        loop {
            match client.any() {
                Told::Update { id: answered, .. } if answered == id => break,
                Told::Closed(..) | Told::Cut => panic!("it ended"),
                _ => {}
            }
        }
    }
}

/// Rank, id and total of each line of a leaderboard.
fn ranking(server: &Server, query: &str) -> Vec<(u64, String, u64)> {
    let answer = request(server.address, "GET", &format!("/leaderboard{query}"), &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    let board: Value = serde_json::from_str(&answer.body).expect("JSON");
    let entries = board["entries"].as_array().expect("a list").iter();
    let number = |value: &Value| value.as_u64().expect("a number");
    let line = |entry: &Value| {
        let id = entry["id"].as_str().expect("an id").to_owned();
        (number(&entry["rank"]), id, number(&entry["total"]))
    };
    entries.map(line).collect()
}

fn expect(server: &Server, query: &str, wanted: &[(u64, &str, u64)]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(rank, id, total)| (*rank, (*id).to_owned(), *total)).collect();
    eventually("the leaderboard is up to date", || {
        (ranking(server, query) == wanted).then_some(())
    });
}

#[test]
fn first_checks_count_once_for_whoever_was_first_and_survive_a_kill() {
    let setup = Setup::new(1000, 1);
    let mut server = setup.start();
    let (mut ann, mut bob) = (knows(&server), knows(&server));
    let (a, b) = (ann.user(), bob.user());
    let (mut hers, mut his) = (ann.connect("/ws?v=2"), bob.connect("/ws?v=2"));
    check(&mut hers, 1..=5);
    // Those that she was first at count for nobody else, nor again for her.
    check(&mut his, 4..=7);
    check(&mut hers, 1..=3);
    let mut nobody = server.client_v2();
    check(&mut nobody, 20..=30);
    expect(&server, "", &[(1, &a, 5), (2, &b, 2)]);
    let answer = request(server.address, "GET", "/leaderboard", &[]);
    let all: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!((&all["of"], &all["day"]), (&json!("players"), &Value::Null));
    check(&mut his, 100..=119);
    // At once: what was not handed over is found by the sweep of the next start.
    server.kill();
    let server = setup.start();
    expect(&server, "?of=players", &[(1, &b, 22), (2, &a, 5)]);
    for person in [&mut ann, &mut bob] {
        person.to = server.address;
    }
    let mut hers = ann.connect("/ws?v=2");
    check(&mut hers, 200..=202);
    expect(&server, "?of=players", &[(1, &b, 22), (2, &a, 8)]);
    for wrong in ["?of=boxes", "?day=today", "?day=2026-02-30", "?of=teams&of=players", "?x=1"] {
        let answer = request(server.address, "GET", &format!("/leaderboard{wrong}"), &[]);
        assert_eq!(answer.status, 400, "{wrong}");
    }
    assert_eq!(ranking(&server, "?day=1999-12-31"), []);
}

#[test]
fn what_an_anonymous_player_has_checked_goes_along_to_its_account_and_counts_for_its_team() {
    let server = Setup::new(1000, 1).start();
    let register = |person: &mut Person, name: &str| {
        let body = json!({ "name": name, "password": "correct horse" });
        assert_eq!(person.post("/me/register", &body).status, 200);
    };
    let mut ann = knows(&server);
    let a = ann.user();
    check(&mut ann.connect("/ws?v=2"), 1..=4);
    register(&mut ann, "Ann");
    expect(&server, "", &[(1, &a, 4)]);
    let team = ann.post("/teams", &json!({ "name": "Foxes", "colour": "#cc3311" }));
    let team: Value = serde_json::from_str(&team.body).expect("JSON");
    let id = team["id"].as_str().expect("an id");
    check(&mut ann.connect("/ws?v=2"), 5..=7);
    expect(&server, "?of=teams", &[(1, id, 3)]);
    // Somebody else's boxes of an afternoon, who then logs in as her.
    let mut elsewhere = knows(&server);
    let (other, mut socket) = (elsewhere.user(), elsewhere.connect("/ws?v=2"));
    check(&mut socket, 10..=11);
    expect(&server, "", &[(1, &a, 7), (2, &other, 2)]);
    let body = json!({ "name": "Ann", "password": "correct horse" });
    assert_eq!(elsewhere.post("/me/login", &body).status, 200);
    expect(&server, "", &[(1, &a, 9)]);
    // A connection that is still open as who it was before.
    check(&mut socket, 12..=12);
    expect(&server, "", &[(1, &a, 10)]);
}

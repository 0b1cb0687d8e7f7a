//! What operators do with people: messages to groups, who is there, rooms, sign-outs, bans and reports.

use serde_json::{Value, json};

use xtask::mariadb::MariaDb;

use super::{Guarded, audit, await_each_other, change, with_token};
use crate::harness::{
    client::{Client, Told},
    cluster, eventually,
    person::{Person, at_tile, somebody},
    server::{Server, Setup, send},
};

const MESSAGE: &str = "/ws/message";

const PASSWORD: &str = "correct horse battery";

/// Two tiles.
const BOXES: u32 = 200_000;

fn setup() -> Setup {
    Setup::new(BOXES, 2).with("PEOPLE__MESSAGES", "off")
}

/// Somebody with an account.
fn registered(server: &Server, name: &str) -> (Person, String) {
    let mut person = Person::new(server.address);
    let answer = person.post("/me/register", &json!({ "name": name, "password": PASSWORD }));
    assert_eq!(answer.status, 200, "{answer:?}");
    let user = person.user();
    (person, user)
}

/// How a connection ends.
fn ended(client: &mut Client) -> (u16, String) {
    loop {
        match client.any() {
            Told::Closed(code, reason) => return (code, reason),
            Told::Cut => panic!("cut without a Close"),
            _ => {}
        }
    }
}

/// A connection of somebody who has joined a group.
fn joined(person: &Person, group: &str) -> Client {
    let mut client = person.connect("/ws?v=2");
    client.say(&json!({ "type": "join", "to": group }));
    let joined = client.text();
    assert_eq!((&joined["type"], &joined["to"]), (&json!("joined"), &json!(group)), "{joined}");
    client
}

/// What is answered to a request that is done.
fn done(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = change(server, method, path, body);
    assert_eq!(status, 200, "{method} {path} {body}: {answer}");
    answer
}

fn get(server: &Server, path: &str) -> Value {
    done(server, "GET", path, &Value::Null)
}

#[test]
fn operators_publish_to_a_group_and_the_same_id_is_the_same_message() {
    let server = setup().start();
    let (person, user) = somebody(&server);
    let mut client = at_tile(&person);
    let body = json!({ "to": "tile:0", "id": "deploy-7", "data": { "text": "hello" } });
    let published = done(&server, "POST", MESSAGE, &body);
    assert_eq!((&published["offset"], &published["duplicate"]), (&json!(1), &json!(false)));
    let heard = client.text();
    assert_eq!(
        (&heard["type"], &heard["from"], &heard["to"], &heard["id"]),
        (&json!("message"), &json!("operator"), &json!("tile:0"), &json!("deploy-7"))
    );
    assert_eq!((&heard["offset"], &heard["epoch"]), (&json!(1), &published["epoch"]));
    assert_eq!(heard["data"], body["data"]);
    let again = done(&server, "POST", MESSAGE, &body);
    assert_eq!((&again["offset"], &again["duplicate"]), (&json!(1), &json!(true)));
    // A player's message of that id is another one.
    client.say(&json!({ "type": "message", "to": "tile:0", "id": "deploy-7", "data": {} }));
    let both = [client.text(), client.text()];
    assert!(both.iter().any(|said| said["data"]["offset"] == 2), "{both:?}");
    assert!(both.iter().any(|said| said["from"] == format!("user:{user}")), "{both:?}");
    let body = json!({ "to": format!("user:{user}"), "data": {} });
    let published = done(&server, "POST", MESSAGE, &body);
    assert_eq!(client.text()["id"], published["id"], "one that the server has chosen");
    assert_eq!(server.metric("billion_messages_published_total{to=\"user\"}"), 1.);
    assert_eq!(server.metric("billion_messages_published_total{to=\"tile\"}"), 2.);
    assert_eq!(audit(&server), ["message"; 3]);
}

#[test]
fn several_messages_have_an_outcome_each() {
    let server = setup().start();
    let (person, _) = somebody(&server);
    let mut client = at_tile(&person);
    let to = |to: &str, id: &str| json!({ "to": to, "id": id, "data": { "text": id } });
    let long = json!({ "to": "tile:0", "data": { "text": "x".repeat(4096) } });
    let messages = [
        to("tile:0", "a"),
        to("moon:1", "b"),
        to("tile:2", "c"),
        to("tile:0", "a b"),
        long,
        to("tile:0", "a"),
        to("tile:0", "d"),
    ];
    let answer = done(&server, "POST", MESSAGE, &json!({ "messages": messages }));
    let outcomes = answer["outcomes"].as_array().expect("a list");
    let statuses: Vec<_> = outcomes.iter().map(|outcome| &outcome["status"]).collect();
    assert_eq!(statuses, [200, 422, 422, 422, 422, 200, 200]);
    assert!(outcomes[2]["detail"].as_str().is_some_and(|why| why.contains("2 tiles")), "{answer}");
    assert_eq!((&outcomes[5]["published"]["duplicate"]), &json!(true));
    let heard = [client.text(), client.text()];
    assert_eq!(heard.map(|heard| heard["id"].clone()), [json!("a"), json!("d")]);
    // As many as there may be, of a kilobyte each.
    let data = json!({ "text": "x".repeat(1000) });
    let many = |count| vec![json!({ "to": "tile:1", "data": data }); count];
    let answer = done(&server, "POST", MESSAGE, &json!({ "messages": many(100) }));
    let outcomes = answer["outcomes"].as_array().expect("a list");
    assert!(outcomes.iter().all(|outcome| outcome["status"] == 200), "{answer}");
    assert_eq!(outcomes[99]["published"]["offset"], 100);
    for (body, wanted) in [
        (json!({ "messages": many(101) }), 422),
        (json!({ "messages": many(200) }), 413),
        (json!({ "messages": [] }), 422),
        (json!({ "messages": [["tile:0", "a", {}]] }), 422),
        (json!({ "messages": [to("tile:0", "e")], "to": "tile:0" }), 422),
        (json!({ "to": "tile:0" }), 422),
        (json!({ "to": "tile:0", "data": "x" }), 422),
        (json!({ "to": "tile:0", "data": {}, "form": "x" }), 422),
        (json!({ "to": "conn:00000000-1", "data": {} }), 422),
        (json!({ "to": "tile:00", "data": {} }), 422),
        (json!({ "connection": "00000000-1", "text": "x", "data": {} }), 422),
        (json!([]), 422),
    ] {
        assert_eq!(change(&server, "POST", MESSAGE, &body).0, wanted, "{body}");
    }
    assert_eq!(audit(&server), ["message"; 2], "what was refused is no change");
}

#[test]
fn what_is_kept_of_a_group_is_read_page_by_page_by_operators_alone() {
    let guarded = Guarded::new();
    let (alice, grafana) = (guarded.token("alice", "operator"), guarded.token("grafana", "viewer"));
    let server = guarded.start_with("PEOPLE__MESSAGES", "off");
    let (person, user) = somebody(&server);
    let mut client = at_tile(&person);
    for id in ["a", "b", "c", "d", "e"] {
        let data = json!({ "text": id });
        client.say(&json!({ "type": "message", "to": "tile:0", "id": id, "data": data }));
        // Its answer, and itself.
        let _ = [client.text(), client.text()];
    }
    let read = |query: &str| {
        let answer =
            with_token(server.admin, "GET", &format!("/ws/history?group=tile:0{query}"), &alice);
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        answer
    };
    let ids = |answer: &Value| -> Vec<String> {
        let messages = answer["messages"].as_array().expect("a list").iter();
        messages.map(|message| message["id"].as_str().expect("text").to_owned()).collect()
    };
    let all = read("");
    assert_eq!(ids(&all), ["a", "b", "c", "d", "e"]);
    assert_eq!((&all["offset"], &all["complete"]), (&json!(5), &json!(true)));
    assert_eq!(all["next"], Value::Null);
    let first = &all["messages"][0];
    assert_eq!((&first["from"], &first["offset"]), (&json!(format!("user:{user}")), &json!(1)));
    assert_eq!((&first["data"]["text"], &first["epoch"]), (&json!("a"), &all["epoch"]));
    let epoch = all["epoch"].as_str().expect("text");
    let page = read("&limit=2");
    assert_eq!((ids(&page), &page["next"]), (vec!["a".to_owned(), "b".to_owned()], &json!(2)));
    let page = read(&format!("&after=2&epoch={epoch}&limit=3"));
    assert_eq!((ids(&page).join(""), &page["next"]), ("cde".to_owned(), &Value::Null));
    let other = read("&after=2&epoch=00000000000000aa");
    assert_eq!(other["complete"], false, "of another numbering nothing is known");

    let viewer = with_token(server.admin, "GET", "/ws/history?group=tile:0", &grafana);
    assert_eq!(viewer.status, 403, "{}", viewer.body);
    for query in [
        "",
        "?group=moon:1",
        "?group=tile:0&after=1",
        "?group=tile:0&after=-1&epoch=00000000000000aa",
        "?group=tile:0&epoch=x&after=1",
        "?group=tile:0&page=1",
        "?group=conn:00000000-1",
    ] {
        let answer = with_token(server.admin, "GET", &format!("/ws/history{query}"), &alice);
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
    }
    let lines = with_token(server.admin, "GET", "/audit", &alice);
    let lines: Value = serde_json::from_str(&lines.body).expect("JSON");
    let last = lines["lines"].as_array().expect("a list").last().expect("one").clone();
    assert_eq!((&last["action"], &last["group"]), (&json!("history"), &json!("tile:0")));
    assert_eq!(last["by"], "alice");
}

#[test]
fn who_is_in_a_group_is_shown_page_by_page() {
    let server = setup().start();
    let (one, user) = somebody(&server);
    let (two, other) = somebody(&server);
    let _clients = [at_tile(&one), at_tile(&one), at_tile(&two)];
    let mut nobody = server.client_v2();
    nobody.range(1, 8, &mut vec![]);
    let connections = get(&server, "/connections");
    let ids: Vec<_> = connections["connections"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|connection| connection["id"].as_str().expect("text").to_owned())
        .collect();
    let all = get(&server, "/ws/presence?group=tile:0");
    assert_eq!((&all["users"], &all["connections"]), (&json!(2), &json!(4)));
    assert_eq!((&all["everywhere"], &all["next"]), (&json!(false), &Value::Null));
    let mut expected = vec![
        json!({ "user": user, "connections": [ids[0], ids[1]] }),
        json!({ "user": other, "connections": [ids[2]] }),
    ];
    expected.sort_by_key(|member| member["user"].as_str().expect("text").to_owned());
    expected.push(json!({ "user": null, "connections": [ids[3]] }));
    assert_eq!(all["members"], json!(expected));
    let (mut paged, mut after) = (vec![], String::new());
    loop {
        let page = get(&server, &format!("/ws/presence?group=tile:0&limit=1{after}"));
        paged.extend(page["members"].as_array().expect("a list").clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(paged, expected);
    assert_eq!(get(&server, "/ws/presence?group=tile:1")["members"], json!([]));
    let own = get(&server, &format!("/ws/presence?group=user:{user}"));
    assert_eq!(own["members"], json!([{ "user": user, "connections": [ids[0], ids[1]] }]));
    for query in ["", "?group=x", "?group=tile:0&after=x", "?group=tile:0&after=00000000-1"] {
        let path = format!("/ws/presence{query}");
        assert_eq!(change(&server, "GET", &path, &Value::Null).0, 400, "{query}");
    }
}

#[test]
fn a_room_is_made_filled_and_emptied_by_operators() {
    let guarded = Guarded::new();
    let grafana = guarded.token("grafana", "viewer");
    let alice = guarded.token("alice", "operator");
    let server = guarded.start_with("PEOPLE__MESSAGES", "off");
    let ask = |method: &str, path: &str, body: &Value| {
        let headers = [("X-API-Key", &*alice), ("Content-Type", "application/json")];
        let answer = send(server.admin, method, path, &headers, body.to_string().as_bytes());
        (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
    };
    let (ann, user) = registered(&server, "Ann");
    let (bob, other) = somebody(&server);
    let (status, room) = ask("POST", "/rooms", &json!({ "name": "The Den", "maker": user }));
    assert_eq!((status, &room["name"], &room["maker"]), (200, &json!("The Den"), &json!(user)));
    let path = format!("/rooms/{}", room["id"].as_str().expect("an id"));
    let group = format!("room:{}", room["id"].as_str().expect("an id"));
    let (status, filled) = ask("POST", &format!("{path}/members"), &json!({ "user": other }));
    assert_eq!(status, 200, "{filled}");
    let members: Vec<_> = filled["members"].as_array().expect("a list").iter().collect();
    assert_eq!([&members[0]["user"], &members[1]["user"]], [&json!(user), &json!(other)]);
    assert_eq!([&members[0]["name"], &members[1]["name"]], [&json!("Ann"), &Value::Null]);
    let viewed = with_token(server.admin, "GET", &path, &grafana);
    let viewed: Value = serde_json::from_str(&viewed.body).expect("JSON");
    assert_eq!(viewed["members"], filled["members"]);

    let (mut one, mut two) = (joined(&ann, &group), joined(&bob, &group));
    let out = format!("{path}/members?user={other}");
    assert_eq!(ask("DELETE", &out, &Value::Null), (200, json!({ "removed": other })));
    assert_eq!(two.text()["type"], "left");
    let body = json!({ "to": group, "id": "a", "data": {} });
    assert_eq!(ask("POST", MESSAGE, &body).0, 200);
    assert_eq!(one.text()["id"], "a");
    two.say(&json!({ "type": "join", "to": group }));
    assert_eq!(two.text()["data"]["code"], "forbidden", "the first that it hears");
    assert_eq!(ask("DELETE", &out, &Value::Null).0, 404, "not in it any more");
    let last = format!("{path}/members?user={user}");
    assert_eq!(ask("DELETE", &last, &Value::Null).0, 200);
    assert_eq!(ask("GET", &path, &Value::Null).0, 404, "it has ended with its last member");

    for (method, path, body, wanted) in [
        ("POST", "/rooms", json!({ "name": "Den", "maker": other }), 422),
        ("POST", "/rooms", json!({ "name": "x", "maker": user }), 422),
        ("POST", "/rooms", json!({ "name": "Den", "maker": "Ann" }), 422),
        ("POST", "/rooms/0123456789abcdef/members", json!({ "user": user }), 404),
        ("POST", "/rooms/den/members", json!({ "user": user }), 404),
        ("POST", "/rooms/0123456789abcdef/members", json!({ "user": "x" }), 422),
        ("DELETE", "/rooms/0123456789abcdef/members", Value::Null, 400),
        ("DELETE", "/rooms/0123456789abcdef/members?user=x", Value::Null, 400),
        ("GET", "/rooms/den", Value::Null, 404),
    ] {
        let (status, problem) = ask(method, path, &body);
        assert_eq!(
            (status, &problem["status"]),
            (wanted, &json!(wanted)),
            "{method} {path} {body}"
        );
    }
}

#[test]
fn a_user_is_disconnected_signed_out_and_kept_out() {
    let server = setup().start();
    let (mut ann, user) = registered(&server, "Ann");
    let (bob, _) = somebody(&server);
    let mut bystander = at_tile(&bob);
    let path = "/ws/disconnect";
    let mut sockets = [ann.connect("/ws"), ann.connect("/ws?v=2")];
    let listed = get(&server, &format!("/connections?user={user}"));
    let listed = listed["connections"].as_array().expect("a list");
    assert!(listed.len() == 2 && listed.iter().all(|one| one["user"] == user), "{listed:?}");
    let body = json!({ "user": user, "code": 1013, "reason": "come back at noon" });
    assert_eq!(done(&server, "POST", path, &body)["signed_out"], false);
    for socket in &mut sockets {
        assert_eq!(ended(socket), (1013, "come back at noon".to_owned()));
    }
    assert_eq!(ann.user(), user, "and may come again");
    let mut socket = ann.connect("/ws?v=2");
    let mut copy = ann.clone();
    let answer = done(&server, "POST", path, &json!({ "user": user, "sign_out": true }));
    assert_eq!(answer, json!({ "user": user, "signed_out": true }));
    assert_eq!(ended(&mut socket), (1008, "signed out".to_owned()));
    assert_ne!(copy.user(), user, "its cookies are void");
    let log_in = |person: &mut Person| {
        person.post("/me/login", &json!({ "name": "Ann", "password": PASSWORD })).status
    };
    assert_eq!(log_in(&mut ann), 200);
    let mut socket = ann.connect("/ws?v=2");
    let ban = json!({ "user": user, "reason": "insults" });
    assert_eq!(done(&server, "POST", "/people/bans", &ban)["banned"], true);
    assert_eq!(ended(&mut socket), (1008, "blocked".to_owned()));
    assert_eq!(log_in(&mut Person::new(server.address)), 403);
    let unban = format!("/people/bans?user={user}");
    assert_eq!(done(&server, "DELETE", &unban, &Value::Null)["banned"], false);
    assert_eq!(log_in(&mut Person::new(server.address)), 200);
    let listed = get(&server, "/connections");
    let id = listed["connections"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(done(&server, "POST", path, &json!({ "connection": id }))["ended"], id);
    assert_eq!(ended(&mut bystander), (1008, "ended by an operator".to_owned()));
    let actions = ["user.end", "user.sign_out", "ban", "unban", "connection.end"];
    assert_eq!(audit(&server), actions);
    for (method, path, body, wanted) in [
        ("DELETE", &*unban, Value::Null, 404),
        ("DELETE", "/people/bans", Value::Null, 400),
        ("DELETE", "/people/bans?user=Ann", Value::Null, 400),
        ("POST", "/people/bans", json!({ "user": "Ann" }), 422),
        ("POST", "/people/bans", json!({ "user": user, "reason": "a\u{7}" }), 422),
        ("POST", path, json!({}), 422),
        ("POST", path, json!({ "user": "Ann" }), 422),
        ("POST", path, json!({ "user": "Ann", "sign_out": true }), 422),
        ("POST", path, json!({ "user": user, "sign_out": true, "code": 1008 }), 422),
        ("POST", path, json!({ "user": user, "code": 1000 }), 422),
        ("POST", path, json!({ "user": user, "connection": id }), 422),
        ("POST", path, json!({ "connection": id, "reason": "" }), 422),
        ("POST", path, json!({ "connection": "x" }), 404),
        ("GET", "/connections?user=Ann", Value::Null, 400),
    ] {
        assert_eq!(change(&server, method, path, &body).0, wanted, "{method} {path} {body}");
    }
    assert_eq!(audit(&server), actions, "nothing was changed");
}

/// What becomes of a report of a message.
fn report(client: &mut Client, to: &str, data: &Value) -> Value {
    client.say(&json!({ "type": "report", "id": "r", "to": to, "data": data }));
    loop {
        let answer = client.text();
        if answer["type"] != "message" {
            return answer;
        }
    }
}

#[test]
fn what_a_player_reports_operators_read_with_what_came_before_and_close() {
    let guarded = Guarded::new();
    let (alice, grafana) = (guarded.token("alice", "operator"), guarded.token("grafana", "viewer"));
    let server = guarded.start_with("PEOPLE__MESSAGES", "off");
    let ask = |method: &str, path: &str| {
        let answer = with_token(server.admin, method, path, &alice);
        (answer.status, serde_json::from_str::<Value>(&answer.body).unwrap_or(Value::Null))
    };
    let (ann, reporter) = somebody(&server);
    let (bob, about) = somebody(&server);
    let (mut ann, mut bob) = (at_tile(&ann), at_tile(&bob));
    for number in 1..=25 {
        let data = json!({ "text": format!("text {number}") });
        let id = format!("m{number}");
        bob.say(&json!({ "type": "message", "to": "tile:0", "id": id, "data": data }));
        // Its answer, and itself.
        let _ = [bob.text(), bob.text()];
    }
    let reported = report(&mut ann, "tile:0", &json!({ "message": "m23", "reason": "spam" }));
    assert_eq!((&reported["type"], &reported["data"]), (&json!("reported"), &json!({ "of": "r" })));
    let lie =
        json!({ "message": 2, "reason": "abuse", "from": "user:0000000000000001", "text": "lie" });
    assert_eq!(report(&mut ann, "tile:0", &lie)["type"], "reported");
    let (status, listed) = ask("GET", "/reports");
    assert_eq!(status, 200, "{listed}");
    let reports = listed["reports"].as_array().expect("a list");
    assert_eq!(reports.len(), 2, "{listed}");
    let said = |report: &Value| -> Vec<u64> {
        let messages = report["messages"].as_array().expect("a list").iter();
        messages.map(|message| message["offset"].as_u64().expect("a number")).collect()
    };
    let find = |reason: &str| {
        reports.iter().find(|report| report["reason"] == reason).expect("it is there")
    };
    let (first, second) = (find("spam"), find("abuse"));
    assert_eq!((&first["reporter"], &first["about"]), (&json!(reporter), &json!(about)));
    assert_eq!(said(first), (4..=23).collect::<Vec<_>>());
    let last = &first["messages"][19];
    assert_eq!((&last["from"], &last["id"]), (&json!(format!("user:{about}")), &json!("m23")));
    assert_eq!(last["data"]["text"], "text 23");
    assert_eq!(
        (said(second), &second["about"]),
        (vec![1, 2], &json!(about)),
        "as it was published"
    );
    assert_eq!(ask("GET", "/reports?limit=1").1["reports"].as_array().map(Vec::len), Some(1));
    assert_eq!(with_token(server.admin, "GET", "/reports", &grafana).status, 403);

    let close = format!("/reports/{}/close", first["id"].as_str().expect("an id"));
    assert_eq!(ask("POST", &close), (200, json!({ "closed": first["id"] })));
    assert_eq!(ask("GET", "/reports").1["reports"], json!([second]));
    for (method, path, wanted) in [
        ("POST", &*close, 404),
        ("POST", "/reports/x/close", 404),
        ("GET", "/reports?limit=x", 400),
        ("GET", "/reports?state=open", 400),
    ] {
        assert_eq!(ask(method, path).0, wanted, "{method} {path}");
    }
}

#[test]
fn a_player_reports_only_what_it_may_read_and_not_without_end() {
    let server = setup().with("LIMITS__ADDRESS", "off").start();
    let (ann, own) = somebody(&server);
    let (bob, other) = somebody(&server);
    let (mut ann, mut bob) = (at_tile(&ann), at_tile(&bob));
    let mut nobody = server.client_v2();
    bob.say(&json!({ "type": "message", "to": "tile:0", "id": "a", "data": { "text": "hi" } }));
    let _ = [bob.text(), bob.text()];
    done(&server, "POST", MESSAGE, &json!({ "to": "tile:0", "id": "b", "data": {} }));
    let right = json!({ "message": "a", "reason": "spam" });
    let refused = report(&mut nobody, "tile:0", &right);
    assert_eq!(refused["data"]["code"], "not_identified");
    for (to, data, code) in [
        ("tile:1", &right, "forbidden"),
        ("room:0123456789abcdef", &right, "forbidden"),
        (&*format!("user:{other}"), &right, "forbidden"),
        (&*format!("user:{own}"), &right, "unknown_message"),
        ("tile:0", &json!({ "message": "c", "reason": "spam" }), "unknown_message"),
        ("tile:0", &json!({ "message": "b", "reason": "spam" }), "forbidden"),
        ("tile:0", &json!({ "message": "a" }), "bad_envelope"),
        ("tile:0", &json!({ "reason": "spam" }), "bad_envelope"),
    ] {
        let refused = report(&mut ann, to, data);
        assert_eq!((&refused["data"]["code"], &refused["data"]["of"]), (&json!(code), &json!("r")));
    }
    assert_eq!(report(&mut bob, "tile:0", &right)["data"]["code"], "forbidden", "its own");
    assert_eq!(get(&server, "/reports")["reports"], json!([]));
    for number in 1..=20 {
        assert_eq!(report(&mut ann, "tile:0", &right)["type"], "reported", "report {number}");
    }
    let refused = report(&mut ann, "tile:0", &right);
    assert_eq!(refused["data"]["code"], "too_many_reports");
    assert_eq!(get(&server, "/reports?limit=100")["reports"].as_array().map(Vec::len), Some(20));
    // Texts have a rate, and these are some: not one after the other, which the database may slow down.
    for _ in 0..60 {
        ann.say(&json!({ "type": "report", "to": "tile:0", "data": right }));
    }
    let codes: Vec<_> = (0..60).map(|_| ann.text()["data"]["code"].clone()).collect();
    assert!(codes.contains(&json!("rate")) && !codes.contains(&Value::Null), "{codes:?}");
}

#[test]
fn operators_reach_people_on_all_nodes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mariadb = MariaDb::start(folder.path()).expect("MariaDB starts");
    mariadb.create("people").expect("room");
    let node = || {
        let setup = Setup::on(cluster::shared(), "operators-people", BOXES, 2);
        setup.with("PEOPLE__MESSAGES", "off").with("DATABASE__URL", mariadb.url("people")).start()
    };
    let (first, second) = (node(), node());
    for node in [&first, &second] {
        eventually("it hears", || (node.metric("billion_talk_subscriptions") == 16.).then_some(()));
        eventually("it has read what was revoked", || {
            let answer = Person::new(node.address).post("/me/register", &json!({}));
            (answer.status != 503).then_some(())
        });
    }
    await_each_other(&first, &second);
    let ((ann, ann_id), (bob, bob_id)) = (registered(&first, "Ann"), registered(&second, "Bob"));
    let room = done(&first, "POST", "/rooms", &json!({ "name": "Den", "maker": ann_id }));
    let room = room["id"].as_str().expect("an id").to_owned();
    let (group, members) = (format!("room:{room}"), format!("/rooms/{room}/members"));
    done(&second, "POST", &members, &json!({ "user": bob_id }));
    let (mut here, mut there) = (joined(&ann, &group), joined(&bob, &group));
    let mut epochs = vec![];
    for (at, (node, id)) in [(&first, "a"), (&second, "b"), (&first, "b")].into_iter().enumerate() {
        let body = json!({ "to": group, "id": id, "data": { "text": id } });
        let published = done(node, "POST", MESSAGE, &body);
        assert_eq!(published["duplicate"], at == 2, "one id for all nodes");
        assert_eq!(published["offset"], if at == 0 { 1 } else { 2 });
        epochs.push(published["epoch"].clone());
    }
    for member in [&mut here, &mut there] {
        for id in ["a", "b"] {
            let heard = member.text();
            assert_eq!((&heard["id"], &heard["from"]), (&json!(id), &json!("operator")));
            assert_eq!(heard["epoch"], epochs[0]);
        }
    }
    let mut users = [&ann_id, &bob_id];
    users.sort();
    for (node, own) in [(&first, &ann_id), (&second, &bob_id)] {
        let history = get(node, &format!("/ws/history?group={group}"));
        assert_eq!(history["messages"].as_array().expect("a list").len(), 2, "{history}");
        let present = eventually("both are said to be there", || {
            let present = get(node, &format!("/ws/presence?group={group}"));
            (present["users"] == 2).then_some(present)
        });
        assert_eq!((&present["everywhere"], &present["connections"]), (&json!(true), &json!(1)));
        let listed = present["members"].as_array().expect("a list");
        assert_eq!(
            [&listed[0]["user"], &listed[1]["user"]],
            users.map(|user| json!(user)).each_ref()
        );
        for member in listed {
            let count = member["connections"].as_array().expect("a list").len();
            assert_eq!(count, usize::from(member["user"] == **own), "{member}");
        }
    }
    done(&first, "DELETE", &format!("{members}?user={bob_id}"), &Value::Null);
    assert_eq!(there.text()["type"], "left");
    done(&first, "POST", "/ws/disconnect", &json!({ "user": bob_id }));
    assert_eq!(ended(&mut there), (1008, "ended by an operator".to_owned()));
    let mut there = bob.connect("/ws");
    done(&first, "POST", "/ws/disconnect", &json!({ "user": bob_id, "sign_out": true }));
    assert_eq!(ended(&mut there), (1008, "signed out".to_owned()));
    done(&second, "POST", "/people/bans", &json!({ "user": ann_id }));
    assert_eq!(ended(&mut here), (1008, "blocked".to_owned()));
}

//! What operators do with people: messages to groups, who is there, rooms, sign-outs, bans and reports.

use serde_json::{Value, json};

use super::{Guarded, audit, change, with_token};
use crate::harness::{
    client::Client,
    person::Person,
    server::{Server, Setup},
};

const MESSAGE: &str = "/ws/message";

/// Two tiles.
const BOXES: u32 = 200_000;

fn setup() -> Setup {
    Setup::new(BOXES, 2).with("PEOPLE__MESSAGES", "off")
}

/// Somebody with an identity, and its user id.
fn somebody(server: &Server) -> (Person, String) {
    let mut person = Person::new(server.address);
    let user = person.user();
    (person, user)
}

/// A connection of somebody who looks at tile 0.
fn at_tile(person: &Person) -> Client {
    let mut client = person.connect("/ws?v=2");
    client.range(1, 8, &mut vec![]);
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

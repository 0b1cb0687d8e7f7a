//! What operators say to players: a notice on all pages of all nodes, a message to one of them.

use serde_json::{Value, json};

use super::{audit, await_each_other, change};
use crate::harness::{
    client::{Client, Told},
    cluster, eventually,
    server::{Server, Setup},
};

const PATH: &str = "/ws/broadcast";

/// The next envelope that a client is sent.
fn envelope(client: &mut Client) -> Value {
    match client.next() {
        Told::Text(envelope) => envelope,
        other => panic!("{other:?}"),
    }
}

/// Nothing but the answer to a question comes: what was said before would be there by then.
fn hears_nothing(client: &mut Client) {
    let mut before = Vec::new();
    client.range(1, 8, &mut before);
    before.retain(|told| !matches!(told, Told::Pulse { .. }));
    assert_eq!(before, []);
}

fn put_up(server: &Server, body: &Value) -> Value {
    let (status, answer) = change(server, "POST", PATH, body);
    assert_eq!(status, 200, "{answer}");
    answer["notice"].clone()
}

fn notice(server: &Server) -> Value {
    change(server, "GET", PATH, &Value::Null).1["notice"].clone()
}

#[test]
fn a_notice_reaches_all_pages_and_those_that_come_later_until_it_is_taken_back() {
    let setup = Setup::new(1000, 2);
    let mut server = setup.start();
    let (mut page, mut plain) = (server.client_v2(), server.client());
    let body = json!({"text": "Back at 9 <b>UTC</b>\n☃", "severity": "warning"});
    let up = put_up(&server, &body);
    let told = envelope(&mut page);
    assert_eq!(
        (&told["type"], &told["id"], &told["from"], &told["to"]),
        (&json!("notice"), &up["id"], &json!("operator"), &json!("*"))
    );
    let data = json!({"text": body["text"], "severity": "warning", "until": null});
    assert_eq!(told["data"], data);
    assert!(told["timestamp"].as_u64().is_some_and(|at| at >= up["since_ms"].as_u64().unwrap()));
    assert_eq!(up["by"], "loopback");
    hears_nothing(&mut plain);
    assert_eq!(envelope(&mut server.client_v2()), told, "who comes later");
    drop((page, plain));
    server.kill();

    let server = setup.start();
    let mut page = server.client_v2();
    assert_eq!(envelope(&mut page)["id"], up["id"], "it is kept");
    let other = put_up(&server, &json!({"text": "Soon"}));
    let told = envelope(&mut page);
    assert_eq!((&told["id"], &told["data"]["severity"]), (&other["id"], &json!("info")));
    assert_eq!(change(&server, "DELETE", PATH, &Value::Null).0, 200);
    let told = envelope(&mut page);
    assert_eq!((&told["id"], &told["data"]), (&other["id"], &Value::Null));
    assert_eq!(notice(&server), Value::Null);
    hears_nothing(&mut server.client_v2());
    assert_eq!(audit(&server), ["notice", "notice", "notice.end"]);
}

#[test]
fn a_notice_ends_by_itself() {
    let setup = Setup::new(1000, 2);
    let server = setup.start();
    let mut page = server.client_v2();
    let up = put_up(&server, &json!({"text": "For a moment", "for_s": 3}));
    let until_ms = up["until_ms"].as_u64().expect("a time");
    assert_eq!(until_ms - up["since_ms"].as_u64().expect("a time"), 3000);
    assert_eq!(envelope(&mut page)["data"]["until"], json!(until_ms));
    let told = envelope(&mut page);
    assert_eq!((&told["id"], &told["data"]), (&up["id"], &Value::Null));
    assert!(told["timestamp"].as_u64().is_some_and(|at| at >= until_ms), "{told}");
    assert_eq!(notice(&server), Value::Null);
    hears_nothing(&mut server.client_v2());
    drop(server);
    hears_nothing(&mut setup.start().client_v2());
}

#[test]
fn what_is_no_notice_is_refused() {
    let server = Setup::new(1000, 1).start();
    let mut page = server.client_v2();
    for body in [
        json!({}),
        json!({"text": ""}),
        json!({"text": " \n "}),
        json!({"text": "☃".repeat(342)}),
        json!({"text": "a\u{1b}[2J"}),
        json!({"text": "a", "severity": "loud"}),
        json!({"text": "a", "for_s": -1}),
        json!({"text": "a", "for_s": 0}),
        json!({"text": "a", "for_s": 315_360_001}),
        json!({"text": "a", "until": 7}),
    ] {
        let (status, problem) = change(&server, "POST", PATH, &body);
        assert_eq!((status, &problem["status"]), (422, &json!(422)), "{body}: {problem}");
    }
    hears_nothing(&mut page);
    let longest = "☃".repeat(341) + "!";
    assert_eq!(longest.len(), 1024);
    put_up(&server, &json!({"text": longest}));
    assert_eq!(envelope(&mut page)["data"]["text"], json!(longest));
}

/// The id of the connection that has been on the node for the shortest time.
fn newest(server: &Server) -> String {
    let (_, answer) = change(server, "GET", "/connections", &Value::Null);
    let connections = answer["connections"].as_array().expect("a list");
    connections.last().expect("one")["id"].as_str().expect("text").to_owned()
}

#[test]
fn a_message_reaches_one_connection_on_whichever_node_it_is() {
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "notices", 1000, 2).start();
    let (first, second) = (node(), node());
    let mut neighbour = second.client_v2();
    let mut meant = second.client_v2();
    let connection = newest(&second);
    await_each_other(&first, &second);
    let body = json!({"connection": connection, "text": "Slow down", "severity": "critical"});
    for (asked, status) in [(&second, 200), (&first, 202)] {
        let (got, answer) = change(asked, "POST", "/ws/message", &body);
        assert_eq!(got, status, "{answer}");
        let told = envelope(&mut meant);
        assert_eq!((&told["id"], &told["type"]), (&answer["id"], &json!("notice")));
        assert_eq!(told["to"], json!(format!("conn:{connection}")));
        assert_eq!(
            told["data"],
            json!({"text": "Slow down", "severity": "critical", "until": null})
        );
    }
    hears_nothing(&mut neighbour);
    let plain = second.client();
    let gone = newest(&second);
    drop(plain);
    for id in [gone.as_str(), "nobody", "00000000-1"] {
        let (status, problem) =
            change(&second, "POST", "/ws/message", &json!({"connection": id, "text": "x"}));
        assert_eq!((status, &problem["status"]), (404, &json!(404)), "{id}: {problem}");
    }

    put_up(&first, &json!({"text": "to all"}));
    for page in [&mut neighbour, &mut meant] {
        assert_eq!(envelope(page)["data"]["text"], "to all");
    }
    assert_eq!(change(&second, "DELETE", PATH, &Value::Null).0, 200);
    eventually("the other node to follow", || notice(&first).is_null().then_some(()));
}

#[test]
fn commands_put_up_notices_and_take_them_back() {
    let setup = Setup::new(1000, 1);
    let server = setup.start();
    let mut page = server.client_v2();
    let from = format!("http://{}", server.admin);
    let run = |arguments: &[&str]| {
        let ran = setup.run(&[&["admin", "notice", "--from", &from], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.said);
        ran.printed().to_owned()
    };
    assert_eq!(run(&[]), "there is no notice\n");
    run(&["Maintenance", "--severity", "warning", "--for", "1h"]);
    assert_eq!(envelope(&mut page)["data"]["severity"], "warning");
    let shown = run(&[]);
    assert!(shown.starts_with("warning, by loopback, for 35"), "{shown}");
    assert!(shown.ends_with(" s more: Maintenance\n"), "{shown}");
    run(&["Hello", "--to", &newest(&server)]);
    assert_eq!(envelope(&mut page)["data"]["text"], "Hello");
    run(&["--end"]);
    assert_eq!(envelope(&mut page)["data"], Value::Null);
    let ran = setup.run(&["admin", "notice", "--end", "text"]);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    assert_eq!(audit(&server), ["notice", "message", "notice.end"]);
}

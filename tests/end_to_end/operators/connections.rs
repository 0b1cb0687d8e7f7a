//! Who is connected, and ending one, on whichever node it is.

use serde_json::{Value, json};

use super::{audit, await_each_other, change};
use crate::harness::{
    client::Told,
    cluster, eventually,
    server::{Server, Setup},
};

/// One page of a node's connections.
fn page(server: &Server, query: &str) -> Value {
    let (status, answer) = change(server, "GET", &format!("/connections{query}"), &Value::Null);
    assert_eq!(status, 200, "{answer}");
    answer
}

fn list(answer: &Value) -> &[Value] {
    answer["connections"].as_array().expect("a list")
}

fn id(connection: &Value) -> String {
    connection["id"].as_str().expect("text").to_owned()
}

#[test]
fn connections_are_listed_in_pages_and_one_is_ended_with_a_code_and_a_reason() {
    let server = Setup::new(300_000, 2).start();
    let mut clients: Vec<_> = (0..5).map(|_| server.client_v2()).collect();
    clients[2].range(150_000, 210_000, &mut vec![]);
    let _plain = server.client();
    let all = page(&server, "");
    assert_eq!((list(&all).len(), &all["next"]), (6, &Value::Null));
    let third = &list(&all)[2];
    assert_eq!((&third["address"], &third["board"]), (&json!("127.0.0.1"), &json!("main")));
    assert_eq!((&third["protocol"], &third["tiles"]), (&json!(2), &json!([1, 2])));
    assert_eq!((&third["lagging"], &third["outbox_bytes"]), (&json!(false), &json!(0)));
    assert_eq!(list(&all)[5]["protocol"], 1);

    // Page by page.
    let (mut ids, mut after) = (vec![], String::new());
    loop {
        let page = page(&server, &format!("?limit=4{after}"));
        ids.extend(list(&page).iter().map(id));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(ids, list(&all).iter().map(id).collect::<Vec<_>>());
    assert_eq!(list(&page(&server, "?address=127.0.0.0/8")).len(), 6);
    assert_eq!(list(&page(&server, "?address=127.0.0.2")).len(), 0);

    let path = |id: &str| format!("/connections/{id}?code=1013&reason=come%20back%20at%20noon");
    let (status, answer) = change(&server, "DELETE", &path(&ids[2]), &Value::Null);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(clients[2].closed(), (1013, "come back at noon".to_owned()));
    eventually("it to be gone", || (list(&page(&server, "")).len() == 5).then_some(()));
    assert_eq!(change(&server, "DELETE", &path(&ids[2]), &Value::Null).0, 404);
    let from = format!("http://{}", server.admin);
    let ran = Setup::bare().run(&["admin", "connections", "--end", &ids[0], "--from", &from]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(clients[0].closed(), (1008, "ended by an operator".to_owned()));
    let listed =
        Setup::bare().run(&["admin", "connections", "--address", "127.0.0.1", "--from", &from]);
    assert!(
        listed.printed().contains(&ids[1]) && !listed.printed().contains(&ids[2]),
        "{}",
        listed.printed()
    );
    assert_eq!(audit(&server), ["connection.end", "connection.end"]);

    for (path, wanted) in [
        ("/connections?address=x", 400),
        ("/connections?after=x", 400),
        ("/connections?after=00000000-1", 400),
        ("/connections?limit=-1", 400),
        ("/connections?page=1", 400),
    ] {
        assert_eq!(change(&server, "GET", path, &Value::Null).0, wanted, "{path}");
    }
    for (query, wanted) in
        [("?code=1000", 400), ("?reason=", 400), ("?reason=%07", 400), ("?why=x", 400)]
    {
        let path = format!("/connections/{}{query}", ids[1]);
        assert_eq!(change(&server, "DELETE", &path, &Value::Null).0, wanted, "{query}");
    }
    for id in ["x", "00000000-1"] {
        let path = format!("/connections/{id}");
        assert_eq!(change(&server, "DELETE", &path, &Value::Null).0, 404, "{id}");
    }
}

/// A node remembers 256 reasons. Connections that are not there take none of them.
#[test]
fn reasons_for_connections_that_are_gone_keep_no_other_from_being_told() {
    let server = Setup::new(1000, 1).start();
    let mut client = server.client_v2();
    let id = id(&list(&page(&server, ""))[0]);
    let (node, _) = id.split_once('-').expect("the node and a number");
    for number in 0..300 {
        for node in [node, "00000000"] {
            let path = format!("/connections/{node}-9999?reason=reason%20{number}");
            assert_eq!(change(&server, "DELETE", &path, &Value::Null).0, 404);
        }
    }
    let path = format!("/connections/{id}?reason=come%20back%20at%20noon");
    assert_eq!(change(&server, "DELETE", &path, &Value::Null).0, 200);
    assert_eq!(client.closed(), (1008, "come back at noon".to_owned()));
}

#[test]
fn a_command_lists_more_than_fits_into_a_short_answer() {
    let server = Setup::new(1000, 1).start();
    let _clients: Vec<_> = (0..100).map(|_| server.client_v2()).collect();
    let from = format!("http://{}", server.admin);
    let ran = Setup::bare().run(&["admin", "connections", "--json", "--from", &from]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(ran.printed().lines().count(), 100);
}

#[test]
fn a_connection_of_another_node_is_ended_there() {
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "connections", 1000, 2).start();
    let (first, second) = (node(), node());
    let mut there = second.client_v2();
    let mut neighbour = second.client_v2();
    let id = id(&list(&page(&second, ""))[0]);
    await_each_other(&first, &second);
    let (status, answer) = change(&first, "DELETE", &format!("/connections/{id}"), &Value::Null);
    assert_eq!((status, &answer["asked_to_end"]), (202, &json!(id)));
    assert_eq!(there.closed(), (1008, "ended by an operator".to_owned()));
    neighbour.check(7);
    assert!(matches!(neighbour.next(), Told::Update { id: 7, .. }));
}

#[test]
fn what_is_left_of_a_connections_own_rate_is_seen() {
    let setup = Setup::new(1000, 1).with("LIMITER__RANGE_LIMIT", 0);
    let server = setup.with("LIMITER__LIMIT", 0.001).with("LIMITER__BURST", 5).start();
    let mut client = server.client_v2();
    for id in 1..=3 {
        client.check(id);
        assert!(matches!(client.next(), Told::Update { .. }));
    }
    let connection = list(&page(&server, ""))[0].clone();
    assert_eq!((&connection["checks_left"], &connection["ranges_left"]), (&json!(2), &Value::Null));
}

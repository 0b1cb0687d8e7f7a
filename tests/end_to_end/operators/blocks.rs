//! Addresses that operators block: at once, on all nodes, over restarts, and for as long as was said.

use serde_json::{Value, json};

use super::{audit, change};
use crate::harness::{
    client::{Client, Told, handshake},
    cluster, eventually,
    origin::stream_from,
    server::{Server, Setup, request_over},
};

/// Nobody plays from here but who is to be blocked.
const BOT: [u8; 4] = [127, 0, 0, 66];

fn connect_from(server: &Server, from: [u8; 4]) -> Option<Client> {
    Client::try_over(
        stream_from(from.into(), server.address).expect("a loopback address"),
        server.address,
        "/ws?v=2",
    )
}

/// The status of a request from that address.
fn status_from(server: &Server, from: [u8; 4], path: &str) -> u16 {
    let stream = stream_from(from.into(), server.address).expect("a loopback address");
    request_over(stream, server.address, "GET", path, &[]).status
}

/// Whether a check on this connection is acknowledged.
fn plays(client: &mut Client, id: u32) -> bool {
    client.check(id);
    matches!(client.next(), Told::Update { id: told, .. } if told == id)
}

fn blocked(server: &Server) -> Vec<String> {
    let (status, answer) = change(server, "GET", "/blocks", &Value::Null);
    assert_eq!(status, 200, "{answer}");
    let blocks = answer["blocks"].as_array().expect("a list").iter();
    blocks.map(|block| block["network"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn a_blocked_network_is_cut_off_at_once_and_stays_out_over_a_crash() {
    let setup = Setup::new(1000, 1);
    let mut server = setup.start();
    let mut bot = connect_from(&server, BOT).expect("it is let in");
    let mut neighbour = connect_from(&server, [127, 0, 0, 65]).expect("it is let in");
    let from = format!("http://{}", server.admin);
    let ran = setup.run(&["admin", "block", "127.0.0.66/31", "--reason", "a bot", "--from", &from]);
    assert_eq!((ran.code, ran.printed()), (Some(0), "blocked 127.0.0.66/31\n"), "{}", ran.said);
    assert_eq!(bot.closed(), (1008, "blocked".to_owned()));
    assert!(
        connect_from(&server, BOT).is_none() && connect_from(&server, [127, 0, 0, 67]).is_none()
    );
    assert_eq!(status_from(&server, BOT, "/overview"), 403);
    assert!(plays(&mut neighbour, 7), "others play on");
    server.kill();
    let server = setup.start();
    assert!(connect_from(&server, BOT).is_none(), "before it has served anybody");
    let from = format!("http://{}", server.admin);
    let listed = setup.run(&["admin", "block", "--from", &from]);
    assert!(
        listed.printed().contains("127.0.0.66/31") && listed.printed().contains("a bot"),
        "{}",
        listed.printed()
    );
    let ended = setup.run(&["admin", "block", "127.0.0.66/31", "--end", "--from", &from]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(connect_from(&server, BOT).is_some());
    assert_eq!(audit(&server), ["block", "unblock"]);
}

#[test]
fn a_block_ends_by_itself_and_an_allowed_address_is_not_blocked() {
    let server = Setup::new(1000, 1).with("LIMITS__ALLOW", "127.0.0.65").start();
    let mut friend = connect_from(&server, [127, 0, 0, 65]).expect("it is let in");
    let (status, block) =
        change(&server, "POST", "/blocks", &json!({"network": "127.0.0.64/30", "for_s": 3}));
    assert_eq!(status, 200, "{block}");
    assert_eq!(
        block["until_ms"]
            .as_u64()
            .zip(block["since_ms"].as_u64())
            .map(|(until, since)| until - since),
        Some(3000)
    );
    assert!(connect_from(&server, BOT).is_none());
    assert!(plays(&mut friend, 7), "limits.allow comes first");
    eventually("the block to end", || connect_from(&server, BOT).map(drop));
    assert_eq!(blocked(&server), Vec::<String>::new());
    for (body, wanted) in [
        (json!({"network": "127.0.0.1/33"}), 422),
        (json!({"network": "example.org"}), 422),
        (json!({"network": "127.0.0.1/8"}), 422),
        (json!({}), 422),
        (json!({"network": "127.0.0.2", "for_s": -1}), 422),
    ] {
        assert_eq!(change(&server, "POST", "/blocks", &body).0, wanted, "{body}");
    }
    assert_eq!(change(&server, "DELETE", "/blocks?network=127.0.0.9", &Value::Null).0, 404);
    assert_eq!(change(&server, "DELETE", "/blocks", &Value::Null).0, 400);
}

#[test]
fn a_block_on_one_node_holds_on_all() {
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "blocks", 1000, 2).start();
    let (first, second) = (node(), node());
    let mut bot = connect_from(&second, BOT).expect("it is let in");
    assert_eq!(change(&first, "POST", "/blocks", &json!({"network": "127.0.0.66"})).0, 200);
    assert_eq!(bot.closed(), (1008, "blocked".to_owned()));
    assert!(connect_from(&second, BOT).is_none());
    let third = node();
    assert!(connect_from(&third, BOT).is_none(), "one that starts later");
    assert_eq!(blocked(&third), ["127.0.0.66/32"]);
    assert_eq!(change(&third, "DELETE", "/blocks?network=127.0.0.66", &Value::Null).0, 200);
    eventually("the others to follow", || {
        connect_from(&first, BOT).and(connect_from(&second, BOT)).map(drop)
    });
}

#[test]
fn a_handshake_that_a_page_asks_about_is_told_that_it_is_blocked() {
    let server = Setup::new(1000, 1).start();
    assert_eq!(change(&server, "POST", "/blocks", &json!({"network": "127.0.0.66"})).0, 200);
    let origin = format!("http://{}", server.address);
    let headers = handshake(&origin);
    let stream = stream_from(BOT.into(), server.address).expect("a loopback address");
    let answer = request_over(stream, server.address, "GET", "/ws/why", &headers[4..]);
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert!(answer.body.contains("blocked"), "{}", answer.body);
}

/// A Redis without persistence comes back empty; the nodes have not forgotten.
#[test]
fn decisions_that_redis_lost_are_written_down_again() {
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "lost", 1000, 2).start();
    let (first, second) = (node(), node());
    assert_eq!(change(&first, "POST", "/blocks", &json!({"network": "192.0.2.1"})).0, 200);
    eventually("the other node to follow", || (blocked(&second).len() == 1).then_some(()));
    let key = "billion:{lost:operators}:kept";
    cluster.command_on(key, &["DEL", key]);
    assert_eq!(change(&second, "POST", "/blocks", &json!({"network": "192.0.2.2"})).0, 200);
    let both = ["192.0.2.1/32", "192.0.2.2/32"];
    assert_eq!(blocked(&second), both);
    eventually("the first node to follow", || (blocked(&first) == both).then_some(()));
    assert_eq!(blocked(&node()), both, "one that starts later");
    // Nothing that was ended comes back.
    assert_eq!(change(&first, "DELETE", "/blocks?network=192.0.2.1", &Value::Null).0, 200);
    eventually("the other node to follow", || (blocked(&second) == both[1..]).then_some(()));
}

#[test]
fn nobody_blocks_everybody_by_mistake() {
    let server = Setup::new(1000, 1).start();
    for network in ["0.0.0.0/0", "128.0.0.0/7", "::/0", "2000::/15"] {
        let (status, problem) = change(&server, "POST", "/blocks", &json!({"network": network}));
        assert_eq!((status, &problem["status"]), (422, &json!(422)), "{network}: {problem}");
    }
    for network in ["10.0.0.0/8", "2001::/16"] {
        assert_eq!(change(&server, "POST", "/blocks", &json!({"network": network})).0, 200);
    }
}

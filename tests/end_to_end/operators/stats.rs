//! What the nodes do, and whether they are well.

use serde_json::{Value, json};

use super::change;
use crate::harness::{
    cluster, eventually,
    server::{Server, Setup},
};

fn get(server: &Server, path: &str) -> (u16, Value) {
    change(server, "GET", path, &Value::Null)
}

#[test]
fn the_nodes_of_a_board_are_shown_with_what_they_do() {
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "stats", 250_000, 2).start();
    let (first, mut second) = (node(), node());
    let mut client = second.client();
    let _another = second.client_v2();
    let nodes = || get(&first, "/ws/stats").1["nodes"].as_array().expect("a list").clone();
    let all = eventually("both to be heard", || Some(nodes()).filter(|nodes| nodes.len() == 2));
    let own = get(&first, "/ws/stats").1["node"].clone();
    let other = all.iter().find(|node| node["id"] != own).expect("the second").clone();
    let busy = eventually("its checks to be counted", || {
        for id in 1..=50 {
            client.check(id);
        }
        let now = nodes().into_iter().find(|node| node["id"] == other["id"])?;
        (now["checks_per_s"].as_f64()? > 0.0 && now["connections"] == 2).then_some(now)
    });
    let board = &busy["boards"][0];
    assert_eq!((&board["name"], &board["boxes"]), (&json!("stats"), &json!(250_000)));
    let shards: Vec<f64> =
        board["shards"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!(shards.len(), 2);
    assert!(shards[0] > 0.0 && shards[1] == 0.0, "boxes 1 to 50 are of the first: {shards:?}");
    assert!(busy["version"].as_str().is_some_and(|version| version.starts_with(char::is_numeric)));
    second.kill();
    eventually("the dead one to be gone", || (nodes().len() == 1).then_some(()));
    let from = format!("http://{}", first.admin);
    let shown = Setup::bare().run(&["admin", "stats", "--from", &from]);
    assert!(shown.printed().contains(own.as_str().expect("text")), "{}", shown.printed());
}

#[test]
fn a_node_says_why_it_is_not_well() {
    let server = Setup::new(1000, 1).start();
    let (status, well) = get(&server, "/ws/health");
    assert_eq!((status, &well["healthy"], &well["store"]), (200, &json!(true), &json!("up")));
    assert_eq!(change(&server, "POST", "/board/read-only", &json!({})).0, 200);
    let (status, ill) = get(&server, "/ws/health");
    assert_eq!((status, &ill["read_only"]), (503, &json!(true)));
    assert!(ill["reasons"][0].as_str().is_some_and(|reason| reason.contains("read-only")), "{ill}");
}

//! Nodes of one board while nothing goes wrong.

use std::time::Instant;

use super::world::{BOXES, SHARDS, World, whole_board};
use crate::harness::{
    client::Told,
    cluster::shared,
    eventually, seed,
    server::{Setup, request},
};

fn setup(board: &str) -> Setup {
    Setup::on(shared(), board, BOXES, SHARDS)
}

#[test]
fn a_check_on_one_node_is_announced_on_every_other() {
    let setup = setup("announced");
    let nodes = [setup.start(), setup.start(), setup.start()];
    let mut players: Vec<_> = nodes.iter().map(|node| node.client()).collect();
    for (round, id) in [1, 100_000, 100_001, BOXES].into_iter().enumerate() {
        let total = round as u32 + 1;
        let began = Instant::now();
        players[round % 3].check(id);
        for player in &mut players {
            assert_eq!(player.next(), Told::Update { total, id });
        }
        println!("box {id} was everywhere after {:?}", began.elapsed());
    }
    let late = setup.start();
    assert_eq!(whole_board(&late), (4, [1, 100_000, 100_001, BOXES].into()));
}

#[test]
fn many_writers_on_three_nodes_agree() {
    let seed = seed("many_writers_on_three_nodes_agree");
    let setups = [setup("agree"), setup("agree"), setup("agree")];
    let mut world = World::start(&setups, seed);
    world.until_acknowledged(5000);
    world.agree(shared(), "agree");
    assert_eq!(world.refused(), 0);
    let resyncs = world.metric("billion_redis_resyncs_total{result=\"ok\"}");
    assert_eq!(resyncs, 0.0, "nothing was missed, so nothing was compared");
}

#[test]
fn another_number_of_shards_is_served_as_the_board_was_made() {
    let first = setup("shards").start();
    first.client().check(BOXES);
    let second = Setup::on(shared(), "shards", BOXES, 5).start();
    assert!(second.log().contains("in 12 key ranges"), "{}", second.log());
    let mut player = second.client();
    player.check(7);
    eventually("both boxes on both nodes", || {
        let both = (2, [7, BOXES].into());
        (whole_board(&first) == both && whole_board(&second) == both).then_some(())
    });
}

#[test]
fn a_board_of_another_size_is_refused_with_both_numbers() {
    setup("size").start();
    let smaller = Setup::on(shared(), "size", 1_000_000, SHARDS);
    let (status, said) = smaller.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("1200000") && said.contains("1000000"), "{said}");
}

#[test]
fn metrics_and_readiness_tell_of_redis() {
    let node = setup("metrics").start();
    assert_eq!(node.metric("billion_redis_feed_subscriptions"), f64::from(SHARDS));
    assert_eq!(node.metric("billion_redis_epoch"), 1.0);
    assert_eq!(node.metric("billion_store_up"), 1.0);
    let ready = request(node.admin, "GET", "/readyz?store=1", &[]);
    assert_eq!(ready.status, 200, "{}", ready.body);
}

#[test]
fn a_node_waits_for_a_cluster_and_says_so() {
    let setup = Setup::new(BOXES, SHARDS)
        .with_variable("REDIS_ADDRESSES", "127.0.0.1:1")
        .with("REDIS__START_TIMEOUT_S", 1);
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("waiting for a Redis Cluster at 127.0.0.1:1"), "{said}");
    assert!(said.contains("no complete Redis Cluster at 127.0.0.1:1"), "{said}");
}

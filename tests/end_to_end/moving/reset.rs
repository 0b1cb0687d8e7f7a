//! Beginning anew: who is asked, who is told, and what is left of a reset that broke off.

use super::*;
use crate::harness::{cluster::Cluster, server::Server};

/// Waits until a node has no box any more, and sessions are let in.
fn empty(server: &Server) -> Client {
    eventually("an empty board", || {
        let client = server.client();
        (client.greeted == 0).then_some(client)
    })
}

#[test]
fn a_reset_wants_to_be_confirmed() {
    let setup = on("confirmed");
    let server = setup.start();
    check_all(&server, [1, 2, 3]);
    stop(server);
    let ran = setup.run(&["reset"]);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    assert!(ran.said.contains("3 checked boxes") && ran.said.contains("--yes"), "{}", ran.said);
    let (code, said) = setup.run_on_terminal(&["reset"], "confirm\n");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(stored("confirmed"), BTreeSet::from([1, 2, 3]));
    let (code, said) = setup.run_on_terminal(&["reset"], "confirmed\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("board 'confirmed' of 2,550,003 boxes in the Redis Cluster"), "{said}");
    assert!(said.contains("3 checked boxes") && said.contains("was reset"), "{said}");
    assert_eq!(stored("confirmed"), BTreeSet::new());
    assert_eq!(inspect(&setup, &[])["epoch"], 2);
}

#[test]
fn a_board_in_a_file_is_moved_away_instead() {
    let setup = Setup::new(1000, 1);
    let ran = setup.run(&["reset", "--yes"]);
    assert_eq!(ran.code, Some(2), "{}", ran.said);
    assert!(ran.said.contains("main.redb") && ran.said.contains("move"), "{}", ran.said);
}

#[test]
fn a_reset_empties_the_board_of_every_node_and_sends_players_away() {
    let setup = on("emptied");
    let (one, other) = (setup.start(), setup.start());
    check_all(&one, (1..=BOXES).step_by(50_000));
    eventually("the other node", || (other.client().greeted == 52).then_some(()));
    let mut players = [one.client(), one.client_v2(), other.client(), other.client_v2()];
    let said = done(&setup, &["reset", "--yes"]).said;
    assert!(said.contains("52 checked boxes") && said.contains("epoch 2"), "{said}");
    for player in &mut players {
        assert_eq!(player.closed().0, 1012);
    }
    for node in [&one, &other] {
        let closed = node.metric("billion_connections_closed_total{code=\"1012\"}");
        assert!(closed >= 2., "under its own code: {closed}");
    }
    let (mut first, mut second) = (empty(&one), empty(&other));
    assert_eq!(first.range(1, 100_000, &mut vec![]), Vec::<u32>::new());
    let late = setup.start();
    assert_eq!(late.client().greeted, 0);
    // Life goes on, together.
    second.check(1);
    assert_eq!(told(&mut first, 1), BTreeSet::from([1]));
    eventually("the late node", || (late.client().greeted == 1).then_some(()));
    assert_eq!(stored("emptied"), BTreeSet::from([1]));
    assert!(one.metric("billion_redis_resets_total") >= 1.0);
}

/// As if the command had been killed right after it had decided.
fn decide(name: &str, epoch: &str) {
    let key = format!("billion:{{{name}}}:board");
    cluster::shared().command_on(&key, &["HSET", &key, "epoch", epoch]);
}

#[test]
fn a_reset_that_broke_off_is_finished_by_doing_it_again() {
    let setup = on("broke-off");
    let server = setup.start();
    check_all(&server, [1, 2, 3]);
    stop(server);
    decide("broke-off", "2");
    // What was decided counts, even where nothing was emptied yet.
    assert_eq!(inspect(&setup, &[])["checked"], 0);
    done(&setup, &["reset", "--yes"]);
    assert_eq!(stored("broke-off"), BTreeSet::new());
    assert_eq!(setup.start().client().greeted, 0);
}

#[test]
fn a_reset_that_broke_off_is_finished_by_a_running_node() {
    let setup = on("finished");
    let server = setup.start();
    check_all(&server, [1, 2, 3]);
    let mut player = server.client();
    decide("finished", "2");
    assert_eq!(player.closed().0, 1012);
    empty(&server);
    eventually("empty key ranges", || {
        let stored = cluster::shared().read_board("finished");
        (stored.checked.is_empty() && stored.counted() == 0).then_some(())
    });
}

#[test]
fn bits_whose_state_was_lost_do_not_survive_a_reset() {
    let setup = on("stateless");
    let server = setup.start();
    check_all(&server, [1, 2, 3]);
    stop(server);
    let cluster: &Cluster = cluster::shared();
    let key = "billion:{stateless:0}:state";
    cluster.command_on(key, &["DEL", key]);
    done(&setup, &["reset", "--yes"]);
    assert_eq!(stored("stateless"), BTreeSet::new());
}

//! Deliberate faults (feature `faults`): that the tests which guard against them can fail, and that a
//! dead actor takes the node down in order.

use crate::{
    crash,
    harness::{client::Told, seed, server::Setup},
};

#[test]
fn an_acknowledgement_before_its_commit_turns_the_crash_test_red() {
    let seed = seed("an_acknowledgement_before_its_commit_turns_the_crash_test_red");
    let setup = crash::setup().with_variable("BILLION_FAULT", "acknowledge-before-commit");
    let Err(loss) = crash::play_and_kill(&setup, 40, seed) else {
        panic!("40 kills showed no loss although checks were acknowledged before their commit");
    };
    assert!(loss.contains("acknowledged and lost"), "{loss}");
    println!("{loss}");
}

#[test]
fn a_dead_shard_stops_the_node_in_order_with_exit_one() {
    let setup = Setup::new(250_000, 2).with_variable("BILLION_FAULT", "shard-panic");
    let mut server = setup.start();
    let (mut player, mut bystander) = (server.client(), server.client_v2());
    player.check(1);
    assert_eq!(player.closed(), (1001, "server going away".into()));
    assert!(matches!(bystander.next(), Told::Closed(1001, _)));
    drop((player, bystander));
    assert_eq!(server.wait().code(), Some(1));
    let log = server.log();
    assert!(log.contains("panic in thread"), "{log}");
    assert!(log.contains("shard 0 of board 'main' ended unexpectedly: stopping the node"), "{log}");
}

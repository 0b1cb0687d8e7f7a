//! Each guard switched off (feature `faults`) turns the test that it is for red, and a later version
//! of the server gets on with this one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    faults::{
        Change, hear_after_a_disconnect, kill_subscriptions, lose_by_failover,
        miss_all_but_the_last_messages, miss_the_last_messages, reset_while_cut_off,
        wait_for_a_replica,
    },
    world::{BOXES, SHARDS, World, until_metric},
};
use crate::harness::{cluster::shared, seed, server::Setup};

/// Runs a scenario that has to fail, and returns how it did.
fn red(scenario: impl FnOnce()) -> String {
    let failure = catch_unwind(AssertUnwindSafe(scenario)).expect_err("the guard was off");
    let text = failure.downcast_ref::<String>().cloned();
    text.or_else(|| failure.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

fn turns_red(guard: &str, scenario: fn(Change), change: Change, wanted: &str) {
    let told = red(|| scenario(change));
    println!("without {guard}: {told}");
    assert!(told.contains(wanted), "without {guard}: {told}");
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_resyncs_killed_subscriptions_lose_boxes() {
    turns_red(
        "resyncs",
        |change| kill_subscriptions(change, 10),
        |setup| setup.with_variable("BILLION_FAULT", "no-resync"),
        "of quiet",
    );
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_putting_back_a_failover_loses_boxes() {
    turns_red(
        "putting back",
        lose_by_failover,
        |setup| setup.with_variable("BILLION_FAULT", "no-put-back"),
        "Redis has everything again",
    );
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_our_own_subscribing_a_disconnect_ends_the_feed() {
    turns_red(
        "subscribing again",
        hear_after_a_disconnect,
        |setup| setup.with_variable("BILLION_FAULT", "no-resubscribe"),
        "messages",
    );
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_looking_the_last_messages_are_never_missed() {
    turns_red(
        "looking",
        miss_the_last_messages,
        |setup| setup.with_variable("BILLION_FAULT", "no-look"),
        "billion_announced_boxes",
    );
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_the_chain_the_next_message_shows_no_gap() {
    // The chain alone finds it, without anybody looking.
    miss_all_but_the_last_messages(|setup| setup.with_variable("BILLION_FAULT", "no-look"));
    turns_red(
        "the chain",
        miss_all_but_the_last_messages,
        |setup| setup.with_variable("BILLION_FAULT", "no-look,no-chain"),
        "billion_announced_boxes",
    );
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_forgetting_a_reset_brings_old_boxes_back() {
    turns_red(
        "forgetting",
        reset_while_cut_off,
        |setup| setup.with_variable("BILLION_FAULT", "no-forgetting"),
        "nothing came",
    );
}

#[test]
#[ignore = "long: a failure is told when everybody's patience has ended"]
fn without_waiting_for_replicas_checks_are_acknowledged() {
    turns_red(
        "waiting for replicas",
        wait_for_a_replica,
        |setup| setup.with_variable("BILLION_FAULT", "no-wait"),
        "Refused",
    );
}

/// A rolling upgrade: what the later node says is not understood, so it is looked up.
#[test]
fn an_older_and_a_later_node_agree_on_one_cluster() {
    let seed = seed("an_older_and_a_later_node_agree_on_one_cluster");
    let older = Setup::on(shared(), "versions", BOXES, SHARDS);
    let later = Setup::on(shared(), "versions", BOXES, SHARDS)
        .with_variable("BILLION_FAULT", "later-messages");
    let mut world = World::start(&[older, later], seed);
    world.until_acknowledged(1000);
    until_metric(&world.nodes[0], "billion_redis_gaps_total{reason=\"unknown\"}", |gaps| gaps > 0.);
    world.agree(shared(), "versions");
}

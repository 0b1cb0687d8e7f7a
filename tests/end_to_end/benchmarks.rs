//! Benchmarks in their quick forms, so that they cannot rot: everything runs, books balance, figures
//! are told. Nothing here says how fast anything is.

use xtask::bench::{Programs, cluster, crowd, door, fanout, group, leases};

use crate::harness::{cluster::shared, swarm};

fn programs() -> Programs {
    Programs {
        billion: env!("CARGO_BIN_EXE_billion").into(),
        swarm: swarm::program(),
        plain: env!("CARGO_BIN_EXE_baseline_plain").into(),
        naive: env!("CARGO_BIN_EXE_baseline_naive").into(),
    }
}

/// Books that do not balance, of players, of the baseline or of a full board, are an error of the run.
#[test]
fn the_cluster_benchmark_runs_and_its_books_balance() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures =
        cluster::run(&programs(), shared().redis(), folder.path(), &cluster::Scale::QUICK);
    let figures = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    println!("{figures}");
    let loads = figures.baseline.iter().chain(&figures.one_node).chain([&figures.three_nodes]);
    for load in loads {
        assert!(load.rate() > 0. && load.checks_in_all > 0., "{load:?}");
        assert!(load.redis_cpu_s >= 0., "{load:?}");
    }
    assert!(figures.relay.rate > 0. && figures.relay.p99_ms >= figures.relay.p50_ms);
    assert!(figures.ready.iter().all(|ready| !ready.is_empty()));
    let table = figures.to_string();
    for told in ["one node's rate", "Redis CPU per check", "node to node", "full board of 1000000"]
    {
        assert!(table.contains(told), "{told} in {table}");
    }
}

/// The same players, with the same exact books, on our server and on both baselines.
#[test]
fn the_fan_out_benchmark_runs_and_its_books_balance() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = fanout::run(&programs(), folder.path(), &fanout::Scale::QUICK);
    let figures = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    println!("{figures}");
    let mut servers: Vec<_> = figures.series.iter().map(|series| series.server).collect();
    servers.sort_unstable();
    servers.dedup();
    assert_eq!(servers, fanout::Server::ALL, "everybody took part");
    for series in &figures.series {
        assert_eq!(series.rounds.len(), fanout::Scale::QUICK.rounds);
        for round in &series.rounds {
            assert!(round.updates > 0. && round.max_ms >= round.p50_ms, "{series:?}");
            // A flush carries an update at least, to one listener.
            assert!(round.writes.is_none_or(|writes| writes > 0. && writes <= round.updates * 2.));
            let counts_writes = series.server != fanout::Server::Naive;
            assert_eq!(round.writes.is_some(), counts_writes, "{series:?}");
        }
    }
    let table = figures.to_string();
    for told in ["| ours / plain", "| naive / ours", "| plain |"] {
        assert!(table.contains(told), "{told} in {table}");
    }
}

/// The same members, with the same exact books, on our server and on plain tokio.
#[test]
fn the_group_benchmark_runs_and_every_member_hears_every_message() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = group::run(&programs(), folder.path(), &group::Scale::QUICK);
    let figures = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    println!("{figures}");
    let [series] = &figures.series[..] else { panic!("one size: {figures:?}") };
    for rounds in [&series.ours, &series.plain] {
        assert_eq!(rounds.len(), group::Scale::QUICK.rounds);
        for part in rounds.iter().flat_map(|round| [&round.single, &round.burst]) {
            assert_eq!(part.heard, 200.0, "40 members, 5 messages: {part:?}");
            assert!(part.p50_ms > 0.0 && part.max_ms >= part.p50_ms, "{part:?}");
        }
    }
    // Or a comparison says nothing.
    assert_eq!(series.ours[0].bytes, series.plain[0].bytes, "{series:?}");
    assert!(figures.to_string().contains("| ours / plain, p99 | 40 |"), "{figures}");
}

#[test]
fn a_group_on_several_nodes_hears_every_message() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scale = group::nodes::Scale::QUICK;
    let figures = group::nodes::run(&programs(), shared().redis(), folder.path(), &scale);
    let figures = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    println!("{figures}");
    let messages: Vec<_> = figures.nodes.iter().map(|node| node.messages).collect();
    assert_eq!(messages, [320.0, 320.0], "8 messages to 40 members on each node");
}

#[test]
fn a_crowd_over_several_nodes_hears_every_check_in_its_view() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = crowd::run(&programs(), shared().redis(), folder.path(), &crowd::Scale::QUICK);
    let figures = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    println!("{figures}");
    let connected: Vec<_> = figures.nodes.iter().map(|node| node.connections).collect();
    assert_eq!(connected, [51.0, 51.0], "those who listen and one who checks");
}

#[test]
fn an_attack_gets_what_its_address_may_have_and_players_are_not_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = door::run(&programs(), folder.path(), &door::Scale::QUICK);
    let door::Figures(rounds) = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    for round in rounds {
        assert!(round.alone_ms > 0.0 && round.beside_ms > 0.0, "{round:?}");
        assert_eq!(round.refused, 0, "{round:?}");
        // A burst, and what grows while the attack lasts and its threads come to their ends.
        let seconds = round.attack_s + 10.0;
        assert!(f64::from(round.connected) <= 201.0 + 20.0 * seconds, "{round:?}");
        assert!(round.accepted <= 401.0 + 100.0 * seconds, "{round:?}");
        assert!(round.tried > round.connected && round.connected > 0, "{round:?}");
    }
}

#[test]
fn the_benchmark_of_shared_limits_runs_and_nobody_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scale = leases::Scale::QUICK;
    let figures = leases::run(&programs(), shared().redis(), folder.path(), &scale);
    let figures = figures.unwrap_or_else(|failure| panic!("{failure:#}"));
    println!("{figures}");
    assert_eq!(figures.refused, 0.0, "{figures:?}");
    assert!(figures.allowed_per_s > 0.0 && figures.calls_per_s > 0.0, "{figures:?}");
    assert!(figures.with.1 > 0.0 && figures.without.1 > 0.0, "{figures:?}");
}

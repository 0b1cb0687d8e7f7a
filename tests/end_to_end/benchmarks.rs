//! Benchmarks in their quick forms, so that they cannot rot: everything runs, books balance, figures
//! are told. Nothing here says how fast anything is.

use xtask::bench::{
    Programs,
    cluster::{self, Scale},
};

use crate::harness::cluster::shared;

/// Books that do not balance, of players, of the baseline or of a full board, are an error of the run.
#[test]
fn the_cluster_benchmark_runs_and_its_books_balance() {
    let programs = Programs {
        billion: env!("CARGO_BIN_EXE_billion").into(),
        swarm: env!("CARGO_BIN_EXE_swarm").into(),
        page: env!("CARGO_MANIFEST_DIR").into(),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let figures = cluster::run(&programs, shared().redis(), folder.path(), &Scale::QUICK);
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

//! A node of the release before beside two of this one, as while a deployer replaces them one after the other.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::world::{BOXES, SHARDS, World};
use crate::harness::{cluster::Cluster, seed, server::Setup};

/// The release before: the last commit of the server in which a process had one board.
const BEFORE: &str = "de48f3a";

const BOARD: &str = "releases";

/// Checks that are to be acknowledged between two events.
const CHECKS: usize = 10_000;

/// The server of [`BEFORE`], built from the repository's history the first time, and the folder of its page.
fn before() -> (PathBuf, PathBuf) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("release").join(BEFORE);
    let program = folder.join("target/debug/billion");
    if !program.exists() {
        fs::create_dir_all(&folder).expect("a writable folder");
        let mut archive = Command::new("git");
        archive.args(["archive", BEFORE]).current_dir(repository).stdout(Stdio::piped());
        let mut archive = archive.spawn().expect("git");
        let mut unpack = Command::new("tar");
        unpack.arg("-x").current_dir(&folder).stdin(archive.stdout.take().expect("piped"));
        let unpacked = unpack.status().expect("tar").success();
        let archived = archive.wait().expect("it ends").success();
        assert!(unpacked && archived, "{BEFORE} is not in this copy of the repository's history");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--bin", "billion", "--target-dir", "target"]);
        assert!(build.current_dir(&folder).status().expect("cargo").success(), "{BEFORE} builds");
    }
    (program, folder)
}

#[test]
#[ignore = "long: builds the release before"]
fn a_node_of_the_release_before_plays_along() {
    let (program, page) = before();
    let cluster = Cluster::start();
    let setup = || Setup::on(&cluster, BOARD, BOXES, SHARDS);
    let older = || {
        // It does not know of limits by address.
        let setup = setup().without("LIMITS__ADDRESS").with_program(&program);
        setup.with("PAGE__PATH", page.display())
    };
    let seed = seed("a_node_of_the_release_before_plays_along");

    // The board as the release before makes it.
    let mut world = World::start(&[older(), setup(), setup()], seed);
    world.until_acknowledged(CHECKS);
    world.agree(&cluster, BOARD);
    let resyncs = world.metric("billion_redis_resyncs_total{result=\"ok\"}");
    assert_eq!(resyncs, 0.0, "nothing was missed, so nothing was compared");

    // Each release comes back to what the other one has gone on with.
    world.play();
    for (index, setup) in [(0, older()), (1, setup())] {
        world.until_acknowledged(CHECKS);
        world.nodes[index].kill();
        world.until_acknowledged(CHECKS);
        world.replace(index, setup.start());
    }
    world.until_acknowledged(CHECKS);
    world.agree(&cluster, BOARD);

    // A failover, which both have to compare after.
    world.play();
    world.until_acknowledged(CHECKS);
    let master = cluster.master_of_slot(0);
    cluster.kill(master);
    cluster.wait_for_failover(master);
    world.until_acknowledged(CHECKS);
    cluster.restart(master);
    world.until_acknowledged(CHECKS);
    world.agree(&cluster, BOARD);

    // The way back: this release's node gives its place to the one before.
    world.play();
    world.until_acknowledged(CHECKS);
    world.nodes[2].signal("-TERM");
    assert!(world.nodes[2].wait().success(), "it comes to rest");
    world.replace(2, older().start());
    world.until_acknowledged(CHECKS);
    world.agree(&cluster, BOARD);
}

//! A rolling restart as Kubernetes does it with the cluster's manifests, played on real nodes: preStop, SIGTERM, the
//! endpoint withdrawn a while later, the node's end, its start, the endpoint back. nginx is the Service: it knows nothing
//! of health, and asks nobody a second time.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::Overlay;
use crate::{
    cluster::world::{BOXES, SHARDS, World},
    harness::{
        Over,
        client::Client,
        cluster::shared,
        eventually,
        nginx::Service,
        seed,
        server::{Server, Setup, request},
    },
};

const BOARD: &str = "rollout";

/// How long after SIGTERM the endpoint of a node is withdrawn, at worst: preStop gives as much time again.
const WITHDRAWN_AFTER: Duration = Duration::from_secs(3);

/// What a node that stays has to do meanwhile: requests, and checks that are acknowledged.
const MEANWHILE: usize = 50;

#[test]
fn a_rolling_restart_loses_no_request_and_no_acknowledged_check() {
    let overlay = Overlay::render("cluster");
    let (pre_stop, grace) =
        (Duration::from_secs(overlay.pre_stop_s()), Duration::from_secs(overlay.grace_s()));
    let ready = overlay.container()["readinessProbe"]["httpGet"]["path"].as_str().expect("a path");
    let setup = || {
        Setup::on(shared(), BOARD, BOXES, SHARDS)
            .with("SERVER__TRUSTED_PROXIES", "127.0.0.1")
            .with("SERVER__DRAIN_DELAY_S", overlay.seconds("server", "drain_delay_s"))
            .with("SERVER__SHUTDOWN_TIMEOUT_S", overlay.seconds("server", "shutdown_timeout_s"))
    };
    let setups = [setup(), setup(), setup()];
    let mut world = World::watch(&setups, seed(BOARD));
    let mut service = Service::start(&addresses(&world.nodes));
    let address = service.address;
    world.play_at(address, 6);

    let (is_over, requests, newcomers) =
        (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let keep = |count: &AtomicUsize, act: &dyn Fn()| {
        // Where one of them fails, all end.
        let _over = Over(&is_over);
        while !is_over.load(Relaxed) {
            act();
            count.fetch_add(1, Relaxed);
            // As fast as it goes, they would use up the ports of every test that runs beside this one.
            thread::sleep(Duration::from_millis(3));
        }
    };
    let pages = || {
        for path in ["/", "/overview", "/static/main.js", "/ws/why"] {
            let answer = request(address, "GET", path, &[]);
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| keep(&requests, &pages));
        // Fails unless it is let in and hears the total.
        scope.spawn(|| keep(&newcomers, &|| drop(Client::connect(address, "/ws"))));
        // However this ends, the load does.
        let _over = Over(&is_over);
        for (index, setup) in setups.iter().enumerate() {
            // The pod is deleted: preStop begins, the node knows nothing yet.
            thread::sleep(pre_stop);
            let told = Instant::now();
            world.nodes[index].signal("-TERM");
            thread::sleep(WITHDRAWN_AFTER);
            let mut others = addresses(&world.nodes);
            others.remove(index);
            service.lead_to(&others);
            let ended = world.nodes[index].wait();
            assert_eq!(ended.code(), Some(0), "{}", world.nodes[index].log());
            assert!(
                pre_stop + told.elapsed() < grace,
                "it would have been killed: {:?}",
                told.elapsed()
            );

            let node = setup.start();
            eventually("ready", || (node.get(ready).status == 200).then_some(()));
            world.replace(index, node);
            service.lead_to(&addresses(&world.nodes));
            let before = requests.load(Relaxed);
            eventually("requests meanwhile", || {
                assert!(!is_over.load(Relaxed), "a request has failed");
                (requests.load(Relaxed) > before + MEANWHILE / 10).then_some(())
            });
            world.until_acknowledged(MEANWHILE);
        }
    });
    println!(
        "{} times four requests and {} handshakes were answered",
        requests.load(Relaxed),
        newcomers.load(Relaxed)
    );
    world.agree(shared(), BOARD);
    assert_eq!(world.refused(), 0, "no check was refused either");
}

fn addresses(nodes: &[Server]) -> Vec<std::net::SocketAddr> {
    nodes.iter().map(|node| node.address).collect()
}

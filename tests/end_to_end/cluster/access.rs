//! A Redis that asks who comes: TLS, ACL users, and what it says to those who may not.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use xtask::redis::spawn_server;

use super::world::{BOXES, SHARDS, whole_board};
use crate::harness::{
    client::Told,
    cluster::{Cluster, shared},
    eventually, free_address,
    server::Setup,
};

/// The line that operators are told to use.
fn documented_user() -> Vec<String> {
    let manual = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CLUSTER.md"));
    let line = manual.lines().find(|line| line.starts_with("ACL SETUSER ")).expect("a line");
    line.split(' ').map(|word| word.replace(">password", ">hunter2")).collect()
}

/// A certificate for this machine that signs itself.
fn make_certificate(folder: &Path) {
    let mut command = Command::new("openssl");
    command
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=redis", "-keyout", "key.pem"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", "certificate.pem"]);
    let output = command.current_dir(folder).output().expect("openssl can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Has every node speak TLS on another port, too: which.
fn speak_tls(cluster: &Cluster, folder: &Path) -> Vec<SocketAddr> {
    let file = |name: &str| folder.join(name).display().to_string();
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    (0..6)
        .map(|node| {
            let port = free_address();
            let number = port.port().to_string();
            let set = [
                "CONFIG",
                "SET",
                "tls-cert-file",
                &certificate,
                "tls-key-file",
                &key,
                "tls-ca-cert-file",
                &certificate,
                "tls-auth-clients",
                "no",
                "tls-port",
                &number,
            ];
            cluster.command(node, &set).accepted().expect("redis-server can speak TLS");
            port
        })
        .collect()
}

#[test]
fn a_cluster_is_reached_by_tls_as_a_user_who_may_no_more_than_needed() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_certificate(folder.path());
    let encrypted = speak_tls(&cluster, folder.path());
    for node in 0..6 {
        cluster.command(node, &documented_user()).accepted().expect("a user");
    }
    let remap: Vec<_> =
        cluster.addresses().iter().zip(&encrypted).map(|(a, b)| format!("{a}|{b}")).collect();
    let setup = Setup::new(BOXES, SHARDS)
        .with_variable("REDIS_ADDRESSES", &format!("rediss://{}", cluster.addresses()[0]))
        .with_variable("REDIS_ADDRESSES_REMAP", &remap.join(","))
        .with("REDIS__USERNAME", "billion")
        .with("REDIS__CA_FILE", folder.path().join("certificate.pem").display());
    let right = setup.with("REDIS__PASSWORD", "hunter2");
    let nodes = [right.start(), right.start()];
    let mut player = nodes[0].client();
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    eventually("the other node", || (whole_board(&nodes[1]) == (1, [7].into())).then_some(()));
    for arguments in [&["export", "board"], &["reset", "--yes"]] {
        let ran = right.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    }
    eventually("the reset", || (whole_board(&nodes[1]).0 == 0).then_some(()));
    // They resync and put back with the same rights.
    let log = nodes.each_ref().map(|node| node.log()).join("\n");
    assert!(!log.contains("NOPERM") && !log.contains("hunter2"), "{log}");

    let began = Instant::now();
    let (status, said) = right.with("REDIS__PASSWORD", "wrong-one").fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("authentication failed") && !said.contains("wrong-one"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10), "nothing to wait for");
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    make_certificate(folder.path());
    let encrypted = speak_tls(&cluster, folder.path());
    let setup = Setup::new(BOXES, SHARDS)
        .with_variable("REDIS_ADDRESSES", &format!("rediss://{}", encrypted[0]))
        .with("REDIS__START_TIMEOUT_S", 1);
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.to_lowercase().contains("certificate"), "{said}");
}

#[test]
fn a_single_redis_is_told_from_a_cluster() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let address = free_address();
    let port = address.port();
    fs::write(folder.path().join("redis.conf"), format!("port {port}\nsave \"\"\n"))
        .expect("written");
    let redis = spawn_server(|command| {
        command.arg("redis.conf").current_dir(folder.path()).stdout(std::process::Stdio::null());
        Ok(())
    });
    let mut redis = redis.expect("redis-server can be run");
    let setup = Setup::new(BOXES, SHARDS)
        .with_variable("REDIS_ADDRESSES", &address.to_string())
        // For redis-server to begin to listen; its answer ends the wait.
        .with("REDIS__START_TIMEOUT_S", 30);
    let (status, said) = setup.fail_to_start(&[]);
    redis.kill().expect("it can be killed");
    redis.wait().expect("it ends");
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("cluster support disabled"), "{said}");
}

#[test]
fn two_boards_in_one_cluster_know_nothing_of_each_other() {
    let [one, other] = ["one-of-two", "other-of-two"]
        .map(|board| Setup::on(shared(), board, BOXES, SHARDS).start());
    let (mut player, mut bystander) = (one.client(), other.client());
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    bystander.check(8);
    assert_eq!(bystander.next(), Told::Update { total: 1, id: 8 });
    assert_eq!(whole_board(&one), (1, [7].into()));
}

//! A Redis that asks who comes: TLS, ACL users, and what it says to those who may not.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
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

    let (status, said) = right.with("REDIS__PASSWORD", "wrong-one").fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("authentication failed") && !said.contains("wrong-one"), "{said}");
    one_line(&said);
    assert!(!said.contains("waiting for"), "there is nothing to wait for: {said}");
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
    let said = no_use(&setup);
    assert!(said.contains("redis.ca_file"), "{said}");
    // The same port without TLS.
    let setup = setup.with_variable("REDIS_ADDRESSES", &encrypted[0].to_string());
    let said = no_use(&setup);
    let wanted = format!("{0} (redis.addresses) speaks TLS: write rediss://{0}", encrypted[0]);
    assert!(said.contains(&wanted), "{said}");
}

/// What a node says that does not start because of what answers at its addresses, however long it may wait.
fn no_use(setup: &Setup) -> String {
    let began = Instant::now();
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30), "nothing to wait for: {said}");
    one_line(&said);
    said
}

/// Everything about Redis is in one line.
fn one_line(said: &str) {
    let about = said.lines().filter(|line| line.contains("Redis") || !line.starts_with('['));
    assert_eq!(about.count(), 1, "{said}");
}

/// A node for `address`, which is waited for longer than a test may take.
fn setup_for(address: &str) -> Setup {
    Setup::new(BOXES, SHARDS)
        .with_variable("REDIS_ADDRESSES", address)
        .with("REDIS__START_TIMEOUT_S", 60)
}

#[test]
fn what_is_no_redis_is_told_from_one() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // As soon as something was asked.
            let _ = stream.read(&mut [0; 512]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    let said = no_use(&setup_for(&address));
    let wanted = format!("{address} (redis.addresses) is no Redis: it answers \"HTTP/1.1 400");
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn a_redis_without_tls_is_told_from_one_that_is_away() {
    let address = shared().addresses()[0];
    let said = no_use(&setup_for(&format!("rediss://{address}")));
    let wanted = format!("{address} (redis.addresses) speaks no TLS: write redis:// for rediss://");
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn a_redis_that_is_away_is_named_with_the_setting() {
    let setup = setup_for("127.0.0.1:1").with("REDIS__START_TIMEOUT_S", 1);
    let (status, said) = setup.fail_to_start(&[]);
    assert_eq!(status.code(), Some(1));
    let place = "Redis Cluster at 127.0.0.1:1 (redis.addresses)";
    assert!(said.contains(&format!("waiting for a {place}")), "{said}");
    assert!(said.contains(&format!("no complete {place} in time")), "{said}");
    assert!(said.contains("refused"), "{said}");
}

/// A Redis of its own, gone when dropped.
struct Single {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Single {
    /// With more lines in its configuration.
    fn start(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let configuration = format!("port {}\nsave \"\"\n{lines}", address.port());
        fs::write(folder.path().join("redis.conf"), configuration).expect("written");
        let redis = spawn_server(|command| {
            command.arg("redis.conf").current_dir(folder.path()).stdout(Stdio::null());
            Ok(())
        });
        let process = redis.expect("redis-server can be run");
        let single = Self { process, address, _folder: folder };
        eventually("it to listen", || TcpStream::connect(address).ok());
        single
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

#[test]
fn a_single_redis_is_told_from_a_cluster() {
    let redis = Single::start("");
    let said = no_use(&setup_for(&redis.address.to_string()));
    assert!(said.contains("it is a single Redis: start it with cluster-enabled yes"), "{said}");
}

#[test]
fn a_redis_that_wants_a_password_is_told_from_one_that_does_not_know_it() {
    // The bus takes another port, ten thousand above unless it is named.
    let bus = free_address().port();
    let lines = format!("cluster-enabled yes\ncluster-port {bus}\nrequirepass hunter2\n");
    let redis = Single::start(&lines);
    let said = no_use(&setup_for(&redis.address.to_string()));
    assert!(said.contains("it wants a password") && said.contains("NOAUTH"), "{said}");
    let said = no_use(&setup_for(&format!("redis://:wrong-one@{}", redis.address)));
    assert!(said.contains("authentication failed: wrong user or password"), "{said}");
    assert!(!said.contains("wrong-one"), "{said}");
}

/// Whoever may do everything else, but not hear of others' checks, used to try that for a minute.
#[test]
fn a_user_who_may_too_little_is_told_so_at_once() {
    let user = "ACL SETUSER deaf on >hunter2 ~billion:* resetchannels +@all -@admin -@dangerous";
    let words: Vec<&str> = user.split(' ').collect();
    for node in 0..6 {
        shared().command(node, &words).accepted().expect("a user");
    }
    let address = shared().addresses()[0];
    let setup = setup_for(&format!("redis://deaf:hunter2@{address}"));
    let (status, said) = setup.with("BOARD__NAME", "deaf").fail_to_start(&[]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("the user may too little"), "{said}");
    assert!(!said.contains("in time") && !said.contains("hunter2"), "{said}");
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

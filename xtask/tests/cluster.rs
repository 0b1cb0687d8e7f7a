//! `cargo xtask cluster`, as it is called: what it starts is there, stays if it is to stay, and is gone
//! however the command ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio, id},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use xtask::{
    guardian::{Folder, Guardian},
    redis::{Connection, NODES, Reply, claim_ports, is_free},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The program in a target folder of its own, so that it is not in the way of one that is up. What it
/// started is gone when this is dropped, or when this process is killed.
struct Xtask {
    guardian: Guardian,
    redis_port: u16,
}

impl Xtask {
    fn new(name: &str) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", id()));
        let guardian = Guardian::over(&target, Duration::ZERO, Folder::Remove).expect("sh runs");
        fs::create_dir(target.join("debug")).expect("a folder");
        // A link: a copy may still be open for writing in a child that another test is starting.
        fs::hard_link(env!("CARGO_BIN_EXE_xtask"), target.join("debug/xtask")).expect("a link");
        Self { guardian, redis_port: consecutive_ports() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let target = self.guardian.folder();
        let mut command = Command::new(target.join("debug/xtask"));
        command.arg("cluster").args(words).current_dir(target);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Starts `up` and waits until everything is.
    fn up(&self, words: &[&str]) -> Child {
        let port = self.redis_port.to_string();
        let mut command = self.command(&["up", "--redis-only", "--redis-port", &port]);
        let mut up = command.args(words).spawn().expect("it can be run");
        let mut lines = BufReader::new(up.stdout.as_mut().expect("piped")).lines();
        let all_up = lines.any(|line| line.is_ok_and(|line| line.starts_with("Ctrl-C")));
        assert!(all_up, "it ended: {:?}", up.wait());
        up
    }

    fn down(&self) {
        assert!(self.command(&["down"]).status().expect("it can be run").success());
    }

    /// Asks whichever process has the key.
    fn ask(&self, words: &[&str]) -> Reply {
        let replies = (0..NODES as u16).map(|index| {
            let address: SocketAddr = (Ipv4Addr::LOCALHOST, self.redis_port + index).into();
            let mut connection = Connection::open(address, PATIENCE).expect("it listens");
            connection.call(words).expect("it answers")
        });
        let moved =
            |reply: &Reply| matches!(reply, Reply::Error(refusal) if refusal.starts_with("MOVED"));
        replies.into_iter().find(|reply| !moved(reply)).expect("somebody has every key")
    }

    fn assert_nothing_runs(&self) {
        for index in 0..NODES as u16 {
            assert!(is_free(self.redis_port + index) && is_free(self.redis_port + 100 + index));
        }
    }
}

/// The first of six ports that are free, with those a hundred further.
fn consecutive_ports() -> u16 {
    let nodes = 0..NODES as u16;
    let wanted: Vec<u16> = nodes.clone().chain(nodes.map(|index| 100 + index)).collect();
    claim_ports(&wanted).expect("free ports")
}

fn interrupt(up: &mut Child) {
    kill_process(Pid::from_child(up), Signal::INT).expect("it runs");
    assert!(up.wait().expect("it ends").success());
}

/// What `cluster start` complains about.
fn refused_start(xtask: &Xtask) -> String {
    let start = xtask.command(&["start", "2"]).stderr(Stdio::piped()).output();
    let start = start.expect("it can be run");
    assert!(!start.status.success(), "{start:?}");
    String::from_utf8_lossy(&start.stderr).into_owned()
}

#[test]
fn a_cluster_that_is_up_is_gone_after_ctrl_c() {
    let xtask = Xtask::new("cluster-new");
    assert!(refused_start(&xtask).contains("no cluster is up"));
    let mut up = xtask.up(&[]);
    assert!(refused_start(&xtask).contains("no node 2 that has ended"));
    assert_eq!(xtask.ask(&["SET", "box", "checked"]), Reply::Status("OK".into()));
    let second = xtask.command(&["up", "--redis-only"]).stderr(Stdio::piped()).output();
    let second = second.expect("it can be run");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("a cluster is up already"), "{said}");
    interrupt(&mut up);
    xtask.assert_nothing_runs();
    assert!(!xtask.guardian.folder().join("cluster/new").exists());
}

#[test]
fn a_kept_board_outlives_every_way_to_end() {
    let xtask = Xtask::new("cluster-kept");
    let mut up = xtask.up(&["--keep"]);
    assert_eq!(xtask.ask(&["SET", "box", "checked"]), Reply::Status("OK".into()));
    up.kill().and_then(|()| up.wait()).expect("kill -9");
    // Somebody is still ending what the killed one left.
    xtask.down();
    xtask.assert_nothing_runs();

    let mut up = xtask.up(&["--keep"]);
    assert_eq!(xtask.ask(&["GET", "box"]), Reply::Bytes(b"checked".to_vec()));
    xtask.down();
    assert!(up.wait().expect("it has ended").success());
    xtask.assert_nothing_runs();

    interrupt(&mut xtask.up(&[]));
    let mut up = xtask.up(&["--keep"]);
    assert_eq!(xtask.ask(&["GET", "box"]), Reply::Bytes(b"checked".to_vec()));
    interrupt(&mut up);
}

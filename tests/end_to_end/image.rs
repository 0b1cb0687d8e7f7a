//! The image as an operator runs it. Needs a Docker daemon and an image that was just built, so it
//! runs by `cargo xtask image`, which sets both up.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    eventually,
    server::request,
    within,
};

/// Docker asks for health every 10 s.
const HEALTH_LIMIT: Duration = Duration::from_secs(40);

/// The image to run.
fn image() -> String {
    std::env::var("BILLION_TEST_IMAGE").expect("cargo xtask image names the image")
}

/// Runs a command to its end: what it printed.
fn read(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn docker(arguments: &[&str]) -> String {
    read("docker", arguments)
}

/// A container with a volume of its own; both are gone when dropped.
struct Container {
    name: String,
}

impl Container {
    fn run() -> Self {
        let name = format!("billion-try-{}", std::process::id());
        let volume = format!("{name}:/srv/billion/data");
        let container = Self { name: name.clone() };
        docker(&[
            "run",
            "--detach",
            "--name",
            &name,
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--volume",
            &volume,
            "--publish=127.0.0.1::8080",
            &image(),
        ]);
        container
    }

    fn inspect(&self, what: &str) -> String {
        docker(&["inspect", "--format", what, &self.name])
    }

    /// Where the players' port is published; another one after each start.
    fn address(&self) -> SocketAddr {
        let port = docker(&["port", &self.name, "8080/tcp"]);
        port.lines().next().and_then(|line| line.parse().ok()).expect("an address")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let docker = |arguments: &[&str]| Command::new("docker").args(arguments).output();
        if std::thread::panicking() {
            let logs = docker(&["logs", &self.name]);
            eprintln!("the container said: {logs:?}");
        }
        let _ = docker(&["rm", "--force", &self.name]);
        let _ = docker(&["volume", "rm", &self.name]);
    }
}

/// Waits until `path` answers 200. The published port is open before the server behind it is, so
/// connections that end without an answer are to be expected.
fn until_served(address: SocketAddr, path: &str) {
    within(PATIENCE, path, || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).ok()?;
        (&head == b"HTTP/1.1 200").then_some(())
    });
}

#[test]
#[ignore = "needs Docker: cargo xtask image"]
fn the_image_serves_read_only_as_nobody_and_keeps_its_board() {
    let began = Instant::now();
    let container = Container::run();
    let address = container.address();
    until_served(address, "/readyz");
    println!("docker run to the first 200 on /readyz: {} ms", began.elapsed().as_millis());
    until_served(address, "/");
    println!("docker run to the first 200 on /: {} ms", began.elapsed().as_millis());

    assert!(request(address, "GET", "/", &[]).body.contains("data-boxes=\"1000000000\""));
    let ids = docker(&["exec", &container.name, "id"]);
    assert!(ids.starts_with("uid=10001 gid=10001"), "{ids}");
    let write = Command::new("docker")
        .args(["exec", &container.name, "touch", "/srv/billion/x"])
        .output()
        .expect("docker can be run");
    assert!(String::from_utf8_lossy(&write.stderr).contains("Read-only"), "{write:?}");

    let mut player = Client::connect(address, "/ws");
    for (total, id) in [(1, 1), (2, 1_000_000_000)] {
        player.check(id);
        assert_eq!(player.next(), Told::Update { total, id });
    }
    within(HEALTH_LIMIT, "Docker to find it healthy", || {
        (container.inspect("{{.State.Health.Status}}") == "healthy").then_some(())
    });

    docker(&["stop", "--time=15", &container.name]);
    assert_eq!(player.closed().0, 1001, "it said goodbye");
    assert_eq!(container.inspect("{{.State.ExitCode}}"), "0");

    docker(&["start", &container.name]);
    let address = container.address();
    until_served(address, "/readyz");
    let mut player = Client::connect(address, "/ws");
    assert_eq!(player.greeted, 2);
    assert_eq!(player.range(1, 100, &mut vec![]), [1]);
    assert_eq!(player.range(999_999_990, 1_000_000_000, &mut vec![]), [1_000_000_000]);
}

/// `docker compose`, or the older `docker-compose`.
struct Project {
    program: &'static str,
    words: Vec<String>,
    port: String,
    admin_port: String,
}

impl Project {
    fn new() -> Self {
        let plugin = Command::new("docker").args(["compose", "version"]).output();
        let plugin = plugin.is_ok_and(|output| output.status.success());
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let (port, admin_port) = (free().expect("a port"), free().expect("a port"));
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docker/compose.yml");
        let name = format!("billiontry{}", std::process::id());
        let mut words = if plugin { vec!["compose".to_owned()] } else { vec![] };
        words.extend(["-p".to_owned(), name, "-f".to_owned(), file.to_owned()]);
        Self {
            program: if plugin { "docker" } else { "docker-compose" },
            words,
            port: port.port().to_string(),
            admin_port: admin_port.port().to_string(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(&self.words).args(arguments);
        // With an address, as behind a proxy on the same machine.
        command.env("BILLION_PORT", format!("127.0.0.1:{}", self.port));
        command.env("BILLION_ADMIN_PORT", &self.admin_port);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("compose can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {said}", self.program);
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    fn up(&self) -> (SocketAddr, SocketAddr) {
        self.run(&["up", "--detach", "--no-build"]);
        let at = |port: &str| format!("127.0.0.1:{port}").parse().expect("an address");
        let (address, admin) = (at(&self.port), at(&self.admin_port));
        until_served(address, "/readyz");
        (address, admin)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.command(&["down", "--volumes"]).output();
    }
}

#[test]
#[ignore = "needs Docker: cargo xtask image"]
fn compose_runs_a_node_whose_board_outlives_its_container() {
    let project = Project::new();
    let (address, admin) = project.up();
    let metrics = request(admin, "GET", "/metrics", &[]);
    assert!(metrics.body.contains("billion_store_up 1"), "{metrics:?}");
    let mut player = Client::connect(address, "/ws");
    player.check(42);
    assert_eq!(player.next(), Told::Update { total: 1, id: 42 });
    let id = project.run(&["ps", "--quiet", "billion"]);
    let limits = docker(&["exec", &id, "cat", "/proc/1/limits"]);
    let files = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    assert!(files.contains("20000"), "{files}");
    let health = || docker(&["inspect", "--format", "{{.State.Health.Status}}", &id]);
    within(HEALTH_LIMIT, "it to be healthy", || (health() == "healthy").then_some(()));

    project.run(&["down"]);
    assert_eq!(player.closed().0, 1001, "it said goodbye");
    let (address, _) = project.up();
    eventually("the board", || (Client::connect(address, "/ws").greeted == 1).then_some(()));
}

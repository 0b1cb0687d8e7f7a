//! Many nodes behind a real nginx with `docker/nginx.conf`: who a player is, and what becomes of players
//! and pages while nodes come and go. Each node has a board of its own here.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    eventually,
    nginx::Balancer,
    server::{Response, Server, Setup, request},
    site::copy_page,
};

const BOXES: u32 = 250_000;

/// A node that believes nginx, which asks it from this address.
fn trusting() -> Setup {
    Setup::new(BOXES, 2).with("SERVER__TRUSTED_PROXIES", "127.0.0.1")
}

/// A WebSocket handshake from 127.0.0.`host`, as from the own page: the head of the answer, and the
/// connection as long as it is held.
fn knock(host: u8, at: SocketAddr, headers: &[(&str, &str)]) -> (String, TcpStream) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    socket.bind(&SockAddr::from(from)).expect("every 127.x.x.x is this machine");
    socket.connect(&SockAddr::from(at)).expect("it listens");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    let own = format!("http://{at}");
    let origin =
        headers.iter().find(|(name, _)| *name == "Origin").map_or(&*own, |(_, value)| value);
    let headers = headers.iter().filter(|(name, _)| *name != "Origin");
    let extra: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {at}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it takes a request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    (String::from_utf8(answer).expect("text").to_lowercase(), stream)
}

fn status(head: &str) -> u16 {
    head[9..12].parse().expect("a status")
}

/// What a client may say of itself, one header a line.
const LIES: [&[(&str, &str)]; 6] = [
    &[("X-Forwarded-For", "127.0.0.9")],
    &[("X-Forwarded-For", "192.0.2.1, 127.0.0.1"), ("X-Forwarded-For", "192.0.2.2")],
    &[("Forwarded", "for=192.0.2.1")],
    &[("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", "192.0.2.1")],
    &[("Forwarded", "for=\""), ("X-Forwarded-For", "unknown")],
    &[("X-Real-IP", "192.0.2.1"), ("X-Forwarded-Host", "192.0.2.1")],
];

#[test]
fn connections_are_counted_by_the_address_of_the_player() {
    let node = trusting().without("LIMITS__ADDRESS");
    let node = node.with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 2).start();
    let nginx = Balancer::start(&[node.address]);
    let player = |host, lies| knock(host, nginx.address, lies);
    let (first, held) = player(2, &[]);
    let (second, _held) = player(2, LIES[0]);
    assert_eq!((status(&first), status(&second)), (101, 101), "{first}{second}");
    for lies in LIES.iter().chain(&[&[][..]]) {
        let (third, _) = player(2, lies);
        assert_eq!(status(&third), 429, "{lies:?}: {third}");
        assert!(third.contains("\r\nretry-after: "), "{third}");
    }
    // Nor can it take another one's place.
    let (other, _other) = player(9, &[]);
    assert_eq!(status(&other), 101, "{other}");
    drop(held);
    eventually("the place that was given back", || {
        (status(&player(2, &[]).0) == 101).then_some(())
    });
}

/// Strangers who say to be somebody else are in `security/forwarding.rs`.
#[test]
fn an_nginx_that_nobody_has_named_locks_none_of_its_players_out() {
    let node = Setup::new(BOXES, 2).without("LIMITS__ADDRESS");
    let node = node.with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 2).start();
    let nginx = Balancer::start(&[node.address]);
    let players = [2, 3, 4, 4].map(|host| knock(host, nginx.address, &[]));
    for (head, _) in &players {
        assert_eq!(status(head), 101, "{head}");
    }
    eventually("it is said", || {
        node.log().contains("is not in server.trusted_proxies").then_some(())
    });
    // Without nginx an address has its number as ever.
    let [(one, _one), (two, _two), (three, _)] =
        [5, 5, 5].map(|host| knock(host, node.address, &[]));
    assert_eq!([&one, &two, &three].map(|head| status(head)), [101, 101, 429]);
}

#[test]
fn the_own_page_may_connect_through_nginx_on_any_port_and_no_other() {
    let node = trusting().start();
    let nginx = Balancer::start(&[node.address]);
    let mut player = Client::connect(nginx.address, "/ws");
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    let other = format!("http://127.0.0.1:{}", nginx.address.port() ^ 1);
    for origin in [other.as_str(), "http://127.0.0.1", "http://evil.example"] {
        let host = origin.trim_start_matches("http://");
        let (head, _) = knock(2, nginx.address, &[("Origin", origin), ("X-Forwarded-Host", host)]);
        assert_eq!(status(&head), 403, "{origin}: {head}");
    }
}

#[test]
fn what_is_for_operators_stays_inside() {
    let node = trusting().start();
    let nginx = Balancer::start(&[node.address]);
    for path in
        ["/readyz", "/readyz?store=1", "/metrics", "/store", "/export", "/import", "/nothing"]
    {
        assert_eq!(request(nginx.address, "GET", path, &[]).status, 404, "{path}");
    }
    assert_eq!(request(nginx.address, "GET", "/healthz", &[]).status, 200);
    let told = request(nginx.address, "POST", "/ws", &[("Content-Length", "10000")]);
    assert_eq!(told.status, 413, "{told:?}");
}

/// The page, twice as often as there are nodes and once more: all of them were asked.
fn load_pages(nginx: &Balancer, nodes: usize) {
    for _ in 0..=2 * nodes {
        let page = request(nginx.address, "GET", "/", &[]);
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.body.contains("</html>"), "all of it: {page:?}");
    }
}

fn players_on(node: &Server) -> f64 {
    node.metric("billion_connections")
}

fn refusals(node: &Server, reason: &str) -> f64 {
    node.metric(&format!("billion_refusals_total{{reason=\"{reason}\"}}"))
}

#[test]
fn a_draining_node_is_passed_over() {
    let leaving = trusting()
        .with("SERVER__SHUTDOWN_TIMEOUT_S", 60)
        .with("SESSION__CLOSE_TIMEOUT_S", 60)
        .start();
    let staying = trusting().start();
    let nginx = Balancer::start(&[leaving.address, staying.address]);
    // One that is not behind nginx and does not answer the Close keeps it on its way out.
    let _lingering = leaving.client();
    let mut players: Vec<_> = (0..6).map(|_| Client::connect(nginx.address, "/ws")).collect();
    assert_eq!([&leaving, &staying].map(players_on), [4.0, 3.0]);
    leaving.signal("-TERM");
    eventually("draining", || (leaving.get("/readyz").status == 503).then_some(()));

    for _ in 0..10 {
        players.push(Client::connect(nginx.address, "/ws"));
        load_pages(&nginx, 2);
    }
    assert!(refusals(&leaving, "draining") >= 1.0, "it was asked, having the fewest players");
    assert_eq!(players_on(&staying), 13.0);
    let told = |player: &mut Client| player.next_within(Duration::from_millis(500));
    let gone = players[..6].iter_mut().filter_map(told).collect::<Vec<_>>();
    assert_eq!(gone, vec![Told::Closed(1001, "server going away".into()); 3]);
}

#[test]
fn a_killed_node_is_passed_over_and_used_again_once_it_is_back() {
    let staying = trusting().start();
    let mut killed = trusting().start();
    let again = trusting().with("SERVER__ADDRESS", killed.address);
    let nginx = Balancer::start(&[killed.address, staying.address]);
    let mut players: Vec<_> = (0..4).map(|_| Client::connect(nginx.address, "/ws")).collect();
    killed.kill();
    let cut =
        players.iter_mut().filter_map(|player| player.next_within(Duration::from_millis(500)));
    assert_eq!(cut.collect::<Vec<_>>(), [Told::Cut, Told::Cut]);
    for _ in 0..10 {
        players.push(Client::connect(nginx.address, "/ws"));
        load_pages(&nginx, 2);
    }
    let back = again.start();
    // Pages, too: nginx calls a request a success when it has ended, which a WebSocket does not.
    eventually("all newcomers on the node that is back", || {
        load_pages(&nginx, 1);
        let crowded = players_on(&staying);
        players.extend((0..5).map(|_| Client::connect(nginx.address, "/ws")));
        (players_on(&staying) == crowded && players_on(&back) >= 5.0).then_some(())
    });
}

#[test]
fn a_machine_that_is_gone_costs_a_second_and_nothing_else() {
    // Its queue is full and nobody accepts, so that the kernel drops whatever comes, as a network
    // does with packets for nobody.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("a free port");
    socket.listen(0).expect("it can listen");
    let listener = TcpListener::from(socket);
    let gone = listener.local_addr().expect("it is bound");
    let limit = Duration::from_millis(200);
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&gone, limit) {
        waiting.push(stream);
    }

    let node = trusting().start();
    let nginx = Balancer::start(&[gone, node.address]);
    let began = Instant::now();
    load_pages(&nginx, 2);
    let _players: Vec<_> = (0..10).map(|_| Client::connect(nginx.address, "/ws")).collect();
    // One request finds out in a second (proxy_connect_timeout); after 2 s (fail_timeout) another one tries again.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(900), "the machine was asked: {took:?}");
    let waits = nginx.waits_in_vain();
    assert!((1..=1 + took.as_secs() / 3).contains(&waits), "{waits} of 12 waited, in {took:?}");
}

#[test]
fn pages_come_from_another_node_while_one_is_frozen() {
    let [frozen, node] = [trusting().start(), trusting().start()];
    let nginx = Balancer::start(&[frozen.address, node.address]);
    frozen.signal("-STOP");
    let began = Instant::now();
    load_pages(&nginx, 2);
    // One finds out in 5 s (proxy_read_timeout), and no other one within 2 s (fail_timeout).
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(4900), "it was asked: {took:?}");
    let waits = nginx.waits_in_vain();
    let most = 1 + took.as_secs().saturating_sub(5) / 6;
    assert!((1..=most).contains(&waits), "{waits} of 2 waited, in {took:?}");
}

#[test]
fn full_nodes_still_show_the_page() {
    let node = || trusting().with("SERVER__MAX_CONNECTIONS", 2).start();
    let nodes = [node(), node()];
    let nginx = Balancer::start(&[nodes[0].address, nodes[1].address]);
    let _players: Vec<_> = (0..4).map(|_| Client::connect(nginx.address, "/ws")).collect();
    // The first is told so by the nodes; the next by nginx, which then leaves them alone for a while.
    for _ in 0..5 {
        let (head, _) = knock(2, nginx.address, &[]);
        assert_eq!(status(&head), 503, "{head}");
        assert!(head.contains("\r\nretry-after: "), "{head}");
        load_pages(&nginx, 2);
    }
    for node in &nodes {
        assert!(refusals(node, "full") >= 1.0, "it was asked");
    }
}

#[test]
fn without_any_node_everybody_is_told_to_come_back() {
    let mut node = trusting().start();
    let nginx = Balancer::start(&[node.address]);
    node.kill();
    for path in ["/", "/ws", "/static/0123456789abcdef/main.js", "/overview"] {
        let told = request(nginx.address, "GET", path, &[]);
        assert_eq!(told.status, 503, "{path}: {told:?}");
        assert!(told.head.lines().any(|line| line == "retry-after: 5"), "{path}: {}", told.head);
    }
}

/// The page's own folder, with `text` added to one of its scripts.
fn other_version(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    copy_page(folder.path());
    let script = folder.path().join("static/main.js");
    let mut file = fs::OpenOptions::new().append(true).open(script).expect("it is there");
    file.write_all(text.as_bytes()).expect("it can be written");
    folder
}

/// Where a node's page has its main script.
fn script(node: &Server) -> String {
    let page = node.get("/").body;
    let sources = page.split("src=\"").skip(1).filter_map(|rest| rest.split_once('"'));
    let mut paths = sources.map(|(path, _)| path).filter(|path| path.ends_with("/main.js"));
    paths.next().expect("the page has its script").to_owned()
}

#[test]
fn while_nodes_are_upgraded_every_page_gets_the_files_of_its_own_version() {
    let newer = other_version("// newer\n");
    let mut old = trusting().start();
    let upgraded = || trusting().with("PAGE__PATH", newer.path().display()).start();
    let new = [upgraded(), upgraded()];
    let nginx = Balancer::start(&[new[0].address, old.address, new[1].address]);
    let (old_path, new_path) = (script(&old), script(&new[0]));
    assert_ne!(old_path, new_path);
    let get = |path: &str| request(nginx.address, "GET", path, &[]);
    let is_new = |file: &Response| {
        assert_eq!(file.status, 200, "{file:?}");
        file.body.ends_with("// newer\n")
    };
    for _ in 0..6 {
        for (path, wanted) in [(&old_path, false), (&new_path, true)] {
            let file = get(path);
            assert_eq!(is_new(&file), wanted, "{path}");
            assert!(file.head.contains("immutable"), "{}", file.head);
        }
        assert_eq!(get(&old_path.replace("main.js", "nothing.js")).status, 404);
    }

    old.kill();
    for _ in 0..3 {
        let file = get(&old_path);
        assert!(is_new(&file), "a file of today rather than none");
        assert!(file.head.contains("cache-control: no-store"), "{}", file.head);
    }
}

#[test]
fn a_rolling_restart_refuses_nobody() {
    let setups: Vec<_> = (0..3).map(|_| trusting()).collect();
    let mut nodes: Vec<_> = setups.iter().map(Setup::start).collect();
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    let nginx = Balancer::start(&addresses);
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let keep = |act: &dyn Fn()| {
        while !over.load(Ordering::Relaxed) {
            act();
            served.fetch_add(1, Ordering::Relaxed);
            // As fast as it goes, they would use up the ports of every test that runs beside this one.
            thread::sleep(Duration::from_millis(3));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| keep(&|| load_pages(&nginx, 1)));
        scope.spawn(|| {
            keep(&|| {
                let (head, _) = knock(2, nginx.address, &[]);
                assert_eq!(status(&head), 101, "{head}");
            });
        });
        let ended = scope.spawn(|| {
            for (index, setup) in setups.into_iter().enumerate() {
                nodes[index].signal("-TERM");
                assert_eq!(nodes[index].wait().code(), Some(0));
                nodes[index] = setup.with("SERVER__ADDRESS", addresses[index]).start();
                let before = served.load(Ordering::Relaxed);
                eventually("visitors meanwhile", || {
                    (served.load(Ordering::Relaxed) > before + 10).then_some(())
                });
            }
        });
        let ended = ended.join();
        over.store(true, Ordering::Relaxed);
        ended.expect("every node came back");
    });
}

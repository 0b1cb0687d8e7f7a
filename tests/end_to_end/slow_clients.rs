//! Clients that stall, beside a thousand that read: the readers notice nothing, memory is bounded,
//! `v=2` clients are right again once they drain, plain ones are closed.
//!
//! The readers are `swarm`, whose exit status says whether each got everything exactly once.

use std::{
    collections::BTreeSet,
    io::Read,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::harness::{
    PATIENCE,
    client::{Client, Told, checked},
    eventually, long,
    server::{Server, Setup},
    swarm, within,
};

/// Sixteen tiles: all that a `v=2` client can look at.
const BOXES: u32 = 1_600_000;
const TILES: u32 = 16;

/// Connects with a receive buffer so small that a stall is felt at once.
pub fn stalling_client(server: &Server, path: &str) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    // Before connecting: the window is announced with the handshake.
    socket.set_recv_buffer_size(4096).expect("an option can be set");
    socket.connect(&server.address.into()).expect("the server listens");
    Client::over(TcpStream::from(socket), server.address, path)
}

/// A hundred clients of one kind, every other one speaking `v=2` and looking at the whole board.
fn stall(server: &Server) -> Vec<Client> {
    (0..100)
        .map(|number| {
            if number % 2 == 0 {
                return stalling_client(server, "/ws");
            }
            let mut client = stalling_client(server, "/ws?v=2");
            for tile in 0..TILES {
                client.ask(tile * 100_000 + 1, (tile + 1) * 100_000);
            }
            client
        })
        .collect()
}

/// A byte a second from each, until told to stop; gives the clients back with what they have read.
struct Dripping {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Client, Vec<u8>)>>,
}

impl Dripping {
    fn start(clients: Vec<Client>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let mut clients: Vec<_> = clients.into_iter().map(|c| (c, Vec::new())).collect();
                while !stop.load(Ordering::Relaxed) {
                    for (client, read) in &mut clients {
                        let mut byte = [0];
                        let mut stream = client.stream();
                        stream.set_nonblocking(true).expect("an option can be set");
                        if stream.read(&mut byte).is_ok_and(|count| count == 1) {
                            read.push(byte[0]);
                        }
                        stream.set_nonblocking(false).expect("an option can be set");
                    }
                    std::thread::sleep(Duration::from_secs(1));
                }
                clients
            }
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<(Client, Vec<u8>)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it drips to the end")
    }
}

/// A thousand readers and the checks they hear of; the p99 from check to reader in milliseconds.
fn readers(server: &Server, seconds: u32) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report.json");
    let output = swarm::command()
        .args(["fanout", "--url", &format!("ws://{}", server.address)])
        .args(["--boxes", &BOXES.to_string(), "--listeners", "1000", "--checkers", "4"])
        .args(["--rate", "2000", "--seconds", &seconds.to_string(), "--warmup", "1"])
        .args(["--exclusive", "true", "--verify", "all", "--json"])
        .arg(&report)
        .output()
        .expect("swarm can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "a reader missed something:\n{text}");
    let report = std::fs::read_to_string(report).expect("swarm wrote its report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("it is JSON");
    report["figures"]["update_latency_p99_ms"].as_f64().expect("a latency")
}

/// Everything on the board, by a client that is in order.
fn board(server: &Server) -> BTreeSet<u32> {
    let mut client = server.client();
    (0..TILES)
        .flat_map(|tile| client.range(tile * 100_000 + 1, (tile + 1) * 100_000, &mut vec![]))
        .collect()
}

#[test]
fn slow_clients_disturb_nobody_and_are_right_again_after_they_drain() {
    let setup = Setup::new(BOXES, 4)
        .with("SESSION__OUTBOX_BYTES", 16_384)
        .with("SESSION__SEND_BUFFER_BYTES", 8192)
        .with("SESSION__PING_INTERVAL_S", 900)
        .with("SESSION__IDLE_TIMEOUT_S", 1000)
        .with("SESSION__DRAIN_TIMEOUT_S", 1000);
    let server = setup.start();
    let seconds = if long() { 20 } else { 4 };
    let alone = readers(&server, seconds);
    let before = server.resident();

    let silent = stall(&server);
    let dripping = Dripping::start(stall(&server));
    let beside = readers(&server, seconds);
    println!("p99 {alone:.1} ms alone, {beside:.1} ms beside 200 stalled: {:.2}", beside / alone);

    assert_eq!(server.metric("billion_lags_total "), 200.0, "each of them lagged, once");
    assert_eq!(server.metric("billion_connections_closed_total{code=\"1013\"} "), 100.0);
    let grown = server.resident().saturating_sub(before);
    // 100 outboxes with 16 range answers of 12.5 KB, one batch beyond the limit each, and noise.
    assert!(grown < 64 * 1024 * 1024, "memory grew by {grown} bytes");

    let board = board(&server);
    let dripped = dripping.stop();
    let silent = silent.into_iter().map(|client| (client, vec![]));
    for (number, (client, read)) in silent.chain(dripped).enumerate() {
        if number % 2 == 0 {
            client.expect_end();
        } else {
            is_right_again(client, read, &board, &server);
        }
    }
    assert_eq!(server.metric("billion_resyncs_total "), 100.0);
    assert_eq!(server.metric("billion_lagging "), 0.0);
}

/// Reads what a `v=2` client was owed: it must end up knowing the board.
fn is_right_again(mut client: Client, read: Vec<u8>, board: &BTreeSet<u32>, server: &Server) {
    client.put_back(read);
    let mut known = BTreeSet::new();
    let mut resynced = 0;
    let mut answers_after = 0;
    while answers_after < TILES {
        match client.next() {
            Told::Total(total) => {
                assert_eq!(total as usize, board.len(), "the resync begins with the total");
                resynced += 1;
            }
            Told::Range { first, mask } => {
                known.extend(checked(first, first + 99_999, &mask));
                answers_after += u32::from(resynced > 0);
            }
            Told::Update { id, .. } => {
                known.insert(id);
            }
            other => panic!("unexpected: {other:?}\n{}", server.log()),
        }
    }
    assert_eq!(resynced, 1);
    assert!(known == *board, "{} boxes known of {}", known.len(), board.len());
}

#[test]
fn stalled_clients_are_gone_in_time() {
    let setup = Setup::new(BOXES, 4);
    // The defaults take up to a minute: the long form. Here 3 s to drain, 4 or 5 s of silence, 2 s to close.
    let (setup, takes) = if long() {
        (setup, Duration::from_secs(60))
    } else {
        let setup = setup
            .with("SESSION__OUTBOX_BYTES", 16_384)
            .with("SESSION__PING_INTERVAL_S", 4)
            .with("SESSION__IDLE_TIMEOUT_S", 5)
            .with("SESSION__DRAIN_TIMEOUT_S", 3);
        (setup, Duration::from_secs(10))
    };
    let server = setup.start();
    let stalled = stall(&server);
    let dripping = Dripping::start(stall(&server));
    let began = Instant::now();
    eventually("all connected", || (server.metric("billion_connections ") == 200.0).then_some(()));
    readers(&server, if long() { 20 } else { 3 });
    within(takes + PATIENCE, "the stalled ones are gone", || {
        (server.metric("billion_connections ") == 0.0).then_some(())
    });
    println!("200 stalled clients were gone after {:?}", began.elapsed());
    drop((stalled, dripping.stop()));
}

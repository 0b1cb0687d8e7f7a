//! Telling everybody: what a hub does with a batch, down to the kernel, with real sessions on loopback sockets.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use actors::{
    board::{Board, Offset, ShardIndex},
    node::Node,
    player::{Address, IPV6_PREFIX, Player},
    protocol::Version,
    seats::{SeatLimits, Seats},
    session::{Connection, Session},
    settings::NodeSettings,
    worker::Worker,
};
use criterion::{Criterion, Throughput};

use crate::nowhere::{self, Nowhere};

/// Sessions of the one worker.
pub const SESSIONS: usize = 500;

/// An update as it is on the wire.
const FRAME: [u8; 10] = [0x82, 8, 1, 0, 0, 0, 2, 0, 0, 0];

/// Beside a loop that writes the same bytes to the same number of sockets and does nothing else. Ours is a whole
/// flush: a box is merged, numbered and encoded, and three other threads are woken on the way.
pub fn group(criterion: &mut Criterion) {
    let (servers, clients) = connect();
    let (mut plain, plain_clients) = connect();
    let drain = Drain::start(clients.into_iter().chain(plain_clients).collect());
    let (told, started) = mpsc::sync_channel(1);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = thread::spawn(move || serve(servers, &told, ended));
    let node: Arc<Node> = started.recv().expect("the node starts");
    let mut group = criterion.benchmark_group("hub/flush to 500 sessions");
    group.throughput(Throughput::Elements(SESSIONS as u64));
    group.bench_function("baseline: write to 500 sockets", |bencher| {
        bencher.iter(|| {
            for socket in &mut plain {
                socket.write_all(&FRAME).expect("somebody reads");
            }
        });
    });
    let mut next = 0..;
    group.bench_function("flush", |bencher| {
        bencher.iter(|| {
            let offset = Offset(next.next().expect("there is no end"));
            // Ready when the hub has handed it out.
            let merged = node.main().merge(ShardIndex(0), vec![offset]);
            assert_eq!(futures_executor::block_on(merged).expect("the store takes it"), 1);
        });
    });
    group.finish();
    drop(node);
    end.send(()).expect("the node is there");
    server.join().expect("the node did not panic");
    drain.stop();
}

/// Pairs of connected sockets.
pub fn connect() -> (Vec<TcpStream>, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let pair = |_| {
        let client = TcpStream::connect(address).expect("somebody listens");
        let (server, _) = listener.accept().expect("somebody connects");
        server.set_nodelay(true).expect("it is open");
        client.set_nonblocking(true).expect("it is open");
        (server, client)
    };
    (0..SESSIONS).map(pair).unzip()
}

/// A node with a session for each of the sockets, until `ended`.
fn serve(
    sockets: Vec<TcpStream>,
    started: &mpsc::SyncSender<Arc<Node>>,
    ended: tokio::sync::oneshot::Receiver<()>,
) {
    actix::System::new().block_on(async {
        let board = Board::new("bench", 20_000_000, 1).expect("a legal board");
        let store = Arc::new(Nowhere(board));
        let node = Node::start(settings(), store, Arc::default(), Arc::default())
            .await
            .expect("the node starts");
        let worker = Worker::start(node.clone());
        let desk = worker.desk(node.main());
        let seats = Arc::<Seats>::default();
        for socket in sockets {
            socket.set_nonblocking(true).expect("it is open");
            let stream = tokio::net::TcpStream::from_std(socket).expect("within a runtime");
            let ip = std::net::Ipv4Addr::LOCALHOST.into();
            let address = Address::of(ip, IPV6_PREFIX);
            let limits = SeatLimits { all: SESSIONS, per_address: 0 };
            let seat = seats.take(address, limits).expect("one for each");
            let (version, player) = (Version::Plain, Player::anonymous(ip, address));
            let (unread, compression) = (Vec::new(), false);
            let connection = Connection { stream, unread, version, compression, player, seat };
            Session::start_at(desk.clone(), connection);
        }
        let hub = &desk.table.stats;
        while hub.bytes_sent.get() < (SESSIONS * 6) as u64 {
            // Each is greeted with 6 bytes once it is on its hub's list.
            tokio::task::yield_now().await;
        }
        started.send(node.clone()).expect("somebody waits");
        // Gone is as good as told.
        let _ = ended.await;
        node.stop().await.expect("it keeps nothing");
    });
}

/// The server's defaults, but that a flush may follow the one before at once and nobody is pinged.
pub fn settings() -> NodeSettings {
    let long = Duration::from_secs(3600);
    let mut settings = nowhere::settings();
    settings.shards.gather = Duration::ZERO;
    settings.broadcaster.interval = Duration::ZERO;
    settings.broadcaster.gather = Duration::ZERO;
    settings.broadcaster.pulse_interval = long;
    (settings.live.ping_interval, settings.live.idle_timeout) = (long, long);
    settings
}

/// Reads everything on a thread of its own and forgets it.
pub struct Drain {
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Drain {
    pub fn start(mut sockets: Vec<TcpStream>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = over.clone();
            move || {
                let mut buffer = [0; 4096];
                while !over.load(Ordering::Relaxed) {
                    for socket in &mut sockets {
                        match socket.read(&mut buffer) {
                            Ok(_) => {}
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            Err(error) => panic!("a session is gone: {error}"),
                        }
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            }
        });
        Self { over, thread }
    }

    pub fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().expect("every session was there to the end");
    }
}

//! A network between player and server that is slow, or fails, when a test wants it.
//!
//! A [`Proxy`] listens on a port of its own and passes bytes on to a server, which may be replaced
//! by another one at any time. Slowness is modelled by a [`Line`]: a rate for each direction that
//! all connections share, a delay after it, and one round trip before a new connection carries
//! anything, as its handshake would take. Not modelled: slow start and loss, which TCP on loopback
//! does not have.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

/// One packet of an ordinary network, without its headers.
const PACKET_BYTES: usize = 1460;

/// Packets under way in one direction of one connection: more than fit the delay at any rate used
/// here (1.6 Mbit/s x 75 ms = 15 kB), and bounded, so that a slow line slows its sender.
const PACKETS_UNDER_WAY: usize = 256;

/// What the network does to bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// How long a byte takes each way.
    pub delay: Duration,
    /// Bits per second each way, shared by all connections; 0: no limit.
    pub bits_per_second: u64,
}

impl Line {
    /// A phone out of town: 150 ms there and back, 1.6 Mbit/s.
    pub const SLOW: Self = Self { delay: Duration::from_millis(75), bits_per_second: 1_600_000 };
}

/// What has become of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It carries bytes.
    Open,
    /// Nothing arrives and nobody is told; connections go on when it comes back.
    Silent,
    /// Connections are reset, and new ones as well.
    Reset,
}

/// A network in front of a server.
pub struct Proxy {
    /// Where players connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    server: Mutex<SocketAddr>,
    line: Line,
    state: watch::Sender<State>,
    up: Direction,
    down: Direction,
}

/// What all connections share in one direction.
struct Direction {
    bytes: AtomicU64,
    free_at: Mutex<Instant>,
}

impl Direction {
    fn new() -> Self {
        Self { bytes: AtomicU64::new(0), free_at: Mutex::new(Instant::now()) }
    }

    /// When the last of so many bytes has left, if they queue up behind all earlier ones.
    fn departure(&self, bytes: usize, line: Line) -> Instant {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let now = Instant::now();
        if line.bits_per_second == 0 {
            return now;
        }
        let takes = bytes as f64 * 8. / line.bits_per_second as f64;
        let mut free_at = self.free_at.lock().expect("unpoisoned");
        *free_at = (*free_at).max(now) + Duration::from_secs_f64(takes);
        *free_at
    }
}

impl Proxy {
    /// Listens on a free port.
    pub fn start(server: SocketAddr, line: Line) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            line,
            state: watch::Sender::new(State::Open),
            up: Direction::new(),
            down: Direction::new(),
        });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let (stop, stopped) = oneshot::channel();
        let accept = accept(listener, shared.clone());
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { () = accept => {}, _ = stopped => {} }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// New connections go to this server from now on.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.shared.server.lock().expect("unpoisoned") = server;
    }

    /// From now on nothing arrives any more, without anybody being told.
    pub fn go_silent(&self) {
        self.shared.state.send_replace(State::Silent);
    }

    /// Cuts every connection, and new ones as soon as they come.
    pub fn cut(&self) {
        self.shared.state.send_replace(State::Reset);
    }

    /// The network is back.
    pub fn mend(&self) {
        self.shared.state.send_replace(State::Open);
    }

    /// Bytes that came from the server so far, heads of responses and WebSocket frames included.
    pub fn bytes_down(&self) -> u64 {
        self.shared.down.bytes.load(Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        if let Ok((player, _)) = listener.accept().await {
            tokio::spawn(connect(player, shared.clone()));
        }
    }
}

async fn connect(player: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    if *state.borrow() == State::Reset {
        return reset(&player);
    }
    sleep(2 * shared.line.delay).await;
    let address = *shared.server.lock().expect("unpoisoned");
    let Ok(server) = TcpStream::connect(address).await else { return reset(&player) };
    for stream in [&player, &server] {
        // The delay is this proxy's to make.
        let _ = stream.set_nodelay(true);
        // A reset, not a goodbye, if they are dropped before both sides have ended.
        linger_not(stream);
    }
    let (from_player, to_player) = player.into_split();
    let (from_server, to_server) = server.into_split();
    let up = carry(from_player, to_server, &shared.up, &shared);
    let down = carry(from_server, to_player, &shared.down, &shared);
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        _ = state.wait_for(|state| *state == State::Reset) => {}
    }
}

/// Carries one direction to its end.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: &Direction,
    shared: &Shared,
) {
    let line = shared.line;
    let mut state = shared.state.subscribe();
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(PACKETS_UNDER_WAY);
    let read = async {
        let mut packet = [0; PACKET_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut packet).await {
            let departure = direction.departure(bytes, line);
            sleep_until(departure).await;
            if send.send((departure + line.delay, packet[..bytes].to_vec())).await.is_err() {
                break;
            }
        }
        drop(send);
    };
    let write = async {
        while let Some((arrival, packet)) = receive.recv().await {
            sleep_until(arrival).await;
            if state.wait_for(|state| *state == State::Open).await.is_err()
                || to.write_all(&packet).await.is_err()
            {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

fn linger_not(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let _ = socket.set_linger(Some(Duration::ZERO));
}

fn reset(stream: &TcpStream) {
    linger_not(stream);
}

#[test]
fn a_slow_line_takes_the_time_that_it_should() {
    use std::io::{Read, Write};

    let echo = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let server = echo.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        let (mut stream, _) = echo.accept().expect("one connection comes");
        let mut bytes = [0; 20_000];
        stream.read_exact(&mut bytes).expect("it sends");
        stream.write_all(&bytes).expect("it takes the answer");
    });
    let proxy = Proxy::start(server, Line::SLOW);
    let started = std::time::Instant::now();
    let mut stream = std::net::TcpStream::connect(proxy.address).expect("the proxy listens");
    stream.write_all(&[7; 20_000]).expect("it takes bytes");
    let mut bytes = [0; 20_000];
    stream.read_exact(&mut bytes).expect("the answer comes");
    let took = started.elapsed();
    // Two round trips of 150 ms; 20 kB at 1.6 Mbit/s take 100 ms each way.
    assert!(took >= Duration::from_millis(500 - 10), "{took:?}");
    assert_eq!(proxy.bytes_down(), 20_000);
}

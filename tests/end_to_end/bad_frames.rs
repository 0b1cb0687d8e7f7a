//! A million bad frames over ten thousand connections, all open at once. Each connection sends what a small model of
//! RFC 6455 makes up, legal and not, in pieces cut anywhere; the server ends it as the model says, and it comes again
//! until its share is sent. The server panics nowhere, gives its memory back, and a player beside them notices nothing.

mod salvo;

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rustix::process::{Resource, getrlimit, setrlimit};

use self::salvo::{End, Salvo};
use crate::harness::{
    PATIENCE,
    client::{Client, KEY, Told, again},
    eventually, long, seed,
    server::{Server, Setup},
    within,
};

/// Three tiles, so that a range may be too long.
const BOXES: u32 = 250_000;

/// Frames of each connection, those that it makes when it comes again included.
const FRAMES_EACH: u32 = 100;

/// Threads that share the connections.
const SENDERS: usize = 4;

/// How much more may be resident afterwards: what the allocator keeps for the next ones.
const KEPT_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Time to give memory back; jemalloc does so over 10 s.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn bad_frames_in_any_number_end_their_connections_and_nothing_else() {
    let connections = if long() { 10_000 } else { 1000 };
    if long() {
        raise_open_files();
    }
    // No timeout of the server is to end what a busy machine keeps waiting.
    let setup = Setup::new(BOXES, 2).with("SESSION__CLOSE_TIMEOUT_S", 60);
    let setup = setup.with("SESSION__PING_INTERVAL_S", 500).with("SESSION__IDLE_TIMEOUT_S", 600);
    let server = setup.start();
    let mut player = server.client();
    let before = server.resident();

    let seed = seed("bad frames");
    let mut senders: Vec<Vec<Line>> = (0..SENDERS).map(|_| Vec::new()).collect();
    for number in 0..connections {
        senders[number % SENDERS].push(Line::connect(server.address, Kind::of(number)));
    }
    eventually("all of them are connected", || {
        (server.metric("billion_connections ") == (connections + 1) as f64).then_some(())
    });
    let sent: u32 = thread::scope(|scope| {
        let senders = senders.into_iter().zip(seed..);
        let senders: Vec<_> = senders
            .map(|(lines, seed)| scope.spawn(move || play(lines, StdRng::seed_from_u64(seed))))
            .collect();
        senders.into_iter().map(|sender| sender.join().expect("all went as it should")).sum()
    });
    assert_eq!(sent, connections as u32 * FRAMES_EACH);

    within(SETTLE_LIMIT, "the memory given back", || {
        (server.resident() <= before + KEPT_BYTES_MAX).then_some(())
    });
    println!("{sent} frames: {before} bytes resident before, {} after", server.resident());
    judge(&server, &mut player);
}

/// The player beside them plays on, and has been told of every box that is checked, once: also of those that frames
/// meant in which a bit had changed.
fn judge(server: &Server, player: &mut Client) {
    eventually("all of them have left", || {
        (server.metric("billion_connections ") == 1.0).then_some(())
    });
    assert_eq!(server.metric("billion_panics_total "), 0.0);
    player.check(BOXES);
    let mut told = BTreeSet::new();
    while !told.contains(&BOXES) {
        match player.next() {
            Told::Update { total, id } => {
                assert!(told.insert(id), "box {id} came twice");
                assert_eq!(total as usize, told.len(), "every update once");
            }
            Told::Total(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    let tiles = [(1, 100_000), (100_001, 200_000), (200_001, BOXES)];
    let checked = tiles.map(|(first, last)| player.range(first, last, &mut Vec::new())).concat();
    assert_eq!(checked, told.into_iter().collect::<Vec<_>>());
}

/// Ten thousand connections need as many open files, and a shell may allow 1,024.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("it may be raised so far");
}

/// What a connection speaks.
#[derive(Clone, Copy)]
struct Kind {
    path: &'static str,
    compression: bool,
}

impl Kind {
    /// Every sixth is alike.
    fn of(number: usize) -> Self {
        Self {
            path: if number.is_multiple_of(2) { "/ws" } else { "/ws?v=2" },
            compression: number.is_multiple_of(3),
        }
    }
}

/// One of the connections, which comes again.
struct Line {
    stream: TcpStream,
    /// Read, and not looked at.
    unread: Vec<u8>,
    kind: Kind,
    to: SocketAddr,
    left: u32,
}

impl Line {
    fn connect(to: SocketAddr, kind: Kind) -> Self {
        let (stream, unread) = shake_hands(to, kind);
        Self { stream, unread, kind, to, left: FRAMES_EACH }
    }

    fn come_again(&mut self) {
        (self.stream, self.unread) = shake_hands(self.to, self.kind);
    }

    /// The code of the Close that comes, past whatever comes before it.
    fn closed(&mut self) -> Result<u16, String> {
        let mut buffer = [0; 4096];
        loop {
            while let Some((first, payload, end)) = frame(&self.unread) {
                if first & 0x0F == 8 {
                    let code = self.unread[payload..end].first_chunk();
                    return Ok(code.map_or(1005, |code| u16::from_be_bytes(*code)));
                }
                self.unread.drain(..end);
            }
            match again(|| self.stream.read(&mut buffer)) {
                Ok(0) => return Err("cut without a Close".to_owned()),
                Ok(read) => self.unread.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Err(format!("still open after {PATIENCE:?}"));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// The first frame of a server, if it is whole: its first byte, and where its payload begins and ends.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, length) = (*bytes.first()?, *bytes.get(1)?);
    let (payload, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        127 => panic!("no answer is that long"),
        length => (2, usize::from(length)),
    };
    (bytes.len() >= payload + length).then_some((first, payload, payload + length))
}

fn shake_hands(to: SocketAddr, kind: Kind) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(to).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_nodelay(true).expect("an option can be set");
    let offer =
        if kind.compression { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
    let head = format!(
        "GET {} HTTP/1.1\r\nHost: {to}\r\nOrigin: http://{to}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{offer}\r\n",
        kind.path
    );
    stream.write_all(head.as_bytes()).expect("a request is taken");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]);
            assert!(head.starts_with("HTTP/1.1 101"), "{head}");
            assert_eq!(head.contains("permessage-deflate"), kind.compression, "{head}");
            return (stream, bytes.split_off(end + 4));
        }
        let read = again(|| stream.read(&mut buffer)).expect("an answer comes");
        assert!(read > 0, "no answer to a handshake");
        bytes.extend_from_slice(&buffer[..read]);
    }
}

/// Sends the shares of these lines, a salvo of each at a time; how many frames that were.
fn play(mut lines: Vec<Line>, mut dice: StdRng) -> u32 {
    let mut sent = 0;
    loop {
        let mut salvos: Vec<(&mut Line, Salvo)> = lines
            .iter_mut()
            .filter(|line| line.left > 0)
            .map(|line| {
                let Kind { path, compression } = line.kind;
                let text = path.ends_with("v=2");
                let salvo = Salvo::draw(line.left, compression, text, &mut dice);
                line.left -= salvo.frames;
                sent += salvo.frames;
                (line, salvo)
            })
            .collect();
        if salvos.is_empty() {
            return sent;
        }
        let cuts: Vec<usize> =
            salvos.iter().map(|(_, salvo)| dice.random_range(0..=salvo.bytes.len())).collect();
        for ((line, salvo), cut) in salvos.iter_mut().zip(&cuts) {
            line.stream.write_all(&salvo.bytes[..*cut]).expect("it is read");
        }
        for ((line, salvo), cut) in salvos.iter_mut().zip(&cuts) {
            line.stream.write_all(&salvo.bytes[*cut..]).expect("it is read, or forgotten");
        }
        for (line, salvo) in salvos {
            if let End::Closed(code) = salvo.end {
                let closed = line.closed();
                assert_eq!(closed, Ok(code), "{}: {:02x?}", salvo.what, salvo.bytes);
            }
            if line.left > 0 {
                line.come_again();
            }
        }
    }
}

//! A player: an independent WebSocket client (tungstenite) and what it may be told.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket,
    client::client_with_config,
    http::Request,
    protocol::{Role, WebSocketConfig},
};

use super::PATIENCE;

/// The key of RFC 6455, section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The headers of a legal handshake from a page of `origin`, as Firefox sends them.
pub fn handshake(origin: &str) -> [(&str, &str); 5] {
    [
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
        ("Origin", origin),
    ]
}

/// A server message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// 4 bytes.
    Total(u32),
    /// 8 bytes.
    Update { total: u32, id: u32 },
    /// 5 bytes.
    Refused { id: u32, reason: u8 },
    /// 9 bytes or more, the first four 0 and the fifth 1.
    Pulse { total: u32, players: u32, tiles: Vec<(u16, u32)> },
    /// 9 bytes or more.
    Range { first: u32, mask: Vec<u8> },
    /// A text message, in JSON.
    Text(Value),
    /// A Close with its code and reason.
    Closed(u16, String),
    /// The end of the stream without a Close.
    Cut,
}

impl Told {
    fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
        match bytes.len() {
            4 => Self::Total(word(0)),
            5 => Self::Refused { id: word(0), reason: bytes[4] },
            8 => Self::Update { total: word(0), id: word(4) },
            13.. if word(0) == 0 => {
                assert_eq!(bytes[4], 1, "the one kind of extension there is");
                let tiles = bytes[13..].chunks(6).map(|pair| {
                    let tile = u16::from_le_bytes(pair[..2].try_into().expect("two"));
                    (tile, u32::from_le_bytes(pair[2..].try_into().expect("four")))
                });
                Self::Pulse { total: word(5), players: word(9), tiles: tiles.collect() }
            }
            9.. => Self::Range { first: word(0), mask: bytes[4..].to_vec() },
            other => panic!("a server never sends {other} bytes"),
        }
    }
}

/// A socket whose reads and writes are done again when a signal interrupts them: that ends them even without
/// a handler, where there is a timeout and the process was stopped for a moment.
struct Steady(TcpStream);

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        again(|| self.0.read(buffer))
    }
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        again(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Does something until no signal interrupts it.
pub fn again<T>(mut work: impl FnMut() -> std::io::Result<T>) -> std::io::Result<T> {
    loop {
        match work() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// One connection.
pub struct Client {
    socket: WebSocket<Steady>,
    /// The total it was greeted with.
    pub greeted: u32,
}

impl Client {
    /// Connects as the server's own page would and reads the first message.
    pub fn connect(to: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(to).expect("the server listens");
        Self::over(stream, to, path)
    }

    /// The same, unless the server is away or turns everybody away just now.
    pub fn try_connect(to: SocketAddr, path: &str) -> Option<Self> {
        Self::shake_hands(TcpStream::connect(to).ok()?, to, path).ok()
    }

    /// The same over a socket that was prepared by the caller.
    pub fn over(stream: TcpStream, to: SocketAddr, path: &str) -> Self {
        Self::shake_hands(stream, to, path).expect("the server upgrades and says the total")
    }

    /// The same, unless it is turned away.
    pub fn try_over(stream: TcpStream, to: SocketAddr, path: &str) -> Option<Self> {
        Self::shake_hands(stream, to, path).ok()
    }

    fn shake_hands(stream: TcpStream, to: SocketAddr, path: &str) -> Result<Self, String> {
        Self::shake_hands_with(stream, to, path, &[])
    }

    /// Connects as a page does that has a cookie, or says other things in headers of its own.
    pub fn try_connect_with(
        to: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(to).map_err(|error| error.to_string())?;
        Self::shake_hands_with(stream, to, path, headers)
    }

    fn shake_hands_with(
        stream: TcpStream,
        to: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, String> {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.set_nodelay(true).expect("an option can be set");
        let (host, own) = (to.to_string(), format!("http://{to}"));
        let given = |name: &str| {
            let mut given = headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
            given.next().map(|(_, value)| *value)
        };
        let mut request = Request::builder()
            .uri(format!("ws://{to}{path}"))
            .header("Host", given("Host").unwrap_or(&host))
            .header("Origin", given("Origin").unwrap_or(&own))
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY);
        for (name, value) in headers.iter().filter(|(name, _)| !["Host", "Origin"].contains(name)) {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a legal request");
        let config = WebSocketConfig::default();
        let (socket, _) = client_with_config(request, Steady(stream), Some(config))
            .map_err(|error| error.to_string())?;
        let mut client = Self { socket, greeted: 0 };
        match client.next() {
            Told::Total(total) => client.greeted = total,
            Told::Cut | Told::Closed(..) => return Err("ended before it began".to_owned()),
            other => panic!("the first message is the total, not {other:?}"),
        }
        Ok(client)
    }

    /// Sends a check.
    pub fn check(&mut self, id: u32) {
        self.send(&id.to_le_bytes());
    }

    /// Sends an envelope.
    pub fn say(&mut self, envelope: &Value) {
        self.socket.send(Message::text(envelope.to_string())).expect("it takes a message");
    }

    /// Sends a check, if the connection still takes one.
    pub fn try_check(&mut self, id: u32) -> bool {
        self.socket.send(Message::binary(id.to_le_bytes().to_vec())).is_ok()
    }

    /// Sends a range request, if the connection still takes one.
    pub fn try_ask(&mut self, first: u32, last: u32) -> bool {
        let words = [first.to_le_bytes(), last.to_le_bytes()].concat();
        self.socket.send(Message::binary(words)).is_ok()
    }

    /// Sends a range request.
    pub fn ask(&mut self, first: u32, last: u32) {
        let mut bytes = first.to_le_bytes().to_vec();
        bytes.extend(last.to_le_bytes());
        self.send(&bytes);
    }

    /// The next text message, past everything else.
    pub fn text(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.any_before(deadline).expect("a text in time") {
                Told::Text(envelope) => return envelope,
                told @ (Told::Cut | Told::Closed(..)) => panic!("the connection ended: {told:?}"),
                _ => {}
            }
        }
    }

    /// Sends a binary message.
    pub fn send(&mut self, payload: &[u8]) {
        self.socket
            .send(Message::binary(payload.to_vec()))
            .expect("the connection takes a message");
    }

    /// Sends bytes as they are, past the WebSocket layer.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.socket.get_mut().write_all(bytes).expect("the connection takes bytes");
    }

    /// The next message but pulses, at the latest after [`PATIENCE`].
    pub fn next(&mut self) -> Told {
        self.next_within(PATIENCE).unwrap_or_else(|| panic!("nothing came for {PATIENCE:?}"))
    }

    /// The next message but pulses if one comes within `limit`, however many pings come before.
    pub fn next_within(&mut self, limit: Duration) -> Option<Told> {
        let deadline = Instant::now() + limit;
        loop {
            match self.any_before(deadline)? {
                Told::Pulse { .. } => {}
                told => return Some(told),
            }
        }
    }

    /// The next pulse, past everything else.
    pub fn next_pulse(&mut self) -> (u32, u32, Vec<(u16, u32)>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.any_before(deadline).expect("a pulse comes about once a second") {
                Told::Pulse { total, players, tiles } => return (total, players, tiles),
                told @ (Told::Cut | Told::Closed(..)) => panic!("the connection ended: {told:?}"),
                _ => {}
            }
        }
    }

    /// The next message, pulses too.
    pub fn any(&mut self) -> Told {
        let any = self.any_before(Instant::now() + PATIENCE);
        any.unwrap_or_else(|| panic!("nothing came for {PATIENCE:?}"))
    }

    fn any_before(&mut self, deadline: Instant) -> Option<Told> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream().set_read_timeout(Some(left)).expect("a timeout can be set");
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => return Some(Told::parse(&bytes)),
                Ok(Message::Text(text)) => {
                    let envelope = serde_json::from_str(&text).expect("JSON");
                    return Some(Told::Text(envelope));
                }
                Ok(Message::Close(Some(frame))) => {
                    return Some(Told::Closed(frame.code.into(), frame.reason.to_string()));
                }
                Ok(Message::Close(None)) => return Some(Told::Closed(1005, String::new())),
                Ok(_) => {}
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(
                    Error::ConnectionClosed
                    | Error::AlreadyClosed
                    | Error::Protocol(_)
                    | Error::Io(_),
                ) => return Some(Told::Cut),
                Err(error) => panic!("unexpected: {error}"),
            }
        }
    }

    /// Reads messages until the range answer, which is returned as a list of checked ids. What came
    /// before it is appended to `before`.
    pub fn range(&mut self, first: u32, last: u32, before: &mut Vec<Told>) -> Vec<u32> {
        self.try_range(first, last, before).expect("the connection lasts")
    }

    /// The same, unless the connection ends before.
    pub fn try_range(&mut self, first: u32, last: u32, before: &mut Vec<Told>) -> Option<Vec<u32>> {
        if !self.try_ask(first, last) {
            return None;
        }
        loop {
            match self.any() {
                Told::Range { first: from, mask } => {
                    assert_eq!(from, first, "answers come in the order of their requests");
                    return Some(checked(first, last, &mask));
                }
                Told::Closed(..) | Told::Cut => return None,
                other => before.push(other),
            }
        }
    }

    /// The code and reason of the Close that ends this connection.
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next() {
                Told::Closed(code, reason) => {
                    // After the closing handshake the stream ends.
                    let _ = self.socket.flush();
                    let mut rest = Vec::new();
                    let _ = self.socket.get_mut().read_to_end(&mut rest);
                    return (code, reason);
                }
                Told::Cut => panic!("the connection was cut without a Close"),
                _ => {}
            }
        }
    }

    /// Reads to the end, which must come: with a Close, or with a reset if that came too late.
    pub fn expect_end(self) {
        let mut stream = self.stream();
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let ended = std::io::copy(&mut stream, &mut std::io::sink());
        let timed_out = |error: &std::io::Error| error.kind() == ErrorKind::WouldBlock;
        assert!(!ended.is_err_and(|error| timed_out(&error)), "the connection is still open");
    }

    /// Hands back bytes that were read past the WebSocket layer, to be interpreted after all.
    pub fn put_back(&mut self, bytes: Vec<u8>) {
        let stream = self.stream().try_clone().expect("a socket can be cloned");
        self.socket = WebSocket::from_partially_read(Steady(stream), bytes, Role::Client, None);
    }

    /// The socket below, for tests that do not play by the rules.
    pub fn stream(&self) -> &TcpStream {
        &self.socket.get_ref().0
    }
}

/// The ids of the set bits of an answer to `first ..= last`, after checking its form.
pub fn checked(first: u32, last: u32, mask: &[u8]) -> Vec<u32> {
    let boxes = last - first + 1;
    assert_eq!(mask.len(), (boxes.div_ceil(8) as usize).max(5), "length of the mask");
    let mut ids = Vec::new();
    for bit in 0..mask.len() as u32 * 8 {
        if mask[(bit / 8) as usize] >> (bit % 8) & 1 == 1 {
            assert!(bit < boxes, "bits past the range are 0");
            ids.push(first + bit);
        }
    }
    ids
}

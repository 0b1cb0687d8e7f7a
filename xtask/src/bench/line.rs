//! A WebSocket connection that checks boxes, as little of one as benchmarks of limits need: the swarm's books have no
//! place for checks that are refused.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `v=2` connection, as little of it as this needs.
pub struct Line {
    /// The socket.
    pub stream: TcpStream,
    unread: Vec<u8>,
    /// Answers that came before they were asked for, by box.
    known: Vec<(u32, bool)>,
}

impl Line {
    /// Connects from an address of its own, with more lines in its head; `None` if it is turned away.
    pub fn connect(from: Ipv4Addr, to: SocketAddr, more: &str) -> Result<Option<Self>> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&to.into())?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let head = format!(
            "GET /ws?v=2 HTTP/1.1\r\nHost: {to}\r\nOrigin: http://{to}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut line = Self { stream, unread: Vec::new(), known: Vec::new() };
        let end = loop {
            if let Some(end) = line.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            line.read()?;
        };
        let is_granted = line.unread.starts_with(b"HTTP/1.1 101");
        line.unread.drain(..end + 4);
        Ok(is_granted.then_some(line))
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 4096];
        let read = self.stream.read(&mut buffer)?;
        ensure!(read > 0, "the connection has ended");
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// Sends a check.
    pub fn check(&mut self, id: u32) -> Result<()> {
        let mut frame = vec![0x82, 0x84, 0, 0, 0, 0];
        frame.extend(id.to_le_bytes());
        Ok(self.stream.write_all(&frame)?)
    }

    /// The answer to the check of box `id`: taken, or too fast.
    pub fn is_taken(&mut self, id: u32) -> Result<bool> {
        loop {
            if let Some(at) = self.known.iter().position(|(known, _)| *known == id) {
                return Ok(self.known.swap_remove(at).1);
            }
            let payload = self.frame()?;
            let id_at =
                |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().expect("four"));
            match payload.len() {
                5 => self.known.push((id_at(0), false)),
                8 => self.known.push((id_at(4), true)),
                _ => {}
            }
        }
    }

    /// The payload of the next binary frame.
    fn frame(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some((first, start, end)) = whole_frame(&self.unread) {
                let payload = self.unread[start..end].to_vec();
                self.unread.drain(..end);
                match first {
                    0x82 => return Ok(payload),
                    0x88 => bail!("the server closes: {:?}", String::from_utf8_lossy(&payload)),
                    _ => continue,
                }
            }
            self.read()?;
        }
    }
}

/// First byte of the frame at the front, and where its payload is, if all of it has come.
fn whole_frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, short) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = match short {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + length).then_some((first, start, start + length))
}

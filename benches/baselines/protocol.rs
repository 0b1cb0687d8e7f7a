//! What both baselines speak: just enough of the game's protocol for `swarm fanout`, whose books must balance.
//!
//! Unlike the server they trust their clients: whole frames in order, distinct boxes, no fragments. Shares no code
//! with the server, which it is held against.

use std::{
    io::{Error, ErrorKind, Result},
    net::{SocketAddr, TcpListener},
};

use clap::Parser;

/// Boxes in one range answer, at most.
pub const RANGE_BOXES_MAX: u32 = 100_000;

/// A backlog in which everybody fits who connects while the listening thread is busy.
const BACKLOG: i32 = 4096;

/// How a baseline is started.
#[derive(Debug, Clone, Parser)]
#[command(
    about = "A baseline for `cargo xtask bench fanout`: no store, no limits, no part of the product"
)]
pub struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub address: SocketAddr,
    /// Boxes of the board.
    #[arg(long, default_value_t = 1_000_000_000)]
    pub boxes: u32,
    /// Threads that own sockets.
    #[arg(long, default_value_t = 2)]
    pub threads: usize,
}

impl Options {
    /// Listens, and says so in the server's words.
    pub fn listen(&self) -> Result<TcpListener> {
        use socket2::{Domain, Socket, Type};
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let address = listener.local_addr()?;
        eprintln!("listening on http://{address}");
        eprintln!("metrics on http://{address}/metrics");
        Ok(listener)
    }
}

/// What a client asks.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// Check this box.
    Check(u32),
    /// All boxes from the first to the last one.
    Range(u32, u32),
}

impl Ask {
    /// The message's length decides.
    pub fn decode(payload: &[u8]) -> Result<Self> {
        let word = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
        match payload.as_chunks::<4>() {
            ([id], []) => Ok(Self::Check(word(id))),
            ([first, last], []) => Ok(Self::Range(word(first), word(last))),
            _ => Err(Error::new(ErrorKind::InvalidData, "neither a check nor a range")),
        }
    }
}

/// Which boxes are checked.
#[derive(Debug)]
pub struct Board {
    bytes: Vec<u8>,
    boxes: u32,
    total: u32,
}

impl Board {
    /// Nothing is checked yet.
    pub fn new(boxes: u32) -> Self {
        Self { bytes: vec![0; boxes.div_ceil(8) as usize], boxes, total: 0 }
    }

    /// Checks a box; the new total if it was unchecked.
    pub fn check(&mut self, id: u32) -> Option<u32> {
        if !(1..=self.boxes).contains(&id) {
            return None;
        }
        let (byte, bit) = ((id - 1) as usize / 8, 1 << ((id - 1) % 8));
        let new = self.bytes[byte] & bit == 0;
        self.bytes[byte] |= bit;
        self.total += u32::from(new);
        new.then_some(self.total)
    }

    /// A range answer: the first id, then a bit for each box. Nothing for a range that is none.
    pub fn range(&self, first: u32, last: u32) -> Option<Vec<u8>> {
        if first == 0 || first > last || last > self.boxes || last - first >= RANGE_BOXES_MAX {
            return None;
        }
        let count = last - first + 1;
        // Never 8 bytes or shorter in all: a client tells messages apart by their length.
        let length = if count <= 32 { 5 } else { count.div_ceil(8) as usize };
        let (from, shift) = ((first - 1) as usize / 8, (first - 1) % 8);
        let byte = |at: usize| u32::from(self.bytes.get(at).copied().unwrap_or_default());
        let mut answer = first.to_le_bytes().to_vec();
        answer.extend((0..length).map(|at| {
            let left = count.saturating_sub(at as u32 * 8).min(8);
            let bits = (byte(from + at) | byte(from + at + 1) << 8) >> shift;
            (bits & ((1 << left) - 1)) as u8
        }));
        Some(answer)
    }
}

//! One player's WebSocket, as a stream of what is heard.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::target::Target;
use crate::wire::{
    BINARY, CLOSE, Closed, Message, Outgoing, PING, TEXT, Upgrade, decode, next_frame,
    upgrade_answer, upgrade_request,
};

/// A read buffer grows by this.
const READ_BYTES: usize = 8 * 1024;

/// What the server says.
#[derive(Debug, PartialEq)]
pub(crate) enum Heard {
    /// The first message, and whenever the server feels like it.
    Total,
    /// A check of ours is done, or somebody had done it.
    Checked(u32),
    /// A check of ours was refused.
    Refused(u32, u8),
    /// An envelope.
    Text(Value),
    /// A pulse, or what we do not know.
    Nothing,
    /// That was all.
    Closed(Closed),
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    bytes: Vec<u8>,
    out: Outgoing,
}

impl Line {
    /// Opens a `v=2` connection with a cookie.
    pub(crate) async fn open(target: &Target, cookie: &str, patience: Duration) -> Result<Self> {
        timeout(patience, Self::dial(target, cookie)).await.context("no answer to the handshake")?
    }

    async fn dial(target: &Target, cookie: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(target.addr).await?;
        stream.set_nodelay(true)?;
        let request =
            upgrade_request(&target.host, &target.path(true), &target.origin, Some(cookie));
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::with_capacity(READ_BYTES);
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                bail!("the connection ended in the handshake");
            }
            match upgrade_answer(&bytes) {
                None => {}
                Some(Upgrade::Accepted(used)) => {
                    bytes.drain(..used);
                    let seed = u32::from(stream.local_addr()?.port());
                    return Ok(Self { stream, bytes, out: Outgoing::new(seed) });
                }
                Some(Upgrade::Status(status)) => bail!("the handshake was answered with {status}"),
                Some(Upgrade::Bad(why)) => bail!("{why}"),
            }
        }
    }

    /// What is heard next. Nothing is lost when it is not awaited to the end.
    pub(crate) async fn next(&mut self) -> Result<Heard> {
        loop {
            if let Some((frame, used)) = next_frame(&self.bytes)? {
                if !frame.fin {
                    bail!("a message in fragments, which no server of ours sends");
                }
                let heard = match frame.opcode {
                    TEXT => Heard::Text(serde_json::from_slice(frame.payload)?),
                    BINARY => match decode(frame.payload, true)? {
                        Message::Total(_) => Heard::Total,
                        Message::Update { id, .. } => Heard::Checked(id),
                        Message::Refused { id, reason } => Heard::Refused(id, reason),
                        _ => Heard::Nothing,
                    },
                    CLOSE => Heard::Closed(Closed::from_payload(frame.payload)),
                    PING => {
                        self.out.pong(frame.payload);
                        Heard::Nothing
                    }
                    _ => Heard::Nothing,
                };
                self.bytes.drain(..used);
                return Ok(heard);
            }
            self.bytes.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Ok(Heard::Closed(Closed::abnormally("cut off")));
            }
        }
    }

    /// Says that a box is checked.
    pub(crate) fn check(&mut self, id: u32) {
        self.out.check(id);
    }

    /// Says something, in at most 1,024 bytes.
    pub(crate) fn text(&mut self, envelope: &Value) {
        self.out.text(&envelope.to_string());
    }

    /// Writes what was said. It is little, and never waits long for a server that reads.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let bytes = self.out.pending().to_vec();
        self.stream.write_all(&bytes).await?;
        self.out.wrote(bytes.len());
        Ok(())
    }

    /// Takes its leave, without waiting for an answer.
    pub(crate) async fn close(mut self) {
        self.out.close(1000);
        // Whoever has gone already needs no farewell.
        let _ = self.flush().await;
    }
}

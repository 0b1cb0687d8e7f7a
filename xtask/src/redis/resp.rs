//! One connection to one Redis process: commands out, replies in (RESP2). Deliberately not the
//! client library that the server uses, so that what tests see does not depend on it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// What Redis answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing is there.
    Nil,
    /// A number.
    Integer(i64),
    /// A word such as `OK`.
    Status(String),
    /// A refusal; begins with a word such as `MOVED`.
    Error(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Several replies.
    Array(Vec<Reply>),
}

impl Reply {
    /// Bytes, or a status, as text; anything else is an error.
    pub fn text(self) -> Result<String> {
        match self {
            Self::Bytes(bytes) => String::from_utf8(bytes).context("a reply is not UTF-8"),
            Self::Status(status) => Ok(status),
            other => bail!("not a text: {other:?}"),
        }
    }

    /// Bytes, none if nothing is there; anything else is an error.
    pub fn bytes(self) -> Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Nil => Ok(Vec::new()),
            other => bail!("not bytes: {other:?}"),
        }
    }

    /// A number, be it spelt out; anything else is an error.
    pub fn integer(self) -> Result<i64> {
        match self {
            Self::Integer(number) => Ok(number),
            other => Ok(other.text()?.parse()?),
        }
    }

    /// Several replies; anything else is an error.
    pub fn array(self) -> Result<Vec<Self>> {
        match self {
            Self::Array(replies) => Ok(replies),
            other => bail!("not several: {other:?}"),
        }
    }

    /// Turns a refusal into an error.
    pub fn accepted(self) -> Result<Self> {
        match self {
            Self::Error(refusal) => bail!("refused: {refusal}"),
            other => Ok(other),
        }
    }
}

/// A connection. After an error it is of no more use.
#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects; nothing is waited for longer than `patience`.
    pub fn open(address: SocketAddr, patience: Duration) -> Result<Self> {
        let failed = || format!("cannot connect to {address}");
        let stream = TcpStream::connect_timeout(&address, patience).with_context(failed)?;
        stream.set_read_timeout(Some(patience)).with_context(failed)?;
        stream.set_write_timeout(Some(patience)).with_context(failed)?;
        stream.set_nodelay(true).with_context(failed)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command and waits for its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply> {
        self.send(words)?;
        self.receive()
    }

    /// Sends a command.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<()> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            write!(command, "${}\r\n", word.len())?;
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&command).context("a command is not taken")
    }

    /// Waits for a reply, or for a message that was subscribed to.
    pub fn receive(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("no reply")?;
        let line = line.strip_suffix("\r\n").context("the connection ended")?;
        let (kind, rest) = line.split_at_checked(1).context("an empty line for a reply")?;
        Ok(match kind {
            "+" => Reply::Status(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(rest.parse().context("a number")?),
            "$" if rest == "-1" => Reply::Nil,
            "$" => Reply::Bytes(self.bytes(rest.parse().context("a length")?)?),
            "*" if rest == "-1" => Reply::Nil,
            "*" => {
                let length: usize = rest.parse().context("a length")?;
                Reply::Array((0..length).map(|_| self.receive()).collect::<Result<_>>()?)
            }
            _ => bail!("not a reply: {line}"),
        })
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes).context("a reply is cut off")?;
        ensure!(bytes.ends_with(b"\r\n"), "a reply is longer than it says");
        bytes.truncate(length);
        Ok(bytes)
    }
}

//! What a server answers to one question, asked by blocking calls on a connection of its own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result};

/// Far more than any answer takes, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Status and body of `path`.
///
/// # Errors
///
/// If nobody answers, or with something else than HTTP.
pub fn get(from: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(from)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {from}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("half an answer")?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok((status.parse()?, body.to_owned()))
}

/// Whether the server is ready to serve.
pub fn is_ready(at: SocketAddr) -> bool {
    get(at, "/readyz").is_ok_and(|(status, _)| status == 200)
}

//! HTTP and WebSocket bytes for the plain baseline: heads, masked frames in, unmasked frames out. Knows no sockets.

use std::io::{Error, ErrorKind, Result};

use bytes::{BufMut, BytesMut};

/// A longer head is no upgrade.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// FIN and a text message.
const TEXT: u8 = 0x81;

/// FIN and a binary message.
const BINARY: u8 = 0x82;

/// FIN and Close.
const CLOSE: u8 = 0x88;

/// Mask bit of a frame's second byte.
const MASKED: u8 = 0x80;

/// A text from a client is an envelope of at most this length.
const TEXT_BYTES_MAX: usize = 1024;

/// What a client's first bytes ask for.
#[derive(Debug)]
pub enum Request {
    /// The board: this answers the upgrade.
    Upgrade(String),
    /// The counters.
    Metrics,
    /// Whatever else.
    Other,
}

impl Request {
    /// Reads a head and says how many bytes it took; `None` while it is incomplete.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if bytes.len() > HEAD_BYTES_MAX {
                return Err(invalid("an endless head"));
            }
            return Ok(None);
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("a head is text"))?;
        let mut lines = head.split("\r\n");
        let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        let key = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
        });
        let request = match (path, key) {
            ("/ws" | "/ws?v=2", Some(key)) => Self::Upgrade(accepted(key)),
            ("/metrics", _) => Self::Metrics,
            _ => Self::Other,
        };
        Ok(Some((request, end + 4)))
    }
}

fn accepted(key: &str) -> String {
    let hash = actix_http::ws::hash_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        String::from_utf8_lossy(&hash)
    )
}

/// An ordinary answer, after which the connection is closed.
pub fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A client's frame.
#[derive(Debug)]
pub enum Frame<'b> {
    /// A binary message, unmasked.
    Message(&'b [u8]),
    /// A text, unmasked.
    Text(&'b [u8]),
    /// The client is done.
    Close,
    /// Nothing to act upon.
    Other,
}

/// The next frame, unmasked in place, and how many bytes it took; `None` while it is incomplete.
pub fn next_frame(bytes: &mut [u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let [kind, second, rest @ ..] = bytes else { return Ok(None) };
    if *second & MASKED == 0 {
        return Err(invalid("a client masks its frames"));
    }
    let (length, head) = match (*second & !MASKED, &*rest) {
        (short @ ..126, _) => (usize::from(short), 2),
        (126, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 4),
        (126, _) => return Ok(None),
        _ => return Err(invalid("a client sends short frames")),
    };
    if length > TEXT_BYTES_MAX {
        return Err(invalid("a client sends short frames"));
    }
    let [m0, m1, m2, m3, rest @ ..] = &mut rest[head - 2..] else { return Ok(None) };
    let mask = [*m0, *m1, *m2, *m3];
    let Some(payload) = rest.get_mut(..length) else { return Ok(None) };
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    let frame = match *kind {
        BINARY => Frame::Message(payload),
        TEXT => Frame::Text(payload),
        CLOSE => Frame::Close,
        _ => Frame::Other,
    };
    Ok(Some((frame, head + 4 + length)))
}

/// Appends a binary message as a server frames it.
pub fn put_message(out: &mut BytesMut, payload: &[u8]) {
    put_frame(out, BINARY, payload);
}

/// Appends a text as a server frames it.
pub fn put_text(out: &mut BytesMut, text: &str) {
    put_frame(out, TEXT, text.as_bytes());
}

fn put_frame(out: &mut BytesMut, kind: u8, payload: &[u8]) {
    out.put_u8(kind);
    match u16::try_from(payload.len()) {
        Ok(short @ ..126) => out.put_u8(short as u8),
        Ok(long) => {
            out.put_u8(126);
            out.put_u16(long);
        }
        Err(_) => {
            unreachable!("a range answer has at most 12,504 bytes, a text a few more than 1,024")
        }
    }
    out.put_slice(payload);
}

/// Appends an update: 2 bytes of header, total, id.
pub fn put_update(out: &mut BytesMut, total: u32, id: u32) {
    let mut frame = [BINARY, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[2..6].copy_from_slice(&total.to_le_bytes());
    frame[6..].copy_from_slice(&id.to_le_bytes());
    out.put_slice(&frame);
}

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

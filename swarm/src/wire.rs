//! Bytes on the wire: WebSocket frames (RFC 6455, the client's half) and the game's messages in them. Written from the
//! protocol's text alone and sharing no code with the server, so that a mistake there cannot hide here. Knows no sockets.

use std::fmt;

/// Largest frame or reassembled message a server may send us. A range answer is at most 12,504 bytes; text is small.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// One update as a server frames it: 2 bytes of header, `total`, `id`.
pub(crate) const UPDATE_FRAME_BYTES: usize = 10;
/// The first two bytes of such a frame: FIN and binary, then 8 bytes of payload, unmasked.
pub(crate) const UPDATE_FRAME_HEAD: [u8; 2] = [0x82, 0x08];

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// The key of RFC 6455's own example: its answer is known, so checking the server's arithmetic needs no SHA-1 here.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const KEY_ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a server sent that the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireFault {
    #[error("a server frame is masked")]
    Masked,
    #[error("reserved bits or opcode in frame header byte {0:#04x}")]
    Reserved(u8),
    #[error("a frame of {0} bytes, more than the {MESSAGE_BYTES_MAX} this client takes")]
    TooLong(u64),
    #[error("a control frame that is fragmented or longer than 125 bytes")]
    BadControl,
    #[error("fragments out of order")]
    BadFragments,
    #[error("a binary message of {0} bytes, which means nothing on this kind of connection")]
    Meaningless(usize),
    #[error("a range answer whose first box is 0 on a plain connection")]
    ExtensionOnPlain,
    #[error("a text message on a plain connection")]
    TextOnPlain,
}

/// One frame, its payload still in the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: &'a [u8],
}

/// The next frame and how many bytes it took, or `None` while it is incomplete.
pub(crate) fn next_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, WireFault> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    if first & 0x70 != 0 || !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
        return Err(WireFault::Reserved(first));
    }
    if second & 0x80 != 0 {
        return Err(WireFault::Masked);
    }
    if opcode >= CLOSE && (!fin || second > 125) {
        return Err(WireFault::BadControl);
    }
    let (len, head) = match second {
        126 => match rest.first_chunk::<2>() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(len) => (u64::from_be_bytes(*len), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if len > MESSAGE_BYTES_MAX as u64 {
        return Err(WireFault::TooLong(len));
    }
    let end = head + len as usize;
    Ok(bytes.get(head..end).map(|payload| (Frame { fin, opcode, payload }, end)))
}

/// A message from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Number of checked boxes: the hello, and whenever the server feels like it.
    Total(u32),
    /// Box `id` was checked; or the answer to a check of a box that already was.
    Update { total: u32, id: u32 },
    /// `v=2`: the check of `id` was refused.
    Refused { id: u32, reason: u8 },
    /// A range answer: bit `i` of `mask` is box `first + i`.
    Range { first: u32, mask: &'a [u8] },
    /// `v=2`: what is going on elsewhere on the board.
    Pulse { total: u32 },
    /// `v=2`: an extension this client does not know. Ignored.
    Other,
}

/// What a binary message says; its length decides.
pub(crate) fn decode(payload: &[u8], v2: bool) -> Result<Message<'_>, WireFault> {
    match payload.len() {
        4 => Ok(Message::Total(word(payload, 0))),
        8 => Ok(Message::Update { total: word(payload, 0), id: word(payload, 4) }),
        5 if v2 => Ok(Message::Refused { id: word(payload, 0), reason: payload[4] }),
        9.. if word(payload, 0) == 0 && !v2 => Err(WireFault::ExtensionOnPlain),
        13.. if word(payload, 0) == 0 && payload[4] == 1 => {
            Ok(Message::Pulse { total: word(payload, 5) })
        }
        9.. if word(payload, 0) == 0 => Ok(Message::Other),
        9.. => Ok(Message::Range { first: word(payload, 0), mask: &payload[4..] }),
        len => Err(WireFault::Meaningless(len)),
    }
}

/// The little-endian `u32` at byte `at`; callers have checked the length.
fn word(payload: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([payload[at], payload[at + 1], payload[at + 2], payload[at + 3]])
}

/// Frames waiting to be written, and where their masks come from.
#[derive(Debug)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    written: usize,
    mask: u32,
}

impl Outgoing {
    /// `seed` only makes masks differ between connections; the server must not care.
    pub(crate) fn new(seed: u32) -> Self {
        Self { bytes: Vec::new(), written: 0, mask: seed | 1 }
    }

    pub(crate) fn check(&mut self, id: u32) {
        self.frame(BINARY, &id.to_le_bytes());
    }

    pub(crate) fn range(&mut self, first: u32, last: u32) {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&first.to_le_bytes());
        payload[4..].copy_from_slice(&last.to_le_bytes());
        self.frame(BINARY, &payload);
    }

    /// At most 1,024 bytes, as the protocol has it.
    pub(crate) fn text(&mut self, text: &str) {
        self.frame(TEXT, text.as_bytes());
    }

    pub(crate) fn pong(&mut self, payload: &[u8]) {
        self.frame(PONG, payload);
    }

    pub(crate) fn close(&mut self, code: u16) {
        self.frame(CLOSE, &code.to_be_bytes());
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let length = u16::try_from(payload.len()).expect("a text has at most 1,024 bytes");
        // xorshift32: never 0, cheap, and unpredictable masks matter to proxies, not to a test on loopback.
        self.mask ^= self.mask << 13;
        self.mask ^= self.mask >> 17;
        self.mask ^= self.mask << 5;
        let mask = self.mask.to_le_bytes();
        match length {
            ..126 => self.bytes.extend_from_slice(&[0x80 | opcode, 0x80 | length as u8]),
            126.. => {
                self.bytes.extend_from_slice(&[0x80 | opcode, 0x80 | 126]);
                self.bytes.extend_from_slice(&length.to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(&mask);
        self.bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// The socket took `count` bytes. Buffers of idle connections are given back: with 20,000 of them it adds up.
    pub(crate) fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written == self.bytes.len() {
            self.written = 0;
            self.bytes.clear();
            self.bytes.shrink_to(4096);
        }
    }
}

/// The request that upgrades a connection.
pub(crate) fn upgrade_request(
    host: &str,
    path: &str,
    origin: &str,
    cookie: Option<&str>,
) -> String {
    let cookie = cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nOrigin: {origin}\r\n{cookie}\r\n"
    )
}

/// How the server answered the upgrade.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// 101; frames begin at this offset.
    Accepted(usize),
    /// Another HTTP status.
    Status(u16),
    /// Not HTTP, or a 101 that proves nothing.
    Bad(&'static str),
}

/// Reads the answer's head, or `None` while it is incomplete.
pub(crate) fn upgrade_answer(bytes: &[u8]) -> Option<Upgrade> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let Ok(head) = std::str::from_utf8(&bytes[..end]) else {
        return Some(Upgrade::Bad("head is not text"));
    };
    let mut lines = head.split("\r\n");
    let status =
        lines.next().unwrap_or_default().split(' ').nth(1).and_then(|code| code.parse().ok());
    let accepted = lines.filter_map(|line| line.split_once(':')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == KEY_ACCEPTED
    });
    Some(match status {
        None => Upgrade::Bad("no HTTP status"),
        Some(101) if accepted => Upgrade::Accepted(end + 4),
        Some(101) => Upgrade::Bad("wrong or missing Sec-WebSocket-Accept"),
        Some(other) => Upgrade::Status(other),
    })
}

/// Why a connection ended: the close code and reason told by the server, or what we saw instead.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Closed {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Closed {
    /// 1006 is what RFC 6455 reserves for "it ended without a close frame".
    pub(crate) fn abnormally(reason: impl Into<String>) -> Self {
        Self { code: 1006, reason: reason.into() }
    }

    pub(crate) fn from_payload(payload: &[u8]) -> Self {
        match payload {
            [high, low, reason @ ..] => Self {
                code: u16::from_be_bytes([*high, *low]),
                reason: String::from_utf8_lossy(reason).into_owned(),
            },
            _ => Self { code: 1005, reason: "close frame without a code".into() },
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_only_once_it_is_complete() {
        let bytes = [0x82, 8, 1, 0, 0, 0, 2, 0, 0, 0, 0x89, 0];
        for cut in 0..10 {
            assert_eq!(next_frame(&bytes[..cut]), Ok(None), "{cut} bytes");
        }
        let (frame, used) = next_frame(&bytes).unwrap().unwrap();
        assert_eq!((frame.fin, frame.opcode, used), (true, BINARY, 10));
        assert_eq!(decode(frame.payload, false), Ok(Message::Update { total: 1, id: 2 }));
        assert_eq!(next_frame(&bytes[10..]).unwrap().unwrap().0.opcode, PING);
    }

    #[test]
    fn longer_lengths_are_read_in_both_encodings() {
        for (mut bytes, head) in
            [(vec![0x82, 126, 0x30, 0xd8], 4), (vec![0x82, 127, 0, 0, 0, 0, 0, 0, 0x30, 0xd8], 10)]
        {
            assert_eq!(next_frame(&bytes), Ok(None));
            bytes.extend(std::iter::repeat_n(7, 12_504));
            let (frame, used) = next_frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.payload.len(), used), (12_504, head + 12_504));
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(next_frame(&[0x82, 0x84]), Err(WireFault::Masked));
        assert_eq!(next_frame(&[0xc2, 0x04]), Err(WireFault::Reserved(0xc2)));
        assert_eq!(next_frame(&[0x83, 0x04]), Err(WireFault::Reserved(0x83)));
        assert_eq!(next_frame(&[0x89, 126]), Err(WireFault::BadControl));
        assert_eq!(next_frame(&[0x09, 0]), Err(WireFault::BadControl));
        assert_eq!(
            next_frame(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 1]),
            Err(WireFault::TooLong(65_537))
        );
        assert_eq!(decode(&[1, 0, 0, 0, 4], false), Err(WireFault::Meaningless(5)));
        assert_eq!(decode(&[0; 13], false), Err(WireFault::ExtensionOnPlain));
        for len in [0, 1, 2, 3, 6, 7] {
            assert_eq!(decode(&vec![1; len], true), Err(WireFault::Meaningless(len)));
        }
    }

    #[test]
    fn the_length_says_what_a_message_is() {
        assert_eq!(decode(&[5, 0, 0, 0], true), Ok(Message::Total(5)));
        assert_eq!(decode(&[5, 0, 0, 0, 4], true), Ok(Message::Refused { id: 5, reason: 4 }));
        assert_eq!(
            decode(&[5, 0, 0, 0, 1, 2, 3, 4, 5], true),
            Ok(Message::Range { first: 5, mask: &[1, 2, 3, 4, 5] })
        );
        assert_eq!(
            decode(&[0, 0, 0, 0, 1, 9, 0, 0, 0, 3, 0, 0, 0], true),
            Ok(Message::Pulse { total: 9 })
        );
        assert_eq!(decode(&[0, 0, 0, 0, 77, 9, 0, 0, 0], true), Ok(Message::Other));
    }

    #[test]
    fn what_we_send_unmasks_to_what_we_meant() {
        let mut out = Outgoing::new(42);
        out.check(0x0102_0304);
        out.range(1, 100_000);
        let bytes = out.pending().to_vec();
        assert_eq!(&bytes[..2], &[0x82, 0x84]);
        let unmasked = |at: usize, len: usize| -> Vec<u8> {
            (0..len).map(|i| bytes[at + 6 + i] ^ bytes[at + 2 + i % 4]).collect()
        };
        assert_eq!(unmasked(0, 4), [4, 3, 2, 1]);
        assert_eq!(&bytes[10..12], &[0x82, 0x88]);
        assert_eq!(unmasked(10, 8), [1, 0, 0, 0, 0xa0, 0x86, 1, 0]);
        assert_ne!(bytes[2..6], bytes[12..16], "a fresh mask for each frame");
        out.wrote(4);
        assert_eq!(out.pending(), &bytes[4..]);
        out.wrote(bytes.len() - 4);
        assert!(out.is_empty());
    }

    #[test]
    fn a_text_of_any_length_unmasks_to_what_we_meant() {
        for length in [0, 125, 126, 1024] {
            let (mut out, text) = (Outgoing::new(7), "x".repeat(length));
            out.text(&text);
            let bytes = out.pending();
            let head = if length < 126 { 2 } else { 4 };
            assert_eq!(bytes[0], 0x81);
            let unmasked = bytes[head + 4..].iter().zip(bytes[head..head + 4].iter().cycle());
            let unmasked: Vec<u8> = unmasked.map(|(byte, mask)| byte ^ mask).collect();
            assert_eq!(unmasked, text.as_bytes());
        }
    }

    #[test]
    fn who_comes_with_a_cookie_says_so_in_a_line_of_its_own() {
        let request = upgrade_request("h", "/ws?v=2", "http://h", Some("a=b"));
        assert!(request.ends_with("\r\nOrigin: http://h\r\nCookie: a=b\r\n\r\n"), "{request}");
        let request = upgrade_request("h", "/ws", "http://h", None);
        assert!(request.ends_with("\r\nOrigin: http://h\r\n\r\n"), "{request}");
    }

    #[test]
    fn an_upgrade_must_prove_itself() {
        let ok = b"HTTP/1.1 101 Switching Protocols\r\nSEC-websocket-accept:  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n\x82";
        assert_eq!(upgrade_answer(ok), Some(Upgrade::Accepted(ok.len() - 1)));
        assert_eq!(upgrade_answer(&ok[..ok.len() - 3]), None);
        assert_eq!(upgrade_answer(b"HTTP/1.1 503 Busy\r\n\r\n"), Some(Upgrade::Status(503)));
        assert!(matches!(upgrade_answer(b"HTTP/1.1 101 OK\r\n\r\n"), Some(Upgrade::Bad(_))));
        assert!(matches!(upgrade_answer(b"SMTP\r\n\r\n"), Some(Upgrade::Bad(_))));
    }
}

//! The decoder of WebSocket frames.
//!
//! Four bytes of options: 1 text is accepted, 2 compression is agreed upon, 4 the rest is not a stream but first bytes,
//! lengths and payloads of frames that are put together here; the longest message in eights; most fragments; lengths of
//! pieces, three bits and five.

use actors::{
    deflate::{Level, deflate},
    protocol::{Close, RSV1},
    session::frame::{Decoder, Event, FrameLimits, MessageKind, Step},
};

use super::Input;

const FIN: u8 = 0x80;
const BINARY: u8 = 2;
const PING: u8 = 9;

/// An event, kept.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Message(MessageKind, Vec<u8>),
    Nothing,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

/// All that a decoder says of a stream, and what is left of it: the start of a frame, or a violation.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    said: Vec<Said>,
    end: Result<Vec<u8>, Close>,
}

/// A stream is told of in the same way however it is cut, within its limits; and a message comes back whole.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let [options, length, fragments, pieces] = input.take();
    let limits = FrameLimits {
        message_bytes: 8 * (1 + u64::from(length)),
        fragments: u32::from(fragments.max(1)),
        // Another limit than that of binary messages.
        text: (options & 1 != 0).then_some(4 * (1 + u64::from(length))),
        deflate: options & 2 != 0,
    };
    let stream = if options & 4 == 0 { input.0.to_vec() } else { composed(input.0) };
    let told = tell(&stream, limits, [stream.len(); 2]);
    if let Ok(left) = &told.end {
        assert!(stream.ends_with(left), "what is not complete stays as it came");
    }
    for lengths in [[1, 1], [1 + usize::from(pieces & 7), 1 + usize::from(pieces >> 3)]] {
        assert_eq!(tell(&stream, limits, lengths), told, "in pieces of {lengths:?}");
    }
    round_trip(input.0, limits, 1 + usize::from(pieces));
}

/// What is said of a stream that comes in pieces of these lengths, in turns.
fn tell(stream: &[u8], limits: FrameLimits, lengths: [usize; 2]) -> Told {
    let (mut decoder, mut pending, mut said) = (Decoder::default(), Vec::new(), Vec::new());
    let mut lengths = lengths.into_iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let length = lengths.next().expect("without end");
        let (piece, later) = rest.split_at(length.min(rest.len()));
        rest = later;
        pending.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match decoder.step(&mut pending[at..], limits) {
                Ok(Step::NeedMore) => break,
                Ok(Step::Taken(taken, event)) => {
                    assert!(taken >= 6, "two bytes and a mask");
                    said.push(kept(event, limits));
                    at += taken;
                }
                Err(close) => return Told { said, end: Err(close) },
            }
        }
        pending.drain(..at);
    }
    Told { said, end: Ok(pending) }
}

/// An event that is within its limits.
fn kept(event: Event<'_>, limits: FrameLimits) -> Said {
    match event {
        Event::Message(kind, payload) => {
            assert!(payload.len() as u64 <= limits.message_bytes);
            if kind == MessageKind::Text {
                assert!(limits.text.is_some_and(|longest| payload.len() as u64 <= longest));
                assert!(str::from_utf8(payload).is_ok());
            }
            Said::Message(kind, payload.to_vec())
        }
        Event::Nothing => Said::Nothing,
        Event::Ping(payload) => {
            assert!(payload.len() <= 125);
            Said::Ping(payload.to_vec())
        }
        Event::Pong => Said::Pong,
        Event::Close(code) => {
            let may_be_sent = |code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert!(code.is_none_or(may_be_sent), "{code:?}");
            Said::Close(code)
        }
    }
}

/// A message that is cut into at most so many frames comes back if it may, and else is too big.
fn round_trip(message: &[u8], limits: FrameLimits, frames: usize) {
    let packed = if limits.deflate { packed(message) } else { message.to_vec() };
    let mut parts: Vec<&[u8]> = packed.chunks(packed.len().div_ceil(frames).max(1)).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let mut stream = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let opcode = if number == 0 { BINARY } else { 0 };
        let rsv = if number == 0 && limits.deflate { RSV1 } else { 0 };
        let fin = if number + 1 == parts.len() { FIN } else { 0 };
        put_frame(&mut stream, FIN | PING, b"between");
        put_frame(&mut stream, fin | rsv | opcode, part);
    }
    let Told { said, end } = tell(&stream, limits, [stream.len(); 2]);
    let longest = message.len().max(packed.len()) as u64;
    if longest <= limits.message_bytes && parts.len() <= limits.fragments as usize {
        assert_eq!(said.last(), Some(&Said::Message(MessageKind::Binary, message.to_vec())));
        assert_eq!((said.len(), end), (2 * parts.len(), Ok(Vec::new())));
    } else {
        assert!(matches!(end, Err(close) if close.code == Close::TOO_BIG.code), "{end:?}");
    }
}

/// Frames with the first bytes, lengths and payloads in `rest`; whole compressed ones are compressed.
fn composed(mut rest: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [first, length, tail @ ..] = rest {
        let (payload, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        if first & (FIN | RSV1) == FIN | RSV1 {
            put_frame(&mut stream, *first, &packed(payload));
        } else {
            put_frame(&mut stream, *first, payload);
        }
    }
    stream
}

fn packed(payload: &[u8]) -> Vec<u8> {
    deflate(payload, Level::new(1).expect("a level"))
}

/// A masked frame, its length in the shortest form (RFC 6455 §5.2).
fn put_frame(stream: &mut Vec<u8>, first: u8, payload: &[u8]) {
    stream.push(first);
    match payload.len() {
        length @ 0..=125 => stream.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            stream.push(0x80 | 126);
            stream.extend((length as u16).to_be_bytes());
        }
        length => {
            stream.push(0x80 | 127);
            stream.extend((length as u64).to_be_bytes());
        }
    }
    let mask = [first, 0x5A, 7, payload.len() as u8];
    stream.extend(mask);
    stream.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

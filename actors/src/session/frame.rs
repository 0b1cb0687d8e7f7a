//! WebSocket frames from a client (RFC 6455 §5): header checks, unmasking, reassembly.
//!
//! Pure: bytes in, events out. A frame is judged by its header before its payload is awaited, so a
//! client that declares 2^62 bytes costs nothing. The first violation in byte order decides.

use crate::{
    deflate::inflate,
    protocol::{Close, RSV1},
};

/// What a connection may send.
#[derive(Debug, Clone, Copy)]
pub struct FrameLimits {
    /// Largest message, in bytes, fragments added up.
    pub message_bytes: u64,
    /// Most fragments of one message.
    pub fragments: u32,
    /// Largest text message, in bytes, not above `message_bytes`; `None`: text is refused.
    pub text: Option<u64>,
    /// Whether messages may be compressed (RFC 7692), which was agreed upon.
    pub deflate: bool,
}

impl FrameLimits {
    /// Largest message of a kind.
    fn longest(&self, kind: MessageKind) -> u64 {
        match kind {
            MessageKind::Binary => self.message_bytes,
            MessageKind::Text => self.text.unwrap_or(0).min(self.message_bytes),
        }
    }
}

/// Whether a message is binary or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Opcode 2.
    Binary,
    /// Opcode 1; verified to be UTF-8.
    Text,
}

/// What the next bytes of a client amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A complete message.
    Message(MessageKind, &'a [u8]),
    /// A fragment was taken in: traffic, but nothing to act on.
    Nothing,
    /// A Ping to be answered with the same payload.
    Ping(&'a [u8]),
    /// A Pong.
    Pong,
    /// The client closes, with this code if it gave one.
    Close(Option<u16>),
}

/// The outcome of looking at a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// The frame is not complete yet.
    NeedMore,
    /// This many bytes are done with, and this is what they said.
    Taken(usize, Event<'a>),
}

/// A message whose last fragment has not come yet.
#[derive(Debug)]
struct Partial {
    kind: MessageKind,
    fragments: u32,
    bytes: Vec<u8>,
    is_compressed: bool,
}

/// Decoder of one connection. Costs two pointers while no fragmented message is under way.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
    /// The last reassembled message, kept only to lend it to the caller.
    finished: Option<Box<Partial>>,
}

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame header that passed its checks.
struct Header {
    fin: bool,
    is_compressed: bool,
    opcode: u8,
    length: usize,
    mask: [u8; 4],
    bytes: usize,
}

impl Decoder {
    /// Looks at the first frame in `buffer`, unmasking it in place when it is complete.
    ///
    /// After an error the connection is over: nothing after it is looked at.
    pub fn step<'a>(
        &'a mut self,
        buffer: &'a mut [u8],
        limits: FrameLimits,
    ) -> Result<Step<'a>, Close> {
        self.finished = None;
        let Some(header) = self.header(buffer, limits)? else { return Ok(Step::NeedMore) };
        let end = header.bytes + header.length;
        if buffer.len() < end {
            return Ok(Step::NeedMore);
        }
        let payload = &mut buffer[header.bytes..end];
        unmask(payload, header.mask);
        let event = match header.opcode {
            PING => Event::Ping(payload),
            PONG => Event::Pong,
            CLOSE => Event::Close(close_code(payload)?),
            _ => self.data(&header, payload, limits)?,
        };
        Ok(Step::Taken(end, event))
    }

    /// Reads and checks a header, byte by byte; `None` while it is incomplete and still legal.
    fn header(&self, buffer: &[u8], limits: FrameLimits) -> Result<Option<Header>, Close> {
        let Some(&first) = buffer.first() else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        self.check_first_byte(first, limits)?;

        let Some(&second) = buffer.get(1) else { return Ok(None) };
        if second & 0x80 == 0 {
            return Err(Close::UNMASKED);
        }
        let short = second & 0x7F;
        if opcode >= CLOSE && short > 125 {
            return Err(Close::CONTROL_TOO_LONG);
        }
        let (length, at) = match short {
            126 => {
                let Some(bytes) = buffer.get(2..4) else { return Ok(None) };
                let length = u16::from_be_bytes([bytes[0], bytes[1]]);
                if length < 126 {
                    return Err(Close::LENGTH_ENCODING);
                }
                (u64::from(length), 4)
            }
            127 => {
                // The highest bit is in the first of the eight bytes: no need to wait for the rest.
                if buffer.get(2).is_some_and(|byte| byte & 0x80 != 0) {
                    return Err(Close::LENGTH_ENCODING);
                }
                let Some(bytes) = buffer.get(2..10) else { return Ok(None) };
                let length = u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
                if length <= 0xFFFF {
                    return Err(Close::LENGTH_ENCODING);
                }
                (length, 10)
            }
            short => (u64::from(short), 2),
        };
        let before = self.partial.as_ref().map_or(0, |partial| partial.bytes.len() as u64);
        let kind = self.kind_of(opcode);
        if opcode < CLOSE && before.saturating_add(length) > limits.longest(kind) {
            return Err(Close::TOO_BIG);
        }
        let Some(mask) = buffer.get(at..at + 4) else { return Ok(None) };
        let mask = mask.try_into().expect("four bytes");
        let length = usize::try_from(length).map_err(|_| Close::TOO_BIG)?;
        let is_compressed = first & RSV1 != 0;
        Ok(Some(Header { fin, is_compressed, opcode, length, mask, bytes: at + 4 }))
    }

    fn check_first_byte(&self, first: u8, limits: FrameLimits) -> Result<(), Close> {
        let begins_message = matches!(first & 0x0F, TEXT | BINARY);
        let allowed = if limits.deflate && begins_message { RSV1 } else { 0 };
        if first & 0x70 & !allowed != 0 {
            return Err(Close::RESERVED_BITS);
        }
        let fin = first & 0x80 != 0;
        match (first & 0x0F, &self.partial) {
            (CLOSE | PING | PONG, _) if fin => Ok(()),
            (CLOSE | PING | PONG, _) => Err(Close::FRAGMENTATION),
            (CONTINUATION, None) | (TEXT | BINARY, Some(_)) => Err(Close::FRAGMENTATION),
            (TEXT, None) if limits.text.is_none() => Err(Close::TEXT),
            (CONTINUATION, Some(partial)) if partial.fragments >= limits.fragments => {
                Err(Close::TOO_MANY_FRAGMENTS)
            }
            (CONTINUATION | TEXT | BINARY, _) => Ok(()),
            _ => Err(Close::RESERVED_OPCODE),
        }
    }

    /// The kind of the message that a frame with this opcode belongs to.
    fn kind_of(&self, opcode: u8) -> MessageKind {
        match (opcode, &self.partial) {
            (CONTINUATION, Some(partial)) => partial.kind,
            (TEXT, _) => MessageKind::Text,
            _ => MessageKind::Binary,
        }
    }

    fn data<'a>(
        &'a mut self,
        header: &Header,
        payload: &'a [u8],
        limits: FrameLimits,
    ) -> Result<Event<'a>, Close> {
        let kind = self.kind_of(header.opcode);
        let is_compressed = header.is_compressed;
        let begun = || Box::new(Partial { kind, is_compressed, fragments: 0, bytes: Vec::new() });
        if header.opcode != CONTINUATION && header.fin {
            if !is_compressed {
                return complete(kind, payload);
            }
            let finished = self.finished.insert(begun());
            finished.bytes = inflate(payload, limits.longest(kind))?;
            return complete(kind, &finished.bytes);
        }
        let partial = self.partial.get_or_insert_with(begun);
        partial.fragments += 1;
        partial.bytes.extend_from_slice(payload);
        if !header.fin {
            return Ok(Event::Nothing);
        }
        self.finished = self.partial.take();
        let finished = self.finished.as_mut().expect("it was just extended");
        if finished.is_compressed {
            finished.bytes = inflate(&finished.bytes, limits.longest(kind))?;
        }
        complete(finished.kind, &finished.bytes)
    }
}

fn complete(kind: MessageKind, payload: &[u8]) -> Result<Event<'_>, Close> {
    if kind == MessageKind::Text && std::str::from_utf8(payload).is_err() {
        return Err(Close::NOT_UTF8);
    }
    Ok(Event::Message(kind, payload))
}

/// The code of a Close payload, or why the payload is illegal (RFC 6455 §5.5.1, §7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Close> {
    match payload {
        [] => Ok(None),
        [_] => Err(Close::CLOSE_PAYLOAD),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
                return Err(Close::CLOSE_PAYLOAD);
            }
            if std::str::from_utf8(reason).is_err() {
                return Err(Close::NOT_UTF8);
            }
            Ok(Some(code))
        }
    }
}

/// RFC 6455 §5.3, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([
        mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3],
    ]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: FrameLimits =
        FrameLimits { message_bytes: 1000, fragments: 4, text: None, deflate: false };
    const TEXT_TOO: FrameLimits = FrameLimits { text: Some(200), ..LIMITS };
    const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..=125 => bytes.push(0x80 | length as u8),
            length => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Everything a decoder says about `bytes`, as owned values.
    fn says(limits: FrameLimits, bytes: &[u8]) -> Result<Vec<String>, Close> {
        let mut decoder = Decoder::default();
        let mut bytes = bytes.to_vec();
        let mut at = 0;
        let mut said = Vec::new();
        loop {
            match decoder.step(&mut bytes[at..], limits)? {
                Step::NeedMore => return Ok(said),
                Step::Taken(taken, event) => {
                    said.push(format!("{event:?}"));
                    at += taken;
                }
            }
        }
    }

    fn violation(limits: FrameLimits, bytes: &[u8]) -> Option<Close> {
        says(limits, bytes).err()
    }

    #[test]
    fn a_masked_binary_frame_is_a_message() {
        let said = says(LIMITS, &frame(0x82, &[1, 0, 0, 0])).expect("legal");
        assert_eq!(said, ["Message(Binary, [1, 0, 0, 0])"]);
    }

    #[test]
    fn every_split_of_a_stream_says_the_same() {
        let stream = [
            frame(0x02, &[1, 2]),
            frame(0x89, b"ping"),
            frame(0x80, &[3, 4]),
            frame(0x82, &[7; 300]),
            frame(0x8A, b""),
            frame(0x88, &[0x03, 0xE8]),
        ]
        .concat();
        let expected = says(LIMITS, &stream).expect("legal");
        assert_eq!(expected[2], "Message(Binary, [1, 2, 3, 4])");
        for split in 0..stream.len() {
            let mut decoder = Decoder::default();
            let mut said = Vec::new();
            let mut pending = Vec::new();
            for part in [&stream[..split], &stream[split..]] {
                pending.extend_from_slice(part);
                loop {
                    match decoder.step(&mut pending, LIMITS).expect("legal") {
                        Step::NeedMore => break,
                        Step::Taken(taken, event) => {
                            said.push(format!("{event:?}"));
                            pending.drain(..taken);
                        }
                    }
                }
            }
            assert_eq!(said, expected, "split at {split}");
        }
    }

    #[test]
    fn headers_are_judged_before_their_payload_comes() {
        let cases: [(&[u8], Close); 14] = [
            (&[0xC2], Close::RESERVED_BITS),
            (&[0x92], Close::RESERVED_BITS),
            (&[0x83], Close::RESERVED_OPCODE),
            (&[0x8B], Close::RESERVED_OPCODE),
            (&[0x81], Close::TEXT),
            (&[0x01], Close::TEXT),
            (&[0x80], Close::FRAGMENTATION),
            (&[0x09], Close::FRAGMENTATION),
            (&[0x82, 0x04], Close::UNMASKED),
            (&[0x89, 0x80 | 126], Close::CONTROL_TOO_LONG),
            (&[0x82, 0x80 | 126, 0, 125], Close::LENGTH_ENCODING),
            (&[0x82, 0x80 | 127, 0x80], Close::LENGTH_ENCODING),
            (&[0x82, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Close::LENGTH_ENCODING),
            (&[0x82, 0x80 | 127, 0x40, 0, 0, 0, 0, 0, 0, 0], Close::TOO_BIG),
        ];
        for (bytes, close) in cases {
            assert_eq!(violation(LIMITS, bytes), Some(close), "{bytes:x?}");
        }
        assert_eq!(violation(LIMITS, &[0x82, 0x80 | 126, 0x03, 0xE9]), Some(Close::TOO_BIG));
    }

    #[test]
    fn the_first_violation_in_byte_order_decides() {
        assert_eq!(violation(LIMITS, &[0x81, 0x05]), Some(Close::TEXT), "before the missing mask");
        assert_eq!(violation(LIMITS, &[0x89, 126]), Some(Close::UNMASKED), "before the length");
    }

    #[test]
    fn a_message_inside_a_fragmented_one_is_refused() {
        let start = frame(0x02, &[1]);
        for second in [0x82, 0x02, 0x81] {
            let bytes = [start.clone(), frame(second, &[2])].concat();
            assert_eq!(violation(TEXT_TOO, &bytes), Some(Close::FRAGMENTATION));
        }
    }

    #[test]
    fn fragments_are_bounded_in_bytes_and_in_number() {
        let long = [frame(0x02, &[0; 600]), frame(0x80, &[0; 401])].concat();
        assert_eq!(violation(LIMITS, &long), Some(Close::TOO_BIG));
        let mut many = frame(0x02, &[]);
        for _ in 0..3 {
            many.extend(frame(0x00, &[]));
        }
        assert_eq!(violation(LIMITS, &many), None);
        many.extend(frame(0x80, &[]));
        assert_eq!(violation(LIMITS, &many), Some(Close::TOO_MANY_FRAGMENTS));
    }

    #[test]
    fn close_payloads_are_checked() {
        let close = |payload: &[u8]| says(LIMITS, &frame(0x88, payload));
        assert_eq!(close(&[]).expect("legal"), ["Close(None)"]);
        assert_eq!(close(&[0x03, 0xE8, b'o', b'k']).expect("legal"), ["Close(Some(1000))"]);
        assert_eq!(close(&[0x03]), Err(Close::CLOSE_PAYLOAD));
        for code in [0_u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(close(&code.to_be_bytes()), Err(Close::CLOSE_PAYLOAD), "{code}");
        }
        assert_eq!(close(&[0x03, 0xE8, 0xFF]), Err(Close::NOT_UTF8));
    }

    #[test]
    fn text_has_a_limit_of_its_own() {
        let text = |first, bytes| frame(first, &vec![b'a'; bytes]);
        assert_eq!(violation(TEXT_TOO, &text(0x81, 200)), None);
        assert_eq!(violation(TEXT_TOO, &text(0x81, 201)[..4]), Some(Close::TOO_BIG));
        assert_eq!(violation(TEXT_TOO, &text(0x82, 201)), None, "binary is longer");
        let split = [text(0x01, 150), frame(0x89, b"between"), text(0x80, 51)].concat();
        assert_eq!(violation(TEXT_TOO, &split), Some(Close::TOO_BIG), "fragments are added up");
        let both = [text(0x01, 10), text(0x80, 10), text(0x02, 150), text(0x80, 150)].concat();
        assert_eq!(violation(TEXT_TOO, &both), None, "each by its own");
        let short = FrameLimits { message_bytes: 50, ..TEXT_TOO };
        assert_eq!(violation(short, &text(0x81, 51)), Some(Close::TOO_BIG));
    }

    #[test]
    fn text_is_verified_where_it_is_accepted() {
        let said = says(TEXT_TOO, &frame(0x81, "κόσμε".as_bytes())).expect("legal");
        assert!(said[0].starts_with("Message(Text"));
        assert_eq!(violation(TEXT_TOO, &frame(0x81, &[0xC0, 0xAF])), Some(Close::NOT_UTF8));
        let split = [frame(0x01, &[0xCE]), frame(0x80, &[0xBA])].concat();
        assert!(says(TEXT_TOO, &split).is_ok(), "a character may be split over fragments");
    }
}

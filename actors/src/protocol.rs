//! Bytes ↔ messages: what a client may say, what a server answers, and the close codes between.
//!
//! Pure: no sockets, no clock. Lengths tell messages apart, every number is a little-endian `u32`.
//! Encoders write complete WebSocket frames (RFC 6455 §5.2, unmasked, FIN set), because a frame is
//! encoded once and then shared by thousands of sockets.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use bytes::{BufMut, Bytes, BytesMut};

use crate::board::{Board, BoxId, BoxRange, RangeError};

/// First byte of a final binary frame.
/// First byte of a binary frame that is a whole message.
pub const FIN_BINARY: u8 = 0x82;

/// Bit of the first byte of a compressed message (RFC 7692 §6).
pub const RSV1: u8 = 0x40;
/// First byte of a text frame that is a whole message.
const FIN_TEXT: u8 = 0x81;
/// First byte of a Close frame.
const FIN_CLOSE: u8 = 0x88;
/// First byte of a Ping frame.
const FIN_PING: u8 = 0x89;
/// First byte of a Pong frame.
const FIN_PONG: u8 = 0x8A;

/// Bytes of one update on the wire: 2 of frame header, 8 of payload.
pub const UPDATE_FRAME_BYTES: usize = 10;

/// The shortest mask of a range answer, so that no answer is mistaken for an update: 4 + 5 > 8.
pub const MASK_BYTES_MIN: usize = 5;

/// Reasons of operators that are remembered: 32 KB at most.
const REASONS_MAX: usize = 256;

/// Most tiles one pulse tells about.
pub const PULSE_TILES_MAX: usize = 128;

/// Kind of the extension message that is a pulse.
const EXTENSION_PULSE: u8 = 1;

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `/ws`: every update, byte-compatible with the older server.
    Plain,
    /// `/ws?v=2`: scoped updates, refusals instead of closes, resync.
    V2,
}

/// What a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMessage {
    /// Check a box.
    Check(BoxId),
    /// Read a range.
    Range(BoxRange),
}

impl ClientMessage {
    /// Decodes one complete binary message of `board`'s players.
    pub fn decode(board: &Board, payload: &[u8]) -> Result<Self, Close> {
        let word = |bytes: &[u8]| {
            u32::from_le_bytes(bytes.try_into().expect("four bytes were sliced off"))
        };
        match payload.len() {
            4 => {
                let id = board.box_id(word(payload)).ok_or(Close::BOX_ID)?;
                Ok(Self::Check(id))
            }
            8 => board.range(word(&payload[..4]), word(&payload[4..])).map(Self::Range).map_err(
                |error| match error {
                    RangeError::Id => Close::BOX_ID,
                    RangeError::Reversed => Close::RANGE_REVERSED,
                    RangeError::TooLong => Close::RANGE_TOO_LONG,
                },
            ),
            _ => Err(Close::LENGTH),
        }
    }
}

/// Why a `v=2` check was refused; the connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// The store did not take it; nothing was acknowledged.
    StorageUnavailable = 1,
    /// The box's shard had no room in time.
    Busy = 2,
    /// The board takes no checks.
    ReadOnly = 3,
    /// Over the connection's check rate.
    Rate = 4,
    /// The box is set aside.
    Reserved = 5,
}

impl Refusal {
    /// By their numbers.
    #[cfg(test)]
    const ALL: [Self; 5] =
        [Self::StorageUnavailable, Self::Busy, Self::ReadOnly, Self::Rate, Self::Reserved];

    /// The `reason` label of the refusal in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::StorageUnavailable => "storage",
            Self::Busy => "busy",
            Self::ReadOnly => "read_only",
            Self::Rate => "rate",
            Self::Reserved => "reserved",
        }
    }
}

/// How the server ends a connection: an RFC 6455 §7.4 code and a short reason for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The status code, as sent.
    pub code: u16,
    /// At most 123 bytes (RFC 6455 §5.5).
    pub reason: &'static str,
    label: &'static str,
}

impl Close {
    /// The server stops.
    pub const GOING_AWAY: Self = Self::new(1001, "server going away");
    /// The board was reset: what this connection was told is void.
    pub const BOARD_RESET: Self = Self::new(1012, "board reset");
    /// Neither pong nor other traffic within the timeout.
    pub const TIMEOUT: Self = Self::new(1001, "timeout");
    /// A frame without mask (RFC 6455 §5.1).
    pub const UNMASKED: Self = Self::new(1002, "unmasked frame");
    /// A reserved bit is set though no extension was negotiated.
    pub const RESERVED_BITS: Self = Self::new(1002, "reserved bits");
    /// An opcode that RFC 6455 reserves.
    pub const RESERVED_OPCODE: Self = Self::new(1002, "reserved opcode");
    /// A continuation of nothing, a new message inside another, or a fragmented control frame.
    pub const FRAGMENTATION: Self = Self::new(1002, "bad fragmentation");
    /// A control frame over 125 bytes.
    pub const CONTROL_TOO_LONG: Self = Self::new(1002, "control frame too long");
    /// A length not in its shortest form, or with its highest bit set (RFC 6455 §5.2).
    pub const LENGTH_ENCODING: Self = Self::new(1002, "bad length encoding");
    /// A close payload of one byte, or with a code that may not be sent.
    pub const CLOSE_PAYLOAD: Self = Self::new(1002, "bad close payload");
    /// A text message: game traffic is binary.
    pub const TEXT: Self = Self::new(1003, "text not accepted");
    /// A close reason or text message that is not UTF-8.
    pub const NOT_UTF8: Self = Self::new(1007, "not UTF-8");
    /// A compressed message that cannot be unpacked.
    pub const BAD_DEFLATE: Self = Self::new(1007, "bad compressed data");
    /// A binary message that is neither 4 nor 8 bytes long.
    pub const LENGTH: Self = Self::new(1008, "message length");
    /// A box the board does not have.
    pub const BOX_ID: Self = Self::new(1008, "box id out of range");
    /// A range whose last box comes before its first.
    pub const RANGE_REVERSED: Self = Self::new(1008, "range reversed");
    /// A range of more boxes than one request may ask for.
    pub const RANGE_TOO_LONG: Self = Self::new(1008, "range too long");
    /// The board takes no checks.
    pub const READ_ONLY: Self = Self::new(1008, "read-only board");
    /// The box is set aside.
    pub const RESERVED: Self = Self::new(1008, "reserved box");
    /// An operator has blocked its address.
    pub const BLOCKED: Self = Self::new(1008, "blocked");
    /// The user has signed out, here or everywhere.
    pub const SIGNED_OUT: Self = Self::new(1008, "signed out");
    /// An operator has ended this connection.
    pub const ENDED: Self = Self::new(1008, "ended by an operator");
    /// The connection would have to wait too long for its next token.
    pub const RATE: Self = Self::new(1008, "rate limit");
    /// Above the message size limit.
    pub const TOO_BIG: Self = Self::new(1009, "message too big");
    /// More fragments than a message may have.
    pub const TOO_MANY_FRAGMENTS: Self = Self::new(1009, "too many fragments");
    /// The store did not take a check.
    pub const STORAGE: Self = Self::new(1013, "storage unavailable");
    /// A shard had no room in time.
    pub const BUSY: Self = Self::new(1013, "busy");
    /// The client did not drain its socket.
    pub const LAGGING: Self = Self::new(1013, "lagging");

    /// As an operator wants a connection to end: with 1001, 1008, 1012 or 1013, and a reason of 1 to 123 bytes.
    ///
    /// Of reasons that no other close has the first 256 are remembered, for as long as the process lives; after
    /// those it is [`ENDED`](Self::ENDED)'s.
    pub fn by_operator(code: u16, reason: &str) -> Option<Self> {
        static REASONS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        if !Self::is_for_operators(code, reason) {
            return None;
        }
        let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = reasons.get(reason).copied();
        let reason = match known {
            Some(known) => known,
            None if reasons.len() >= REASONS_MAX => Self::ENDED.reason,
            None => {
                let kept: &'static str = String::from(reason).leak();
                reasons.insert(kept);
                kept
            }
        };
        Some(Self::new(code, reason))
    }

    /// Whether [`by_operator`](Self::by_operator) takes them; remembers nothing.
    pub fn is_for_operators(code: u16, reason: &str) -> bool {
        matches!(code, 1001 | 1008 | 1012 | 1013) && (1..=123).contains(&reason.len())
    }

    const fn new(code: u16, reason: &'static str) -> Self {
        assert!(reason.len() <= 123, "a control frame holds 125 bytes, 2 of them the code");
        Self { code, reason, label: label(code) }
    }

    /// The code as a metrics label.
    pub fn label(self) -> &'static str {
        self.label
    }

    /// The Close frame.
    pub fn frame(self) -> Bytes {
        close_frame(Some((self.code, self.reason.as_bytes())))
    }
}

/// The metrics label of a code that the server sends. A constant [`Close`] with any other code does not compile.
const fn label(code: u16) -> &'static str {
    match code {
        1001 => "1001",
        1002 => "1002",
        1003 => "1003",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1012 => "1012",
        1013 => "1013",
        _ => panic!("a close code without a label"),
    }
}

/// A Close frame with a code and reason, or an empty one.
pub fn close_frame(payload: Option<(u16, &[u8])>) -> Bytes {
    let Some((code, reason)) = payload else {
        return Bytes::from_static(&[FIN_CLOSE, 0]);
    };
    let mut frame = BytesMut::with_capacity(4 + reason.len());
    frame.put_u8(FIN_CLOSE);
    frame.put_u8(u8::try_from(2 + reason.len()).expect("a close reason has at most 123 bytes"));
    frame.put_u16(code);
    frame.put_slice(reason);
    frame.freeze()
}

/// An empty Ping frame.
pub fn ping_frame() -> Bytes {
    Bytes::from_static(&[FIN_PING, 0])
}

/// A Pong frame that answers a Ping with `payload`, at most 125 bytes.
pub fn pong_frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(2 + payload.len());
    frame.put_u8(FIN_PONG);
    frame.put_u8(u8::try_from(payload.len()).expect("a control frame has at most 125 bytes"));
    frame.put_slice(payload);
    frame.freeze()
}

/// 4 bytes: the number of checked boxes.
pub fn total_frame(total: u32) -> Bytes {
    let mut frame = BytesMut::with_capacity(6);
    frame.put_u8(FIN_BINARY);
    frame.put_u8(4);
    frame.put_u32_le(total);
    frame.freeze()
}

/// 8 bytes: box `id` was checked and `total` boxes are checked now. To one asker alone it answers a
/// repeated check; `total` is the last it was told then.
pub fn put_update_frame(into: &mut BytesMut, total: u32, id: u32) {
    let mut frame = [FIN_BINARY, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    frame[2..6].copy_from_slice(&total.to_le_bytes());
    frame[6..10].copy_from_slice(&id.to_le_bytes());
    into.put_slice(&frame);
}

/// 5 bytes, `v=2` only: the check of `id` was refused.
pub fn refused_frame(id: u32, reason: Refusal) -> Bytes {
    let mut frame = BytesMut::with_capacity(7);
    put_refused_frame(&mut frame, id, reason);
    frame.freeze()
}

/// The same, behind other frames.
pub fn put_refused_frame(into: &mut BytesMut, id: u32, reason: Refusal) {
    into.put_u8(FIN_BINARY);
    into.put_u8(5);
    into.put_u32_le(id);
    into.put_u8(reason as u8);
}

/// `v=2` only, the extension of kind 1: the total, how many play, and pairs of a tile and its checked
/// boxes. No box has id 0, which tells it from a range answer.
pub fn pulse_frame(total: u32, players: u32, tiles: &[(u16, u32)]) -> Bytes {
    debug_assert!(tiles.len() <= PULSE_TILES_MAX, "the rest belongs into the next pulse");
    let payload = 13 + 6 * tiles.len();
    let mut frame = BytesMut::with_capacity(4 + payload);
    put_binary_header(&mut frame, payload);
    frame.put_u32_le(0);
    frame.put_u8(EXTENSION_PULSE);
    frame.put_u32_le(total);
    frame.put_u32_le(players);
    for (tile, checked) in tiles {
        let (tile, checked) = (tile.to_le_bytes(), checked.to_le_bytes());
        frame.put_slice(&[tile[0], tile[1], checked[0], checked[1], checked[2], checked[3]]);
    }
    frame.freeze()
}

/// `v=2` only: a text message, which is an envelope of JSON.
pub fn text_frame(text: &str) -> Bytes {
    let mut frame = BytesMut::with_capacity(10 + text.len());
    put_header(&mut frame, FIN_TEXT, text.len());
    frame.put_slice(text.as_bytes());
    frame.freeze()
}

/// Header of a final binary frame with `payload` bytes to follow (RFC 6455 §5.2).
pub fn put_binary_header(into: &mut BytesMut, payload: usize) {
    put_header(into, FIN_BINARY, payload);
}

/// Header of an unmasked frame whose first byte is `first`.
pub fn put_header(into: &mut BytesMut, first: u8, payload: usize) {
    into.put_u8(first);
    match payload {
        0..=125 => into.put_u8(payload as u8),
        126..=0xFFFF => {
            into.put_u8(126);
            into.put_u16(payload as u16);
        }
        _ => {
            into.put_u8(127);
            into.put_u64(payload as u64);
        }
    }
}

/// Bytes of mask in the answer to a request for `boxes` boxes, padding included.
pub fn mask_bytes(boxes: u32) -> usize {
    (boxes.div_ceil(8) as usize).max(MASK_BYTES_MIN)
}

/// Bytes of the whole frame that answers a request for `boxes` boxes: header, first id, mask.
pub fn range_frame_bytes(boxes: u32) -> usize {
    let payload = 4 + mask_bytes(boxes);
    payload + if payload <= 125 { 2 } else { 4 }
}

/// Starts the answer to `range`: frame header and first id, with room for the mask.
pub fn begin_range_frame(range: BoxRange) -> BytesMut {
    let payload = 4 + mask_bytes(range.boxes());
    // One byte more than needed, for the join of a range over two shards.
    let mut frame = BytesMut::with_capacity(range_frame_bytes(range.boxes()) + 1);
    put_binary_header(&mut frame, payload);
    frame.put_u32_le(range.first().get());
    frame
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new("test", 250_000, 2).expect("a legal board")
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn decode(payload: &[u8]) -> Result<ClientMessage, Close> {
        ClientMessage::decode(&board(), payload)
    }

    #[test]
    fn four_bytes_check_a_box() {
        let id = board().box_id(250_000).expect("the last box");
        assert_eq!(decode(&[0x90, 0xD0, 0x03, 0x00]), Ok(ClientMessage::Check(id)));
    }

    #[test]
    fn eight_bytes_ask_for_a_range() {
        let range = board().range(1, 100_000).expect("a tile");
        assert_eq!(decode(&words(&[1, 100_000])), Ok(ClientMessage::Range(range)));
        let one = board().range(7, 7).expect("one box");
        assert_eq!(decode(&words(&[7, 7])), Ok(ClientMessage::Range(one)));
    }

    #[test]
    fn an_operator_ends_a_connection_with_a_code_and_a_short_reason() {
        let close = Close::by_operator(1013, "come back at noon").expect("a legal close");
        assert_eq!((close.code, close.reason, close.label()), (1013, "come back at noon", "1013"));
        let again = Close::by_operator(1008, "come back at noon").expect("a legal close");
        assert!(std::ptr::eq(close.reason, again.reason), "remembered once");
        for (code, reason) in [(1000, "x"), (4000, "x"), (1008, ""), (1008, &*"x".repeat(124))] {
            assert_eq!(Close::by_operator(code, reason), None, "{code} {reason}");
        }
        for number in 0..=REASONS_MAX {
            let close = Close::by_operator(1008, &format!("reason {number}"));
            assert!(close.is_some_and(|close| close.frame().len() <= 127), "{number}");
        }
        let beyond = Close::by_operator(1008, "one too many").expect("a legal close");
        assert_eq!(beyond, Close::ENDED);
    }

    #[test]
    fn metrics_have_a_label_for_each_refusal_and_close() {
        let labels = ["storage", "busy", "read_only", "rate", "reserved"];
        assert_eq!(Refusal::ALL.map(Refusal::label), labels);
        for close in [Close::GOING_AWAY, Close::UNMASKED, Close::BLOCKED, Close::LAGGING] {
            assert_eq!(close.label(), close.code.to_string());
        }
    }

    #[test]
    fn every_other_length_is_refused() {
        for length in (0..64).filter(|length| *length != 4 && *length != 8) {
            assert_eq!(decode(&vec![1; length]), Err(Close::LENGTH), "{length} bytes");
        }
    }

    #[test]
    fn each_bad_number_has_its_own_reason() {
        assert_eq!(decode(&words(&[0])), Err(Close::BOX_ID));
        assert_eq!(decode(&words(&[250_001])), Err(Close::BOX_ID));
        assert_eq!(decode(&words(&[u32::MAX])), Err(Close::BOX_ID));
        assert_eq!(decode(&words(&[0, 4])), Err(Close::BOX_ID));
        assert_eq!(decode(&words(&[200_000, 250_001])), Err(Close::BOX_ID));
        assert_eq!(decode(&words(&[9, 8])), Err(Close::RANGE_REVERSED));
        assert_eq!(decode(&words(&[1, 100_001])), Err(Close::RANGE_TOO_LONG));
        for close in [Close::BOX_ID, Close::LENGTH, Close::RANGE_REVERSED, Close::RANGE_TOO_LONG] {
            assert_eq!(close.code, 1008);
        }
    }

    #[test]
    fn server_messages_have_the_documented_bytes() {
        let mut update = BytesMut::new();
        put_update_frame(&mut update, 258, 1_000_000_000);
        assert_eq!(total_frame(3)[..], [0x82, 4, 3, 0, 0, 0]);
        assert_eq!(update[..], [0x82, 8, 0x02, 0x01, 0, 0, 0x00, 0xCA, 0x9A, 0x3B]);
        assert_eq!(refused_frame(5, Refusal::Rate)[..], [0x82, 5, 5, 0, 0, 0, 4]);
        assert_eq!(Close::RATE.frame()[..4], [0x88, 12, 0x03, 0xF0]);
        assert_eq!(&Close::RATE.frame()[4..], b"rate limit");
        assert_eq!(close_frame(None)[..], [0x88, 0]);
        assert_eq!(ping_frame()[..], [0x89, 0]);
        assert_eq!(pong_frame(b"hi")[..], [0x8A, 2, b'h', b'i']);
    }

    /// Reads the constants from this file, so that none can be left out.
    #[test]
    fn every_close_has_a_label_of_its_own_and_is_documented() {
        let protocol = include_str!("../../docs/PROTOCOL.md");
        let manual = include_str!("../../docs/OPERATING.md");
        let closes = include_str!("protocol.rs").lines().filter_map(|line| {
            let (code, reason) = line.split_once(": Self = Self::new(")?.1.split_once(", \"")?;
            Some((code, reason.strip_suffix("\");")?))
        });
        let mut count = 0;
        for (code, reason) in closes {
            assert_eq!(label(code.parse().expect("a code")), code, "{reason}");
            assert!(
                protocol.contains(&format!("`{reason}`")),
                "PROTOCOL.md lacks {code} `{reason}`"
            );
            assert!(manual.contains(code), "OPERATING.md lacks {code}");
            count += 1;
        }
        assert!(count > 20, "constants were looked for in vain: {count}");
    }

    #[test]
    fn refusals_carry_the_numbers_of_the_protocol() {
        assert_eq!(Refusal::ALL.map(|refusal| refusal as u8), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_range_answer_is_never_as_short_as_an_update() {
        for boxes in 1..=32 {
            assert_eq!(mask_bytes(boxes), 5);
        }
        assert_eq!(mask_bytes(33), 5);
        assert_eq!(mask_bytes(40), 5);
        assert_eq!(mask_bytes(41), 6);
        assert_eq!(mask_bytes(100_000), 12_500);
        assert_eq!(range_frame_bytes(1), 2 + 4 + 5);
        assert_eq!(range_frame_bytes(8 * 121), 2 + 125);
        assert_eq!(range_frame_bytes(8 * 121 + 1), 4 + 126);
        assert_eq!(range_frame_bytes(100_000), 4 + 4 + 12_500);
    }

    #[test]
    fn frame_headers_take_the_shortest_form() {
        let header = |payload| {
            let mut into = BytesMut::new();
            put_binary_header(&mut into, payload);
            into.to_vec()
        };
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126, 0, 126]);
        assert_eq!(header(65_535), [0x82, 126, 0xFF, 0xFF]);
        assert_eq!(header(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}

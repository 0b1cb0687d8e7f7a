//! What one connection sends: legal frames until one that is not, or whose fate nobody can tell.

use std::{io::Write as _, sync::OnceLock};

use flate2::{Compression, write::DeflateEncoder};
use rand::{RngExt, rngs::StdRng};

use super::BOXES;

/// Boxes that legal checks are of, from 1 on. Few, so that ten thousand who are told of all do not drown in them.
const CHECKED: u32 = 16;

/// `session.message_bytes` and `session.fragments`, by default.
const MESSAGE_BYTES: usize = 1024;
const FRAGMENTS: usize = 16;

/// Pings and pongs of one connection: below what slows it down (50 at once).
const CONTROL_FRAMES_MAX: u32 = 40;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const BINARY: u8 = 2;
const PING: u8 = 9;
const PONG: u8 = 10;
const CLOSE: u8 = 8;

/// How the server ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a Close with this code.
    Closed(u16),
    /// It may, but the client does not wait for it.
    Untold,
}

/// Frames that are sent in one go.
pub struct Salvo {
    /// All of them.
    pub bytes: Vec<u8>,
    /// How many.
    pub frames: u32,
    /// What comes of it.
    pub end: End,
    /// What is wrong with the last one.
    pub what: &'static str,
}

/// A salvo being made.
struct Drawing<'a> {
    dice: &'a mut StdRng,
    compression: bool,
    /// Text is no violation by itself.
    text: bool,
    bytes: Vec<u8>,
    frames: u32,
    control_frames: u32,
    /// What is to come of a message that was begun.
    open: Option<Vec<Vec<u8>>>,
}

impl Salvo {
    /// At most `most` frames, the last of which ends the connection unless they were too few for that.
    pub fn draw(most: u32, compression: bool, text: bool, dice: &mut StdRng) -> Self {
        let legal = dice.random_range(0..16);
        let (bytes, frames, control_frames, open) = (Vec::new(), 0, 0, None);
        let mut drawing = Drawing { dice, compression, text, bytes, frames, control_frames, open };
        while drawing.frames < legal.min(most - 1) {
            drawing.legal();
        }
        let (end, what) = drawing.last(most - drawing.frames);
        let Drawing { bytes, frames, .. } = drawing;
        assert!((1..=most).contains(&frames), "{what}: {frames} of {most}");
        Self { bytes, frames, end, what }
    }
}

impl Drawing<'_> {
    fn put(&mut self, first: u8, payload: &[u8]) {
        let mask: [u8; 4] = self.dice.random();
        self.bytes.push(first);
        match payload.len() {
            length @ 0..=125 => self.bytes.push(0x80 | length as u8),
            length => {
                self.bytes.push(0x80 | 126);
                self.bytes.extend((length as u16).to_be_bytes());
            }
        }
        self.bytes.extend(mask);
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        self.bytes.extend(masked);
        self.frames += 1;
    }

    /// A header that declares a length, in the longest form, and nothing behind it.
    fn declare(&mut self, first: u8, length: u64) {
        self.bytes.extend([first, 0x80 | 127]);
        self.bytes.extend(length.to_be_bytes());
        self.frames += 1;
    }

    fn noise(&mut self, least: usize, most: usize) -> Vec<u8> {
        let length = self.dice.random_range(least..=most);
        (0..length).map(|_| self.dice.random()).collect()
    }

    /// The payload of a message that is fine.
    fn message(&mut self) -> Vec<u8> {
        if self.dice.random_ratio(1, 2) {
            return words(&[self.dice.random_range(1..=CHECKED)]);
        }
        let first = self.dice.random_range(1..=BOXES - 1000);
        words(&[first, first + self.dice.random_range(0..1000)])
    }

    /// A frame that nothing is wrong with.
    fn legal(&mut self) {
        if self.dice.random_ratio(1, 4) && self.control_frames < CONTROL_FRAMES_MAX {
            self.control_frames += 1;
            let (first, payload) = (*self.pick(&[PING, PONG]), self.noise(0, 125));
            return self.put(FIN | first, &payload);
        }
        if let Some(mut parts) = self.open.take() {
            let part = parts.remove(0);
            let is_last = parts.is_empty();
            self.put(if is_last { FIN } else { 0 }, &part);
            self.open = (!is_last).then_some(parts);
            return;
        }
        let (mut first, mut payload) = (BINARY, self.message());
        if self.compression && self.dice.random_ratio(1, 2) {
            (first, payload) = (RSV1 | BINARY, deflated(&payload));
        }
        if self.dice.random_ratio(1, 2) {
            return self.put(FIN | first, &payload);
        }
        // Some of the parts are empty.
        let cuts = self.dice.random_range(1..FRAGMENTS);
        let mut cuts: Vec<usize> =
            (0..cuts).map(|_| self.dice.random_range(0..=payload.len())).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        for cut in cuts.iter().rev() {
            parts.insert(0, payload.split_off(*cut));
        }
        self.put(first, &payload);
        self.open = Some(parts);
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.dice.random_range(0..among.len())]
    }

    /// The last frame, or so many at most.
    fn last(&mut self, left: u32) -> (End, &'static str) {
        if self.dice.random_ratio(1, 8) {
            return self.damaged();
        }
        let is_open = self.open.is_some();
        match self.dice.random_range(0..3) {
            0 => self.bad_control(),
            1 if is_open => self.bad_continuation(),
            1 => self.bad_message(left),
            _ => self.bad_header(is_open),
        }
    }

    /// A frame in which a bit has changed, or half of one.
    fn damaged(&mut self) -> (End, &'static str) {
        let start = self.bytes.len();
        self.legal();
        if self.dice.random_ratio(1, 2) {
            let at = self.dice.random_range(start..self.bytes.len());
            self.bytes[at] ^= 1 << self.dice.random_range(0..8);
        } else {
            let end = self.dice.random_range(start + 1..self.bytes.len());
            self.bytes.truncate(end);
        }
        (End::Untold, "a damaged frame")
    }

    fn bad_header(&mut self, is_open: bool) -> (End, &'static str) {
        // What may come here, so that nothing else is wrong with it.
        let first = if is_open { FIN } else { FIN | BINARY };
        let payload = self.message();
        match self.dice.random_range(0..7) {
            0 => {
                self.bytes.extend([first, 4, 1, 0, 0, 0]);
                self.frames += 1;
                (End::Closed(1002), "an unmasked frame")
            }
            1 => {
                let bits: &[u8] =
                    if self.compression { &[0x10, 0x20, 0x30] } else { &[0x10, 0x40, 0x70] };
                let bits = *self.pick(bits);
                self.put(first | bits, &payload);
                (End::Closed(1002), "reserved bits")
            }
            2 => {
                let opcode = *self.pick(&[3, 7, 11, 15]);
                self.put(FIN | opcode, &payload);
                (End::Closed(1002), "a reserved opcode")
            }
            3 => {
                let length = self.dice.random_range(0..0x1_0000);
                self.declare(first, length);
                (End::Closed(1002), "a length in too long a form")
            }
            4 => {
                let length = 1 << 63 | self.dice.random::<u64>();
                self.declare(first, length);
                (End::Closed(1002), "a length with its highest bit")
            }
            5 => {
                let length = self.dice.random_range(0x1_0000..1 << 63);
                self.declare(first, length);
                (End::Closed(1009), "a length beyond everything")
            }
            _ => {
                let payload = self.noise(MESSAGE_BYTES + 1, 2 * MESSAGE_BYTES);
                self.put(first, &payload);
                (End::Closed(1009), "too long a message")
            }
        }
    }

    fn bad_control(&mut self) -> (End, &'static str) {
        let opcode = *self.pick(&[PING, PONG, CLOSE]);
        match self.dice.random_range(0..6) {
            0 => {
                self.put(opcode, b"");
                (End::Closed(1002), "a fragmented control frame")
            }
            1 => {
                let payload = self.noise(126, 500);
                self.put(FIN | opcode, &payload);
                (End::Closed(1002), "a control frame that is too long")
            }
            2 => {
                let payload = self.noise(1, 1);
                self.put(FIN | CLOSE, &payload);
                (End::Closed(1002), "a Close of one byte")
            }
            3 => {
                let code: u16 = *self.pick(&[0, 999, 1004, 1005, 1006, 1015, 2999, 5000]);
                self.put(FIN | CLOSE, &code.to_be_bytes());
                (End::Closed(1002), "a Close with a code that may not be sent")
            }
            4 => {
                self.put(FIN | CLOSE, &[0x03, 0xE8, 0xC0, 0xAF]);
                (End::Closed(1007), "a reason that is no UTF-8")
            }
            _ => {
                let code: u16 = *self.pick(&[1000, 1001, 3000, 4999]);
                self.put(FIN | CLOSE, &[&code.to_be_bytes()[..], b"bye"].concat());
                (End::Closed(code), "a Close")
            }
        }
    }

    /// Inside a message.
    fn bad_continuation(&mut self) -> (End, &'static str) {
        let payload = self.message();
        match self.dice.random_range(0..2) {
            0 => {
                let fin = *self.pick(&[0, FIN]);
                let opcode = *self.pick(&[1, BINARY]);
                self.put(fin | opcode, &payload);
                (End::Closed(1002), "a message inside a message")
            }
            _ => {
                // However little came before.
                let payload = self.noise(MESSAGE_BYTES + 1, 2 * MESSAGE_BYTES);
                self.put(0, &payload);
                (End::Closed(1009), "fragments that add up")
            }
        }
    }

    /// Between messages.
    fn bad_message(&mut self, left: u32) -> (End, &'static str) {
        let id = self.dice.random_range(BOXES + 1..=u32::MAX);
        match self.dice.random_range(0..9) {
            0 => {
                let payload = self.noise(9, MESSAGE_BYTES);
                self.put(FIN | BINARY, &payload);
                (End::Closed(1008), "a message of no length that means anything")
            }
            1 => {
                let payload = words(&[*self.pick(&[0, id])]);
                self.put(FIN | BINARY, &payload);
                (End::Closed(1008), "a box that the board does not have")
            }
            2 => {
                self.put(FIN | BINARY, &words(&[2, 1]));
                (End::Closed(1008), "a reversed range")
            }
            3 => {
                self.put(FIN | BINARY, &words(&[1, 100_001]));
                (End::Closed(1008), "too long a range")
            }
            4 => {
                self.put(FIN | BINARY, &words(&[1, id]));
                (End::Closed(1008), "a range past the end")
            }
            5 if self.text => {
                let payload = [&[0xFF][..], &self.noise(0, 20)].concat();
                self.put(FIN | 1, &payload);
                (End::Closed(1007), "text that is no UTF-8")
            }
            5 => {
                let payload = self.noise(0, 20);
                self.put(FIN | 1, &payload);
                (End::Closed(1003), "text")
            }
            6 if left as usize > FRAGMENTS => {
                self.put(BINARY, b"");
                for _ in 0..FRAGMENTS {
                    self.put(0, b"");
                }
                (End::Closed(1009), "too many fragments")
            }
            7 if self.compression => {
                self.put(FIN | RSV1 | BINARY, bomb());
                (End::Closed(1009), "a message that unpacks to too much")
            }
            8 if self.compression => {
                self.put(FIN | RSV1 | BINARY, &[0xFF, 0xFF]);
                (End::Closed(1007), "a message that cannot be unpacked")
            }
            _ => {
                let payload = self.message();
                self.put(FIN, &payload);
                (End::Closed(1002), "a continuation of nothing")
            }
        }
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Compressed as RFC 7692 has it: flushed, without the end of the empty block that flushing adds.
fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(payload).expect("memory takes it");
    encoder.flush().expect("memory takes it");
    let bytes = encoder.get_ref();
    bytes.strip_suffix(&[0, 0, 0xFF, 0xFF]).expect("flushed").to_vec()
}

/// 200 bytes that are 200,000.
fn bomb() -> &'static [u8] {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB.get_or_init(|| deflated(&[0; 200_000]))
}

//! What a session has to say and its socket has not taken yet. Plain queue, no socket.
//!
//! Frames are kept whole and in order; only the front one may be partly written. The owner decides
//! when it is too full; the outbox only counts.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

/// What a queued piece of output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A range answer: counts against the connection's outstanding ranges until it is written.
    Range,
    /// Anything else.
    Other,
}

/// About what a queued piece costs beside its bytes: 40 bytes of queue entry and an allocation.
const PIECE_COST: usize = 64;

/// Output waiting for its socket.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<(Kind, Bytes)>,
    /// Bytes of the front piece that the socket has taken.
    front_written: usize,
    bytes: usize,
    ranges: usize,
}

impl Outbox {
    /// Appends whole frames.
    pub fn push(&mut self, kind: Kind, frames: Bytes) {
        debug_assert!(!frames.is_empty(), "nothing to say is not said");
        self.bytes += frames.len();
        self.ranges += usize::from(kind == Kind::Range);
        self.queue.push_back((kind, frames));
    }

    /// The same for frames of which the socket has taken `written` bytes already.
    pub fn push_begun(&mut self, kind: Kind, frames: Bytes, written: usize) {
        debug_assert!(self.is_empty(), "nothing is written before what waits");
        self.push(kind, frames);
        self.bytes -= written;
        self.front_written = written;
    }

    /// Bytes not yet taken by the socket.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What it weighs: bytes, and for each piece what keeping it costs, so that a client which makes
    /// us say many small things (an empty pong is 2 bytes) cannot fill memory below the limit.
    pub fn load(&self) -> usize {
        self.bytes + self.queue.len() * PIECE_COST
    }

    /// Range answers not yet taken completely.
    pub fn ranges(&self) -> usize {
        self.ranges
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Fills `slices` with what to write next and returns how many were filled.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.front_written;
        let mut filled = 0;
        for ((_, frames), slice) in self.queue.iter().zip(slices) {
            *slice = IoSlice::new(&frames[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// Notes that the socket took `written` more bytes.
    pub fn wrote(&mut self, written: usize) {
        debug_assert!(written <= self.bytes, "a socket cannot take what was not offered");
        self.bytes -= written;
        self.front_written += written;
        while let Some((kind, front)) = self.queue.front() {
            if self.front_written < front.len() {
                return;
            }
            self.front_written -= front.len();
            self.ranges -= usize::from(*kind == Kind::Range);
            self.queue.pop_front();
        }
        // An idle connection keeps no memory of its last burst.
        self.queue = VecDeque::new();
    }

    /// Forgets everything except what completes a frame that is already half on the wire.
    ///
    /// A piece may hold many frames: `frame_end` tells, for the front piece and the bytes of it
    /// already written, where the frame under way ends.
    pub fn forget_unstarted(&mut self, frame_end: impl Fn(&[u8], usize) -> usize) {
        let front = self.queue.pop_front();
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.ranges = 0;
        let written = std::mem::take(&mut self.front_written);
        if let Some((_, front)) = front.filter(|_| written > 0) {
            let end = frame_end(&front, written);
            if end > written {
                self.push(Kind::Other, front.slice(written..end));
            }
        }
    }
}

/// Where the server frame that contains byte `at` (or ends there) of `frames` ends.
pub fn server_frame_end(frames: &[u8], at: usize) -> usize {
    let mut end = 0;
    while end < at {
        let length = match frames[end + 1] {
            126 => 4 + usize::from(u16::from_be_bytes([frames[end + 2], frames[end + 3]])),
            127 => unreachable!("no server frame is longer than 64 KiB"),
            short => 2 + usize::from(short),
        };
        end += length;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broadcaster::batch::Batch, protocol::total_frame};

    fn offered(outbox: &Outbox) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.slices(&mut slices);
        slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn partial_writes_resume_where_they_stopped() {
        let mut outbox = Outbox::default();
        outbox.push(Kind::Other, Bytes::from_static(b"abc"));
        outbox.push(Kind::Range, Bytes::from_static(b"defg"));
        outbox.wrote(2);
        assert_eq!((offered(&outbox), outbox.bytes(), outbox.ranges()), (b"cdefg".to_vec(), 5, 1));
        outbox.wrote(2);
        assert_eq!(offered(&outbox), b"efg");
        outbox.wrote(3);
        assert!(outbox.is_empty());
        assert_eq!((outbox.bytes(), outbox.ranges()), (0, 0));
    }

    #[test]
    fn what_was_begun_elsewhere_goes_on_here() {
        let mut outbox = Outbox::default();
        outbox.push_begun(Kind::Other, Bytes::from_static(b"abc"), 1);
        outbox.push(Kind::Other, Bytes::from_static(b"de"));
        assert_eq!((offered(&outbox), outbox.bytes()), (b"bcde".to_vec(), 4));
        outbox.wrote(4);
        assert_eq!((outbox.is_empty(), outbox.bytes()), (true, 0));
    }

    #[test]
    fn small_pieces_weigh_what_they_cost() {
        let mut outbox = Outbox::default();
        for _ in 0..1000 {
            outbox.push(Kind::Other, Bytes::from_static(&[0x8A, 0]));
        }
        assert_eq!(outbox.bytes(), 2000);
        assert!(outbox.load() >= 1000 * size_of::<(Kind, Bytes)>());
    }

    #[test]
    fn forgetting_keeps_the_half_written_frame_whole() {
        let two = Batch::encode(0, vec![2, 3]).frames().to_vec();
        for written in 0..=20 {
            let mut outbox = Outbox::default();
            outbox.push(Kind::Other, Bytes::from(two.clone()));
            outbox.push(Kind::Range, total_frame(9));
            outbox.wrote(written);
            outbox.forget_unstarted(server_frame_end);
            let end = written.div_ceil(10) * 10;
            assert_eq!(offered(&outbox), two[written..end], "{written} bytes were written");
            assert_eq!(outbox.bytes(), end - written);
        }
    }
}

//! Answers to requests for whole tiles, compressed: each version of a tile once, for all who ask.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::{
    deflate::{Level, deflate},
    protocol::{FIN_BINARY, RSV1, put_header},
};

/// Smallest answer that is worth it.
const BYTES_MIN: usize = 1024;

/// What one shard keeps: 512 KiB are 40 tiles that are hard to compress, and for 50 shards 25 MiB.
const KEPT_BYTES: usize = 512 * 1024;

/// The frames of one shard.
#[derive(Debug)]
pub struct Packed {
    level: Level,
    /// By the tile's number in the shard: its version, and its frame if that is smaller.
    frames: HashMap<u32, (u32, Option<Bytes>)>,
    /// Oldest first.
    order: VecDeque<u32>,
    bytes: usize,
}

impl Packed {
    /// None yet.
    pub fn new(level: Level) -> Self {
        Self { level, frames: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// The compressed frame of a tile at this version, made of `payload` if it has not been asked for before; none if
    /// it would not be smaller.
    pub fn frame(
        &mut self,
        tile: u32,
        version: u32,
        payload: impl FnOnce() -> BytesMut,
    ) -> Option<Bytes> {
        if let Some((_, frame)) = self.frames.get(&tile).filter(|(known, _)| *known == version) {
            return frame.clone();
        }
        let frame = self.pack(&payload());
        self.keep(tile, version, frame.clone());
        frame
    }

    fn pack(&self, payload: &[u8]) -> Option<Bytes> {
        if payload.len() < BYTES_MIN {
            return None;
        }
        let packed = deflate(payload, self.level);
        (packed.len() < payload.len()).then(|| {
            let mut frame = BytesMut::with_capacity(packed.len() + 4);
            put_header(&mut frame, FIN_BINARY | RSV1, packed.len());
            frame.extend_from_slice(&packed);
            frame.freeze()
        })
    }

    fn keep(&mut self, tile: u32, version: u32, frame: Option<Bytes>) {
        let bytes_of = |frame: &Option<Bytes>| frame.as_ref().map_or(0, Bytes::len);
        self.bytes += bytes_of(&frame);
        match self.frames.insert(tile, (version, frame)) {
            Some((_, before)) => self.bytes -= bytes_of(&before),
            None => self.order.push_back(tile),
        }
        while self.bytes > KEPT_BYTES
            && let Some(oldest) = self.order.pop_front()
        {
            let (_, frame) = self.frames.remove(&oldest).expect("each is in both");
            self.bytes -= bytes_of(&frame);
        }
    }

    /// The board is another one: no version means anything any more.
    pub fn forget(&mut self) {
        *self = Self::new(self.level);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::inflate;

    fn packed() -> Packed {
        Packed::new(Level::new(6).expect("a level"))
    }

    fn noise(seed: u32) -> BytesMut {
        let mut state = u64::from(seed) + 1;
        let bytes = (0..12_504).map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Six bits of eight, so that it can be compressed, but hardly.
            (state >> 58) as u8
        });
        bytes.collect()
    }

    #[test]
    fn each_version_is_packed_once() {
        let (mut packed, mut made) = (packed(), 0);
        let mut ask = |tile, version| {
            packed.frame(tile, version, || {
                made += 1;
                noise(tile + version)
            })
        };
        let first = ask(1, 7).expect("smaller");
        let again = ask(1, 7).expect("smaller");
        assert_eq!(first.as_ptr(), again.as_ptr(), "the same memory");
        assert_ne!(ask(1, 8), Some(first.clone()));
        assert!(ask(2, 7).is_some());
        assert_eq!(made, 3);
        assert_eq!(first[0], 0xC2, "final, compressed, binary");
        assert_eq!(inflate(&first[4..], 20_000).as_deref(), Ok(&noise(8)[..]));
    }

    #[test]
    fn what_would_not_be_smaller_is_not_packed_and_not_tried_again() {
        let mut packed = packed();
        let mut hard = noise(1);
        hard.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= (at * at * 31) as u8);
        let small = || BytesMut::from(&[0; 1000][..]);
        assert_eq!(packed.frame(1, 1, small), None);
        assert_eq!(packed.frame(1, 1, || panic!("it is known")), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut packed = packed();
        for tile in 0..200 {
            assert!(packed.frame(tile, 1, || noise(tile)).is_some());
        }
        assert!(packed.bytes <= KEPT_BYTES, "{}", packed.bytes);
        assert_eq!(packed.order.len(), packed.frames.len());
        let kept: usize = packed.frames.values().flat_map(|(_, frame)| frame).map(Bytes::len).sum();
        assert_eq!(kept, packed.bytes);
        assert!(packed.frame(199, 1, || panic!("it is kept")).is_some());
        packed.forget();
        let mut made = false;
        packed.frame(199, 1, || {
            made = true;
            noise(0)
        });
        assert!(made);
    }
}

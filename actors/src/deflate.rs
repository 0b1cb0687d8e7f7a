//! permessage-deflate (RFC 7692) without context takeover on either side: each message is compressed by itself, so a
//! connection keeps no window, and a compressed message can be sent to many.

use std::cell::RefCell;

use miniz_oxide::{
    deflate::core::{
        CompressorOxide, TDEFLFlush, TDEFLStatus, compress_to_output,
        create_comp_flags_from_zip_params,
    },
    inflate::{
        TINFLStatus,
        core::{
            DecompressorOxide, decompress,
            inflate_flags::{TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF},
        },
    },
};

use crate::protocol::Close;

/// The end of an empty stored block, which is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Of raw deflate, without zlib's header, and a window of 32 KiB.
const WINDOW_BITS: i32 = -15;

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(i8);

impl Level {
    /// From −2 (Huffman codes only), −1 (as zlib likes it) and 0 (none) to 9.
    pub fn new(level: i8) -> Option<Self> {
        (-2..=9).contains(&level).then_some(Self(level))
    }

    fn flags(self) -> u32 {
        // As zlib numbers them.
        const DEFAULT: i32 = 0;
        const HUFFMAN_ONLY: i32 = 2;
        match self.0 {
            -2 => create_comp_flags_from_zip_params(1, WINDOW_BITS, HUFFMAN_ONLY),
            level => create_comp_flags_from_zip_params(level.into(), WINDOW_BITS, DEFAULT),
        }
    }
}

/// The payload of a message, compressed.
pub fn deflate(payload: &[u8], level: Level) -> Vec<u8> {
    thread_local! {
        /// Of 320 KiB, which to make takes as long as to compress a tile; with the flags that it was made with.
        static COMPRESSOR: RefCell<Option<(u32, Box<CompressorOxide>)>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|kept| {
        let flags = level.flags();
        let mut known = kept.take().filter(|(of, _)| *of == flags);
        if let Some((_, compressor)) = &mut known {
            compressor.reset();
        }
        let made = known.unwrap_or_else(|| (flags, Box::new(CompressorOxide::new(flags))));
        let compressor = &mut kept.insert(made).1;
        let mut out = Vec::with_capacity(payload.len() / 2);
        let (status, taken) = compress_to_output(compressor, payload, TDEFLFlush::Sync, |piece| {
            out.extend_from_slice(piece);
            true
        });
        debug_assert!(status == TDEFLStatus::Okay && taken == payload.len(), "{status:?}");
        debug_assert!(out.ends_with(&TAIL), "flushed to a byte's end");
        out.truncate(out.len() - TAIL.len());
        out
    })
}

/// The payload of a message that was compressed, unpacked as far as `most` bytes.
///
/// # Errors
/// How the connection ends: it would be more, or it is not compressed as it should be.
pub fn inflate(payload: &[u8], most: u64) -> Result<Vec<u8>, Close> {
    const FLAGS: u32 = TINFL_FLAG_HAS_MORE_INPUT | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    // One more: with that one it is too much.
    let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(1);
    let mut inflater = DecompressorOxide::new();
    let mut out = vec![0; payload.len().saturating_mul(4).clamp(64, most.max(64)).min(most)];
    let mut made = 0;
    'pieces: for mut rest in [payload, &TAIL] {
        loop {
            let (status, taken, more) = decompress(&mut inflater, rest, &mut out, made, FLAGS);
            rest = &rest[taken..];
            made += more;
            match status {
                TINFLStatus::NeedsMoreInput => break,
                TINFLStatus::HasMoreOutput if out.len() < most => {
                    out.resize((2 * out.len()).min(most), 0);
                }
                TINFLStatus::HasMoreOutput => return Err(Close::TOO_BIG),
                // The last block of a stream: nothing but what fills its last byte may follow (§7.2.3.4).
                TINFLStatus::Done if rest.len() <= 1 => break 'pieces,
                _ => return Err(Close::BAD_DEFLATE),
            }
        }
    }
    if made >= most {
        return Err(Close::TOO_BIG);
    }
    out.truncate(made);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level(level: i8) -> Level {
        Level::new(level).expect("a level")
    }

    /// RFC 7692 §7.2.3.
    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        let hello = [
            &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00][..],
            // Without compression.
            &[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
            // A last block.
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
            // Two blocks.
            &[0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
        ];
        for bytes in hello {
            assert_eq!(inflate(bytes, 5).as_deref(), Ok(&b"Hello"[..]), "{bytes:x?}");
            assert_eq!(inflate(bytes, 4), Err(Close::TOO_BIG));
        }
        assert_eq!(inflate(&[0], 0), Ok(Vec::new()), "an empty message");
        assert_eq!(inflate(&[], 0), Ok(Vec::new()));
    }

    #[test]
    fn what_unpacks_to_more_than_may_come_is_not_unpacked() {
        let bomb = deflate(&vec![0; 1 << 24], level(9));
        assert!(bomb.len() < 1 << 15);
        assert_eq!(inflate(&bomb, 1024), Err(Close::TOO_BIG));
        assert_eq!(inflate(&bomb, (1 << 24) - 1), Err(Close::TOO_BIG));
        assert_eq!(inflate(&bomb, 1 << 24).map(|out| out.len()), Ok(1 << 24));
    }

    #[test]
    fn what_is_not_compressed_is_told_from_what_is() {
        for bytes in [
            &[0xFF, 0xFF][..],
            &[0x06],
            &[7, 7, 7, 7],
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 1, 2, 3],
        ] {
            assert_eq!(inflate(bytes, 1024), Err(Close::BAD_DEFLATE), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks_to_the_same(
            bytes in prop::collection::vec(prop_oneof![4 => Just(0_u8), 1 => any::<u8>()], 0..30_000),
            at in -2_i8..=9,
        ) {
            let packed = deflate(&bytes, level(at));
            prop_assert_eq!(inflate(&packed, bytes.len() as u64), Ok(bytes));
        }

        #[test]
        fn nothing_that_comes_makes_it_panic_or_swell(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            most in 0_u64..2000,
        ) {
            if let Ok(out) = inflate(&bytes, most) {
                prop_assert!(out.len() as u64 <= most);
            }
        }
    }
}

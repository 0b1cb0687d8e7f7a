//! Unpacking compressed messages.
//!
//! Three bytes of options: the longest message, and how hard to try when the rest is packed instead.

use actors::{
    deflate::{Level, deflate, inflate},
    protocol::Close,
};

use super::Input;

/// More than any message that is tried.
const PLENTY: u64 = 1 << 20;

/// Whatever comes never unpacks to more than it may, and to the same with any limit that lets it; what was packed
/// comes back.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (most, level) = (u64::from(u16::from_le_bytes(input.take())), input.byte());
    let level = Level::new((level % 12).cast_signed() - 2).expect("a level");
    let (within, whole) = (inflate(input.0, most), inflate(input.0, PLENTY));
    if let Ok(message) = &within {
        assert!(message.len() as u64 <= most);
    }
    match whole {
        Ok(message) if message.len() as u64 <= most => assert_eq!(within, Ok(message)),
        Ok(_) | Err(Close::TOO_BIG) => assert_eq!(within, Err(Close::TOO_BIG)),
        // It may be too big before it is found to be wrong.
        Err(_) => assert!(matches!(within, Err(Close::BAD_DEFLATE | Close::TOO_BIG))),
    }
    let (message, length) = (input.0, input.0.len() as u64);
    let packed = deflate(message, level);
    assert_eq!(inflate(&packed, length).as_deref(), Ok(message));
    if let Some(less) = length.checked_sub(1) {
        assert_eq!(inflate(&packed, less), Err(Close::TOO_BIG));
    }
}

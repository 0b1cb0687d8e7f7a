//! Bytes as hexadecimal digits.

/// Two lower-case digits a byte.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Exactly so many bytes from twice as many digits of either case, and nothing else.
pub fn from_hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    if text.len() != 2 * BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_they_are_written_and_in_either_case() {
        assert_eq!(to_hex(&[0, 0xAB, 0x7F]), "00ab7f");
        assert_eq!(from_hex("00aB7f"), Some([0, 0xAB, 0x7F]));
        for wrong in ["", "00ab7", "00ab7f00", "00ab7g", "+0ab7f", "\u{e9}0ab"] {
            assert_eq!(from_hex::<3>(wrong), None, "{wrong}");
        }
    }
}

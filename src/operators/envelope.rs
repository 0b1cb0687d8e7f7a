//! Text messages to `v=2` pages: an envelope of JSON around what is told (`docs/PROTOCOL.md`).

use actors::protocol::text_frame;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::wall::now_ms;

/// Crockford's alphabet of 32 signs, without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new ULID: 48 bits of time in ms and 80 of chance, in 26 signs that sort by time.
pub fn ulid() -> String {
    let bits = u128::from(now_ms()) << 80 | rand::random::<u128>() >> 48;
    (0..26).rev().map(|place| char::from(ALPHABET[(bits >> (5 * place)) as usize & 31])).collect()
}

/// The frame of a message of `kind` from an operator.
pub fn frame(kind: &str, id: &str, to: &str, data: &Value) -> Bytes {
    let envelope = json!({
        "type": kind,
        "id": id,
        "from": "operator",
        "to": to,
        "timestamp": now_ms(),
        "data": data,
    });
    text_frame(&envelope.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ulids_and_sort_by_time() {
        let ids: Vec<_> = (0..100).map(|_| ulid()).collect();
        for id in &ids {
            assert!(id.len() == 26 && id.bytes().all(|sign| ALPHABET.contains(&sign)), "{id}");
            assert!(id.as_bytes()[0] <= b'7', "128 bits in 130");
        }
        assert!(
            ids.iter().zip(&ids[1..]).all(|(one, next)| one[..10] <= next[..10] && one != next)
        );
    }
}

//! The keys that seal what a client carries for us: the first seals, all of them open.
//!
//! A key is never used itself: each purpose has one of its own, derived from it (HKDF-SHA256, RFC 5869), so that what was
//! sealed for one does not open as another. AES-256-GCM-SIV (RFC 8452), because nonces are drawn by chance on many nodes.

use std::fmt;

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::{
    hex::{from_hex, to_hex},
    numbers::counted,
};

/// Bytes of a key in the file.
pub const KEY_BYTES: usize = 32;

const NONCE_BYTES: usize = 12;

/// Most keys at once: one byte names a key, and nobody rotates that often within 180 days.
const KEYS_MAX: usize = 16;

/// What something is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Identity cookies.
    Cookie,
    /// Tickets of open sockets.
    Ticket,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Cookie, Self::Ticket];

    fn name(self) -> &'static [u8] {
        match self {
            Self::Cookie => b"billion cookie 1",
            Self::Ticket => b"billion ticket 1",
        }
    }
}

struct Key {
    /// First byte of what it seals: the first one of its digest, so that it is the same on all nodes.
    id: u8,
    /// By purpose.
    ciphers: [Aes256GcmSiv; Purpose::ALL.len()],
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let derived = Hkdf::<Sha256>::new(None, bytes);
        let mut id = [0];
        derived.expand(b"billion key id 1", &mut id).expect("a byte is not too long");
        let ciphers = Purpose::ALL.map(|purpose| {
            let mut key = [0; KEY_BYTES];
            derived.expand(purpose.name(), &mut key).expect("32 bytes are not too long");
            Aes256GcmSiv::new(&key.into())
        });
        Self { id: id[0], ciphers }
    }
}

/// All keys in force.
pub struct Keys(Vec<Key>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Keys {
    /// How many there are: what they are is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.len() as u64, "key", "keys"))
    }
}

impl Keys {
    /// Reads keys of 64 hexadecimal digits, one a line; empty lines and lines that begin with `#` are ignored.
    ///
    /// # Errors
    /// The first line that is wrong, by its number, and why, without its text; or that there is none, or too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut keys, mut seen) = (Vec::new(), Vec::new());
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = from_hex(line)
                .ok_or_else(|| format!("line {}: a key has 64 hexadecimal digits", at + 1))?;
            if seen.contains(&bytes) {
                return Err(format!("line {}: a line before has the same key", at + 1));
            }
            seen.push(bytes);
            keys.push(Key::new(&bytes));
        }
        match keys.len() {
            0 => Err("there is no key in it: `billion people key` makes one".to_owned()),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(format!("there are more than {KEYS_MAX} keys in it: remove the last ones")),
        }
    }

    /// A new key, as a line of the file.
    pub fn generate() -> String {
        to_hex(&rand::random::<[u8; KEY_BYTES]>())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Seals `text` with the first key.
    pub fn seal(&self, purpose: Purpose, text: &[u8]) -> Vec<u8> {
        let key = &self.0[0];
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let aad = [key.id];
        let payload = Payload { msg: text, aad: &aad };
        let sealed = key.ciphers[purpose as usize]
            .encrypt(&Nonce::from(nonce), payload)
            .expect("texts of some bytes are not too long");
        [&aad[..], &nonce, &sealed].concat()
    }

    /// The text that was sealed for `purpose` with any of the keys.
    pub fn open(&self, purpose: Purpose, sealed: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let decrypt = |key: &Key| {
            let payload = Payload { msg: text, aad: &[*id] };
            key.ciphers[purpose as usize].decrypt(&Nonce::from(*nonce), payload).ok()
        };
        // One of 256 pairs of keys has one id for both.
        self.0.iter().filter(|key| key.id == *id).find_map(decrypt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lines: &[&str]) -> Keys {
        Keys::parse(&lines.join("\n")).expect("keys")
    }

    #[test]
    fn what_was_sealed_opens_for_its_purpose_and_nothing_else_does() {
        let keys = keys(&[&Keys::generate()]);
        let sealed = keys.seal(Purpose::Cookie, b"text");
        assert_eq!(
            sealed.len(),
            1 + NONCE_BYTES + 4 + 16,
            "with the key's id, the nonce and the tag"
        );
        assert_eq!(keys.open(Purpose::Cookie, &sealed).as_deref(), Some(&b"text"[..]));
        assert_eq!(keys.open(Purpose::Ticket, &sealed), None);
        assert_ne!(keys.seal(Purpose::Cookie, b"text"), sealed, "a nonce of its own");
        for length in 0..sealed.len() {
            assert_eq!(keys.open(Purpose::Cookie, &sealed[..length]), None, "{length}");
        }
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut forged = sealed.clone();
                forged[at] ^= 1 << bit;
                assert_eq!(keys.open(Purpose::Cookie, &forged), None, "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (Keys::generate(), Keys::generate());
        let (before, both, after) =
            (keys(&[&old]), keys(&["# new", &new, "", &old]), keys(&[&new]));
        let sealed = before.seal(Purpose::Cookie, b"text");
        assert!(both.open(Purpose::Cookie, &sealed).is_some());
        assert!(after.open(Purpose::Cookie, &sealed).is_none());
        let sealed = both.seal(Purpose::Cookie, b"text");
        assert!(after.open(Purpose::Cookie, &sealed).is_some());
        assert!(before.open(Purpose::Cookie, &sealed).is_none());
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let key = Keys::generate();
        for (text, why) in [
            (String::new(), "there is no key"),
            ("# only words".to_owned(), "there is no key"),
            (format!("{key}\n{}", &key[1..]), "line 2: a key has 64"),
            (format!("{key}\n{key}"), "line 2: a line before"),
            (format!("{key}\n{}g", &key[1..]), "line 2: a key has 64"),
        ] {
            let refused = Keys::parse(&text).expect_err("not keys");
            assert!(refused.contains(why) && !refused.contains(&key[1..]), "{refused}");
        }
    }
}

//! Identity cookies, sealed with the node's key as docs/PEOPLE.md describes them: written from that text, so that a
//! mistake in the server's sealing cannot hide here.

use std::path::Path;

use aes_gcm_siv::{
    Aes256GcmSiv, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use anyhow::{Context, Result, bail};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha256;

/// Seals with the first key of a file.
pub(crate) struct Sealer {
    cipher: Aes256GcmSiv,
    id: u8,
}

impl Sealer {
    /// Reads the file that `people.keys_file` names.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--keys-file {}", path.display()))?;
        let line =
            text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let key = line.and_then(digits).with_context(|| {
            format!("--keys-file {}: its first key is not 64 hexadecimal digits", path.display())
        })?;
        Self::new(&key)
    }

    fn new(key: &[u8; 32]) -> Result<Self> {
        let derived = Hkdf::<Sha256>::new(None, key);
        let (mut id, mut sealing) = ([0], [0; 32]);
        if derived.expand(b"billion key id 1", &mut id).is_err()
            || derived.expand(b"billion cookie 1", &mut sealing).is_err()
        {
            bail!("a key of 32 bytes gives 33 others");
        }
        Ok(Self { cipher: Aes256GcmSiv::new(&sealing.into()), id: id[0] })
    }

    /// A `Cookie` header's value for a user, issued `now_s` after 1970.
    pub(crate) fn cookie(&self, user: u64, sign_in: u32, now_s: u32, nonce: [u8; 12]) -> String {
        let mut text = user.to_le_bytes().to_vec();
        // Issued, epoch, sign-in.
        for word in [now_s, 0, sign_in] {
            text.extend(word.to_le_bytes());
        }
        let payload = Payload { msg: &text, aad: &[self.id] };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload);
        let sealed = sealed.expect("20 bytes are not too long");
        let value = [&[self.id][..], &nonce, &sealed].concat();
        format!("billion_me={}", URL_SAFE_NO_PAD.encode(value))
    }
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_has_the_size_that_is_documented() {
        let sealer = Sealer::new(&[7; 32]).unwrap();
        let cookie = sealer.cookie(5, 6, 7, [0; 12]);
        assert_eq!(cookie.strip_prefix("billion_me=").map(str::len), Some(66));
        assert_ne!(cookie, sealer.cookie(6, 6, 7, [0; 12]));
    }

    #[test]
    fn a_key_has_64_digits() {
        assert_eq!(digits(&"0f".repeat(32)), Some([15; 32]));
        for bad in ["", "0f", &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(digits(bad), None, "{bad}");
        }
    }
}

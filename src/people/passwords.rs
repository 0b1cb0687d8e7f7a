//! Hashes passwords (argon2id, RFC 9106) on threads of its own, which keep their memory: 16 ms and 19 MiB each. Nobody
//! waits behind a crowd: the queue is short, and refuses beyond it.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use tokio::sync::oneshot;
use unicode_normalization::UnicodeNormalization as _;

/// Fewest bytes of a password (NIST SP 800-63B §5.1.1.2 has as many characters).
pub const BYTES_MIN: usize = 8;

/// Most bytes: a sentence, and no work for the hash.
pub const BYTES_MAX: usize = 256;

/// Threads that hash: with 16 ms each, 120 log-ins a second, for 38 MiB.
const THREADS: usize = 2;

/// Passwords that wait: the last one for 16 / 2 × 16 ms = 0.13 s on an idle machine. More are refused.
const QUEUE: usize = 16;

/// Most blocks of 1 KiB that a kept hash may ask for: parameters of a later release, and nobody's who has written into
/// the database.
const BLOCKS_MAX: usize = 64 * 1024;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Why something is no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too easy to guess.
    #[error("a password has at least {BYTES_MIN} bytes")]
    TooShort,
    /// Too long to hash.
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    /// Not everybody can type it.
    #[error("a password has no control characters")]
    Character,
}

/// Too many passwords wait to be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{QUEUE} passwords wait to be hashed already")]
pub struct Busy;

/// A password as it is hashed, whatever keyboard it was typed on (RFC 8265 §4.2: any space is a space, NFC). Never shown.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// Judges a new password.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        if text.len() > BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let is_space = |c: char| c.is_whitespace() && !c.is_ascii() && !c.is_control();
        let text: String = text.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect();
        match text.len() {
            ..BYTES_MIN => Err(PasswordError::TooShort),
            // Composing may add bytes, too.
            length if length > BYTES_MAX => Err(PasswordError::TooLong),
            _ if text.chars().any(char::is_control) => Err(PasswordError::Character),
            _ => Ok(Self(text)),
        }
    }
}

enum Job {
    Hash(Password, oneshot::Sender<String>),
    Verify(Password, Option<String>, oneshot::Sender<bool>),
}

/// The threads; they end with the last handle.
#[derive(Debug, Clone)]
pub struct Passwords(SyncSender<Job>);

impl Passwords {
    /// Starts the threads, and makes the hash that stands for those of unknown names.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start() -> io::Result<Self> {
        Self::with(THREADS)
    }

    fn with(threads: usize) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let dummy: Arc<str> = Hasher::default().hash(&rand::random::<u128>().to_string()).into();
        for _ in 0..threads {
            let (waiting, dummy) = (Arc::clone(&waiting), Arc::clone(&dummy));
            thread::Builder::new()
                .name("passwords".to_owned())
                .spawn(move || work(&waiting, &dummy))?;
        }
        Ok(Self(jobs))
    }

    /// The hash of a password, a PHC string.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn hash(&self, password: Password) -> Result<String, Busy> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Job::Hash(password, answer)).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }

    /// Whether `password` is the one of that hash. Without a hash it is not, after the same work: nobody learns by the
    /// time which names there are.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn verify(&self, password: Password, hash: Option<String>) -> Result<bool, Busy> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Job::Verify(password, hash, answer)).map_err(|_| Busy)?;
        answered.await.map_err(|_| Busy)
    }
}

fn work(waiting: &Mutex<Receiver<Job>>, dummy: &str) {
    let mut hasher = Hasher::default();
    loop {
        // Held while waiting, by one thread at a time; not while hashing.
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            // Whoever asked may be gone, and then nobody needs the work.
            Ok(Job::Hash(_, answer)) if answer.is_closed() => {}
            Ok(Job::Verify(.., answer)) if answer.is_closed() => {}
            Ok(Job::Hash(password, answer)) => {
                let _ = answer.send(hasher.hash(&password.0));
            }
            Ok(Job::Verify(password, hash, answer)) => {
                let is_right = hasher.verify(&password.0, hash.as_deref().unwrap_or(dummy));
                let _ = answer.send(is_right && hash.is_some());
            }
            Err(_) => return,
        }
    }
}

/// What one thread hashes with.
#[derive(Debug, Default)]
struct Hasher {
    blocks: Vec<Block>,
}

impl Hasher {
    fn hash(&mut self, password: &str) -> String {
        let salt: [u8; SALT_BYTES] = rand::random();
        let params = Params::default();
        let params_string = ParamsString::try_from(&params).expect("the defaults can be written");
        let hash = self
            .compute(password, &salt, Algorithm::default(), Version::default(), params, HASH_BYTES)
            .expect("the defaults fit");
        PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(Version::default().into()),
            params: params_string,
            salt: Some(Salt::new(&salt).expect("16 bytes are a salt")),
            hash: Some(hash),
        }
        .to_string()
    }

    /// A hash that cannot be read is nobody's.
    fn verify(&mut self, password: &str, hash: &str) -> bool {
        let Ok(kept) = PasswordHash::new(hash) else { return false };
        let (Some(salt), Some(output)) = (&kept.salt, &kept.hash) else { return false };
        let version = kept.version.map_or(Ok(Version::default()), Version::try_from);
        let algorithm = Algorithm::try_from(kept.algorithm.as_str());
        let (Ok(algorithm), Ok(version), Ok(params)) =
            (algorithm, version, Params::try_from(&kept))
        else {
            return false;
        };
        let computed = self.compute(password, salt, algorithm, version, params, output.len());
        // In constant time.
        computed.is_some_and(|computed| computed == *output)
    }

    fn compute(
        &mut self,
        password: &str,
        salt: &[u8],
        algorithm: Algorithm,
        version: Version,
        params: Params,
        bytes: usize,
    ) -> Option<Output> {
        let blocks = params.block_count();
        if blocks > BLOCKS_MAX {
            return None;
        }
        if self.blocks.len() < blocks {
            self.blocks.resize(blocks, Block::default());
        }
        let argon2 = Argon2::new(algorithm, version, params);
        let mut out = vec![0; bytes];
        let memory = &mut self.blocks[..blocks];
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut out, memory).ok()?;
        Output::new(&out).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use argon2::PasswordVerifier as _;

    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text).expect("a password")
    }

    #[test]
    fn what_is_typed_on_different_keyboards_is_one_password() {
        assert_eq!(password("cafe\u{301} au lait").0, password("café\u{A0}au\u{2003}lait").0);
        assert_ne!(password("Password").0, password("password").0);
        for (wrong, why) in [
            ("", PasswordError::TooShort),
            ("1234567", PasswordError::TooShort),
            ("e\u{301}23456", PasswordError::TooShort),
            ("12345678\n", PasswordError::Character),
            ("12345678\u{85}", PasswordError::Character),
            (&*"x".repeat(257), PasswordError::TooLong),
        ] {
            assert_eq!(Password::parse(wrong).expect_err(wrong), why);
        }
        assert!(Password::parse(&"x".repeat(256)).is_ok() && Password::parse("  8 bytes").is_ok());
        assert_eq!(format!("{:?}", password("very secret")), "Password");
    }

    #[tokio::test]
    async fn a_password_is_verified_by_its_hash_alone() {
        let passwords = Passwords::start().expect("threads start");
        let hash = passwords.hash(password("correct horse")).await.expect("not busy");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(passwords.hash(password("correct horse")).await, Ok(hash.clone()), "salted");
        let verify = async |text, hash: Option<&str>| {
            passwords.verify(password(text), hash.map(ToOwned::to_owned)).await.expect("not busy")
        };
        assert!(verify("correct horse", Some(&hash)).await);
        assert!(!verify("correct house", Some(&hash)).await);
        assert!(!verify("correct horse", None).await);
        for broken in [
            "",
            "x",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=4194304,t=2,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAA",
        ] {
            assert!(!verify("correct horse", Some(broken)).await, "{broken}");
        }
        // Another program's verdict, and another program's hash with other parameters.
        assert!(Argon2::default().verify_password(b"correct horse", &*hash).is_ok());
        let theirs = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let is_theirs = passwords.verify(password("password"), Some(theirs.to_owned())).await;
        assert_eq!(is_theirs, Ok(true));
    }

    #[tokio::test]
    async fn a_crowd_is_refused_and_the_rest_is_served() {
        let passwords = Passwords::with(1).expect("a thread starts");
        let hashes = (0..100).map(|_| passwords.hash(password("correct horse")));
        let done = futures_util::future::join_all(hashes).await;
        let served = done.iter().filter(|hash| hash.is_ok()).count();
        // One may be under way, besides those that wait.
        assert!((QUEUE..=QUEUE + 1).contains(&served), "{served}");
    }

    #[tokio::test]
    async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
        let passwords = Passwords::with(1).expect("a thread starts");
        let hash = passwords.hash(password("correct horse")).await.expect("not busy");
        let mut best = [Duration::MAX; 2];
        for round in 0..20 {
            let hash = (round % 2 == 0).then(|| hash.clone());
            let began = Instant::now();
            assert_eq!(passwords.verify(password("wrong horse"), hash).await, Ok(false));
            best[round % 2] = best[round % 2].min(began.elapsed());
        }
        // Without the work it would be some µs. The best of ten, as others use the same cores.
        let [known, unknown] = best.map(|time| time.as_secs_f64());
        assert!(unknown > known / 3.0 && known > unknown / 3.0, "{known} s and {unknown} s");
    }
}

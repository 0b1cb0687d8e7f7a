//! What operators read of a cluster that cannot be used, and whether waiting for it is of any use.

use std::{error::Error, io, sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, ServerError, cluster::NodeAddress};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    access::Access,
    trouble::{Trouble, is_passing, joined, one_line},
};

/// What operators read of a cluster that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One line: which node, what it does, and the way out.
    pub text: String,
    /// Waiting is of no use: somebody has to change something.
    pub is_final: bool,
}

/// What keeps this server out of Redis until somebody changes something there or in the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("it is a single Redis: start it with cluster-enabled yes")]
    NoCluster,
    #[error("it wants a password")]
    NoPassword,
    #[error("authentication failed: wrong user or password")]
    WrongPassword,
    #[error("the user may too little: docs/CLUSTER.md has the line for ACL SETUSER")]
    NoRights,
    #[error("it runs in protected mode and lets nobody in from other machines")]
    Protected,
    #[error("its certificate is not trusted: redis.ca_file names those that are")]
    Certificate,
}

impl Refused {
    fn of(problem: &Trouble) -> Option<Self> {
        let error = match problem {
            Trouble::Redis(error) => error,
            Trouble::At(_, problem) => return Self::of(problem),
            _ => return None,
        };
        // The client drops Redis' answer to a password.
        if error.kind() == ErrorKind::AuthenticationFailed {
            return Some(Self::WrongPassword);
        }
        match error.clone().into_server_errors() {
            Some(answers) => answers.iter().find_map(|(_, answer)| Self::by(answer)),
            None => is_about_certificates(error).then_some(Self::Certificate),
        }
    }

    fn by(answer: &ServerError) -> Option<Self> {
        let single = |text: &str| text.contains("cluster support disabled");
        match answer.code() {
            "NOAUTH" => Some(Self::NoPassword),
            "WRONGPASS" => Some(Self::WrongPassword),
            "NOPERM" => Some(Self::NoRights),
            "DENIED" => Some(Self::Protected),
            "ERR" if answer.details().is_some_and(single) => Some(Self::NoCluster),
            _ => None,
        }
    }
}

/// Whether TLS failed because of a certificate: the node's, or one of those to trust.
fn is_about_certificates(error: &RedisError) -> bool {
    // The client keeps a cause in an `Arc`, and that `Arc` is what it returns as the source.
    let shared =
        error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let Some(cause) = shared else { return false };
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).unwrap_or(cause);
    match inner.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => true,
        Some(_) => false,
        // The client reports a file that it cannot read as mere text.
        None => inner.to_string().contains("certificate"),
    }
}

/// The meaning of a problem that waiting does not solve.
pub fn meaning(problem: &Trouble) -> Option<Explanation> {
    let refused = Refused::of(problem)?;
    Some(Explanation { text: format!("{refused} ({})", bare(problem)), is_final: true })
}

/// What is wrong with the nodes of `access`, as far as their answers or a look at who answers there tell.
pub async fn explain(access: &Access, problem: &Trouble) -> Explanation {
    if let Some(explanation) = meaning(problem) {
        return explanation;
    }
    let mut told = Vec::new();
    // Others have been understood, and lack something.
    if is_passing(problem) || is_gibberish(problem) {
        for node in &access.seeds {
            let speaker = Speaker::at(access.reached(node), access.connect_timeout).await;
            told.push(speaker.judge(node, access));
        }
    }
    let is_final = !told.is_empty() && told.iter().flatten().all(|told| told.is_final);
    match told.iter().position(Option::is_some) {
        Some(at) => {
            let text = told.swap_remove(at).map(|told| told.text).unwrap_or_default();
            // Another one that is not there yet may be the right one.
            Explanation { text, is_final: is_final && told.iter().all(Option::is_some) }
        }
        None => Explanation { text: bare(problem), is_final: false },
    }
}

fn is_gibberish(problem: &Trouble) -> bool {
    match problem {
        Trouble::Redis(error) => error.kind() == ErrorKind::Parse,
        Trouble::At(_, problem) => is_gibberish(problem),
        _ => false,
    }
}

/// A problem without the words that the client's errors begin with.
fn bare(problem: &Trouble) -> String {
    match problem {
        Trouble::Redis(error) => error.detail().map_or_else(|| one_line(problem), joined),
        _ => one_line(problem),
    }
}

/// Who answers at an address.
#[derive(Debug, PartialEq, Eq)]
enum Speaker {
    /// Redis, in the clear.
    Redis,
    /// Somebody who speaks TLS.
    Tls,
    /// Somebody else; how the answer begins.
    Other(String),
    /// Somebody who hangs up at once.
    HangsUp,
    /// Nobody, or not in time.
    Nobody,
}

/// A ping as people type it, and the empty line that ends a request of HTTP. Redis passes over that.
const GREETING: &[u8] = b"PING\r\n\r\n";

impl Speaker {
    async fn at(address: &NodeAddress, patience: Duration) -> Self {
        let asked = Self::greeted(address, patience, GREETING).await;
        // A Redis that speaks TLS hangs up on whatever is none, without a word.
        if asked == Self::HangsUp
            && let Some(hello) = hello()
            && Self::greeted(address, patience, &hello).await == Self::Tls
        {
            return Self::Tls;
        }
        asked
    }

    async fn greeted(address: &NodeAddress, patience: Duration, greeting: &[u8]) -> Self {
        let asked = async {
            let mut stream = TcpStream::connect((address.host(), address.port())).await?;
            stream.write_all(greeting).await?;
            let mut answer = [0; 24];
            let read = stream.read(&mut answer).await;
            Ok::<_, io::Error>(read.map_or(Self::HangsUp, |read| Self::of(&answer[..read])))
        };
        timeout(patience, asked).await.ok().and_then(Result::ok).unwrap_or(Self::Nobody)
    }

    fn of(answer: &[u8]) -> Self {
        match answer {
            [] => Self::HangsUp,
            [b'+' | b'-', ..] => Self::Redis,
            // A record of any version that holds an alert or the server's hello (RFC 8446 §5.1).
            [21 | 22, 3, ..] => Self::Tls,
            other => {
                let shown = String::from_utf8_lossy(other);
                Self::Other(shown.lines().next().unwrap_or_default().trim().to_owned())
            }
        }
    }

    fn judge(self, node: &NodeAddress, access: &Access) -> Option<Explanation> {
        let (host, setting) = (node, access.setting);
        let (text, is_final) = match (self, &access.tls) {
            (Self::Redis, Some(_)) => {
                (format!("{host} ({setting}) speaks no TLS: write redis:// for rediss://"), true)
            }
            (Self::Tls, None) => {
                (format!("{host} ({setting}) speaks TLS: write rediss://{host}"), true)
            }
            (Self::HangsUp, None) => {
                let text = format!(
                    "{host} ({setting}) hangs up without an answer: if it speaks TLS, write rediss://{host}"
                );
                (text, false)
            }
            (Self::Other(answer), _) => {
                (format!("{host} ({setting}) is no Redis: it answers {answer:?}"), true)
            }
            _ => return None,
        };
        Some(Explanation { text, is_final })
    }
}

/// How TLS begins; `None` where this process has no cryptography.
fn hello() -> Option<Vec<u8>> {
    let provider = rustls::crypto::CryptoProvider::get_default()?.clone();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().ok()?;
    let mut hello = Vec::new();
    rustls::ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    Some(hello)
}

#[cfg(test)]
mod tests {
    use super::{
        super::trouble::tests::{answer, at, broken},
        *,
    };

    #[test]
    fn what_only_people_can_change_is_not_waited_for() {
        for (told, refused) in [
            ("NOAUTH Authentication required.", Refused::NoPassword),
            ("WRONGPASS invalid username-password pair.", Refused::WrongPassword),
            ("NOPERM No permissions to access a channel", Refused::NoRights),
            ("DENIED Redis is running in protected mode", Refused::Protected),
            ("ERR This instance has cluster support disabled", Refused::NoCluster),
        ] {
            let told = answer(&format!("-{told}\r\n"));
            assert_eq!(Refused::of(&told), Some(refused), "{told}");
            let meant = meaning(&at(told)).expect("a meaning");
            let begins = format!("{refused} (a:7: ");
            assert!(meant.is_final && meant.text.starts_with(&begins), "{}", meant.text);
        }
        let error = (ErrorKind::AuthenticationFailed, "Password authentication failed");
        assert_eq!(Refused::of(&RedisError::from(error).into()), Some(Refused::WrongPassword));
        for told in ["-CLUSTERDOWN The cluster is down\r\n", "-ERR unknown command\r\n"] {
            assert_eq!(meaning(&answer(told)), None);
        }
    }

    /// The way to the cause is the client's own affair: a later client may keep it elsewhere.
    #[test]
    fn a_certificate_is_found_among_what_keeps_tls_from_beginning() {
        let tls = |error: rustls::Error| broken(io::Error::new(io::ErrorKind::InvalidData, error));
        let unknown = rustls::Error::from(rustls::CertificateError::UnknownIssuer);
        let file = io::Error::other("Unable to parse root certificate PEM: no end");
        for problem in [tls(unknown.clone()), RedisError::from(unknown).into(), broken(file)] {
            assert_eq!(Refused::of(&problem), Some(Refused::Certificate), "{problem}");
        }
        for problem in [tls(rustls::Error::DecryptError), broken(io::ErrorKind::TimedOut)] {
            assert_eq!(Refused::of(&problem), None, "{problem}");
        }
    }

    #[test]
    fn who_answers_is_told_by_how_the_answer_begins() {
        assert_eq!(Speaker::of(b"+PONG\r\n"), Speaker::Redis);
        assert_eq!(Speaker::of(b"-NOAUTH Authentication required."), Speaker::Redis);
        assert_eq!(Speaker::of(&[21, 3, 1, 0, 2, 2, 70]), Speaker::Tls);
        assert_eq!(Speaker::of(&[22, 3, 3, 0, 122, 2]), Speaker::Tls);
        assert_eq!(Speaker::of(b""), Speaker::HangsUp);
        let http = Speaker::Other("HTTP/1.1 400 Bad Request".into());
        assert_eq!(Speaker::of(b"HTTP/1.1 400 Bad Request"), http);
    }

    #[test]
    fn an_error_of_several_lines_is_told_in_one() {
        let error = RedisError::from((ErrorKind::Parse, "Redis", "a\nb\r\n  c".to_owned()));
        assert_eq!(bare(&error.clone().into()), "a b  c");
        assert_eq!(one_line(&at(error.into())), "a:7: Redis - Parse: a b  c");
    }
}

//! What an error of Redis means: whether it passes, whether waiting for a cluster is of any use, and what
//! operators are told, in one line.
//!
//! | Redis says | because | then |
//! | --- | --- | --- |
//! | `MOVED`, `ASK`, `TRYAGAIN` | a slot is moving or has moved | again, there |
//! | `CLUSTERDOWN` | a failover is under way, or slots have no master | again |
//! | `READONLY` | a master has become a replica | again: its heir is asked then |
//! | `MASTERDOWN` | a replica has lost its master | again |
//! | `LOADING` | a node reads back what it kept | again |
//! | `UNBLOCKED` | `WAIT` was cut short because a master has become a replica | again |
//! | `NOREPLICAS` | `min-replicas-to-write`: nobody follows a new master yet, or replicas lag | again |
//! | `BUSY` | somebody's script has been running for seconds: it ends or is killed | again |
//! | `MISCONF` | a snapshot or the append-only file could not be written: the next one may be | again |
//! | `OOM` | `maxmemory` is reached, maybe by buffers that are soon gone | again |
//! | `ERR max number of clients reached` | connections are short until others are closed | again |
//! | nothing; the connection broke | a node died, hangs, or cannot be reached | again |
//! | `NOSCRIPT` | that node does not know the script yet | again at once, with its text |
//! | `NOAUTH`, `WRONGPASS`, `NOPERM`, `DENIED` | credentials, rights, protected mode | refused |
//! | `UNKILLABLE`, `NOTBUSY` | answers to `SCRIPT KILL`, which is never sent | refused |
//! | `WRONGTYPE`, `CROSSSLOT`, `EXECABORT`, `ERR` | somebody else's keys, or a mistake of this server | refused |
//! | whatever is not here | a later Redis | refused |
//!
//! *Again*: until `redis.commit_timeout_ms` are over for a check, and its deadline for everything else. What
//! may pass is waited for because a wait costs little: checks that follow one which waited in vain are refused
//! at once. A plain client that is refused loses its connection. *Refused*: at once, because only people can
//! change it. Either way the key range is probed until it takes checks again.

use std::{sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, ServerError, cluster::NodeAddress};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::access::Access;

/// Codes of answers that may be others in a moment.
const PASSING: [&str; 12] = [
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "READONLY",
    "MASTERDOWN",
    "LOADING",
    "UNBLOCKED",
    "NOREPLICAS",
    "BUSY",
    "MISCONF",
    "OOM",
];

/// Whether trying again may help.
pub fn is_passing(error: &RedisError) -> bool {
    match error.clone().into_server_errors() {
        // Of a pipeline: one answer for each command that failed.
        Some(answers) => answers.iter().any(|(_, answer)| passes(answer)),
        None => {
            matches!(error.kind(), ErrorKind::Io | ErrorKind::ClusterConnectionNotFound)
                || error.is_timeout()
                || error.is_connection_dropped()
        }
    }
}

fn passes(answer: &ServerError) -> bool {
    let crowded = |text: &str| text.starts_with("max number of clients reached");
    PASSING.contains(&answer.code())
        || (answer.code() == "ERR" && answer.details().is_some_and(crowded))
}

/// Whether the script has to be sent once more, with its text.
pub fn is_unknown_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// An error in one line, whatever is in it.
pub fn one_line(error: &RedisError) -> String {
    error.to_string().split(['\r', '\n']).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// What operators are told of a cluster that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One line: which node, what it does, and the way out.
    pub text: String,
    /// Waiting is of no use: somebody has to change something.
    pub is_final: bool,
}

/// What can be read from the answer itself: its sign, and what it means to `setting`.
const MEANINGS: [(&str, &str); 8] = [
    ("cluster support disabled", "it is a single Redis: start it with cluster-enabled yes"),
    ("NOAUTH", "it wants a password"),
    ("WRONGPASS", "authentication failed: wrong user or password"),
    ("AuthenticationFailed", "authentication failed: wrong user or password"),
    ("NOPERM", "the user may too little: docs/CLUSTER.md has the line for ACL SETUSER"),
    // The client's own name of the same.
    ("NoPerm", "the user may too little: docs/CLUSTER.md has the line for ACL SETUSER"),
    ("DENIED", "it runs in protected mode and lets nobody in from other machines"),
    ("certificate", "its certificate is not trusted: redis.ca_file names those that are"),
];

/// The meaning of a problem that waiting does not solve.
pub fn meaning(problem: &RedisError) -> Option<Explanation> {
    let told = one_line(problem);
    let (_, meaning) = MEANINGS.iter().find(|(sign, _)| told.contains(sign))?;
    Some(Explanation { text: format!("{meaning} ({})", bare(problem)), is_final: true })
}

/// What is wrong with the nodes of `access`, as far as their answers or a look at who answers there tell.
pub async fn explain(access: &Access, problem: &RedisError) -> Explanation {
    if let Some(explanation) = meaning(problem) {
        return explanation;
    }
    let mut told = Vec::new();
    // Others have been understood, and lack something.
    if matches!(problem.kind(), ErrorKind::Parse | ErrorKind::Io) {
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

/// An error without the words that the client's errors begin with.
fn bare(problem: &RedisError) -> String {
    let detail = problem.detail().map_or_else(|| one_line(problem), str::to_owned);
    detail.split(['\r', '\n']).map(str::trim).collect::<Vec<_>>().join(" ")
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
            Ok::<_, std::io::Error>(read.map_or(Self::HangsUp, |read| Self::of(&answer[..read])))
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
    use super::*;

    fn answer(bytes: &str) -> RedisError {
        let value = redis::parse_redis_value(bytes.as_bytes()).expect("RESP");
        value.extract_error().expect_err("an error")
    }

    /// Every row of the table above, in Redis' own words.
    #[test]
    fn what_passes_by_itself_is_tried_again_and_nothing_else() {
        for (told, passing) in [
            ("MOVED 7 127.0.0.1:7001", true),
            ("ASK 7 127.0.0.1:7001", true),
            ("TRYAGAIN Multiple keys request during rehashing of slot", true),
            ("CLUSTERDOWN Hash slot not served", true),
            ("READONLY You can't write against a read only replica.", true),
            ("MASTERDOWN Link with MASTER is down", true),
            ("LOADING Redis is loading the dataset in memory", true),
            ("UNBLOCKED force unblock from blocking operation", true),
            ("NOREPLICAS Not enough good replicas to write.", true),
            ("BUSY Redis is busy running a script.", true),
            ("MISCONF Errors writing to the AOF file: No space left on device", true),
            ("OOM command not allowed when used memory > 'maxmemory'.", true),
            ("ERR max number of clients reached", true),
            ("NOSCRIPT No matching script.", false),
            ("NOAUTH Authentication required.", false),
            ("WRONGPASS invalid username-password pair or user is disabled.", false),
            ("NOPERM this user has no permissions to run the 'evalsha' command", false),
            ("DENIED Redis is running in protected mode", false),
            ("UNKILLABLE Sorry the script already executed write commands", false),
            ("NOTBUSY No scripts in execution right now.", false),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", false),
            ("CROSSSLOT Keys in request don't hash to the same slot", false),
            ("EXECABORT Transaction discarded because of previous errors.", false),
            ("ERR unknown command", false),
            ("SOMETHING new", false),
        ] {
            assert_eq!(is_passing(&answer(&format!("-{told}\r\n"))), passing, "{told}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(is_passing(&broken.into()));
        assert!(is_passing(&std::io::Error::from(std::io::ErrorKind::TimedOut).into()));
    }

    #[test]
    fn what_only_people_can_change_is_not_waited_for() {
        for told in [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM No permissions to access a channel",
            "DENIED Redis is running in protected mode",
            "ERR This instance has cluster support disabled",
        ] {
            let meant = meaning(&answer(&format!("-{told}\r\n")));
            assert!(meant.is_some_and(|meant| meant.is_final), "{told}");
        }
        assert_eq!(meaning(&answer("-CLUSTERDOWN The cluster is down\r\n")), None);
    }

    /// The table of the module documents each of them.
    #[test]
    fn the_table_has_every_code_that_passes() {
        let table: Vec<&str> =
            include_str!("trouble.rs").lines().filter(|line| line.starts_with("//! | ")).collect();
        for code in PASSING {
            let name = format!("`{code}`");
            let row = table.iter().find(|row| row.contains(&name));
            assert!(row.is_some_and(|row| row.ends_with("| again |") || row.contains("| again")));
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
        assert_eq!(bare(&error), "a b  c");
        assert!(!one_line(&error).contains('\n'));
    }
}

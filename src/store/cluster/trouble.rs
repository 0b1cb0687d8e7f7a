//! What can go wrong with a cluster, and whether it passes.
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

use deadpool_redis::PoolError;
use redis::{ErrorKind, ParsingError, RedisError, ServerError, cluster::NodeAddress};

/// Why a cluster has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// What Redis answered, or why the client got no answer.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Why this node could not say who serves what.
    #[error("{0}: {1}")]
    At(NodeAddress, Box<Trouble>),
    /// The pool of this node gave no connection.
    #[error("no connection in time: {0}: {1}")]
    NoConnection(NodeAddress, PoolError),
    /// A line has lost every node.
    #[error("not connected to any node of Redis")]
    NotConnected,
    /// There is nobody to ask.
    #[error("no address of Redis")]
    NoAddress,
    /// Only so many hash slots have masters.
    #[error("only {0} of 16384 hash slots are served")]
    Incomplete(u32),
    /// The hash slot of a key has no master.
    #[error("the cluster is incomplete: nobody serves hash slot {0}")]
    Unserved(u16),
    /// A batch is on its master, and on too few replicas.
    #[error("too few copies: {have} of {wanted} replicas have it")]
    TooFewCopies {
        /// Those that have it.
        have: i64,
        /// `redis.wait_replicas`
        wanted: u32,
    },
    /// A script was for another epoch than this, which the key range has by now.
    #[error("the key range is of epoch {0:?} by now")]
    Reset(Option<u64>),
    /// What is in memory is about to be forgotten.
    #[error("the board is reset")]
    Resetting,
    /// A key range was not made for this board.
    #[error("another geometry: {0}")]
    AnotherGeometry(String),
    /// A key range is made anew again and again.
    #[error("no agreement: a key range changes as fast as it is read")]
    NoAgreement,
    /// Redis answered something that it never should.
    #[error("{0}")]
    Unexpected(String),
}

impl From<ParsingError> for Trouble {
    fn from(error: ParsingError) -> Self {
        Self::Redis(error.into())
    }
}

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
pub fn is_passing(problem: &Trouble) -> bool {
    let error = match problem {
        Trouble::Redis(error) => error,
        Trouble::At(_, problem) => return is_passing(problem),
        Trouble::NoConnection(..)
        | Trouble::NotConnected
        | Trouble::Unserved(_)
        | Trouble::NoAgreement => return true,
        Trouble::NoAddress
        | Trouble::Incomplete(_)
        | Trouble::TooFewCopies { .. }
        | Trouble::Reset(_)
        | Trouble::Resetting
        | Trouble::AnotherGeometry(_)
        | Trouble::Unexpected(_) => return false,
    };
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

/// A problem in one line, whatever is in it.
pub fn one_line(problem: &Trouble) -> String {
    joined(&problem.to_string())
}

/// The lines of `text` as one.
pub fn joined(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub mod tests {
    use std::io;

    use super::*;

    pub fn answer(bytes: &str) -> Trouble {
        let value = redis::parse_redis_value(bytes.as_bytes()).expect("RESP");
        value.extract_error().expect_err("an error").into()
    }

    pub fn broken(error: impl Into<io::Error>) -> Trouble {
        Trouble::Redis(error.into().into())
    }

    pub fn at(problem: Trouble) -> Trouble {
        Trouble::At(NodeAddress::new("a", 7), Box::new(problem))
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
            let told = format!("-{told}\r\n");
            assert_eq!(is_passing(&answer(&told)), passing, "{told}");
            assert_eq!(is_passing(&at(answer(&told))), passing, "{told}");
        }
        assert!(is_passing(&broken(io::ErrorKind::ConnectionReset)));
        assert!(is_passing(&broken(io::ErrorKind::TimedOut)));
    }

    #[test]
    fn a_problem_that_the_server_finds_by_itself_passes_if_redis_may_solve_it() {
        let slow = PoolError::Timeout(deadpool_redis::TimeoutType::Wait);
        for (problem, passing) in [
            (Trouble::NoConnection(NodeAddress::new("a", 7), slow), true),
            (Trouble::NotConnected, true),
            (Trouble::Unserved(7), true),
            (Trouble::NoAgreement, true),
            (Trouble::NoAddress, false),
            (Trouble::Incomplete(7), false),
            (Trouble::TooFewCopies { have: 0, wanted: 1 }, false),
            (Trouble::Reset(Some(2)), false),
            (Trouble::Resetting, false),
            (Trouble::AnotherGeometry(String::new()), false),
            (Trouble::Unexpected(String::new()), false),
            (ParsingError::from("no number").into(), false),
        ] {
            assert_eq!(is_passing(&problem), passing, "{problem:?}");
            assert_eq!(is_passing(&at(problem)), passing);
        }
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
}

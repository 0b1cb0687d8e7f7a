//! What the server tells at its metrics, by blocking calls.

use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server that is too busy to answer within this is one whose figures nobody needs.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than all metrics of any server take.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The value of a counter without labels, from the metrics at `host:port`. Like `procfs`, a server that tells nothing
/// gives `None`, never an error: a run must not fail for it.
pub(crate) fn counter(address: &str, name: &str) -> Option<f64> {
    value(&fetch(address).ok()?, name)
}

/// The whole answer of the metrics at `host:port`.
pub(crate) fn fetch(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") {
        Ok(answer)
    } else {
        Err(Error::other(answer.lines().next().unwrap_or("no answer").to_owned()))
    }
}

/// The value without labels that has this whole name.
pub(crate) fn value(answer: &str, name: &str) -> Option<f64> {
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let answer =
            "HTTP/1.1 200 OK\r\n\r\n# TYPE a counter\na_total_b 1\na_total{x=\"y\"} 2\na_total 3\n";
        assert_eq!(value(answer, "a_total"), Some(3.0));
        assert_eq!(value(answer, "b_total"), None);
        assert_eq!(counter("127.0.0.1:1", "a_total"), None, "nobody listens there");
    }
}

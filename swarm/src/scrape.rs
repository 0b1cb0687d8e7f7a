//! What the server tells at its metrics, by blocking calls.

use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A server that is too busy to answer within this is one whose figures nobody needs.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than all metrics of any server take.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// The value of a counter, summed over boards, from the metrics at `host:port`. Like `usage`, a server that tells nothing
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

/// The value that has this whole name, and no label but maybe the board's; of several boards the sum.
pub(crate) fn value(answer: &str, name: &str) -> Option<f64> {
    let values = answer.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let of_a_board = || rest.strip_prefix("{board=\"")?.split_once('"')?.1.strip_prefix("} ");
        rest.strip_prefix(' ').or_else(of_a_board)?.trim().parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
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
        let boards =
            "a{board=\"x\"} 3\na{board=\"y\"} 4\na{board=\"x\",code=\"1\"} 9\na_b{board=\"x\"} 7\n";
        assert_eq!(value(boards, "a"), Some(7.0), "of both boards");
        assert_eq!(counter("127.0.0.1:1", "a_total"), None, "nobody listens there");
    }
}

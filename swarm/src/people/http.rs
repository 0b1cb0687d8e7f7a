//! Requests as the page sends them: JSON out and in, with a cookie and the server's own origin, one a connection.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::target::Target;

/// Hashing passwords takes its time when many register at once.
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The cookie that it sets, as `name=value`.
    pub(crate) cookie: Option<String>,
}

/// Sends a request; a body makes it a POST.
pub(crate) async fn ask(
    target: &Target,
    path: &str,
    cookie: &str,
    body: Option<&Value>,
) -> Result<Answer> {
    timeout(PATIENCE, exchange(target, path, cookie, body))
        .await
        .with_context(|| format!("{path}: no answer in {} s", PATIENCE.as_secs()))?
        .with_context(|| path.to_owned())
}

async fn exchange(
    target: &Target,
    path: &str,
    cookie: &str,
    body: Option<&Value>,
) -> Result<Answer> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nOrigin: {}\r\nCookie: {cookie}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        target.host,
        target.origin,
        body.len()
    );
    let mut stream = TcpStream::connect(target.addr).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).await?;
    read(&String::from_utf8(bytes)?)
}

fn read(answer: &str) -> Result<Answer> {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { bail!("no HTTP answer") };
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let cookie = lines.filter_map(|line| line.split_once(": ")).find_map(|(name, value)| {
        let is_set = name.eq_ignore_ascii_case("set-cookie");
        is_set.then(|| value.split(';').next().unwrap_or_default().to_owned())
    });
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body)? };
    Ok(Answer { status: status.context("no HTTP status")?, body, cookie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_a_cookie_and_a_body() {
        let answer = "HTTP/1.1 200 OK\r\nset-cookie: a=b; Path=/\r\n\r\n{\"x\":1}";
        let answer = read(answer).unwrap();
        assert_eq!((answer.status, answer.cookie.as_deref()), (200, Some("a=b")));
        assert_eq!(answer.body["x"], 1);
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n").unwrap().body, Value::Null);
        assert!(read("nonsense").is_err());
    }
}

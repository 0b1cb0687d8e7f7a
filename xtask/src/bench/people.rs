//! A team with many members, made through the doors that everybody uses: one account makes it, everybody else is anonymous
//! and joins by its invite.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};

/// Far more than any answer takes, so that only a hang fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who joins at the same time. A database that is one file takes one after the other anyway.
const AT_ONCE: usize = 4;

/// A longer answer is none of ours.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A team.
#[derive(Debug)]
pub struct Team {
    /// `team:ID`.
    pub address: String,
    /// One member each, as `Cookie` headers have it; its maker is the first.
    pub cookies: Vec<String>,
}

impl Team {
    /// Makes one with so many members on the node at `players`.
    pub fn make(players: SocketAddr, members: usize) -> Result<Self> {
        let mut caller = Caller::connect(players)?;
        let maker = caller.newcomer()?;
        let account = json!({ "name": "maker", "password": "a long password" });
        caller.post("/me/register", Some(&maker), &account)?;
        let wanted = json!({ "name": "Benchmark", "colour": "#cc3311" });
        let team = caller.post("/teams", Some(&maker), &wanted)?.body;
        let word = |name: &str| team[name].as_str().with_context(|| format!("no {name}: {team}"));
        let (address, invite) = (format!("team:{}", word("id")?), word("invite")?.to_owned());
        let mut cookies = vec![maker];
        let others = members.saturating_sub(1);
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                let share = others / AT_ONCE + usize::from(thread < others % AT_ONCE);
                let invite = invite.clone();
                thread::spawn(move || join(players, &invite, share))
            })
            .collect();
        for thread in threads {
            cookies.extend(thread.join().map_err(|_| anyhow!("a joining thread panicked"))??);
        }
        ensure!(cookies.len() == members.max(1), "{} of {members} joined", cookies.len());
        Ok(Self { address, cookies })
    }
}

/// So many newcomers join by `invite`.
fn join(players: SocketAddr, invite: &str, count: usize) -> Result<Vec<String>> {
    let mut caller = Caller::connect(players)?;
    let join = |_| {
        let cookie = caller.newcomer()?;
        caller.post("/teams/join", Some(&cookie), &json!({ "invite": invite }))?;
        Ok(cookie)
    };
    (0..count).map(join).collect()
}

/// A connection for one request after the other, and the next one where the server ends it.
struct Caller {
    stream: BufReader<TcpStream>,
    to: SocketAddr,
}

struct Answer {
    /// Name and value of the cookie that it sets.
    cookie: Option<String>,
    body: Value,
    /// The server ends the connection after it.
    is_last: bool,
}

impl Caller {
    fn connect(to: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream), to })
    }

    /// The cookie of somebody new.
    fn newcomer(&mut self) -> Result<String> {
        self.post("/me", None, &json!({}))?.cookie.context("/me gives no cookie")
    }

    fn post(&mut self, path: &str, cookie: Option<&str>, body: &Value) -> Result<Answer> {
        let (to, body) = (self.to, body.to_string());
        let cookie = cookie.map_or_else(String::new, |cookie| format!("Cookie: {cookie}\r\n"));
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {to}\r\nOrigin: http://{to}\r\n{cookie}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let answer = self.answer().with_context(|| format!("POST {path}"))?;
        if answer.is_last {
            *self = Self::connect(to)?;
        }
        Ok(answer)
    }

    fn answer(&mut self) -> Result<Answer> {
        let head = self.line()?;
        let (mut length, mut cookie, mut is_last) = (0, None, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "connection" => is_last = value.trim().eq_ignore_ascii_case("close"),
                "set-cookie" => cookie = value.trim().split(';').next().map(str::to_owned),
                _ => {}
            }
        }
        ensure!(length <= BODY_BYTES_MAX, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status == "200", "{head}: {}", String::from_utf8_lossy(&body));
        Ok(Answer { cookie, body: serde_json::from_slice(&body)?, is_last })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the connection has ended");
        Ok(line.trim_end().to_owned())
    }
}

//! The admin listener of a running server, asked over plain HTTP/1.1, blocking.
//!
//! Every wait is bounded: no answer or no bytes for a while is an error, and so is a body without
//! its end.

use std::{
    fs::File,
    future::poll_fn,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use anyhow::{Context, Error, Result, anyhow, bail};
use bytes::{Buf, Bytes};
use clap::{Args, ValueHint};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1,
    header::{self, HeaderValue},
    http::request,
};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};

use super::WrongArgument;
use crate::{
    backup::MEDIA_TYPE,
    settings::{self, Settings},
};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest silence.
const SILENCE: Duration = Duration::from_secs(30);

/// Bytes of an upload in memory.
const PIECE_BYTES: usize = 64 * 1024;

/// Most of an error's text that is shown.
const REASON_BYTES: u64 = 4096;

/// Most of a short answer that is read: `/readyz` takes a few hundred bytes.
const SHORT_BYTES: usize = 16 * 1024;

/// Most of an answer in JSON: 5,000 blocks with long reasons take 3 MB.
const JSON_BYTES: usize = 8 * 1024 * 1024;

/// The variable that holds the token for a server that asks for one. No flag: other users of a machine see those.
const TOKEN: &str = "BILLION_TOKEN";

/// Which server a command asks.
#[derive(Debug, Args)]
pub struct Asked {
    /// The admin listener of a server of the board, http://host:port [default: admin.address of the settings]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    from: Option<String>,
}

impl Asked {
    /// Its listener.
    pub fn remote(&self, settings: &Settings) -> Result<Remote> {
        match &self.from {
            Some(url) => Remote::at(url),
            None => Remote::to(local_address(&settings.admin.address)?),
        }
    }
}

/// A running server's admin listener.
pub struct Remote {
    runtime: Rc<Runtime>,
    authority: String,
    /// `Authorization`, if there is a token.
    authorization: Option<HeaderValue>,
    /// The store it has to run on.
    meant: Option<Meant>,
}

/// How to say which store a server has to run on. One that runs on another refuses.
pub enum Meant {
    /// By the identity of its file ([`identity`](crate::store::embedded::identity)).
    Identity(String),
    /// By its file's name from the root, where there is no file.
    Name(PathBuf),
}

impl Remote {
    /// The listener at `url`, `http://host:port`.
    pub fn at(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            // What stands before an @ may be a password.
            let shown = if url.contains('@') { "the URL" } else { url };
            WrongArgument(format!(
                "{shown:?}: {what}: write http://host:port, as admin.address of that server says"
            ))
        };
        let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
        let authority = uri.authority().filter(|_| uri.path().len() <= 1);
        let authority = authority.ok_or_else(|| wrong("no address of a server"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("the admin listener knows no users").into());
        }
        if uri.scheme_str() != Some("http") || authority.port().is_none() {
            return Err(wrong("no address of an admin listener").into());
        }
        Self::new(authority.to_string(), None)
    }

    /// The listener that is bound to `address`, whichever store its server runs on.
    pub fn to(address: SocketAddr) -> Result<Self> {
        Self::new(reachable(address).to_string(), None)
    }

    /// The listener that `admin.address` describes, on this machine.
    pub fn local(admin: &str, meant: Meant) -> Result<Self> {
        Self::new(reachable(local_address(admin)?).to_string(), Some(meant))
    }

    /// Whether anybody listens there.
    pub fn is_there(&self) -> bool {
        let connecting =
            async { timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority)).await };
        matches!(self.runtime.block_on(connecting), Ok(Ok(_)))
    }

    /// Asks for what any server answers at once and in short: status and text, all of it within `limit`. A server
    /// that trickles has not answered.
    pub fn ask_briefly(&self, path: &str, limit: Duration) -> Result<(StatusCode, String)> {
        let request = self.request(Method::GET, path).body(Upload::nothing())?;
        self.exchange_briefly(request, SHORT_BYTES, limit)
    }

    fn exchange_briefly(
        &self,
        request: Request<Upload>,
        most_bytes: usize,
        limit: Duration,
    ) -> Result<(StatusCode, String)> {
        let answer = async {
            let response = self.exchange(request).await?;
            let status = response.status();
            let (mut body, mut text) = (response.into_body(), Vec::new());
            while text.len() < most_bytes
                && let Some(frame) = poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await
            {
                text.extend_from_slice(&frame?.into_data().unwrap_or_default());
            }
            Ok((status, String::from_utf8(text).context("the answer is not text")?))
        };
        let answer = self.runtime.block_on(async { timeout(limit, answer).await });
        answer.with_context(|| format!("it took longer than {limit:?}"))?
    }

    /// The identity of the file of the store that is meant, as the server there has it open; `None` if it runs on
    /// another, or none answers.
    pub fn store(&self) -> Option<String> {
        let Ok((status, identity)) = self.ask_briefly("/store", CONNECT_TIMEOUT) else {
            if self.is_there() {
                log::warn!(
                    "{} (admin.address) takes connections and does not say which store it has open",
                    self.name()
                );
            }
            return None;
        };
        if status == StatusCode::UNAUTHORIZED && detail(&identity).is_some() {
            log::warn!("{} (admin.address) asks for a token: set {TOKEN}", self.name());
        }
        let identity = identity.trim_end();
        // Somebody else may listen there who answers to everything.
        (status.is_success() && is_identity(identity)).then(|| identity.to_owned())
    }

    fn answer(&self, response: Response<Incoming>) -> Answer {
        Answer {
            runtime: self.runtime.clone(),
            incoming: response.into_body(),
            piece: Bytes::new(),
        }
    }

    fn new(authority: String, meant: Option<Meant>) -> Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = Rc::new(runtime.enable_all().build()?);
        let authorization = std::env::var(TOKEN).ok().map(|token| {
            let value = HeaderValue::try_from(format!("Bearer {}", token.trim()));
            value.map_err(|_| WrongArgument(format!("{TOKEN} holds what cannot be a token")))
        });
        Ok(Self { runtime, authority, authorization: authorization.transpose()?, meant })
    }

    /// A request for `path`, by whoever runs this command.
    fn request(&self, method: Method, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(self.path(path));
        let request = request.header(header::HOST, &self.authority);
        self.authorization
            .iter()
            .fold(request, |request, value| request.header(header::AUTHORIZATION, value))
    }

    /// Where it is.
    pub fn name(&self) -> String {
        format!("http://{}", self.authority)
    }

    fn path(&self, path: &str) -> String {
        let meant = match &self.meant {
            None => return path.to_owned(),
            Some(Meant::Identity(store)) => format!("store={store}"),
            Some(Meant::Name(file)) => {
                let file = file.as_os_str().as_encoded_bytes();
                format!("file={}", percent_encode(file, NON_ALPHANUMERIC))
            }
        };
        let sign = if path.contains('?') { '&' } else { '?' };
        format!("{path}{sign}{meant}")
    }

    /// Asks for `path`.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.ask(self.request(Method::GET, path).body(Upload::nothing())?)
    }

    /// Sends `body`, if there is one, and returns the answer, both JSON; all of it within `limit`.
    ///
    /// # Errors
    /// If there is no answer, or it is an error: what it says.
    pub fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Value> {
        let mut request = self.request(method, path);
        let mut upload = Upload::nothing();
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json");
            upload = Upload::of(body.to_string().into());
        }
        let asked = self.exchange_briefly(request.body(upload)?, JSON_BYTES, limit);
        let (status, text) = asked.with_context(|| format!("no answer from {}", self.name()))?;
        if !status.is_success() {
            let token = if status == StatusCode::UNAUTHORIZED {
                format!(" (set {TOKEN})")
            } else {
                String::new()
            };
            bail!("the server at {} answered {status}: {}{token}", self.name(), reason(&text));
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{} did not answer as a server does", self.name()))
    }

    /// Sends a backup to `path`.
    pub fn post(&self, path: &str, file: File) -> Result<Answer> {
        let bytes = file.metadata()?.len();
        let request = self.request(Method::POST, path).header(header::CONTENT_TYPE, MEDIA_TYPE);
        self.ask(request.body(Upload { file: Some(file), left: bytes, ..Upload::nothing() })?)
    }

    fn ask(&self, request: Request<Upload>) -> Result<Answer> {
        let asked = self.runtime.block_on(self.exchange(request));
        let response = asked.with_context(|| format!("the server at {}", self.name()))?;
        let status = response.status();
        let answer = self.answer(response);
        if status.is_success() {
            return Ok(answer);
        }
        let mut reason = String::new();
        // The status says enough if the text does not come.
        let _ = answer.take(REASON_BYTES).read_to_string(&mut reason);
        let detail = detail(&reason);
        let reason = match detail.as_deref().unwrap_or(reason.trim()) {
            // One of ours, which wants to know who asks.
            reason if status == StatusCode::UNAUTHORIZED && detail.is_some() => {
                bail!("the server at {} asks for a token: {reason} (set {TOKEN})", self.name());
            }
            // Whatever is there, maybe the players' port, has its own words for it.
            _ if status == StatusCode::NOT_FOUND && detail.is_none() => {
                "is that its admin.address?"
            }
            page if page.starts_with('<') => "with a page for people: is that its admin.address?",
            _ if status == StatusCode::METHOD_NOT_ALLOWED => "is that its admin.address?",
            "" => "without a reason",
            reason => reason,
        };
        bail!("the server at {} answered {status}: {reason}", self.name())
    }

    async fn exchange(&self, request: Request<Upload>) -> Result<Response<Incoming>> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority)).await;
        let stream = connected.context("does not answer")?.context("cannot be reached")?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Driven whenever the answer is waited for.
        let connection = tokio::spawn(connection);
        let sent = request.body().sent.clone();
        let mut answer = std::pin::pin!(sender.send_request(request));
        loop {
            let before = sent.load(Ordering::Relaxed);
            match timeout(SILENCE, &mut answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if error.is_parse() => {
                    return Err(Error::new(error).context("the answer is no HTTP response"));
                }
                Ok(Err(error)) if error.is_canceled() => {
                    // Before the request has gone out. Why, only the connection knows.
                    let ended = connection.await.context("the connection was given up inside")?;
                    let error = ended.err().map_or_else(|| Error::new(error), Error::new);
                    return Err(error.context("it spoke before it was asked: no HTTP server does"));
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) if sent.load(Ordering::Relaxed) > before => {}
                Err(_) => bail!("did not answer for {} s", SILENCE.as_secs()),
            }
        }
    }
}

/// What is sent with a request: nothing, or a file as it is read.
struct Upload {
    file: Option<File>,
    /// What is sent at once, without a file.
    text: Bytes,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl Upload {
    fn nothing() -> Self {
        Self { file: None, text: Bytes::new(), left: 0, sent: Arc::default() }
    }

    fn of(text: Bytes) -> Self {
        Self { left: text.len() as u64, text, ..Self::nothing() }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if !this.text.is_empty() {
            this.left = 0;
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.text)))));
        }
        let Some(file) = this.file.as_mut().filter(|_| this.left > 0) else {
            return Poll::Ready(None);
        };
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(this.left).unwrap_or(PIECE_BYTES))];
        Poll::Ready(Some(file.read_exact(&mut piece).map(|()| {
            this.left -= piece.len() as u64;
            this.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Frame::data(piece.into())
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// An answer's body, as it comes.
pub struct Answer {
    runtime: Rc<Runtime>,
    incoming: Incoming,
    piece: Bytes,
}

impl Read for Answer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let incoming = &mut self.incoming;
            let frame = poll_fn(|task| Pin::new(&mut *incoming).poll_frame(task));
            let frame = self.runtime.block_on(async { timeout(SILENCE, frame).await });
            let silence = |_| {
                let text = format!("the server was silent for {} s", SILENCE.as_secs());
                io::Error::new(io::ErrorKind::TimedOut, text)
            };
            match frame.map_err(silence)? {
                None => return Ok(0),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
            }
        }
        let taken = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..taken]);
        Ok(taken)
    }
}

/// What the body of an error says: the detail of a problem, or the text that it is.
pub fn reason(body: &str) -> String {
    detail(body).unwrap_or_else(|| body.trim().to_owned())
}

/// The detail of a problem (RFC 9457), if `body` is one.
fn detail(body: &str) -> Option<String> {
    let problem: Value = serde_json::from_str(body).ok()?;
    problem["detail"].as_str().map(ToOwned::to_owned)
}

/// Where a server on this machine listens that has these settings.
fn local_address(admin: &str) -> Result<SocketAddr> {
    let addresses = settings::resolve(admin).map_err(|problem| anyhow!("{problem}"))?;
    let Some(address) = addresses.first().copied() else { bail!("{admin} is nowhere") };
    if address.port() == 0 {
        bail!("admin.address = {admin:?} does not say which port: name the server with --from");
    }
    Ok(address)
}

/// An address to bind is not always one to connect to: "every interface" is reached on loopback.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let loopback = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(loopback, bound.port())
}

/// Whether this is what [`identity`](crate::store::embedded::identity) gives: two numbers in hexadecimal.
fn is_identity(text: &str) -> bool {
    let is_number = |part: &str| u64::from_str_radix(part, 16).is_ok() && !part.starts_with('+');
    text.split_once('-').is_some_and(|(device, number)| is_number(device) && is_number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_is_asked_on_loopback() {
        for (bound, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("192.0.2.1:9090", "192.0.2.1:9090"),
        ] {
            let bound: SocketAddr = bound.parse().expect("an address");
            assert_eq!(reachable(bound).to_string(), asked);
        }
    }

    #[test]
    fn what_any_web_server_answers_is_no_identity_of_a_store() {
        for (text, is_one) in [
            ("fe02-1a5b3c", true),
            ("", false),
            ("-", false),
            ("fe02", false),
            ("fe02-1a-2", false),
            ("+1-2", false),
            ("<!doctype html>", false),
            ("not-found", false),
        ] {
            assert_eq!(is_identity(text), is_one, "{text}");
        }
    }
}

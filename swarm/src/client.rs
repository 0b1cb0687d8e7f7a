//! One connection: opens it, reads and parses, writes what its player wants sent, answers pings. The player decides; this
//! file only moves bytes. Its hot loop is `Link::digest`: ten million updates a second must fit on a fraction of a core,
//! so frames are taken straight out of the thread's read buffer, without allocation or a future per frame.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep_until, timeout};

use crate::crew::Desk;
use crate::faults::Fault;
use crate::target::Target;
use crate::wire::{
    self, Closed, Message, Outgoing, UPDATE_FRAME_BYTES, UPDATE_FRAME_HEAD, Upgrade, WireFault,
};

/// Read buffer, one per thread: room for the largest unfinished message and plenty of new bytes.
pub(crate) const SCRATCH_BYTES: usize = 4 * wire::MESSAGE_BYTES_MAX;
/// An upgrade answer that is longer is no upgrade answer.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Who sits at a connection and decides.
pub(crate) trait Player: 'static {
    /// On `/ws?v=2`, or plain.
    fn v2(&self) -> bool;

    /// `(total, id)`: the hot path.
    fn update(&mut self, total: u32, id: u32, desk: &mut Desk);

    /// Any other message.
    fn message(&mut self, message: Message<'_>, desk: &mut Desk);

    /// The identity it comes with, as a `Cookie` header has it; none for nobody in particular.
    fn cookie(&self) -> Option<String> {
        None
    }

    /// A text, on `v=2` alone. Who says nothing in text need not listen to it.
    fn text(&mut self, _text: &[u8], _desk: &mut Desk) {}

    /// Queues what is to be sent now; called after each read and whenever the moment it asked for has come, but never
    /// while earlier bytes wait for the socket.
    fn fill(&mut self, desk: &mut Desk, out: &mut Outgoing) -> Next;

    /// Nothing more is expected in this stage of the run.
    fn settled(&self, desk: &Desk) -> bool;

    /// After it has left: how long to stay away before it comes again, as somebody new; `None`: for good.
    fn again(&mut self, _desk: &Desk) -> Option<Duration> {
        None
    }
}

/// When a player wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// After something was read.
    Read,
    /// At this time on the run's clock, too.
    At(u32),
    /// Never: close the connection.
    Leave,
    /// Never: break the connection off.
    BreakOff,
}

/// Why a connection could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("HTTP {0}{1}")]
    Status(u16, Reason),
    #[error("no upgrade within the time limit")]
    Timeout,
    #[error("connect: {0}")]
    Connect(String),
    #[error("upgrade: {0}")]
    Upgrade(String),
}

/// What a server says about its refusal, as the name of a limit; may be empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reason(String);

impl Reason {
    /// The rule that an answer names (problem+json), or the beginning of its text.
    fn in_answer(answer: &[u8]) -> Self {
        const CHARS_MAX: usize = 200;
        let text = String::from_utf8_lossy(answer);
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
        let problem = serde_json::from_str::<serde_json::Value>(body).ok();
        let rule = problem.as_ref().and_then(|problem| problem["violated-policies"][0].as_str());
        let told = rule.map_or_else(|| body.to_owned(), |rule| format!("the limit of {rule}"));
        Self(told.chars().filter(|c| !c.is_control()).take(CHARS_MAX).collect())
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// Opens connection `index` within `limit`, as whoever the cookie names.
pub(crate) async fn open(
    target: &Target,
    index: usize,
    v2: bool,
    cookie: Option<&str>,
    limit: Duration,
) -> Result<Link, OpenError> {
    let upgrade = upgrade(target, index, v2, cookie);
    timeout(limit, upgrade).await.unwrap_or(Err(OpenError::Timeout))
}

async fn upgrade(
    target: &Target,
    index: usize,
    v2: bool,
    cookie: Option<&str>,
) -> Result<Link, OpenError> {
    let mut stream =
        connect(target, index).await.map_err(|error| OpenError::Connect(error.to_string()))?;
    let request = wire::upgrade_request(&target.host, &target.path(v2), &target.origin, cookie);
    let failed = |error: io::Error| OpenError::Upgrade(error.to_string());
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut head = Vec::with_capacity(512);
    loop {
        if stream.read_buf(&mut head).await.map_err(failed)? == 0 {
            return Err(OpenError::Upgrade("connection closed".into()));
        }
        match wire::upgrade_answer(&head) {
            Some(Upgrade::Accepted(end)) => {
                let rest = head[end..].to_vec();
                let out = Outgoing::new(index as u32 ^ 0x5bd1_e995);
                return Ok(Link { stream: Rc::new(stream), rest, out, fragments: None });
            }
            Some(Upgrade::Status(status)) => {
                // In vain if it does not come: the status says most of it.
                while head.len() < HEAD_BYTES_MAX
                    && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
                {}
                return Err(OpenError::Status(status, Reason::in_answer(&head)));
            }
            Some(Upgrade::Bad(why)) => return Err(OpenError::Upgrade(why.into())),
            None if head.len() > HEAD_BYTES_MAX => {
                return Err(OpenError::Upgrade("endless head".into()));
            }
            None => {}
        }
    }
}

/// The connection will end with a reset instead of in order. Best effort.
pub(crate) fn reset_on_drop(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

async fn connect(target: &Target, index: usize) -> io::Result<TcpStream> {
    let socket = if target.addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = target.source(index) {
        socket.bind(source)?;
    }
    let stream = socket.connect(target.addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An open connection. Small, because there may be 20,000: an idle one owns no buffer at all.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Rc<TcpStream>,
    /// The bytes of an unfinished frame.
    rest: Vec<u8>,
    out: Outgoing,
    /// The fragments so far of an unfinished message, and whether it is text.
    fragments: Option<(bool, Vec<u8>)>,
}

impl Link {
    /// Plays until the connection ends; says how. `Ok` is only for a player that left.
    pub(crate) async fn play<P: Player>(mut self, seat: &impl Seated<P>) -> Result<(), Closed> {
        seat.with(|player, desk, scratch| {
            let early = std::mem::take(&mut self.rest);
            scratch[..early.len()].copy_from_slice(&early);
            desk.now_us = desk.run.clock.us();
            self.digest_and_keep(scratch, early.len(), player, desk)
        })?;
        loop {
            let next = if self.out.is_empty() {
                seat.with(|player, desk, _| {
                    desk.now_us = desk.run.clock.us();
                    player.fill(desk, &mut self.out)
                })
            } else {
                Next::Read
            };
            self.flush()?;
            match next {
                Next::Leave => {
                    self.out.close(1000);
                    return self.flush();
                }
                Next::BreakOff => {
                    reset_on_drop(&self.stream);
                    return Ok(());
                }
                Next::Read | Next::At(_) => {}
            }
            self.wait(next, seat).await?;
            while seat.with(|player, desk, scratch| self.absorb(player, desk, scratch))? {}
        }
    }

    async fn wait<P: Player>(&mut self, next: Next, seat: &impl Seated<P>) -> Result<(), Closed> {
        let interest = if self.out.is_empty() {
            Interest::READABLE
        } else {
            Interest::READABLE | Interest::WRITABLE
        };
        let ready = self.stream.ready(interest);
        let outcome = match next {
            Next::At(us) => {
                let at = seat.with(|_, desk, _| desk.run.clock.at(us));
                tokio::select! {
                    biased;
                    outcome = ready => outcome,
                    () = sleep_until(at.into()) => return Ok(()),
                }
            }
            _ => ready.await,
        };
        outcome.map(drop).map_err(|error| Closed::abnormally(error.to_string()))
    }

    fn flush(&mut self) -> Result<(), Closed> {
        while !self.out.is_empty() {
            match self.stream.try_write(self.out.pending()) {
                Ok(count) => self.out.wrote(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A server that closed on us may have said why: the reader finds the close frame, or this error again.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.out.wrote(self.out.pending().len());
                }
                Err(error) => return Err(Closed::abnormally(error.to_string())),
            }
        }
        Ok(())
    }

    /// Reads once; says whether there may be more to read at once.
    fn absorb<P: Player>(
        &mut self,
        player: &mut P,
        desk: &mut Desk,
        scratch: &mut [u8],
    ) -> Result<bool, Closed> {
        let kept = self.rest.len();
        scratch[..kept].copy_from_slice(&self.rest);
        match self.stream.try_read(&mut scratch[kept..]) {
            Ok(0) => Err(Closed::abnormally("connection ended without a close frame")),
            Ok(count) => {
                desk.now_us = desk.run.clock.us();
                desk.tally.bytes += count as u64;
                let filled = kept + count;
                self.digest_and_keep(scratch, filled, player, desk)?;
                Ok(filled == scratch.len())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(Closed::abnormally(error.to_string())),
        }
    }

    fn digest_and_keep<P: Player>(
        &mut self,
        scratch: &[u8],
        filled: usize,
        player: &mut P,
        desk: &mut Desk,
    ) -> Result<(), Closed> {
        let used = self.digest(&scratch[..filled], player, desk)?;
        self.rest.clear();
        self.rest.extend_from_slice(&scratch[used..filled]);
        Ok(())
    }

    /// Hands every complete frame to the player; says how many bytes they took.
    fn digest<P: Player>(
        &mut self,
        bytes: &[u8],
        player: &mut P,
        desk: &mut Desk,
    ) -> Result<usize, Closed> {
        let mut at = 0;
        loop {
            // Nearly every frame is an update. While a message is in fragments, the general path must see all.
            while self.fragments.is_none()
                && let Some((frame, _)) = bytes[at..].split_first_chunk::<UPDATE_FRAME_BYTES>()
                && let [first, second, t0, t1, t2, t3, i0, i1, i2, i3] = *frame
                && [first, second] == UPDATE_FRAME_HEAD
            {
                player.update(
                    u32::from_le_bytes([t0, t1, t2, t3]),
                    u32::from_le_bytes([i0, i1, i2, i3]),
                    desk,
                );
                at += UPDATE_FRAME_BYTES;
            }
            match wire::next_frame(&bytes[at..]).map_err(|fault| violation(fault, desk))? {
                Some((frame, used)) => {
                    self.frame(&frame, player, desk)?;
                    at += used;
                }
                None => return Ok(at),
            }
        }
    }

    fn frame<P: Player>(
        &mut self,
        frame: &wire::Frame<'_>,
        player: &mut P,
        desk: &mut Desk,
    ) -> Result<(), Closed> {
        match frame.opcode {
            wire::PING => self.out.pong(frame.payload),
            wire::PONG => {}
            wire::CLOSE => {
                let closed = Closed::from_payload(frame.payload);
                self.out.close(closed.code);
                // Best effort: the connection is over either way.
                let _ = self.flush();
                return Err(closed);
            }
            _ => self.data(frame, player, desk).map_err(|fault| violation(fault, desk))?,
        }
        Ok(())
    }

    /// A data frame: a message, or a fragment of one.
    fn data<P: Player>(
        &mut self,
        frame: &wire::Frame<'_>,
        player: &mut P,
        desk: &mut Desk,
    ) -> Result<(), WireFault> {
        let is_text = frame.opcode == wire::TEXT;
        match (frame.opcode, self.fragments.take()) {
            (wire::CONTINUATION, None) => Err(WireFault::BadFragments),
            (wire::CONTINUATION, Some((is_text, mut sofar))) => {
                if sofar.len() + frame.payload.len() > wire::MESSAGE_BYTES_MAX {
                    return Err(WireFault::TooLong((sofar.len() + frame.payload.len()) as u64));
                }
                sofar.extend_from_slice(frame.payload);
                if frame.fin {
                    return deliver(is_text, &sofar, player, desk);
                }
                self.fragments = Some((is_text, sofar));
                Ok(())
            }
            (_, Some(_)) => Err(WireFault::BadFragments),
            (_, None) if frame.fin => deliver(is_text, frame.payload, player, desk),
            (_, None) => {
                self.fragments = Some((is_text, frame.payload.to_vec()));
                Ok(())
            }
        }
    }
}

fn deliver<P: Player>(
    is_text: bool,
    payload: &[u8],
    player: &mut P,
    desk: &mut Desk,
) -> Result<(), WireFault> {
    if is_text {
        if !player.v2() {
            return Err(WireFault::TextOnPlain);
        }
        player.text(payload, desk);
        return Ok(());
    }
    match wire::decode(payload, player.v2())? {
        Message::Update { total, id } => player.update(total, id, desk),
        other => player.message(other, desk),
    }
    Ok(())
}

/// Notes what the server did wrong; the connection cannot go on.
#[cold]
fn violation(fault: WireFault, desk: &mut Desk) -> Closed {
    desk.tally.faults.note(Fault::Wire, || fault.to_string());
    Closed { code: 1002, reason: fault.to_string() }
}

/// Where a player sits: lends the player, its thread's desk and read buffer for as long as nothing is awaited.
pub(crate) trait Seated<P> {
    fn with<R>(&self, work: impl FnOnce(&mut P, &mut Desk, &mut [u8]) -> R) -> R;
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::books::Books;
    use crate::crew::{Run, Station};
    use crate::seat::{Door, Fate, Place};
    use crate::shuffle::Shuffle;

    /// Writes down what it hears.
    #[derive(Debug, Default)]
    struct Scribe(Vec<String>);

    impl Player for Scribe {
        fn v2(&self) -> bool {
            false
        }

        fn update(&mut self, total: u32, id: u32, _desk: &mut Desk) {
            self.0.push(format!("{total} {id}"));
        }

        fn message(&mut self, message: Message<'_>, _desk: &mut Desk) {
            self.0.push(format!("{message:?}"));
        }

        fn fill(&mut self, _desk: &mut Desk, _out: &mut Outgoing) -> Next {
            Next::Read
        }

        fn settled(&self, _desk: &Desk) -> bool {
            true
        }
    }

    /// Plays against a server that says `frames` in pieces of `piece` bytes; returns what the player heard, how the
    /// connection ended, and what the server was sent after the upgrade.
    fn told(frames: &[u8], piece: usize) -> (Vec<String>, Fate, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let body = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("ws://{}", listener.local_addr().unwrap());
            let target = Target::resolve(&url, None, None, 1).unwrap();
            let station = Station::new(Run::new(Books::new(Shuffle::new(1000, 1), 0, false)));
            let place = Place::new(0, Scribe::default(), station);
            let seat = Rc::clone(&place.seat);
            let server = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                socket.set_nodelay(true).unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    socket.read_buf(&mut request).await.unwrap();
                }
                assert!(String::from_utf8_lossy(&request).starts_with("GET /ws HTTP/1.1\r\n"));
                let accept =
                    "HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                let bytes = [accept.as_bytes(), frames].concat();
                for piece in bytes.chunks(piece) {
                    socket.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
                socket.shutdown().await.unwrap();
                let mut answer = Vec::new();
                socket.read_to_end(&mut answer).await.unwrap();
                answer
            };
            let door = Door::simple(Duration::from_secs(5));
            let player = async { place.live(&target, &door, None).await };
            let ((), answer) = tokio::join!(player, server);
            let heard = seat.player.borrow().0.clone();
            let fate = seat.fate.borrow().clone();
            (heard, fate, answer)
        };
        runtime.block_on(async { timeout(Duration::from_secs(10), body).await }).unwrap()
    }

    /// hello 5; update (6, 9); ping; update (7, 8) in three fragments with a ping between; close 1001 "bye".
    const FRAMES: &[u8] = &[
        0x82, 4, 5, 0, 0, 0, 0x82, 8, 6, 0, 0, 0, 9, 0, 0, 0, 0x89, 2, b'h', b'i', 0x02, 3, 7, 0,
        0, 0x00, 1, 0, 0x89, 0, 0x80, 4, 8, 0, 0, 0, 0x88, 5, 0x03, 0xe9, b'b', b'y', b'e',
    ];

    #[test]
    fn messages_are_the_same_however_the_bytes_arrive() {
        for piece in [1, 2, 3, 7, 10, 1000] {
            let (heard, fate, answer) = told(FRAMES, piece);
            assert_eq!(heard, ["Total(5)", "6 9", "7 8"], "pieces of {piece}");
            assert_eq!(fate, Fate::Lost(Closed { code: 1001, reason: "bye".into() }));
            let opcodes: Vec<_> = [0, 8, 14].map(|at| answer[at] & 0x0f).into();
            assert_eq!(
                opcodes,
                [wire::PONG, wire::PONG, wire::CLOSE],
                "each ping is answered, then the close"
            );
            assert_eq!([answer[6] ^ answer[2], answer[7] ^ answer[3]], *b"hi");
        }
    }

    #[test]
    fn an_end_without_a_close_frame_is_abnormal() {
        assert!(matches!(told(&FRAMES[..16], 1000).1, Fate::Lost(Closed { code: 1006, .. })));
    }

    #[test]
    fn fragments_out_of_order_end_the_connection() {
        for frames in [&[0x80, 1, 0][..], &[0x02, 1, 0, 0x82, 1, 0][..]] {
            assert!(
                matches!(told(frames, 1000).1, Fate::Lost(Closed { code: 1002, .. })),
                "{frames:?}"
            );
        }
    }
}

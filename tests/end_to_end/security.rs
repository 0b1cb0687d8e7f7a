//! What `SECURITY.md` promises, over real sockets: a file for each kind of threat. The table there names the tests, also
//! those of other files.

mod floods;
mod forwarding;
mod heads;
mod logs;
mod origins;
mod paths;
mod policy;
mod privacy;
mod slow;
mod smuggling;
mod table;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
};

use crate::harness::{PATIENCE, client::again, server::Server};

/// Connects and sends bytes as they are.
fn send(to: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // Whoever is refused early is not read to the end.
    let _ = stream.write_all(bytes);
    stream
}

/// All that still comes, until the connection ends, which it has to.
fn rest(mut stream: &TcpStream) -> String {
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    // A reset is an end as well.
    let is_open = ended.is_err_and(|error| is_pause(&error));
    assert!(!is_open, "the connection is still open behind {answer:?}");
    answer
}

/// What bytes as they are get for an answer, until the connection ends.
fn say(to: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    rest(&send(to, bytes.as_ref()))
}

/// The same of bytes behind which there will be no others, however incomplete they are.
fn say_all(to: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let stream = send(to, bytes.as_ref());
    // It may have been refused, and cut off, already.
    let _ = stream.shutdown(Shutdown::Write);
    rest(&stream)
}

/// The head of the next answer, after which the connection may go on; what came of it, if the connection ends before.
fn head(mut stream: &TcpStream) -> String {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(b"\r\n\r\n") {
        match again(|| stream.read(&mut byte)) {
            Ok(1..) => answer.push(byte[0]),
            Err(error) if is_pause(&error) => panic!("no answer behind {answer:?}"),
            Ok(0) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// The statuses of all answers in what came.
fn statuses(answers: &str) -> Vec<u16> {
    let begins = answers.match_indices("HTTP/1.").map(|(at, _)| &answers[at..]);
    begins.filter_map(|answer| answer.get("HTTP/1.1 ".len()..)?.get(..3)?.parse().ok()).collect()
}

/// The one status of what came; 0 if nothing has.
fn status(answer: &str) -> u16 {
    statuses(answer).first().copied().unwrap_or_default()
}

/// Both listeners of a server.
fn listeners(server: &Server) -> [SocketAddr; 2] {
    [server.address, server.admin]
}

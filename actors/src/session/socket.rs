//! Reading a socket without waiting. Decides nothing about what comes.

use std::{
    io::{self, ErrorKind, Read as _},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use crate::worker::downlink::Gone;

/// Bytes received; an end of the stream is [`Gone`].
pub(super) fn poll_receive(
    stream: &TcpStream,
    task: &mut TaskContext<'_>,
    buffer: &mut [u8],
) -> Result<Poll<usize>, Gone> {
    loop {
        match stream.poll_read_ready(task) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Err(_)) => return Err(Gone),
            Poll::Ready(Ok(())) => {}
        }
        match receive(stream, buffer) {
            Ok(0) => return Err(Gone),
            Ok(received) => return Ok(Poll::Ready(received)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Gone),
        }
    }
}

/// Reads once. A buffer that is not full has emptied the socket: the next arrival is another edge of
/// epoll, so that there is no need to read again only to be told (half of all reads used to be that).
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut received = None;
    let read = stream.try_io(Interest::READABLE, || {
        let count = (&*SockRef::from(stream)).read(buffer)?;
        received = Some(count);
        // What tokio takes for "not readable any more"; the end of the stream stays readable.
        if (1..buffer.len()).contains(&count) {
            Err(ErrorKind::WouldBlock.into())
        } else {
            Ok(count)
        }
    });
    received.map_or(read, Ok)
}

/// Has the kernel drop unsent output at once when the socket is dropped.
pub(super) fn reset_on_drop(stream: &TcpStream) {
    // Failing means the socket is dead already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

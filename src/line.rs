//! The socket of a connection with HTTP: how much HTTP is given at once, and how long what it writes may take.
//!
//! What is written has to be taken within [`WRITE_TIMEOUT`]: HTTP itself waits for ever for a client that asks and never
//! reads. Nor is such a client read meanwhile: HTTP would keep all that it asks for, and look without a pause whether
//! there is room for more.

use std::{
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use crate::places::Place;

/// Time for all of what is written at once to be taken: 32 KiB, so a kilobyte a second.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that HTTP is given before it looks at them; browsers send about 600. It keeps every request among them until it
/// is answered, a kilobyte each: 73 of the shortest, where all that had come, 128 KiB, would be thousands.
const READ_AT_ONCE: usize = 2048;

/// Bytes of a head, or of a body that nobody reads, with which a connection ends. HTTP itself would take 128 KiB, and
/// fall over a name of more than 65,535 bytes among them.
const HEAD_MAX: usize = 60_000;

/// What is said of a first request whose head is longer.
const TOO_LARGE: &[u8] = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// The socket of a connection, and its place.
pub struct Line {
    /// The socket.
    pub stream: TcpStream,
    /// Its place.
    pub place: Rc<Place>,
    /// Since something could not be written.
    late: Option<Pin<Box<Sleep>>>,
    /// HTTP has not looked yet at what it was given last.
    is_fed: bool,
}

impl Line {
    /// With nothing to be written.
    pub fn new(stream: TcpStream, place: Rc<Place>) -> Self {
        Self { stream, place, late: None, is_fed: false }
    }

    /// Whether `more` bytes are still no reason to end the connection.
    fn bear_with(&self, more: usize) -> Poll<io::Result<()>> {
        if self.place.said(more) <= HEAD_MAX {
            return Poll::Ready(Ok(()));
        }
        if !self.place.has_asked() {
            // Nothing has been written before, so there is room.
            let _ = self.stream.try_write(TOO_LARGE);
        }
        Poll::Ready(Err(io::ErrorKind::InvalidData.into()))
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.late.is_some() {
            // What is written next wakes the task.
            return Poll::Pending;
        }
        if mem::take(&mut self.is_fed) {
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut bytes = [0; READ_AT_ONCE];
        let room = buffer.remaining().min(READ_AT_ONCE);
        let mut read = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.stream).poll_read(task, &mut read))?;
        self.is_fed = !read.filled().is_empty();
        buffer.put_slice(read.filled());
        self.bear_with(read.filled().len())
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(task, bytes);
        match &written {
            Poll::Ready(Ok(taken)) if *taken == bytes.len() => {
                if self.late.take().is_some() {
                    // It may have something to read by now.
                    task.waker().wake_by_ref();
                }
            }
            Poll::Ready(_) => {}
            Poll::Pending => {
                let late = self.late.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
                if late.as_mut().poll(task).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr, task::Waker};

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::places::Places;

    #[actix_rt::test]
    async fn who_does_not_take_what_it_is_told_is_not_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut client = TcpStream::connect(address).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("somebody comes");
        let mut line = Line::new(stream, Places::any().take(Ipv4Addr::LOCALHOST.into()).await);
        let bytes = vec![0; 1 << 20];
        let writes = |line: &mut Line| {
            let line = Pin::new(line);
            line.poll_write(&mut Context::from_waker(Waker::noop()), &bytes).is_ready()
        };
        assert!((0..1000).any(|_| !writes(&mut line)), "nobody takes anything");
        client.write_all(b"more").await.expect("it is there");
        line.stream.readable().await.expect("it is there");
        let mut read = [0; 4];
        let mut reads = |task: &mut Context<'_>| {
            let polled = Pin::new(&mut line).poll_read(task, &mut ReadBuf::new(&mut read));
            Poll::Ready(polled.is_ready())
        };
        assert!(!poll_fn(&mut reads).await);
        let taking =
            actix_rt::spawn(
                async move { tokio::io::copy(&mut client, &mut tokio::io::sink()).await },
            );
        line.write_all(&bytes).await.expect("it is taken");
        line.read_exact(&mut read).await.expect("it is read");
        assert_eq!(&read, b"more");
        drop(line);
        assert!(taking.await.expect("it ends").expect("all is taken") > 1 << 20);
    }
}

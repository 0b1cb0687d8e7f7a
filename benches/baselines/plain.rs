//! The practical limit of fan-out: plain tokio that writes the same bytes to the same sockets at the same pace, and
//! does nothing else. What the server's cost of a flush is compared with.
//!
//! Each worker thread owns its sockets and, on a flush, offers one shared batch to each of them with `try_write`. A
//! main thread accepts, paces flushes as the server does (20 ms, the next one not before all have handed out this one)
//! and encodes nothing: checks are framed once, where they are read. A text is for everybody who is connected: it is
//! framed once, too, and handed to all threads at once, without any pace. No part of the product;
//! `cargo xtask bench fanout` and `cargo xtask bench group` run it.

mod protocol;
mod wire;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{Error, ErrorKind, Result},
    net,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::{Bytes, BytesMut};
use clap::Parser;
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc},
    task::{LocalSet, spawn_local, yield_now},
    time::sleep_until,
};

use protocol::{Ask, Board, Options};
use wire::{Frame, Request, next_frame, put_message, put_text, put_update};

/// Least time between two flushes, as the server's default.
const INTERVAL: Duration = Duration::from_millis(20);

/// `SO_SNDBUF` of each socket, as the server's default.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// What may wait for a socket that takes nothing; then its client is cut off.
const PENDING_BYTES_MAX: usize = 8 << 20;

/// Sockets written to before the thread looks for checks to read.
const SLICE: usize = 64;

/// Bytes that a thread reads at once.
const READ_BYTES: usize = 64 * 1024;

/// Sockets and messages on their way to a worker; full: the main thread waits, and who has sent the message is cut off.
const TASKS_MAX: usize = 1024;

/// Stands for everything with 16 digits that the server writes into a message.
const EPOCH: &str = "0000000000000001";

/// What all threads share.
struct Shared {
    game: Mutex<Game>,
    /// There is something to flush.
    checked: Notify,
    writes: AtomicU64,
    workers: OnceLock<Vec<mpsc::Sender<Task>>>,
}

struct Game {
    board: Board,
    /// Messages so far.
    offset: u64,
    /// Updates since the last flush, framed, and the total after them.
    batch: BytesMut,
    total: u32,
}

impl Shared {
    fn game(&self) -> MutexGuard<'_, Game> {
        self.game.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Main thread → worker.
enum Task {
    Arrived(net::TcpStream),
    Flush {
        frames: Bytes,
        total: u32,
    },
    /// A message, framed, and its number.
    Message {
        frame: Bytes,
        offset: u64,
    },
}

/// A thread and the sockets it owns.
struct Worker {
    shared: Arc<Shared>,
    connections: RefCell<Vec<Rc<Connection>>>,
    /// The total that its connections have been told.
    announced: Cell<u32>,
    /// Number of the last message that its connections were sent.
    offset: Cell<u64>,
    read_buffer: RefCell<Vec<u8>>,
}

struct Connection {
    stream: TcpStream,
    /// What the socket did not take at once; somebody waits to write it exactly when there is any.
    pending: RefCell<VecDeque<Bytes>>,
    gone: Cell<bool>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let board = Board::new(options.boxes);
    let game = Mutex::new(Game { board, offset: 0, batch: BytesMut::new(), total: 0 });
    let (checked, writes) = (Notify::new(), AtomicU64::new(0));
    let shared = Arc::new(Shared { game, checked, writes, workers: OnceLock::new() });
    let (done, dones) = mpsc::channel(options.threads);
    let mut workers = Vec::new();
    for index in 0..options.threads {
        let (tasks, inbox) = mpsc::channel(TASKS_MAX);
        let (shared, done) = (shared.clone(), done.clone());
        let worker = move || work(shared, inbox, done);
        thread::Builder::new().name(format!("worker {index}")).spawn(worker)?;
        workers.push(tasks);
    }
    let workers = shared.workers.get_or_init(|| workers);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = options.listen()?;
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = accept(listener, workers) => outcome,
            outcome = pace(&shared, workers, dones) => outcome,
            _ = end.recv() => Ok(()),
        }
    })
}

/// Gives each newcomer to the next worker.
async fn accept(listener: net::TcpListener, workers: &[mpsc::Sender<Task>]) -> Result<()> {
    let listener = TcpListener::from_std(listener)?;
    for worker in workers.iter().cycle() {
        // One that left while it waited is no reason to end.
        let Ok((stream, _)) = listener.accept().await else { continue };
        worker.send(Task::Arrived(stream.into_std()?)).await.map_err(Error::other)?;
    }
    Ok(())
}

/// Has every worker write what was checked; after quiet at once, then every interval.
async fn pace(
    shared: &Shared,
    workers: &[mpsc::Sender<Task>],
    mut dones: mpsc::Receiver<()>,
) -> Result<()> {
    let mut next = Instant::now();
    loop {
        let (frames, total) = {
            let mut game = shared.game();
            (game.batch.split().freeze(), game.total)
        };
        if frames.is_empty() {
            shared.checked.notified().await;
            sleep_until(next.into()).await;
            continue;
        }
        // Counted from when it was due, as the server does, or it would be a millisecond later each time.
        next = (next + INTERVAL).max(Instant::now());
        for worker in workers {
            let flush = Task::Flush { frames: frames.clone(), total };
            worker.send(flush).await.map_err(Error::other)?;
        }
        for _ in workers {
            dones.recv().await;
        }
        sleep_until(next.into()).await;
    }
}

fn work(
    shared: Arc<Shared>,
    mut inbox: mpsc::Receiver<Task>,
    done: mpsc::Sender<()>,
) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let worker = Rc::new(Worker {
        shared,
        connections: RefCell::default(),
        announced: Cell::default(),
        offset: Cell::default(),
        read_buffer: RefCell::new(vec![0; READ_BYTES]),
    });
    LocalSet::new().block_on(&runtime, async move {
        while let Some(task) = inbox.recv().await {
            match task {
                Task::Arrived(stream) => {
                    let worker = worker.clone();
                    // Whatever ends a connection is the client's business: its books tell.
                    spawn_local(async move { worker.serve(stream).await.ok() });
                }
                Task::Flush { frames, total } => {
                    worker.flush(&frames, total).await;
                    done.send(()).await.map_err(Error::other)?;
                }
                Task::Message { frame, offset } => {
                    worker.offset.set(offset);
                    worker.offer_all(&frame).await;
                }
            }
        }
        Ok(())
    })
}

impl Worker {
    /// Offers a batch to every connection that was there when it came.
    async fn flush(&self, frames: &Bytes, total: u32) {
        // Who joins from here on is greeted with this total and is beyond `end`.
        self.announced.set(total);
        self.offer_all(frames).await;
    }

    /// Offers the same to every connection that is there now.
    async fn offer_all(&self, frames: &Bytes) {
        let end = self.connections.borrow().len();
        for from in (0..end).step_by(SLICE) {
            let mut writes = 0;
            for connection in &self.connections.borrow()[from..end.min(from + SLICE)] {
                writes += connection.offer(frames, &self.shared);
            }
            self.shared.writes.fetch_add(writes, Ordering::Relaxed);
            yield_now().await;
        }
        self.connections.borrow_mut().retain(|connection| !connection.gone.get());
    }

    /// One connection from its first byte to its last.
    async fn serve(&self, stream: net::TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
        let stream = TcpStream::from_std(stream)?;
        let pending = RefCell::default();
        let connection = Rc::new(Connection { stream, pending, gone: Cell::new(false) });
        let outcome = self.converse(&connection).await;
        connection.gone.set(true);
        outcome
    }

    async fn converse(&self, connection: &Rc<Connection>) -> Result<()> {
        let mut unread = Vec::new();
        let request = loop {
            self.receive(connection, &mut unread, |_| Ok(0)).await?;
            if let Some((request, taken)) = Request::read(&unread)? {
                unread.drain(..taken);
                break request;
            }
        };
        let head = match request {
            Request::Upgrade(head) => head,
            Request::Metrics => {
                let writes = self.shared.writes.load(Ordering::Relaxed);
                let answer = wire::answer(&format!("billion_socket_writes_total {writes}\n"));
                connection.offer(&answer.into(), &self.shared);
                return Ok(());
            }
            Request::Other => {
                connection.offer(&wire::answer("").into(), &self.shared);
                return Ok(());
            }
        };
        let mut answer = BytesMut::from(head.as_bytes());
        // One step: on the list from here on, and told exactly what the others have been told.
        put_message(&mut answer, &self.announced.get().to_le_bytes());
        connection.write(answer.freeze(), &self.shared);
        self.connections.borrow_mut().push(connection.clone());
        while !connection.gone.get() {
            self.receive(connection, &mut unread, |bytes| self.interpret(connection, bytes))
                .await?;
        }
        Ok(())
    }

    /// Waits for bytes and has them interpreted, behind those that were left; what `interpret` does not take is left.
    async fn receive(
        &self,
        connection: &Connection,
        unread: &mut Vec<u8>,
        interpret: impl Fn(&mut [u8]) -> Result<usize>,
    ) -> Result<()> {
        connection.stream.readable().await?;
        let mut buffer = self.read_buffer.borrow_mut();
        let kept = unread.len();
        buffer[..kept].copy_from_slice(unread);
        let count = match connection.stream.try_read(&mut buffer[kept..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let taken = interpret(&mut buffer[..kept + count])?;
        unread.clear();
        unread.extend_from_slice(&buffer[taken..kept + count]);
        Ok(())
    }

    /// Acts on every whole frame; how many bytes they took.
    fn interpret(&self, connection: &Rc<Connection>, bytes: &mut [u8]) -> Result<usize> {
        let mut at = 0;
        let mut game = self.shared.game();
        let was_quiet = game.batch.is_empty();
        while let Some((frame, taken)) = next_frame(&mut bytes[at..])? {
            at += taken;
            match frame {
                Frame::Message(payload) => match Ask::decode(payload)? {
                    Ask::Check(id) => game.check(id),
                    Ask::Range(first, last) => {
                        let answer = game.board.range(first, last);
                        let answer = answer.ok_or(ErrorKind::InvalidData)?;
                        let mut framed = BytesMut::with_capacity(answer.len() + 4);
                        put_message(&mut framed, &answer);
                        connection.write(framed.freeze(), &self.shared);
                    }
                },
                Frame::Text(text) => {
                    let answer = self.talk(&mut game, text)?;
                    connection.write(answer, &self.shared);
                }
                Frame::Close => connection.gone.set(true),
                Frame::Other => {}
            }
        }
        if was_quiet && !game.batch.is_empty() {
            self.shared.checked.notify_one();
        }
        Ok(at)
    }

    /// Acts on a text, and says what its sender is to be answered. To join changes nothing here: everybody who is
    /// connected hears all messages.
    fn talk(&self, game: &mut Game, text: &[u8]) -> Result<Bytes> {
        let text = str::from_utf8(text).map_err(Error::other)?;
        let mut answer = BytesMut::new();
        if text.starts_with(r#"{"type":"join""#) {
            let offset = self.offset.get();
            put_text(
                &mut answer,
                &format!(r#"{{"type":"joined","data":{{"offset":{offset},"epoch":"{EPOCH}"}}}}"#),
            );
        } else {
            let (frame, offset) = game.message(text)?;
            // All threads are handed messages in one order, since the game is ours meanwhile.
            for worker in self.shared.workers.get().into_iter().flatten() {
                let message = Task::Message { frame: frame.clone(), offset };
                worker.try_send(message).map_err(Error::other)?;
            }
            put_text(&mut answer, &format!(r#"{{"type":"sent","data":{{"offset":{offset}}}}}"#));
        }
        Ok(answer.freeze())
    }
}

impl Game {
    /// Numbers and frames a message: as many bytes as the server makes of it.
    fn message(&mut self, text: &str) -> Result<(Bytes, u64)> {
        let open = text.strip_suffix('}').ok_or(ErrorKind::InvalidData)?;
        let now = SystemTime::UNIX_EPOCH.elapsed().map_err(Error::other)?.as_millis();
        self.offset += 1;
        let offset = self.offset;
        let mut frame = BytesMut::new();
        put_text(
            &mut frame,
            &format!(
                r#"{open},"from":"user:{EPOCH}","timestamp":{now},"offset":{offset},"epoch":"{EPOCH}"}}"#
            ),
        );
        Ok((frame.freeze(), offset))
    }

    fn check(&mut self, id: u32) {
        if let Some(total) = self.board.check(id) {
            self.total = total;
            put_update(&mut self.batch, total, id);
        }
    }
}

impl Connection {
    /// Writes what the socket takes at once; the rest when it has room. How many writes it took at once.
    fn offer(self: &Rc<Self>, frames: &Bytes, shared: &Arc<Shared>) -> u64 {
        if !self.pending.borrow().is_empty() {
            self.keep(frames.clone());
            return 0;
        }
        let written = match self.stream.try_write(frames) {
            Ok(count) if count == frames.len() => return 1,
            Ok(count) => Some(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => {
                self.gone.set(true);
                return 0;
            }
        };
        self.keep(frames.slice(written.unwrap_or_default()..));
        let (connection, shared) = (self.clone(), shared.clone());
        spawn_local(async move {
            if connection.drain(&shared).await.is_err() {
                connection.gone.set(true);
            }
        });
        u64::from(written.is_some())
    }

    /// The same for what goes to this connection alone.
    fn write(self: &Rc<Self>, bytes: Bytes, shared: &Arc<Shared>) {
        let writes = self.offer(&bytes, shared);
        shared.writes.fetch_add(writes, Ordering::Relaxed);
    }

    fn keep(&self, bytes: Bytes) {
        let mut pending = self.pending.borrow_mut();
        pending.push_back(bytes);
        if pending.iter().map(Bytes::len).sum::<usize>() > PENDING_BYTES_MAX {
            self.gone.set(true);
        }
    }

    /// Writes what waits, until nothing does.
    async fn drain(&self, shared: &Shared) -> Result<()> {
        while !self.gone.get() {
            self.stream.writable().await?;
            let mut pending = self.pending.borrow_mut();
            let Some(front) = pending.front_mut() else { return Ok(()) };
            match self.stream.try_write(front) {
                Ok(count) => {
                    shared.writes.fetch_add(1, Ordering::Relaxed);
                    drop(front.split_to(count));
                    if front.is_empty() {
                        pending.pop_front();
                    }
                    if pending.is_empty() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

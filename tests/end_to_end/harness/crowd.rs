//! Many players at once, as one connection without limits that checks box after box at a steady
//! pace; for tests about what others see of a busy board.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::client::Client;

/// How often a handful of checks leaves.
const STEP: Duration = Duration::from_millis(10);

/// Checks boxes until it is dropped or has no more.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    sender: Option<JoinHandle<()>>,
    stream: TcpStream,
}

impl Crowd {
    /// Checks `boxes` one after another, `per_second` of them each second.
    pub fn start(
        server: SocketAddr,
        per_second: u32,
        boxes: impl Iterator<Item = u32> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU32::new(0));
        let client = Client::connect(server, "/ws?v=2");
        let stream = client.stream().try_clone().expect("a socket can be cloned");
        let own = stream.try_clone().expect("a socket can be cloned");
        std::thread::spawn(move || drain(client));
        let sender = std::thread::spawn({
            let (stop, sent) = (stop.clone(), sent.clone());
            move || send(stream, per_second, boxes, &stop, &sent)
        });
        Self { stop, sent, sender: Some(sender), stream: own }
    }

    /// How many checks have left so far.
    pub fn sent(&self) -> u32 {
        self.sent.load(Relaxed)
    }

    /// Whether all boxes were checked.
    pub fn has_finished(&self) -> bool {
        self.sender.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(sender) = self.sender.take() {
            let _ = sender.join();
        }
        // Ends the reader as well; one that had no more to check is no player any more.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Reads and forgets: a client that does not drain is slowed down by the server.
fn drain(client: Client) {
    let mut stream = client.stream();
    let _ = stream.set_read_timeout(None);
    let mut bytes = [0; 65_536];
    while let Ok(1..) = stream.read(&mut bytes) {}
}

fn send(
    mut stream: TcpStream,
    per_second: u32,
    mut boxes: impl Iterator<Item = u32>,
    stop: &AtomicBool,
    sent: &AtomicU32,
) {
    let started = Instant::now();
    while !stop.load(Relaxed) {
        let due = (started.elapsed().as_secs_f64() * f64::from(per_second)) as u32;
        let wanted = due.saturating_sub(sent.load(Relaxed)) as usize;
        let mut frames = Vec::with_capacity(10 * wanted);
        let checks: Vec<u32> = boxes.by_ref().take(wanted).collect();
        for id in &checks {
            // A masked binary frame of four bytes; the mask of zeros leaves them as they are.
            frames.extend([0x82, 0x84, 0, 0, 0, 0]);
            frames.extend(id.to_le_bytes());
        }
        if checks.len() < wanted && checks.is_empty() || stream.write_all(&frames).is_err() {
            break;
        }
        sent.fetch_add(checks.len() as u32, Relaxed);
        std::thread::sleep(STEP);
    }
}

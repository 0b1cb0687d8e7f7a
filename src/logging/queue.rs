//! Lines that wait for the thread that writes them to stderr. Whoever adds one never waits for that: what finds no room
//! is dropped and counted.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;

/// Bytes of lines that may wait: 7,000 lines of 150 bytes. As much again may be under way, so that the log never
/// takes more than 2.2 MB.
pub const ROOM: usize = 1024 * 1024;

/// The same for lines that say why the process ends, which find room also when others fill theirs: 400 of them.
pub const LAST_ROOM: usize = ROOM + 64 * 1024;

/// Kept of an emptied buffer.
const SPARE: usize = 16 * 1024;

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    /// For who writes: there are lines.
    arrived: Condvar,
    /// For who waits for the end: all of them are written.
    written: Condvar,
    /// Lines that nobody will read.
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    text: Vec<u8>,
    lines: u64,
    dropped: u64,
    is_writing: bool,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Some lines, or none.
    pub text: Vec<u8>,
    /// How many.
    pub lines: u64,
    /// How many were dropped behind them.
    pub dropped: u64,
}

impl Queue {
    /// An empty one that counts in `dropped` what nobody will read.
    pub fn new(dropped: Counter) -> Self {
        Self { dropped, ..Self::default() }
    }

    /// Adds a line, if no more than `room` bytes wait then.
    fn push(&self, line: &[u8], room: usize) {
        let mut waiting = self.waiting();
        if waiting.text.len() + line.len() <= room {
            waiting.text.extend_from_slice(line);
            waiting.lines += 1;
            self.arrived.notify_one();
        } else {
            waiting.dropped += 1;
            self.dropped.inc();
        }
    }

    /// All lines, once there are some; none at `until`. They are under way until [`done`](Self::done).
    pub fn take(&self, batch: &mut Batch, until: Option<Instant>) {
        let mut waiting = self.waiting();
        while waiting.text.is_empty() {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                None => waiting = recovered(self.arrived.wait(waiting)),
                Some(Duration::ZERO) => break,
                Some(left) => waiting = recovered(self.arrived.wait_timeout(waiting, left)).0,
            }
        }
        batch.text.clear();
        batch.text.shrink_to(SPARE);
        std::mem::swap(&mut batch.text, &mut waiting.text);
        batch.lines = std::mem::take(&mut waiting.lines);
        batch.dropped = std::mem::take(&mut waiting.dropped);
        waiting.is_writing = true;
    }

    /// What was taken is written, or all of it is `lost`.
    pub fn done(&self, lost: u64) {
        self.dropped.inc_by(lost);
        let mut waiting = self.waiting();
        waiting.is_writing = false;
        if waiting.text.is_empty() {
            self.written.notify_all();
        }
    }

    /// Waits until everything is written, at most so long.
    pub fn flush(&self, at_most: Duration) {
        let is_left = |waiting: &mut Waiting| waiting.is_writing || !waiting.text.is_empty();
        drop(recovered(self.written.wait_timeout_while(self.waiting(), at_most, is_left)));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        recovered(self.waiting.lock())
    }
}

/// Nothing panics under the lock.
fn recovered<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

/// Where a logger writes: each write is a line.
pub struct End {
    /// The queue behind it.
    pub queue: Arc<Queue>,
    /// Bytes that may wait there.
    pub room: usize,
}

impl Write for End {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(line, self.room);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &Queue) -> Batch {
        let mut batch = Batch::default();
        queue.take(&mut batch, Some(Instant::now()));
        batch
    }

    fn batch(text: &str, lines: u64, dropped: u64) -> Batch {
        Batch { text: text.into(), lines, dropped }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_and_the_last_words_find_some() {
        let dropped = Counter::default();
        let queue = Queue::new(dropped.clone());
        for line in ["1234\n", "too long\n", "67\n", "8\n"] {
            queue.push(line.as_bytes(), 8);
        }
        queue.push(b"last\n", 13);
        assert_eq!(taken(&queue), batch("1234\n67\nlast\n", 3, 2));
        assert_eq!(dropped.get(), 2);
        queue.push(b"8\n", 8);
        queue.done(3);
        assert_eq!(taken(&queue), batch("8\n", 1, 0));
        assert_eq!(dropped.get(), 5, "with those that were lost on their way");
        assert_eq!(taken(&queue), batch("", 0, 0));
    }

    #[test]
    fn a_flush_ends_when_all_is_written_or_its_time_is_over() {
        let queue = Queue::default();
        queue.flush(Duration::MAX / 4);
        queue.push(b"1\n", ROOM);
        queue.flush(Duration::from_millis(1));
        std::thread::scope(|scope| {
            let flush = scope.spawn(|| queue.flush(Duration::from_secs(3600)));
            assert_eq!(taken(&queue).lines, 1);
            queue.push(b"2\n", ROOM);
            queue.done(0);
            assert!(!flush.is_finished(), "one is left");
            assert_eq!(taken(&queue).lines, 1);
            queue.done(0);
            flush.join().expect("it ends");
        });
    }

    #[test]
    fn who_writes_waits_for_a_line() {
        let queue = Queue::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut batch = Batch::default();
                queue.take(&mut batch, None);
                batch
            });
            queue.push(b"1\n", ROOM);
            assert_eq!(writer.join().expect("it ends"), batch("1\n", 1, 0));
        });
    }
}

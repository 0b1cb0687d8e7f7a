//! One verified backup on its way into the running board: a batch of boxes at a time, durable first,
//! then learned by their shard, then handed to everybody before the next. Players' own checks share
//! the store's transactions and the flushes with it, and wait for one batch at most.

use std::{
    fs::File,
    io::BufReader,
    sync::Arc,
    time::{Duration, Instant},
};

use actors::{
    board::{Offset, ShardIndex},
    table::Table,
};
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::READ_ONLY;
use crate::{
    backup::{Summary, reader::Reader, tile},
    numbers::counted,
};

/// Most boxes in one batch: 64 KB of log, and 160 KB for every plain client.
const BATCH: usize = 16_384;

/// At a rate, this many batches a second, so that boxes come evenly.
const BATCHES_A_SECOND: u32 = 20;

/// Time between two lines of progress.
const TELL: Duration = Duration::from_millis(500);

/// Bytes read from the spool at once.
const READ_BYTES: usize = 256 * 1024;

/// A merge and what it has done so far.
pub struct Merging {
    table: Arc<Table>,
    rate: u32,
    summary: Summary,
    lines: mpsc::Sender<Bytes>,
    tiles: u32,
    added: u64,
    /// Boxes of one shard that wait to become a batch.
    batch: Vec<Offset>,
    shard: ShardIndex,
    /// When the next batch may go while anybody plays.
    due: Instant,
    told: Instant,
}

/// Why a merge ended early.
enum Ended {
    /// Whoever asked for it has hung up.
    Unwanted,
    /// For a reason to be told.
    Failed(String),
}

impl Merging {
    /// A merge of the backup that `summary` describes, of which `lines` are told.
    pub fn new(table: Arc<Table>, rate: u32, summary: Summary, lines: mpsc::Sender<Bytes>) -> Self {
        let now = Instant::now();
        Self {
            table,
            rate,
            summary,
            lines,
            tiles: 0,
            added: 0,
            batch: Vec::new(),
            shard: ShardIndex(0),
            due: now,
            told: now,
        }
    }

    /// Merges `file` and tells the end of it.
    pub async fn run(mut self, file: File) {
        let last = match self.all(file).await {
            Ok(()) => {
                log::info!("import done: {} new", counted(self.added, "box", "boxes"));
                json!({ "done": true, "seen": self.summary.checked, "added": self.added })
            }
            Err(Ended::Unwanted) => {
                let added = counted(self.added, "box", "boxes");
                log::warn!("import given up by its client: {added} added");
                return;
            }
            Err(Ended::Failed(reason)) => {
                let added = counted(self.added, "box", "boxes");
                log::warn!("import failed: {reason}: {added} added");
                json!({ "error": reason, "added": self.added })
            }
        };
        // Whoever asked may have hung up just now.
        let _ = self.lines.send(line(&last)).await;
    }

    async fn all(&mut self, file: File) -> Result<(), Ended> {
        let failed = |error: &dyn std::fmt::Display| Ended::Failed(error.to_string());
        // Was written a moment ago, so it comes from the page cache and holds nobody up.
        let source = BufReader::with_capacity(READ_BYTES, file);
        let mut reader = Reader::open(source).map_err(|error| failed(&error))?;
        let mut bits = Vec::new();
        while let Some(number) = reader.next(&mut bits).map_err(|error| failed(&error))? {
            let known = self.table.read_tile(number).await;
            let known = known.ok_or_else(|| failed(&"a shard has ended"))?;
            let range = self.table.board.tile(number).expect("a tile that was read");
            let (shard, start) = self.table.board.locate(range.first());
            if shard != self.shard {
                self.send_batch().await?;
                self.shard = shard;
            }
            for (bits, known) in bits.iter_mut().zip(&known) {
                *bits &= !known;
            }
            for offset in tile::offsets(&bits) {
                self.batch.push(Offset(start.0 + offset));
                if self.batch.len() >= self.batch_boxes() {
                    self.send_batch().await?;
                }
            }
            self.tiles += 1;
            self.tell().await?;
        }
        self.send_batch().await
    }

    fn batch_boxes(&self) -> usize {
        match self.rate {
            0 => BATCH,
            rate => (rate.div_ceil(BATCHES_A_SECOND) as usize).min(BATCH),
        }
    }

    async fn send_batch(&mut self) -> Result<(), Ended> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        if self.lines.is_closed() {
            return Err(Ended::Unwanted);
        }
        if self.table.is_read_only() {
            return Err(Ended::Failed(READ_ONLY.to_owned()));
        }
        let boxes = batch.len() as u32;
        // Nobody is disturbed while nobody is there.
        if self.rate > 0 && self.table.stats.connections_now() > 0 {
            tokio::time::sleep_until(self.due.into()).await;
            let gap = Duration::from_secs_f64(f64::from(boxes) / f64::from(self.rate));
            self.due = self.due.max(Instant::now()) + gap;
        }
        let merged = self.table.merge(self.shard, batch).await;
        self.added += u64::from(merged.map_err(|error| Ended::Failed(error.to_string()))?);
        self.tell().await
    }

    async fn tell(&mut self) -> Result<(), Ended> {
        if self.told.elapsed() < TELL {
            return Ok(());
        }
        self.told = Instant::now();
        let of = self.summary.tiles;
        let progress = json!({ "tiles": self.tiles, "of": of, "added": self.added });
        self.lines.send(line(&progress)).await.map_err(|_| Ended::Unwanted)
    }
}

fn line(value: &serde_json::Value) -> Bytes {
    format!("{value}\n").into()
}

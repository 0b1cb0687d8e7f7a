//! What the log holds that the chunks do not, and in which order it moves there.
//!
//! A pass visits every chunk that was dirty when it began, a few per commit, and then lets go of
//! the log entries written before it began. This is bookkeeping in RAM only: the disk half happens
//! in the same transaction as the commit that carries the step, so a crash anywhere undoes a step
//! completely or not at all, and the log still has whatever the chunks lack.

use super::format::{BOXES_PER_CHUNK, Seal, chunks_for};

/// Chunks rewritten by a step that rides on no commit.
const IDLE_CHUNKS: usize = 8;

/// Log entries removed by one step: more than the one a commit adds, so that the log shrinks, and
/// few enough to add only a fraction of a millisecond.
const TRIM_ENTRIES: u64 = 64;

/// Boxes that are in the log but not in their chunk, and the pass under way.
pub struct Checkpoint {
    log_bytes: u64,
    /// Per chunk, the boxes it lacks; repetitions are harmless.
    dirty: Vec<Vec<u32>>,
    pass: Option<Pass>,
}

struct Pass {
    /// Chunks still to be rewritten, the next one last.
    chunks: Vec<u32>,
    /// How many there were at the beginning.
    total: u64,
    /// Log entries below this sequence number are covered once `chunks` is empty.
    covers: u64,
}

/// One step's work, to be made part of a transaction.
#[derive(Debug, Default)]
pub struct Step {
    /// Chunks to rewrite, with the boxes to add to each.
    pub chunks: Vec<(u32, Vec<u32>)>,
    /// Log entries below this sequence number are to be removed.
    pub trim_below: u64,
}

impl Step {
    pub fn is_empty(&self, seal: &Seal) -> bool {
        self.chunks.is_empty() && self.trim_below <= seal.log_first
    }
}

impl Checkpoint {
    /// Nothing dirty; passes begin when the log reaches `log_bytes`.
    pub fn new(boxes: u32, log_bytes: u64) -> Self {
        let dirty = std::iter::repeat_with(Vec::new).take(chunks_for(boxes)).collect();
        Self { log_bytes: log_bytes.max(1), dirty, pass: None }
    }

    /// Remembers boxes that a log entry holds.
    pub fn add(&mut self, indexes: &[u32]) {
        for index in indexes {
            self.dirty[(index / BOXES_PER_CHUNK) as usize].push(*index);
        }
    }

    /// The boxes that `chunk` lacks on disk.
    pub fn missing(&self, chunk: u32) -> &[u32] {
        &self.dirty[chunk as usize]
    }

    /// Whether there is work to do even if nobody commits.
    pub fn is_due(&self, seal: &Seal) -> bool {
        self.pass.is_some() || seal.log_bytes >= self.log_bytes
    }

    /// Takes the next step. `seal` is the log before the commit that carries the step, and
    /// `entry_cost` what that commit appends (0 when idle); its boxes were added already.
    ///
    /// If the transaction fails, this whole value is stale and must be rebuilt from the disk.
    pub fn step(&mut self, seal: &Seal, entry_cost: u64) -> Step {
        if !self.is_due(seal) {
            return Step::default();
        }
        let pass = self.pass.get_or_insert_with(|| {
            let numbers = (0..).zip(&self.dirty);
            let mut chunks: Vec<u32> = numbers
                .filter(|(_, missing)| !missing.is_empty())
                .map(|(chunk, _)| chunk)
                .collect();
            chunks.reverse();
            Pass { total: chunks.len() as u64, chunks, covers: seal.log_next }
        });
        let keep = pass.chunks.len().saturating_sub(pass.share(entry_cost, self.log_bytes));
        let taken = pass.chunks.split_off(keep);
        let chunks = taken
            .into_iter()
            .rev()
            .map(|chunk| (chunk, std::mem::take(&mut self.dirty[chunk as usize])))
            .collect();
        if !pass.chunks.is_empty() {
            return Step { chunks, trim_below: 0 };
        }
        let trim_below = pass.covers.min(seal.log_first + TRIM_ENTRIES);
        if trim_below == pass.covers {
            self.pass = None;
        }
        Step { chunks, trim_below }
    }
}

impl Pass {
    /// How many chunks a step takes so that the pass ends before the log has grown by half of
    /// `log_bytes` again, in steps proportional to what the commits add.
    fn share(&self, entry_cost: u64, log_bytes: u64) -> usize {
        if entry_cost == 0 {
            return IDLE_CHUNKS;
        }
        let share = (self.total * entry_cost).div_ceil(log_bytes.div_ceil(2));
        usize::try_from(share.max(1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXES: u32 = 10 * BOXES_PER_CHUNK;

    fn commit(checkpoint: &mut Checkpoint, seal: &mut Seal, ids: &[u32]) -> Step {
        checkpoint.add(ids);
        let value_bytes = ids.len() * 4 + 4;
        let step = checkpoint.step(seal, Seal::entry_cost(value_bytes));
        seal.append(value_bytes, 0);
        while seal.log_first < step.trim_below {
            seal.trim(value_bytes, 0);
        }
        step
    }

    #[test]
    fn nothing_moves_before_the_log_is_long_enough() {
        let mut checkpoint = Checkpoint::new(BOXES, 1_000);
        let mut seal = Seal::default();
        let step = commit(&mut checkpoint, &mut seal, &[1, 2, 3]);
        assert!(step.is_empty(&seal) && !checkpoint.is_due(&seal));
        assert_eq!(checkpoint.missing(0), [1, 2, 3]);
    }

    #[test]
    fn a_pass_ends_before_the_log_has_doubled() {
        let log_bytes = 100_000;
        let mut checkpoint = Checkpoint::new(BOXES, log_bytes);
        let mut seal = Seal::default();
        let mut most = 0;
        for round in 0..10_000_u32 {
            let ids: Vec<u32> = (0..10).map(|chunk| chunk * BOXES_PER_CHUNK + round).collect();
            commit(&mut checkpoint, &mut seal, &ids);
            most = most.max(seal.log_bytes);
        }
        assert!(most < 2 * log_bytes, "the log grew to {most}");
        assert!(seal.log_first > 5_000, "entries were trimmed");
    }

    #[test]
    fn an_entry_is_trimmed_only_after_its_boxes_were_taken() {
        let mut checkpoint = Checkpoint::new(BOXES, 2_000);
        let mut seal = Seal::default();
        let mut in_chunks = std::collections::HashSet::new();
        let mut entries: Vec<Vec<u32>> = Vec::new();
        for round in 0..2_000_u32 {
            let ids = vec![round.wrapping_mul(2_654_435_761) % BOXES, round];
            entries.push(ids.clone());
            let step = commit(&mut checkpoint, &mut seal, &ids);
            in_chunks.extend(step.chunks.into_iter().flat_map(|(_, ids)| ids));
            let trimmed = usize::try_from(seal.log_first).expect("small");
            assert!(entries[..trimmed].iter().flatten().all(|id| in_chunks.contains(id)));
        }
        assert!(seal.log_first > 1_000);
    }

    #[test]
    fn idle_steps_finish_what_is_left_and_then_stop() {
        let mut checkpoint = Checkpoint::new(BOXES, 1);
        let mut seal = Seal { log_next: 200, log_bytes: 1, ..Seal::default() };
        checkpoint.add(&(0..10).map(|chunk| chunk * BOXES_PER_CHUNK).collect::<Vec<_>>());
        let mut steps = 0;
        while checkpoint.is_due(&seal) {
            let step = checkpoint.step(&seal, 0);
            seal.log_first = seal.log_first.max(step.trim_below);
            seal.log_bytes = u64::from(seal.log_first < seal.log_next);
            steps += 1;
            assert!(steps < 20, "idle work does not end");
        }
        assert_eq!(seal.log_first, 200);
    }
}

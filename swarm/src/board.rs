//! The board as range requests show it: reads tiles over connections of its own, before a run (which boxes are taken) and
//! after it (is every acknowledged check there).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::task::LocalSet;
use tokio::time::timeout;

use crate::books::TILE_BOXES;
use crate::client::{Next, Player};
use crate::crew::{Desk, Run, Station};
use crate::seat::{Door, Fate, Place};
use crate::target::Target;
use crate::wire::{Message, Outgoing};

const TILE_BYTES: usize = TILE_BOXES as usize / 8;
/// Connections that read, and how much each asks ahead: under the 16 after which a server stops listening.
const READERS: usize = 4;
const OUTSTANDING: usize = 8;
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// One bit per box, as on the wire: bit 0 of byte 0 is box 1. Untouched parts take no memory.
#[derive(Debug, Clone)]
pub(crate) struct Bitmap {
    bytes: Vec<u8>,
}

impl Bitmap {
    pub(crate) fn new(boxes: u32) -> Self {
        Self { bytes: vec![0; boxes.div_ceil(8) as usize] }
    }

    /// Adds the boxes of an answer that begins with the first one; what is padding is left out.
    pub(crate) fn add(&mut self, mask: &[u8]) {
        self.bytes.iter_mut().zip(mask).for_each(|(mine, told)| *mine |= told);
    }

    pub(crate) fn get(&self, id: u32) -> bool {
        let index = id - 1;
        self.bytes[(index / 8) as usize] >> (index % 8) & 1 == 1
    }

    pub(crate) fn set(&mut self, id: u32) {
        let index = id - 1;
        self.bytes[(index / 8) as usize] |= 1 << (index % 8);
    }

    pub(crate) fn count(&self) -> u64 {
        self.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    /// The boxes set here and not in `expected`.
    pub(crate) fn beyond<'a>(&'a self, expected: &'a Self) -> impl Iterator<Item = u32> + 'a {
        let differing = self
            .bytes
            .iter()
            .zip(&expected.bytes)
            .enumerate()
            .filter(|(_, (mine, other))| *mine & !*other != 0);
        differing.flat_map(|(at, (mine, other))| {
            let extra = mine & !other;
            (0..8).filter(move |bit| extra >> bit & 1 == 1).map(move |bit| at as u32 * 8 + bit + 1)
        })
    }

    /// Takes over what a tile's answer says; its mask may be padded at the end of a small board.
    fn fill_tile(&mut self, tile: u32, mask: &[u8]) {
        let at = tile as usize * TILE_BYTES;
        let len = TILE_BYTES.min(self.bytes.len() - at);
        self.bytes[at..at + len].copy_from_slice(&mask[..len]);
    }
}

/// First and last box of `tile`.
pub(crate) fn tile_range(tile: u32, boxes: u32) -> (u32, u32) {
    let first = tile * TILE_BOXES + 1;
    (first, first.saturating_add(TILE_BOXES - 1).min(boxes))
}

/// Checks an answer against its request: first id, length, and that bits past the range are 0.
pub(crate) fn check_answer(asked: (u32, u32), first: u32, mask: &[u8]) -> Result<(), String> {
    let boxes = asked.1 - asked.0 + 1;
    // Never 8 bytes or shorter with its first id: up to 32 boxes are padded to a mask of 5 bytes.
    let len = if boxes <= 32 { 5 } else { boxes.div_ceil(8) as usize };
    if first != asked.0 {
        return Err(format!("asked for {}..={}, answered from {first}", asked.0, asked.1));
    }
    if mask.len() != len {
        return Err(format!(
            "asked for {}..={}, mask of {} bytes instead of {len}",
            asked.0,
            asked.1,
            mask.len()
        ));
    }
    let whole = (boxes / 8) as usize;
    let padding_is_zero = mask[whole..].iter().enumerate().all(|(at, byte)| {
        let used = if at == 0 { boxes % 8 } else { 0 };
        u32::from(*byte) >> used == 0
    });
    if padding_is_zero {
        Ok(())
    } else {
        Err(format!("asked for {}..={}, bits past the range are set", asked.0, asked.1))
    }
}

/// The total that a fresh connection is told.
pub(crate) async fn announced_total(target: &Target, run: &Arc<Run>) -> Result<u32> {
    Ok(read(target, run, Vec::new(), 1, CONNECT_LIMIT).await?.0)
}

/// Reads `tiles`; the rest of the returned bitmap is empty.
pub(crate) async fn read_tiles(
    target: &Target,
    run: &Arc<Run>,
    tiles: Vec<u32>,
    limit: Duration,
) -> Result<Bitmap> {
    let readers = READERS.min(tiles.len());
    if readers == 0 {
        return Ok(Bitmap::new(run.books.shuffle.boxes()));
    }
    Ok(read(target, run, tiles, readers, limit).await?.1)
}

async fn read(
    target: &Target,
    run: &Arc<Run>,
    tiles: Vec<u32>,
    readers: usize,
    limit: Duration,
) -> Result<(u32, Bitmap)> {
    let station = Station::new(Arc::clone(run));
    let boxes = run.books.shuffle.boxes();
    let count = tiles.len();
    let reading = Rc::new(RefCell::new(Reading {
        boxes,
        queue: tiles.into(),
        found: Bitmap::new(boxes),
        fault: None,
    }));
    let places: Vec<_> = (0..readers)
        .map(|index| {
            let reader =
                Reader { reading: Rc::clone(&reading), asked: VecDeque::new(), total: None };
            Place::new(index, reader, Rc::clone(&station))
        })
        .collect();
    let seats: Vec<_> = places.iter().map(|place| Rc::clone(&place.seat)).collect();
    let tasks = LocalSet::new();
    for place in places {
        let target = target.clone();
        let door = Door::simple(CONNECT_LIMIT);
        tasks.spawn_local(async move { place.live(&target, &door, None).await });
    }
    timeout(limit, tasks)
        .await
        .ok()
        .with_context(|| format!("{count} tiles were not read within {} s", limit.as_secs()))?;
    let mut total = 0;
    for seat in &seats {
        match &*seat.fate.borrow() {
            Fate::Left => {}
            Fate::Failed(error) => bail!("cannot connect to {}: {error}", target.addr),
            Fate::Lost(closed) => bail!("connection lost while reading tiles: {closed}"),
            Fate::Opening | Fate::Open => bail!("a connection is still open"),
        }
        total = total.max(seat.player.borrow().total.context("a connection was told no total")?);
    }
    drop(seats);
    let reading = Rc::try_unwrap(reading).ok().context("a reader outlived its task")?.into_inner();
    match reading.fault {
        Some(fault) => bail!("a wrong range answer: {fault}"),
        None => Ok((total, reading.found)),
    }
}

/// What the readers share.
#[derive(Debug)]
struct Reading {
    boxes: u32,
    queue: VecDeque<u32>,
    found: Bitmap,
    fault: Option<String>,
}

/// Asks for the next tile in the queue until it is empty, then leaves.
struct Reader {
    reading: Rc<RefCell<Reading>>,
    asked: VecDeque<u32>,
    total: Option<u32>,
}

impl Player for Reader {
    fn v2(&self) -> bool {
        false
    }

    fn update(&mut self, _total: u32, _id: u32, _desk: &mut Desk) {}

    fn message(&mut self, message: Message<'_>, _desk: &mut Desk) {
        match message {
            Message::Total(total) => self.total = Some(total),
            Message::Range { first, mask } => {
                let mut reading = self.reading.borrow_mut();
                let Some(tile) = self.asked.pop_front() else {
                    reading.fault = Some("it came unasked".into());
                    return;
                };
                match check_answer(tile_range(tile, reading.boxes), first, mask) {
                    Ok(()) => reading.found.fill_tile(tile, mask),
                    Err(fault) => reading.fault = Some(fault),
                }
            }
            _ => {}
        }
    }

    fn fill(&mut self, _desk: &mut Desk, out: &mut Outgoing) -> Next {
        let mut reading = self.reading.borrow_mut();
        while self.total.is_some() && self.asked.len() < OUTSTANDING {
            let Some(tile) = reading.queue.pop_front() else { break };
            let (first, last) = tile_range(tile, reading.boxes);
            out.range(first, last);
            self.asked.push_back(tile);
        }
        let done = self.total.is_some() && self.asked.is_empty() && reading.queue.is_empty();
        if done || reading.fault.is_some() { Next::Leave } else { Next::Read }
    }

    fn settled(&self, _desk: &Desk) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_counts_from_one_and_finds_what_is_beyond() {
        let (mut board, mut expected) = (Bitmap::new(100), Bitmap::new(100));
        for id in [1, 8, 9, 100] {
            board.set(id);
        }
        expected.set(8);
        expected.set(50);
        assert_eq!(board.bytes[..2], [0b1000_0001, 0b1]);
        assert!(board.get(9) && !board.get(10));
        assert_eq!((board.count(), expected.count()), (4, 2));
        assert_eq!(board.beyond(&expected).collect::<Vec<_>>(), [1, 9, 100]);
    }

    #[test]
    fn tiles_end_with_the_board() {
        assert_eq!(tile_range(0, 1_000_000_000), (1, 100_000));
        assert_eq!(tile_range(9_999, 1_000_000_000), (999_900_001, 1_000_000_000));
        assert_eq!(tile_range(1, 100_007), (100_001, 100_007));
        let mut board = Bitmap::new(100_007);
        board.fill_tile(1, &[0b100_0001, 0, 0, 0, 0]);
        assert!(board.get(100_001) && board.get(100_007) && board.count() == 2);
    }

    #[test]
    fn a_wrong_answer_is_told_from_a_right_one() {
        assert_eq!(check_answer((1, 100_000), 1, &[0xff; 12_500]), Ok(()));
        assert_eq!(check_answer((5, 5), 5, &[1, 0, 0, 0, 0]), Ok(()));
        assert_eq!(check_answer((1, 32), 1, &[255, 255, 255, 255, 0]), Ok(()));
        assert_eq!(check_answer((1, 33), 1, &[255, 255, 255, 255, 1]), Ok(()));
        assert!(check_answer((1, 33), 1, &[255, 255, 255, 255, 2]).is_err());
        assert!(check_answer((5, 5), 5, &[2, 0, 0, 0, 0]).is_err());
        assert!(check_answer((5, 5), 5, &[1, 0, 0, 0, 1]).is_err());
        assert!(check_answer((5, 5), 5, &[1]).is_err());
        assert!(check_answer((5, 5), 6, &[1, 0, 0, 0, 0]).is_err());
        assert!(check_answer((1, 100_000), 1, &[0; 12_501]).is_err());
        assert!(check_answer((1, 100_000), 100_001, &[0; 12_500]).is_err());
    }
}

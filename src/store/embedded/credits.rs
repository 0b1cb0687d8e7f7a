//! Credits in the database: one counter for each user and day, changed in the transaction that appends the boxes to
//! the log, each under a checksum, all of them under a [`CreditSeal`].
//!
//! The table, the seal and their place in `meta` are made with the first credit. A program that knows nothing of
//! credits reads and writes such a file as before and leaves both alone, so `FORMAT` stays what it was.

use std::{collections::HashMap, ops::Bound};

use actors::{
    board::{Board, ShardIndex},
    player::UserId,
    store::{
        batch::Batch,
        credits::{Counted, CreditCursor, CreditKey, CreditPage, Day},
    },
};
use redb::{
    Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    TableError, WriteTransaction,
};

use super::{
    disk::{META, damaged},
    fault::Fault,
    format::{open_value, seal_value},
};
use crate::store::credits::Today;

/// Days come first, so that counters of one day lie together: commits touch the end of the tree.
const CREDITS: TableDefinition<(u32, u64), [u8; VALUE_BYTES]> = TableDefinition::new("credits");

/// A count and its checksum.
const VALUE_BYTES: usize = 8 + 4;

/// Counters in one page of [`page`]: a millisecond of the store's thread.
const PAGE: usize = 1024;

/// How many counters there are and what their checksums add up to, wrapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreditSeal {
    pub counters: u64,
    pub sum: u64,
}

impl CreditSeal {
    const KEY: &str = "credits";

    fn replace(&mut self, old: Option<u32>, new: Option<u32>) {
        self.counters += u64::from(new.is_some());
        self.counters = self.counters.wrapping_sub(u64::from(old.is_some()));
        let (old, new) = (u64::from(old.unwrap_or(0)), u64::from(new.unwrap_or(0)));
        self.sum = self.sum.wrapping_sub(old).wrapping_add(new);
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(20);
        value.extend_from_slice(&self.counters.to_le_bytes());
        value.extend_from_slice(&self.sum.to_le_bytes());
        seal_value(Self::KEY.as_bytes(), &mut value);
        value
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (body, _) = open_value(Self::KEY.as_bytes(), value)?;
        let (counters, sum) = body.split_first_chunk::<8>()?;
        let sum = sum.try_into().ok()?;
        Some(Self { counters: u64::from_le_bytes(*counters), sum: u64::from_le_bytes(sum) })
    }

    fn write(&self, txn: &WriteTransaction) -> Result<(), Fault> {
        txn.open_table(META)?.insert(Self::KEY, self.encode().as_slice())?;
        Ok(())
    }
}

fn stored(key: CreditKey) -> (u32, u64) {
    (key.day.0, key.user.get())
}

fn key_bytes((day, user): (u32, u64)) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&day.to_le_bytes());
    bytes[4..].copy_from_slice(&user.to_le_bytes());
    bytes
}

fn encode(key: (u32, u64), count: u64) -> ([u8; VALUE_BYTES], u32) {
    let mut value = count.to_le_bytes().to_vec();
    let checksum = seal_value(&key_bytes(key), &mut value);
    (value.try_into().expect("a count and its checksum"), checksum)
}

/// The count and its checksum.
fn open(key: (u32, u64), value: [u8; VALUE_BYTES]) -> Result<(u64, u32), Fault> {
    let opened = open_value(&key_bytes(key), &value)
        .and_then(|(body, checksum)| Some((u64::from_le_bytes(body.try_into().ok()?), checksum)));
    opened.ok_or_else(|| {
        damaged(format!("the checksum of the credits of {:016x} on day {} is wrong", key.1, key.0))
    })
}

/// Adds to counters, which are ascending and different; what they add up to then.
pub fn add(
    txn: &WriteTransaction,
    mut seal: CreditSeal,
    credits: &[Counted],
) -> Result<CreditSeal, Fault> {
    if credits.is_empty() {
        return Ok(seal);
    }
    let mut table = txn.open_table(CREDITS)?;
    for (key, boxes) in credits {
        let key = stored(*key);
        let before = table.get(key)?.map(|value| open(key, value.value())).transpose()?;
        let (count, old) = before.unzip();
        let (value, new) = encode(key, count.unwrap_or(0) + boxes);
        table.insert(key, value)?;
        seal.replace(old, Some(new));
    }
    drop(table);
    seal.write(txn)?;
    Ok(seal)
}

/// Removes counters that have not changed since they were read; what is left, and how many were removed.
pub fn forget(
    txn: &WriteTransaction,
    mut seal: CreditSeal,
    counted: &[Counted],
) -> Result<(CreditSeal, u64), Fault> {
    let mut table = txn.open_table(CREDITS)?;
    let mut removed = 0;
    for (key, count) in counted {
        let key = stored(*key);
        let found = table.get(key)?.map(|value| open(key, value.value())).transpose()?;
        if let Some((_, checksum)) = found.filter(|(found, _)| found == count) {
            table.remove(key)?;
            seal.replace(Some(checksum), None);
            removed += 1;
        }
    }
    drop(table);
    seal.write(txn)?;
    Ok((seal, removed))
}

type Counters = ReadOnlyTable<(u32, u64), [u8; VALUE_BYTES]>;

fn table(txn: &ReadTransaction) -> Result<Option<Counters>, Fault> {
    match txn.open_table(CREDITS) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Verifies all counters.
pub fn verify(txn: &ReadTransaction) -> Result<CreditSeal, Fault> {
    let sealed = match txn.open_table(META)?.get(CreditSeal::KEY)? {
        Some(value) => CreditSeal::decode(value.value())
            .ok_or_else(|| damaged("the checksum of the credits' seal is wrong".into()))?,
        None => CreditSeal::default(),
    };
    let mut found = CreditSeal::default();
    if let Some(table) = table(txn)? {
        for item in table.iter()? {
            let (key, value) = item?;
            let key = key.value();
            let (_, checksum) = open(key, value.value())?;
            if UserId::new(key.1).is_none() {
                return Err(damaged(format!("credits of {:016x}, which is no user", key.1)));
            }
            found.replace(None, Some(checksum));
        }
    }
    if found != sealed {
        return Err(damaged("credits are missing or out of date".into()));
    }
    Ok(sealed)
}

/// The values of counters, 0 for one that does not exist.
pub fn read(database: &Database, keys: &[CreditKey]) -> Result<Vec<u64>, Fault> {
    let txn = database.begin_read()?;
    let Some(table) = table(&txn)? else { return Ok(vec![0; keys.len()]) };
    let count = |key: &CreditKey| {
        let key = stored(*key);
        let found = table.get(key)?.map(|value| open(key, value.value())).transpose()?;
        Ok(found.map_or(0, |(count, _)| count))
    };
    keys.iter().map(count).collect()
}

/// The counters after `from`.
pub fn page(database: &Database, CreditCursor(from): CreditCursor) -> Result<CreditPage, Fault> {
    let txn = database.begin_read()?;
    let Some(table) = table(&txn)? else { return Ok(CreditPage::default()) };
    // A cursor is the key that was read last; none is 0, because no user is.
    let after = ((from >> 64) as u32, from as u64);
    let mut page = CreditPage::default();
    for item in table.range((Bound::Excluded(after), Bound::Unbounded))? {
        let (key, value) = item?;
        let (day, number) = key.value();
        let user = UserId::new(number).ok_or_else(|| damaged("credits of no user".into()))?;
        let (count, _) = open((day, number), value.value())?;
        page.counted.push((CreditKey { day: Day(day), user }, count));
        if page.counted.len() == PAGE {
            page.next = Some(CreditCursor(u128::from(day) << 64 | u128::from(number)));
            break;
        }
    }
    Ok(page)
}

/// Who is credited in the commit under way.
///
/// Of the boxes that users check, memory has left out all that are durable, but for those of commits that were refused
/// and nevertheless reached the disk. These are found at the return from an outage, and remembered here: a check of
/// one may have been on its way before its shard learned of it.
pub struct Crediting {
    today: Today,
    group: HashMap<CreditKey, u64>,
    found: Found,
}

impl Crediting {
    pub fn new(today: Today, boxes: u32) -> Self {
        Self { today, group: HashMap::new(), found: Found { boxes, words: Vec::new() } }
    }

    /// Boxes turned out to be durable that were refused.
    pub fn found(&mut self, indexes: &[u32]) {
        self.found.add(indexes);
    }

    /// A batch is part of the commit under way.
    pub fn add(&mut self, board: &Board, shard: ShardIndex, batch: &Batch) {
        if batch.shares().is_empty() {
            return;
        }
        let day = (self.today)();
        for (user, offsets) in batch.shared() {
            let is_first = |index| !self.found.contains(index);
            let indexes = offsets.iter().map(|offset| board.id(shard, *offset).get() - 1);
            let boxes = indexes.filter(|index| is_first(*index)).count() as u64;
            if boxes > 0 {
                *self.group.entry(CreditKey { day, user }).or_default() += boxes;
            }
        }
    }

    /// Ends the commit's group: what to add to which counter, ascending.
    pub fn take(&mut self) -> Vec<Counted> {
        let mut credits: Vec<Counted> = self.group.drain().collect();
        credits.sort_unstable();
        credits
    }
}

/// A set of boxes. Its pages come into being where a box is set, so it is small unless very much was found, and never
/// larger than the board's bits.
struct Found {
    boxes: u32,
    /// Empty before the first box.
    words: Vec<u64>,
}

impl Found {
    fn add(&mut self, indexes: &[u32]) {
        if self.words.is_empty() && !indexes.is_empty() {
            self.words = vec![0; self.boxes.div_ceil(64) as usize];
        }
        for index in indexes {
            self.words[(index / 64) as usize] |= 1 << (index % 64);
        }
    }

    fn contains(&self, index: u32) -> bool {
        self.words.get((index / 64) as usize).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }
}

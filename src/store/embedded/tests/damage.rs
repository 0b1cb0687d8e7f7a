//! Files with flipped bits, cut off or overwritten: a clear refusal or exactly the right content.

use std::{fs, ops::Range, path::PathBuf};

use super::*;

/// A cleanly closed database with chunks and log entries, and what it holds.
struct Sound {
    folder: Folder,
    bytes: Vec<u8>,
    ids: BTreeSet<BoxId>,
}

impl Sound {
    async fn new(random: &mut Random) -> Self {
        let folder = folder();
        let board = small_board();
        let mut ids = BTreeSet::new();
        let store = open(folder.0.path(), &board).expect("an empty folder");
        for _ in 0..40 {
            let batch = random.ids(&board, 20);
            commit_ids(&store, &batch).await.expect("the store is up");
            ids.extend(batch);
        }
        store.close().await.expect("all is saved");
        let bytes = fs::read(folder.0.path().join("small.redb")).expect("a file");
        Self { folder, bytes, ids }
    }

    fn file(&self) -> PathBuf {
        self.folder.0.path().join("small.redb")
    }

    /// Whether the file with `bytes` was refused; panics if it was misread.
    async fn is_refused(&self, bytes: &[u8], what: &str) -> bool {
        fs::write(self.file(), bytes).expect("room on the disk");
        match stored(self.folder.0.path(), &small_board()).await {
            Ok(ids) => {
                assert!(ids == self.ids, "{what}: opened with wrong content");
                false
            }
            Err(StoreError::Unusable(text)) => {
                assert!(text.contains("small.redb"), "{what}: {text}");
                assert!(text.contains("restore it from a backup"), "{what}: {text}");
                true
            }
            Err(other) => panic!("{what}: {other:?}"),
        }
    }

    async fn flip(&self, position: usize, mask: u8) -> bool {
        let mut bytes = self.bytes.clone();
        bytes[position] ^= mask;
        self.is_refused(&bytes, &format!("byte {position} ^ {mask:#04x}")).await
    }

    /// Places where the file's bytes are not all zero, in blocks of the engine's page size.
    fn used_pages(&self) -> Vec<Range<usize>> {
        let pages = (0..self.bytes.len()).step_by(4096).map(|start| {
            let end = (start + 4096).min(self.bytes.len());
            start..end
        });
        pages.filter(|page| self.bytes[page.clone()].iter().any(|byte| *byte != 0)).collect()
    }
}

#[tokio::test]
async fn every_bit_of_the_file_header_may_flip() {
    let mut random = Random::seeded();
    let sound = Sound::new(&mut random).await;
    assert!(!sound.is_refused(&sound.bytes, "nothing flipped").await);
    for position in 0..320 {
        sound.flip(position, 1 << random.below(8)).await;
    }
    // The byte that chooses between the engine's two latest states.
    for bit in 0..8 {
        sound.flip(9, 1 << bit).await;
    }
}

#[tokio::test]
async fn bits_may_flip_anywhere_in_the_file() {
    let mut random = Random::seeded();
    let sound = Sound::new(&mut random).await;
    let pages = sound.used_pages();
    let mut refused = 0;
    for _ in 0..300 {
        let page = &pages[random.below(u32::try_from(pages.len()).expect("few")) as usize];
        // Half of them where a page keeps its structure.
        let reach = if random.below(2) == 0 { 64 } else { 4096 };
        let position = page.start + random.below(reach) as usize;
        if position < sound.bytes.len() {
            let mask = 1 << random.below(8);
            refused += u32::from(sound.flip(position, mask).await);
        }
    }
    println!("{refused} of 300 were refused, the others hit what does not matter");
    assert!(refused > 30, "only {refused} of 300 flips were noticed");
}

#[tokio::test]
async fn a_truncated_file_is_refused_or_whole() {
    let mut random = Random::seeded();
    let sound = Sound::new(&mut random).await;
    let len = u32::try_from(sound.bytes.len()).expect("a small file");
    for end in [0, 1, 9, 10, 64, 319, 320, 4095, 4096, 4097, len / 2, len - 4096, len - 1] {
        sound.is_refused(&sound.bytes[..end as usize], &format!("cut at {end}")).await;
    }
    for _ in 0..20 {
        let end = random.below(len) as usize;
        sound.is_refused(&sound.bytes[..end], &format!("cut at {end}")).await;
    }
}

#[tokio::test]
async fn garbage_is_refused() {
    let mut random = Random::seeded();
    let sound = Sound::new(&mut random).await;
    let noise: Vec<u8> = (0..100_000).map(|_| random.0.random()).collect();
    assert!(sound.is_refused(&noise, "noise").await);
    assert!(sound.is_refused(&[0; 100_000], "zeros").await);
    assert!(sound.is_refused(b"# settings", "a text").await);
    let mut headed = noise;
    headed[..4096].copy_from_slice(&sound.bytes[..4096]);
    assert!(sound.is_refused(&headed, "noise behind a sound header").await);
}

#[tokio::test]
async fn zeroed_pages_are_refused_or_did_not_matter() {
    let sound = Sound::new(&mut Random::seeded()).await;
    for page in sound.used_pages() {
        let mut bytes = sound.bytes.clone();
        bytes[page.clone()].fill(0);
        sound.is_refused(&bytes, &format!("zeroed {page:?}")).await;
    }
}

/// Changes a table through the engine, so that its own checksums are right afterwards.
fn with_table<K: redb::Key + 'static>(
    sound: &Sound,
    name: &str,
    change: impl FnOnce(&mut redb::Table<'_, K, &'static [u8]>),
) -> Vec<u8> {
    fs::write(sound.file(), &sound.bytes).expect("room on the disk");
    let database = redb::Database::open(sound.file()).expect("a sound file");
    let txn = database.begin_write().expect("nobody else writes");
    let definition = redb::TableDefinition::<K, &[u8]>::new(name);
    change(&mut txn.open_table(definition).expect("a table of ours"));
    txn.commit().expect("room on the disk");
    drop(database);
    fs::read(sound.file()).expect("a file")
}

#[tokio::test]
async fn a_value_that_vanished_or_is_an_older_one_is_refused() {
    let sound = Sound::new(&mut Random::seeded()).await;
    let without = with_table::<u32>(&sound, "chunks", |chunks| {
        chunks.pop_last().expect("readable").expect("there are chunks");
    });
    assert!(sound.is_refused(&without, "a chunk less").await);
    let empty = with_table::<u32>(&sound, "chunks", |chunks| {
        // Sound in itself, under the right key: only the seal knows that more was stored.
        let mut value = vec![0; super::super::format::CHUNK_BYTES];
        super::super::format::seal_value(&1_u32.to_le_bytes(), &mut value);
        chunks.insert(1, value.as_slice()).expect("writable");
    });
    assert!(sound.is_refused(&empty, "an older chunk").await);
    for last in [false, true] {
        let without = with_table::<u64>(&sound, "log", |log| {
            let entry = if last { log.pop_last() } else { log.pop_first() };
            entry.expect("readable").expect("there are log entries");
        });
        assert!(sound.is_refused(&without, "a log entry less").await);
    }
    let without = with_table::<&str>(&sound, "meta", |meta| {
        meta.remove("seal").expect("readable");
    });
    assert!(sound.is_refused(&without, "no seal").await);
}

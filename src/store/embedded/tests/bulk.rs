//! Reading a stopped server's database as a whole, and merging into it, beside a plain set.

use std::{collections::BTreeMap, fs};

use super::{
    super::{
        file_of,
        merge::{Merged, merge},
        snapshot::Snapshot,
    },
    *,
};

/// Tile → its bits, for tiles with a checked box.
type Tiles = BTreeMap<u32, Vec<u8>>;

fn tiles(board: &Board, ids: &BTreeSet<BoxId>) -> Tiles {
    let mut tiles = Tiles::new();
    for id in ids {
        let (tile, bit) = ((id.get() - 1) / 100_000, (id.get() - 1) % 100_000);
        let boxes = board.tile(tile).expect("a tile of the board").boxes();
        let bits = tiles.entry(tile).or_insert_with(|| vec![0; boxes.div_ceil(8) as usize]);
        bits[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    tiles
}

fn snapshot(folder: &Path, board: &Board) -> Tiles {
    let snapshot = Snapshot::open(&file_of(folder, board.name()));
    let mut snapshot = snapshot.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((snapshot.name(), snapshot.boxes()), (board.name(), board.boxes()));
    let (mut found, mut bits) = (Tiles::new(), vec![]);
    while let Some(tile) = snapshot.next(&mut bits).expect("readable") {
        found.insert(tile, bits.clone());
    }
    found
}

fn merge_tiles(folder: &Path, board: &Board, tiles: &Tiles) -> Result<Merged, StoreError> {
    let mut tiles = tiles.iter();
    merge(folder, board, &mut |bits| {
        Ok(tiles.next().map(|(tile, found)| {
            bits.clone_from(found);
            *tile
        }))
    })
}

#[tokio::test]
async fn merges_and_commits_in_turn_agree_with_a_plain_set() {
    let mut random = Random::seeded();
    let (folder, board) = (folder(), small_board());
    let mut model = BTreeSet::new();
    for round in 0..8 {
        let count = random.below(3_000);
        let merged: BTreeSet<BoxId> = random.ids(&board, count).into_iter().collect();
        let new = merged.difference(&model).count() as u64;
        let done = merge_tiles(folder.0.path(), &board, &tiles(&board, &merged));
        let expected = Merged { seen: merged.len() as u64, added: new };
        assert_eq!(done.expect("room"), expected, "round {round}");
        model.extend(merged);
        // Boxes in the log, some of them moved to chunks, and some of those in both.
        let store = open(folder.0.path(), &board).expect("a sound file");
        for _ in 0..random.below(40) {
            let ids = random.ids(&board, 50);
            commit_ids(&store, &ids).await.expect("the store is up");
            model.extend(ids);
        }
        store.close().await.expect("all is saved");
        let before = fs::read(file_of(folder.0.path(), board.name())).expect("a file");
        assert_eq!(snapshot(folder.0.path(), &board), tiles(&board, &model), "round {round}");
        let after = fs::read(file_of(folder.0.path(), board.name())).expect("a file");
        assert!(before == after, "reading changes nothing");
    }
    let again = merge_tiles(folder.0.path(), &board, &tiles(&board, &model)).expect("room");
    assert_eq!(again, Merged { seen: model.len() as u64, added: 0 });
    assert_eq!(stored(folder.0.path(), &board).await.expect("a sound file"), model);
}

#[tokio::test]
async fn a_source_that_fails_leaves_everything_as_it_was() {
    let mut random = Random::seeded();
    let (folder, board) = (folder(), small_board());
    let path = file_of(folder.0.path(), board.name());
    let some: BTreeSet<BoxId> = random.ids(&board, 500).into_iter().collect();
    let source = tiles(&board, &some);
    let failing = || {
        let mut tiles = source.iter().take(9);
        merge(folder.0.path(), &board, &mut |bits| match tiles.next() {
            Some((tile, found)) => {
                bits.clone_from(found);
                Ok(Some(*tile))
            }
            None => Err(StoreError::Unavailable("the source ended".into())),
        })
    };
    let said = failing().expect_err("the source fails").to_string();
    assert!(said.contains("the source ended"), "{said}");
    assert_eq!(fs::read_dir(folder.0.path()).expect("a folder").count(), 0, "no file is left");

    let store = open(folder.0.path(), &board).expect("an empty folder");
    commit_ids(&store, &random.ids(&board, 300)).await.expect("the store is up");
    store.close().await.expect("all is saved");
    let before = snapshot(folder.0.path(), &board);
    failing().expect_err("the source fails");
    assert_eq!(snapshot(folder.0.path(), &board), before);

    let store = open(folder.0.path(), &board).expect("a sound file");
    for refused in
        [Snapshot::open(&path).err(), merge_tiles(folder.0.path(), &board, &source).err()]
    {
        assert!(matches!(refused, Some(StoreError::InUse(_))), "{refused:?}");
    }
    store.close().await.expect("all is saved");
    let other = Board::new("small", 1_350_008, 5).expect("a legal board");
    assert!(merge_tiles(folder.0.path(), &other, &Tiles::new()).is_err(), "another size");
}

#[tokio::test]
async fn a_damaged_database_is_not_read() {
    let (folder, board) = (folder(), small_board());
    let path = file_of(folder.0.path(), board.name());
    let said = |path: &Path| match Snapshot::open(path) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was opened"),
    };
    assert!(said(&path).contains("small.redb is not there"), "{}", said(&path));
    let store = open(folder.0.path(), &board).expect("an empty folder");
    for _ in 0..20 {
        commit_ids(&store, &Random::seeded().ids(&board, 100)).await.expect("the store is up");
    }
    store.close().await.expect("all is saved");
    let sound = fs::read(&path).expect("a file");
    for cut in [0, 10, 5_000, sound.len() / 2] {
        fs::write(&path, &sound[..cut]).expect("room");
        assert!(said(&path).contains("damaged"), "cut at {cut}: {}", said(&path));
    }
    fs::write(&path, &sound).expect("room");
    let database = redb::Database::open(&path).expect("a sound file");
    let txn = database.begin_write().expect("nobody else writes");
    let chunks = redb::TableDefinition::<u32, &[u8]>::new("chunks");
    txn.open_table(chunks).expect("ours").pop_last().expect("readable").expect("a chunk");
    txn.commit().expect("room");
    drop(database);
    assert!(said(&path).contains("chunks are missing"), "{}", said(&path));
}

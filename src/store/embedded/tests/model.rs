//! The store against a plain set of ids, over many checkpoint passes and reopenings.

use super::*;

#[tokio::test]
async fn random_commits_and_reopenings_agree_with_a_plain_set() {
    let mut random = Random::seeded();
    let folder = folder();
    let mut model = BTreeSet::new();
    for _ in 0..12 {
        // The number of shards is the opener's business, so it changes too.
        let board = Board::new("small", 1_350_007, 1 + random.below(14)).expect("a legal board");
        let store = open(folder.0.path(), &board).expect("a sound file");
        assert_eq!(contents(&store).await, model);
        for _ in 0..random.below(120) {
            let count = random.below(60);
            let ids = random.ids(&board, count);
            let new: Vec<_> = ids.into_iter().filter(|id| model.insert(*id)).collect();
            check_ids(&store, &new).await.expect("the store is up");
        }
        if random.below(2) == 0 {
            // A load between commits sees the chunks and what they lack.
            assert_eq!(contents(&store).await, model);
        }
        store.close().await.expect("all is saved");
    }
    let kept = stored_and_credited(folder.0.path(), &small_board()).await;
    assert_eq!(kept.expect("a sound file"), model);
}

#[tokio::test]
async fn a_log_left_over_moves_into_the_chunks_while_nobody_plays() {
    let folder = folder();
    let board = small_board();
    let ids = Random::seeded().ids(&board, 2_000);
    let large_log = Options { log_bytes: 1 << 20, ..Options::new(folder.0.path(), board.clone()) };
    let store = EmbeddedStore::open(large_log).expect("an empty folder");
    commit_ids(&store, &ids).await.expect("the store is up");
    store.close().await.expect("all is saved");
    let store = open(folder.0.path(), &board).expect("a sound file");
    until("the log is empty", Duration::from_secs(20), || store.log_bytes() == 0).await;
    store.close().await.expect("all is saved");
    let mut entries = 0;
    let path = folder.0.path().join("small.redb");
    let disk = super::super::disk::Disk::open(&path, &board, &mut |_, _| entries += 1);
    disk.expect("a sound file").close();
    assert_eq!(entries, 0, "log entries are left");
    assert_eq!(
        stored(folder.0.path(), &board).await.expect("a sound file"),
        ids.into_iter().collect()
    );
}

#[tokio::test]
async fn a_panic_inside_the_store_refuses_commits_instead_of_hanging_them() {
    let folder = folder();
    let board = small_board();
    let store = open(folder.0.path(), &board).expect("an empty folder");
    let ids = Random::seeded().ids(&board, 10);
    commit_ids(&store, &ids).await.expect("the store is up");
    store.jobs.send(super::super::worker::Job::Panic).await.expect("the thread runs");
    let refused = commit_ids(&store, &ids).await.expect_err("nobody is there to commit");
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    until("the state says down", Duration::from_secs(5), || store.outlook.ready().is_err()).await;
    store.close().await.expect("all is saved");
    // The file was released, and lost nothing.
    assert_eq!(
        stored(folder.0.path(), &board).await.expect("a sound file"),
        ids.into_iter().collect()
    );
}

#[tokio::test]
async fn a_store_that_is_dropped_releases_its_file() {
    let folder = folder();
    let store = open(folder.0.path(), &small_board()).expect("an empty folder");
    drop(store);
    until("the file is free again", Duration::from_secs(5), || {
        open(folder.0.path(), &small_board()).is_ok()
    })
    .await;
}

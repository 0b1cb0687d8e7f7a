//! What coming back after a failed disk finds, one case at a time. Real failures are in
//! `full_disk`.

use std::fs;

use actors::store::StoreState;

use super::{
    super::{
        checkpoint::{Checkpoint, Step},
        disk::Disk,
        recovery::{Wanted, reopen as reopen_wanted},
        worker::Job,
    },
    *,
};

fn reopen(
    path: &Path,
    board: &Board,
    log_bytes: u64,
    acknowledged: u64,
) -> Result<(Disk, Checkpoint, Vec<u32>), StoreError> {
    let found = reopen_wanted(&Wanted { path, board, log_bytes, acknowledged })?;
    Ok((found.disk, found.checkpoint, found.learned))
}

/// A database whose log holds one entry per batch.
fn logged(folder: &Folder, batches: &[&[u32]]) -> std::path::PathBuf {
    let mut disk = Disk::open_or_create(folder.0.path(), &small_board(), &mut |_, _| ())
        .expect("an empty folder");
    for indexes in batches {
        disk.commit(indexes, &Step::default()).expect("room on the disk");
    }
    let path = disk.path().to_owned();
    disk.close();
    path
}

#[test]
fn a_commit_that_failed_in_the_call_but_reached_the_disk_is_learned() {
    let folder = folder();
    let path = logged(&folder, &[&[1, 2], &[3], &[1_350_006, 4]]);
    let (disk, checkpoint, learned) =
        reopen(&path, &small_board(), 1_000, 1).expect("a sound file");
    assert_eq!(learned, [3, 1_350_006, 4]);
    // Their place in the next checkpoint pass was restored from the disk as well.
    assert_eq!(checkpoint.missing(0), [1, 2, 3, 4]);
    assert_eq!(checkpoint.missing(2), [1_350_006]);
    assert_eq!(disk.seal().log_next, 3, "a probe leaves no log entry");
    disk.close();
}

#[test]
fn a_file_that_went_back_in_time_is_not_gone_on_with() {
    let folder = folder();
    let path = logged(&folder, &[&[1], &[2]]);
    let error = reopen(&path, &small_board(), 1_000, 3).err().expect("an entry is missing");
    assert!(error.to_string().contains("older than what was acknowledged"), "{error}");
    // Nothing holds the file after the refusal.
    reopen(&path, &small_board(), 1_000, 2).expect("all there").0.close();
}

#[test]
fn a_file_that_is_gone_is_not_replaced_by_an_empty_one() {
    let folder = folder();
    let path = logged(&folder, &[&[1]]);
    fs::remove_file(&path).expect("it exists");
    let error = reopen(&path, &small_board(), 1_000, 1).err().expect("no file");
    assert!(error.to_string().contains("put the file back"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn what_reached_the_disk_unacknowledged_is_in_the_feed_before_checks_are_taken_again() {
    let folder = folder();
    let board = small_board();
    let large_log = Options::new(folder.0.path(), board.clone());
    let store = EmbeddedStore::open(large_log).expect("an empty folder");
    let learned = Arc::new(Learned::default());
    store.feed(Arc::clone(&learned) as Arc<dyn Feed>);
    let ids = [1, 600_000, board.boxes()].map(|raw| board.box_id(raw).expect("on the board"));
    for id in ids {
        commit_ids(&store, &[id]).await.expect("the store is up");
    }
    store.jobs.send(Job::Fail { acknowledged: 1 }).await.expect("the thread runs");
    until("down", Duration::from_secs(5), || store.state() != StoreState::Up).await;
    commit_ids(&store, &ids).await.expect_err("down");
    until("up again", Duration::from_secs(5), || store.state() == StoreState::Up).await;
    assert_eq!(learned.ids(&board), BTreeSet::from([ids[1], ids[2]]));
    commit_ids(&store, &ids).await.expect("up again");
    store.close().await.expect("all is saved");
}

#[tokio::test]
async fn what_is_learned_before_there_is_a_feed_waits_for_it() {
    let outlook = super::super::outlook::Outlook::new();
    let board = small_board();
    outlook.learned(vec![(ShardIndex(1), vec![Offset(7)])]);
    let learned = Arc::new(Learned::default());
    outlook.set_feed(Arc::clone(&learned) as Arc<dyn Feed>);
    outlook.learned(vec![(ShardIndex(2), vec![Offset(8)])]);
    let expected = [(1, 7), (2, 8)].map(|(shard, o)| board.id(ShardIndex(shard), Offset(o)));
    assert_eq!(learned.ids(&board), BTreeSet::from(expected));
}

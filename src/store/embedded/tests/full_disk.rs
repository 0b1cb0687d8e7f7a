//! A disk that fills up and a disk that turns read-only, as real small file systems.

use std::{fs, path::PathBuf, process::Command, sync::Arc};

use actors::{
    board::ShardIndex,
    store::{Feed, StoreState},
};

use super::*;

/// A file system of its own in RAM, unmounted on drop.
struct Mount(TempDir);

impl Mount {
    fn new(size: &str) -> Self {
        let mount = Self(tempfile::tempdir().expect("a temporary folder"));
        mount.run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]);
        mount
    }

    fn path(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    /// Mounting is root's privilege; skipping silently would leave full disks untested.
    fn run(&self, program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).arg(self.0.path()).status();
        assert!(
            done.as_ref().is_ok_and(|status| status.success()),
            "`{program}` failed ({done:?}); this test mounts a small tmpfs: run it as root in a \
             container with --cap-add SYS_ADMIN, or leave it out with `-- --skip full_disk`"
        );
    }

    /// Takes every free byte, in a file that can be removed again.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = fs::File::create(&path).expect("room for a name");
        let block = [1; 4096];
        while std::io::Write::write_all(&mut file, &block).is_ok() {}
        path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, so that a failed test which still holds the file leaves no mount behind.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Commits until the store refuses; returns what was acknowledged and what was refused.
async fn commit_until_refused(
    store: &EmbeddedStore,
    random: &mut Random,
    known: &BTreeSet<BoxId>,
) -> (BTreeSet<BoxId>, Vec<BoxId>) {
    let mut acknowledged = BTreeSet::new();
    for _ in 0..100_000 {
        // One shard's batch, so that it is acknowledged or refused as a whole.
        let shard = ShardIndex(random.below(store.board.shards()));
        let boxes = store.board.boxes_in(shard);
        let offsets: Vec<Offset> = (0..2_000).map(|_| Offset(random.below(boxes))).collect();
        let ids = offsets.iter().map(|offset| store.board.id(shard, *offset));
        let is_new = |id: &BoxId| !known.contains(id) && !acknowledged.contains(id);
        let ids: Vec<BoxId> = ids.filter(is_new).collect();
        match check_ids(store, &ids).await {
            Ok(()) => acknowledged.extend(ids),
            Err(StoreError::Unavailable(_)) => return (acknowledged, ids),
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the disk never filled up");
}

#[tokio::test]
async fn a_full_disk_refuses_checks_until_there_is_room_again() {
    let mut random = Random::seeded();
    let mount = Mount::new("24m");
    let board = Board::new("small", 30_000_000, 5).expect("a legal board");
    let store = open(&mount.path(), &board).expect("an empty folder");
    let learned = Arc::new(Learned::default());
    store.feed(Arc::clone(&learned) as Arc<dyn Feed>);
    let first = random.ids(&board, 100);
    check_ids(&store, &first).await.expect("there is room");
    let mut acknowledged: BTreeSet<BoxId> = first.into_iter().collect();

    let filler = mount.fill();
    let mut refused = Vec::new();
    for _ in 0..3 {
        let (more, last) = commit_until_refused(&store, &mut random, &acknowledged).await;
        acknowledged.extend(more);
        refused.extend(last);
    }
    let StoreState::Down(reason) = store.state() else { panic!("still up") };
    assert!(reason.contains("small.redb") && reason.contains("make room"), "{reason}");
    // The background attempts do not take a full disk for one with room.
    let end = Instant::now() + Duration::from_millis(700);
    while Instant::now() < end {
        assert!(matches!(store.state(), StoreState::Down(_)), "up on a full disk");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A refusal does not wait for anything.
    store.commit(ShardIndex(0), vec![Offset(1)].into()).await.expect_err("still full");

    fs::remove_file(filler).expect("the filler");
    // Without anyone committing.
    until("up again", Duration::from_secs(10), || store.state() == StoreState::Up).await;
    acknowledged.extend(learned.ids(&board));
    let after = random.ids(&board, 100).into_iter().filter(|id| !acknowledged.contains(id));
    let after: Vec<_> = after.collect();
    check_ids(&store, &after).await.expect("there is room again");
    acknowledged.extend(after);
    let loaded = contents(&store).await;
    store.close().await.expect("all is saved");
    let kept = stored_and_credited(&mount.path(), &board).await.expect("a sound file");
    assert_eq!(loaded, kept);
    assert!(kept.is_superset(&acknowledged), "acknowledged checks were lost");

    // Whatever else is stored was reported, so RAM and disk agree.
    let mut known = acknowledged;
    known.extend(learned.ids(&board));
    assert_eq!(kept, known);
}

#[tokio::test]
async fn a_disk_that_fills_up_again_and_again_loses_nothing() {
    let mut random = Random::seeded();
    let mount = Mount::new("16m");
    let board = Board::new("small", 30_000_000, 5).expect("a legal board");
    let store = open(&mount.path(), &board).expect("an empty folder");
    let learned = Arc::new(Learned::default());
    store.feed(Arc::clone(&learned) as Arc<dyn Feed>);
    let mut known = BTreeSet::new();
    for _ in 0..6 {
        known.extend(learned.ids(&board));
        let some = random.ids(&board, 500).into_iter().filter(|id| known.insert(*id));
        check_ids(&store, &some.collect::<Vec<_>>()).await.expect("there is room");
        let filler = mount.fill();
        let (acknowledged, _) = commit_until_refused(&store, &mut random, &known).await;
        known.extend(acknowledged);
        fs::remove_file(filler).expect("the filler");
        until("up again", Duration::from_secs(10), || store.state() == StoreState::Up).await;
    }
    store.close().await.expect("all is saved");
    known.extend(learned.ids(&board));
    assert_eq!(stored_and_credited(&mount.path(), &board).await.expect("a sound file"), known);
}

#[tokio::test]
async fn a_read_only_file_system_is_refused() {
    let mount = Mount::new("16m");
    let board = small_board();
    let store = open(&mount.path(), &board).expect("an empty folder");
    store.close().await.expect("all is saved");
    mount.run("mount", &["-o", "remount,ro"]);
    let text = refusal(&mount.path(), &board);
    assert!(
        text.contains("small.redb") && text.contains("make the file system writable"),
        "{text}"
    );
    let text = refusal(&mount.path().join("deeper"), &board);
    assert!(text.contains("deeper") && text.contains("make the file system writable"), "{text}");
}

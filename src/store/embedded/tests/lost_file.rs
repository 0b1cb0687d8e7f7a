//! The file deleted, moved, replaced or written over while the store has it open: nothing is acknowledged that
//! a restart would not find.

use std::{fs, path::PathBuf};

use actors::store::StoreState;

use super::{
    super::{checkpoint::Step, disk::Disk, place::Lost, worker::Job},
    *,
};

const SOON: Duration = Duration::from_secs(20);

/// An open store with some acknowledged boxes.
struct Open {
    folder: Folder,
    board: Board,
    store: EmbeddedStore,
    acknowledged: BTreeSet<BoxId>,
    learned: Arc<Learned>,
}

impl Open {
    async fn new() -> Self {
        let (folder, board) = (folder(), small_board());
        // In a folder of its own, which can be moved.
        let store = open(&folder.0.path().join("data"), &board).expect("an empty folder");
        let learned = Arc::new(Learned::default());
        store.feed(Arc::clone(&learned) as Arc<dyn Feed>);
        let mut opened = Self { folder, board, store, acknowledged: BTreeSet::new(), learned };
        for first in [1_001, 700_000] {
            opened.commit(first..first + 50).await.expect("the store is up");
        }
        opened
    }

    async fn commit(&mut self, ids: std::ops::Range<u32>) -> Result<(), StoreError> {
        let learned = self.learned.ids(&self.board);
        let ids = ids.map(|raw| self.board.box_id(raw).expect("on the board"));
        let is_new = |id: &BoxId| !learned.contains(id) && !self.acknowledged.contains(id);
        let ids: Vec<_> = ids.filter(is_new).collect();
        check_ids(&self.store, &ids).await?;
        self.acknowledged.extend(ids);
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.0.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.data().join("small.redb")
    }

    fn aside(&self) -> PathBuf {
        self.folder.0.path().join("aside")
    }

    /// Puts another file in the place of the store's, in one step.
    fn replace(&self, content: &[u8]) {
        let other = self.folder.0.path().join("other");
        fs::write(&other, content).expect("a writable folder");
        fs::rename(other, self.file()).expect("both are there");
    }

    fn reason(&self) -> String {
        match self.store.state() {
            StoreState::Down(reason) => reason.to_string(),
            StoreState::Up => "up".to_owned(),
        }
    }

    async fn is_up(&self) {
        until("up again", SOON, || self.store.state() == StoreState::Up).await;
    }

    async fn is_down(&self) {
        until("down", SOON, || self.store.state() != StoreState::Up).await;
    }

    /// Closes the store; the file then has all that was acknowledged, and no more than was learned besides.
    async fn holds_everything(mut self) {
        self.commit(900_000..900_010).await.expect("the store is up");
        self.store.close().await.expect("all is saved");
        let kept = stored_and_credited(&self.data(), &self.board).await.expect("a sound file");
        assert!(kept.is_superset(&self.acknowledged), "acknowledged boxes were lost");
        self.acknowledged.extend(self.learned.ids(&self.board));
        assert_eq!(kept, self.acknowledged, "stored, and nobody was told");
        assert!(!self.file().with_extension("redb.new").exists());
    }
}

#[tokio::test]
async fn a_commit_after_the_file_was_deleted_is_refused_and_the_file_is_made_again() {
    let mut open = Open::new().await;
    fs::remove_file(open.file()).expect("it is there");
    let refused = open.commit(10..20).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(open.reason().contains("small.redb is gone"), "{}", open.reason());
    open.is_up().await;
    open.holds_everything().await;
}

#[tokio::test]
async fn a_deleted_folder_is_noticed_by_a_store_that_nobody_uses() {
    let open = Open::new().await;
    fs::remove_dir_all(open.data()).expect("it is there");
    open.is_down().await;
    open.is_up().await;
    open.holds_everything().await;
}

#[tokio::test]
async fn a_folder_that_was_moved_away_is_made_again_or_used_if_it_is_empty() {
    for empty_one in [false, true] {
        let open = Open::new().await;
        fs::rename(open.data(), open.aside()).expect("it is there");
        if empty_one {
            fs::create_dir(open.data()).expect("a writable folder");
        }
        open.is_down().await;
        open.is_up().await;
        open.holds_everything().await;
    }
}

#[tokio::test]
async fn a_file_that_is_lost_just_before_the_end_is_made_again() {
    let mut open = Open::new().await;
    fs::remove_file(open.file()).expect("it is there");
    open.store.close().await.expect("all is saved");
    let kept = stored(&open.data(), &open.board).await.expect("a sound file");
    assert_eq!(kept, std::mem::take(&mut open.acknowledged));
}

#[tokio::test]
async fn another_file_in_its_place_is_left_alone_and_a_copy_is_saved_beside_it() {
    let mut open = Open::new().await;
    let (file, saved) = (open.file(), open.file().with_extension("redb.saved"));
    open.replace(b"precious");
    open.commit(10..20).await.expect_err("another file is there");
    for words in ["small.redb is not the file of this server", "move that one away", "redb.saved"] {
        assert!(open.reason().contains(words), "{words}: {}", open.reason());
    }
    assert_eq!(fs::read(&file).expect("untouched"), b"precious");

    // Whoever moves the other file away has the store back.
    fs::remove_file(&file).expect("it is there");
    open.is_up().await;
    assert!(!saved.exists(), "the copy has served its purpose");
    open.holds_everything().await;
}

#[tokio::test]
async fn the_saved_copy_may_be_moved_into_its_place_and_is_gone_on_with() {
    let mut open = Open::new().await;
    let (file, saved) = (open.file(), open.file().with_extension("redb.saved"));
    open.replace(b"precious");
    open.commit(10..20).await.expect_err("another file is there");
    fs::rename(saved, file).expect("a copy was saved");
    open.is_up().await;
    open.holds_everything().await;
}

#[tokio::test]
async fn the_saved_copy_has_everything_after_an_end_with_another_file_in_place() {
    let mut open = Open::new().await;
    let (file, saved) = (open.file(), open.file().with_extension("redb.saved"));
    let before = fs::read(&file).expect("a file");
    open.replace(&before);
    open.store.close().await.expect("all is saved");
    assert_eq!(fs::read(&file).expect("untouched"), before);
    fs::rename(saved, &file).expect("a copy was saved");
    let kept = stored(&open.data(), &open.board).await.expect("a sound file");
    assert_eq!(kept, std::mem::take(&mut open.acknowledged));
}

/// Whoever moves the other file away while no server runs would else have an empty board.
#[tokio::test]
async fn a_start_with_nothing_but_the_saved_copy_is_refused_and_names_the_way_out() {
    let mut open = Open::new().await;
    let (file, saved) = (open.file(), open.file().with_extension("redb.saved"));
    open.replace(b"precious");
    open.store.close().await.expect("all is saved");
    fs::remove_file(&file).expect("the other file");
    let said = refusal(&open.data(), &open.board);
    for words in ["small.redb is not there", "small.redb.saved", "mv ", "move it away"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!file.exists() && saved.exists(), "nothing was made");
    fs::rename(&saved, &file).expect("the copy");
    let kept = stored(&open.data(), &open.board).await.expect("a sound file");
    assert_eq!(kept, std::mem::take(&mut open.acknowledged));
}

#[tokio::test]
async fn a_saved_copy_that_was_removed_is_saved_again() {
    let mut open = Open::new().await;
    let (file, saved) = (open.file(), open.file().with_extension("redb.saved"));
    open.replace(b"precious");
    open.commit(10..20).await.expect_err("another file is there");
    fs::remove_file(&saved).expect("a copy was saved");
    until("saved again", SOON, || saved.exists()).await;
    open.store.close().await.expect("all is saved");
    fs::rename(&saved, &file).expect("the copy");
    let kept = stored(&open.data(), &open.board).await.expect("a sound file");
    assert_eq!(kept, std::mem::take(&mut open.acknowledged));
}

/// As `kill -9` leaves it while a file that is gone is made again.
#[tokio::test]
async fn a_whole_copy_that_was_never_named_is_gone_on_with_at_the_next_start() {
    let mut open = Open::new().await;
    let (file, fresh) = (open.file(), open.file().with_extension("redb.new"));
    open.store.close().await.expect("all is saved");
    fs::rename(&file, &fresh).expect("it is there");
    // Of another board's size it is kept, too: it may be all there is.
    let larger = Board::new("small", 2_000_000, 5).expect("a legal board");
    let said = refusal(&open.data(), &larger);
    assert!(said.contains("small.redb.new holds a board of 1350007 boxes"), "{said}");
    let kept = stored(&open.data(), &open.board).await.expect("a sound file");
    assert_eq!(kept, std::mem::take(&mut open.acknowledged));
    assert!(file.exists() && !fresh.exists());
}

#[tokio::test]
async fn half_a_copy_that_was_never_named_is_overwritten() {
    let open = Open::new().await;
    let (file, fresh) = (open.file(), open.file().with_extension("redb.new"));
    open.store.close().await.expect("all is saved");
    let whole = fs::read(&file).expect("a file");
    fs::remove_file(&file).expect("it is there");
    fs::write(&fresh, &whole[..whole.len() / 2]).expect("writable");
    let kept = stored(&open.data(), &open.board).await.expect("an empty board");
    assert!(kept.is_empty() && !fresh.exists());
}

#[tokio::test]
async fn a_file_that_is_put_back_is_gone_on_with() {
    let mut open = Open::new().await;
    fs::hard_link(open.file(), open.aside()).expect("it is there");
    open.replace(b"");
    open.is_down().await;
    fs::rename(open.aside(), open.file()).expect("back in its place");
    open.is_up().await;
    open.commit(20..30).await.expect("the store is up");
    open.holds_everything().await;
}

#[tokio::test]
async fn a_file_that_is_written_over_takes_no_more_checks_until_it_is_as_it_was() {
    let mut open = Open::new().await;
    let content = fs::read(open.file()).expect("a file");
    // As `cp older.redb main.redb` does: the file stays the same one.
    fs::write(open.file(), "an older copy").expect("writable");
    open.commit(10..20).await.expect_err("not our content");
    assert!(open.reason().contains("written over"), "{}", open.reason());
    assert!(open.reason().contains("billion export"), "{}", open.reason());
    assert_eq!(fs::read(open.file()).expect("there"), b"an older copy", "left alone");
    fs::write(open.file(), content).expect("writable");
    open.is_up().await;
    open.holds_everything().await;
}

#[tokio::test]
async fn an_older_copy_written_over_the_file_is_not_gone_on_with() {
    let mut open = Open::new().await;
    let older = fs::read(open.file()).expect("a file");
    open.commit(300..400).await.expect("the store is up");
    fs::write(open.file(), &older).expect("writable");
    open.is_down().await;
    let end = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < end {
        assert!(open.reason().contains("written over"), "{}", open.reason());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    open.store.close().await.expect_err("only memory has the board");
    assert_eq!(fs::read(open.file()).expect("there"), older, "left alone");
}

/// The sync of a commit may take long, and what is found after it may be somebody else's.
#[tokio::test]
async fn a_commit_during_which_the_file_is_written_over_is_never_acknowledged() {
    let mut open = Open::new().await;
    let (file, older) = (open.file(), fs::read(open.file()).expect("a file"));
    let content = older.clone();
    let meddle = Job::Meddle(Box::new(move || fs::write(file, content).expect("writable")));
    assert!(open.store.jobs.send(meddle).await.is_ok(), "the thread works");
    open.commit(10..20).await.expect_err("not our content");
    assert!(open.reason().contains("written over"), "{}", open.reason());
    open.store.close().await.expect_err("only memory has the board");
    assert_eq!(fs::read(open.file()).expect("there"), older, "left alone");
}

#[test]
fn a_file_is_ours_only_as_long_as_it_is_as_the_engine_left_it() {
    let (folder, board) = (folder(), small_board());
    let mut disk = Disk::open_or_create(folder.0.path(), &board, &mut |_, _| ()).expect("room");
    let path = disk.path().to_owned();
    for first in 0..200 {
        let before = fs::read(&path).expect("a file");
        let indexes: Vec<u32> = (first * 5_000..(first + 1) * 5_000).collect();
        disk.commit(&indexes, &Step::default()).expect("room");
        assert!(disk.look().is_none(), "after commit {first}, which nobody disturbed");
        if first == 199 {
            fs::write(&path, before).expect("writable");
        }
    }
    assert!(matches!(disk.look(), Some(Lost::WrittenOver)), "an older copy of the same file");
    disk.leave_alone();
    disk.close();
}

/// On another file system, where a volume was mounted over the folder or taken away, the board would be hidden.
#[tokio::test]
async fn a_file_is_not_made_again_on_another_file_system() {
    let open = Open::new().await;
    fs::rename(open.data(), open.aside()).expect("it is there");
    // A folder of another device, as an empty mount point is.
    std::os::unix::fs::symlink("/dev/shm", open.data()).expect("a link can be made");
    until("down", SOON, || open.reason().contains("on another file system")).await;
    assert!(!Path::new("/dev/shm/small.redb").exists());
    fs::remove_file(open.data()).expect("the link");
    open.is_up().await;
    open.holds_everything().await;
}

/// As when the volume that the store's file is linked to has been taken away.
#[tokio::test]
async fn a_link_that_leads_nowhere_is_left_alone_and_a_copy_is_saved_beside_it() {
    let open = Open::new().await;
    let (file, saved) = (open.file(), open.file().with_extension("redb.saved"));
    let link = || std::os::unix::fs::symlink(open.aside(), &file).expect("a link can be made");
    fs::rename(&file, open.aside()).expect("it is there");
    link();
    fs::rename(open.aside(), open.data().join("hidden")).expect("it is there");
    until("saved", SOON, || open.reason().contains("is saved as")).await;
    for words in ["small.redb is a link", "what it leads to is gone", "redb.saved"] {
        assert!(open.reason().contains(words), "{words}: {}", open.reason());
    }
    assert!(saved.exists() && fs::symlink_metadata(&file).expect("the link").is_symlink());

    // Whoever mounts the volume again has the store back, and whoever removes the link, too.
    fs::rename(open.data().join("hidden"), open.aside()).expect("it is there");
    open.is_up().await;
    assert!(!saved.exists(), "the copy has served its purpose");
    fs::remove_file(&file).expect("the link");
    fs::remove_file(open.aside()).expect("the file");
    link();
    open.is_down().await;
    fs::remove_file(&file).expect("the link");
    open.is_up().await;
    open.holds_everything().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_saved_yet_ends_only_once_it_is() {
    let mut open = Open::new().await;
    fs::rename(open.data(), open.aside()).expect("it is there");
    // On another file system it is not made again.
    std::os::unix::fs::symlink("/dev/shm", open.data()).expect("a link can be made");
    open.is_down().await;
    let mut ending = open.store.close();
    let waited = tokio::time::timeout(Duration::from_millis(500), &mut ending).await;
    assert!(waited.is_err(), "ended unsaved");
    fs::remove_file(open.data()).expect("the link");
    ending.await.expect("all is saved");
    let kept = stored(&open.data(), &open.board).await.expect("a sound file");
    assert_eq!(kept, std::mem::take(&mut open.acknowledged));
}

#[tokio::test]
async fn boxes_of_commits_until_the_loss_are_all_in_the_new_file() {
    let mut random = Random::seeded();
    for round in 0..5 {
        let mut open = Open::new().await;
        let file = open.file();
        let removed = std::thread::spawn({
            let pause = Duration::from_micros(u64::from(random.below(20_000)));
            move || {
                std::thread::sleep(pause);
                fs::remove_file(file).expect("it is there");
            }
        });
        let mut next = 1_000;
        while open.commit(next..next + 30).await.is_ok() {
            next += 30;
            assert!(next < 500_000, "round {round}: never noticed");
        }
        removed.join().expect("removed");
        open.is_up().await;
        open.holds_everything().await;
    }
}

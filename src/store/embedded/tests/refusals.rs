//! Files and folders that cannot be used, and what the message says about each.

use std::{fs, process::Command};

use super::*;

/// A folder with the database of `small_board` in it.
async fn used_folder() -> Folder {
    let folder = folder();
    let store = open(folder.0.path(), &small_board()).expect("an empty folder");
    store.close().await.expect("all is saved");
    folder
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[tokio::test]
async fn a_board_of_another_size_is_refused_with_both_numbers() {
    let folder = used_folder().await;
    let larger = Board::new("small", 2_000_000, 5).expect("a legal board");
    let text = refusal(folder.0.path(), &larger);
    says(&text, &["small.redb", "1350007", "2000000", "choose another folder"]);
}

#[tokio::test]
async fn a_board_of_another_name_is_refused_with_both_names() {
    let folder = used_folder().await;
    let path = folder.0.path();
    fs::rename(path.join("small.redb"), path.join("other.redb")).expect("same folder");
    let other = Board::new("other", 1_350_007, 5).expect("a legal board");
    says(&refusal(path, &other), &["other.redb", "'small'", "'other'"]);
}

#[tokio::test]
async fn another_format_is_refused_with_both_versions() {
    let folder = used_folder().await;
    let path = folder.0.path().join("small.redb");
    let record = super::super::format::BoardRecord {
        format: 7,
        boxes: 1_350_007,
        shards: 5,
        name: "small".into(),
    };
    let database = redb::Database::open(path).expect("a sound file");
    let txn = database.begin_write().expect("nobody else writes");
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    txn.open_table(meta)
        .and_then(|mut meta| Ok(meta.insert("board", record.encode().as_slice()).map(|_| ())?))
        .expect("room on the disk");
    txn.commit().expect("room on the disk");
    drop(database);
    says(&refusal(folder.0.path(), &small_board()), &["format 7", "format 1"]);
}

#[tokio::test]
async fn a_second_store_on_the_same_file_is_refused() {
    let folder = used_folder().await;
    let store = open(folder.0.path(), &small_board()).expect("a sound file");
    says(&refusal(folder.0.path(), &small_board()), &["small.redb", "in use by another process"]);
    store.close().await.expect("all is saved");
    open(folder.0.path(), &small_board()).expect("free again").close().await.expect("all is saved");
}

/// Run by the next test in a process of its own.
#[test]
fn opener() {
    if let Ok(folder) = std::env::var("STORE_OPENER") {
        println!("refused: {}", refusal(Path::new(&folder), &small_board()));
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_refused() {
    let folder = used_folder().await;
    let store = open(folder.0.path(), &small_board()).expect("a sound file");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "store::embedded::tests::refusals::opener", "--nocapture"])
        .env("STORE_OPENER", folder.0.path())
        .output()
        .expect("this test runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    says(&text, &["refused: ", "small.redb", "in use by another process"]);
    store.close().await.expect("all is saved");
}

#[test]
fn a_file_in_place_of_the_folder_is_refused() {
    let folder = folder();
    let path = folder.0.path().join("data");
    fs::write(&path, "a file").expect("a writable folder");
    says(&refusal(&path, &small_board()), &["data", "is not a folder"]);
    says(&refusal(&path.join("deeper"), &small_board()), &["data", "choose a folder"]);
}

#[test]
fn a_folder_in_place_of_the_file_is_refused() {
    let folder = folder();
    fs::create_dir(folder.0.path().join("small.redb")).expect("a writable folder");
    says(&refusal(folder.0.path(), &small_board()), &["small.redb", "is not a file"]);
}

#[test]
fn an_empty_file_is_refused_because_it_once_was_a_board() {
    let folder = folder();
    fs::write(folder.0.path().join("small.redb"), "").expect("a writable folder");
    says(&refusal(folder.0.path(), &small_board()), &["small.redb", "damaged", "empty", "backup"]);
}

#[tokio::test]
async fn what_a_crash_left_of_a_file_being_created_is_no_obstacle() {
    for left in [&b""[..], &b"garbage"[..], &[0; 100_000][..]] {
        let folder = folder();
        fs::write(folder.0.path().join("small.redb.new"), left).expect("a writable folder");
        open(folder.0.path(), &small_board())
            .expect("as good as empty")
            .close()
            .await
            .expect("all is saved");
        assert!(!folder.0.path().join("small.redb.new").exists());
    }
}

#[tokio::test]
async fn a_missing_folder_is_made() {
    let folder = folder();
    let deep = folder.0.path().join("a/b/c");
    open(&deep, &small_board()).expect("made on the way").close().await.expect("all is saved");
    assert!(deep.join("small.redb").is_file());
}

//! How often the store commits.

use std::time::Duration;

use actors::{
    board::{Offset, ShardIndex},
    store::Store as _,
};

use super::{folder, small_board};
use crate::store::{
    embedded::{EmbeddedStore, Options},
    window::Window,
};

/// How many bytes the log grows by when these boxes are committed a little after each other.
async fn log_after(store: &EmbeddedStore, boxes: std::ops::Range<u32>) -> u64 {
    let before = store.log_bytes();
    let mut commits = Vec::new();
    for box_ in boxes {
        commits.push(tokio::spawn(store.commit(ShardIndex(0), vec![Offset(box_)].into())));
        // Long enough for a thread that does not wait to write it.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for commit in commits {
        commit.await.expect("no panic").expect("committed");
    }
    store.log_bytes() - before
}

#[tokio::test]
async fn under_load_what_comes_while_the_store_gathers_is_one_commit() {
    let folder = folder();
    let window = Window::new(Duration::from_secs(1), Duration::from_secs(60));
    let options = Options { window, ..Options::new(folder.0.path(), small_board()) };
    let store = EmbeddedStore::open(options).expect("a new folder");
    let alone = log_after(&store, 0..1).await;
    let together = log_after(&store, 10..15).await;
    assert!(together < 2 * alone, "{together} bytes for five boxes, {alone} for one");
    store.close().await.expect("all is saved");
}

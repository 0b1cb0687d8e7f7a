//! What a broadcaster publishes.

use super::*;
use crate::{
    board::BOXES_PER_TILE, protocol::PULSE_TILES_MAX, shard::bitmap::Bitmap, store::words_for,
};

/// One of an empty board, and what it publishes.
fn broadcaster(boxes: u32) -> (Broadcaster, watch::Receiver<Arc<Overview>>) {
    let board = Arc::new(Board::new("test", boxes, 1).expect("a legal board"));
    let words = vec![0; words_for(boxes)];
    let bitmap = Bitmap::from_words(words, boxes).expect("words that fit");
    let census = Census::of(&board, [&bitmap]);
    let (publisher, overview) = watch::channel(Arc::new(census.overview(&board)));
    let settings = crate::tests::settings().broadcaster;
    let vital = Vital::new("the broadcaster", Arc::default(), Arc::default());
    let stats = Arc::default();
    (Broadcaster::new(settings, stats, board, census, publisher, vital), overview)
}

#[test]
fn tiles_that_wait_for_their_pulse_do_not_publish_the_same_overview_again() {
    const TILES: u32 = PULSE_TILES_MAX as u32 + 1;
    let (mut broadcaster, mut overview) = broadcaster(TILES * BOXES_PER_TILE);
    let mut published = || {
        let is_new = overview.has_changed().expect("the broadcaster is there");
        is_new.then(|| overview.borrow_and_update().total)
    };
    broadcaster.pulse();
    assert_eq!(published(), None, "nothing has happened yet");
    // One tile more than a pulse has room for.
    broadcaster.waiting.extend((0..TILES).map(|tile| tile * BOXES_PER_TILE + 1));
    broadcaster.flush();
    broadcaster.pulse();
    assert_eq!(published(), Some(TILES));
    broadcaster.pulse();
    assert_eq!(published(), None, "the last tile has its pulse, and was published before");
    broadcaster.flight = None;
    broadcaster.waiting.push(2);
    broadcaster.flush();
    broadcaster.pulse();
    assert_eq!(published(), Some(TILES + 1));
}

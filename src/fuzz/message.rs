//! What a client says: one binary message, judged for some board.
//!
//! Five bytes of options: the boxes of the board, its shards but one.

use actors::{
    board::{Board, RANGE_BOXES_MAX},
    protocol::{ClientMessage, Close, begin_range_frame, range_frame_bytes},
};

use super::Input;

/// A message is understood as docs/PROTOCOL.md says, and means boxes that the board has.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (boxes, shards) = (input.word(), 1 + u32::from(input.byte()));
    let Ok(board) = Board::new("fuzz", boxes, shards) else {
        return assert_eq!(boxes, 0, "nothing else is wrong with it");
    };
    let payload = input.0;
    let words: Vec<u32> =
        payload.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let has = |id: u32| (1..=boxes).contains(&id);
    let wrong = match (payload.len(), &words[..]) {
        (4, [id]) => (!has(*id)).then_some(Close::BOX_ID),
        (8, [first, last]) if !has(*first) || !has(*last) => Some(Close::BOX_ID),
        (8, [first, last]) if first > last => Some(Close::RANGE_REVERSED),
        (8, [first, last]) => (last - first >= RANGE_BOXES_MAX).then_some(Close::RANGE_TOO_LONG),
        _ => Some(Close::LENGTH),
    };
    let message = ClientMessage::decode(&board, payload);
    assert_eq!(message.err(), wrong);
    match message {
        Err(_) => {}
        Ok(ClientMessage::Check(id)) => {
            assert_eq!([id.get()], words[..]);
            let (shard, offset) = board.locate(id);
            assert!(offset.0 < board.boxes_in(shard));
            assert_eq!(board.id(shard, offset), id);
        }
        Ok(ClientMessage::Range(range)) => {
            assert_eq!([range.first().get(), range.last().get()], words[..]);
            assert!(range.tiles().count() <= 2 && *range.tiles().end() < board.tiles());
            let frame = begin_range_frame(range);
            assert!(frame.len() < range_frame_bytes(range.boxes()));
        }
    }
}

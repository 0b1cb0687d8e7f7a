//! What happened to a session, for people and programs: JSON.

use std::time::UNIX_EPOCH;

use actors::{
    protocol::ClientMessage,
    session::outbox::server_frame_end,
    trace::{Event, Wait, What},
};
use serde_json::{Map, Value, json};

/// Most ids of boxes of one event.
const IDS_MAX: usize = 16;

/// An event, and each frame of one that was sent: `at_ms`, `what`, and what there is to say of it.
pub(super) fn describe(event: &Event) -> Vec<Value> {
    let at_ms = event.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let of = |what: &str, more: Value| {
        let mut event = Map::from_iter([
            ("at_ms".to_owned(), json!(u64::try_from(at_ms).unwrap_or(u64::MAX))),
            ("what".to_owned(), json!(what)),
        ]);
        if let Value::Object(more) = more {
            event.extend(more);
        }
        Value::Object(event)
    };
    let one = match &event.what {
        What::Received(ClientMessage::Check(id)) => {
            of("received", json!({ "kind": "check", "id": id.get() }))
        }
        What::Received(ClientMessage::Range(range)) => {
            let (first, last) = (range.first().get(), range.last().get());
            of("received", json!({ "kind": "range", "first": first, "last": last }))
        }
        What::ReceivedText(bytes) => of("received", json!({ "kind": "text", "bytes": bytes })),
        What::ReceivedPing => of("received", json!({ "kind": "ping" })),
        What::ReceivedPong => of("received", json!({ "kind": "pong" })),
        What::ReceivedClose(code) => of("received", json!({ "kind": "close", "code": code })),
        What::Sent(frames) => {
            return sent(frames).into_iter().map(|more| of("sent", more)).collect();
        }
        What::Held(wait) => {
            let wait = match wait {
                Wait::Rate => "rate",
                Wait::Turn => "turn",
                Wait::Pause => "pause",
                Wait::Room => "room",
            };
            of("held", json!({ "for": wait }))
        }
        What::WentOn => of("went_on", Value::Null),
        What::Lags => of("lags", Value::Null),
        What::CaughtUp => of("caught_up", Value::Null),
        What::Cut => of("cut", Value::Null),
        What::Lost(events) => of("lost", json!({ "events": events })),
    };
    vec![one]
}

/// What whole frames of the server say; updates that follow on each other are one.
fn sent(frames: &[u8]) -> Vec<Value> {
    let mut said: Vec<Value> = Vec::new();
    let mut at = 0;
    // (how many, the last total, the first ids)
    let mut updates: Option<(u64, u32, Vec<u32>)> = None;
    while at < frames.len() {
        let end = server_frame_end(frames, at + 1);
        let (head, payload) = parts(&frames[at..end]);
        at = end;
        if head == 0x82
            && let Ok(update) = <[u8; 8]>::try_from(payload)
        {
            let (count, total, ids) = updates.get_or_insert_default();
            (*count, *total) = (*count + 1, word(&update, 0));
            if ids.len() < IDS_MAX {
                ids.push(word(&update, 4));
            }
            continue;
        }
        said.extend(updates.take().map(updated));
        said.push(frame(head, payload));
    }
    said.extend(updates.map(updated));
    said
}

fn updated((count, total, ids): (u64, u32, Vec<u32>)) -> Value {
    json!({ "kind": "updates", "count": count, "total": total, "ids": ids })
}

/// The first byte and the payload of a frame.
fn parts(frame: &[u8]) -> (u8, &[u8]) {
    let header = if frame[1] == 126 { 4 } else { 2 };
    (frame[0], &frame[header..])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// What a frame says that is no update.
fn frame(head: u8, payload: &[u8]) -> Value {
    let bytes = payload.len();
    match (head, bytes) {
        (0x82, 4) => json!({ "kind": "total", "total": word(payload, 0) }),
        (0x82, 5) => json!({ "kind": "refused", "id": word(payload, 0), "reason": payload[4] }),
        (0x82, 13..) if word(payload, 0) == 0 && payload[4] == 1 => json!({
            "kind": "pulse", "total": word(payload, 5), "players": word(payload, 9), "tiles": (bytes - 13) / 6,
        }),
        (0x82, 9..) => {
            let checked: u32 = payload[4..].iter().map(|byte| byte.count_ones()).sum();
            json!({ "kind": "range", "first": word(payload, 0), "bytes": bytes, "checked": checked })
        }
        (0xC2, _) => json!({ "kind": "compressed", "bytes": bytes }),
        (0x81, _) => json!({ "kind": "text", "text": String::from_utf8_lossy(payload) }),
        (0x88, 2..) => json!({
            "kind": "close",
            "code": u16::from_be_bytes([payload[0], payload[1]]),
            "reason": String::from_utf8_lossy(&payload[2..]),
        }),
        (0x88, _) => json!({ "kind": "close", "code": null, "reason": "" }),
        (0x89, _) => json!({ "kind": "ping" }),
        (0x8A, _) => json!({ "kind": "pong" }),
        _ => json!({ "kind": "frame", "bytes": bytes }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use actors::{
        board::Board,
        protocol::{Close, ping_frame, pulse_frame, refused_frame, text_frame, total_frame},
    };
    use bytes::Bytes;

    use super::*;

    fn described(what: What) -> Vec<Value> {
        let at: SystemTime = UNIX_EPOCH + Duration::from_millis(7);
        describe(&Event { at, what })
    }

    fn sent(frames: &[Bytes]) -> Vec<Value> {
        let described = described(What::Sent(frames.concat().into()));
        described
            .into_iter()
            .map(|mut event| {
                let event_map = event.as_object_mut().expect("an object");
                assert_eq!(event_map.remove("at_ms"), Some(json!(7)));
                assert_eq!(event_map.remove("what"), Some(json!("sent")));
                event
            })
            .collect()
    }

    #[test]
    fn what_is_sent_is_described_frame_by_frame_and_updates_together() {
        let update = |total: u32, id: u32| {
            let mut frame = vec![0x82, 8];
            frame.extend(total.to_le_bytes());
            frame.extend(id.to_le_bytes());
            Bytes::from(frame)
        };
        let updates: Vec<_> = (1..=20).map(|id| update(id + 100, id)).collect();
        let ids: Vec<u32> = (1..=16).collect();
        assert_eq!(
            sent(
                &[
                    &[total_frame(9)],
                    &updates[..],
                    &[refused_frame(7, actors::protocol::Refusal::Busy), update(300, 5)]
                ]
                .concat()
            ),
            [
                json!({ "kind": "total", "total": 9 }),
                json!({ "kind": "updates", "count": 20, "total": 120, "ids": ids }),
                json!({ "kind": "refused", "id": 7, "reason": 2 }),
                json!({ "kind": "updates", "count": 1, "total": 300, "ids": [5] }),
            ]
        );
        let mut range = vec![0x82, 126, 0, 204];
        range.extend(1_u32.to_le_bytes());
        range.extend([3; 200]);
        assert_eq!(
            sent(&[pulse_frame(5, 2, &[(1, 4)]), range.into(), ping_frame(), text_frame("{}")]),
            [
                json!({ "kind": "pulse", "total": 5, "players": 2, "tiles": 1 }),
                json!({ "kind": "range", "first": 1, "bytes": 204, "checked": 400 }),
                json!({ "kind": "ping" }),
                json!({ "kind": "text", "text": "{}" }),
            ]
        );
        assert_eq!(
            sent(&[Close::LAGGING.frame()]),
            [json!({ "kind": "close", "code": 1013, "reason": "lagging" })]
        );
        assert_eq!(
            sent(&[Bytes::from_static(&[0xC2, 1, 0])]),
            [json!({ "kind": "compressed", "bytes": 1 })]
        );
    }

    #[test]
    fn what_is_received_and_decided_is_described() {
        let board = Board::new("main", 1000, 1).expect("a board");
        let check = ClientMessage::decode(&board, &7_u32.to_le_bytes()).expect("a box");
        for (what, wanted) in [
            (What::Received(check), json!({ "what": "received", "kind": "check", "id": 7 })),
            (
                What::ReceivedClose(Some(1001)),
                json!({ "what": "received", "kind": "close", "code": 1001 }),
            ),
            (What::Held(Wait::Rate), json!({ "what": "held", "for": "rate" })),
            (What::WentOn, json!({ "what": "went_on" })),
            (What::Lost(3), json!({ "what": "lost", "events": 3 })),
        ] {
            let mut wanted = wanted;
            wanted["at_ms"] = json!(7);
            assert_eq!(described(what), [wanted]);
        }
    }
}

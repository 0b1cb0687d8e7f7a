//! What scripts answer and nodes hear, read: plain text, one line before each payload.

use std::sync::Arc;

use actors::channels::{Epoch, Group, History, KEPT_MS, Message, Position};
use bytes::Bytes;
use redis::Value;

/// How far a part has come: in which numbering, which of several with that number, and with how many messages,
/// the last of which has this link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Run {
    /// 0: nothing is known.
    pub(super) run: u64,
    pub(super) mark: String,
    pub(super) count: u64,
    pub(super) link: String,
}

impl Run {
    /// Reads `run, mark, count, link`.
    pub(super) fn read(values: &[Value]) -> Option<Self> {
        let [run, mark, count, link] = values else { return None };
        let (mark, link) = (text(mark)?.to_owned(), text(link)?.to_owned());
        Some(Self { run: whole(run)?, mark, count: whole(count)?, link })
    }

    /// Whether both are of one numbering.
    pub(super) fn is_that_of(&self, other: &Self) -> bool {
        self.run == other.run && self.mark == other.mark
    }
}

pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// A whole number, however it is written.
pub(super) fn whole(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        other => text(other)?.parse().ok(),
    }
}

pub(super) fn epoch(value: &Value) -> Option<Epoch> {
    text(value).and_then(Epoch::read)
}

/// Reads `epoch offset`.
pub(super) fn places(value: &Value) -> Option<Position> {
    let (epoch, offset) = text(value)?.split_once(' ')?;
    Some(Position { epoch: Epoch::read(epoch)?, offset: offset.parse().ok()? })
}

/// A message as it is published and kept.
pub(super) struct Entry {
    /// How far its part had come with it.
    pub(super) run: Run,
    /// The link of the message before it in the part.
    pub(super) before: String,
    pub(super) message: Message,
}

/// Reads `2 run mark count link before ms epoch offset group`, and the payload on the next line. Others are of another
/// version.
pub(super) fn entry(value: &Value) -> Option<Entry> {
    let Value::BulkString(bytes) = value else { return None };
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let mut words = str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let mut next = || words.next();
    if next()? != "2" {
        return None;
    }
    let (run, mark) = (next()?.parse().ok()?, next()?.to_owned());
    let count = next()?.parse().ok()?;
    let (link, before) = (next()?.to_owned(), next()?.to_owned());
    let at_ms = next()?.parse().ok()?;
    let position = Position { epoch: Epoch::read(next()?)?, offset: next()?.parse().ok()? };
    let group = Group::read(next()?)?;
    let payload = Bytes::copy_from_slice(&bytes[end + 1..]);
    words.next().is_none().then_some(())?;
    let message = Message { group, position, at_ms, payload };
    Some(Entry { run: Run { run, mark, count, link }, before, message })
}

/// What is kept after a position, of the messages that Redis gave, some of which may be over.
pub(super) fn history(
    after: Option<Position>,
    last: Position,
    mut messages: Vec<Arc<Message>>,
    now_ms: u64,
) -> History {
    messages.retain(|message| message.at_ms.saturating_add(KEPT_MS) > now_ms);
    let known = after.filter(|after| after.epoch == last.epoch);
    let first = known.map_or(1, |after| after.offset.saturating_add(1));
    let wanted = last.offset.saturating_add(1).saturating_sub(first);
    let is_known =
        after.is_none_or(|after| after.epoch == last.epoch && after.offset <= last.offset);
    let is_complete = is_known && messages.len() as u64 == wanted;
    History { last, messages, is_complete }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_is_written_and_nothing_else_is() {
        let text = "2 3 00000000000000aa 17 1f 1e 1764525600000 00000000000000bb 5 \
                    room:00000000000000cc";
        let value = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let entry_of = |text: &str| entry(&value(text));
        let Entry { run, before, message } =
            entry_of(&format!("{text}\nhello\nthere")).expect("legal");
        assert_eq!(
            run,
            Run { run: 3, mark: "00000000000000aa".into(), count: 17, link: "1f".into() }
        );
        assert_eq!(before, "1e");
        assert_eq!(message.position, Position { epoch: Epoch(0xbb), offset: 5 });
        assert_eq!((message.group, message.at_ms), (Group::Room(0xcc), 1_764_525_600_000));
        assert_eq!(&message.payload[..], b"hello\nthere");
        for wrong in ["", text, "\n", &format!("1{}\n", &text[1..]), &format!("{text} x\n")] {
            assert!(entry_of(wrong).is_none(), "{wrong:?}");
        }
    }
}

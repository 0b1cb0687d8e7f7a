//! What Redis says: the messages in which nodes tell each other of batches, answers of scripts, states of key ranges.
//!
//! A byte of options: 1 the rest is an answer, else a message; and four bytes for the boxes of the key range.

use redis::Value;

use super::Input;
use crate::store::cluster::script::{Outcome, State, Update};

/// Version, origin, epoch, count, fresh, two tails (docs/CLUSTER.md).
const MESSAGE_BYTES: usize = 1 + 8 + 8 + 4 + 4 + 16 + 16;

/// A message is understood if it is one, and means what its bytes say; an answer is understood or is an error.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (options, boxes) = (input.byte(), input.word());
    if options & 1 == 0 { message(input.0, boxes) } else { answer(&mut input) }
}

fn message(message: &[u8], boxes: u32) {
    let (head, tail) = message.split_at(MESSAGE_BYTES.min(message.len()));
    let (bits, rest) = tail.as_chunks::<4>();
    let mut offsets = bits.iter().map(|bit| u32::from_le_bytes(*bit) ^ 7);
    let is_one = head.len() == MESSAGE_BYTES
        && head[0] == 1
        && rest.is_empty()
        && offsets.all(|offset| offset < boxes);
    let update = Update::read(message, boxes);
    assert_eq!(update.is_some(), is_one);
    let Some(update) = update else { return };
    let mut written = vec![1];
    written.extend(update.origin.to_le_bytes());
    written.extend(update.epoch.to_le_bytes());
    written.extend(update.after.count.to_le_bytes());
    written.extend(update.fresh.to_le_bytes());
    written.extend(update.before);
    written.extend(update.after.tail);
    written.extend(update.offsets.iter().flat_map(|offset| (offset.0 ^ 7).to_le_bytes()));
    assert_eq!(written, message);
}

fn answer(input: &mut Input<'_>) {
    let value = value(input, 2);
    if let Ok(Outcome::Applied { fresh, after }) = Outcome::read(&value) {
        let Value::Array(parts) = &value else { panic!("{value:?}") };
        let numbers = [Value::Int(1), Value::Int(after.count.into()), Value::Int(fresh.into())];
        assert_eq!(parts[..3], numbers);
        assert_eq!(parts[3..], [Value::BulkString(after.tail.to_vec())]);
    }
    // Every field of a state is needed, so any may be missing.
    let is_list = matches!(&value, Value::Array(parts) if parts.len() == 6);
    let state = State::read(value);
    assert!(is_list || !matches!(state, Ok(Some(_))), "{state:?}");
}

/// A value of the kinds that scripts and `HMGET` answer with.
fn value(input: &mut Input<'_>, depth: u32) -> Value {
    match input.byte() {
        b'i' => Value::Int(i64::from_le_bytes(input.take())),
        // As scripts answer: small ones are found sooner.
        b'n' => Value::Int(input.byte().into()),
        b's' => {
            let (length, available) = (usize::from(input.byte()), input.0.len());
            let (text, rest) = input.0.split_at(length.min(available));
            input.0 = rest;
            Value::BulkString(text.to_vec())
        }
        b'a' if depth > 0 => {
            let length = input.byte() % 8;
            Value::Array((0..length).map(|_| value(input, depth - 1)).collect())
        }
        b'o' => Value::Okay,
        _ => Value::Nil,
    }
}

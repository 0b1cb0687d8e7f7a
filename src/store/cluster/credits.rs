//! Credits beside each key range: a hash of counters, whose fields name user and day. Adding to them is part of the
//! script that sets the bits; here they are read, and removed when their day is long over.
//!
//! A reset leaves them: they say what people did. Comparisons and imports credit nobody.

use std::time::{Duration, Instant};

use actors::{
    player::UserId,
    store::{
        BoxFuture, StoreError,
        credits::{
            ChangedCredits, Counted, CreditCursor, CreditKey, CreditPage, CreditRange, Credits, Day,
        },
    },
};
use redis::{Value, from_redis_value};

use super::{ClusterStore, Shared, lane::Lane, layout::unavailable, trouble::Trouble};

/// Bytes of a field: user `u64` and day `u32`. In text it would be twice as long, millions of times.
pub const FIELD_BYTES: usize = 8 + 4;

/// Counters read, or looked at to be removed, in one call: a tenth of a millisecond of Redis' time.
const PIECE: usize = 256;

/// Longest time for one call.
const PATIENCE: Duration = Duration::from_secs(5);

/// The field of a counter.
pub fn field(key: CreditKey) -> [u8; FIELD_BYTES] {
    let mut field = [0; FIELD_BYTES];
    field[..8].copy_from_slice(&key.user.get().to_le_bytes());
    field[8..].copy_from_slice(&key.day.0.to_le_bytes());
    field
}

/// The counter of a field; `None`: it is none of ours.
fn key_of(field: &[u8]) -> Option<CreditKey> {
    let (user, day) = field.split_first_chunk::<8>()?;
    let day = Day(u32::from_le_bytes(day.try_into().ok()?));
    Some(CreditKey { day, user: UserId::new(u64::from_le_bytes(*user))? })
}

impl Shared {
    fn lane_of(&self, CreditRange(range): CreditRange) -> Result<(usize, &Lane), StoreError> {
        let index = range as usize;
        let lane = self.lanes.get(index);
        let text = || format!("{} has no shard {range}", self.board);
        lane.map(|lane| (index, lane)).ok_or_else(|| StoreError::Unusable(text().into()))
    }

    async fn read_credits(
        &self,
        range: CreditRange,
        keys: &[CreditKey],
    ) -> Result<Vec<u64>, StoreError> {
        let (index, lane) = self.lane_of(range)?;
        let read = async {
            let mut counts = Vec::with_capacity(keys.len());
            for piece in keys.chunks(PIECE) {
                let mut ask = redis::cmd("HMGET");
                ask.arg(&lane.keys.credits);
                piece.iter().for_each(|key| _ = ask.arg(&field(*key)));
                let deadline = Instant::now() + PATIENCE;
                let answer = self.nodes.command(lane.keys.slot, deadline, &ask).await?;
                let found: Vec<Option<u64>> = from_redis_value(answer)?;
                if found.len() != piece.len() {
                    let text = "HMGET answered about another number of fields";
                    return Err(Trouble::Unexpected(text.to_owned()));
                }
                counts.extend(found.into_iter().map(Option::unwrap_or_default));
            }
            // What only the master has may be lost with it, box and all, and then be credited to somebody else.
            self.wait_for_copies(index).await?;
            Ok(counts)
        };
        read.await.map_err(|error| unavailable(&error))
    }

    async fn credit_page(
        &self,
        range: CreditRange,
        CreditCursor(from): CreditCursor,
    ) -> Result<CreditPage, StoreError> {
        let (index, lane) = self.lane_of(range)?;
        let read = async {
            let mut ask = redis::cmd("HSCAN");
            ask.arg(&lane.keys.credits).arg(from.to_string()).arg("COUNT").arg(PIECE);
            let deadline = Instant::now() + PATIENCE;
            let answer = self.nodes.command(lane.keys.slot, deadline, &ask).await?;
            let (next, found): (u64, Vec<Value>) = from_redis_value(answer)?;
            let mut counted = Vec::with_capacity(found.len() / 2);
            for pair in found.as_chunks::<2>().0 {
                let [Value::BulkString(field), count] = pair else { continue };
                if let Some(key) = key_of(field) {
                    counted.push((key, from_redis_value(count.clone())?));
                }
            }
            self.wait_for_copies(index).await?;
            let next = (next != 0).then(|| CreditCursor(next.into()));
            Ok(CreditPage { counted, next })
        };
        read.await.map_err(|error: Trouble| unavailable(&error))
    }

    async fn forget_credits(
        &self,
        range: CreditRange,
        counted: &[Counted],
    ) -> Result<u64, StoreError> {
        let (_, lane) = self.lane_of(range)?;
        let mut removed = 0;
        for piece in counted.chunks(PIECE) {
            let call = self.scripts.forget(&lane.keys, piece);
            let deadline = Instant::now() + PATIENCE;
            let answer = self.nodes.call(lane.keys.slot, deadline, &call).await;
            let answer = answer.map_err(|error| unavailable(&error))?;
            removed +=
                from_redis_value::<u64>(answer).map_err(|error| unavailable(&error.into()))?;
        }
        Ok(removed)
    }
}

impl Credits for ClusterStore {
    /// One for each key range, with which it lies.
    fn credit_ranges(&self) -> u32 {
        self.shared.board.shards()
    }

    fn changed_credits(&self) -> ChangedCredits {
        self.shared.changed.take()
    }

    fn credits(
        &self,
        range: CreditRange,
        keys: Vec<CreditKey>,
    ) -> BoxFuture<Result<Vec<u64>, StoreError>> {
        let shared = self.shared.clone();
        self.on_thread(async move { shared.read_credits(range, &keys).await })
    }

    fn all_credits(
        &self,
        range: CreditRange,
        from: CreditCursor,
    ) -> BoxFuture<Result<CreditPage, StoreError>> {
        let shared = self.shared.clone();
        self.on_thread(async move { shared.credit_page(range, from).await })
    }

    fn forget_credits(
        &self,
        range: CreditRange,
        counted: Vec<Counted>,
    ) -> BoxFuture<Result<u64, StoreError>> {
        let shared = self.shared.clone();
        self.on_thread(async move { shared.forget_credits(range, &counted).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_names_user_and_day() {
        let user = UserId::new(0x0123_4567_89ab_cdef).expect("legal");
        let key = CreditKey { day: Day(20_000), user };
        assert_eq!(key_of(&field(key)), Some(key));
        let long = [field(key).as_slice(), b"x"].concat();
        for other in [&field(key)[..11], &long, &[0; FIELD_BYTES]] {
            assert_eq!(key_of(other), None, "{other:?}");
        }
    }
}

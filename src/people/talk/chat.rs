//! What a chat has beyond messages: what its senders are called, words that are not shown, and a slow mode.
//!
//! All of it is of one node and in RAM. None of it holds up a message for more than [`CALLED_TIME`].

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actors::{channels::Group, player::UserId, store::BoxFuture};
use serde_json::{Map, Value};
use tokio::{sync::watch, time::timeout};

use super::words::Words;
use crate::people::{accounts::Accounts, groups::Groups};

/// What a user is called is asked for again after this.
const CALLED_FOR: Duration = Duration::from_secs(10);

/// Longest time to find out; a message without a name is better than none.
const CALLED_TIME: Duration = Duration::from_secs(1);

/// Users whose names are remembered: 10 s of 400 who write each second; some 100 bytes each.
const CALLED_MAX: usize = 4096;

/// Last messages that are remembered for the slow mode; some 60 bytes each.
const SPOKEN_MAX: usize = 65_536;

/// A message of the same id is the same for so long; after that it is another one.
const SAME_FOR: Duration = Duration::from_secs(300);

/// What the others read beside a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// Of the account.
    pub name: String,
    /// Of the team, `#rrggbb`.
    pub colour: Option<String>,
}

/// Knows what users are called.
pub trait Callings: Send + Sync + 'static {
    /// What a user is called, if it has an account and that can be found out.
    fn called(&self, user: UserId) -> BoxFuture<Option<Called>>;
}

/// As the database has it.
pub struct Accounted {
    /// Names.
    pub accounts: Accounts,
    /// Colours.
    pub groups: Groups,
}

impl Callings for Accounted {
    fn called(&self, user: UserId) -> BoxFuture<Option<Called>> {
        let (accounts, groups) = (self.accounts.clone(), self.groups.clone());
        Box::pin(async move {
            let name = accounts.find(user).await.ok()?.name;
            let colour = groups.team_of(user).await.ok()?.map(|team| team.colour);
            Some(Called { name, colour })
        })
    }
}

/// What is remembered of a user: until when, and what it is called.
type Remembered = HashMap<UserId, (Instant, Option<Called>)>;

/// The last message of a user in a group: when, and a digest of its id.
type Spoken = HashMap<(UserId, Group), (Instant, u64)>;

/// The chat of a node.
pub struct Chat {
    callings: Arc<dyn Callings>,
    words: watch::Receiver<Arc<Words>>,
    /// Time between two messages of one user in one group; zero for none.
    slow: Box<dyn Fn() -> Duration + Send + Sync>,
    remembered: Arc<Mutex<Remembered>>,
    spoken: Mutex<Spoken>,
    hasher: RandomState,
}

impl Chat {
    /// With names from `callings`, without the `words`, and slowed down as `slow` says at that time.
    pub fn new(
        callings: Arc<dyn Callings>,
        words: watch::Receiver<Arc<Words>>,
        slow: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        Self {
            callings,
            words,
            slow: Box::new(slow),
            remembered: Arc::default(),
            spoken: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Masks the text of a message for many.
    pub fn mask(&self, to: Group, data: &mut Map<String, Value>) {
        let Some(Value::String(text)) = data.get_mut("text").filter(|_| is_chat(to)) else {
            return;
        };
        let masked = match self.words.borrow().mask(text) {
            Cow::Borrowed(_) => return,
            Cow::Owned(masked) => masked,
        };
        *text = masked;
    }

    /// Takes a message in at `now`, or says how long its sender has to wait. The same message again is no second one: its
    /// answer was lost.
    pub fn slow_down(
        &self,
        user: UserId,
        to: Group,
        id: &str,
        now: Instant,
    ) -> Result<(), Duration> {
        let pause = (self.slow)();
        if pause.is_zero() || !is_chat(to) {
            return Ok(());
        }
        let digest = self.hasher.hash_one(id);
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, of)) = spoken.get(&(user, to)) {
            let age = now.saturating_duration_since(*last);
            let wait = pause.saturating_sub(age);
            if *of == digest && age < SAME_FOR {
                return Ok(());
            }
            if !wait.is_zero() {
                return Err(wait);
            }
        }
        if spoken.len() >= SPOKEN_MAX {
            spoken.retain(|_, (last, _)| now.saturating_duration_since(*last) < pause);
        }
        // With as many who write at once, slowing down some is enough.
        if spoken.len() < SPOKEN_MAX {
            spoken.insert((user, to), (now, digest));
        }
        Ok(())
    }

    /// What a user is called, as it was some seconds ago.
    pub fn called(&self, user: UserId) -> impl Future<Output = Option<Called>> + Send + use<> {
        let now = Instant::now();
        let known = self.remembered().get(&user).cloned().filter(|(until, _)| *until > now);
        let asked = known.is_none().then(|| self.callings.called(user));
        let remembered = self.remembered.clone();
        async move {
            let Some(asked) = asked else { return known.and_then(|(_, called)| called) };
            let called = timeout(CALLED_TIME, asked).await.ok()?;
            let mut remembered = remembered.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if remembered.len() >= CALLED_MAX {
                remembered.retain(|_, (until, _)| *until > now);
            }
            if remembered.len() < CALLED_MAX {
                remembered.insert(user, (now + CALLED_FOR, called.clone()));
            }
            called
        }
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether many read what is written there.
fn is_chat(to: Group) -> bool {
    matches!(to, Group::Team(_) | Group::Room(_) | Group::Tile(_))
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// Everybody is called by its number.
    pub struct Numbers;

    impl Callings for Numbers {
        fn called(&self, user: UserId) -> BoxFuture<Option<Called>> {
            let colour = Some("#cc3311".to_owned());
            Box::pin(async move { Some(Called { name: format!("Number {user}"), colour }) })
        }
    }

    /// A chat that masks `darn` and is slowed down by so much.
    pub fn chat(slow: Duration) -> Chat {
        let words = Words::parse("darn").expect("a list");
        Chat::new(Arc::new(Numbers), watch::channel(Arc::new(words)).1, move || slow)
    }

    fn user(number: u64) -> UserId {
        UserId::new(number).expect("63 bits")
    }

    #[test]
    fn only_text_for_many_is_masked() {
        let chat = chat(Duration::ZERO);
        let masked = |to, data: Value| {
            let Value::Object(mut data) = data else { panic!("an object") };
            chat.mask(to, &mut data);
            Value::Object(data)
        };
        let said = json!({ "text": "darn it", "more": "darn" });
        assert_eq!(
            masked(Group::Tile(1), said.clone()),
            json!({ "text": "**** it", "more": "darn" })
        );
        assert_eq!(masked(Group::User(user(1)), said.clone()), said);
        for other in [json!({}), json!({ "text": 7 }), json!({ "text": "fine" })] {
            assert_eq!(masked(Group::Team(1), other.clone()), other);
        }
    }

    #[test]
    fn who_writes_too_soon_waits_and_only_there() {
        let chat = chat(Duration::from_secs(10));
        let (now, team, tile) = (Instant::now(), Group::Team(1), Group::Tile(1));
        let after = |s| now + Duration::from_secs(s);
        let tried = |who, to, id, at| chat.slow_down(user(who), to, id, at);
        assert_eq!(tried(1, team, "a", now), Ok(()));
        assert_eq!(tried(1, team, "b", after(4)), Err(Duration::from_secs(6)));
        assert_eq!(tried(1, team, "a", after(4)), Ok(()), "its answer was lost");
        assert_eq!(tried(1, tile, "b", after(4)), Ok(()));
        assert_eq!(tried(2, team, "b", after(4)), Ok(()));
        assert_eq!(tried(1, team, "b", after(10)), Ok(()), "what was refused does not count");
        assert_eq!(tried(1, Group::User(user(2)), "c", after(10)), Ok(()));
        assert_eq!(tried(1, Group::User(user(2)), "d", after(10)), Ok(()));
        let slower = self::chat(Duration::from_secs(3600));
        let tried_again = |at| slower.slow_down(user(1), team, "a", at);
        assert_eq!((tried_again(now), tried_again(after(299))), (Ok(()), Ok(())));
        assert_eq!(tried_again(after(300)), Err(Duration::from_secs(3300)), "it is another one");
        for number in 100..100 + 2 * SPOKEN_MAX as u64 {
            assert_eq!(tried(number, team, "a", after(11)), Ok(()));
        }
        assert!(chat.spoken.lock().expect("no panic").len() <= SPOKEN_MAX);
    }
}

//! What was revoked, on its way from SQL into the memory of each node, and to the connections that it ends.
//!
//! Whoever revokes writes a row, applies it here, and sends a word over the bus; every node reads new rows at that word and
//! twice a second, so that none is missed. While SQL is away nothing can be revoked, and what was is in force.

use std::{collections::HashSet, sync::Arc, time::Duration};

use actors::{
    bus::Heard,
    player::{Player, UserId},
    protocol::Close,
};
use bytes::Bytes;
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, timeout},
};

use super::{
    People,
    identity::{Identity, SignIn},
    repository::revocation::{
        self, Revocation as Wanted, Revoked as Row, revocations_after, standing,
    },
    revoked::{Revocation, Verdict, forgotten_before_ms},
};
use crate::{database::Trouble, operators::LATE_JOIN, wall::now_ms};

/// The topic of the word that there are new rows.
const TOPIC: &str = "people.revoked";

/// Between two looks at SQL: half of the second in which every node follows.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How long a node waits for the database before it serves anybody.
const START_LIMIT: Duration = Duration::from_secs(1);

/// Rows that are read at once.
const ROWS_MAX: u64 = 1000;

/// Between two attempts to forget sign-ins of cookies that are too old.
const FORGET_INTERVAL: Duration = Duration::from_secs(3600);

impl People {
    /// Revokes something of a user, on all nodes. Ready when it is in force on this one.
    ///
    /// # Errors
    /// The database's trouble. After [`Trouble::Away`] it may be revoked nevertheless, and is in force as soon as the
    /// database is back.
    pub async fn revoke(self: &Arc<Self>, user: UserId, wanted: Wanted) -> Result<(), Trouble> {
        let row = revocation::revoke(&self.database, user, wanted, now_ms()).await?;
        self.revoked_now(row).await;
        Ok(())
    }

    /// Whether a user is banned, as the database has it.
    ///
    /// # Errors
    /// The database's trouble.
    pub async fn is_banned(&self, user: UserId) -> Result<bool, Trouble> {
        let look = async move |connection: &_| Ok(standing(connection, user).await?.is_banned);
        self.database.read(look).await
    }

    /// A row was written: puts it into force here, and sends word of it to all nodes.
    pub async fn revoked_now(self: &Arc<Self>, row: Row) {
        self.apply(&[row]).await;
        // A node that does not get the word reads the row all the same.
        if let Err(error) = self.bus.publish(TOPIC.to_owned(), Bytes::new()).await {
            log::debug!("people: {TOPIC}: {error}");
        }
    }

    /// Waits until what was revoked has been read once, for a moment at most: a node that begins without it takes
    /// everybody for a stranger, and one that waited would not serve the board.
    pub async fn known(&self) {
        let mut known = self.known.subscribe();
        if timeout(START_LIMIT, known.wait_for(|known| *known)).await.is_err() {
            log::warn!(
                "who has signed out is not known yet: until it is, nobody is taken for signed in"
            );
        }
    }

    /// Follows what any node revokes, for as long as the process lives.
    pub async fn follow(self: Arc<Self>) {
        let (mut heard, mut last, mut forgotten) = (self.bus.listen(), 0, None::<Instant>);
        loop {
            match self.read_revocations(&mut last).await {
                Ok(()) if forgotten.is_none_or(|at| at.elapsed() > FORGET_INTERVAL) => {
                    forgotten = Some(Instant::now());
                    self.forget_sign_ins().await;
                }
                Ok(()) => {}
                Err(error) => log::debug!("people: what was revoked was not read: {error}"),
            }
            // The interval alone, if nobody speaks any more.
            let _ = timeout(LOOK_INTERVAL, word(&mut heard)).await;
        }
    }

    async fn read_revocations(self: &Arc<Self>, last: &mut u64) -> Result<(), Trouble> {
        loop {
            let rows = revocations_after(&self.database, *last, ROWS_MAX).await?;
            if let Some(newest) = rows.last() {
                *last = newest.sequence;
                self.apply(&rows).await;
            }
            if (rows.len() as u64) < ROWS_MAX {
                self.revoked_mut().set_known();
                self.known.send_replace(true);
                return Ok(());
            }
        }
    }

    async fn forget_sign_ins(&self) {
        let before_ms = forgotten_before_ms(now_ms());
        // One batch an hour after the other is enough for millions a year, but for the first time.
        while let Ok(1..) = revocation::forget_sign_ins(&self.database, before_ms).await {}
    }

    /// Puts rows into force on this node and ends the connections that they concern.
    async fn apply(self: &Arc<Self>, rows: &[Row]) {
        let mut users = HashSet::new();
        {
            let mut revoked = self.revoked_mut();
            for row in rows {
                let Row { user, epoch, sign_in, banned, at_ms, .. } = *row;
                let all = [
                    epoch.map(Revocation::Before),
                    sign_in.map(|sign_in| Revocation::SignIn(SignIn(sign_in))),
                    banned.map(Revocation::Ban),
                ];
                all.into_iter().flatten().for_each(|what| revoked.revoke(user, what, at_ms));
                users.insert(user);
            }
        }
        let users = Arc::new(users);
        self.end(&users).await;
        let people = self.clone();
        actix_rt::spawn(async move {
            sleep(LATE_JOIN).await;
            people.end(&users).await;
        });
    }

    /// Ends the connections of `users` whose identity is void.
    async fn end(self: &Arc<Self>, users: &Arc<HashSet<UserId>>) {
        for (banned, close) in [(true, Close::BLOCKED), (false, Close::SIGNED_OUT)] {
            let (people, users) = (self.clone(), users.clone());
            let are_meant = move |player: &Player| {
                let identity = Identity::of(player).filter(|found| users.contains(&found.user));
                identity.is_some_and(|identity| {
                    let revoked = people.revoked();
                    revoked.judge(&identity) == Verdict::Void
                        && revoked.is_banned(identity.user) == banned
                })
            };
            self.node.end_players(are_meant, close).await;
        }
    }
}

/// Waits for the word that there are new rows, or may be.
async fn word(heard: &mut Receiver<Heard>) {
    loop {
        match heard.recv().await {
            Ok(Heard::Message { topic, .. }) if topic == TOPIC => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

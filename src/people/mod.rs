//! People: who somebody is, and what belongs to it (`docs/PEOPLE.md`). The board owes nothing to any of this.

pub mod keys;
pub mod keyring;
pub mod identity;
pub mod cookie;
pub mod revoked;
pub mod revocations;
pub mod names;
pub mod passwords;
pub mod attempts;
pub mod model;
pub mod repository;
pub mod accounts;
pub mod groups;
pub mod credits;
pub mod totals;
pub mod date;
pub mod leaderboard;
pub mod upkeep;
pub mod request;
pub mod routes;
pub mod talk;

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use actors::{
    bus::{Bus, Heard},
    channels::Group,
    node::Node,
    player::{SessionId, UserId},
};

use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use self::{
    accounts::Accounts,
    groups::Groups,
    identity::{Identity, Ticket},
    keyring::Keyring,
    leaderboard::Leaderboards,
    passwords::Passwords,
    revoked::{Revoked, Verdict},
};
use crate::database::Database;

/// The topic of users that have left groups.
const LEFT: &str = "people.left";

/// What is known of people on this node.
pub struct People {
    keyring: Keyring,
    revoked: RwLock<Revoked>,
    /// Whether all that was revoked has been read once.
    known: watch::Sender<bool>,
    database: Database,
    /// Accounts, and whoever logs into them.
    pub accounts: Accounts,
    /// Teams and rooms.
    pub groups: Groups,
    /// Who has checked most.
    pub leaderboards: Leaderboards,
    node: Arc<Node>,
    bus: Arc<dyn Bus>,
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "People of {:?}", self.database)
    }
}

/// Whom a request is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// Nobody in particular: it has no cookie of ours, or none that holds.
    Nobody,
    /// Maybe somebody: what was revoked has not been read yet.
    Unknown,
    /// This one.
    Valid(Identity),
}

impl Presented {
    /// Who it is, if that is certain.
    pub fn valid(self) -> Option<Identity> {
        match self {
            Self::Valid(identity) => Some(identity),
            Self::Nobody | Self::Unknown => None,
        }
    }
}

impl People {
    /// Whose identities are sealed with the keys of `keyring`, and who have sessions on `node`. What was revoked is known
    /// once it [follows](Self::follow).
    ///
    /// # Errors
    /// If no thread can be started that hashes passwords.
    pub fn new(
        keyring: Keyring,
        database: Database,
        node: Arc<Node>,
        bus: Arc<dyn Bus>,
    ) -> io::Result<Self> {
        let accounts = Accounts::new(database.clone(), Passwords::start()?);
        let groups = Groups::new(database.clone());
        let leaderboards = Leaderboards::new(database.clone());
        Ok(Self {
            keyring,
            revoked: RwLock::default(),
            known: watch::Sender::new(false),
            database,
            accounts,
            groups,
            leaderboards,
            node,
            bus,
        })
    }

    fn revoked_mut(&self) -> RwLockWriteGuard<'_, Revoked> {
        self.revoked.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn revoked(&self) -> RwLockReadGuard<'_, Revoked> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom the `values` of our cookie name: the first that holds.
    pub fn presented<'v>(&self, values: impl Iterator<Item = &'v str>, now_ms: u64) -> Presented {
        let mut found = Presented::Nobody;
        let keys = self.keyring.now();
        for identity in values.filter_map(|value| Identity::open(&keys, value, now_ms)) {
            match self.revoked().judge(&identity) {
                Verdict::Valid => return Presented::Valid(identity),
                Verdict::Unknown => found = Presented::Unknown,
                Verdict::Void => {}
            }
        }
        found
    }

    /// A user has lost the right to a group: it hears no more of it, on whichever node.
    pub async fn left(&self, user: UserId, group: Group) {
        let who = format!("{user} {group}");
        // A node that does not hear of this lets it listen until its connection ends.
        if let Err(error) = self.bus.publish(LEFT.to_owned(), who.into()).await {
            log::debug!("people: {LEFT}: {error}");
        }
    }

    /// The next user that has [left](Self::left) a group, on any node.
    pub async fn next_to_leave(heard: &mut Receiver<Heard>) -> (UserId, Group) {
        loop {
            match heard.recv().await {
                Ok(Heard::Message { topic, payload }) if topic == LEFT => {
                    let text = str::from_utf8(&payload).unwrap_or_default();
                    let read = text
                        .split_once(' ')
                        .and_then(|(user, group)| Some((UserId::read(user)?, Group::read(group)?)));
                    if let Some(read) = read {
                        return read;
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }

    /// What is published between nodes.
    pub fn listen(&self) -> Receiver<Heard> {
        self.bus.listen()
    }

    /// The value of a cookie that says so.
    pub fn seal(&self, identity: &Identity) -> String {
        identity.seal(&self.keyring.now())
    }

    /// A ticket by which `connection` becomes that of `identity`.
    pub fn ticket(&self, identity: Identity, connection: &str, now_ms: u64) -> String {
        Ticket::new(identity, connection, now_ms).seal(&self.keyring.now())
    }

    /// Whose `connection` becomes by `ticket`, if that is one of this connection and still holds.
    pub fn redeem(&self, ticket: &str, connection: SessionId, now_ms: u64) -> Option<Identity> {
        let identity = Ticket::open(&self.keyring.now(), ticket, connection, now_ms)?;
        (self.revoked().judge(&identity) != Verdict::Void).then_some(identity)
    }
}

#[cfg(test)]
impl People {
    /// Those of a node that has its board for itself, with what is kept of them in `folder`.
    pub fn alone(node: &Arc<Node>, folder: &std::path::Path) -> Arc<Self> {
        let keys = keys::Keys::parse(&keys::Keys::generate()).expect("a key");
        let target = crate::database::Target::Sqlite(folder.join("billion.db"));
        let database = Database::open(target, 1).expect("a thread");
        let bus = crate::store::embedded::bus::LocalBus::open(&folder.join("main.redb"));
        let bus = Arc::new(bus.expect("nothing is kept"));
        let people = Self::new(Keyring::of(keys), database, node.clone(), bus);
        Arc::new(people.expect("threads"))
    }
}

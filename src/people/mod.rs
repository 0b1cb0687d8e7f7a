//! People: who somebody is, and what belongs to it (`docs/PEOPLE.md`). The board owes nothing to any of this.

pub mod keys;
pub mod keyring;
pub mod identity;
pub mod cookie;
pub mod revoked;
pub mod request;
pub mod routes;
pub mod talk;

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use actors::player::{SessionId, UserId};

use self::{
    identity::{Identity, Ticket},
    keyring::Keyring,
    revoked::{Revoked, Verdict},
};

/// What is known of people on this node.
#[derive(Debug)]
pub struct People {
    keyring: Keyring,
    revoked: RwLock<Revoked>,
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
    /// Whose identities are sealed with the keys of `keyring`; nothing that was revoked is known yet.
    pub fn new(keyring: Keyring) -> Self {
        let mut revoked = Revoked::default();
        revoked.set_known();
        Self { keyring, revoked: revoked.into() }
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

    /// The identity of a user who signs in now.
    pub fn sign_in(&self, user: UserId, now_ms: u64) -> Identity {
        Identity::begin(user, self.revoked().epoch(user), now_ms)
    }
}

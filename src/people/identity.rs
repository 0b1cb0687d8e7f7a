//! Who somebody is, as they carry it: sealed by us, kept by them. Plain data; whether it still holds is judged by
//! [`revoked`](super::revoked).

use std::time::Duration;

use actors::player::{Player, SessionId, UserId};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};

use super::{
    keys::{Keys, Purpose},
    model::user_by_chance,
};

/// A cookie is valid for so long after it was issued.
pub const LIFETIME: Duration = Duration::from_secs(180 * 86_400);

/// An older one is renewed.
pub const RENEW_AFTER: Duration = Duration::from_secs(86_400);

/// A ticket is valid for so long.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(10);

/// Clocks of two nodes may differ by so much.
const CLOCKS_APART_S: u64 = 60;

const COOKIE_BYTES: usize = 20;

/// One log-in, or one anonymous beginning: its cookies are renewed, and end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignIn(pub u32);

/// Somebody, as a cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserId,
    /// When it was issued, in seconds since 1970 (UTC).
    pub issued_s: u32,
    /// Raised by everything that ends all cookies of a user.
    pub epoch: u32,
    /// Which log-in it belongs to.
    pub sign_in: SignIn,
}

/// Seconds since 1970 of `now_ms`, as cookies have them, which is enough until 2106.
pub fn seconds(now_ms: u64) -> u32 {
    u32::try_from(now_ms / 1000).unwrap_or(u32::MAX)
}

impl Identity {
    /// Of a user who begins a sign-in now.
    pub fn begin(user: UserId, epoch: u32, now_ms: u64) -> Self {
        Self { user, issued_s: seconds(now_ms), epoch, sign_in: SignIn(rand::random()) }
    }

    /// Somebody nobody has heard of.
    pub fn anonymous(now_ms: u64) -> Self {
        Self::begin(user_by_chance(), 0, now_ms)
    }

    /// The same, issued now.
    pub fn renewed(self, now_ms: u64) -> Self {
        Self { issued_s: seconds(now_ms), ..self }
    }

    /// What a connection of theirs keeps beside the user.
    pub fn proof(&self) -> u64 {
        u64::from(self.epoch) << 32 | u64::from(self.sign_in.0)
    }

    /// Whose connection this is, by what it keeps.
    pub fn of(player: &Player) -> Option<Self> {
        let proof = player.proof();
        let (epoch, sign_in) = ((proof >> 32) as u32, SignIn(proof as u32));
        player.user().map(|user| Self { user, issued_s: 0, epoch, sign_in })
    }

    /// Makes a connection theirs.
    pub fn take_over(&self, player: &Player) {
        player.set_proof(self.proof());
        player.set_user(Some(self.user));
    }

    /// Whether it is to be renewed.
    pub fn is_old(&self, now_ms: u64) -> bool {
        now_ms / 1000 > u64::from(self.issued_s) + RENEW_AFTER.as_secs()
    }

    fn encode(&self) -> [u8; COOKIE_BYTES] {
        let mut bytes = [0; COOKIE_BYTES];
        bytes[..8].copy_from_slice(&self.user.get().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.issued_s.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..].copy_from_slice(&self.sign_in.0.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (user, rest) = bytes.split_first_chunk::<8>()?;
        let (words, []) = rest.as_chunks::<4>() else { return None };
        let [issued_s, epoch, sign_in] =
            <[[u8; 4]; 3]>::try_from(words).ok()?.map(u32::from_le_bytes);
        let user = UserId::new(u64::from_le_bytes(*user))?;
        Some(Self { user, issued_s, epoch, sign_in: SignIn(sign_in) })
    }

    /// As the value of a cookie: base64url without padding (RFC 4648 §5).
    pub fn seal(&self, keys: &Keys) -> String {
        BASE64.encode(keys.seal(Purpose::Cookie, &self.encode()))
    }

    /// What was sealed as `value`, unless its time is over.
    pub fn open(keys: &Keys, value: &str, now_ms: u64) -> Option<Self> {
        let found = Self::decode(&keys.open(Purpose::Cookie, &BASE64.decode(value).ok()?)?)?;
        let (now_s, issued_s) = (now_ms / 1000, u64::from(found.issued_s));
        let is_valid = issued_s <= now_s + CLOCKS_APART_S && now_s < issued_s + LIFETIME.as_secs();
        is_valid.then_some(found)
    }
}

/// What makes an open connection that of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Whose it becomes.
    pub identity: Identity,
    /// Until when, in milliseconds since 1970 (UTC).
    pub until_ms: u64,
    /// Which connection, as [`SessionId`] is written: no other one takes it.
    pub connection: String,
}

impl Ticket {
    /// For `connection`, from now on.
    pub fn new(identity: Identity, connection: &str, now_ms: u64) -> Self {
        let until_ms = now_ms + TICKET_LIFETIME.as_millis() as u64;
        Self { identity, until_ms, connection: connection.to_owned() }
    }

    /// As text.
    pub fn seal(&self, keys: &Keys) -> String {
        let until = self.until_ms.to_le_bytes();
        let text = [&self.identity.encode()[..], &until, self.connection.as_bytes()].concat();
        BASE64.encode(keys.seal(Purpose::Ticket, &text))
    }

    /// The identity in `text`, if that was sealed for this connection and its time is not over.
    pub fn open(keys: &Keys, text: &str, connection: SessionId, now_ms: u64) -> Option<Identity> {
        let opened = keys.open(Purpose::Ticket, &BASE64.decode(text).ok()?)?;
        let (identity, rest) = opened.split_at_checked(COOKIE_BYTES)?;
        let (until, meant) = rest.split_first_chunk::<8>()?;
        let until_ms = u64::from_le_bytes(*until);
        // Sealed by a node whose clock is ahead it lives as long again at most.
        let is_meant = meant == connection.to_string().as_bytes() && now_ms < until_ms;
        Identity::decode(identity).filter(|_| is_meant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    fn keys() -> Keys {
        Keys::parse(&Keys::generate()).expect("a key")
    }

    #[test]
    fn a_cookie_says_who_somebody_is_until_its_time_is_over() {
        let keys = keys();
        let identity = Identity { epoch: 7, ..Identity::anonymous(NOW_MS) };
        let value = identity.seal(&keys);
        assert_eq!(value.len(), 66);
        let open = |now_ms| Identity::open(&keys, &value, now_ms);
        assert_eq!(open(NOW_MS), Some(identity));
        let lifetime_ms = LIFETIME.as_millis() as u64;
        assert_eq!(open(NOW_MS + lifetime_ms - 1), Some(identity));
        assert_eq!(open(NOW_MS + lifetime_ms), None);
        assert_eq!(open(NOW_MS - 60_000), Some(identity), "another node's clock");
        assert_eq!(open(NOW_MS - 61_000), None);
        assert!(!identity.is_old(NOW_MS) && identity.is_old(NOW_MS + 86_401_000));
        assert_eq!(identity.renewed(NOW_MS).sign_in, identity.sign_in);
        // Another spelling would be a second name of the same cookie.
        let last = value.len() - 1;
        let other = format!("{}{}", &value[..last], if value.ends_with('A') { 'B' } else { 'A' });
        for wrong in ["", "x", "!", &other, &value[1..], &format!("{value}A"), &format!("{value}=")]
        {
            assert_eq!(Identity::open(&keys, wrong, NOW_MS), None, "{wrong}");
        }
        assert_eq!(Identity::open(&self::keys(), &value, NOW_MS), None, "of another key");
    }

    #[test]
    fn a_ticket_is_for_one_connection_and_ten_seconds() {
        let (keys, connection) = (keys(), SessionId::next());
        let identity = Identity::anonymous(NOW_MS);
        let ticket = Ticket::new(identity, &connection.to_string(), NOW_MS).seal(&keys);
        let open = |connection, now_ms| Ticket::open(&keys, &ticket, connection, now_ms);
        assert_eq!(open(connection, NOW_MS + 9_999), Some(identity));
        assert_eq!(open(connection, NOW_MS + 10_000), None);
        assert_eq!(open(SessionId::next(), NOW_MS), None);
        assert_eq!(Identity::open(&keys, &ticket, NOW_MS), None, "no cookie");
        let cookie = identity.seal(&keys);
        assert_eq!(Ticket::open(&keys, &cookie, connection, NOW_MS), None, "no ticket");
    }
}

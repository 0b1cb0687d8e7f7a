//! Who was signed out or banned: all of it, in the RAM of every node, so that each identity is judged at once and whatever
//! is away. Plain data; SQL is read by [`People`](super::People).

use std::{collections::HashMap, time::Duration};

use actors::player::UserId;

use super::identity::{Identity, LIFETIME, SignIn};

/// A cookie that is a little older than its time by another clock is nobody's.
const KEPT_S: u64 = LIFETIME.as_secs() + 3600;

/// Something that makes cookies void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocation {
    /// All of a user's cookies of an epoch before this one.
    Before(u32),
    /// Those of one sign-in.
    SignIn(SignIn),
    /// All, from now on (`true`), until it is taken back (`false`).
    Ban(bool),
}

#[derive(Debug, Default)]
struct Entry {
    epoch: u32,
    is_banned: bool,
    /// With the second at which each was ended.
    sign_ins: Vec<(SignIn, u64)>,
}

/// Everything that was revoked, as far as it has been read.
#[derive(Debug, Default)]
pub struct Revoked {
    users: HashMap<UserId, Entry>,
    /// Nothing is known before all of it was read once.
    is_known: bool,
}

/// What becomes of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Valid,
    /// It does not: whoever presents it is anonymous.
    Void,
    /// Nobody can say yet: whoever presents it is anonymous for now, and keeps it.
    Unknown,
}

impl Revoked {
    /// `user` was met by `revocation` at `at_ms`. In any order, and any number of times.
    pub fn revoke(&mut self, user: UserId, revocation: Revocation, at_ms: u64) {
        let entry = self.users.entry(user).or_default();
        match revocation {
            Revocation::Before(epoch) => entry.epoch = entry.epoch.max(epoch),
            Revocation::Ban(is_banned) => entry.is_banned = is_banned,
            Revocation::SignIn(sign_in) => {
                let at_s = at_ms / 1000;
                entry
                    .sign_ins
                    .retain(|(other, ended_s)| *other != sign_in && at_s < *ended_s + KEPT_S);
                entry.sign_ins.push((sign_in, at_s));
            }
        }
    }

    /// All that was revoked until now has been read.
    pub fn set_known(&mut self) {
        self.is_known = true;
    }

    /// Whether an identity holds.
    pub fn judge(&self, identity: &Identity) -> Verdict {
        let is_void = self.users.get(&identity.user).is_some_and(|entry| {
            let has_ended = |(sign_in, _): &(SignIn, u64)| *sign_in == identity.sign_in;
            entry.is_banned || identity.epoch < entry.epoch || entry.sign_ins.iter().any(has_ended)
        });
        match (is_void, self.is_known) {
            (true, _) => Verdict::Void,
            (false, true) => Verdict::Valid,
            (false, false) => Verdict::Unknown,
        }
    }

    /// Whether a user is banned.
    pub fn is_banned(&self, user: UserId) -> bool {
        self.users.get(&user).is_some_and(|entry| entry.is_banned)
    }
}

/// Sign-ins that ended before that are of no cookie any more.
pub fn forgotten_before_ms(now_ms: u64) -> u64 {
    now_ms.saturating_sub(Duration::from_secs(KEPT_S).as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn an_identity_holds_until_its_user_its_epoch_or_its_sign_in_is_revoked() {
        let mut revoked = Revoked::default();
        let one = Identity::anonymous(NOW_MS);
        let other = Identity { sign_in: SignIn(!one.sign_in.0), ..one };
        let stranger = Identity::anonymous(NOW_MS);
        assert_eq!(revoked.judge(&one), Verdict::Unknown, "nothing was read yet");
        revoked.revoke(one.user, Revocation::SignIn(one.sign_in), NOW_MS);
        assert_eq!(revoked.judge(&one), Verdict::Void, "rights go down at once");
        assert_eq!(revoked.judge(&other), Verdict::Unknown);
        revoked.set_known();
        assert_eq!(revoked.judge(&other), Verdict::Valid);
        assert_eq!(revoked.judge(&stranger), Verdict::Valid);
        for epoch in [2, 1] {
            revoked.revoke(one.user, Revocation::Before(epoch), NOW_MS);
        }
        let earlier = Identity { epoch: 1, ..other };
        assert_eq!(revoked.judge(&earlier), Verdict::Void, "read in any order");
        let renewed = Identity { epoch: 2, ..other };
        assert_eq!(revoked.judge(&renewed), Verdict::Valid);
        revoked.revoke(one.user, Revocation::Ban(true), NOW_MS);
        assert!(revoked.is_banned(one.user));
        assert_eq!(revoked.judge(&renewed), Verdict::Void);
        revoked.revoke(one.user, Revocation::Ban(false), NOW_MS);
        assert_eq!(revoked.judge(&renewed), Verdict::Valid);
        assert_eq!(revoked.judge(&stranger), Verdict::Valid);
    }

    #[test]
    fn sign_ins_of_cookies_whose_time_is_over_take_no_room() {
        let mut revoked = Revoked::default();
        let user = Identity::anonymous(NOW_MS).user;
        for (at_ms, left) in [(0, 1), (1000, 2), (1000, 2), (KEPT_S * 1000, 2)] {
            let sign_in = SignIn(at_ms as u32);
            revoked.revoke(user, Revocation::SignIn(sign_in), NOW_MS + at_ms);
            assert_eq!(revoked.users[&user].sign_ins.len(), left, "{at_ms}");
        }
        assert_eq!(forgotten_before_ms(NOW_MS + KEPT_S * 1000), NOW_MS);
    }
}

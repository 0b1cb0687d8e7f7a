//! What people have, as services hand it out. Plain data: knows no database, no HTTP and no clock.

use std::fmt;

use actors::player::UserId;
use serde::Serialize;

/// A team or a room: 63 bits of chance, written as 16 hexadecimal digits, as those of users are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(UserId);

impl GroupId {
    /// The group of that number; `None` if it is 0 or has more than 63 bits.
    pub fn new(number: u64) -> Option<Self> {
        UserId::new(number).map(Self)
    }

    /// One that nobody has.
    pub fn by_chance() -> Self {
        Self(user_by_chance())
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// Reads what `Display` has written.
    pub fn read(text: &str) -> Option<Self> {
        UserId::read(text).map(Self)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The greatest number that a user could have.
const OPERATORS: u64 = u64::MAX >> 1;

/// The sender of all that operators publish, whose number no user is given: an id of a message means one thing for all
/// operators, and nothing for players.
pub fn operators() -> UserId {
    UserId::new(OPERATORS).expect("63 bits")
}

/// A user nobody has heard of.
pub fn user_by_chance() -> UserId {
    // One in 2^63 is 0.
    let users = std::iter::repeat_with(|| UserId::new(rand::random::<u64>() >> 1));
    users.flatten().find(|user| *user != operators()).expect("endless")
}

/// The day of a time, in days since 1970 (UTC).
pub fn day_of(now_ms: u64) -> i32 {
    i32::try_from(now_ms / 86_400_000).unwrap_or(i32::MAX)
}

/// Who has registered or logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Whom the cookie is for from now on.
    pub user: UserId,
    /// What the cookie must have.
    pub epoch: u32,
    /// As the owner writes it.
    pub name: String,
    /// Whether the anonymous identity's boxes are this account's now.
    pub has_moved: bool,
}

/// An account, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub user: UserId,
    /// As its owner writes it.
    pub name: String,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_ms: u64,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Which.
    pub id: GroupId,
    /// As its maker writes it.
    pub name: String,
    /// `#rrggbb`.
    pub colour: String,
    /// Who may change it.
    pub maker: Option<UserId>,
    /// Lets somebody join: for members alone.
    pub invite: String,
    /// When it was made.
    pub created_ms: u64,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Which.
    pub id: GroupId,
    /// As its maker writes it.
    pub name: String,
    /// Who made it.
    pub maker: Option<UserId>,
    /// Lets somebody join: for members alone.
    pub invite: String,
    /// When it was made.
    pub created_ms: u64,
}

/// Somebody in a team or a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// None without an account.
    pub name: Option<String>,
    /// Since when.
    pub since_ms: u64,
}

/// What somebody reports to operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewReport {
    /// About whom.
    pub about: UserId,
    /// In the words of who reports.
    pub reason: String,
    /// The message, and those before it, as JSON.
    pub message: String,
}

/// A report, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Which.
    pub id: u64,
    /// Who reports; none once the account is gone.
    pub reporter: Option<UserId>,
    /// What.
    pub what: NewReport,
    /// When.
    pub at_ms: u64,
}

/// Everything that there is about a user but what nobody may have: hashes.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Export {
    /// 16 hexadecimal digits.
    pub user: String,
    /// None without an account.
    pub name: Option<String>,
    /// When the account was made, in milliseconds since 1970 (UTC).
    pub account_created_ms: Option<i64>,
    /// When its name or password changed last.
    pub account_changed_ms: Option<i64>,
    /// Whether there is a code that sets a new password.
    pub has_reset_code: bool,
    /// The row of its checks, if it has any.
    pub player: Option<ExportedPlayer>,
    /// First checks by day.
    pub days: Vec<ExportedDay>,
    /// First checks by board, key range and day, as the stores have them.
    pub credits: Vec<ExportedCredit>,
    /// Anonymous identities whose boxes are this account's.
    pub moved_from: Vec<String>,
    /// Its team.
    pub team: Option<ExportedGroup>,
    /// Its rooms.
    pub rooms: Vec<ExportedGroup>,
    /// What ended cookies.
    pub revocations: Vec<ExportedRevocation>,
    /// Reports that it has made.
    pub reports: Vec<ExportedReport>,
}

/// A day with checks.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedDay {
    /// In days since 1970 (UTC).
    pub day: i32,
    /// First checks of that day.
    pub checks: i64,
}

/// A counter of a store.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedCredit {
    /// Of which board.
    pub board: String,
    /// Which of its key ranges.
    pub key_range: i64,
    /// In days since 1970 (UTC).
    pub day: i32,
    /// First checks.
    pub checks: i64,
}

/// A team or a room, as a member has it.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedGroup {
    /// Which.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Member since, in milliseconds since 1970 (UTC).
    pub since_ms: u64,
}

/// What ended cookies.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedRevocation {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// Cookies of an earlier one were void.
    pub epoch: Option<i64>,
    /// The sign-in that ended.
    pub sign_in: Option<i64>,
    /// Whether it was banned or let in again.
    pub banned: Option<bool>,
}

/// A report that was made.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedReport {
    /// When, in milliseconds since 1970 (UTC).
    pub at_ms: i64,
    /// About whom.
    pub about: String,
    /// Why.
    pub reason: String,
    /// The messages.
    pub message: String,
}

/// The checks of a player.
#[derive(Debug, Clone, Serialize)]
pub struct ExportedPlayer {
    /// When its row was made.
    pub created_ms: i64,
    /// The last day it came.
    pub seen_day: i32,
    /// First checks of all days.
    pub total: i64,
    /// The first day with one.
    pub first_day: Option<i32>,
    /// The last one.
    pub last_day: Option<i32>,
    /// Days in a row up to that.
    pub streak: i32,
    /// The most there were.
    pub best_streak: i32,
}

/// First and last day, and days in a row: the last ones, and the most there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streak {
    /// The first day.
    pub first: Option<i32>,
    /// The last day.
    pub last: Option<i32>,
    /// Days in a row up to the last.
    pub current: i32,
    /// The most.
    pub best: i32,
}

/// What is ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leaderboard {
    /// Players, with and without accounts.
    Players,
    /// Teams.
    Teams,
}

/// A line of a leaderboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranked {
    /// Which player or team.
    pub id: GroupId,
    /// None without an account.
    pub name: Option<String>,
    /// `#rrggbb`; of a player that of its team.
    pub colour: Option<String>,
    /// First checks.
    pub total: u64,
}

impl Streak {
    /// With one more day; `None` if that is before the last one and not known to be in it.
    pub fn with(self, day: i32) -> Option<Self> {
        let current = match self.last {
            Some(last) if day == last => return Some(self),
            Some(last) if day < last => return None,
            Some(last) if last.checked_add(1) == Some(day) => self.current + 1,
            _ => 1,
        };
        let best = self.best.max(current);
        Some(Self { first: self.first.or(Some(day)), last: Some(day), current, best })
    }

    /// Of days that rise.
    pub fn of(days: impl IntoIterator<Item = i32>) -> Self {
        days.into_iter().fold(Self::default(), |before, day| before.with(day).unwrap_or(before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streak_counts_days_in_a_row() {
        assert_eq!(Streak::of([]), Streak::default());
        let streak = Streak::of([3, 4, 5, 9, 10, 12]);
        assert_eq!(streak, Streak { first: Some(3), last: Some(12), current: 1, best: 3 });
        assert_eq!(Streak::of([-1, 0, 1]).current, 3);
        assert_eq!(Streak::of([i32::MAX]).best, 1);
    }

    #[test]
    fn a_group_is_written_as_users_are() {
        let group = GroupId::new(0xAB).expect("a group");
        assert_eq!(group.to_string(), "00000000000000ab");
        assert_eq!(GroupId::read("00000000000000ab"), Some(group));
        assert_eq!(GroupId::new(1 << 63), None);
        assert_eq!(day_of(86_400_000 * 20_000 + 5), 20_000);
    }
}

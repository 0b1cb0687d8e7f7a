//! Teams and rooms: who makes, joins and leaves them, and what players report. Decides; statements are the repository's.
//!
//! Whoever has the invite joins. A group ends with its last member; a maker who leaves is followed by the member of
//! longest standing.

use actors::player::UserId;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use sea_orm::{DatabaseTransaction, DbErr};

use super::{
    model::{GroupId, Member, NewReport, Report, Room, Team},
    names::{Colour, Name, NameError},
    repository::{accounts, players, reports, rooms, teams},
};
use crate::database::{Database, Failure, Trouble};

/// Rooms that one user may be in.
pub const ROOMS_MAX: usize = 20;

/// Members of a room.
pub const ROOM_MEMBERS_MAX: u64 = 500;

/// Open reports that one user may have: operators read them one by one.
pub const REPORTS_MAX: u64 = 20;

/// Most bytes of a report's reason, and of its messages: MariaDB's TEXT has room for 65,535.
pub const REASON_BYTES_MAX: usize = 1_000;
/// 20 messages of 2,000 bytes.
pub const MESSAGE_BYTES_MAX: usize = 40_000;

/// Why a group did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GroupError {
    /// The database did not (503).
    #[error("{0}")]
    Database(#[from] Trouble),
    /// No name (422).
    #[error("{0}")]
    Name(#[from] NameError),
    /// No colour (422).
    #[error("a colour is written #rrggbb")]
    Colour,
    /// Another team has it (409).
    #[error("a team has that name, or one that looks the same")]
    NameTaken,
    /// Who makes a group has an account (403).
    #[error("only who has an account may do that")]
    NoAccount,
    /// One team a player (409).
    #[error("you are in a team: leave it first")]
    InTeam,
    /// Somebody else's to do (403).
    #[error("only who has made it may do that")]
    NotMaker,
    /// No such invite, or no such group, or not in it (404).
    #[error("there is no such group, or the invite is no longer good")]
    Unknown,
    /// [`ROOMS_MAX`] (409).
    #[error("you are in {ROOMS_MAX} rooms: leave one first")]
    TooManyRooms,
    /// [`ROOM_MEMBERS_MAX`] (409).
    #[error("the room has {ROOM_MEMBERS_MAX} members")]
    Full,
    /// [`REPORTS_MAX`] (429).
    #[error("{REPORTS_MAX} of your reports have not been read yet")]
    TooManyReports,
    /// More than [`REASON_BYTES_MAX`] or [`MESSAGE_BYTES_MAX`] (422).
    #[error("the report is too long")]
    TooLong,
}

type Refusable<T> = Result<T, Failure<GroupError>>;

fn refused<T>(error: GroupError) -> Refusable<T> {
    Err(Failure::Refused(error))
}

/// The service; a handle.
#[derive(Debug, Clone)]
pub struct Groups(Database);

impl Groups {
    /// Of that database.
    pub fn new(database: Database) -> Self {
        Self(database)
    }

    /// Makes a team, with whoever makes it as its first member.
    ///
    /// # Errors
    /// [`GroupError::Name`], `Colour`, `NameTaken`, `NoAccount`, `InTeam`, `Database`.
    pub async fn create_team(
        &self,
        maker: UserId,
        name: &str,
        colour: &str,
        now_ms: u64,
    ) -> Result<Team, GroupError> {
        let name = Name::parse(name)?;
        let colour = Colour::parse(colour).ok_or(GroupError::Colour)?;
        let team = Team {
            id: GroupId::by_chance(),
            name: name.to_string(),
            colour: colour.as_str().to_owned(),
            maker: Some(maker),
            invite: invite_by_chance(),
            created_ms: now_ms,
        };
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                if accounts::lock(transaction, maker).await?.is_none() {
                    return refused(GroupError::NoAccount);
                }
                if teams::of(transaction, maker).await?.is_some() {
                    return refused(GroupError::InTeam);
                }
                if teams::by_name(transaction, &name.folded()).await?.is_some() {
                    return refused(GroupError::NameTaken);
                }
                teams::insert(transaction, &team, name.folded()).await?;
                teams::add(transaction, team.id, maker, now_ms).await?;
                Ok(team.clone())
            })
            .await
    }

    /// Gives a team another name and colour, as its maker may.
    ///
    /// # Errors
    /// [`GroupError::Name`], `Colour`, `NameTaken`, `NotMaker`, `Unknown`, `Database`.
    pub async fn change_team(
        &self,
        maker: UserId,
        id: GroupId,
        name: &str,
        colour: &str,
    ) -> Result<Team, GroupError> {
        let name = Name::parse(name)?;
        let colour = Colour::parse(colour).ok_or(GroupError::Colour)?;
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                let team = made_by(maker, teams::lock(transaction, id).await?)?;
                let other = teams::by_name(transaction, &name.folded()).await?;
                if other.is_some_and(|other| other != id) {
                    return refused(GroupError::NameTaken);
                }
                let colour = colour.as_str().to_owned();
                let team = Team { name: name.to_string(), colour, ..team };
                teams::update(transaction, &team, name.folded()).await?;
                Ok(team)
            })
            .await
    }

    /// Makes a new invite for a team; the old one is void.
    ///
    /// # Errors
    /// [`GroupError::NotMaker`], `Unknown`, `Database`.
    #[cfg_attr(not(test), expect(dead_code, reason = "no route renews an invite yet"))]
    pub async fn renew_invite(&self, maker: UserId, id: GroupId) -> Result<Team, GroupError> {
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                let team = made_by(maker, teams::lock(transaction, id).await?)?;
                let team = Team { invite: invite_by_chance(), ..team };
                let folded = super::names::folded(&team.name);
                teams::update(transaction, &team, folded).await?;
                Ok(team)
            })
            .await
    }

    /// Joins the team of an invite, with or without an account. Whoever is in it stays.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], `InTeam` (another one), `Database`.
    pub async fn join_team(
        &self,
        user: UserId,
        invite: &str,
        now_ms: u64,
    ) -> Result<Team, GroupError> {
        let invite = invite.to_owned();
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                let team = teams::lock_by_invite(transaction, &invite).await?;
                let Some(team) = team else { return refused(GroupError::Unknown) };
                players::ensure(transaction, user, now_ms).await?;
                match teams::of(transaction, user).await? {
                    Some((own, _)) if own.id == team.id => {}
                    Some(_) => return refused(GroupError::InTeam),
                    None => teams::add(transaction, team.id, user, now_ms).await?,
                }
                Ok(team)
            })
            .await
    }

    /// Leaves the team, if there is one.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn leave_team(&self, user: UserId) -> Result<(), GroupError> {
        let leave = async move |transaction: &_| Ok(leave_team(transaction, user).await?);
        self.0.write(leave).await
    }

    /// The team of a user.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn team_of(&self, user: UserId) -> Result<Option<Team>, GroupError> {
        let find = async move |connection: &_| Ok(teams::of(connection, user).await?);
        let found: Result<_, GroupError> = self.0.read(find).await;
        Ok(found?.map(|(team, _)| team))
    }

    /// A team, if there is one.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn team(&self, id: GroupId) -> Result<Option<Team>, GroupError> {
        self.0.read(async move |connection: &_| Ok(teams::find(connection, id).await?)).await
    }

    /// First checks of a team's members, each while it was one.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn team_total(&self, id: GroupId) -> Result<u64, GroupError> {
        self.0.read(async move |connection: &_| Ok(teams::total(connection, id).await?)).await
    }

    /// Members of a team, those of longest standing first, so many at most.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn team_members(&self, id: GroupId, limit: u64) -> Result<Vec<Member>, GroupError> {
        let find = async move |connection: &_| Ok(teams::members(connection, id, limit).await?);
        self.0.read(find).await
    }

    /// Makes a room, with whoever makes it as its first member.
    ///
    /// # Errors
    /// [`GroupError::Name`], `NoAccount`, `TooManyRooms`, `Database`.
    pub async fn create_room(
        &self,
        maker: UserId,
        name: &str,
        now_ms: u64,
    ) -> Result<Room, GroupError> {
        let name = Name::parse(name)?;
        let room = Room {
            id: GroupId::by_chance(),
            name: name.to_string(),
            maker: Some(maker),
            invite: invite_by_chance(),
            created_ms: now_ms,
        };
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                // One after the other, so that the count holds.
                players::ensure(transaction, maker, now_ms).await?;
                if accounts::of(transaction, maker).await?.is_none() {
                    return refused(GroupError::NoAccount);
                }
                if rooms::of(transaction, maker).await?.len() >= ROOMS_MAX {
                    return refused(GroupError::TooManyRooms);
                }
                rooms::insert(transaction, &room).await?;
                rooms::add(transaction, room.id, maker, now_ms).await?;
                Ok(room.clone())
            })
            .await
    }

    /// Joins the room of an invite. Whoever is in it stays.
    ///
    /// # Errors
    /// [`GroupError::Unknown`], `TooManyRooms`, `Full`, `Database`.
    #[cfg_attr(not(test), expect(dead_code, reason = "no route joins a room by its invite yet"))]
    pub async fn join_room(
        &self,
        user: UserId,
        invite: &str,
        now_ms: u64,
    ) -> Result<Room, GroupError> {
        let invite = invite.to_owned();
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                players::ensure(transaction, user, now_ms).await?;
                let room = rooms::lock_by_invite(transaction, &invite).await?;
                enter(transaction, room, user, now_ms).await
            })
            .await
    }

    /// Puts a user into a room, without an invite. Whoever is in it stays.
    ///
    /// # Errors
    /// As [`join_room`](Self::join_room).
    pub async fn add_to_room(
        &self,
        user: UserId,
        id: GroupId,
        now_ms: u64,
    ) -> Result<Room, GroupError> {
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                players::ensure(transaction, user, now_ms).await?;
                let room = rooms::lock(transaction, id).await?;
                enter(transaction, room, user, now_ms).await
            })
            .await
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// [`GroupError::Unknown`] if the user is not in it; `Database`.
    pub async fn leave_room(&self, user: UserId, id: GroupId) -> Result<(), GroupError> {
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                let was_in = leave_room(transaction, user, id).await?;
                if was_in { Ok(()) } else { refused(GroupError::Unknown) }
            })
            .await
    }

    /// A room, if there is one.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn room(&self, id: GroupId) -> Result<Option<Room>, GroupError> {
        self.0.read(async move |connection: &_| Ok(rooms::find(connection, id).await?)).await
    }

    /// The rooms of a user.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn rooms_of(&self, user: UserId) -> Result<Vec<Room>, GroupError> {
        let find = async move |connection: &_| Ok(rooms::of(connection, user).await?);
        let found: Result<Vec<(Room, u64)>, GroupError> = self.0.read(find).await;
        Ok(found?.into_iter().map(|(room, _)| room).collect())
    }

    /// Members of a room.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn room_members(&self, id: GroupId) -> Result<Vec<Member>, GroupError> {
        let limit = ROOM_MEMBERS_MAX;
        let find = async move |connection: &_| Ok(rooms::members(connection, id, limit).await?);
        self.0.read(find).await
    }

    /// Reports somebody to operators; returns the report's id.
    ///
    /// # Errors
    /// [`GroupError::TooManyReports`], `TooLong`, `Database`.
    pub async fn report(
        &self,
        reporter: UserId,
        report: NewReport,
        now_ms: u64,
    ) -> Result<u64, GroupError> {
        let is_long =
            report.reason.len() > REASON_BYTES_MAX || report.message.len() > MESSAGE_BYTES_MAX;
        if is_long {
            return Err(GroupError::TooLong);
        }
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                players::ensure(transaction, reporter, now_ms).await?;
                if reports::open_of(transaction, reporter).await? >= REPORTS_MAX {
                    return refused(GroupError::TooManyReports);
                }
                Ok(reports::insert(transaction, reporter, &report, now_ms).await?)
            })
            .await
    }

    /// Reports that no operator has closed, the oldest first.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn open_reports(&self, limit: u64) -> Result<Vec<Report>, GroupError> {
        let find = async move |connection: &_| Ok(reports::open(connection, limit).await?);
        self.0.read(find).await
    }

    /// Closes a report.
    ///
    /// # Errors
    /// [`GroupError::Unknown`] if it is closed, or there is none; `Database`.
    pub async fn close_report(
        &self,
        id: u64,
        operator: &str,
        now_ms: u64,
    ) -> Result<(), GroupError> {
        let operator = operator.to_owned();
        self.0
            .write(async move |transaction: &DatabaseTransaction| {
                let was_open = reports::close(transaction, id, &operator, now_ms).await?;
                if was_open { Ok(()) } else { refused(GroupError::Unknown) }
            })
            .await
    }

    /// Removes reports that were closed before `before_ms`, a batch; returns how many.
    ///
    /// # Errors
    /// [`GroupError::Database`].
    pub async fn forget_reports(&self, before_ms: u64) -> Result<u64, GroupError> {
        let forget =
            async move |transaction: &_| Ok(reports::forget(transaction, before_ms).await?);
        self.0.write(forget).await
    }
}

fn made_by(maker: UserId, team: Option<Team>) -> Refusable<Team> {
    match team {
        None => refused(GroupError::Unknown),
        Some(team) if team.maker != Some(maker) => refused(GroupError::NotMaker),
        Some(team) => Ok(team),
    }
}

/// 128 bits: nobody guesses one, so that it needs no delays.
fn invite_by_chance() -> String {
    BASE64.encode(rand::random::<[u8; 16]>())
}

/// Takes a user out of all groups.
///
/// # Errors
/// What the database says.
pub async fn leave_all(transaction: &DatabaseTransaction, user: UserId) -> Result<(), DbErr> {
    leave_team(transaction, user).await?;
    for (room, _) in rooms::of(transaction, user).await? {
        leave_room(transaction, user, room.id).await?;
    }
    Ok(())
}

async fn leave_team(transaction: &DatabaseTransaction, user: UserId) -> Result<(), DbErr> {
    let Some((team, _)) = teams::of(transaction, user).await? else { return Ok(()) };
    // From here on nobody joins or leaves.
    let Some(team) = teams::lock(transaction, team.id).await? else { return Ok(()) };
    teams::remove(transaction, user).await?;
    let next = teams::members(transaction, team.id, 1).await?;
    match next.first() {
        None => teams::delete(transaction, team.id).await,
        Some(next) if team.maker == Some(user) => {
            let folded = super::names::folded(&team.name);
            let team = Team { maker: Some(next.user), ..team };
            teams::update(transaction, &team, folded).await
        }
        Some(_) => Ok(()),
    }
}

/// Puts a user into a room that is locked, if there is one.
async fn enter(
    transaction: &DatabaseTransaction,
    room: Option<Room>,
    user: UserId,
    now_ms: u64,
) -> Refusable<Room> {
    let Some(room) = room else { return refused(GroupError::Unknown) };
    if rooms::has(transaction, room.id, user).await? {
        return Ok(room);
    }
    if rooms::of(transaction, user).await?.len() >= ROOMS_MAX {
        return refused(GroupError::TooManyRooms);
    }
    if rooms::count(transaction, room.id).await? >= ROOM_MEMBERS_MAX {
        return refused(GroupError::Full);
    }
    rooms::add(transaction, room.id, user, now_ms).await?;
    Ok(room)
}

async fn leave_room(
    transaction: &DatabaseTransaction,
    user: UserId,
    id: GroupId,
) -> Result<bool, DbErr> {
    let Some(room) = rooms::lock(transaction, id).await? else { return Ok(false) };
    if !rooms::remove(transaction, id, user).await? {
        return Ok(false);
    }
    match rooms::members(transaction, id, 1).await?.first() {
        None => rooms::delete(transaction, id).await?,
        Some(next) if room.maker == Some(user) => {
            rooms::set_maker(transaction, id, next.user).await?;
        }
        Some(_) => {}
    }
    Ok(true)
}

#[cfg(test)]
mod tests;

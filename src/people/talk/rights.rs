//! Who may take part in which group.

use actors::{
    channels::Group,
    player::UserId,
    store::{BoxFuture, StoreError},
};

use crate::people::groups::Groups;

/// Knows who belongs to which team and room.
pub trait Rights: Send + Sync + 'static {
    /// Whether a user may read and write in a team or a room.
    ///
    /// # Errors
    /// If what knows that is away.
    fn is_member(&self, user: UserId, group: Group) -> BoxFuture<Result<bool, StoreError>>;
}

/// The members of teams and rooms, as SQL has them.
pub struct Memberships(pub Groups);

impl Rights for Memberships {
    fn is_member(&self, user: UserId, group: Group) -> BoxFuture<Result<bool, StoreError>> {
        let groups = self.0.clone();
        Box::pin(async move {
            let found = match group {
                Group::Team(id) => groups
                    .team_of(user)
                    .await
                    .map(|team| team.is_some_and(|team| team.id.get() == id)),
                Group::Room(id) => groups
                    .rooms_of(user)
                    .await
                    .map(|rooms| rooms.iter().any(|room| room.id.get() == id)),
                Group::User(_) | Group::Tile(_) | Group::Connection(..) => Ok(false),
            };
            found.map_err(|error| StoreError::Unavailable(error.to_string().into()))
        })
    }
}

//! Who may take part in which group.

use actors::{
    channels::Group,
    player::UserId,
    store::{BoxFuture, StoreError},
};

/// Knows who belongs to which team and room.
pub trait Rights: Send + Sync + 'static {
    /// Whether a user may read and write in a team or a room.
    ///
    /// # Errors
    /// If what knows that is away.
    fn is_member(&self, user: UserId, group: Group) -> BoxFuture<Result<bool, StoreError>>;
}

/// Where there are no teams and rooms.
pub struct NoGroups;

impl Rights for NoGroups {
    fn is_member(&self, _: UserId, _: Group) -> BoxFuture<Result<bool, StoreError>> {
        Box::pin(async { Ok(false) })
    }
}

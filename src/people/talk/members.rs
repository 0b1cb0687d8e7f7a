//! Who is in a group on this node: asked of the posts of its threads.

use std::time::Duration;

use actors::{
    channels::Group,
    messages::ToPost,
    node::Node,
    player::{SessionId, UserId},
    store::BoxFuture,
};
use futures_util::future::join_all;
use tokio::{sync::oneshot, time::timeout};

/// Time for the posts to answer.
const POST_TIME: Duration = Duration::from_secs(2);

/// A connection, and whose it is.
pub type Member = (SessionId, Option<UserId>);

/// The connections of this node that a message to a group is for; `None` if a post does not answer.
pub fn here(node: &Node, group: Group) -> BoxFuture<Option<Vec<Member>>> {
    let posts = node.posts();
    let meant = match group {
        // Whoever looks there has joined nothing.
        Group::Tile(_) | Group::Connection(..) => (0..posts.len()).collect(),
        Group::Team(_) | Group::Room(_) | Group::User(_) => node.interest.posts(group),
    };
    let mut answers = Vec::new();
    for number in meant {
        let (members, answer) = oneshot::channel();
        let read = ToPost::ReadMembers { group, members };
        let is_asked = posts.get(number).is_some_and(|post| post.inbox.try_send(read).is_ok());
        answers.push(is_asked.then_some(answer));
    }
    Box::pin(async move {
        let answers: Option<Vec<_>> = answers.into_iter().collect();
        let said = timeout(POST_TIME, join_all(answers?)).await.ok()?;
        let said: Result<Vec<_>, _> = said.into_iter().collect();
        Some(said.ok()?.concat())
    })
}

/// The users among them, once for each connection.
pub fn users(members: &[Member]) -> Vec<UserId> {
    members.iter().filter_map(|(_, user)| *user).collect()
}

//! What operators do in groups: publish, read what is kept, see who is there. Needs no membership, and is from `operator`.

use actors::{
    channels::{Draft, Group, History, PAYLOAD_BYTES_MAX, Position, Published},
    node::Node,
    player::UserId,
    store::StoreError,
    talk::count,
};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    PATIENCE, Talks, envelope,
    members::{self, Member},
};
use crate::people::model;

/// Who operators are in an envelope.
const FROM: &str = "operator";

/// Who is in a group.
#[derive(Debug, PartialEq, Eq)]
pub struct Present {
    /// Users on any node; of a tile and a user, which nodes say nothing of to each other, on this one. Each once, in order.
    pub users: Vec<UserId>,
    /// Connections of this node, in order.
    pub here: Vec<Member>,
}

/// By when everything has to be done that begins now.
pub fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

fn too_late() -> StoreError {
    StoreError::Unavailable("what keeps messages does not answer".into())
}

/// A message from operators; `None` if it is larger than what is kept of one.
pub fn draft(to: Group, id: String, data: &Map<String, Value>) -> Option<Draft> {
    let payload = envelope::payload_from(FROM, &id, to, data);
    let draft = Draft { group: to, sender: model::operators(), id, payload };
    (draft.payload.len() <= PAYLOAD_BYTES_MAX).then_some(draft)
}

impl Talks {
    /// Publishes what operators say: ready when it has its place.
    ///
    /// # Errors
    /// If it was not published, or nobody knows whether it was. Publishing it again under its id is safe.
    pub async fn publish(&self, draft: Draft, until: Instant) -> Result<Published, StoreError> {
        let to = draft.group.kind();
        let published = timeout_at(until, self.channels.publish(draft)).await;
        let published = published.map_err(|_| too_late())??;
        if !published.is_duplicate {
            count(&self.stats.published, "to", to, 1);
        }
        Ok(published)
    }

    /// What is kept of a group after a position, or all that is.
    ///
    /// # Errors
    /// If what keeps it is away.
    pub async fn history(
        &self,
        group: Group,
        after: Option<Position>,
    ) -> Result<History, StoreError> {
        timeout(PATIENCE, self.channels.history(group, after)).await.map_err(|_| too_late())?
    }

    /// Who is in a group.
    ///
    /// # Errors
    /// If what other nodes have said of it is away, or a thread of this one does not answer.
    pub async fn present(&self, node: &Node, group: Group) -> Result<Present, StoreError> {
        let here = members::here(node, group).await;
        let mut here =
            here.ok_or_else(|| StoreError::Unavailable("a worker does not answer".into()))?;
        here.sort_unstable();
        let mut users = members::users(&here);
        if group.is_joined() {
            // As the relay says it: it changes nothing, unless somebody has just come or gone.
            let present = timeout(PATIENCE, self.channels.present(group, users)).await;
            users = present.map_err(|_| too_late())??;
        }
        users.sort_unstable();
        users.dedup();
        Ok(Present { users, here })
    }
}

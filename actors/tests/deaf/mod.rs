//! What a node needs whose clients may be written to and have nothing to say.

use actors::{
    link::SessionLink,
    protocol::text_frame,
    talk::{Reply, Said, Talk, TalkStats, Unheard},
};
use bytes::Bytes;

/// Understands nothing, which is enough to be known.
#[derive(Default)]
pub struct Deaf(TalkStats);

impl Talk for Deaf {
    fn hear(&self, _: &Said<'_>) -> Reply {
        Reply::Nothing
    }

    fn is_message(&self, _: &str) -> bool {
        true
    }

    fn unheard(&self, _: &Said<'_>, _: Unheard) -> Bytes {
        text_frame("")
    }

    fn lost(&self, _: &SessionLink, _: u64) -> Bytes {
        text_frame("")
    }

    fn stats(&self) -> &TalkStats {
        &self.0
    }
}

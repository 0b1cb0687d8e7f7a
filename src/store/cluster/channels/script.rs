//! The calls of the scripts that keep messages (`lua/talk*.lua`). All of one part's keys are in one slot.

use actors::channels::{Draft, Group, KEPT_MESSAGES, KEPT_MS, Position};
use redis::{Cmd, Script};

use super::{Part, ear::Seen};
use crate::store::cluster::script::Call;

const COMMON: &str = include_str!("../lua/talk.lua");
const PUBLISH: &str = include_str!("../lua/talk_publish.lua");
const READ: &str = include_str!("../lua/talk_read.lua");
const LOOK: &str = include_str!("../lua/talk_look.lua");
const PRESENT: &str = include_str!("../lua/talk_present.lua");

/// Links that are kept of a part, 16 digits each: a node that was away while more messages passed has the numbering begin
/// again. 4,096 × 16 parts × ~19 bytes = 1.2 MB.
const LINKS_KEPT: usize = 4096;

/// A script and its digest.
struct Lua {
    text: String,
    sha: String,
}

impl Lua {
    fn new(text: String) -> Self {
        let sha = Script::new(&text).get_hash().to_owned();
        Self { text, sha }
    }

    fn call(&self, keys: &[&str], add: impl Fn(&mut Cmd)) -> Call {
        let call = |name, code: &str| {
            let mut command = redis::cmd(name);
            command.arg(code).arg(keys.len()).arg(keys);
            add(&mut command);
            command
        };
        Call { known: call("EVALSHA", &self.sha), text: call("EVAL", &self.text) }
    }
}

/// All of them.
pub(super) struct Scripts {
    publish: Lua,
    read: Lua,
    look: Lua,
    present: Lua,
}

impl Default for Scripts {
    fn default() -> Self {
        let [publish, read, look] =
            [PUBLISH, READ, LOOK].map(|text| Lua::new(format!("{COMMON}{text}")));
        Self { publish, read, look, present: Lua::new(PRESENT.to_owned()) }
    }
}

/// 16 digits that nobody else has, as a number other than 0.
fn chance() -> String {
    format!("{:016x}", rand::random_range(1..=u64::MAX))
}

fn add_seen(command: &mut Cmd, part: &Part, chance: &str, seen: &Seen) {
    command.arg(&part.channel).arg(chance).arg(seen.run).arg(&seen.mark).arg(seen.points());
}

impl Scripts {
    pub(super) fn publish(&self, part: &Part, seen: &Seen, draft: &Draft) -> Call {
        let Draft { group, sender, id, payload } = draft;
        let known = format!("{}:{sender}:{id}", part.key("known", *group));
        let (group, kept) = (part.key("group", *group), part.key("kept", *group));
        let (name, chance) = (draft.group.to_string(), chance());
        self.publish.call(&[&part.state, &part.links, &group, &kept, &known], |command| {
            add_seen(command, part, &chance, seen);
            command.arg(&name).arg(&payload[..]).arg(KEPT_MESSAGES).arg(KEPT_MS).arg(LINKS_KEPT);
        })
    }

    pub(super) fn read(
        &self,
        part: &Part,
        seen: &Seen,
        group: Group,
        after: Option<Position>,
    ) -> Call {
        let (group, kept) = (part.key("group", group), part.key("kept", group));
        let (epoch, offset) = after.map_or((String::new(), 0), |after| {
            // More than Redis' numbers hold exactly is beyond every offset anyway.
            (after.epoch.to_string(), after.offset.min(1 << 53))
        });
        let chance = chance();
        self.read.call(&[&part.state, &part.links, &group, &kept], |command| {
            add_seen(command, part, &chance, seen);
            command.arg(&epoch).arg(offset);
        })
    }

    pub(super) fn look(&self, part: &Part, seen: &Seen) -> Call {
        let chance = chance();
        self.look.call(&[&part.state, &part.links], |command| {
            add_seen(command, part, &chance, seen);
        })
    }

    pub(super) fn present(
        &self,
        part: &Part,
        group: Group,
        node: &str,
        lasts_ms: u64,
        users: &str,
    ) -> Call {
        let (key, name) = (part.key("present", group), group.to_string());
        self.present.call(&[&key], |command| {
            command.arg(&part.channel).arg(&name).arg(node).arg(lasts_ms).arg(users);
        })
    }
}

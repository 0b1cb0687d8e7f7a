//! Who is in a cluster, as one of its members sees it.

use std::{net::SocketAddr, ops::RangeInclusive};

use anyhow::{Context, Result};

/// One line of `CLUSTER NODES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Forty hexadecimal digits.
    pub id: String,
    /// Where clients reach it; empty when it is not known yet.
    pub address: String,
    /// Whom it follows.
    pub master: Option<String>,
    /// What it serves; not the slots that are only on their way.
    pub slots: Vec<RangeInclusive<u16>>,
    flags: Vec<String>,
    connected: bool,
}

impl Member {
    /// Whether it is a master, failed or not.
    pub fn is_master(&self) -> bool {
        self.has("master")
    }

    /// Whether it is taken for failed, by all masters or only by the one that was asked.
    pub fn is_failing(&self) -> bool {
        self.has("fail") || self.has("fail?")
    }

    /// Whether it is known, connected and well.
    pub fn takes_part(&self) -> bool {
        self.connected && !self.is_failing() && !self.has("handshake") && !self.has("noaddr")
    }

    /// Whether it is the one that was asked.
    pub fn is_myself(&self) -> bool {
        self.has("myself")
    }

    /// Whether it serves `slot`.
    pub fn serves(&self, slot: u16) -> bool {
        self.slots.iter().any(|slots| slots.contains(&slot))
    }

    /// Whether it listens at `address`.
    pub fn is_at(&self, address: SocketAddr) -> bool {
        self.address == address.to_string()
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|had| had == flag)
    }

    /// `ID IP:PORT@BUS[,HOSTNAME] FLAGS MASTER PING PONG EPOCH LINK SLOT…`
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let [id, address, flags, master, _, _, _, link, slots @ ..] = &words[..] else {
            return None;
        };
        Some(Self {
            id: (*id).to_owned(),
            address: address.split_once('@')?.0.to_owned(),
            master: (*master != "-").then(|| (*master).to_owned()),
            // A slot under way is in brackets: [93-<-ID].
            slots: slots
                .iter()
                .filter(|slot| !slot.starts_with('['))
                .map(|slots| range(slots))
                .collect::<Option<_>>()?,
            flags: flags.split(',').map(str::to_owned).collect(),
            connected: *link == "connected",
        })
    }
}

fn range(slots: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// Reads the reply to `CLUSTER NODES`.
pub fn members(reply: &str) -> Result<Vec<Member>> {
    let lines = reply.lines().filter(|line| !line.is_empty());
    lines.map(|line| Member::parse(line).with_context(|| format!("no member: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_apart() {
        let reply = "\
            07c3 127.0.0.1:7004@7104 slave e7d1 0 1426238317239 4 connected\n\
            67ed 127.0.0.1:7002@7102,host master,fail? - 0 1426238316232 2 disconnected 5461-10922\n\
            e7d1 127.0.0.1:7001@7101 myself,master - 0 0 1 connected 0-5459 5461 [5460->-67ed]\n";
        let members = members(reply).unwrap();
        assert_eq!(members[0].master.as_deref(), Some("e7d1"));
        assert!(members[0].takes_part() && !members[0].is_master());
        assert!(members[1].is_failing() && !members[1].takes_part() && members[1].is_master());
        assert_eq!(members[1].address, "127.0.0.1:7002");
        assert!(members[2].is_myself() && members[2].serves(5461) && !members[2].serves(5460));
        assert_eq!(members[2].slots, [0..=5459, 5461..=5461]);
    }

    #[test]
    fn what_is_no_member_is_refused() {
        assert!(members("ERR This instance has cluster support disabled").is_err());
        assert!(members("a 127.0.0.1:1@2 master - 0 0 1 connected 0-x").is_err());
    }
}

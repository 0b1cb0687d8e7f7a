//! What is limited, and at which heights.

use super::rate::Rate;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Checks.
    Checks,
    /// Bytes of answers to range requests.
    RangeBytes,
    /// New WebSocket connections.
    Connects,
    /// HTTP requests.
    Requests,
    /// Pings and Pongs.
    ControlFrames,
    /// Bytes received.
    BytesIn,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Checks,
        Self::RangeBytes,
        Self::Connects,
        Self::Requests,
        Self::ControlFrames,
        Self::BytesIn,
    ];

    /// What it is called in metrics and messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Checks => "checks",
            Self::RangeBytes => "range_bytes",
            Self::Connects => "connects",
            Self::Requests => "requests",
            Self::ControlFrames => "control_frames",
            Self::BytesIn => "bytes_in",
        }
    }

    /// Whether all nodes count it together. What guards the time of one node's threads is counted by that node.
    pub(super) fn is_of_all_nodes(self) -> bool {
        !matches!(self, Self::ControlFrames | Self::BytesIn)
    }
}

/// Where it is counted, apart from the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Height {
    /// For all connections and requests of an address together.
    Address,
    /// For all of a user.
    User,
    /// For everybody on this node.
    Node,
}

impl Height {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Address, Self::User, Self::Node];

    /// What it is called in metrics and messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::User => "user",
            Self::Node => "node",
        }
    }
}

/// How fast each kind may happen at each height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    by: [[Rate; Kind::ALL.len()]; Height::ALL.len()],
    /// Refuse nothing, and count what would be.
    pub is_shadow: bool,
}

impl Default for Rates {
    /// No limits.
    fn default() -> Self {
        Self { by: [[Rate::UNLIMITED; Kind::ALL.len()]; Height::ALL.len()], is_shadow: false }
    }
}

impl Rates {
    /// The rate of `kind` at `height`.
    pub fn of(&self, height: Height, kind: Kind) -> Rate {
        self.by[height as usize][kind as usize]
    }

    /// The same, refusing nothing or as they say.
    pub fn shadow(self, is_shadow: bool) -> Self {
        Self { is_shadow, ..self }
    }

    /// The same with this rate of `kind` at `height`.
    pub fn with(mut self, height: Height, kind: Kind, rate: Rate) -> Self {
        self.by[height as usize][kind as usize] = rate;
        self
    }
}

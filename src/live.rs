//! The settings that a running server follows outside of its actors, made ready for use. Replaced as a whole when
//! the settings are read again; whoever needs one looks when it needs it.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{
    admission::Rules,
    limits::{self, Counts, blocks::Blocks},
    room::Room,
    settings::{self, Settings},
};

/// All of them.
#[derive(Debug)]
pub struct Live {
    /// Who may connect, and how many.
    pub rules: Rules,
    /// How much they may do.
    pub limits: limits::rules::Rules,
    /// What is logged, and how it looks.
    pub log: settings::Log,
    /// Whether connections may be compressed.
    pub compression: bool,
    /// `admin.hosts`.
    pub hosts: Vec<String>,
    /// Days after which a player without an account is forgotten.
    pub anonymous_days: u32,
    /// Time between two messages of one player to one group.
    pub slow_mode: Duration,
    /// Idle HTTP connections that a worker may keep.
    pub kept_max: usize,
    /// How long a node that was told to stop goes on serving.
    pub drain_delay: Duration,
    /// How long the rest of a stop may take.
    pub shutdown_timeout: Duration,
}

impl Live {
    /// Those of `settings`, as far as there is `room`; what limits decide is counted in `counts`, and what operators
    /// have blocked is in `blocks`.
    pub fn new(settings: &Settings, room: &Room, counts: &Counts, blocks: &Arc<Blocks>) -> Self {
        let server = &settings.server;
        let rules = Rules::new(server, room.connections_max(server.max_connections));
        Self {
            kept_max: room.kept_max(rules.connections_max()),
            rules,
            limits: limits::rules::Rules::new(settings, counts, blocks),
            log: settings.log.clone(),
            compression: settings.session.compression != "off",
            hosts: settings.admin.hosts.clone(),
            anonymous_days: settings.people.anonymous_days,
            slow_mode: Duration::from_secs(settings.people.slow_mode_s),
            drain_delay: Duration::from_secs(server.drain_delay_s),
            shutdown_timeout: Duration::from_secs(server.shutdown_timeout_s),
        }
    }
}

#[cfg(test)]
impl Live {
    /// The defaults, on a machine with room for everybody.
    pub fn any() -> Self {
        Self::new(&Settings::defaults(), &Room::endless(), &Counts::default(), &Arc::default())
    }
}

/// Those in force, for one who follows them.
#[derive(Debug, Clone)]
pub struct Following(watch::Receiver<Arc<Live>>);

impl Following {
    /// Begins with `live`; what is sent from then on is followed.
    pub fn begin(live: Live) -> (watch::Sender<Arc<Live>>, Self) {
        let (sender, receiver) = watch::channel(Arc::new(live));
        (sender, Self(receiver))
    }

    /// Those in force now. Takes a short lock: for handshakes and requests, not for messages.
    pub fn now(&self) -> Arc<Live> {
        self.0.borrow().clone()
    }
}

//! Reads the settings again when SIGHUP asks for it: all or nothing.
//!
//! The same places in the same order as at the start; the environment and the command line are the process's own.
//! Whatever would keep a server from starting keeps all settings as they are. Otherwise those that may change while
//! the server runs are taken over, and those that need a restart are named.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use actors::node::Node;
use log::{error, info, warn};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use crate::{
    commands::check,
    limits::{Counts, blocks::Blocks},
    live::Live,
    logging::{self, fatal},
    room::Room,
    settings::{InForce, Settings, Sources},
    signals::Hangups,
    telemetry::gauge_of,
};

/// Longest time to read them; a disk takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The settings in force, and all who follow them.
pub struct Reload {
    /// Where the settings come from.
    pub sources: Sources,
    /// What they are.
    pub in_force: Arc<Mutex<InForce>>,
    /// What the machine has room for.
    pub room: Room,
    /// What operators have blocked.
    pub blocks: Arc<Blocks>,
    /// Its sessions follow.
    pub node: Arc<Node>,
    /// Everybody else follows.
    pub live: watch::Sender<Arc<Live>>,
    /// The metric of `server.max_connections`.
    pub connections_max: Gauge,
}

impl Reload {
    /// Reads them again after each of `hangups`.
    pub async fn after_each(mut self, mut hangups: Hangups) {
        while hangups.next().await {
            self.reload().await;
        }
    }

    async fn reload(&mut self) {
        info!("SIGHUP: reading the settings again");
        let sources = self.sources.clone();
        // On a thread that nobody waits for at the end, either: a folder may never answer.
        let (read, reading) = oneshot::channel();
        thread::spawn(move || {
            let loaded = Settings::load(&sources);
            let problems = check::problems(&loaded);
            // Nobody may be waiting any more.
            let _ = read.send((loaded, problems));
        });
        let (loaded, problems) = match timeout(PATIENCE, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => {
                return error!("all settings stay as they are: reading them failed inside");
            }
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                return error!(
                    "all settings stay as they are: {seconds} s were not enough to read them"
                );
            }
        };
        for notice in &loaded.notices {
            warn!("{notice}");
        }
        for problem in &problems {
            fatal(problem);
        }
        let (Ok(settings), true) = (&loaded.settings, problems.is_empty()) else {
            return error!("all settings stay as they are until this is mended");
        };
        let changes = {
            let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
            in_force.take_over(&loaded)
        };
        if !changes.live.is_empty() {
            self.apply(settings);
        }
        for change in &changes.live {
            // All of them, and also where the change is that nothing of this is logged any more.
            logging::always(change);
        }
        if !changes.restart.is_empty() {
            warn!("left as they are, because they need a restart: {}", changes.restart.join(", "));
        }
        match changes.live.len() {
            0 => info!("no setting has changed"),
            1 => info!("1 setting has changed"),
            many => info!("{many} settings have changed"),
        }
    }

    fn apply(&self, settings: &Settings) {
        let live = Live::new(settings, &self.room, &Counts::of(&self.node.limits), &self.blocks);
        logging::follow(&live.log.format, &live.log.level);
        self.connections_max.set(gauge_of(live.rules.connections_max()));
        self.live.send_replace(Arc::new(live));
        self.node.live.send_replace(settings.live());
    }
}

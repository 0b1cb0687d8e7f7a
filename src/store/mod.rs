//! The durable copies a board can have: implementations of the port `actors::store::Store`.
//!
//! Nothing here flips a box or counts one. A store is loaded once, makes batches durable, and
//! reports what it learns by itself.

pub mod embedded;
pub mod cluster;
pub mod credits;
mod window;

#[cfg(test)]
mod channels_contract;
#[cfg(test)]
mod contract;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use actors::{
    board::{Board, Offset, ShardIndex},
    bus::Bus,
    channels::Channels,
    store::{Store, StoreError, StoreState, credits::Credits},
};
use anyhow::Result;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};

use self::{
    cluster::ClusterStore,
    embedded::{EmbeddedStore, file_of},
    window::Window,
};
use crate::settings::Settings;

/// How long a store gathers under load. The timers of two workers that are due at the same moment wake them up to
/// two milliseconds apart, because a runtime counts milliseconds from its own beginning.
const GATHER: Duration = Duration::from_millis(2);

/// What had no commit for so long has no load: the next one goes at once.
const QUIET: Duration = Duration::from_millis(100);

/// How far apart the shards speak of one tick: after one commit for all of them, and after a request to Redis for
/// each, of which a master does one after the other.
const APART: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(3));

impl Settings {
    /// How commits are gathered: not for longer than checks were before, and where each tick brings some,
    /// however far apart, it is not quiet.
    pub fn store_window(&self) -> Window {
        let tick = Duration::from_millis(self.shards.gather_ms);
        Window::new(tick.min(GATHER), QUIET.max(2 * tick))
    }

    /// Time to gather before a flush under load.
    pub fn news_gather(&self) -> Duration {
        let apart = if self.redis.is_used() { APART.1 } else { APART.0 };
        apart.min(Duration::from_millis(self.broadcaster.interval_ms))
    }
}

/// Refuses boxes that a shard does not have.
fn within(board: &Board, shard: ShardIndex, offsets: &[Offset]) -> Result<(), StoreError> {
    let boxes = board.boxes_in(shard);
    let past = offsets.iter().find(|offset| offset.0 >= boxes);
    past.map_or(Ok(()), |Offset(past)| {
        let text = format!("{board} has no box {past} in shard {}", shard.0);
        Err(StoreError::Unavailable(text.into()))
    })
}

/// Asks a store for what identifies it, which changes when its file has to be made again.
pub type Identity = Box<dyn Fn() -> String + Send + Sync>;

/// The store that the settings ask for.
pub enum Opened {
    /// A database file of this process.
    Embedded(Arc<EmbeddedStore>),
    /// A Redis Cluster that others use, too.
    Cluster(Arc<ClusterStore>),
}

impl Opened {
    /// Opens it; a cluster is waited for.
    pub async fn open(settings: &Settings) -> Result<Self> {
        if let Some(options) = settings.cluster()? {
            return Ok(Self::Cluster(Arc::new(ClusterStore::open(options).await?)));
        }
        let options = embedded::Options {
            log_bytes: settings.store.log_mib * 1024 * 1024,
            window: settings.store_window(),
            ..embedded::Options::new(&settings.store.path, settings.board())
        };
        Ok(Self::Embedded(Arc::new(EmbeddedStore::open(options)?)))
    }

    /// It, as the game sees it.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Cluster(store) => store.clone(),
        }
    }

    /// Its counters of credits, for who collects them.
    pub fn credits(&self) -> Arc<dyn Credits> {
        match self {
            Self::Embedded(store) => store.clone(),
            Self::Cluster(store) => store.clone(),
        }
    }

    /// The bus of the nodes that share this store, which is run on this thread.
    ///
    /// # Errors
    /// If what is kept beside an embedded store cannot be read, or Redis cannot be reached as the settings say.
    pub fn bus(&self, settings: &Settings) -> Result<Arc<dyn Bus>> {
        Ok(match self {
            Self::Embedded(_) => {
                let file = file_of(&settings.store.path, settings.board().name());
                Arc::new(embedded::bus::LocalBus::open(&file)?)
            }
            Self::Cluster(store) => {
                let access = settings.redis.access()?;
                let bus = cluster::bus::RedisBus::new(access, store.board().name());
                actix_rt::spawn(bus.run());
                Arc::new(bus)
            }
        })
    }

    /// The channels of the nodes that share this store, which are run on this thread and counted in `registry`.
    ///
    /// # Errors
    /// If Redis cannot be reached as the settings say.
    pub fn channels(
        &self,
        settings: &Settings,
        registry: &mut Registry,
    ) -> Result<Arc<dyn Channels>> {
        Ok(match self {
            Self::Embedded(_) => Arc::new(embedded::channels::LocalChannels::default()),
            Self::Cluster(store) => {
                let access = settings.redis.access()?;
                let board = store.board().name();
                let channels = cluster::channels::RedisChannels::new(access, board);
                channels.register(registry.sub_registry_with_prefix("billion"));
                actix_rt::spawn(channels.run());
                Arc::new(channels)
            }
        })
    }

    /// Identifies this store among all stores that a server on this machine may run on.
    pub fn identity(&self) -> Identity {
        match self {
            Self::Embedded(store) => {
                let store = store.clone();
                Box::new(move || store.identity())
            }
            Self::Cluster(store) => {
                let name = format!("redis-{}", store.board().name());
                Box::new(move || name.clone())
            }
        }
    }

    /// The file that holds the board, from the root, if there is one.
    pub fn file(&self, settings: &Settings) -> Result<Option<PathBuf>> {
        match self {
            Self::Embedded(_) => {
                let file = file_of(&settings.store.path, settings.board().name());
                Ok(Some(std::path::absolute(file)?))
            }
            Self::Cluster(_) => Ok(None),
        }
    }

    /// A folder for what is too large for memory and has no name.
    pub fn spool(&self, settings: &Settings) -> PathBuf {
        match self {
            Self::Embedded(_) => settings.store.path.clone(),
            Self::Cluster(_) => std::env::temp_dir(),
        }
    }

    /// Adds what it counts to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(Up(self.store())));
        match self {
            Self::Embedded(store) => registry.register_collector(Box::new(File(store.clone()))),
            Self::Cluster(store) => store.register(registry),
        }
    }
}

/// Whether the store takes checks, asked at each scrape.
struct Up(Arc<dyn Store>);

/// How long the embedded store's log is, and how much room is left where it is.
struct File(Arc<EmbeddedStore>);

impl fmt::Debug for Up {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Up of the {}", self.0.board())
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File of the {}", self.0.board())
    }
}

impl Collector for Up {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let up = ConstGauge::new(i64::from(self.0.state() == StoreState::Up));
        let help = "1 while checks are being taken, 0 while the store is down";
        up.encode(encoder.encode_descriptor("store_up", help, None, up.metric_type())?)
    }
}

impl Collector for File {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let log = ConstGauge::new(self.0.log_bytes() as i64);
        let help = "Bytes of log not yet folded into checkpoints";
        log.encode(encoder.encode_descriptor("store_log_bytes", help, None, log.metric_type())?)?;
        let Some(free) = self.0.free_bytes() else { return Ok(()) };
        let free = ConstGauge::new(i64::try_from(free).unwrap_or(i64::MAX));
        let help = "Bytes that are free for the store";
        free.encode(encoder.encode_descriptor(
            "store_free_bytes",
            help,
            None,
            free.metric_type(),
        )?)
    }
}

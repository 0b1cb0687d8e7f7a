//! How a Redis Cluster is reached: addresses, credentials, TLS, timeouts. Makes clients; keeps no
//! connection.
//!
//! Every timeout is set here, because the client's own defaults wait for ever or retry for many
//! seconds.

use std::{collections::HashMap, fmt, time::Duration};

use deadpool_redis::{Manager, Pool, PoolConfig, Runtime, Timeouts};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    RedisResult, TlsCertificates,
    aio::AsyncPushSender,
    cluster::{ClusterClient, ClusterClientBuilder, NodeAddress, TlsMode},
};

/// Redirects and repetitions within one request. Ours come on top, with a deadline.
const RETRIES: u32 = 2;

/// Milliseconds between two of them, at first and at most.
const RETRY_WAIT_MS: (u64, u64) = (10, 100);

/// Connections to one Redis node for loading and administration.
const POOL_CONNECTIONS: usize = 4;

/// Added to the time of one response: redirects and a reconnection within one request.
const REDIRECT_TIME: Duration = Duration::from_millis(500);

/// How to reach a cluster.
#[derive(Clone)]
pub struct Access {
    /// Nodes that are asked first.
    pub seeds: Vec<NodeAddress>,
    /// Where their addresses were given, for messages: a setting or a flag.
    pub setting: &'static str,
    /// From addresses as the cluster announces them to those that can be reached from here.
    pub remap: HashMap<NodeAddress, NodeAddress>,
    /// ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one response.
    pub response_timeout: Duration,
}

/// What TLS needs to know.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates to trust, in PEM; `None`: those of the system.
    pub roots: Option<Vec<u8>>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        write!(f, "Access to {}", self.shown())
    }
}

impl Access {
    /// The seeds, for messages.
    pub fn shown(&self) -> String {
        let seeds: Vec<_> = self.seeds.iter().map(ToString::to_string).collect();
        seeds.join(", ")
    }

    /// The address at which a node is reached from here.
    pub fn reached<'a>(&'a self, node: &'a NodeAddress) -> &'a NodeAddress {
        self.remap.get(node).unwrap_or(node)
    }

    /// Longest time for a request with all that belongs to it.
    pub fn request_timeout(&self) -> Duration {
        self.response_timeout + REDIRECT_TIME
    }

    /// A client of the whole cluster that finds the node of each key by itself.
    pub fn cluster(&self) -> RedisResult<ClusterClient> {
        self.builder()?.build()
    }

    /// The same, with RESP3 and somewhere for what the cluster pushes.
    pub fn subscriber(&self, pushes: impl AsyncPushSender) -> RedisResult<ClusterClient> {
        self.builder()?.use_protocol(ProtocolVersion::RESP3).push_sender(pushes).build()
    }

    fn builder(&self) -> RedisResult<ClusterClientBuilder> {
        let seeds = self.seeds.iter().map(|seed| self.url(seed));
        let mut builder = ClusterClientBuilder::new(seeds.collect::<Vec<_>>())
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.response_timeout)
            .overall_response_timeout(Some(self.request_timeout()))
            .retries(RETRIES)
            .min_retry_wait(RETRY_WAIT_MS.0)
            .max_retry_wait(RETRY_WAIT_MS.1);
        if let Some(username) = &self.username {
            builder = builder.username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password);
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls(TlsMode::Secure).certs(tls.certificates());
        }
        if !self.remap.is_empty() {
            builder = builder.node_address_map(self.remap.clone());
        }
        Ok(builder)
    }

    /// A pool of connections to one node, as the cluster announces it. Whoever takes one waits until
    /// that node has answered a ping.
    pub fn pool(&self, node: &NodeAddress) -> RedisResult<Pool> {
        let reached = self.reached(node);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout));
        let manager = Manager::new_with_config(self.connection(reached)?, config)?;
        let timeouts = Timeouts {
            wait: Some(self.request_timeout()),
            create: Some(self.request_timeout()),
            recycle: Some(self.response_timeout),
        };
        let config = PoolConfig { max_size: POOL_CONNECTIONS, timeouts, ..PoolConfig::default() };
        let pool = Pool::builder(manager).config(config).runtime(Runtime::Tokio1).build();
        Ok(pool.expect("a runtime was named for the timeouts"))
    }

    fn connection(&self, node: &NodeAddress) -> RedisResult<ConnectionInfo> {
        let url = self.url(node);
        let info = match &self.tls {
            Some(tls) => {
                Client::build_with_tls(url, tls.certificates())?.get_connection_info().clone()
            }
            None => url.into_connection_info()?,
        };
        let mut redis = info.redis_settings().clone();
        if let Some(username) = &self.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        Ok(info.set_redis_settings(redis))
    }

    fn url(&self, node: &NodeAddress) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        let (host, port) = (node.host(), node.port());
        if host.contains(':') {
            format!("{scheme}://[{host}]:{port}")
        } else {
            format!("{scheme}://{host}:{port}")
        }
    }
}

impl Tls {
    fn certificates(&self) -> TlsCertificates {
        TlsCertificates { client_tls: None, root_cert: self.roots.clone() }
    }
}

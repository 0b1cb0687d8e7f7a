//! `[redis]`: what its addresses mean, and what a cluster store is opened with.

use std::{collections::HashMap, fmt, path::PathBuf, time::Duration};

use redis::cluster::NodeAddress;
use serde::Deserialize;
use url::Url;

use super::{Redis, Settings, show::masked};
use crate::{
    reading,
    store::cluster::{
        Options,
        access::{Access, Tls},
    },
};

/// The port of Redis where none is said.
const PORT: u16 = 6379;

/// Where addresses are given, unless a flag does.
const ADDRESSES: &str = "redis.addresses";

/// What a node must look like.
const NODE: &str = "write host:port, redis://user:password@host:port or rediss://…";

/// Text that is never shown.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

/// One entry of `redis.addresses`.
struct Node {
    address: NodeAddress,
    tls: bool,
    username: Option<String>,
    password: Option<String>,
}

/// What is wrong with one of `redis.addresses`, if anything.
pub fn judge_node(text: &str) -> Result<(), String> {
    node(text).map(|_| ())
}

/// What is wrong with one of `redis.addresses_remap`, if anything.
pub fn judge_remap(text: &str) -> Result<(), String> {
    remap(text).map(|_| ())
}

fn node(text: &str) -> Result<Node, String> {
    if !text.contains("://") {
        let address = address(text)?;
        return Ok(Node { address, tls: false, username: None, password: None });
    }
    let wrong = |what: &str| format!("{:?}: {what}: {NODE}", masked(text));
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    let tls = match url.scheme() {
        "redis" => false,
        "rediss" => true,
        _ => return Err(wrong("no address of Redis")),
    };
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or_else(|| wrong("no host"))?.trim_matches(['[', ']']).to_owned();
    if !matches!(url.path(), "" | "/" | "/0") || url.query().is_some() {
        return Err(wrong("a cluster has no databases and the address no options"));
    }
    let decoded = |text: &str| -> Result<Option<String>, String> {
        let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
        let decoded = decoded.map_err(|_| wrong("a name or password that is no UTF-8"))?;
        Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
    };
    Ok(Node {
        address: NodeAddress::new(host, url.port().unwrap_or(PORT)),
        tls,
        username: decoded(url.username())?,
        password: decoded(url.password().unwrap_or_default())?,
    })
}

/// `host:port`; `:port` is this machine, as the older server has it.
fn address(text: &str) -> Result<NodeAddress, String> {
    let wrong = || format!("{:?}: no host and port: {NODE}", masked(text));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.trim_matches(['[', ']']);
    if host.contains(['/', '@', ' ', '|']) {
        return Err(wrong());
    }
    Ok(NodeAddress::new(if host.is_empty() { "127.0.0.1" } else { host }.to_owned(), port))
}

fn remap(text: &str) -> Result<(NodeAddress, NodeAddress), String> {
    let Some((announced, reachable)) = text.split_once('|') else {
        return Err(format!(
            "{:?}: write announced|reachable, as in 172.28.0.101:6379|:6371",
            masked(text)
        ));
    };
    Ok((address(announced)?, address(reachable)?))
}

impl Redis {
    /// Whether a cluster keeps the board.
    pub fn is_used(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// What is wrong with several of its settings together.
    pub fn relation(&self) -> Option<String> {
        self.relation_of(ADDRESSES)
    }

    fn relation_of(&self, setting: &str) -> Option<String> {
        let nodes: Vec<Node> = self.addresses.iter().filter_map(|text| node(text).ok()).collect();
        if nodes.iter().any(|node| node.tls) && nodes.iter().any(|node| !node.tls) {
            return Some(format!("{setting}: rediss:// for all of them or for none"));
        }
        let tls = nodes.iter().any(|node| node.tls);
        if !self.ca_file.as_os_str().is_empty() && self.is_used() && !tls {
            return Some(
                "redis.ca_file is for rediss:// addresses, of which there are none".into(),
            );
        }
        None
    }

    /// How long a cluster is waited for.
    pub fn start_timeout(&self) -> Duration {
        Duration::from_secs(self.start_timeout_s)
    }

    /// How the cluster is reached.
    ///
    /// # Errors
    /// If `redis.ca_file` cannot be read.
    pub fn access(&self) -> anyhow::Result<Access> {
        self.access_by(ADDRESSES)
    }

    fn access_by(&self, setting: &'static str) -> anyhow::Result<Access> {
        let nodes: Vec<Node> = self
            .addresses
            .iter()
            .map(|text| node(text).expect("validated when the settings were loaded"))
            .collect();
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let of_addresses = |pick: fn(&Node) -> Option<String>| nodes.iter().find_map(pick);
        let tls = nodes.iter().any(|node| node.tls).then(|| self.tls()).transpose()?;
        let remap: HashMap<_, _> =
            self.addresses_remap.iter().filter_map(|text| remap(text).ok()).collect();
        Ok(Access {
            username: given(&self.username).or_else(|| of_addresses(|node| node.username.clone())),
            password: given(&self.password.0)
                .or_else(|| of_addresses(|node| node.password.clone())),
            seeds: nodes.into_iter().map(|node| node.address).collect(),
            setting,
            remap,
            tls,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            response_timeout: Duration::from_millis(self.response_timeout_ms),
        })
    }

    /// How another cluster is reached, whose nodes are `addresses`, given by the flag `setting`. Users and
    /// passwords are those of the addresses: ours are not for strangers.
    ///
    /// # Errors
    /// What is wrong with the addresses, or as [`Redis::access`].
    pub fn elsewhere(&self, addresses: &[String], setting: &'static str) -> anyhow::Result<Access> {
        for address in addresses {
            judge_node(address)
                .map_err(|wrong| anyhow::Error::msg(format!("{setting}: {wrong}")))?;
        }
        let tls = addresses.iter().any(|address| address.starts_with("rediss:"));
        let other = Self {
            addresses: addresses.to_vec(),
            username: String::new(),
            password: Secret::default(),
            ca_file: if tls { self.ca_file.clone() } else { PathBuf::new() },
            ..self.clone()
        };
        other.relation_of(setting).map_or(Ok(()), |problem| Err(anyhow::Error::msg(problem)))?;
        other.access_by(setting)
    }

    fn tls(&self) -> anyhow::Result<Tls> {
        use anyhow::Context as _;
        if self.ca_file.as_os_str().is_empty() {
            return Ok(Tls::default());
        }
        let roots = reading::named(&self.ca_file)
            .with_context(|| format!("redis.ca_file: cannot read {}", self.ca_file.display()))?;
        Ok(Tls { roots: Some(roots) })
    }
}

impl Settings {
    /// What the cluster store is opened with; `None`: the embedded one keeps the board.
    ///
    /// # Errors
    /// As [`Redis::access`].
    pub fn cluster(&self) -> anyhow::Result<Option<Options>> {
        let redis = &self.redis;
        if !redis.is_used() {
            return Ok(None);
        }
        Ok(Some(Options {
            access: redis.access()?,
            board: self.board(),
            lines: redis.connections,
            window: self.store_window(),
            commit_timeout: Duration::from_millis(redis.commit_timeout_ms),
            wait_replicas: redis.wait_replicas,
            start_timeout: redis.start_timeout(),
            today: crate::wall::today,
        }))
    }
}

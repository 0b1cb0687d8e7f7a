//! The limits of HTTP requests, compiled from `[limits]`: lists of networks, paths without limits, and one rule after
//! the other.

use std::net::IpAddr;

use actix_web::http::{Method, StatusCode, header::HeaderName};
use actors::limits::{Rates, RuleCounts, keyed::Key};
use ipnet::IpNet;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use wildmatch::WildMatch;

use super::{Counts, visitor::Visitor, written::Written};
use crate::settings::{self, Settings};

/// One `[[limits.route]]` as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which paths: `*` stands for anything.
    pub path: String,
    /// Which method; all, if none is named.
    #[serde(default)]
    pub method: String,
    /// `"10-S"` and the like.
    pub rate: String,
    /// Requests at once.
    pub burst: Option<u32>,
    /// Who is counted together.
    #[serde(default)]
    pub by: String,
    /// By which header.
    #[serde(default)]
    pub header: String,
    /// Count, and refuse nothing.
    #[serde(default)]
    pub shadow: bool,
    /// What those who are refused get, if not `limits.status`.
    pub status: Option<u16>,
    /// What they are told, if not `limits.text`.
    #[serde(default)]
    pub text: String,
}

/// Who is counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum By {
    /// All from one address.
    Ip,
    /// All of a user; who is none, by its address.
    User,
    /// All with the same value of this header; who sends none, by its address.
    Header(HeaderName),
    /// All from one address, each path for itself.
    IpAndRoute,
    /// Everybody.
    Route,
}

impl By {
    fn parse(by: &str, header: &str) -> Result<Self, String> {
        let named = HeaderName::from_bytes(header.as_bytes());
        match (by, named) {
            ("header", Ok(name)) if !header.is_empty() => Ok(Self::Header(name)),
            ("header", _) => {
                Err("by = \"header\" needs the name of one: header = \"X-Api-Key\"".into())
            }
            (_, _) if !header.is_empty() => Err("a header is named without by = \"header\"".into()),
            ("ip" | "", _) => Ok(Self::Ip),
            ("user", _) => Ok(Self::User),
            ("ip+route", _) => Ok(Self::IpAndRoute),
            ("route", _) => Ok(Self::Route),
            _ => Err(format!(
                "by = {by:?} is not known: write \"ip\", \"user\", \"header\", \"ip+route\" or \"route\""
            )),
        }
    }

    /// What it is called in metrics.
    fn label(&self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::User => "user",
            Self::Header(_) => "header",
            Self::IpAndRoute => "ip+route",
            Self::Route => "route",
        }
    }
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Unlike that of any other.
    pub name: String,
    path: WildMatch,
    method: Option<Method>,
    /// How fast.
    pub written: Written,
    by: By,
    class: u32,
    /// Count, and refuse nothing.
    pub is_shadow: bool,
    /// What those who are refused get.
    pub status: StatusCode,
    /// What they are told.
    pub text: String,
    /// What it has decided.
    pub counts: RuleCounts,
}

/// Above the classes of kinds and heights.
const CLASS_OF_RULES: u32 = 1 << 31;

impl Route {
    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// All that is wrong, in one line.
    pub fn judge(&self) -> Result<(), String> {
        let mut wrong = Vec::new();
        wrong.extend(judge_path(&self.path).err());
        wrong.extend(self.method().err());
        wrong.extend(
            Written::parse(&self.rate, self.burst)
                .err()
                .map(|why| format!("rate = {:?} {why}", settings::masked(&self.rate))),
        );
        wrong.extend(By::parse(&self.by, &self.header).err());
        wrong.extend(self.status.and_then(|status| judge_status(status).err()));
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    fn method(&self) -> Result<Option<Method>, String> {
        match &*self.method {
            "" => Ok(None),
            name if name.chars().all(|c| c.is_ascii_uppercase()) => {
                Method::from_bytes(name.as_bytes()).map(Some).map_err(|error| error.to_string())
            }
            name => Err(format!("method = {name:?}: write it in capitals, as in \"POST\"")),
        }
    }

    /// What tells it from other rules.
    pub fn name(&self) -> String {
        let method = if self.method.is_empty() { "*" } else { &self.method };
        let by = if self.by.is_empty() { "ip" } else { &self.by };
        // Names of headers are the same however they are spelled.
        let header = self.header.to_ascii_lowercase();
        let header = if header.is_empty() { header } else { format!(" {header}") };
        format!("{method} {} by {by}{header}", self.path)
    }
}

/// A path with `*` in it.
///
/// # Errors
/// If it is none.
pub fn judge_path(path: &str) -> Result<(), String> {
    if path.starts_with('/') && !path.contains(['?', '#']) {
        return Ok(());
    }
    Err(format!(
        "path = {path:?}: write a path as in \"/overview\" or \"/static/*\", without a query"
    ))
}

fn judge_status(status: u16) -> Result<(), String> {
    if (400..=599).contains(&status) {
        Ok(())
    } else {
        Err(format!("status = {status}: must be from 400 to 599"))
    }
}

/// What comes with a request.
pub struct Asked<'a> {
    /// Its path.
    pub path: &'a str,
    /// Its method.
    pub method: &'a Method,
    /// Finds a header's value.
    pub header: &'a dyn Fn(&HeaderName) -> Option<Vec<u8>>,
}

impl Rule {
    fn new(route: &Route, whole: &settings::Limits, counts: &Counts) -> Self {
        let validated = "validated when the settings were loaded";
        let (name, by) = (route.name(), By::parse(&route.by, &route.header).expect(validated));
        Self {
            path: WildMatch::new(&route.path),
            method: route.method().expect(validated),
            written: Written::parse(&route.rate, route.burst).expect(validated),
            class: CLASS_OF_RULES | crc32c::crc32c(name.as_bytes()),
            is_shadow: route.shadow || whole.shadow,
            status: StatusCode::from_u16(route.status.unwrap_or(whole.status)).expect(validated),
            text: if route.text.is_empty() { whole.text.clone() } else { route.text.clone() },
            counts: counts.of_rule(&name, by.label()),
            name,
            by,
        }
    }

    /// Whether it is about such a request.
    pub fn is_about(&self, asked: &Asked<'_>) -> bool {
        // What answers GET answers HEAD, too, and takes as much work for it.
        let asked_for = if asked.method == Method::HEAD { &Method::GET } else { asked.method };
        let is_same = |method: &Method| method == asked.method || method == asked_for;
        self.method.as_ref().is_none_or(is_same) && self.path.matches(asked.path)
    }

    /// Whose bucket counts, if any.
    pub fn key(&self, visitor: &Visitor, asked: &Asked<'_>) -> Option<Key> {
        let who = visitor.who();
        let address = || who.address.map(|address| address.number());
        let subject = match &self.by {
            By::Ip => address()?,
            By::User => who.user.map(|user| user.0).or_else(address)?,
            By::Header(name) => match (asked.header)(name) {
                Some(value) => number_of(&[&value]),
                None => address()?,
            },
            By::IpAndRoute => number_of(&[&address()?.to_le_bytes(), asked.path.as_bytes()]),
            By::Route => 0,
        };
        Some(Key { subject, class: self.class })
    }
}

impl Rule {
    /// The bucket of a whole address, for a rule that has one.
    pub fn key_of_address(&self, visitor: &Visitor) -> Option<Key> {
        let asked = Asked { path: "", method: &Method::GET, header: &|_| None };
        if self.by == By::IpAndRoute { None } else { self.key(visitor, &asked) }
    }
}

/// The same on every node, and not to be aimed at.
fn number_of(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let digest = hash.finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("eight of 32 bytes"))
}

/// All of `[limits]`, ready for use.
#[derive(Debug)]
pub struct Rules {
    /// Bits of an IPv6 address that count as one.
    pub ipv6_prefix: u8,
    /// Whether addresses have limits.
    pub has_address_limits: bool,
    /// Most connections of one address; 0: as many as one likes.
    pub connections_per_address: usize,
    /// What is counted at which height.
    pub rates: Rates,
    /// The same for requests, as `RateLimit-Policy` tells it.
    pub requests: Written,
    /// One after the other.
    pub routes: Vec<Rule>,
    /// Whether answers tell of limits.
    pub headers: bool,
    /// What those who are refused get.
    pub status: StatusCode,
    /// What they are told.
    pub text: String,
    allow: Vec<IpNet>,
    block: Vec<IpNet>,
    skip: Vec<WildMatch>,
}

impl Rules {
    /// Those of `settings`; decisions are counted in `counts`.
    pub fn new(settings: &Settings, counts: &Counts) -> Self {
        let validated = "validated when the settings were loaded";
        let limits = &settings.limits;
        let networks = |texts: &[String]| {
            texts.iter().map(|text| settings::network(text).expect(validated)).collect()
        };
        let is_on = limits.is_on();
        let requests = Written::parse(&limits.address_requests, None).expect(validated);
        let per_address = settings.server.max_connections_per_address;
        Self {
            ipv6_prefix: limits.ipv6_prefix,
            has_address_limits: is_on,
            connections_per_address: if is_on { per_address } else { 0 },
            rates: settings.rates(),
            requests: if is_on { requests } else { Written::OFF },
            routes: limits.route.iter().map(|route| Rule::new(route, limits, counts)).collect(),
            headers: limits.headers,
            status: StatusCode::from_u16(limits.status).expect(validated),
            text: limits.text.clone(),
            allow: networks(&limits.allow),
            block: networks(&limits.block),
            skip: limits.skip.iter().map(|path| WildMatch::new(path)).collect(),
        }
    }

    /// Whether `ip` is in `limits.allow`.
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&ip))
    }

    /// Whether `ip` is in `limits.block`.
    pub fn blocks(&self, ip: IpAddr) -> bool {
        self.block.iter().any(|network| network.contains(&ip))
    }

    /// Whether requests of `path` are not counted.
    pub fn skips(&self, path: &str) -> bool {
        self.skip.iter().any(|skipped| skipped.matches(path))
    }
}

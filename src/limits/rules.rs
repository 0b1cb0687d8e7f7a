//! The limits of HTTP requests, compiled from `[limits]`: lists of networks, paths without limits, and one rule after
//! the other.

use std::{net::IpAddr, sync::Arc};

use actix_web::http::{Method, StatusCode, header::HeaderName};
use actors::{
    limits::{Rates, RuleCounts, keyed::Key},
    player::UserId,
};
use ipnet::IpNet;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use wildmatch::WildMatch;

use super::{Counts, blocks::Blocks, visitor::Visitor, written::Written};
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
            ("header", Ok(name)) => Ok(Self::Header(name)),
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
            By::User => who.user.map(UserId::get).or_else(address)?,
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
    blocked: Arc<Blocks>,
    skip: Vec<WildMatch>,
}

impl Rules {
    /// Those of `settings`; decisions are counted in `counts`.
    pub fn new(settings: &Settings, counts: &Counts, blocked: &Arc<Blocks>) -> Self {
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
            blocked: blocked.clone(),
            skip: limits.skip.iter().map(|path| WildMatch::new(path)).collect(),
        }
    }

    /// Whether `ip` is in `limits.allow`.
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(&ip))
    }

    /// Whether `ip` is in `limits.block`, or operators have blocked it.
    pub fn blocks(&self, ip: IpAddr) -> bool {
        self.block.iter().any(|network| network.contains(&ip)) || self.blocked.contains(ip)
    }

    /// Whether requests of `path` are not counted.
    pub fn skips(&self, path: &str) -> bool {
        self.skip.iter().any(|skipped| skipped.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use actors::player::{Address, IPV6_PREFIX};

    use super::*;
    use crate::limits::visitor::Standing;

    fn route(path: &str, method: &str, by: &str, header: &str) -> Route {
        Route {
            path: path.into(),
            method: method.into(),
            rate: "10-S".into(),
            burst: None,
            by: by.into(),
            header: header.into(),
            shadow: false,
            status: None,
            text: String::new(),
        }
    }

    fn rule(route: &Route) -> Rule {
        Rule::new(route, &Settings::defaults().limits, &Counts::default())
    }

    fn visitor(last: u8, standing: Standing) -> Visitor {
        let ip = [192, 0, 2, last].into();
        Visitor { ip, address: Address::of(ip, IPV6_PREFIX), user: None, standing }
    }

    #[test]
    fn a_rule_counts_by_what_it_names() {
        for (by, header, label) in [
            ("", "", "ip"),
            ("ip", "", "ip"),
            ("user", "", "user"),
            ("header", "X-Api-Key", "header"),
            ("ip+route", "", "ip+route"),
            ("route", "", "route"),
        ] {
            assert_eq!(By::parse(by, header).map(|by| by.label()), Ok(label), "{by}");
        }
        let wrong = |by, header| By::parse(by, header).expect_err("it makes no sense");
        assert!(wrong("header", "").contains("needs the name of one"));
        assert!(wrong("header", "a b").contains("needs the name of one"));
        assert!(wrong("ip", "X-Api-Key").contains("without by = \"header\""));
        assert!(wrong("cookie", "").contains("\"cookie\" is not known"));
    }

    #[test]
    fn everything_wrong_with_a_rule_is_found() {
        assert_eq!(route("/x", "GET", "ip", "").judge(), Ok(()));
        assert_eq!(Route { status: Some(503), ..route("/*", "", "", "") }.judge(), Ok(()));
        let wrong = Route { rate: "much".into(), status: Some(200), ..route("x", "get", "y", "") };
        let told = wrong.judge().expect_err("nothing of it is right");
        for part in
            ["path = \"x\"", "method = \"get\"", "rate = \"much\"", "by = \"y\"", "status = 200"]
        {
            assert!(told.contains(part), "{told}");
        }
        for path in ["x", "/x?y=1", "/x#y", ""] {
            assert!(judge_path(path).is_err(), "{path}");
        }
        assert!(
            judge_status(399).is_err() && judge_status(400).is_ok() && judge_status(600).is_err()
        );
    }

    #[test]
    fn a_rule_is_named_by_what_it_is_about() {
        assert_eq!(route("/x", "", "", "").name(), "* /x by ip");
        assert_eq!(route("/x", "GET", "header", "X-Api-Key").name(), "GET /x by header x-api-key");
    }

    #[test]
    fn a_rule_is_about_its_paths_and_its_method() {
        let asks = |rule: &Rule, method: Method, path: &str| {
            rule.is_about(&Asked { path, method: &method, header: &|_| None })
        };
        let all = rule(&route("/static/*", "", "", ""));
        assert!(asks(&all, Method::POST, "/static/x") && !asks(&all, Method::POST, "/x"));
        let reads = rule(&route("/x", "GET", "", ""));
        assert!(asks(&reads, Method::GET, "/x") && asks(&reads, Method::HEAD, "/x"));
        assert!(!asks(&reads, Method::POST, "/x") && !asks(&reads, Method::GET, "/y"));
        let head = rule(&route("/x", "HEAD", "", ""));
        assert!(asks(&head, Method::HEAD, "/x") && !asks(&head, Method::GET, "/x"));
    }

    #[test]
    fn who_is_counted_together_has_one_key() {
        let key = |rule: &Rule, last, path: &str, header: Option<&'static [u8]>| {
            let header = |_: &HeaderName| header.map(<[u8]>::to_vec);
            let asked = Asked { path, method: &Method::GET, header: &header };
            rule.key(&visitor(last, Standing::Usual), &asked)
        };
        let of = |by, header| rule(&route("/*", "", by, header));
        let (ip, user) = (of("ip", ""), of("user", ""));
        for rule in [&ip, &user] {
            assert_eq!(key(rule, 1, "/a", None), key(rule, 1, "/b", Some(b"x")));
            assert_ne!(key(rule, 1, "/a", None), key(rule, 2, "/a", None));
        }
        let named = of("header", "x-api-key");
        assert_eq!(key(&named, 1, "/a", Some(b"x")), key(&named, 2, "/b", Some(b"x")));
        assert_ne!(key(&named, 1, "/a", Some(b"x")), key(&named, 1, "/a", Some(b"y")));
        assert_eq!(
            key(&named, 1, "/a", None).map(|key| key.subject),
            key(&ip, 1, "/a", None).map(|key| key.subject)
        );
        let each = of("ip+route", "");
        assert_eq!(key(&each, 1, "/a", None), key(&each, 1, "/a", Some(b"x")));
        assert_ne!(key(&each, 1, "/a", None), key(&each, 1, "/b", None));
        assert_ne!(key(&each, 1, "/a", None), key(&each, 2, "/a", None));
        let everybody = of("route", "");
        assert_eq!(key(&everybody, 1, "/a", None), key(&everybody, 2, "/b", Some(b"x")));
        // No rule shares a class with another one, or with what is counted beside rules.
        let classes = [&ip, &user, &named, &each, &everybody].map(|rule| rule.class);
        assert!(classes.iter().all(|class| *class >= 1 << 31), "{classes:x?}");
        assert!((1..5).all(|at| !classes[..at].contains(&classes[at])), "{classes:x?}");
        let allowed = visitor(1, Standing::Allowed);
        let asked = Asked { path: "/a", method: &Method::GET, header: &|_| None };
        assert_eq!(
            (ip.key(&allowed, &asked), everybody.key(&allowed, &asked).is_some()),
            (None, true)
        );
    }

    #[test]
    fn the_bucket_of_a_whole_address_is_the_one_that_its_requests_have() {
        let usual = visitor(1, Standing::Usual);
        let asked = Asked { path: "/a", method: &Method::GET, header: &|_| None };
        let ip = rule(&route("/*", "", "ip", ""));
        assert_eq!(ip.key_of_address(&usual), ip.key(&usual, &asked));
        assert!(ip.key_of_address(&usual).is_some());
        assert_eq!(rule(&route("/*", "", "ip+route", "")).key_of_address(&usual), None);
    }

    #[test]
    fn a_number_is_the_beginning_of_a_sha_256() {
        // SHA-256("abc") = ba7816bf 8f01cfea … (FIPS 180-2, appendix B.1).
        assert_eq!(number_of(&[b"a", b"bc"]), 0xeacf_018f_bf16_78ba);
    }

    #[test]
    fn only_paths_that_are_skipped_are_skipped() {
        let mut settings = Settings::defaults();
        settings.limits.skip = vec!["/static/*".into()];
        let rules = Rules::new(&settings, &Counts::default(), &Arc::default());
        assert!(rules.skips("/static/x") && !rules.skips("/overview"));
    }
}

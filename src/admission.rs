//! Who may connect, and how many: origins of pages, and seats. The WebSocket route asks, and gets a player with a
//! seat. The rules may change; seats are counted as ever.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use actix_web::http::header::HeaderValue;
use actors::{
    player::{Address, Player},
    seats::{Full, Seat, SeatLimits, Seats},
};

use crate::{client_address::TrustedProxies, limits::visitor::Visitor, origin::Origin, settings};

/// Allowed origins that a refusal names.
const TOLD_MAX: usize = 5;

/// Characters of an origin that a refusal repeats; names of hosts have at most 253.
const TOLD_CHARS_MAX: usize = 280;

/// Who may connect, and how many.
#[derive(Debug)]
pub struct Rules {
    /// None: only the own page's.
    allowed_origins: Vec<Origin>,
    allow_missing_origin: bool,
    connections_max: usize,
    trusted_proxies: TrustedProxies,
}

impl Rules {
    /// Those of `[server]`, for at most `connections_max` connections.
    pub fn new(server: &settings::Server, connections_max: usize) -> Self {
        let validated = "validated when the settings were loaded";
        let trusted = server.trusted_proxies.iter();
        let trusted = trusted.map(|text| settings::network(text).expect(validated));
        let origins = server.allowed_origins.iter();
        Self {
            allowed_origins: origins.map(|text| Origin::parse(text).expect(validated)).collect(),
            allow_missing_origin: server.allow_missing_origin,
            connections_max,
            trusted_proxies: TrustedProxies::new(trusted),
        }
    }

    /// Connections that may be open at once.
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Whose word about a client's address is taken.
    pub fn trusted_proxies(&self) -> &TrustedProxies {
        &self.trusted_proxies
    }

    /// Whether a page that says to be of `origins` is this server's own, which it reached as `host`: others may be
    /// allowed to play, and act for nobody whom the server knows.
    pub fn is_own(origins: &[&HeaderValue], host: Option<&str>) -> bool {
        let [origin] = origins else { return false };
        let origin = origin.to_str().ok().and_then(Origin::parse);
        origin.zip(host).is_some_and(|(origin, host)| origin.is_reached_as(host))
    }

    /// Whether a page may connect that says to be of `origins`, which has to be one, to the server that
    /// it reached as `host`.
    ///
    /// # Errors
    /// If not: why, and what would do.
    pub fn allows(&self, origins: &[&HeaderValue], host: Option<&str>) -> Result<(), Stranger> {
        let origin = match origins {
            [] if self.allow_missing_origin => return Ok(()),
            [] => return Err(Stranger::Missing),
            [origin] => *origin,
            _ => return Err(Stranger::Several),
        };
        let told = origin.to_str().unwrap_or_default();
        let found = Origin::parse(told);
        let allowed = match (&found, &self.allowed_origins[..]) {
            (None, _) => false,
            (Some(origin), []) => host.is_some_and(|host| origin.is_reached_as(host)),
            (Some(origin), listed) => listed.contains(origin),
        };
        if allowed {
            return Ok(());
        }
        let wanted = match (&self.allowed_origins[..], host) {
            ([], None) => "the request has no Host to compare it with".to_owned(),
            ([], Some(host)) => format!(
                "the server was reached as {:?}, so only a page of http:// or https:// and that may \
                 connect, unless server.allowed_origins lists others",
                shortened(host)
            ),
            (listed, _) => {
                let named: Vec<_> = listed.iter().take(TOLD_MAX).map(ToString::to_string).collect();
                let more = if listed.len() > TOLD_MAX { " and some more" } else { "" };
                format!("server.allowed_origins has {}{more}", named.join(", "))
            }
        };
        Err(Stranger::Other { told: shortened(told), wanted })
    }
}

/// Lets players in: who they are, and a seat for each.
#[derive(Debug, Default)]
pub struct Admission {
    /// [`OPEN`], [`ENDING`] or [`CLOSED`]; only ever raised.
    state: AtomicU8,
    seats: Arc<Seats>,
}

const OPEN: u8 = 0;
const ENDING: u8 = 1;
const CLOSED: u8 = 2;

impl Admission {
    /// From now on the node says that it is not ready. Newcomers are still let in: a balancer that has not noticed yet
    /// sends them here and nowhere else.
    pub fn end_soon(&self) {
        self.state.fetch_max(ENDING, Ordering::AcqRel);
    }

    /// From now on nobody else may connect; who has, is served as ever.
    pub fn close(&self) {
        self.state.fetch_max(CLOSED, Ordering::AcqRel);
    }

    /// Whether the node is about to stop, so that balancers have to send nobody any more.
    pub fn is_ending(&self) -> bool {
        self.state.load(Ordering::Acquire) != OPEN
    }

    /// Whether newcomers have to go elsewhere.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Makes a player of a visitor, with a seat, if the rules leave one and not more than `per_address` (0: as many
    /// as one likes) come from its address.
    ///
    /// # Errors
    /// If all are taken, or those for its address are.
    pub fn admit(
        &self,
        visitor: &Visitor,
        rules: &Rules,
        per_address: usize,
    ) -> Result<(Player, Seat), Full> {
        let per_address = if visitor.is_counted() { per_address } else { 0 };
        let limits = SeatLimits { all: rules.connections_max, per_address };
        let seat = self.seats.take(visitor.address, limits)?;
        let mut player = Player::anonymous(visitor.ip, visitor.address);
        player.is_counted = visitor.is_counted();
        Ok((player, seat))
    }

    /// Why there would be no seat for a visitor, if so.
    pub fn full(&self, visitor: &Visitor, rules: &Rules, per_address: usize) -> Option<Full> {
        let is_over = visitor.is_counted() && per_address > 0;
        match () {
            () if self.seats.taken() >= rules.connections_max => Some(Full::All),
            () if is_over && self.connections_of(visitor) >= per_address => Some(Full::Address),
            () => None,
        }
    }

    /// The addresses that have most connections, at most `most`, and how many each has.
    pub fn top_addresses(&self, most: usize) -> Vec<(Address, usize)> {
        self.seats.top(most)
    }

    /// Connections that are open now from the address of a visitor.
    pub fn connections_of(&self, visitor: &Visitor) -> usize {
        self.seats.of(visitor.address)
    }
}

/// A page, or a program, that may not connect.
#[derive(Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It does not say where it is from.
    Missing,
    /// It says more than one thing.
    Several,
    /// It is from elsewhere.
    Other {
        /// What it says.
        told: String,
        /// What would do.
        wanted: String,
    },
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "the request has no Origin: programs may connect with server.allow_missing_origin",
            ),
            Self::Several => f.write_str("the request has more than one Origin"),
            // Quoted by Debug, which leaves no control character as it is.
            Self::Other { told, wanted } => write!(f, "Origin {told:?} may not connect: {wanted}"),
        }
    }
}

/// Long enough for every name there is.
fn shortened(text: &str) -> String {
    text.chars().take(TOLD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use actors::player::IPV6_PREFIX;

    use super::*;
    use crate::limits::visitor::Standing;

    fn rules(origins: &[&str], allow_missing: bool) -> Rules {
        Rules {
            allowed_origins: origins.iter().filter_map(|text| Origin::parse(text)).collect(),
            allow_missing_origin: allow_missing,
            connections_max: 2,
            trusted_proxies: TrustedProxies::default(),
        }
    }

    fn allows(rules: &Rules, origin: Option<&str>, host: Option<&str>) -> bool {
        let origin = origin.map(|origin| HeaderValue::from_str(origin).expect("legal"));
        let origins: Vec<_> = origin.iter().collect();
        rules.allows(&origins, host).is_ok()
    }

    #[test]
    fn without_a_list_only_the_own_page_may_connect() {
        let own = rules(&[], false);
        for (origin, host) in [
            ("http://localhost:8080", "localhost:8080"),
            ("https://Example.org", "example.org"),
            ("https://play.example", "play.example:443"),
            ("http://play.example", "play.example:80"),
            ("https://play.example:443", "play.example"),
            ("https://play.example", "play.example."),
            ("http://[::1]:8080", "[0:0::1]:8080"),
            ("http://[::1]", "[::1]:80"),
        ] {
            assert!(allows(&own, Some(origin), Some(host)), "{origin} at {host}");
        }
        for (origin, host) in [
            ("http://localhost:8081", "localhost:8080"),
            ("https://play.example", "play.example:8443"),
            ("https://play.example", "play.example:80"),
            ("http://play.example", "play.example:443"),
            ("https://play.example:8443", "play.example"),
            ("null", "localhost:8080"),
            ("http://localhost:8080.evil.example", "localhost:8080"),
            ("http://evil.example", "user@evil.example"),
            ("http://evil.example", "evil.example/"),
            ("http://play.example@evil.example", "play.example"),
            ("http://play.example/path", "play.example"),
            ("ws://play.example", "play.example"),
            ("http://", ""),
        ] {
            assert!(!allows(&own, Some(origin), Some(host)), "{origin} at {host}");
        }
        assert!(!allows(&own, Some("http://localhost"), None));
        assert!(!allows(&own, None, Some("localhost:8080")));
        assert!(allows(&rules(&[], true), None, Some("localhost:8080")));
    }

    #[test]
    fn the_rules_are_those_of_the_settings() {
        let mut settings = settings::Settings::defaults();
        settings.server.trusted_proxies = vec!["10.1.0.0/16".into()];
        settings.server.allowed_origins = vec!["https://a.example".into()];
        settings.server.allow_missing_origin = true;
        let rules = Rules::new(&settings.server, 77);
        assert_eq!(rules.connections_max(), 77);
        let trusts = |ip: [u8; 4]| rules.trusted_proxies().trusts(ip.into());
        assert!(trusts([10, 1, 2, 3]) && !trusts([10, 2, 2, 3]));
        assert!(allows(&rules, Some("https://a.example"), None) && allows(&rules, None, None));
        assert!(!allows(&rules, Some("https://b.example"), Some("b.example")));
    }

    /// Like everybody, or without limits.
    fn visitor(last: u8, standing: Standing) -> Visitor {
        let ip = [192, 0, 2, last].into();
        Visitor { ip, address: Address::of(ip, IPV6_PREFIX), user: None, standing }
    }

    #[test]
    fn seats_are_for_all_and_for_each_address_and_a_refusal_is_known_before() {
        let rules = Rules { connections_max: 4, ..rules(&[], false) };
        let (admission, [alice, bob, free]) = (
            Admission::default(),
            [
                visitor(1, Standing::Usual),
                visitor(2, Standing::Blocked),
                visitor(1, Standing::Allowed),
            ],
        );
        let mut taken = vec![];
        // What would be answered is what is answered; with the connections open from there afterwards.
        for (who, per_address, wanted, open) in [
            (&alice, 2, None, 1),
            (&alice, 1, Some(Full::Address), 1),
            (&alice, 2, None, 2),
            (&alice, 2, Some(Full::Address), 2),
            (&bob, 1, None, 1),
            (&bob, 1, Some(Full::Address), 1),
            (&alice, 0, None, 3),
            (&alice, 0, Some(Full::All), 3),
            (&free, 2, Some(Full::All), 3),
        ] {
            assert_eq!(admission.full(who, &rules, per_address), wanted, "{who:?} {per_address}");
            match admission.admit(who, &rules, per_address) {
                Ok(admitted) => taken.push(admitted),
                Err(full) => assert_eq!(Some(full), wanted),
            }
            assert_eq!(admission.connections_of(who), open, "{who:?}");
        }
        assert_eq!(taken.len(), 4);
        // Of three from its address two are its own; whoever is allowed does not count them.
        taken.remove(0);
        assert_eq!(admission.full(&free, &rules, 2), None);
        let (player, _seat) = admission.admit(&free, &rules, 2).expect("it has no limit");
        assert!(!player.is_counted && taken.iter().all(|(player, _)| player.is_counted));
    }

    #[test]
    fn a_node_that_ends_says_so_before_it_is_closed_and_does_not_open_again() {
        let admission = Admission::default();
        let state = || (admission.is_ending(), admission.is_closed());
        assert_eq!(state(), (false, false));
        admission.end_soon();
        assert_eq!(state(), (true, false), "newcomers are let in");
        admission.close();
        assert_eq!(state(), (true, true));
        admission.end_soon();
        assert_eq!(state(), (true, true));
    }

    #[test]
    fn a_list_is_matched_by_what_its_entries_mean() {
        let listed = rules(&["https://a.example", "HTTPS://B.example:443/", "app://c"], false);
        for origin in ["https://a.example", "https://b.example", "app://c"] {
            assert!(allows(&listed, Some(origin), None), "{origin}");
        }
        for other in ["http://a.example", "https://a.example:8443", "https://c.example", "app://d"]
        {
            assert!(!allows(&listed, Some(other), Some("c.example")), "{other}");
        }
        let two = HeaderValue::from_static("https://a.example");
        assert_eq!(listed.allows(&[&two, &two], None), Err(Stranger::Several));
        assert_eq!(listed.allows(&[], None), Err(Stranger::Missing));
    }

    #[test]
    fn a_refusal_says_what_came_and_what_would_do() {
        let told = |rules: &Rules, origin: &'static str, host| {
            let origin = HeaderValue::from_static(origin);
            rules.allows(&[&origin], host).expect_err("refused").to_string()
        };
        let own = told(&rules(&[], false), "https://evil.example", Some("play.example"));
        assert!(own.starts_with("Origin \"https://evil.example\" may not connect: "), "{own}");
        assert!(own.contains("reached as \"play.example\""), "{own}");
        let listed = told(&rules(&["https://a.example"], false), "null", Some("x"));
        let wanted =
            "Origin \"null\" may not connect: server.allowed_origins has https://a.example";
        assert_eq!(listed, wanted);
        let many = ["https://a.b"; TOLD_MAX + 1];
        for (listed, more) in [(&many[1..], false), (&many[..], true)] {
            let listed = told(&rules(listed, false), "null", None);
            assert_eq!(listed.ends_with("https://a.b and some more"), more, "{listed}");
            assert_eq!(listed.matches("https://a.b").count(), TOLD_MAX);
        }
        let long = HeaderValue::from_str(&"x".repeat(9000)).expect("legal");
        let told = rules(&[], false).allows(&[&long], None).expect_err("refused").to_string();
        assert!(told.len() < 500, "{told}");
    }
}

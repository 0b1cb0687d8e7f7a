//! Who asks, as far as limits are concerned: found once for each request, before anything else looks at it.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actors::player::{Address, UserId, Who};
use log::warn;

use super::rules::Rules;
use crate::client_address::{Client, Hearsay, TrustedProxies};

/// Somebody who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// Where it is.
    pub ip: IpAddr,
    /// The same as far as it is counted.
    pub address: Address,
    /// Who it is, if it has said so and proved it.
    pub user: Option<UserId>,
    /// Why it is treated otherwise than others, if it is.
    pub standing: Standing,
}

/// How somebody is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Like everybody.
    Usual,
    /// In `limits.allow`: without limits.
    Allowed,
    /// In `limits.block`: not at all.
    Blocked,
    /// A proxy of ours that does not say whom it asks for.
    TrustedProxy,
    /// On this machine or its network, and asks for somebody else, as proxies do; nobody has said that it is one. Who
    /// is behind it cannot be told apart, so that a limit would lock all of them out.
    UnknownProxy,
}

impl Standing {
    /// What it is called where operators look.
    pub fn label(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Allowed => "allowed",
            Self::Blocked => "blocked",
            Self::TrustedProxy => "trusted proxy",
            Self::UnknownProxy => "unknown proxy",
        }
    }
}

impl Visitor {
    /// Whoever sent `headers` from `peer`.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies, rules: &Rules) -> Self {
        // A listener of both families has IPv4 written as IPv6.
        let peer = peer.to_canonical();
        let lines = |name| headers.get_all(name).map(HeaderValue::as_bytes).collect();
        let hearsay = Hearsay {
            x_forwarded_for: lines(header::X_FORWARDED_FOR),
            forwarded: lines(header::FORWARDED),
        };
        let (ip, said) = match trusted.client(peer, &hearsay) {
            Client::At(ip) => (ip, None),
            Client::Behind { proxy, said } => (proxy, Some(said)),
        };
        let mut visitor = Self::at(ip, trusted, rules);
        if let Some(said) = said {
            // A header of its own must not free anybody of the limits of its address, or of being blocked.
            let is_blocked = said.into_iter().any(|ip| rules.blocks(ip) && !rules.allows(ip));
            visitor.standing = if is_blocked { Standing::Blocked } else { Standing::Usual };
            if is_first(&UNCLEAR) {
                warn!(
                    "{ip}, a trusted proxy, does not say clearly whom it asks for: what it passes on as X-Forwarded-For \
                     and Forwarded is no address, or not the same. Have it write one of them and remove the other. \
                     All who come so have the limits of one address together"
                );
            }
            return visitor;
        }
        let asks_for_another = !hearsay.x_forwarded_for.is_empty() || !hearsay.forwarded.is_empty();
        let is_unknown_proxy = asks_for_another && !trusted.trusts(peer) && is_near(peer);
        if is_unknown_proxy && visitor.standing == Standing::Usual {
            visitor.standing = Standing::UnknownProxy;
            if is_first(&UNKNOWN) {
                warn!(
                    "{peer} sends X-Forwarded-For or Forwarded and is not in server.trusted_proxies: if it is a proxy \
                     of yours, add it there. Until then whoever comes through it has no limits by address"
                );
            }
        }
        visitor
    }

    /// Whoever is at `ip`, as far as that tells.
    pub fn at(ip: IpAddr, trusted: &TrustedProxies, rules: &Rules) -> Self {
        let ip = ip.to_canonical();
        let standing = match () {
            () if rules.allows(ip) => Standing::Allowed,
            () if rules.blocks(ip) => Standing::Blocked,
            () if trusted.trusts(ip) => Standing::TrustedProxy,
            () => Standing::Usual,
        };
        Self { ip, address: Address::of(ip, rules.ipv6_prefix), user: None, standing }
    }

    /// Whether what it does counts for its address.
    pub fn is_counted(&self) -> bool {
        matches!(self.standing, Standing::Usual | Standing::Blocked)
    }

    /// Who it is to the limits.
    pub fn who(&self) -> Who {
        Who { address: self.is_counted().then_some(self.address), user: self.user }
    }
}

/// Whether an address is on this machine or a network without routes into the world, where proxies are and players
/// are not.
fn is_near(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether it was said that there is a proxy nobody has told us of.
static UNKNOWN: AtomicBool = AtomicBool::new(false);

/// Whether it was said that one of ours does not say clearly whom it asks for.
static UNCLEAR: AtomicBool = AtomicBool::new(false);

/// Whether it has not been said before; from now on it has.
fn is_first(said: &AtomicBool) -> bool {
    !said.swap(true, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    /// Who is trusted, allowed and blocked in these tests.
    fn lists() -> (TrustedProxies, Rules) {
        let trusted = TrustedProxies::new(["10.1.0.0/16".parse().expect("a network")]);
        let mut settings = Settings::defaults();
        settings.limits.allow = vec!["192.0.2.0/24".into()];
        settings.limits.block =
            vec!["192.0.2.66".into(), "2001:db8:6::/48".into(), "198.51.100.0/24".into()];
        (
            trusted,
            Rules::new(&settings, &super::super::Counts::default(), &std::sync::Arc::default()),
        )
    }

    fn standing(peer: &str, forwarded_for: Option<&str>) -> (String, Standing) {
        let (trusted, rules) = lists();
        let mut headers = HeaderMap::new();
        if let Some(forwarded_for) = forwarded_for {
            let value = HeaderValue::from_str(forwarded_for).expect("legal");
            headers.insert(header::X_FORWARDED_FOR, value);
        }
        let peer = peer.parse().expect("an address");
        let visitor = Visitor::of(peer, &headers, &trusted, &rules);
        (visitor.ip.to_string(), visitor.standing)
    }

    #[test]
    fn everybody_is_treated_by_what_is_known_of_it() {
        for (peer, forwarded_for, ip, wanted) in [
            ("203.0.113.7", None, "203.0.113.7", Standing::Usual),
            ("203.0.113.7", Some("192.0.2.1"), "203.0.113.7", Standing::Usual),
            ("127.0.0.1", None, "127.0.0.1", Standing::Usual),
            ("127.0.0.1", Some("203.0.113.7"), "127.0.0.1", Standing::UnknownProxy),
            ("::1", Some("203.0.113.7"), "::1", Standing::UnknownProxy),
            ("fd00::3", Some("203.0.113.7"), "fd00::3", Standing::UnknownProxy),
            ("192.168.1.3", Some("x"), "192.168.1.3", Standing::UnknownProxy),
            ("10.1.2.3", Some("203.0.113.7"), "203.0.113.7", Standing::Usual),
            ("10.1.2.3", Some("192.0.2.1"), "192.0.2.1", Standing::Allowed),
            ("10.1.2.3", Some("198.51.100.1"), "198.51.100.1", Standing::Blocked),
            ("10.1.2.3", None, "10.1.2.3", Standing::TrustedProxy),
            ("10.1.2.3", Some("10.1.9.9"), "10.1.9.9", Standing::TrustedProxy),
            ("192.0.2.66", None, "192.0.2.66", Standing::Allowed),
            ("2001:db8:6::1", None, "2001:db8:6::1", Standing::Blocked),
            ("::ffff:198.51.100.9", None, "198.51.100.9", Standing::Blocked),
            ("::ffff:10.1.2.3", Some("203.0.113.7"), "203.0.113.7", Standing::Usual),
        ] {
            let found = standing(peer, forwarded_for);
            assert_eq!(found, (ip.to_owned(), wanted), "{peer} {forwarded_for:?}");
        }
    }

    #[test]
    fn only_who_is_treated_like_everybody_counts_for_its_address() {
        let (trusted, rules) = lists();
        for (ip, counts) in [
            ([203, 0, 113, 7], true),
            ([198, 51, 100, 1], true),
            ([192, 0, 2, 1], false),
            ([10, 1, 2, 3], false),
        ] {
            let visitor = Visitor::at(ip.into(), &trusted, &rules);
            let address = counts.then_some(visitor.address);
            assert_eq!(visitor.who(), Who { address, user: None }, "{ip:?}");
        }
        let unknown = Visitor {
            standing: Standing::UnknownProxy,
            ..Visitor::at([10, 9, 9, 9].into(), &trusted, &rules)
        };
        assert_eq!(unknown.who().address, None);
    }

    #[test]
    fn what_an_operator_has_to_know_is_said_once() {
        let said = AtomicBool::new(false);
        assert_eq!([is_first(&said), is_first(&said), is_first(&said)], [true, false, false]);
    }

    #[test]
    fn each_standing_has_a_name_of_its_own() {
        let all = [
            Standing::Usual,
            Standing::Allowed,
            Standing::Blocked,
            Standing::TrustedProxy,
            Standing::UnknownProxy,
        ];
        let names = ["usual", "allowed", "blocked", "trusted proxy", "unknown proxy"];
        assert_eq!(all.map(Standing::label), names);
    }

    #[test]
    fn who_hides_behind_a_trusted_proxy_is_not_taken_for_it() {
        for (x_forwarded_for, forwarded, wanted) in [
            ("203.0.113.7", "x", Standing::Usual),
            ("203.0.113.7", "for=192.0.2.1", Standing::Usual),
            ("198.51.100.1", "x", Standing::Blocked),
            ("203.0.113.7", "for=198.51.100.1", Standing::Blocked),
            ("x", "x", Standing::Usual),
        ] {
            let (trusted, rules) = lists();
            let mut headers = HeaderMap::new();
            let value = |text| HeaderValue::from_static(text);
            headers.insert(header::X_FORWARDED_FOR, value(x_forwarded_for));
            headers.insert(header::FORWARDED, value(forwarded));
            let visitor = Visitor::of([10, 1, 2, 3].into(), &headers, &trusted, &rules);
            assert_eq!(visitor.standing, wanted, "{x_forwarded_for} {forwarded}");
            assert!(visitor.is_counted());
        }
    }

    #[test]
    fn the_lines_of_a_header_are_taken_in_their_order() {
        let rules = Rules::new(
            &Settings::defaults(),
            &super::super::Counts::default(),
            &std::sync::Arc::default(),
        );
        let mut headers = HeaderMap::new();
        for value in ["192.0.2.1", "192.0.2.2"] {
            headers.append(header::X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let trusted = TrustedProxies::new(["10.0.0.0/8".parse().expect("a network")]);
        let at = |trusted| Visitor::of([10, 0, 0, 1].into(), &headers, trusted, &rules).ip;
        assert_eq!(at(&trusted), IpAddr::from([192, 0, 2, 2]));
        assert_eq!(at(&TrustedProxies::default()), IpAddr::from([10, 0, 0, 1]));
    }
}

//! Where a page comes from (RFC 6454): scheme, host and port, with what may be left out filled in. Two
//! spellings of one origin are equal.

use std::fmt;

use url::Url;

/// An origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    scheme: String,
    host: String,
    /// `None` for schemes without a usual port.
    port: Option<u16>,
}

impl Origin {
    /// Reads `scheme://host[:port]`; `None` for anything else, such as `null`.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let (_, rest) = text.split_once("://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The parser forgives a lot that no browser sends.
        if rest.contains(['/', '\\', '?', '#', '@']) || !rest.chars().all(|c| c.is_ascii_graphic())
        {
            return None;
        }
        let host = url.host_str().filter(|host| !host.is_empty())?.to_lowercase();
        // The dot says that a name is complete, which it is here. Of a name that ends in several, one would stay.
        let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
        if host.is_empty() || host.ends_with('.') {
            return None;
        }
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default() })
    }

    /// Whether its pages came by https.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether a server that was reached as `host`, a `Host` header, has served this page. What scheme
    /// that was, a proxy knows and we do not: it is taken to be the page's own.
    pub fn is_reached_as(&self, host: &str) -> bool {
        let is_http = matches!(self.scheme.as_str(), "http" | "https");
        is_http
            && !host.contains('/')
            && Self::parse(&format!("{}://{host}", self.scheme)).as_ref() == Some(self)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        match (scheme.as_str(), port) {
            ("http", Some(80)) | ("https", Some(443)) | (_, None) => write!(f, "{scheme}://{host}"),
            (_, Some(port)) => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_was_served_by_the_server_that_it_names() {
        let is_reached =
            |page: &str, host: &str| Origin::parse(page).expect("an origin").is_reached_as(host);
        for (page, host) in [
            ("http://play.example", "play.example"),
            ("http://play.example", "PLAY.example:80"),
            ("https://play.example:443", "play.example."),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(is_reached(page, host), "{page} {host}");
        }
        for (page, host) in [
            ("http://play.example", "play.example:81"),
            ("https://play.example", "play.example:80"),
            ("http://play.example", "evil.example"),
            ("http://play.example", "play.example/"),
            ("http://play.example", "play.example/x"),
            ("app://play.example", "play.example"),
            ("http://play.example", ""),
        ] {
            assert!(!is_reached(page, host), "{page} {host}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_no_origin() {
        for text in [
            "null",
            "http:play.example",
            "http://play.example/x",
            "http://a@play.example",
            "http://play.example?",
            "http://pl\u{e4}y.example",
            "http://play.exa mple",
            "http://play.exam\tple",
        ] {
            assert_eq!(Origin::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn one_dot_at_the_end_of_a_name_means_nothing_and_several_are_no_name() {
        let named = |text| Origin::parse(text).map(|origin| origin.to_string());
        assert_eq!(named("https://play.example."), Some("https://play.example".to_owned()));
        for dots in ["https://play.example..", "https://.", "https://..", "app://c.."] {
            assert_eq!(named(dots), None, "{dots}");
        }
    }
}

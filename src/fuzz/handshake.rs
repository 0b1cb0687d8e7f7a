//! What decides about a handshake before any limit: its form, its origin, its offers of compression.
//!
//! The head of a request, as it comes.

use std::sync::OnceLock;

use actix_http::ws::handshake_response;
use actix_web::{
    HttpMessage, HttpRequest,
    http::{
        Version,
        header::{self, HeaderName, HeaderValue},
    },
    test::TestRequest,
};
use url::Url;

use crate::{
    admission::Rules,
    extensions,
    handshake::{Upgradable, check_handshake},
    origin::Origin,
    settings::{Flag, Settings, Sources},
};

/// Origins that may connect where the own page is not all.
const LISTED: &str = "https://a.example,app://c";

/// Characters of the longest refusal: two names of 280, each of them escaped, and what is said of them.
const REFUSAL_MAX: usize = 2 * 2 * 280 + 400;

/// A handshake that is granted can be answered, and is of a page that may connect.
pub fn run(bytes: &[u8]) {
    let Some(request) = request(bytes) else { return };
    request.extensions_mut().insert(Upgradable);
    if check_handshake(&request).is_ok() {
        assert_eq!(request.version(), Version::HTTP_11);
        let head = request.head();
        let upgrade = head.headers().get_all(header::UPGRADE);
        let named = |value: &HeaderValue| value.as_bytes().to_ascii_lowercase();
        assert!(upgrade.map(named).any(|value| value.windows(9).any(|nine| nine == b"websocket")));
        assert_eq!(head.headers().get_all(header::SEC_WEBSOCKET_KEY).count(), 1);
        handshake_response(head).finish();
    }
    judge_origin(&request);
    judge_offers(&request);
}

/// A request with the version and the headers in `bytes`, unless no server would pass it on.
fn request(bytes: &[u8]) -> Option<HttpRequest> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let first = lines.next()?.trim_ascii_end();
    let version = if first.ends_with(b"HTTP/1.0") { Version::HTTP_10 } else { Version::HTTP_11 };
    let mut request = TestRequest::default().version(version);
    for line in lines.map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request = request.append_header((name, value));
    }
    Some(request.to_http_request())
}

/// The own page alone, and some that are listed.
fn rules() -> &'static [Rules; 2] {
    static RULES: OnceLock<[Rules; 2]> = OnceLock::new();
    RULES.get_or_init(|| {
        ["", LISTED].map(|listed| {
            let flag = |key: &str, value: &str| Flag {
                name: key.to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
            };
            let sources = Sources {
                folder: "/nonexistent".into(),
                flags: vec![flag("server.allowed_origins", listed)],
                ..Sources::default()
            };
            let settings = Settings::load(&sources).settings.expect("nothing is wrong with them");
            Rules::new(&settings.server, 1)
        })
    })
}

fn judge_origin(request: &HttpRequest) {
    let origins: Vec<_> = request.headers().get_all(header::ORIGIN).collect();
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let [own, listed] = rules().each_ref().map(|rules| rules.allows(&origins, host));
    for refusal in [&own, &listed].into_iter().filter_map(|judged| judged.as_ref().err()) {
        let told = refusal.to_string();
        assert!(told.chars().count() <= REFUSAL_MAX, "{told}");
        assert!(!told.contains(char::is_control), "{told:?}");
    }
    let [origin] = &origins[..] else {
        return assert!(own.is_err() && listed.is_err(), "none, or several");
    };
    let told = origin.to_str().unwrap_or_default();
    let found = Origin::parse(told);
    if let Some(origin) = &found {
        assert_eq!(Origin::parse(&origin.to_string()).as_ref(), Some(origin), "{told:?}");
    }
    if listed.is_ok() {
        let name = found.as_ref().map(ToString::to_string);
        assert!(name.is_some_and(|name| LISTED.split(',').any(|known| known == name)));
    }
    if own.is_ok() {
        let host = host.expect("compared with");
        let (scheme, _) = told.split_once("://").expect("it was parsed");
        assert!(!told[scheme.len() + 3..].trim_end_matches('/').contains(['@', '/', '\\', '?']));
        assert!(!host.contains(['@', '/', '\\', '?', '#']), "{host:?}");
        assert_eq!(place(told), place(&format!("{scheme}://{host}")), "{told:?} at {host:?}");
    }
}

/// Scheme, host and port, as browsers see them; a dot at a name's end means nothing.
fn place(text: &str) -> Option<(String, String, Option<u16>)> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?;
    let host = host.strip_suffix('.').unwrap_or(host).to_owned();
    Some((url.scheme().to_owned(), host, url.port_or_known_default()))
}

fn judge_offers(request: &HttpRequest) {
    const NAME: &str = "permessage-deflate";
    let lines = request.headers().get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
    let answer = |line| extensions::accepted([line].into_iter());
    let accepted = extensions::accepted(lines.iter().copied());
    assert_eq!(accepted, lines.iter().find_map(|line| answer(line)));
    if let Some(told) = accepted {
        // Nothing is granted that was not offered.
        let names_window = told.contains("server_max_window_bits");
        assert!(!names_window || lines.iter().any(|line| line.contains("15")), "{lines:?}");
        assert!(lines.iter().any(|line| line.to_ascii_lowercase().contains(NAME)), "{lines:?}");
    } else {
        assert!(!lines.iter().any(|line| line.trim().eq_ignore_ascii_case(NAME)), "{lines:?}");
    }
    let with_plain = lines.iter().copied().chain([NAME]);
    assert!(extensions::accepted(with_plain).is_some(), "one that is always taken");
}

//! What answers tell browsers to allow.

use crate::harness::{
    client::handshake,
    nginx::Nginx,
    server::{Response, Setup, request},
};

/// The value of a header, which is there once.
#[track_caller]
fn value<'a>(answer: &'a Response, name: &str) -> &'a str {
    let lines = answer.head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let values: Vec<_> = lines.collect();
    assert_eq!(values.len(), 1, "{name} in {}", answer.head);
    values[0]
}

#[test]
fn the_page_allows_itself_what_it_needs_and_nothing_else() {
    let server = Setup::new(1000, 1).start();
    let page = server.get("/");
    let address = server.address;
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; manifest-src 'self'; \
         connect-src 'self' ws://{address} wss://{address}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    for (name, wanted) in [
        ("content-security-policy", &*policy),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(value(&page, name), wanted, "{name}");
    }
    assert!(!page.head.contains("access-control-"), "{}", page.head);
    assert!(!page.head.lines().any(|line| line.starts_with("server: ")), "{}", page.head);
    // What a client says of its server gets into the policy only if it can be a name.
    for odd in ["x; script-src *", "x 'unsafe-inline'", "x\u{fc}", "x,*", "*"] {
        let page = request(server.address, "GET", "/", &[("Host", odd)]);
        let policy = value(&page, "content-security-policy");
        assert!(policy.contains("connect-src 'self'; base-uri"), "{odd}: {policy}");
    }
}

#[test]
fn every_answer_is_only_what_it_says_and_for_no_other_site() {
    let server = Setup::new(1000, 1).start();
    let (players, operators) = (server.address, server.admin);
    let strange = handshake("http://evil.example");
    let get = |path| request(players, "GET", path, &[]);
    let asked = |path| request(operators, "GET", path, &[]);
    let known = get("/robots.txt");
    let answers = [
        (get("/"), 200),
        (get("/overview"), 200),
        (get("/static/main.js"), 200),
        (get("/static/page.css"), 200),
        (get("/favicon.ico"), 200),
        (get("/manifest.webmanifest"), 200),
        (known, 200),
        (get("/healthz"), 200),
        (get("/readyz"), 200),
        (get("/readyz?store=2"), 400),
        (get("/ws"), 426),
        (get("/ws?v=9"), 400),
        (get("/ws?board=x"), 404),
        (get("/ws/why"), 200),
        (get("/nothing"), 404),
        (get("/static/nothing.js"), 404),
        (request(players, "GET", "/nothing", &[("Accept", "text/html")]), 404),
        (request(players, "GET", "/ws", &strange), 403),
        (request(players, "DELETE", "/", &[]), 405),
        (request(players, "OPTIONS", "/", &[]), 204),
        (request(players, "GET", "/overview", &[("If-None-Match", "*")]), 304),
        (asked("/metrics"), 200),
        (asked("/healthz"), 200),
        (asked("/readyz"), 200),
        (asked("/store"), 200),
        (asked("/export"), 200),
        (asked("/limits/why?address=192.0.2.1"), 200),
        (asked("/limits/why"), 400),
        (asked("/nothing"), 404),
        (request(operators, "POST", "/import", &[]), 415),
        (request(operators, "GET", "/store", &[("Host", "evil.example")]), 421),
        (request(operators, "GET", "/store", &[("Origin", "http://evil.example")]), 403),
    ];
    for (answer, status) in &answers {
        assert_eq!(answer.status, *status, "{}\n{}", answer.head, answer.body);
        assert_eq!(value(answer, "x-content-type-options"), "nosniff");
        assert_eq!(value(answer, "cross-origin-resource-policy"), "same-origin");
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
        // What a browser shows as a document of its own brings a policy.
        let shown = ["text/html", "image/svg"].iter().any(|media| answer.head.contains(media));
        if shown && answer.status != 304 {
            let policy = value(answer, "content-security-policy");
            let strict = policy.starts_with("default-src 'none'")
                && policy.contains("frame-ancestors 'none'");
            assert!(strict, "{}", answer.head);
        }
    }
    let icon = &answers[4].0;
    assert!(icon.head.contains("image/svg"), "{}", icon.head);
    // Refusals of limits come from elsewhere.
    let limited =
        Setup::new(1000, 1).without("LIMITS__ADDRESS").with("LIMITS__ADDRESS_REQUESTS", "1-D");
    let blocked = Setup::new(1000, 1).with("LIMITS__BLOCK", "127.0.0.1");
    for (setup, status) in [(limited, 429), (blocked, 403)] {
        let server = setup.start();
        // One in a day is let pass.
        server.get("/");
        let refused = server.get("/");
        assert_eq!(refused.status, status, "{}", refused.head);
        assert_eq!(value(&refused, "x-content-type-options"), "nosniff");
        assert_eq!(value(&refused, "cross-origin-resource-policy"), "same-origin");
    }
}

/// The server itself speaks no TLS, so whoever does says it: the file that operators are told to use.
#[test]
fn who_came_by_tls_is_told_to_come_by_tls_only() {
    let server = Setup::new(1000, 1).start();
    let nginx = Nginx::start(&server);
    for path in ["/", "/static/main.js", "/nothing"] {
        let (head, _) = nginx.get(path, &[]);
        let told = head.lines().filter(|line| line.starts_with("strict-transport-security: "));
        assert_eq!(
            told.collect::<Vec<_>>(),
            ["strict-transport-security: max-age=31536000"],
            "{path}: {head}"
        );
    }
    let plain = request(nginx.plain, "GET", "/", &[("Host", "localhost")]);
    assert_eq!(plain.status, 301, "{}", plain.head);
}

//! The server among everybody's proxies, load balancers, scrapers and supervisors: what they ask, how long
//! they keep connections, under which names and paths they know it.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use crate::harness::{
    PATIENCE,
    browser::{Browser, Screen},
    client::{Client, Told, handshake},
    eventually,
    nginx::Below,
    server::{Response, Server, Setup, request},
    site::copy_page,
    within,
};

/// The headers of a handshake from a page of `origin`, for a server that is reached as `host`.
fn handshake_to<'a>(origin: &'a str, host: &'a str) -> Vec<(&'a str, &'a str)> {
    [&[("Host", host)][..], &handshake(origin)].concat()
}

/// A connection that is kept, asked one thing after another.
struct Kept {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Kept {
    fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self { stream, unread: Vec::new() }
    }

    /// The head of the answer to `GET /healthz`, lower-case; `None` if the connection has ended.
    fn ask(&mut self) -> Option<String> {
        self.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut buffer = [0; 1024];
        loop {
            let text = String::from_utf8(self.unread.clone()).expect("text").to_lowercase();
            if let Some((head, _)) = text.split_once("\r\n\r\nok\n") {
                self.unread.clear();
                return Some(head.to_owned());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(read) => self.unread.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    /// Whether it is open, without anything to be read.
    fn is_open(&self) -> bool {
        self.stream.set_nonblocking(true).expect("an option can be set");
        let waiting = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("an option can be set");
        waiting.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

fn says_close(head: &str) -> bool {
    head.lines().any(|line| line == "connection: close")
}

#[test]
fn a_usual_port_in_host_or_origin_is_the_same_as_none() {
    let server = Setup::new(1000, 1).start();
    let status =
        |origin, host| request(server.address, "GET", "/ws", &handshake_to(origin, host)).status;
    assert_eq!(status("https://play.example", "play.example:443"), 101);
    assert_eq!(status("http://play.example", "play.example:80"), 101);
    assert_eq!(status("https://play.example:443", "Play.Example"), 101);
    assert_eq!(status("https://play.example", "play.example:8443"), 403);
    assert_eq!(status("https://play.example:8443", "play.example"), 403);
    let listed = Setup::new(1000, 1).with("SERVER__ALLOWED_ORIGINS", "https://Play.example:443/");
    let listed = listed.start();
    let status = |origin| request(listed.address, "GET", "/ws", &handshake_to(origin, "x")).status;
    assert_eq!(status("https://play.example"), 101);
    assert_eq!(status("http://play.example"), 403);
}

/// Upgrade is a list of protocols in order of preference, in one line or several (RFC 9110 §7.8).
#[test]
fn websocket_may_be_offered_among_other_protocols() {
    let server = Setup::new(1000, 1).start();
    let (own, host) = (format!("http://{}", server.address), server.address.to_string());
    let offered = |offers: &[&str]| {
        let mut headers = handshake_to(&own, &host);
        headers.retain(|(name, _)| *name != "Upgrade");
        headers.extend(offers.iter().map(|offer| ("Upgrade", *offer)));
        request(server.address, "GET", "/ws", &headers).status
    };
    for offers in [
        &["websocket"][..],
        &["websocket, h2c"],
        &["h2c, websocket"],
        &["h2c,WebSocket ,foo/2"],
        &["websocket,"],
        &["h2c", "websocket"],
        &["websocket", "h2c"],
    ] {
        assert_eq!(offered(offers), 101, "{offers:?}");
    }
    assert_eq!(offered(&["h2c, websockets"]), 426);
    // Refused as any other, and counted.
    let strange = handshake_to("http://evil.example", &host);
    let strange = strange.into_iter().map(|(name, value)| match name {
        "Upgrade" => (name, "h2c, websocket"),
        _ => (name, value),
    });
    let strange: Vec<_> = strange.collect();
    assert_eq!(request(server.address, "GET", "/ws", &strange).status, 403);
    eventually("no connection left", || {
        let open = ["billion_connections ", "billion_http_connections "];
        (open.map(|name| server.metric(name)) == [0.0, 0.0]).then_some(())
    });
}

#[test]
fn a_refused_origin_is_told_to_who_asks_and_to_who_debugs() {
    let server = Setup::new(1000, 1).with_variable("RUST_LOG", "debug").start();
    let asked =
        |origin| request(server.address, "GET", "/ws", &handshake_to(origin, "play.example:8443"));
    let refused = asked("https://play.example");
    assert_eq!(refused.status, 403);
    for told in ["\"https://play.example\"", "\"play.example:8443\"", "server.allowed_origins"] {
        assert!(refused.body.contains(told), "{told}: {}", refused.body);
    }
    assert!(refused.head.contains("content-type: text/plain"), "{}", refused.head);
    let wanted = "127.0.0.1 was refused: Origin \"https://play.example\" may not connect";
    eventually("a line in the log", || server.log().contains(wanted).then_some(()));
    // What could write on an operator's terminal arrives as something else.
    let odd = asked("https://\u{9b}31m.example");
    assert_eq!(odd.status, 403);
    assert!(!odd.body.contains('\u{9b}') && !server.log().contains('\u{9b}'), "{}", odd.body);
}

#[test]
fn a_kept_connection_ends_idle_or_with_an_answer_that_says_so() {
    let server = Setup::new(1000, 1).with("SERVER__KEEP_ALIVE_S", 2).start();
    let kept = Duration::from_secs(2);
    let (opened, mut busy, mut idle) =
        (Instant::now(), Kept::open(server.address), Kept::open(server.address));
    assert!(!says_close(&idle.ask().expect("an answer")));
    // A client that asks all the time is told before it is cut off.
    let last = eventually("the last answer", || {
        let head = busy.ask().expect("no connection ends without having said so");
        says_close(&head).then(|| opened.elapsed())
    });
    assert!(last >= kept, "{last:?}");
    assert_eq!(busy.ask(), None, "it was the last one");
    eventually("the end of the idle one", || (!idle.is_open()).then_some(()));
    assert!(opened.elapsed() >= kept);
}

#[test]
fn connections_are_kept_for_longer_than_any_usual_balancer_keeps_them() {
    let read = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        fs::read_to_string(path).expect("a file of the repository")
    };
    let number = |text: &str, before: &str| -> u64 {
        let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before}"));
        let digits = rest.split(|c: char| !c.is_ascii_digit()).next().expect("a first part");
        digits.parse().expect("a number")
    };
    let settings = read("settings.toml");
    let kept_s = number(&settings, "\nkeep_alive_s = ");
    assert!(kept_s > 60, "AWS' load balancers and nginx keep theirs for 60 s");
    for ours in ["docker/nginx.conf", "docker/nginx-tls.conf"] {
        let theirs_s = number(&read(ours), "keepalive_timeout ");
        assert!(theirs_s < kept_s, "{ours}: {theirs_s}");
    }
    // Two pings, of which one may be lost, before HAProxy's 50 s are over.
    assert!(2 * number(&settings, "\nping_interval_s = ") <= 50);
}

/// A browser leaves six idle connections behind. Kept for long, they must not keep anybody out: neither
/// by the places that a worker has for HTTP nor by the descriptors that players leave.
#[test]
fn idle_connections_make_room_for_newcomers() {
    let setup = Setup::new(1000, 1).with("SERVER__WORKERS", 1).with("SERVER__MAX_CONNECTIONS", 100);
    let server = setup.with_open_files(400).start();
    // Of the 300 files that 100 players leave, half.
    let (kept, ended) = ask_on_new_connections(&server, 280);
    assert_eq!((kept.len(), ended), (150, 130));
    let mut players: Vec<_> = (0..100).map(|_| server.client()).collect();
    assert_eq!(server.get("/").status, 200);
    players[0].check(7);
    assert_eq!(players[99].next(), Told::Update { total: 1, id: 7 });
}

#[test]
fn more_idle_connections_than_a_worker_has_places_keep_nobody_waiting() {
    let setup = Setup::new(1000, 1).with("SERVER__WORKERS", 1).with("SERVER__MAX_CONNECTIONS", 100);
    let server = setup.start();
    let (kept, ended) = ask_on_new_connections(&server, 2300);
    assert_eq!((kept.len(), ended), (1024, 1276), "half of the places");
    assert_eq!(server.get("/").status, 200);
}

/// Those of so many connections, each with a question answered, that are kept, and the number of others.
fn ask_on_new_connections(server: &Server, number: usize) -> (Vec<Kept>, usize) {
    let (mut kept, mut ended) = (Vec::new(), 0);
    for _ in 0..number {
        let mut one = Kept::open(server.address);
        if says_close(&one.ask().expect("each is answered")) {
            ended += 1;
        } else {
            kept.push(one);
        }
    }
    assert!(kept.iter().all(Kept::is_open), "nobody else is cut off");
    (kept, ended)
}

/// Sends requests and never reads: what waits for it is bounded, and so is its life.
#[test]
#[ignore = "long: half a minute is what a client has to read its last answer"]
fn who_never_reads_answers_does_not_hold_a_place_for_ever() {
    let server = Setup::new(1000, 1).with("SERVER__KEEP_ALIVE_S", 1).start();
    let mut deaf = TcpStream::connect(server.address).expect("the server listens");
    deaf.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout can be set");
    let asked = b"GET /overview HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let blocked = (0..1000).any(|_| deaf.write_all(&asked).is_err());
    assert!(blocked, "the server goes on reading from a client that does not");
    // Twice a second and half a minute.
    within(Duration::from_secs(60), "its end", || {
        (server.metric("billion_http_connections ") == 0.0).then_some(())
    });
}

#[test]
fn after_sigterm_everything_is_served_for_as_long_as_a_balancer_needs() {
    let setup = Setup::new(1000, 1).with("SERVER__DRAIN_DELAY_S", 60);
    let mut server = setup.start();
    let (mut player, mut other) = (server.client(), server.client_v2());
    server.signal("-TERM");
    eventually("unready", || (server.get("/readyz").status == 503).then_some(()));
    assert_eq!(request(server.admin, "GET", "/readyz", &[]).status, 503);
    for path in ["/", "/overview", "/healthz", "/static/main.js"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    player.check(7);
    assert_eq!(player.next(), Told::Update { total: 1, id: 7 });
    assert_eq!(other.range(1, 1000, &mut vec![]), [7]);
    let (own, host) = (format!("http://{}", server.address), server.address.to_string());
    // A balancer that has not noticed yet sends newcomers here and nowhere else.
    let newcomer = request(server.address, "GET", "/ws", &handshake_to(&own, &host));
    assert_eq!(newcomer.status, 101, "{}", newcomer.head);
    // And it would use a connection that it keeps at the moment it is cut: this reads to the connection's end.
    let kept = request(server.address, "GET", "/healthz", &[("Connection", "keep-alive")]);
    assert!(kept.head.contains("\r\nconnection: close"), "{}", kept.head);
    server.signal("-TERM");
    assert_eq!(server.wait().code(), Some(1), "a second signal does not wait");

    let mut server = Setup::new(1000, 1).with("SERVER__DRAIN_DELAY_S", 1).start();
    let mut player = server.client();
    let began = Instant::now();
    server.signal("-TERM");
    assert_eq!(player.closed(), (1001, "server going away".to_owned()));
    drop(player);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_closed_terminal_and_ctrl_backslash_are_orders_to_stop_as_sigterm_is() {
    for (signal, name) in [("-HUP", "SIGHUP"), ("-QUIT", "SIGQUIT")] {
        let setup = Setup::new(1000, 1).with_heeded(&name[3..]).with_terminal();
        let mut server = setup.start();
        let mut player = server.client();
        player.check(7);
        player.next();
        server.signal(signal);
        assert_eq!(player.closed(), (1001, "server going away".to_owned()), "{name}");
        drop(player);
        assert_eq!(server.wait().code(), Some(0), "{}", server.log());
        assert!(server.log().contains(&format!("{name}: finishing")), "{}", server.log());
        let again = setup.start();
        assert!(!again.log().contains("not closed cleanly"), "{}", again.log());
    }
    // Whoever says nohup wants it to go on.
    for setup in [Setup::with_terminal, Setup::without_terminal] {
        let mut server = setup(Setup::new(1000, 1).with_ignored("HUP")).start();
        server.signal("-HUP");
        server.signal("-TERM");
        assert_eq!(server.wait().code(), Some(0));
        assert!(!server.log().contains("SIGHUP"), "{}", server.log());
    }
}

#[test]
fn every_path_says_which_methods_it_takes() {
    let server = Setup::new(1000, 1).start();
    let (players, operators) = (server.address, server.admin);
    let read = "allow: get, head, options";
    let paths = ["/", "/healthz", "/readyz", "/overview", "/ws", "/static/main.js", "/robots.txt"];
    let mut cases: Vec<_> = paths.iter().map(|path| (players, *path, read)).collect();
    cases.extend(["/healthz", "/readyz", "/store", "/metrics"].map(|path| (operators, path, read)));
    cases.push((operators, "/export", "allow: get, options"));
    cases.push((operators, "/import", "allow: post, options"));
    for (to, path, allow) in cases {
        let asked = request(to, "OPTIONS", path, &[]);
        assert_eq!((asked.status, asked.body.as_str()), (204, ""), "{path}");
        let refused = request(to, "DELETE", path, &[]);
        assert_eq!(refused.status, 405, "{path}");
        for head in [asked.head, refused.head] {
            assert!(head.lines().any(|line| line == allow), "{path}: {head}");
        }
    }
    assert_eq!(request(players, "OPTIONS", "*", &[]).status, 204);
    // HAProxy's plainest check, word for word.
    for to in [players, operators] {
        let mut stream = TcpStream::connect(to).expect("the server listens");
        stream.write_all(b"OPTIONS / HTTP/1.0\r\n\r\n").expect("it takes a request");
        let mut answer = String::new();
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        stream.read_to_string(&mut answer).expect("an answer and its end");
        assert!(answer.starts_with("HTTP/1.0 204 "), "{answer}");
    }
}

#[test]
fn the_store_is_asked_about_in_every_usual_spelling() {
    let server = Setup::new(1000, 1).start();
    for to in [server.address, server.admin] {
        let status = |query: &str| request(to, "GET", &format!("/readyz?{query}"), &[]);
        for fine in [
            "store",
            "store=",
            "store=1",
            "store=true",
            "store=yes",
            "store=on",
            "verbose",
            "store=0",
            "store=false",
            "store=1&store=1",
        ] {
            assert_eq!(status(fine).status, 200, "{fine}");
        }
        let wrong = status("store=2");
        assert_eq!(wrong.status, 400);
        // Players are told in plain text, operators as a problem.
        let told = "store is a switch: write store=1 or store=0";
        assert_eq!(wrong.body.trim() == told, to == server.address, "{}", wrong.body);
        assert!(wrong.body.contains(told), "{}", wrong.body);
    }
}

fn metrics(server: &Server, accept: Option<&str>) -> Response {
    let headers: Vec<_> = accept.iter().map(|accept| ("Accept", *accept)).collect();
    request(server.admin, "GET", "/metrics", &headers)
}

/// Each line of the text format 0.0.4, checked as strictly as Go's parser does.
fn families(text: &str) -> BTreeMap<&str, &str> {
    let mut families = BTreeMap::new();
    let mut helped = "";
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').expect("a name and a text").0;
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert_eq!(name, helped, "help comes first");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert_eq!(families.insert(name, kind), None, "{name} twice");
            continue;
        }
        assert!(!line.starts_with('#') && !line.contains(" # "), "{line}");
        let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
        let value = value.parse::<f64>();
        assert!(value.is_ok(), "{line}");
        let name = sample.split_once('{').map_or(sample, |(name, _)| name);
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = if families.contains_key(name) { name } else { base.expect("a family") };
        assert_eq!(family, helped, "{line}: among its own");
        assert!(name == family || families[family] == "histogram", "{line}");
    }
    families
}

#[test]
fn each_scraper_gets_the_format_it_reads() {
    let server = Setup::new(1000, 1).start();
    let mut player = server.client();
    player.check(7);
    player.next();
    for older in [None, Some("*/*"), Some("text/plain;version=0.0.4"), Some("text/html, */*;q=0.1")]
    {
        let answer = metrics(&server, older);
        let wanted = "content-type: text/plain; version=0.0.4; charset=utf-8";
        assert!(answer.head.contains(wanted), "{older:?}: {}", answer.head);
        let families = families(&answer.body);
        for (name, kind) in [
            ("billion_build_info", "gauge"),
            ("billion_ranges_total", "counter"),
            ("process_cpu_seconds_total", "counter"),
            ("process_start_time_seconds", "gauge"),
            ("billion_connections", "gauge"),
            ("billion_flush_seconds", "histogram"),
        ] {
            assert_eq!(families.get(name), Some(&kind), "{name}: {}", answer.body);
        }
    }
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
                      application/openmetrics-text;version=0.0.1;q=0.4,\
                      text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    let answer = metrics(&server, Some(prometheus));
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.body.contains("# TYPE billion_build info\n"), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
}

/// A web page whose own name leads to this machine (DNS rebinding) is of the same origin as the listener,
/// but cannot help sending that name.
#[test]
fn operators_are_answered_only_under_names_that_no_page_can_have_chosen() {
    let server = Setup::new(1000, 1).with("ADMIN__HOSTS", "node-1.internal").start();
    let port = server.admin.port();
    let get =
        |path: &str, host: String| request(server.admin, "GET", path, &[("Host", host.as_str())]);
    for path in ["/store", "/export", "/import", "/anything"] {
        for host in [format!("evil.example:{port}"), "evil.example".into(), "localhost.evil".into()]
        {
            let refused = get(path, host.clone());
            assert_eq!(refused.status, 421, "{path} as {host}");
            assert!(refused.body.contains("admin.hosts"), "{}", refused.body);
        }
    }
    let nothing = get("/anything", "localhost".into());
    assert_eq!(nothing.status, 404);
    assert!(nothing.body.contains("/metrics"), "{}", nothing.body);
    for host in ["node-1.internal", "localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(get("/export", format!("{host}:{port}")).status, 200, "{host}");
    }
    // Nor is a page of another origin answered that has found a name, whatever it asks for.
    for path in ["/store", "/export", "/import", "/anything"] {
        for by_a_page in [("Origin", "http://localhost:1"), ("Sec-Fetch-Site", "same-site")] {
            let headers = [("Host", "localhost"), by_a_page];
            let refused = request(server.admin, "GET", path, &headers);
            assert_eq!(refused.status, 403, "{path} with {by_a_page:?}");
        }
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(get(path, "prometheus-sees-me-as-this:9090".into()).status, 200, "{path}");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("copy.bxb").display().to_string();
    let from = format!("http://localhost:{port}");
    let ran = Setup::bare().run(&["export", "--from", &from, &file]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

/// HAProxy's packaged file cuts connections that are silent for 50 s: with pings every 25 s none is.
#[test]
fn a_quiet_plain_client_is_heard_of_often_enough_for_proxies_that_cut_the_silent() {
    let setup = Setup::new(1000, 1).with("SESSION__PING_INTERVAL_S", 1);
    let server = setup.with("SESSION__IDLE_TIMEOUT_S", 60).start();
    let client = server.client();
    let mut stream = client.stream();
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
    // Longer than those five seconds, of which not one passes without a byte.
    let mut pings = [0; 2 * 6];
    stream.read_exact(&mut pings).expect("never silent for five intervals");
    assert_eq!(pings[..], [0x89, 0].repeat(6)[..], "empty pings");
}

#[test]
fn half_a_copy_of_the_page_is_found_before_anything_starts() {
    let site = tempfile::tempdir().expect("a temporary folder");
    copy_page(site.path());
    let setup = Setup::new(1000, 1).with("PAGE__PATH", site.path().display());
    assert_eq!(setup.run(&["--check"]).code, Some(0));
    for (name, by) in [("page.css", "the page"), ("main.js", "the page"), ("camera.js", ".js")] {
        let (kept, away) = (site.path().join("static").join(name), site.path().join(name));
        fs::rename(&kept, &away).expect("it can be moved");
        let ran = setup.run(&["--check"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.said.contains(&format!("static/{name} is missing")), "{}", ran.said);
        assert!(ran.said.contains(&format!("{by} names")), "{}", ran.said);
        assert_eq!(setup.fail_to_start(&[]).0.code(), Some(2));
        fs::rename(&away, &kept).expect("it can be moved back");
    }
}

#[test]
fn what_browsers_and_searchers_ask_for_unasked_is_there() {
    let server = Setup::new(1000, 1).start();
    let page = server.get("/");
    for header in ["permissions-policy: ", "cross-origin-opener-policy: same-origin"] {
        assert!(page.head.contains(header), "{}", page.head);
    }
    for tag in ["name=\"theme-color\"", "property=\"og:title\"", "rel=\"canonical\""] {
        assert!(page.body.contains(tag), "{tag}");
    }
    let tag = page.head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("a tag");
    let tag = tag.replace("w/", "W/");
    let known = request(server.address, "GET", "/", &[("If-None-Match", &tag)]);
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert!(known.head.contains("content-security-policy: "), "{}", known.head);
    let icon = server.get("/favicon.ico");
    assert!(icon.status == 200 && icon.head.contains("image/svg+xml"), "{}", icon.head);
    assert!(server.get("/robots.txt").body.starts_with("User-agent: *\n"));
    let manifest = server.get("/manifest.webmanifest");
    assert!(manifest.head.contains("application/manifest+json"), "{}", manifest.head);
    let manifest: serde_json::Value = serde_json::from_str(&manifest.body).expect("JSON");
    let picture = manifest["icons"][0]["src"].as_str().expect("a picture");
    assert_eq!(server.get(picture).status, 200);
    for path in ["/nothing", "/static/nothing.js", "/static/", "/boxes/"] {
        let missing = request(server.address, "GET", path, &[("Accept", "text/html,*/*;q=0.8")]);
        assert_eq!(missing.status, 404, "{path}");
        assert!(missing.body.contains("<a href=\"/\">"), "{path}: {}", missing.body);
        assert_eq!(server.get(path).body, "there is nothing at this address\n", "{path}");
    }
}

#[test]
fn below_a_path_everything_is_found_with_it_and_without_it() {
    let server = Setup::new(250_000, 2).with("SERVER__BASE_PATH", "/boxes/").start();
    let page = server.get("/boxes/").body;
    assert_eq!(page, server.get("/").body);
    let is_path = |text: &&str| text.starts_with('/') && !text.contains(['<', '>', '\n']);
    let named: Vec<_> = page.split('"').filter(is_path).collect();
    assert!(named.iter().any(|path| path.ends_with("/main.js")), "{named:?}");
    for path in named {
        let stripped = path.strip_prefix("/boxes").unwrap_or_else(|| panic!("{path}"));
        let stripped = if stripped.is_empty() { "/" } else { stripped };
        let asked = [path, stripped].map(|path| server.get(path));
        assert!(asked[0].bytes == asked[1].bytes, "{path} and {stripped} are the same");
        // What is a WebSocket wants an upgrade.
        let wanted = if path.ends_with("/ws") { 426 } else { 200 };
        assert_eq!(asked[0].status, wanted, "{path}");
    }
    let mut players = ["/boxes/ws", "/ws"].map(|path| Client::connect(server.address, path));
    players[0].check(7);
    assert_eq!(players[1].next(), Told::Update { total: 1, id: 7 });
    assert_eq!(server.get("/boxesque").status, 404);
}

#[test]
fn the_page_plays_below_a_path_of_a_site() {
    let server = Setup::new(250_000, 2).with("SERVER__BASE_PATH", "/boxes").start();
    let browser = Browser::start();
    for strips in [false, true] {
        let nginx = Below::start(&server, strips);
        assert_eq!(request(nginx.address, "GET", "/", &[]).status, 404, "nothing else is there");
        let window = browser.open_at(Screen::default(), nginx.address, "/boxes/#b=100001");
        window.until_live();
        let id = if strips { 100_004 } else { 100_003 };
        window.until_state(id, "unchecked");
        window.click(id);
        window.until_state(id, "checked");
        eventually("the overview", || {
            let known = window.evaluate("return document.querySelector('#overview').hidden", ());
            (known == false).then_some(())
        });
        window.assert_no_complaints();
    }
}

#[test]
fn the_query_names_the_board_and_only_one_that_is_in_play() {
    let server = Setup::new(1000, 1).with("BOARD__NAME", "main").start();
    let origin = format!("http://{}", server.address);
    for (query, status) in [
        ("", 200),
        ("?board=main", 200),
        ("?board=m%61in", 200),
        ("?board=other", 404),
        ("?board=Main", 404),
        ("?board=", 404),
        ("?board=main&board=main", 400),
    ] {
        let ask = |to, method, path, headers: &[(&str, &str)]| {
            request(to, method, &format!("{path}{query}"), headers).status
        };
        // 101 is what a handshake gets, and 422 a backup that is empty.
        let instead = |good| if status == 200 { good } else { status };
        assert_eq!(ask(server.address, "GET", "/overview", &[]), status, "{query}");
        assert_eq!(ask(server.admin, "GET", "/export", &[]), status, "{query}");
        let shaken = ask(server.address, "GET", "/ws", &handshake(&origin));
        assert_eq!(shaken, instead(101), "{query}");
        let empty = [("Content-Type", "application/x-billion-backup"), ("Content-Length", "0")];
        assert_eq!(ask(server.admin, "POST", "/import", &empty), instead(422), "{query}");
    }
    // Four of those handshakes were refused, and so is one that asks for a version there is none of.
    assert_eq!(request(server.address, "GET", "/ws?v=3", &handshake(&origin)).status, 400);
    let refused = "billion_refusals_total{reason=\"handshake\"} ";
    assert_eq!(server.metric(refused), 5.0);
    // What is not understood is not passed over where it would mean the main board.
    for path in ["/export?bord=other", "/import?bord=other", "/import?rate=abc"] {
        let method = if path.starts_with("/export") { "GET" } else { "POST" };
        let type_of_backup =
            [("Content-Type", "application/x-billion-backup"), ("Content-Length", "0")];
        let told = request(server.admin, method, path, &type_of_backup);
        let (name, _) = path.split_once('?').expect("a query").1.split_once('=').expect("a value");
        assert_eq!(told.status, 400, "{path}");
        assert!(told.body.contains(name), "{path}: {}", told.body);
    }
}

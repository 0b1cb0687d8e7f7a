//! Limits over real sockets: what one address gets, however it comes, and what others get beside it.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    ops::AddAssign,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{
    PATIENCE,
    client::{Client, Told},
    eventually,
    origin::{client_from, stream_from},
    server::{Server, Setup, request},
};

/// Addresses of players.
const BOT: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 1);
const PLAYER: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 2);

/// Enough boxes that nobody checks one twice.
const BOXES: u32 = 10_000_000;

/// With the limits that `file` has, and those of one connection far away.
pub fn limited(file: &str) -> Setup {
    let setup = Setup::new(BOXES, 1).without("LIMITS__ADDRESS");
    setup
        .with("LIMITER__LIMIT", 1_000_000)
        .with("LIMITER__BURST", 1_000_000)
        .with_file("settings.toml", file)
}

/// What became of checks.
#[derive(Debug, Default, Clone, Copy)]
pub struct Books {
    pub sent: u32,
    pub accepted: u32,
    pub refused: u32,
    /// Without an answer when their connection was closed.
    pub unknown: u32,
    /// Handshakes that were accepted, and refused.
    pub connected: u32,
    pub turned_away: u32,
}

impl AddAssign for Books {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.connected += other.connected;
        self.turned_away += other.turned_away;
    }
}

impl Books {
    /// Whether each check has its answer.
    pub fn balance(&self) {
        assert_eq!(self.accepted + self.refused + self.unknown, self.sent, "{self:?}");
    }
}

/// Boxes that nobody has checked, one after the other.
pub static NEXT: AtomicU32 = AtomicU32::new(1);

/// Sends so many checks and waits for the answer to each.
pub fn check(client: &mut Client, checks: u32) -> Books {
    check_within(client, checks, PATIENCE)
}

/// The same, and waits for the next answer for so long at most.
fn check_within(client: &mut Client, checks: u32, limit: Duration) -> Books {
    let first = NEXT.fetch_add(checks, Relaxed);
    let mut waits: BTreeSet<u32> = (first..first + checks).collect();
    waits.iter().for_each(|id| client.check(*id));
    let mut books = Books { sent: checks, ..Books::default() };
    while !waits.is_empty() {
        match client.next_within(limit) {
            Some(Told::Update { id, .. }) => books.accepted += u32::from(waits.remove(&id)),
            Some(Told::Refused { id, reason: 4 }) => books.refused += u32::from(waits.remove(&id)),
            Some(other) => panic!("neither taken nor too fast: {other:?}"),
            None => break,
        }
    }
    books.unknown = waits.len() as u32;
    books
}

/// Connects, checks 20 boxes, closes, and again, on 20 threads.
fn attack(to: SocketAddr, from: Ipv4Addr, stop: &AtomicBool) -> Books {
    let thread = || {
        let mut books = Books::default();
        while !stop.load(Relaxed) {
            match client_from(from, to, "/ws?v=2") {
                Some(mut client) => {
                    books.connected += 1;
                    // Who hammers does not wait for its turn.
                    books += check_within(&mut client, 20, Duration::from_millis(100));
                }
                None => books.turned_away += 1,
            }
        }
        books
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(thread)).collect();
        let mut books = Books::default();
        threads.into_iter().for_each(|thread| books += thread.join().expect("it ends"));
        books
    })
}

#[test]
fn what_one_address_gets_stays_within_its_limit_however_it_connects() {
    let server = limited("").start();
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let (bot, took, player) = thread::scope(|scope| {
        let bot = scope.spawn(|| attack(server.address, BOT, &stop));
        // Somebody else plays meanwhile, at a pace that its own address allows.
        let mut client = client_from(PLAYER, server.address, "/ws?v=2").expect("let in");
        let mut player = Books::default();
        while began.elapsed() < Duration::from_secs(5) {
            player += check(&mut client, 1);
        }
        stop.store(true, Relaxed);
        let bot = bot.join().expect("it ends");
        (bot, began.elapsed().as_secs_f64(), player)
    });
    bot.balance();
    // What it did not hear of was accepted at most.
    let accepted = server.metric("billion_announced_boxes") - f64::from(player.accepted);
    assert!(accepted >= f64::from(bot.accepted), "{accepted} of {bot:?}");
    assert!(accepted <= 400.0 + 100.0 * took + 1.0, "{accepted} of {bot:?} in {took} s");
    assert!(f64::from(bot.connected) <= 200.0 + 20.0 * took + 1.0, "{bot:?} in {took} s");
    assert!(bot.turned_away > 0 && bot.accepted > 100, "{bot:?}");
    assert_eq!(player.refused, 0, "{player:?}");
    let refused = server.metric(
        "billion_limit_decisions_total{rule=\"connects\",key=\"address\",decision=\"refused\"}",
    );
    assert!(refused > 0.0 && refused <= f64::from(bot.turned_away), "{refused} of {bot:?}");
}

#[test]
fn an_address_has_its_number_of_connections_and_why_says_so() {
    let server = limited("[server]\nmax_connections_per_address = 3\n").start();
    let held: Vec<_> =
        (0..3).map(|_| client_from(BOT, server.address, "/ws").expect("let in")).collect();
    assert!(client_from(BOT, server.address, "/ws").is_none());
    let why = get_from(BOT, &server, "/ws/why");
    assert_eq!(why.0, 429, "{why:?}");
    let told: serde_json::Value = serde_json::from_str(&why.1).expect("JSON");
    assert_eq!((&told["reason"], &told["status"]), (&"connections".into(), &429.into()));
    assert!((5..=16).contains(&told["retry_after_s"].as_u64().expect("a number")), "{told}");
    let other: serde_json::Value =
        serde_json::from_str(&get_from(PLAYER, &server, "/ws/why").1).expect("JSON");
    assert_eq!((&other["reason"], &other["status"]), (&"".into(), &200.into()));
    assert_eq!(other["node"], told["node"]);
    drop(held);
    eventually("a place", || client_from(BOT, server.address, "/ws"));
}

/// Status and body of a page's own question.
fn get_from(from: Ipv4Addr, server: &Server, path: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = stream_from(from, server.address).expect("it listens");
    let host = server.address;
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head[9..12].parse().expect("a status"), body.to_owned())
}

const ROUTES: &str = "
[[limits.route]]
path = \"/overview\"
rate = \"60-H\"
burst = 2

[[limits.route]]
path = \"/static/*\"
method = \"GET\"
rate = \"1-D\"
by = \"header\"
header = \"X-Api-Key\"
status = 403
text = \"not so fast\"

[[limits.route]]
path = \"/robots.txt\"
rate = \"1-H\"
by = \"route\"
shadow = true
";

#[test]
fn a_route_has_its_limit_and_answers_tell_what_is_left() {
    let server = limited(ROUTES).start();
    // Every bucket has one token when a node starts, and the next of 58 an hour grows in a minute.
    let first = server.get("/overview");
    assert_eq!(first.status, 200, "{}", first.head);
    let policy = "ratelimit-policy: \"address\";q=1000;w=5, \"* /overview by ip\";q=60;w=3600";
    assert!(first.head.contains(policy), "{}", first.head);
    let second = server.get("/overview");
    assert_eq!(second.status, 429, "{}", second.head);
    let problem: serde_json::Value = serde_json::from_str(&second.body).expect("JSON");
    assert_eq!(problem["violated-policies"][0], "* /overview by ip");
    assert!(second.head.contains("content-type: application/problem+json"), "{}", second.head);
    let wait = second.head.lines().find_map(|line| line.strip_prefix("retry-after: "));
    let wait: u32 = wait.and_then(|told| told.parse().ok()).expect("seconds");
    // 3,600 / 58 = 62.07 s, less the time since the node started.
    assert!((1..=63).contains(&wait), "{}", second.head);
    let policy = "ratelimit-policy: \"* /overview by ip\";q=60;w=3600";
    assert!(second.head.contains(policy), "{}", second.head);
    // Routes are found by what a path spells, and so are rules.
    assert_eq!(server.get("/%6fvervie%77").status, 429);
    // Another path has only the limit of all requests.
    let other = server.get("/favicon.ico");
    assert!(other.head.contains("ratelimit-policy: \"address\";q=1000;w=5"), "{}", other.head);
    assert!(other.head.contains("\nx-ratelimit-limit: 1000"), "{}", other.head);
    // Health is not counted.
    assert!(!server.get("/healthz").head.contains("ratelimit"));
}

#[test]
fn answers_tell_nothing_of_limits_if_so_wished() {
    let server = limited(&format!("[limits]\nheaders = false\n{ROUTES}")).start();
    for (path, status) in [("/overview", 200), ("/overview", 429), ("/favicon.ico", 200)] {
        let told = server.get(path);
        assert_eq!(told.status, status, "{}", told.head);
        assert_eq!(told.head.contains("retry-after: "), status == 429, "{}", told.head);
        assert!(!told.head.contains("ratelimit"), "{}", told.head);
    }
}

#[test]
fn a_rule_may_count_by_a_header_and_may_be_only_tried() {
    let server = limited(ROUTES).start();
    let asked = |method: &str, key: &str| {
        request(server.address, method, "/static/main.js", &[("X-Api-Key", key)])
    };
    assert_eq!([asked("GET", "one").status, asked("GET", "two").status], [200, 200]);
    let refused = asked("GET", "one");
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("not so fast"), "{}", refused.body);
    assert_eq!(asked("HEAD", "one").status, 403, "the same without its body");
    assert_eq!(asked("OPTIONS", "one").status, 204, "another method");
    for _ in 0..3 {
        assert_eq!(server.get("/robots.txt").status, 200);
    }
    let shadow = server.metric(
        "billion_limit_decisions_total{rule=\"* /robots.txt by route\",key=\"route\",decision=\"shadow\"}",
    );
    assert_eq!(shadow, 2.0);
}

#[test]
fn lists_come_before_limits_and_change_while_the_server_runs() {
    let setup = limited("[limits]\naddress_requests = \"1-H\"\n");
    let setup = setup.without_terminal().with_heeded("HUP");
    let server = setup.start();
    for address in [BOT, PLAYER] {
        let asked = [0, 1].map(|_| get_from(address, &server, "/robots.txt").0);
        assert_eq!(asked, [200, 429], "one at least, however short the time since the start");
    }
    let reads = |text: &str| {
        fs::write(setup.folder().join("settings.toml"), text).expect("a writable file");
        let before = server.log().len();
        server.signal("-HUP");
        eventually("it has read them", || {
            let log = server.log().split_off(before);
            log.contains("changed").then_some(())
        });
    };
    reads("[limits]\naddress_requests = \"1-H\"\nallow = [\"127.0.3.1\"]\n");
    assert_eq!(get_from(BOT, &server, "/robots.txt").0, 200);
    assert_eq!(get_from(PLAYER, &server, "/robots.txt").0, 429);
    reads("[limits]\nblock = [\"127.0.3.0/24\"]\n");
    assert_eq!(get_from(BOT, &server, "/robots.txt").0, 403);
    assert!(client_from(BOT, server.address, "/ws").is_none());
    let elsewhere = Ipv4Addr::new(127, 0, 4, 1);
    assert!(client_from(elsewhere, server.address, "/ws").is_some());
}

/// Whoever upgrades behind an nginx that nobody has told us of must not find all players locked out.
#[test]
fn a_proxy_that_nobody_has_named_is_not_limited_and_warned_of_once() {
    let mut server = limited("[limits]\naddress_requests = \"1-H\"\n").start();
    assert_eq!([0, 1].map(|_| server.get("/robots.txt").status), [200, 429]);
    for _ in 0..5 {
        let through = [("X-Forwarded-For", "203.0.113.7")];
        assert_eq!(request(server.address, "GET", "/robots.txt", &through).status, 200);
    }
    server.signal("-TERM");
    server.wait();
    let log = server.log();
    assert_eq!(log.matches("is not in server.trusted_proxies").count(), 1, "{log}");
}

/// Without a payload.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];

/// Or neighbours who send much could slow those who do not.
#[test]
fn who_does_no_more_than_people_do_is_not_counted_for_its_address() {
    let server = Setup::new(BOXES, 1).without("LIMITS__ADDRESS").start();
    let counted = |rule: &str| {
        let of = |decision: &str| {
            server.metric(&format!(
                "billion_limit_decisions_total{{rule=\"{rule}\",key=\"address\",decision=\"{decision}\"}}"
            ))
        };
        of("allowed") + of("near") + of("refused")
    };
    let mut quiet = client_from(PLAYER, server.address, "/ws?v=2").expect("let in");
    for _ in 0..5 {
        quiet.send_raw(&PING);
        assert_eq!(check(&mut quiet, 1).accepted, 1);
    }
    assert_eq!((counted("control_frames"), counted("bytes_in")), (0.0, 0.0));
    // Twenty Pings at once are more than a tenth of what a connection may send: five.
    let mut loud = client_from(BOT, server.address, "/ws?v=2").expect("let in");
    loud.send_raw(&PING.repeat(20));
    eventually("most of them", || (counted("control_frames") > 10.0).then_some(()));
}

#[test]
fn an_operator_asks_why() {
    let setup = limited(
        "[server]\nmax_connections_per_address = 5\n[limits]\nblock = [\"203.0.113.0/24\"]\n",
    );
    let server = setup.start();
    let _held = client_from(BOT, server.address, "/ws").expect("let in");
    let from = format!("http://{}", server.admin);
    let ran = setup.run(&["limits", "why", "127.0.3.1", "--from", &from]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    for told in [
        "127.0.3.1 is counted as 127.0.3.1: like everybody",
        "connections here: 1 (of 5)",
        "address checks",
        "address connects",
    ] {
        assert!(ran.printed().contains(told), "{told}: {}", ran.printed());
    }
    let ran = setup.run(&["limits", "why", "203.0.113.9", "--from", &from, "--json"]);
    let told: serde_json::Value = serde_json::from_str(ran.printed()).expect("JSON");
    assert_eq!(told["standing"], "blocked");
    assert_eq!(setup.run(&["limits", "why", "nonsense"]).code, Some(2));
    let answer = request(server.admin, "GET", "/limits/why?address=nobody", &[]);
    assert_eq!(answer.status, 400);
}

/// Reloads come while an address asks for more than it may have: buckets go on as they were.
#[test]
fn reloads_give_nothing_away() {
    const RELOADS: u32 = 1000;
    let text = |burst: u32| format!("[limits]\naddress_checks = \"50-S burst {burst}\"\n");
    let setup = limited(&text(100)).without_terminal().with_heeded("HUP");
    let server = setup.start();
    let (stop, began) = (AtomicBool::new(false), Instant::now());
    let flood = || {
        let mut client = client_from(BOT, server.address, "/ws?v=2").expect("let in");
        let mut books = Books::default();
        while !stop.load(Relaxed) {
            books += check(&mut client, 10);
        }
        books
    };
    let (books, took) = thread::scope(|scope| {
        let floods: Vec<_> = (0..3).map(|_| scope.spawn(flood)).collect();
        for reload in 0..RELOADS {
            // In one step: half a file would be read as what it is.
            let (file, new) = (setup.folder().join("settings.toml"), setup.folder().join("new"));
            let written = fs::write(&new, text(99 + reload % 2));
            written.and_then(|()| fs::rename(&new, &file)).expect("a writable file");
            let seen = server.log().matches("SIGHUP: reading").count();
            server.signal("-HUP");
            eventually("the reload", || {
                (server.log().matches("SIGHUP: reading").count() > seen).then_some(())
            });
        }
        stop.store(true, Relaxed);
        let mut books = Books::default();
        floods.into_iter().for_each(|flood| books += flood.join().expect("it ends"));
        (books, began.elapsed().as_secs_f64())
    });
    books.balance();
    assert!(f64::from(books.accepted) <= 100.0 + 50.0 * took + 1.0, "{books:?} in {took} s");
    assert!(f64::from(books.accepted) >= 0.8 * 50.0 * (took - 5.0), "{books:?} in {took} s");
}

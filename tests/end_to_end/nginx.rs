//! TLS: a real nginx with `docker/nginx-tls.conf` in front of the server, as operators are told to
//! do it.

use std::time::Duration;

use tokio_tungstenite::tungstenite::{
    Error, Message, WebSocket, client::client, handshake::HandshakeError, http::Request,
};

use crate::harness::{
    browser::{Browser, Screen},
    client::{KEY, Told},
    eventually,
    nginx::{Nginx, TlsStream},
    server::{Server, Setup, request},
};

const BOXES: u32 = 250_000;

/// A WebSocket through nginx, as from a page of `origin`; or the status it was refused with.
fn play(nginx: &Nginx, origin: &str) -> Result<WebSocket<TlsStream>, u16> {
    let host = format!("localhost:{}", nginx.address.port());
    let request = Request::builder()
        .uri(format!("wss://{host}/ws"))
        .header("Host", host)
        .header("Origin", origin)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", KEY)
        .body(())
        .expect("a legal request");
    match client(request, nginx.connect(&["http/1.1"])) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
        Err(error) => panic!("neither upgraded nor refused: {error}"),
    }
}

fn next(socket: &mut WebSocket<TlsStream>) -> Vec<u8> {
    loop {
        match socket.read().expect("a message comes in time") {
            Message::Binary(bytes) => return bytes.to_vec(),
            Message::Ping(_) => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn a_check_travels_through_tls_both_ways() {
    let server = Setup::new(BOXES, 2).start();
    let nginx = Nginx::start(&server);
    let mut player = play(&nginx, &nginx.origin()).expect("the own page may connect");
    assert_eq!(next(&mut player), words(&[0]));
    player.send(Message::binary(words(&[200_001]))).expect("it takes a check");
    assert_eq!(next(&mut player), words(&[1, 200_001]));
    // The largest answer there is: it passes nginx's 4 KB buffers in pieces.
    player.send(Message::binary(words(&[150_001, 250_000]))).expect("it takes a range");
    let answer = next(&mut player);
    assert_eq!((answer.len(), &answer[..4]), (12_504, &words(&[150_001])[..]));
    assert_eq!(answer[4..].iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);

    let mut direct = server.client();
    direct.check(7);
    assert_eq!(direct.next(), Told::Update { total: 2, id: 7 });
    assert_eq!(next(&mut player), words(&[2, 7]));
}

#[test]
fn only_pages_of_the_allowed_origins_may_connect_through_tls() {
    let server = Setup::new(BOXES, 2).start();
    let nginx = Nginx::start(&server);
    let port = nginx.address.port();
    for origin in ["https://evil.example".to_owned(), format!("https://localhost:{}", port ^ 1)] {
        assert_eq!(play(&nginx, &origin).err(), Some(403), "{origin}");
    }
    drop((nginx, server));

    let listed = "https://play.example.org";
    let server = Setup::new(BOXES, 2).with("SERVER__ALLOWED_ORIGINS", listed).start();
    let nginx = Nginx::start(&server);
    assert!(play(&nginx, listed).is_ok());
    assert_eq!(play(&nginx, &nginx.origin()).err(), Some(403), "only what is listed");
}

#[test]
fn the_close_of_a_stopping_server_reaches_the_player_through_tls() {
    let mut server = Setup::new(BOXES, 2).start();
    let nginx = Nginx::start(&server);
    let mut player = play(&nginx, &nginx.origin()).expect("connected");
    next(&mut player);
    server.signal("-TERM");
    let Message::Close(Some(frame)) = player.read().expect("a Close comes") else {
        panic!("not a Close")
    };
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1001, "server going away"));
    // The answer to the Close is written by reading on.
    let _ = player.read();
    drop(player);
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    let (head, _) = nginx.get("/", &[]);
    assert!(head.starts_with("http/1.1 503"), "{head}");
    assert_eq!(fields(&head, "retry-after"), ["5"]);
}

#[test]
fn what_is_compressed_is_compressed_once() {
    let server = Setup::new(BOXES, 2).start();
    let nginx = Nginx::start(&server);
    for path in paths_of_the_page(&server) {
        for coding in ["br", "gzip"] {
            let (head, through) = nginx.get(&path, &[("Accept-Encoding", coding)]);
            let straight =
                request(server.address, "GET", &path, &[("Accept-Encoding", coding)]).head;
            assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
            assert_eq!(fields(&head, "content-encoding"), [coding], "{path}");
            for name in ["content-encoding", "cache-control", "content-type", "vary"] {
                assert_eq!(fields(&head, name), fields(&straight, name), "{path}: {name}");
            }
            // gzip announces itself; what is underneath must not be gzip again.
            assert_eq!(through.starts_with(&[0x1f, 0x8b]), coding == "gzip", "{path}: {coding}");
        }
        let (head, _) = nginx.get(&path, &[]);
        assert_eq!(fields(&head, "content-encoding"), [""; 0], "{path}");
    }
}

/// The page and one of its scripts, wherever that is served.
fn paths_of_the_page(server: &Server) -> [String; 2] {
    let page = server.get("/").body;
    let (_, script) = page.split_once("src=\"").expect("the page has a script");
    let (script, _) = script.split_once('"').expect("the attribute ends");
    ["/".to_owned(), format!("/{}", script.trim_start_matches('/'))]
}

/// The values of every header `name` in a lower-case head.
fn fields<'head>(head: &'head str, name: &str) -> Vec<&'head str> {
    let value = |line: &'head str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    head.lines().filter_map(value).collect()
}

#[test]
fn http_leads_to_https_and_operators_pages_stay_inside() {
    let server = Setup::new(BOXES, 2).start();
    let nginx = Nginx::start(&server);
    let plain = request(nginx.plain, "GET", "/x?y", &[("Host", "localhost")]);
    assert_eq!(plain.status, 301, "{plain:?}");
    assert_eq!(fields(&plain.head, "location"), ["https://localhost/x?y"]);
    for path in ["/readyz", "/metrics"] {
        assert!(nginx.get(path, &[]).0.starts_with("http/1.1 404"), "{path}");
    }
    assert!(nginx.get("/healthz", &[]).0.starts_with("http/1.1 200"));
}

#[test]
fn a_browser_plays_through_tls_and_http2() {
    let server = Setup::new(BOXES, 2).start();
    let nginx = Nginx::start(&server);
    let alpn = nginx.connect(&["h2", "http/1.1"]);
    assert_eq!(alpn.conn.alpn_protocol(), Some(&b"h2"[..]));

    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), &format!("{}/", nginx.origin()));
    window.until_live();
    window.until_state(12, "unchecked");
    let protocol = "return performance.getEntriesByType(arguments[0])[0].nextHopProtocol";
    for kind in ["navigation", "resource"] {
        assert_eq!(window.evaluate(protocol, kind), "h2", "{kind}");
    }
    let mut direct = server.client();
    window.click(12);
    assert_eq!(direct.next_within(Duration::from_secs(5)), Some(Told::Update { total: 1, id: 12 }));
    direct.check(13);
    window.until_state(13, "checked");
    eventually("the total", || (window.total() == Some(2)).then_some(()));
    window.assert_no_complaints();
}

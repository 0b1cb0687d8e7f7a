//! Whatever breaks between page and server, or is the server: afterwards the page is right again,
//! bit for bit.

use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, distr::Uniform, rngs::StdRng};

use crate::harness::{
    browser::{Browser, Screen, Window},
    crowd::Crowd,
    eventually,
    proxy::{Line, Proxy},
    seed,
    server::{Server, Setup},
};

/// Three tiles side by side, the last one half as long.
const BOXES: u32 = 250_000;
const TILES: [u32; 3] = [0, 1, 2];
/// Where the first tile ends and the second begins.
const EDGE: u32 = 100_000;

/// Boxes in no order, the same for the same seed.
fn scattered(seed: u64, count: usize) -> impl Iterator<Item = u32> + Send {
    let boxes = Uniform::new_inclusive(1, BOXES).expect("a board has boxes");
    StdRng::seed_from_u64(seed).sample_iter(boxes).take(count)
}

/// Others check some thousand boxes, whether the page can hear of it or not.
fn others_check(server: &Server, seed: u64) {
    let before = server.client().greeted;
    let crowd = Crowd::start(server.address, 100_000, scattered(seed, 6_000));
    eventually("the crowd to finish", || crowd.has_finished().then_some(()));
    eventually("its checks to be counted", || {
        (server.client().greeted > before + 3_000).then_some(())
    });
    // All of them are known by now or answered before what comes next.
    let settled = || {
        let total = server.client().greeted;
        std::thread::sleep(Duration::from_millis(100));
        server.client().greeted == total
    };
    eventually("it to settle", || settled().then_some(()));
}

fn until_live_again(window: &Window) {
    eventually("the page to come back", || (window.connection() == "live").then_some(()));
}

fn until_right(window: &Window, server: &Server) {
    window.until_same_as(server, &TILES, BOXES);
    window.until_total(server.client().greeted);
    for tile in TILES {
        let last = (tile * EDGE + EDGE).min(BOXES);
        let truth = server.client().range(tile * EDGE + 1, last, &mut vec![]).len() as u32;
        eventually("the overview to be right", || {
            (window.census(tile) == Some(truth)).then_some(())
        });
    }
}

#[test]
fn after_every_cut_and_restart_the_page_is_as_the_server_has_it() {
    let seed = seed("after_every_cut_and_restart");
    let setup = Setup::new(BOXES, 2);
    let mut server = setup.start();
    let proxy = Proxy::start(server.address, Line::default());
    let browser = Browser::start();
    let window = browser.open_at(Screen::default(), proxy.address, &format!("/#b={EDGE}"));
    window.until_live();
    window.until_state(EDGE, "unchecked");
    // All three tiles were on the screen once, and now two of them are.
    window.evaluate("billion.zoomTo(0)", ());
    until_right(&window, &server);
    to_the_edge(&window);

    // A cut: the sockets are gone.
    proxy.cut();
    eventually("the cut", || (window.connection() == "offline").then_some(()));
    others_check(&server, seed);
    proxy.mend();
    until_live_again(&window);
    look_at_everything(&window, &server);

    // Silence that ends before anybody gives up: what was said meanwhile still arrives.
    proxy.go_silent();
    others_check(&server, seed + 1);
    proxy.mend();
    look_at_everything(&window, &server);

    // A server that says goodbye, and one that does not.
    for signal in ["-TERM", "-KILL"] {
        server.signal(signal);
        server.wait();
        eventually("the end", || (window.connection() == "offline").then_some(()));
        server = setup.start();
        others_check(&server, seed + 2 + u64::from(signal == "-KILL"));
        proxy.lead_to(server.address);
        until_live_again(&window);
        look_at_everything(&window, &server);
    }
}

/// Close by first, where nothing was asked for, and then all of it.
fn look_at_everything(window: &Window, server: &Server) {
    window.until_same_as(server, &TILES[..2], BOXES);
    assert_eq!(window.level(), "close");
    window.evaluate("billion.zoomTo(0)", ());
    window.until_landed();
    until_right(window, server);
    to_the_edge(window);
}

/// Where two tiles are on the screen.
fn to_the_edge(window: &Window) {
    window.jump(&EDGE.to_string());
    eventually("the edge", || (window.place() == Some(EDGE)).then_some(()));
    window.until_landed();
}

#[test]
#[ignore = "long: the page waits 15 s for a sign of life, and that is what is tested"]
fn a_line_that_stays_silent_is_given_up() {
    let server = Setup::new(BOXES, 2).start();
    let proxy = Proxy::start(server.address, Line::default());
    let browser = Browser::start();
    let window = browser.open_at(Screen::default(), proxy.address, "/");
    window.until_live();
    window.until("billion.players === 1");
    proxy.go_silent();
    let silent = Instant::now();
    while window.connection() == "live" {
        assert!(silent.elapsed() < Duration::from_secs(30), "the page believes in a dead line");
        std::thread::sleep(Duration::from_millis(100));
    }
    others_check(&server, 1);
    proxy.mend();
    until_live_again(&window);
    window.until_same_as(&server, &TILES[..1], BOXES);
}

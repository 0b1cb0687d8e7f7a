//! What the page may cost: time until the first boxes, bytes, script per frame, and nobody left out.

use std::time::{Duration, Instant};

use crate::harness::{
    browser::{Browser, Screen},
    crowd::Crowd,
    eventually,
    proxy::{Line, Proxy},
    server::Setup,
};

const BILLION: u32 = 1_000_000_000;

#[test]
fn the_first_boxes_come_soon_over_a_slow_line_and_take_few_bytes() {
    let server = Setup::new(BILLION, 50).start();
    let proxy = Proxy::start(server.address, Line::SLOW);
    let browser = Browser::start();
    let window = browser.open_at(Screen::default(), proxy.address, "/#b=500000000");
    // By the page's own clock, which starts with the navigation: starting Chromium does not count.
    let loaded = eventually("the first boxes", || {
        let ms = window.evaluate("return performance.now()", ()).as_f64();
        (window.state(500_000_000) == "unchecked").then_some(ms).flatten()
    });
    let bytes = proxy.bytes_down();
    println!("first boxes after {loaded:.0} ms, {bytes} bytes so far");
    assert!(loaded <= 2500., "first boxes after {loaded:.0} ms");
    window.until_still();
    assert!(proxy.bytes_down() < 100_000, "{bytes} bytes");
    window.assert_no_request_elsewhere();
    window.assert_no_complaints();
}

#[test]
fn nobody_is_left_out() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    for (phone, dark) in [(false, false), (false, true), (true, false), (true, true)] {
        let window = browser.open_on(Screen { phone, dark }, &server, "/#b=45000");
        window.until_live();
        window.until_state(45_000, "unchecked");
        window.until_still();
        let t = Instant::now();
        window.assert_accessible("near");
        println!("axe took {:?}", t.elapsed());
    }
}

#[test]
fn a_busy_board_leaves_time_to_draw() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, "/#b=45000");
    window.until_live();
    window.until_state(45_000, "unchecked");
    let crowd = Crowd::start(server.address, 10_000, 1..=100_000);
    eventually("a crowd", || (window.total()? > 5_000).then_some(()));
    let before = (Instant::now(), window.total().expect("a total"));
    let frames = window.measure_frames(|| std::thread::sleep(Duration::from_secs(3)));
    let rate =
        f64::from(window.total().expect("a total") - before.1) / before.0.elapsed().as_secs_f64();
    println!("{rate} a second of {}: {frames}", crowd.sent());
    drop(crowd);
}

#[test]
fn fingers() {
    use crate::harness::browser::Stroke;
    let server = Setup::new(250_000, 2).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen { phone: true, dark: false }, &server, "/#b=45000");
    window.until_live();
    window.until_state(45_000, "unchecked");
    window.tap_on("input.box[data-id='45000']");
    window.until_state(45_000, "checked");
    window.swipe(Stroke { from: (200., 400.), to: (100., 400.) });
    println!("{:?}", window.place());
    window.pinch((200., 400.), 50., 150.);
    println!("{:?}", window.place());
    println!("{}", window.evaluate("return visualViewport.scale", ()));
}

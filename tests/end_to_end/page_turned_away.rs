//! A page that the server turns away says why, comes back when it was told to, and gets in once it may.

use std::ops::RangeInclusive;

use serde_json::json;

use crate::harness::{
    BILLION,
    browser::{Browser, Screen, Window},
    eventually,
    server::Setup,
};

/// What `Retry-After` of a full node says, and up to a second more by chance.
const FULL_S: RangeInclusive<f64> = 5.0..=16.0;

/// Waits until the page says that it was turned away, and that it will be back in so many seconds.
fn until_turned_away(window: &Window, words: &str, seconds: &RangeInclusive<f64>) {
    eventually(words, || {
        let told = window.text_of("#turned-away");
        // Less once it has counted down: then it is looked at again after the next attempt.
        let left =
            window.number("Number(document.getElementById('connection-seconds').textContent)");
        (told == words && window.connection() == "offline" && seconds.contains(&left)).then_some(())
    });
    assert_eq!(window.text_of("#connection-state"), "waiting");
}

/// Where the parts of the page are that must not move.
fn places(window: &Window) -> serde_json::Value {
    let script = "return ['#board', '.top', '.dock', '.tally', '#connection'].map((selector) => {
        const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
        return [selector, top, bottom];
    })";
    window.evaluate(script, ())
}

/// The page of a server that has one place, which somebody else has and then leaves.
fn the_place_of_another(setup: &Setup, words: &str) {
    let browser = Browser::start();
    for (phone, dark) in [(false, false), (false, true), (true, false), (true, true)] {
        let server = setup.start();
        let player = server.client();
        let window = browser.open_on(Screen { phone, dark }, &server, "/#b=60200");
        until_turned_away(&window, words, &FULL_S);
        let when = format!("turned away, phone: {phone}, dark: {dark}");
        let overflow = "const { scrollWidth, scrollHeight } = document.documentElement;
                        return [scrollWidth - innerWidth, scrollHeight - innerHeight]";
        assert_eq!(window.evaluate(overflow, ()), json!([0, 0]), "{when}: nothing sticks out");
        let lines = "getComputedStyle(document.querySelector('.rule')).visibility === 'hidden'";
        window.until(lines);
        window.until_still();
        window.assert_accessible(&when);
        let before = places(&window);

        drop(player);
        window.until_live();
        assert_eq!(window.text_of("#turned-away"), "");
        assert_eq!(window.text_of("#connection-state"), "live");
        window.until_still();
        assert_eq!(places(&window), before, "{when}: nothing moves when the page is let in");
    }
}

#[test]
fn a_page_that_finds_the_board_full_says_so_and_gets_in_when_somebody_leaves() {
    let setup = Setup::new(BILLION, 50).with("SERVER__MAX_CONNECTIONS", 1);
    the_place_of_another(&setup, "The board is full at the moment.");
}

#[test]
fn a_page_whose_address_has_its_share_says_so_and_gets_in_when_somebody_leaves() {
    let setup = Setup::new(BILLION, 50)
        .without("LIMITS__ADDRESS")
        // All files of the page within a second of the start are more than the rate.
        .with("LIMITS__ADDRESS_REQUESTS", "off")
        .with("SERVER__MAX_CONNECTIONS_PER_ADDRESS", 1);
    the_place_of_another(&setup, "Too many connections from your network.");
}

#[test]
fn only_who_looks_at_the_page_can_shorten_the_wait() {
    // One in an hour, and somebody has had it.
    let setup = Setup::new(BILLION, 50).with("LIMITS__NODE_CONNECTS", "1-H burst 1");
    let server = setup.start();
    let _player = server.client();
    let browser = Browser::start();
    let window = browser.open(&server);
    until_turned_away(&window, "Too many new connections just now.", &(3_000.0..=3_601.0));
    let refused = || server.metric("billion_refusals_total{reason=\"rate\"} ");
    let before = refused();
    let happening = "window.dispatchEvent(new Event('online'));
                     document.dispatchEvent(new Event('visibilitychange'));
                     return document.body.dataset.connection";
    assert_eq!(window.evaluate(happening, ()), "offline", "nothing else makes it dial");
    assert_eq!(refused(), before);
    let click = "document.getElementById('retry').click();
                 return document.body.dataset.connection";
    assert_eq!(window.evaluate(click, ()), "connecting");
    eventually("the next refusal", || (refused() > before).then_some(()));
    until_turned_away(&window, "Too many new connections just now.", &(3_000.0..=3_601.0));
}

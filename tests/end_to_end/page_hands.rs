//! Keys alone are enough, and so are fingers alone: to open the page, find a box, check it, see the
//! whole board, fly elsewhere, check there and come back.

use fantoccini::key::Key;

use crate::harness::{
    BILLION, TILE,
    browser::{Browser, Screen, Window},
    client::Told,
    eventually,
    server::Setup,
};

const THERE: u32 = 123_456_789;

/// Presses Tab until the element with that id has the focus.
fn tab_to(window: &Window, id: &str) {
    for _ in 0..40 {
        if window.focused() == id {
            return;
        }
        window.press(Key::Tab);
    }
    panic!("Tab never comes to {id}");
}

#[test]
fn keys_alone_suffice_for_a_round_trip() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.until_landed();
    let mut client = server.client();

    tab_to(&window, "jump");
    for key in THERE.to_string().chars() {
        window.press(key);
    }
    window.press(Key::Enter);
    eventually("the box", || (window.state(THERE) == "unchecked").then_some(()));
    window.until_landed();
    let focused = "return Number(document.activeElement.dataset.id ?? 0)";
    eventually("the focus", || (window.evaluate(focused, ()) == THERE).then_some(()));
    window.press(' ');
    assert_eq!(client.next(), Told::Update { total: 1, id: THERE });
    window.until_state(THERE, "checked");

    // Out to the whole board, then by the small map to its other end.
    window.press(Key::Escape);
    window.until_landed();
    assert_eq!(window.level(), "boxes");
    window.press(Key::Escape);
    window.until_landed();
    assert_eq!(window.level(), "board");
    tab_to(&window, "overview");
    window.press(Key::End);
    window.press(Key::Enter);
    eventually("the flight", || (window.level() != "board").then_some(()));
    window.until_landed();
    assert!(window.place().expect("a place") > BILLION - TILE, "{:?}", window.place());
    // On from the map to the board itself, and down to its boxes.
    tab_to(&window, "board");
    window.press(Key::Enter);
    eventually("the boxes", || (window.level() == "close").then_some(()));
    window.until_landed();
    let there = window.place().expect("a place");
    window.until_state(there, "unchecked");
    window.press(Key::Right);
    window.press(' ');
    let id = there + 1;
    assert_eq!(client.next(), Told::Update { total: 2, id });
    window.until_state(id, "checked");

    // Back to the first one of one's own.
    window.press('p');
    eventually("the newest", || (window.place() == Some(id)).then_some(()));
    window.until_landed();
    window.press('p');
    eventually("the first", || (window.place() == Some(THERE)).then_some(()));
    window.until_landed();
    window.until_state(THERE, "checked");
    window.assert_no_complaints();
}

#[test]
fn fingers_alone_suffice_for_a_round_trip() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen { phone: true, dark: true }, &server, "/");
    window.until_live();
    window.until_landed();
    let mut client = server.client();

    // The keyboard of a phone is a finger's as well.
    window.tap_on("#jump");
    assert_eq!(window.focused(), "jump");
    for key in THERE.to_string().chars() {
        window.press(key);
    }
    window.tap_on("#jump-form [type=submit]");
    eventually("the box", || (window.state(THERE) == "unchecked").then_some(()));
    window.until_landed();
    window.tap_on(&format!("[data-id='{THERE}']"));
    assert_eq!(client.next(), Told::Update { total: 1, id: THERE });
    window.until_state(THERE, "checked");

    // Out, and in again somewhere else.
    let middle = window.middle_of("#board");
    for _ in 0..20 {
        if window.level() == "board" {
            break;
        }
        window.pinch(middle, 300., 60.);
        window.until_landed();
    }
    assert_eq!(window.level(), "board");
    window.tap_on("#zoom [data-zoom=all]");
    window.until_landed();
    window.tap((middle.0 + 60., middle.1 + 40.));
    eventually("a flight", || (window.level() != "board").then_some(()));
    window.until_landed();
    window.tap(middle);
    eventually("the boxes", || (window.level() == "close").then_some(()));
    window.until_landed();
    let there = window.place().expect("a place");
    assert_ne!(there, THERE);
    window.until_state(there, "unchecked");
    window.tap_on(&format!("[data-id='{there}']"));
    assert_eq!(client.next(), Told::Update { total: 2, id: there });
    window.until_state(there, "checked");

    window.tap_on("#mine-older");
    eventually("the newest", || (window.place() == Some(there)).then_some(()));
    window.until_landed();
    window.tap_on("#mine-older");
    eventually("the first", || (window.place() == Some(THERE)).then_some(()));
    window.until_landed();
    window.until_state(THERE, "checked");
    window.assert_no_complaints();
}

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
    let (server, total) = Setup::new(BILLION, 50).start_living(BILLION);
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
    assert_eq!(client.next(), Told::Update { total: total + 1, id: THERE });
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
    assert_eq!(client.next(), Told::Update { total: total + 2, id });
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
    let (server, total) = Setup::new(BILLION, 50).start_living(BILLION);
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
    assert_eq!(client.next(), Told::Update { total: total + 1, id: THERE });
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
    assert_eq!(client.next(), Told::Update { total: total + 2, id: there });
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

#[test]
fn a_slow_pinch_reaches_its_zoom_on_every_phone() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen::PHONE, &server, "/");
    window.until_live();
    let mut metrics = window.metrics(true);
    for (width, height) in [(390, 844), (360, 740), (412, 915), (430, 932), (320, 568)] {
        metrics.set(width, height, 2.);
        window.until(&format!("innerWidth === {width} && innerHeight === {height}"));
        for id in [1, 999_999, 250_000_000] {
            window.evaluate("billion.jump(arguments[0])", id);
            window.until_landed();
            window.evaluate("billion.zoomTo(36)", ());
            window.until_landed();
            assert_eq!(window.zoom(), 36.);
            let spread = f64::from(width).min(310.) - 10.;
            window.pinch_in_steps(window.middle_of("#board"), spread, 60., 60);
            window.until_landed();
            let (zoom, wanted) = (window.zoom(), 36. * 60. / spread);
            assert!(
                (zoom / wanted - 1.).abs() < 0.05,
                "{width} x {height}, box {id}: {zoom} instead of {wanted}"
            );
        }
    }
    window.assert_no_complaints();
}

/// Where a box is on the screen, from the left and the top.
fn corner_of(window: &Window, id: u32) -> serde_json::Value {
    let script = "
        const box = document.querySelector(`#board [data-id='${arguments[0]}']`).getBoundingClientRect();
        return [box.x, box.y]";
    window.evaluate(script, id)
}

const ROW_999: u32 = 300 * TILE + 248 * 400 + 200;
const ROW_1_001: u32 = 400 * TILE + 200;

#[test]
fn nothing_moves_under_a_finger_that_taps_from_box_to_box() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    // The words for where one is grow with the thousandth row.
    let window = browser.open_on(Screen::PHONE, &server, &format!("/#b={}", ROW_999));
    window.until_live();
    window.until_landed();
    window.until_state(ROW_999, "unchecked");
    // One that is not tapped itself, and so does not pop.
    let mark = ROW_999 - 2;
    let before = corner_of(&window, mark);
    for id in [ROW_999, ROW_999 + 400, ROW_1_001, ROW_999 + 1] {
        window.tap_on(&format!("[data-id='{id}']"));
        window.until_state(id, "checked");
        assert_eq!(corner_of(&window, mark), before, "after a tap on {id}");
    }
    // Whatever is below the board: it may grow by a line of words, and by a keyboard.
    for padding in ["19px", "300px", "0"] {
        window.evaluate(
            "document.querySelector('.dock').style.paddingBottom = arguments[0]",
            padding,
        );
        let fits = "(() => { const [canvas, board] = [document.querySelector('.painted'), document.getElementById('board')];
            return Math.abs(canvas.height / devicePixelRatio - board.clientHeight) < 1 })()";
        window.until(fits);
        window.until_landed();
        if padding != "300px" {
            assert_eq!(corner_of(&window, mark), before, "with {padding} below");
        }
    }
    window.assert_no_complaints();
}

#[test]
fn a_pinch_on_the_touchpad_of_a_mac_zooms_the_map_and_not_the_page() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.evaluate("billion.zoomTo(3)", ());
    window.until_landed();
    // Chromium has no such events; these have what Safari's have.
    let pinch = "
        const board = document.getElementById('board');
        const { x, y } = board.getBoundingClientRect();
        return [['gesturestart', 1], ['gesturechange', 1.5], ['gesturechange', 2], ['gestureend', 2]].map(([name, scale]) => {
            const event = new Event(name, { bubbles: true, cancelable: true });
            Object.assign(event, { scale, clientX: x + 100, clientY: y + 100 });
            board.dispatchEvent(event);
            return event.defaultPrevented;
        })";
    assert_eq!(window.evaluate(pinch, ()), serde_json::json!([true, true, true, true]));
    assert_eq!(window.zoom(), 6.);
    window.assert_no_complaints();
}

#[test]
fn a_page_down_takes_the_focus_along() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, &format!("/#b={THERE}"));
    window.until_live();
    window.until_landed();
    window.evaluate("document.querySelector(`[data-id='${arguments[0]}']`).focus()", THERE);
    let focused = "return Number(document.activeElement.dataset.id ?? 0)";
    let mut before = u64::from(THERE);
    for _ in 0..3 {
        window.press(Key::PageDown);
        before = eventually("the focus a page below", || {
            let there = window.evaluate(focused, ()).as_u64()?;
            (there > before && window.place().map(u64::from) == Some(there)).then_some(there)
        });
    }
    window.assert_no_complaints();
}

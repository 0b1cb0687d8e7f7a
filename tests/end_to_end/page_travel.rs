//! The map is one: from the whole board to single boxes and back, by every hand, and by links.

use fantoccini::key::Key;

use crate::harness::{
    BILLION, TILE,
    browser::{Browser, Screen, Stroke, Window},
    client::Told,
    eventually,
    server::{Server, Setup},
};

/// A box somewhere in the middle, with its tile.
const THERE: u32 = 456_712_345;
/// The middle of the board on a desktop of 1280 x 800.
const MIDDLE: (f64, f64) = (460., 400.);

fn open<'a>(browser: &'a Browser, server: &Server, screen: Screen) -> Window<'a> {
    let window = browser.open_on(screen, server, &format!("/#b={THERE}"));
    window.until_live();
    window.until_landed();
    window
}

/// Zooms step by step until the map is drawn like that; the levels on the way.
fn until_level(window: &Window, level: &str, step: impl Fn()) -> Vec<String> {
    let mut passed = vec![window.level()];
    for _ in 0..40 {
        if window.level() == level {
            window.until_landed();
            return passed;
        }
        step();
        window.until_landed();
        let now = window.level();
        if passed.last() != Some(&now) {
            passed.push(now);
        }
    }
    panic!("never at {level}, only {passed:?}");
}

#[test]
fn wheel_keys_and_buttons_zoom_through_all_levels_and_keep_the_place() {
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = open(&browser, &server, Screen::default());
    let (out, back) = (["close", "boxes", "board"], ["board", "boxes", "close"]);

    let key = |key: char| {
        let window = &window;
        move || window.press(key)
    };
    assert_eq!(until_level(&window, "board", key('-')), out);
    window.press('0');
    window.until_landed();
    assert!(window.zoom() < 0.03, "the whole board fits: {}", window.zoom());
    assert!(
        window.text_of("#where").starts_with("The whole board"),
        "{}",
        window.text_of("#where")
    );
    assert_eq!(until_level(&window, "close", key('+')), back);

    window.jump(&THERE.to_string());
    window.until_landed();
    let button = |name: &'static str| {
        let window = &window;
        move || window.click_on(&format!("#zoom [data-zoom={name}]"))
    };
    assert_eq!(until_level(&window, "board", button("out")), out);
    assert_eq!(until_level(&window, "close", button("in")), back);
    // As far as one could see: on the way out the middle of the board took over.
    let drift = window.place().expect("a place").abs_diff(THERE);
    assert!(drift < 40 * 250 * TILE, "{drift} boxes off");
    button("all")();
    window.until_landed();
    assert!(window.zoom() < 0.03);

    // What lies under the pointer stays there.
    window.jump(&THERE.to_string());
    window.until_landed();
    let wheel = |amount: i64| {
        let window = &window;
        move || window.turn_wheel(MIDDLE, (0, amount), 2, true)
    };
    assert_eq!(until_level(&window, "boxes", wheel(100)), ["close", "boxes"]);
    assert_eq!(until_level(&window, "close", wheel(-100)), ["boxes", "close"]);
    let (there, here) = (place(THERE), place(window.place().expect("a place")));
    let off = there.0.abs_diff(here.0).max(there.1.abs_diff(here.1));
    assert!(off <= 3, "the wheel lost the place by {off} boxes");
    window.assert_no_complaints();
}

/// Column and row of a box.
fn place(id: u32) -> (u32, u32) {
    let (tile, offset) = ((id - 1) / TILE, (id - 1) % TILE);
    (tile % 100 * 400 + offset % 400, tile / 100 * 250 + offset / 400)
}

#[test]
fn wheel_drag_and_keys_pan_at_every_level() {
    let (server, total) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = open(&browser, &server, Screen::default());
    let here = || place(window.place().expect("a place"));
    for zoom in [28., 2., 0.1] {
        window.evaluate("billion.zoomTo(arguments[0])", zoom);
        window.until_landed();
        window.press(Key::Escape);
        window.evaluate("billion.jump(arguments[0])", THERE);
        window.evaluate("billion.zoomTo(arguments[0])", zoom);
        window.until_landed();
        let before = here();
        // With the mouse: to the left, so the map comes from the right.
        let moves = [(-60., 0.), (0., -60.)];
        for (dx, dy) in moves {
            window.drag_from(MIDDLE, dx, dy);
        }
        let expected = 60. / window.zoom();
        let near = |moved: u32| (f64::from(moved) - expected).abs() <= expected / 5. + 1.;
        let after = eventually(&format!("{expected} boxes each way at {zoom}"), || {
            let after = here();
            let moved = (after.0.checked_sub(before.0)?, after.1.checked_sub(before.1)?);
            (near(moved.0) && near(moved.1)).then_some(after)
        });
        window.press(Key::Left);
        window.press(Key::Up);
        eventually("the keys to move the map", || {
            let back = here();
            (back.0 < after.0 && back.1 < after.1).then_some(())
        });
    }
    // Close by the wheel scrolls.
    window.jump(&THERE.to_string());
    window.until_landed();
    let before = here();
    window.turn_wheel(MIDDLE, (0, 280), 1, false);
    eventually("the wheel to scroll", || (here().1 > before.1).then_some(()));
    assert_eq!(window.level(), "close");
    assert_eq!(server.client().greeted, total, "wandering checks nothing");
    window.assert_no_complaints();
}

#[test]
fn a_click_from_afar_flies_there() {
    let (server, total) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = open(&browser, &server, Screen::default());
    window.press('0');
    window.until_landed();
    // A quarter of the board to the left of the middle and above it.
    let aim = (MIDDLE.0 - 10_000. * window.zoom(), MIDDLE.1 - 6_250. * window.zoom());
    window.click_at(aim);
    eventually("a flight", || (window.zoom() > 0.03).then_some(()));
    window.until_landed();
    assert_eq!(window.level(), "boxes");
    let (column, row) = place(window.place().expect("a place"));
    assert!(column.abs_diff(10_000) < 600 && row.abs_diff(6_250) < 400, "{column}, {row}");
    window.click_at(MIDDLE);
    eventually("the boxes", || (window.level() == "close").then_some(()));
    window.until_landed();
    let (near_column, near_row) = place(window.place().expect("a place"));
    assert!(near_column.abs_diff(column) < 20 && near_row.abs_diff(row) < 20);

    // The small map: its right lower corner.
    let corner = "return (({ right, bottom }) => [right - 3, bottom - 3])
        (document.getElementById('overview').getBoundingClientRect())";
    let corner = window.evaluate(corner, ());
    window.click_at((corner[0].as_f64().expect("x"), corner[1].as_f64().expect("y")));
    eventually("the corner", || (place(window.place()?).0 > 39_000).then_some(()));
    window.until_landed();
    let (column, row) = place(window.place().expect("a place"));
    assert!(column > 39_000 && row > 24_000, "{column}, {row}");
    assert_eq!(server.client().greeted, total, "flying checks nothing");
    window.assert_no_complaints();
}

#[test]
fn jumps_links_and_history_carry_place_and_zoom() {
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, "/#b=123456789&z=0.5");
    window.until_live();
    window.until_landed();
    assert_eq!((window.place(), window.level()), (Some(123_456_789), "board".into()));
    assert!((window.zoom() - 0.5).abs() < 1e-6, "{}", window.zoom());

    for (typed, id) in
        [("1,234,567", 1_234_567), ("50%", 500_000_000), (&BILLION.to_string(), BILLION)]
    {
        window.jump(typed);
        window.until_landed();
        window.until_state(id, "unchecked");
        assert_eq!((window.place(), window.level()), (Some(id), "close".into()), "{typed}");
    }
    window.jump("random");
    eventually("another place", || (window.place()? != BILLION).then_some(()));
    window.until_landed();

    let back = |expected: u32| {
        window.evaluate("history.back()", ());
        eventually(&format!("{expected}"), || (window.place() == Some(expected)).then_some(()));
        window.until_landed();
    };
    back(BILLION);
    back(500_000_000);
    back(1_234_567);
    back(123_456_789);
    assert!((window.zoom() - 0.5).abs() < 1e-6, "the zoom as well: {}", window.zoom());
    window.evaluate("history.forward()", ());
    eventually("forward", || (window.place() == Some(1_234_567)).then_some(()));
    window.until_landed();
    assert_eq!(window.level(), "close");

    // What the address says now leads another player to the same place and zoom.
    window.press('-');
    window.press('-');
    window.press('-');
    window.until_landed();
    eventually("the address to follow", || window.hash().contains("z=3.5").then_some(()));
    let other = browser.open_on(Screen::PHONE, &server, &format!("/{}", window.hash()));
    other.until_live();
    other.until_landed();
    assert_eq!(other.place(), window.place());
    assert!((other.zoom() / window.zoom() - 1.).abs() < 0.01, "{} {}", other.zoom(), window.zoom());
    for window in [&window, &other] {
        window.assert_no_complaints();
    }
}

#[test]
fn a_tap_checks_a_drag_moves_and_a_pinch_zooms() {
    let (server, total) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = open(&browser, &server, Screen::PHONE);
    window.until_state(THERE, "unchecked");
    let at = window.middle_of(&format!("[data-id='{THERE}']"));
    window.swipe(Stroke { from: at, to: (at.0 - 108., at.1 - 72.) });
    // Boxes are 36 px wide under a finger, so three columns and two rows.
    let there = THERE + 3 + 2 * 400;
    eventually("the map to have moved", || {
        let (here, expected) = (place(window.place()?), place(there));
        (here.0.abs_diff(expected.0) <= 1 && here.1.abs_diff(expected.1) <= 1).then_some(())
    });
    let mut client = server.client();
    assert_eq!(client.greeted, total, "a drag checks nothing");
    window.until_landed();
    window.until_state(THERE, "unchecked");
    window.tap_on(&format!("[data-id='{THERE}']"));
    assert_eq!(client.next(), Told::Update { total: total + 1, id: THERE });
    window.until_state(THERE, "checked");

    let centre = (195., 300.);
    let before = window.zoom();
    let out = until_level(&window, "board", || window.pinch(centre, 300., 90.));
    assert_eq!(out, ["close", "boxes", "board"]);
    assert!(window.zoom() < before);
    let back = until_level(&window, "close", || window.pinch(centre, 90., 300.));
    assert_eq!(back, ["board", "boxes", "close"]);
    assert_eq!(window.number("visualViewport.scale"), 1., "the page itself is not zoomed");
    assert_eq!(server.client().greeted, total + 1, "a pinch checks nothing");
    window.assert_no_complaints();
}

#[test]
fn zooming_in_from_a_link_to_the_whole_board_leads_to_its_box() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, &format!("/#b={THERE}&z=0.0227"));
    window.until_live();
    window.until_landed();
    assert_eq!(window.level(), "board");
    for _ in 0..14 {
        window.press('+');
    }
    window.until_landed();
    assert_eq!((window.place(), window.level()), (Some(THERE), "close".into()));
    window.assert_no_complaints();
}

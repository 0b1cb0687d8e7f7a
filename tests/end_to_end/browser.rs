//! What players see: the page in a real browser, against the real server.

use fantoccini::key::Key;

use crate::harness::{
    TILE, TILE_COLUMNS,
    browser::{Browser, Screen},
    client::Told,
    eventually,
    server::{Server, Setup},
};

/// Three tiles side by side: 1 ..= 100,000, then to 200,000, then half a tile to the last box.
const BOXES: u32 = 250_000;

#[test]
fn the_page_opens_and_learns_its_first_boxes() {
    let server = Setup::new(BOXES, 2).start();
    let mut client = server.client();
    client.check(3);
    client.next();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.until_state(1, "unchecked");
    window.until_state(2, "unchecked");
    window.until_state(3, "checked");
    assert_eq!(window.total(), Some(1));
    assert_eq!(window.evaluate("return billion.total", ()), 1);
    assert_eq!(window.evaluate("return billion.stateOf(3)", ()), "checked");
    assert_eq!(window.evaluate("return billion.stateOf(0) === undefined", ()), true);
    assert_eq!(window.text_of("#total"), "1");
    assert_eq!(window.text_of("#boxes"), "250,000");
    window.assert_no_complaints();
}

#[test]
fn a_check_appears_in_the_other_window_and_survives_a_reload() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let (one, other) = (browser.open(&server), browser.open(&server));
    for window in [&one, &other] {
        window.until_live();
        window.until_state(22, "unchecked");
    }
    one.click(22);
    other.until_state(22, "checked");
    one.until_state(22, "checked");
    other.click(23);
    one.until_state(23, "checked");
    for window in [&one, &other] {
        window.until_total(2);
    }

    // A checked box stays checked, whatever is done to it.
    other.click(22);
    assert_eq!(other.state(22), "checked");

    one.reload();
    one.until_live();
    one.until_state(22, "checked");
    one.until_state(23, "checked");
    one.until_total(2);
    assert_eq!(server.client().greeted, 2);
    for window in [&one, &other] {
        window.assert_no_complaints();
    }
}

#[test]
fn a_box_checked_by_a_program_appears_in_every_window() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let windows = [browser.open(&server), browser.open(&server)];
    for window in &windows {
        window.until_live();
        window.until_state(7, "unchecked");
    }
    let mut client = server.client();
    client.check(7);
    assert_eq!(client.next(), Told::Update { total: 1, id: 7 });
    for window in &windows {
        window.until_state(7, "checked");
        window.until_total(1);
        window.assert_no_complaints();
    }
}

#[test]
fn a_refused_check_is_taken_back_and_explained() {
    let setup = Setup::new(BOXES, 2).with("LIMITER__LIMIT", 0.01).with("LIMITER__BURST", 1);
    let server = setup.start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.until_state(1, "unchecked");
    window.click(1);
    window.until_state(1, "checked");
    window.click(2);
    let notice = "Box 2 was not checked: slow down a little.";
    eventually(notice, || (window.text_of("#notice") == notice).then_some(()));
    assert_eq!(window.state(2), "unchecked");
    window.until_total(1);
    window.assert_no_complaints();
}

#[test]
fn jumping_reaches_the_last_box_and_both_sides_of_a_tile_edge() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();

    window.jump("250,000");
    window.until_state(BOXES, "unchecked");
    assert_eq!(window.place(), Some(BOXES));
    window.click(BOXES);
    window.until_state(BOXES, "checked");

    // The last box of the first tile, and to its right the first box of the second one's last row.
    let right = 2 * TILE - TILE_COLUMNS + 1;
    window.jump("#100000");
    for id in [TILE, right] {
        window.until_state(id, "unchecked");
        window.click(id);
        window.until_state(id, "checked");
    }
    window.jump(&(TILE + 1).to_string());
    window.until_state(TILE + 1, "unchecked");
    window.click(TILE + 1);
    window.until_state(TILE + 1, "checked");

    window.until_total(4);
    let mut client = server.client();
    let mut before = vec![];
    assert_eq!(client.range(TILE, TILE + 1, &mut before), [TILE, TILE + 1]);
    assert_eq!(client.range(right, right, &mut before), [right]);
    assert_eq!(client.range(BOXES, BOXES, &mut before), [BOXES]);
    window.assert_no_complaints();
}

#[test]
fn a_jump_that_makes_no_sense_is_explained_and_moves_nothing() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    for (typed, answer) in [
        ("250001", "The boxes are numbered from 1 to 250,000."),
        ("0", "The boxes are numbered from 1 to 250,000."),
        ("101%", "The board ends at 100%."),
        ("north", "Type a box number up to 250,000, a percentage such as 50%, or random."),
    ] {
        window.jump(typed);
        assert_eq!(window.text_of("#jump-problem"), answer, "{typed}");
        assert_eq!(window.place(), Some(1), "{typed}");
    }
    window.jump("50%");
    assert_eq!(window.text_of("#jump-problem"), "");
    assert_eq!(window.place(), Some(125_000));
    window.assert_no_complaints();
}

#[test]
fn the_address_names_the_place_and_leads_back_to_it() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, "/#b=123456");
    window.until_live();
    window.until_state(123_456, "unchecked");
    assert_eq!(window.place(), Some(123_456));
    window.jump("200001");
    eventually("the address to follow", || (window.hash() == "#b=200001").then_some(()));
    window.reload();
    window.until_live();
    window.until_state(200_001, "unchecked");
    assert_eq!(window.place(), Some(200_001));
    window.assert_no_complaints();
}

#[test]
fn keys_alone_find_and_check_a_box() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.jump("1000");
    window.until_state(1000, "unchecked");
    window.press(Key::Right);
    window.press(Key::Down);
    assert_eq!(window.place(), Some(1001 + TILE_COLUMNS));
    window.press(' ');
    window.until_state(1001 + TILE_COLUMNS, "checked");
    window.press(Key::End);
    window.until_state(BOXES, "unchecked");
    assert_eq!(window.place(), Some(BOXES));
    window.until_total(1);
    window.assert_no_complaints();
}

#[test]
fn dragging_moves_the_map_and_checks_nothing() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.jump("60200");
    window.until_state(60_200, "unchecked");
    // Boxes are 28 px wide: ten to the right and five down, so that the map comes from there.
    window.drag(60_200, -280., -140.);
    let there = 60_200 + 5 * TILE_COLUMNS + 10;
    eventually("the map to have moved", || (window.place() == Some(there)).then_some(()));
    assert_eq!(window.state(60_200), "unchecked");
    let mut client = server.client();
    assert_eq!(client.greeted, 0);
    // The drag is over: a click is a click again.
    window.click(there);
    assert_eq!(client.next(), Told::Update { total: 1, id: there });
    window.until_state(there, "checked");
    window.assert_no_complaints();
}

#[test]
fn the_page_outlives_its_server_and_catches_up() {
    const PLACE: u32 = 220_100;
    const BEFORE: u32 = PLACE + 1;
    const WHILE_DOWN: u32 = PLACE + 2;
    const MISSED: u32 = PLACE + 3;
    let stop = |mut server: Server| {
        server.signal("-TERM");
        assert!(server.wait().success(), "{}", server.log());
    };
    // On another loopback address than all other tests, so that none of them takes the port while
    // the server is down.
    let setup = Setup::new(BOXES, 2).with("SERVER__ADDRESS", "127.0.0.2:0");
    let server = setup.start();
    let address = server.address;
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.jump(&PLACE.to_string());
    window.until_state(BEFORE, "unchecked");
    window.click(BEFORE);
    window.until_state(BEFORE, "checked");
    window.assert_no_complaints();
    stop(server);

    eventually("the page to notice", || (window.connection() == "offline").then_some(()));
    window.click(WHILE_DOWN);
    assert_eq!(window.state(WHILE_DOWN), "waiting");

    // Someone else finds the board first: on a port that the page does not know.
    let setup = setup.with("SERVER__ADDRESS", "127.0.0.2:0");
    let server = setup.start();
    let mut client = server.client();
    client.check(MISSED);
    assert_eq!(client.next(), Told::Update { total: 2, id: MISSED });
    stop(server);
    assert_eq!(window.state(MISSED), "unchecked", "nobody can have told the page");

    let server = setup.with("SERVER__ADDRESS", address).start();
    eventually("the page to come back", || (window.connection() == "live").then_some(()));
    for id in [BEFORE, WHILE_DOWN, MISSED] {
        window.until_state(id, "checked");
    }
    window.until_total(3);
    assert_eq!(window.place(), Some(WHILE_DOWN), "it kept its place");
    assert_eq!(window.state(PLACE), "unchecked");
    let checked = server.client().range(PLACE, PLACE + 9, &mut vec![]);
    assert_eq!(checked, [BEFORE, WHILE_DOWN, MISSED], "the server has them all");
    // The browser itself reports every attempt to connect to a server that is not there, or to ask it why.
    let complaints = window.complaints();
    let reported = ["WebSocket connection to", "/ws/why?v=2 - Failed to load resource"];
    let others: Vec<_> = complaints
        .iter()
        .filter(|said| !reported.iter().any(|attempt| said.contains(attempt)))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
}

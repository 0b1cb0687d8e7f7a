//! The first ten seconds: where the page opens on a board that many have played on, and how one comes back to it.

use std::net::SocketAddr;

use fantoccini::key::Key;

use crate::harness::{
    BILLION, TILE,
    browser::{Browser, Screen, Window},
    eventually,
    server::{Server, Setup},
};

/// How many boxes on the screen are in a state.
fn in_sight(window: &Window, state: &str) -> usize {
    let script = "
        const { innerWidth, innerHeight } = window;
        const area = document.getElementById('board').getBoundingClientRect();
        return [...document.querySelectorAll(`#board input.box[data-state='${arguments[0]}']`)].filter((box) => {
            const { x, y, width, height } = box.getBoundingClientRect();
            const [middleX, middleY] = [x + width / 2, y + height / 2];
            return middleX > area.left && middleX < area.right && middleY > area.top && middleY < area.bottom;
        }).length";
    window.evaluate(script, state).as_u64().expect("a number") as usize
}

fn arrive<'a>(browser: &'a Browser, screen: Screen, server: &Server, path: &str) -> Window<'a> {
    let window = browser.open_on(screen, server, path);
    window.until_live();
    window.until_landed();
    window
}

#[test]
fn a_newcomer_lands_beside_others_with_free_boxes_in_sight_and_checks_one() {
    let (server, mut total) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    for screen in [Screen::default(), Screen::PHONE] {
        let window = arrive(&browser, screen, &server, "/");
        let here = window.place().expect("a place");
        assert!(here > TILE, "not at the wall where the board begins: {here}");
        window.until_state(here, "unchecked");
        let (free, checked) = (in_sight(&window, "unchecked"), in_sight(&window, "checked"));
        assert!(checked >= 5, "{screen:?}: company at {here}: {checked} checked, {free} free");
        assert!(free >= checked, "{screen:?}: room at {here}: {checked} checked, {free} free");
        // Who only looks has been nowhere: the address can be copied as it is.
        assert_eq!(window.hash(), "");
        window.until("document.title === 'Billion Checkboxes'");
        if screen.phone {
            window.tap_on(&format!("[data-id='{here}']"));
        } else {
            window.click(here);
        }
        total += 1;
        window.until_state(here, "checked");
        window.until_total(total);
        // Who left a box is back at it.
        come_again(&window, server.address);
        assert_eq!(window.place(), Some(here));
        window.until_state(here, "checked");
        window.assert_no_complaints();
    }
}

/// Opens the address without a place again, as who comes back another day.
fn come_again(window: &Window, address: SocketAddr) {
    window.evaluate("location.assign('about:blank')", ());
    window.until("location.href === 'about:blank'");
    window.evaluate("location.assign(arguments[0])", format!("http://{address}/"));
    window.until("globalThis.billion");
    window.until_live();
    window.until_landed();
}

#[test]
fn who_returns_is_where_they_were_and_the_history_leads_back() {
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = arrive(&browser, Screen::default(), &server, "/");
    let arrived = window.place().expect("a place");
    window.jump("812,345,678");
    window.until_landed();
    window.until_state(812_345_678, "unchecked");
    window.until("document.title === 'Box 812,345,678 - Billion Checkboxes'");
    // The whole board is an entry of its own, and going in again leads to where one came from.
    window.press('0');
    window.until_landed();
    eventually("the address to follow", || window.hash().contains("z=").then_some(()));
    for _ in 0..14 {
        window.press('+');
    }
    window.until_landed();
    assert_eq!((window.place(), window.level()), (Some(812_345_678), "close".into()));
    let back = |expected: u32, hash: &str| {
        window.evaluate("history.back()", ());
        eventually(&format!("{expected}"), || (window.place() == Some(expected)).then_some(()));
        window.until_landed();
        assert_eq!((window.level(), window.hash()), ("close".into(), hash.into()));
    };
    back(812_345_678, "#b=812345678");
    back(arrived, "");
    window.evaluate("history.forward()", ());
    eventually("forward", || (window.place() == Some(812_345_678)).then_some(()));
    window.until_landed();

    window.press(Key::Right);
    window.until("location.hash === '#b=812345679'");
    come_again(&window, server.address);
    assert_eq!((window.place(), window.hash()), (Some(812_345_679), String::new()));
    window.assert_no_complaints();
}

#[test]
fn a_link_that_a_chat_program_mangled_leads_there_and_an_unreadable_one_says_so() {
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = arrive(&browser, Screen::PHONE, &server, "/#b%3D500000000");
    let open = |link: &str| {
        window.evaluate("location.assign('about:blank')", ());
        window.until("location.href === 'about:blank'");
        window
            .evaluate("location.assign(arguments[0])", format!("http://{}{link}", server.address));
        window.until("globalThis.billion");
        window.until_landed();
    };
    for (number, link) in ["/#b=500000000.", "/#b=500000000%20", "/?b=500000000", "/#500,000,000"]
        .into_iter()
        .enumerate()
    {
        assert_eq!(window.place(), Some(500_000_000), "before {link}, number {number}");
        window.until("location.search + location.hash === '#b=500000000'");
        let framed =
            "document.querySelector('#board input.box[data-target]')?.dataset.id === '500000000'";
        window.until(framed);
        open(link);
    }
    open("/#b=500000000&z=0.5,");
    assert_eq!((window.place(), window.hash()), (Some(500_000_000), "#b=500000000&z=0.5".into()));

    for (link, answer) in [
        ("/#b=nowhere", "This link names no box, so nobody knows where it leads."),
        (
            "/#b=1000000001",
            "This link leads to box 1,000,000,001, but they are numbered from 1 to 1,000,000,000.",
        ),
    ] {
        open(link);
        assert_eq!(window.text_of("#notice"), answer);
    }
}

#[test]
fn a_key_that_is_held_down_is_one_journey_whatever_the_keyboard_writes() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = arrive(&browser, Screen::default(), &server, "/#b=250000000");
    // Thirty presses a second, as a key that repeats, of a keyboard that writes Russian.
    let hold = "
        const [key, code] = arguments[0];
        globalThis.pressed = 0;
        const press = () => {
            const init = { key, code, repeat: pressed > 0, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new KeyboardEvent('keydown', init));
            if (++pressed < 60) setTimeout(press, 33);
        };
        press()";
    let hold = |key: &str, code: &str| {
        window.evaluate(hold, serde_json::json!([key, code]));
        window.until("globalThis.pressed === 60");
        window.until_landed();
        window.until("location.hash === `#b=${billion.centre}`");
    };
    let entries = window.number("history.length");
    hold("к", "KeyR");
    assert_eq!(window.number("history.length"), entries + 1.);
    window.evaluate("history.back()", ());
    eventually("where it began", || (window.place() == Some(250_000_000)).then_some(()));
    window.until_landed();

    // With Caps Lock, and over boxes of one's own.
    for id in [250_000_000, 249_999_999, 249_999_998] {
        window.click(id);
        window.until_state(id, "checked");
    }
    window.jump("1234");
    window.until_landed();
    let entries = window.number("history.length");
    hold("P", "KeyP");
    assert_eq!(window.number("history.length"), entries + 1.);
    window.assert_no_complaints();
}

#[test]
fn single_keys_can_be_switched_off() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = arrive(&browser, Screen::default(), &server, "/#b=250000000");
    window.evaluate("localStorage.setItem('billion.shortcuts', 'off')", ());
    window.reload();
    window.until_live();
    window.until_landed();
    window.evaluate("document.activeElement.blur()", ());
    for key in ['r', '0', '-', '?', ' '] {
        window.press(key);
    }
    // Keys that are no letters and signs still work, and come after those.
    window.press(Key::End);
    eventually("the last box", || (window.place() == Some(BILLION)).then_some(()));
    window.until_landed();
    assert_eq!(window.level(), "close");
    assert_eq!(server.client().greeted, 0);
    window.assert_no_complaints();
}

#[test]
fn a_checked_box_answers_a_click_and_says_once_that_it_stays() {
    let (server, total) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = arrive(&browser, Screen::default(), &server, "/#b=4050");
    window.until_state(4_050, "checked");
    window.click(4_050);
    window.until("document.querySelector('[data-motion=shake]')?.dataset.id === '4050'");
    let said = "Already checked, for good. Free boxes are the empty ones; Random finds some.";
    assert_eq!(window.text_of("#notice"), said);
    eventually("the notice to go", || window.text_of("#notice").is_empty().then_some(()));
    window.press(' ');
    window.until("document.querySelector('[data-motion=shake]')?.dataset.id === '4050'");
    assert_eq!(window.text_of("#notice"), "", "once is enough");
    assert_eq!(window.state(4_050), "checked");
    assert_eq!(server.client().greeted, total);
    window.assert_no_complaints();
}

#[test]
fn random_leads_mostly_to_something() {
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = arrive(&browser, Screen::PHONE, &server, "/#b=500000000");
    // Nine of ten screens of a board like this are empty; four of five journeys lead to one that is not.
    let mut found = 0;
    for _ in 0..24 {
        let before = window.place();
        window.tap_on("#jump-random");
        eventually("another place", || (window.place() != before).then_some(()));
        window.until_landed();
        let here = window.place().expect("a place");
        eventually("its state", || (window.state(here) != "unknown").then_some(()));
        found += usize::from(in_sight(&window, "checked") >= 3);
        if found == 4 {
            return window.assert_no_complaints();
        }
    }
    panic!("only {found} of 24 journeys led to something");
}

#[test]
fn busy_remembers_what_others_did_leaves_out_ones_own_and_leads_to_the_box() {
    const THERE: u32 = 7_070 * TILE + 43_210;
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = arrive(&browser, Screen::default(), &server, "/#b=250000000");
    window.until("globalThis.billion.census(0) > 0");
    let dead = "return document.getElementById('busy').ariaDisabled";
    // A pulse may still tell of how the board came to be; a page remembers only what it heard itself.
    eventually("a quiet board", || {
        window.reload();
        window.until_live();
        window.until("globalThis.billion.census(0) > 0 && billion.players > 0");
        (window.evaluate(dead, ()) == "true").then_some(())
    });
    let mut client = server.client_v2();
    window.click(250_000_000);
    window.until_state(250_000_000, "checked");
    window.until("billion.census(2499) === 1");
    assert_eq!(window.evaluate(dead, ()), "true", "nothing of one's own is news");

    client.check(THERE);
    window.until("document.getElementById('busy').ariaDisabled === 'false'");
    // Long after the glow is gone it still leads there.
    window.until("/ s ago/.test(document.getElementById('busy').textContent)");
    assert_eq!(window.evaluate(dead, ()), "false");
    window.click_on("#busy");
    eventually("to be there", || (window.place()? / TILE == THERE / TILE).then_some(()));
    window.until_landed();
    assert_eq!(window.level(), "close");
    window.until_state(THERE, "checked");
    window.assert_no_complaints();
}

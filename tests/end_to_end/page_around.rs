//! What is around the board: legible and operable for every reader, on every screen and at every size, and still while
//! one plays.

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::harness::{
    BILLION,
    browser::{Browser, DevTools, Reader, Screen, Window},
    eventually,
    proxy::{Line, Proxy},
    server::{Server, Setup},
};

const HERE: u32 = 60_200;

fn url(server: &Server) -> String {
    format!("http://{}/#b={HERE}", server.address)
}

/// Looks at the page in each of its states: what may be seen, and what axe-core says.
fn look_at_every_state(window: &Window, who: &str) {
    let look = |state: &str| {
        window.until_still();
        let sideways =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(window.number(sideways), 0., "{who}, {state}: nothing sticks out");
        window.assert_accessible(&format!("{who}, {state}"));
    };
    look("close");
    for (state, zoom) in [("boxes", 2.), ("board", 0.)] {
        window.evaluate("billion.zoomTo(arguments[0])", zoom);
        window.until_landed();
        look(state);
    }
    // From here on the whole board lies below: axe-core cannot tell what a line of text lies on that has other
    // checkboxes behind it than the next line, though none of them is seen.
    window.evaluate("document.getElementById('help-button').click()", ());
    look("help");
    window.press(Key::Escape);
    window.jump("north");
    window.until("document.getElementById('jump-problem').textContent !== ''");
    look("a problem with a jump");
    window.press(Key::Escape);
    for id in ["notice", "cheer"] {
        let say = "document.getElementById(arguments[0]).textContent = 'Someone was faster: box 60,200 is checked.'";
        window.evaluate(say, id);
        look(id);
        window.evaluate("document.getElementById(arguments[0]).textContent = ''", id);
    }
}

#[test]
fn every_state_is_legible_for_every_reader() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let desk = Reader::from(Screen::default());
    let phone = Reader::from(Screen::PHONE);
    let dark = |reader: Reader| Reader { screen: Screen { dark: true, ..reader.screen }, ..reader };
    let sized = |reader: Reader, width, height| Reader { size: Some((width, height)), ..reader };
    let large = |reader: Reader| Reader { font_px: 32, ..reader };
    let readers = [
        ("desk", desk, None),
        ("desk by night", dark(desk), None),
        ("phone", phone, None),
        ("phone by night", dark(phone), None),
        ("small phone", sized(phone, 320, 568), None),
        ("phone on its side", sized(phone, 844, 390), None),
        ("desk at 200 %", sized(desk, 640, 400), None),
        ("desk at 400 %", sized(desk, 320, 256), None),
        ("low desk at 400 %", sized(dark(desk), 320, 200), None),
        ("desk with large type", large(desk), None),
        ("phone with large type", large(phone), None),
        ("desk with forced colours", desk, Some(("forced-colors", "active"))),
        (
            "desk at 400 % with forced colours",
            sized(desk, 320, 256),
            Some(("forced-colors", "active")),
        ),
        ("phone with forced colours by night", dark(phone), Some(("forced-colors", "active"))),
        ("desk with more contrast", desk, Some(("prefers-contrast", "more"))),
        ("phone with more contrast by night", dark(phone), Some(("prefers-contrast", "more"))),
    ];
    for (who, reader, wish) in readers {
        let window = browser.open_for(reader, &url(&server));
        let mut tools = DevTools::connect(&window);
        if let Some((name, value)) = wish {
            tools.prefer(name, value);
            let media = format!("return matchMedia('({name}: {value})').matches");
            assert_eq!(window.evaluate(&media, ()), true, "{who}");
        }
        window.until_live();
        window.until_landed();
        window.until_state(HERE, "unchecked");
        window.until("billion.players > 0");
        look_at_every_state(&window, who);
        window.assert_no_complaints();
    }
}

#[test]
fn at_four_hundred_percent_the_page_scrolls_and_keeps_room_for_everything() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    for (width, height) in [(320, 256), (320, 200)] {
        let reader = Reader { size: Some((width, height)), ..Screen::default().into() };
        let window = browser.open_for(reader, &url(&server));
        window.until_live();
        window.until_landed();
        assert!(window.number("document.getElementById('board').clientHeight") >= 160.);
        assert!(window.number("document.getElementById('jump').clientWidth") >= 200.);
        assert!(window.number("document.documentElement.scrollHeight") > f64::from(height));
        let zoom = edges(&window, &["#zoom", "#board", ".top"]);
        assert!(
            zoom[0][1] >= zoom[1][1] && zoom[0][1] >= zoom[2][3],
            "the buttons lie on the board: {zoom:?}"
        );
        // Found by keys and brought into sight, down to the last of them.
        window.evaluate("document.getElementById('busy').focus()", ());
        let in_sight =
            "const { top, bottom } = document.getElementById('busy').getBoundingClientRect();
                        return top >= 0 && bottom <= innerHeight";
        eventually("the last button to be in sight", || {
            (window.evaluate(in_sight, ()) == true).then_some(())
        });
        window.jump("50%");
        window.until_landed();
        assert_eq!(window.place(), Some(500_000_000));
        window.assert_no_complaints();
    }
}

/// Left, top, right and bottom of each.
fn edges(window: &Window, selectors: &[&str]) -> Vec<[f64; 4]> {
    let script = "return arguments[0].map((selector) => {
        const { left, top, right, bottom } = document.querySelector(selector).getBoundingClientRect();
        return [left, top, right, bottom];
    })";
    serde_json::from_value(window.evaluate(script, json!(selectors))).expect("four numbers each")
}

#[test]
fn little_shifts_while_the_page_loads_over_a_slow_line() {
    let server = Setup::new(BILLION, 50).start();
    for screen in [Screen::default(), Screen::PHONE] {
        let proxy = Proxy::start(server.address, Line::SLOW);
        let browser = Browser::start();
        let window = browser.open_at(screen, proxy.address, "/#b=60200");
        window.until_live();
        window.until("billion.players > 0 && billion.census(0) === 0");
        window.until_still();
        let shifts = "return new Promise((resolve) => {
            new PerformanceObserver((list) => resolve(list.getEntries().map(({ value, sources }) =>
                [value, ...sources.map(({ node }) => node?.id || node?.className || node?.nodeName)])))
                .observe({ type: 'layout-shift', buffered: true });
            // Without any shift nobody calls.
            setTimeout(() => resolve([]), 1000);
        })";
        let shifts = window.evaluate(shifts, ());
        let sum: f64 =
            shifts.as_array().expect("a list").iter().filter_map(|shift| shift[0].as_f64()).sum();
        assert!(sum <= 0.02, "{screen:?}: {sum} by {shifts}");
    }
}

#[test]
fn nothing_moves_under_a_finger_that_taps_from_box_to_box() {
    let server = Setup::new(BILLION, 50).start();
    let proxy = Proxy::start(server.address, Line::default());
    let browser = Browser::start();
    for (screen, first) in [(Screen::PHONE, 30_398), (Screen::default(), 100_397)] {
        let window = browser.open_at(screen, proxy.address, &format!("/#b={first}"));
        window.until_live();
        window.until_landed();
        window.until("billion.players > 0");
        let parts = [
            "#board",
            ".top",
            ".dock",
            "#connection",
            "#zoom",
            "#jump",
            "#jump-random",
            "#where",
            "#mine-older",
            "#mine-newer",
            "#busy",
            "#overview",
        ];
        let before = edges(&window, &parts);
        let still = |when: &str| {
            for (part, (was, is)) in parts.iter().zip(before.iter().zip(edges(&window, &parts))) {
                // What the connection says is longer or shorter; it is no button.
                let count = if *part == "#connection" { 2 } else { 4 };
                let moved =
                    (4 - count..4).any(|edge| *part != "#connection" && was[edge] != is[edge]);
                assert!(!moved && was[1] == is[1], "{part} moved, {when}: {was:?} to {is:?}");
            }
        };
        // Over the end of a tile, where the number of the box and of its row become longer or shorter.
        for id in [first, first + 1, first + 2, first + 400] {
            window.until_state(id, "unchecked");
            window.tap_or_click(screen, &format!("[data-id='{id}']"));
            still("after a check");
            window.until_state(id, "checked");
            still("after its answer");
        }
        window.tap_or_click(screen, "#mine-older");
        eventually("a place among one's own", || {
            (!window.text_of("#mine-position").is_empty()).then_some(())
        });
        window.until_landed();
        still("among one's own");
        proxy.cut();
        eventually("the cut", || (window.connection() == "offline").then_some(()));
        still("without a line");
        window.tap_or_click(screen, &format!("[data-id='{}']", first + 401));
        eventually("a check on its way", || (!window.text_of("#waiting").is_empty()).then_some(()));
        still("with a check on its way");
        proxy.mend();
        window.until_live();
    }
}

#[test]
fn the_help_keeps_focus_and_keys_and_gives_them_back() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), &url(&server));
    window.until_live();
    window.until_landed();
    window.click(HERE + 1);
    window.until_state(HERE + 1, "checked");
    let is_open = || window.evaluate("return document.getElementById('help').open", ()) == true;
    let inside = "return document.getElementById('help').contains(document.activeElement)";
    let focused = "return Number(document.activeElement.dataset.id ?? 0)";
    let zoom = window.zoom();

    window.press('?');
    assert!(is_open());
    assert_eq!(window.evaluate(inside, ()), true, "the focus is in the dialog");
    let modal = "return document.getElementById('help').matches(':modal')";
    assert_eq!(window.evaluate(modal, ()), true, "the page below is inert");
    for key in ['0', '-', 'r'] {
        window.press(key);
    }
    assert_eq!((window.zoom(), window.place()), (zoom, Some(HERE + 1)), "keys do nothing below");
    window.press(Key::Escape);
    assert!(!is_open());
    assert_eq!(window.evaluate(focused, ()), HERE + 1, "the focus is where it was");
    assert_eq!(window.zoom(), zoom, "the same Escape leads nowhere else");

    // Who speaks to the computer can switch single keys off, for good.
    window.evaluate("document.getElementById('help-button').click()", ());
    window.click_on("#single-keys");
    window.press(Key::Escape);
    window.reload();
    window.until_live();
    window.until_landed();
    window.evaluate("document.activeElement.blur()", ());
    for key in ['?', '0'] {
        window.press(key);
    }
    assert!(!is_open() && !window.evaluate("return billion.flying", ()).eq(&json!(true)));
    window.evaluate("document.getElementById('help-button').click()", ());
    window.click_on("#single-keys");
    window.press(Key::Escape);

    // A key that comes before the next frame still finds the focus in the closed dialog.
    let between_frames = "
        const help = document.getElementById('help');
        document.activeElement.blur();
        help.showModal();
        document.getElementById('single-keys').focus();
        help.close();
        const inside = help.contains(document.activeElement);
        const key = { key: '?', bubbles: true, cancelable: true };
        document.activeElement.dispatchEvent(new KeyboardEvent('keydown', key));
        const { open } = help;
        help.close();
        return [inside, open]";
    assert_eq!(window.evaluate(between_frames, ()), json!([true, true]));

    // The key that opens it closes it, and so does a press beside it, with a browser's help or without.
    for native in [true, false] {
        if !native {
            window.evaluate("document.getElementById('help').removeAttribute('closedby')", ());
        }
        window.press('?');
        assert!(is_open());
        window.click_at((20., 400.));
        assert!(!is_open(), "closed by the browser: {native}");
        window.press('?');
        window.press('?');
        assert!(!is_open());
    }
    window.assert_no_complaints();
}

#[test]
fn on_a_phone_the_help_speaks_of_fingers_and_its_way_out_is_in_sight() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let reader = Reader { size: Some((320, 568)), ..Screen::PHONE.into() };
    let window = browser.open_for(reader, &url(&server));
    window.until_live();
    window.tap_on("#help-button");
    window.until("document.getElementById('help').open");
    let shown = |selector: &str| {
        window.evaluate("return document.querySelector(arguments[0]).checkVisibility()", selector)
            == true
    };
    assert!(shown(".by-finger") && !shown(".by-mouse"));
    assert_eq!(window.evaluate("return document.getElementById('keys').open", ()), false);
    window.evaluate("document.getElementById('help').scrollTop = 10000", ());
    let [close] = edges(&window, &["#help [type=submit]"])[..] else { panic!("one button") };
    assert!(close[1] >= 0. && close[3] < 100., "{close:?}");
    window.tap_on("#help [type=submit]");
    window.until("!document.getElementById('help').open");
    window.assert_no_complaints();
}

#[test]
fn numbers_have_the_digits_and_separators_of_the_reader() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let reader = Reader { language: "de-DE", ..Screen::default().into() };
    let window = browser.open_for(reader, &url(&server));
    window.until_live();
    window.until_landed();
    assert_eq!(window.text_of("#boxes"), "1.000.000.000");
    window.jump("123.456.789");
    window.until_landed();
    assert_eq!(window.place(), Some(123_456_789));
    assert!(
        window.text_of("#where").starts_with("Box 123.456.789 "),
        "{}",
        window.text_of("#where")
    );
    window.assert_no_complaints();
}

#[test]
fn the_total_is_one_text_and_the_bar_says_between_which_milestones_it_is() {
    let server = Setup::new(BILLION, 50).start();
    let mut client = server.client();
    for id in 1..=150 {
        client.check(id * 1_000);
    }
    eventually("the checks to be stored", || (server.client().greeted == 150).then_some(()));
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), &url(&server));
    window.until_total(150);
    let texts =
        "return [...document.getElementById('total').childNodes].map(({ nodeType }) => nodeType)";
    assert_eq!(window.evaluate(texts, ()), json!([3]), "read out, found and copied as one number");
    let words =
        ["#milestone-last", "#milestone-next", "#togo"].map(|selector| window.text_of(selector));
    assert_eq!(words, ["100", "200", "50 to the next milestone"]);
    let bar = "return document.querySelector('[role=progressbar]').getAttribute('aria-valuenow')";
    assert_eq!(window.evaluate(bar, ()), "50");
    window.assert_no_complaints();
}

#[test]
fn who_cannot_see_a_box_hears_where_it_is_and_whose() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), &url(&server));
    window.until_live();
    window.until_landed();
    let described = |id: u32| -> Vec<Value> {
        let script = "const box = document.querySelector(`[data-id='${arguments[0]}']`);
            const ids = (box.getAttribute('aria-describedby') ?? '').split(' ').filter(Boolean);
            return ids.map((id) => document.getElementById(id).textContent)";
        window.evaluate(script, id).as_array().expect("a list").clone()
    };
    window.click(HERE);
    window.until_state(HERE, "checked");
    eventually("it to be mine", || {
        (described(HERE) == ["yours", "row 151, column 200"]).then_some(())
    });
    window.press(Key::Right);
    let focused = "return Number(document.activeElement.dataset.id ?? 0)";
    eventually("the next box", || (window.evaluate(focused, ()) == HERE + 1).then_some(()));
    assert_eq!(described(HERE + 1), ["row 151, column 201"]);
    assert_eq!(described(HERE), ["yours"]);
    window.assert_no_complaints();
}

#[test]
fn a_browser_that_stores_nothing_says_that_boxes_will_be_forgotten() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), "about:blank");
    let mut tools = DevTools::connect(&window);
    tools.before_each_page("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }");
    window.go_to(&url(&server));
    window.until_live();
    window.until_landed();
    window.click(HERE);
    window.until_state(HERE, "checked");
    eventually("a notice", || {
        window.text_of("#notice").contains("it will forget which were yours").then_some(())
    });
    window.assert_no_complaints();
}

//! A check is seen at once, is taken back when it was refused, and is never lost: not by a line that
//! breaks before the answer, not by a reload.

use std::time::{Duration, Instant};

use crate::harness::{
    BILLION, TILE, TILE_COLUMNS,
    browser::{Browser, Screen, Window},
    client::Told,
    eventually,
    proxy::{Line, Proxy},
    server::{Server, Setup},
};

const BOXES: u32 = 250_000;

#[test]
fn checks_without_an_answer_are_sent_again() {
    let server = Setup::new(BOXES, 2).start();
    let proxy = Proxy::start(server.address, Line::default());
    let browser = Browser::start();
    let window = browser.open_at(Screen::default(), proxy.address, "/#b=60200");
    window.until_live();
    window.until_state(60_200, "unchecked");

    // The line is dead, but nobody has noticed yet.
    proxy.go_silent();
    for id in 60_200..60_204 {
        window.click(id);
        assert_eq!(window.state(id), "waiting", "seen at once");
    }
    assert_eq!(window.connection(), "live");
    assert_eq!(window.text_of("#waiting"), "4 on the way");
    assert_eq!(server.client().greeted, 0);

    proxy.cut();
    eventually("the page to notice", || (window.connection() == "offline").then_some(()));
    window.click(60_204);
    assert_eq!(window.state(60_204), "waiting", "one plays on without a line");
    // Somebody else checks one of them meanwhile.
    let mut client = server.client();
    client.check(60_203);
    assert_eq!(client.next(), Told::Update { total: 1, id: 60_203 });

    proxy.mend();
    eventually("the page to come back", || (window.connection() == "live").then_some(()));
    for id in 60_200..60_205 {
        window.until_state(id, "checked");
    }
    window.until_total(5);
    assert_eq!(window.text_of("#waiting"), "");
    assert_eq!(window.place(), Some(60_204), "it kept its place");
    let checked = client.range(60_190, 60_219, &mut vec![]);
    assert_eq!(checked, [60_200, 60_201, 60_202, 60_203, 60_204]);
}

#[test]
fn a_burst_of_refusals_is_rolled_back_and_explained() {
    let setup = Setup::new(BOXES, 2).with("LIMITER__LIMIT", 0.5).with("LIMITER__BURST", 2);
    let (server, began) = (setup.start(), Instant::now());
    let browser = Browser::start();
    let window = browser.open_on(Screen { phone: true, dark: false }, &server, "/#b=60200");
    window.until_live();
    window.until_state(60_200, "unchecked");
    // Buckets of users begin empty with their server, and have all of their four tokens after as many seconds.
    eventually("a user has its tokens", || {
        (began.elapsed() > Duration::from_secs(4)).then_some(())
    });
    for id in 60_200..60_204 {
        window.tap_on(&format!("[data-id='{id}']"));
    }
    let notice = "Box 60,203 was not checked: slow down a little.";
    eventually(notice, || (window.text_of("#notice") == notice).then_some(()));
    for (id, state) in
        [(60_200, "checked"), (60_201, "checked"), (60_202, "unchecked"), (60_203, "unchecked")]
    {
        window.until_state(id, state);
    }
    window.until_total(2);
    assert_eq!(window.text_of("#mine-count"), "2", "what was refused is not mine");
    assert_eq!(window.connection(), "live");
    window.assert_no_complaints();
}

#[test]
fn boxes_of_mine_are_shown_and_remembered() {
    let server = Setup::new(BOXES, 2).start();
    let browser = Browser::start();
    let (window, other) = (browser.open(&server), browser.open(&server));
    let mine = [5, 810, BOXES];
    for id in mine {
        window.until_live();
        window.jump(&id.to_string());
        window.until_landed();
        window.until_state(id, "unchecked");
        window.click(id);
        window.until_state(id, "checked");
    }
    let is_mine = |window: &Window, id: u32| {
        let script = "return document.querySelector(`[data-id='${arguments[0]}']`).hasAttribute('data-mine')";
        window.evaluate(script, id) == true
    };
    assert!(is_mine(&window, BOXES));
    assert_eq!(window.text_of("#mine-count"), "3");

    window.reload();
    window.until_live();
    window.until_landed();
    window.until_state(BOXES, "checked");
    assert_eq!(window.text_of("#mine-count"), "3");
    eventually("mine to be shown", || is_mine(&window, BOXES).then_some(()));
    // From the newest to the oldest, and round.
    for (id, position) in [(BOXES, "3 of 3"), (810, "2 of 3"), (5, "1 of 3"), (BOXES, "3 of 3")] {
        window.click_on("#mine-older");
        eventually(&format!("box {id}"), || (window.place() == Some(id)).then_some(()));
        window.until_landed();
        assert!(is_mine(&window, id), "box {id}");
        assert_eq!(window.text_of("#mine-position"), position);
    }

    other.until_live();
    other.until_state(5, "checked");
    assert!(!is_mine(&other, 5), "it is not the other one's");
    assert_eq!(other.text_of("#mine-count"), "0");
    for window in [&window, &other] {
        window.assert_no_complaints();
    }
}

#[test]
fn the_first_box_the_last_box_and_tile_edges_can_be_checked() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    let mut client = server.client();
    let mut total = 0;
    // The corner where four tiles meet: of tiles 0, 1, 100 and 101.
    let corner =
        [TILE, 2 * TILE - TILE_COLUMNS + 1, 101 * TILE - TILE + TILE_COLUMNS, 101 * TILE + 1];
    for ids in [&[1][..], &[BILLION], &corner, &[999_900_001]] {
        for id in ids {
            window.jump(&id.to_string());
            window.until_landed();
            window.until_state(*id, "unchecked");
            window.click(*id);
            total += 1;
            assert_eq!(client.next(), Told::Update { total, id: *id });
            window.until_state(*id, "checked");
        }
    }
    window.jump(&TILE.to_string());
    window.until_landed();
    for id in corner {
        window.until_state(id, "checked");
    }
    until_total_everywhere(&window, &server, total);
    window.assert_no_complaints();
}

fn until_total_everywhere(window: &Window, server: &Server, total: u32) {
    window.until_total(total);
    assert_eq!(server.client().greeted, total);
}

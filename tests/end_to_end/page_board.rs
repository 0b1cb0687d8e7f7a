//! The page shows all of the board at once: how full it is where, what others do, and who is there.

use crate::harness::{
    BILLION, TILE,
    browser::{Browser, Screen},
    eventually,
    server::Setup,
};

#[test]
fn the_overview_shows_how_full_it_is_where_and_follows_what_others_do() {
    const BUSY_TILE: u32 = 5_050;
    let server = Setup::new(BILLION, 50).start();
    let mut client = server.client_v2();
    for id in 1..=3_000 {
        client.check(BUSY_TILE * TILE + id * 7);
    }
    eventually("the checks to be stored", || (server.client().greeted == 3_000).then_some(()));

    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, "/#b=500000");
    window.until_live();
    eventually("the overview", || (window.census(BUSY_TILE) == Some(3_000)).then_some(()));
    assert_eq!(window.census(BUSY_TILE + 1), Some(0));
    eventually("colours", || {
        let (full, empty) =
            (window.overview_colour(BUSY_TILE), window.overview_colour(BUSY_TILE + 2));
        (full != empty).then_some(())
    });
    let cold = window.overview_colour(7_070);

    // Somebody far from everything that this window has asked for.
    client.check(7_070 * TILE + 5);
    eventually("the pulse", || (window.census(7_070) == Some(1)).then_some(()));
    window.until_total(3_001);
    let glowing = eventually("a glow", || {
        Some(window.overview_colour(7_070)).filter(|colour| *colour != cold)
    });
    window.until("document.getElementById('busy').ariaDisabled === 'false'");
    window.until("/ s ago/.test(document.getElementById('busy').textContent)");
    let cooled = window.overview_colour(7_070);
    assert_ne!(cooled, glowing, "a glow fades");
    assert_ne!(cooled, cold, "the first box of a tile shows");
    window.click_on("#busy");
    eventually("to be where it is busy", || (window.place()? / TILE == 7_070).then_some(()));
    window.assert_no_complaints();
}

#[test]
fn the_page_says_where_one_is_and_how_many_are_there() {
    let (server, _) = Setup::new(BILLION, 50).start_living(BILLION);
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, "/#b=1");
    window.until_live();
    eventually("to be alone", || (window.players() == 1).then_some(()));
    assert_eq!(window.text_of("#players-count"), "just you");
    let others =
        [browser.open(&server), browser.open_on(Screen { phone: true, dark: true }, &server, "/")];
    eventually("to be three", || (window.players() == 3).then_some(()));
    assert_eq!(window.text_of("#players-count"), "3");
    drop(others);
    eventually("to be alone again", || (window.players() == 1).then_some(()));

    assert_eq!(window.text_of("#where"), "Box 1 row 1, column 1");
    let here = || {
        ["x", "y"].map(|axis| {
            let style = "document.getElementById('overview').style";
            window.number(&format!("parseFloat({style}.getPropertyValue('--here-{axis}'))"))
        })
    };
    assert!(here().iter().all(|share| *share < 0.01), "{:?}", here());
    window.jump("50%");
    window.until_landed();
    window.until_state(500_000_000, "unchecked");
    // Half of the boxes end with the fiftieth row of tiles.
    assert_eq!(window.text_of("#where"), "Box 500,000,000 row 12,500, column 40,000");
    let [x, y] = here();
    assert!(x > 0.99 && (0.49..0.51).contains(&y), "{x} {y}");
    assert_eq!(window.text_of("#tile-range"), "499,900,001 – 500,000,000");
    window.assert_no_complaints();
}

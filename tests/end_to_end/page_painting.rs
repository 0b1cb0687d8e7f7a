//! What is painted where boxes are too small to be checkboxes: never a blank, the same for all tiles,
//! sharp on every screen, and there as soon as the window has a size.

use crate::harness::{
    BILLION, TILE,
    browser::{Browser, DevTools, Screen, Window, contrast},
    eventually,
    server::Setup,
};

/// A box in the middle of its tile.
const fn middle_of(tile: u32) -> u32 {
    tile * TILE + 124 * 400 + 200
}

fn zoom_to(window: &Window, zoom: f64) {
    window.evaluate("billion.zoomTo(arguments[0])", zoom);
    window.until_landed();
}

#[test]
fn an_empty_part_of_the_board_is_squared_paper_and_no_blank() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    for screen in [Screen::default(), Screen { phone: true, dark: true }] {
        let window = browser.open_on(screen, &server, &format!("/#b={}", middle_of(5_050)));
        window.until_live();
        window.until("billion.census(5050) === 0");
        for zoom in [1.2, 2.1, 2.8, 3.2, 4., 6., 8., 12.] {
            zoom_to(&window, zoom);
            eventually(&format!("lines at {zoom} on {screen:?}"), || {
                let texture = window.texture();
                (texture.colours > 20 && texture.drawn > 0.01).then_some(())
            });
        }
        window.assert_no_complaints();
    }
}

#[test]
fn the_whole_board_has_an_edge_by_day_and_by_night() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    for dark in [false, true] {
        let window = browser.open_on(Screen { phone: false, dark }, &server, "/");
        window.until_live();
        zoom_to(&window, 0.);
        let row = window.colours_along(".painted", true, 0.5);
        let edge = row.iter().find(|colour| **colour != row[0]).expect("an edge");
        assert!(contrast(*edge, row[0]) > 2., "{edge:?} on {:?}, dark: {dark}", row[0]);
        window.assert_no_complaints();
    }
}

#[test]
fn tiles_with_as_many_boxes_look_alike_from_afar_whether_they_are_loaded_or_not() {
    const LOADED: u32 = 5_050;
    const NEVER_SEEN: u32 = LOADED + 1;
    let server = Setup::new(BILLION, 50).start();
    let mut client = server.client_v2();
    for id in 1..=300 {
        client.check(LOADED * TILE + id * 7);
        client.check(NEVER_SEEN * TILE + id * 11);
    }
    eventually("the checks to be stored", || (server.client().greeted == 600).then_some(()));
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, &format!("/#b={}", middle_of(LOADED)));
    window.until_live();
    window.until_state(middle_of(LOADED), "unchecked");
    window.until(&format!("billion.census({NEVER_SEEN}) === 300"));
    let unknown = format!("return billion.stateOf({})", middle_of(NEVER_SEEN));
    for zoom in [0.6, 0.3, 0.] {
        zoom_to(&window, zoom);
        let zoom = window.zoom();
        assert_eq!(window.evaluate(&unknown, ()), "unknown");
        // Beside the words, if there are any. The whole board stands in the middle, and so does the corner of the tile.
        let (left, top, x, y) =
            if zoom < 0.1 { (0., 0., 200., 125.) } else { (-200.5, -124.5, 60., 50.) };
        let colour =
            |tiles: f64| window.painted_at((left + tiles * 400. + x) * zoom, (top + y) * zoom);
        eventually("blocks", || (colour(0.) != colour(2.)).then_some(()));
        assert_eq!(colour(0.), colour(1.), "at {zoom}");
    }
    window.assert_no_complaints();
}

#[test]
fn the_small_map_has_every_line_whatever_the_density_of_the_screen() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    window.until("billion.census(0) === 0");
    let mut metrics = window.metrics(false);
    for (ratio, thick) in [(1., 1), (1.5, 2), (2., 2)] {
        metrics.set(1280, 800, ratio);
        let width = "document.querySelector('#overview canvas')";
        window.until(&format!(
            "Math.abs({width}.width - {width}.getBoundingClientRect().width * {ratio}) <= 0.5"
        ));
        for horizontal in [true, false] {
            eventually(&format!("nine lines at {ratio}"), || {
                // Between two lines of the other direction.
                let colours = window.colours_along("#overview canvas", horizontal, 0.55);
                let lines: Vec<_> = colours
                    .chunk_by(|one, other| one == other)
                    .filter(|run| run[0] != colours[0])
                    .map(<[_]>::len)
                    .collect();
                (lines == [thick; 9]).then_some(())
            });
        }
    }
    window.assert_no_complaints();
}

#[test]
fn the_map_is_sharp_again_after_a_move_to_a_screen_of_another_density() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    zoom_to(&window, 0.);
    let mut metrics = window.metrics(false);
    for ratio in [2., 1.5, 1.] {
        metrics.set(1280, 800, ratio);
        for canvas in ["#board canvas", "#overview canvas"] {
            let canvas = format!("document.querySelector('{canvas}')");
            window.until(&format!(
                "Math.abs({canvas}.width - {canvas}.getBoundingClientRect().width * {ratio}) <= 1"
            ));
        }
    }
    window.assert_no_complaints();
}

#[test]
fn a_board_that_had_no_size_at_first_fills_its_window_when_it_gets_one() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), "about:blank");
    let mut tools = DevTools::connect(&window);
    tools.before_each_page(
        "new MutationObserver((_, observer) => { \
            const board = document.getElementById('board'); \
            if (!board) return; \
            board.style.display = 'none'; \
            observer.disconnect(); \
        }).observe(document, { childList: true, subtree: true })",
    );
    let address = format!("http://{}/#b={}", server.address, middle_of(5_050));
    window.evaluate("location.href = arguments[0]", address);
    window.until("window.billion && document.body.dataset.connection === 'live'");
    assert_eq!(window.number("document.getElementById('board').clientHeight"), 0.);
    window.evaluate("document.getElementById('board').style.display = ''", ());
    window.until_landed();
    window.until_state(middle_of(5_050), "unchecked");
    assert_eq!(window.zoom(), 28.);
    let boxes = window.number("document.querySelectorAll('#board .box').length");
    assert!(boxes > 500., "only {boxes} boxes");
    window.assert_no_complaints();
}

#[test]
fn boxes_that_are_painted_because_the_screen_is_large_can_be_pointed_at_and_checked() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_on(Screen::default(), &server, &format!("/#b={}", middle_of(5_050)));
    window.until_live();
    let mut metrics = window.metrics(false);
    metrics.set(3440, 1440, 1.);
    window.until("innerWidth === 3440");
    window.until_landed();
    // Checkboxes stay checkboxes; they are larger, because there are never more than 2,000. The map hears of the
    // new size a frame later than the window.
    eventually("the zoom of the larger screen", || {
        ((window.level().as_str(), window.zoom()) == ("close", 50.)).then_some(())
    });
    zoom_to(&window, 33.);
    assert_eq!((window.level().as_str(), window.zoom()), ("boxes", 33.));
    // What a click does is what the hint says.
    window.until("document.querySelector('.hint [data-for=near]').checkVisibility()");
    // Near its edge: in the middle of a checked box is a tick.
    let colour = || window.painted_at(-8., -8.);
    let free = colour();
    window.click_at(window.middle_of("#board"));
    window.until("document.getElementById('board').hasAttribute('data-pointed')");
    window.until(&format!("billion.stateOf({}) === 'checked'", middle_of(5_050)));
    eventually("its colour", || (colour() != free).then_some(()));
    window.assert_no_complaints();
}

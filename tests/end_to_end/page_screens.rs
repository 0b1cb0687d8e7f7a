//! Every level on every screen, by day and by night: nothing sticks out, axe-core finds nothing to
//! complain of, and with `BILLION_SCREENSHOTS=<folder>` there are pictures of it for the documents.

use std::path::PathBuf;

use crate::harness::{
    BILLION, PATIENCE, TILE,
    browser::{Browser, Screen},
    crowd::Crowd,
    painting,
    server::{Server, Setup},
    within,
};

#[test]
fn every_level_suits_every_screen_by_day_and_by_night() {
    let pictures = std::env::var_os("BILLION_SCREENSHOTS").map(PathBuf::from);
    let browser = Browser::start();
    for (phone, dark) in [(false, false), (false, true), (true, false), (true, true)] {
        let screen = Screen { phone, dark };
        let device = if phone { "phone" } else { "desktop" };
        let scheme = if dark { "dark" } else { "light" };
        // A board of its own for each, so that what one player checks is not there before the next.
        let server = Setup::new(BILLION, 50).start();
        // One that many have played on takes a while to paint; without pictures a small one will do.
        paint(&server, if pictures.is_some() { 40_000. } else { 200. });
        let company: Vec<_> =
            (0..if pictures.is_some() { 127 } else { 0 }).map(|_| server.client_v2()).collect();
        let window = browser.open_on(screen, &server, &format!("/#b={}", painting::HERE));
        window.until_live();
        window.until_landed();
        let night = "return matchMedia('(prefers-color-scheme: dark)').matches";
        assert_eq!(window.evaluate(night, ()), dark);
        window.until(&format!("billion.census({}) > 10", (painting::HERE - 1) / TILE));
        // Some of one's own.
        for id in painting::MINE {
            window.click(id);
            window.until_state(id, "checked");
        }
        for (level, zoom) in
            [("close", None), ("boxes", Some(if phone { 1.2 } else { 2.5 })), ("board", Some(0.))]
        {
            if let Some(zoom) = zoom {
                window.evaluate("billion.zoomTo(arguments[0])", zoom);
                window.until_landed();
            }
            assert_eq!(window.level(), level);
            let name = format!("{device}-{scheme}-{level}");
            let overflow = "const { scrollWidth, scrollHeight } = document.documentElement;
                            return [scrollWidth - innerWidth, scrollHeight - innerHeight]";
            assert_eq!(
                window.evaluate(overflow, ()),
                serde_json::json!([0, 0]),
                "{name}: nothing sticks out"
            );
            if pictures.is_some() {
                // The number of checked boxes still rolls from the glitter of the last picture.
                window.until_still();
            }
            // Words that come and go stand over boxes, and axe-core cannot tell the background there.
            window.until("document.getElementById('cheer').textContent === ''");
            window.assert_accessible(&name);
            if let Some(folder) = &pictures {
                let _glitter = Crowd::start(server.address, 300, painting::glitter());
                window.until("document.getElementById('cheer').textContent === ''");
                window.until("document.getElementById('busy').ariaDisabled === 'false'");
                window.until_still();
                window.save_screenshot(&folder.join(format!("{name}.png")));
            }
        }
        window.assert_no_complaints();
        drop(company);
    }
}

/// Paints on the board as a crowd does, at its thickest `peak` boxes a tile.
pub fn paint(server: &Server, peak: f64) {
    let boxes = painting::boxes(peak);
    let count = boxes.len() as u32;
    let _crowd = Crowd::start(server.address, 200_000, boxes.into_iter());
    // For pictures it takes longer than anything in a test may.
    within(10 * PATIENCE, "the painting", || (server.client().greeted == count).then_some(()));
}

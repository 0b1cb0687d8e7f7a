//! Browsers on several nodes of one board, behind nginx.

use crate::harness::{
    browser::{Browser, Screen, Window},
    client::Client,
    cluster::shared,
    eventually,
    nginx::Balancer,
    server::{Server, Setup},
};

const BOXES: u32 = 250_000;

/// Notes when a box is first seen checked.
const WATCH: &str = "window.seenAt = null; const id = arguments[0]; const look = () => { \
    if (billion.stateOf(id) === 'checked') window.seenAt = Date.now(); \
    else setTimeout(look, 1); }; look();";

/// Notes when the mouse is next pressed.
const CLICKED: &str = "window.clickedAt = null; addEventListener('pointerdown', \
    () => { window.clickedAt = Date.now(); }, { once: true, capture: true });";

fn three_nodes(board: &str) -> (Setup, [Server; 3], Balancer) {
    let setup = Setup::on(shared(), board, BOXES, 2).with("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let nodes = [setup.start(), setup.start(), setup.start()];
    let nginx = Balancer::start(&[nodes[0].address, nodes[1].address, nodes[2].address]);
    (setup, nodes, nginx)
}

#[test]
fn a_check_on_one_node_shows_in_a_browser_on_another() {
    let quickest = check_on_one_and_see_on_another();
    println!("from click to the other browser: {quickest:.0} ms at best");
}

/// The quickest of ten checks, in milliseconds from the click until the other browser shows it.
fn check_on_one_and_see_on_another() -> f64 {
    let (_, nodes, nginx) = three_nodes("page");
    let browser = Browser::start();
    let url = format!("http://{}/", nginx.address);
    let [one, other] = [(); 2].map(|()| browser.open_url(Screen::default(), &url));
    for window in [&one, &other] {
        window.until_live();
        window.until_state(30, "unchecked");
    }
    let players = || nodes.each_ref().map(|node| node.metric("billion_connections"));
    eventually("two nodes with a player each", || {
        (players().iter().filter(|players| **players == 1.).count() == 2).then_some(())
    });
    let mut quickest = f64::MAX;
    for id in 1..=10 {
        let (from, to) = if id % 2 == 0 { (&one, &other) } else { (&other, &one) };
        to.evaluate(WATCH, id);
        from.evaluate(CLICKED, ());
        from.click(id);
        to.until_state(id, "checked");
        let time = |window: &Window, name| {
            let script = format!("return window.{name}");
            eventually("a time", || window.evaluate(&script, ()).as_f64())
        };
        quickest = quickest.min(time(to, "seenAt") - time(from, "clickedAt"));
    }
    for window in [&one, &other] {
        window.until_total(10);
        window.assert_no_complaints();
    }
    quickest
}

/// Judged by the clock, so never beside other tests: `cargo xtask bench page`.
mod timed {
    /// What is checked on one node is seen on another within this time.
    const SOON_MS: f64 = 200.;

    #[test]
    #[ignore = "judged by the clock: cargo xtask bench page"]
    fn a_check_on_one_node_soon_shows_in_a_browser_on_another() {
        let quickest = super::check_on_one_and_see_on_another();
        println!("from click to the other browser: {quickest:.0} ms at best, {SOON_MS} allowed");
        assert!((0.0..SOON_MS).contains(&quickest), "{quickest} ms");
    }
}

#[test]
fn a_browser_moves_to_another_node_when_its_own_dies() {
    let (_, mut nodes, nginx) = three_nodes("page-moves");
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), &format!("http://{}/", nginx.address));
    window.until_live();
    window.until_state(1, "unchecked");
    window.click(1);
    window.until_state(1, "checked");
    let its = nodes.iter().position(|node| node.metric("billion_connections") == 1.);
    let its = its.expect("it is on one of them");
    nodes[its].kill();
    let mut player = Client::connect(nodes[(its + 1) % 3].address, "/ws");
    player.check(2);
    window.until_live();
    window.until_state(2, "checked");
    window.until_state(1, "checked");
    window.click(3);
    window.until_state(3, "checked");
    window.until_total(3);
}

#[test]
fn a_reset_empties_the_page_of_whoever_looks_at_it() {
    let (setup, _nodes, nginx) = three_nodes("page-reset");
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), &format!("http://{}/", nginx.address));
    window.until_live();
    for id in [1, 2, 3] {
        window.until_state(id, "unchecked");
        window.click(id);
        window.until_state(id, "checked");
    }
    assert_eq!(setup.run(&["reset", "--yes"]).code, Some(0));
    window.until_state(2, "unchecked");
    window.until_total(0);
    window.until_live();
    window.click(2);
    window.until_state(2, "checked");
    window.until_total(1);
    window.until_state(1, "unchecked");
    window.until_state(3, "unchecked");
}

//! The dashboard in a real browser: what it shows, who is let in, and deciding by mouse and keyboard. With
//! `BILLION_SCREENSHOTS=<folder>` there are pictures of it for the documents.

use std::{fs, path::PathBuf};

use fantoccini::key::Key;
use serde_json::{Value, json};

use super::{Guarded, change};
use crate::harness::{
    BILLION,
    browser::{Browser, DevTools, Reader, Screen, Window},
    client::Told,
    cluster,
    crowd::Crowd,
    eventually, painting,
    server::{Server, Setup},
};

/// Opens the dashboard of a node.
fn open<'b>(browser: &'b Browser, server: &Server) -> Window<'b> {
    browser.open_at(Screen::default(), server.admin, "/")
}

fn until_text(window: &Window, selector: &str, text: &str) {
    let script = "return document.querySelector(arguments[0])?.textContent ?? null";
    eventually(&format!("{selector} to say {text:?}"), || {
        (window.evaluate(script, selector) == text).then_some(())
    });
}

fn until_live(window: &Window) {
    window
        .until("document.body.dataset.state === 'live' && !document.getElementById('room').hidden");
}

/// The buttons that are to be seen, by what they say.
fn buttons(window: &Window) -> Value {
    let script = "return [...document.querySelectorAll('main button')]
        .filter((button) => button.checkVisibility()).map((button) => button.textContent)";
    window.evaluate(script, ())
}

fn come_in(window: &Window, token: &str) {
    window.until("document.activeElement.id === 'token'");
    window.type_into("#token", &format!("{token}{}", char::from(Key::Enter)));
}

#[test]
fn figures_move_while_clients_play() {
    let server = Setup::new(1_000_000, 4).start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    until_live(&window);
    until_text(&window, "#players .value", "0");
    assert_eq!(window.text_of("#caller-words"), "this machine, operator");
    let mut clients = [server.client(), server.client_v2()];
    until_text(&window, "#players .value", "2");
    until_text(&window, "#addresses td", "2");
    let mut next_box = 500_001;
    eventually("the figures to move", || {
        clients[0].check(next_box);
        next_box += 1;
        let moved = window.evaluate(
            "return ['#checks', '#updates'].every((id) => !/peak 0$/.test(document.querySelector(`${id} .more`).textContent))
                && document.querySelector('#to-screens .value').textContent !== '–'",
            (),
        );
        (moved == true).then_some(())
    });
    let bars = "return [...document.querySelectorAll('#heat i')].map((bar) => bar.title)";
    let bars: Vec<String> = serde_json::from_value(window.evaluate(bars, ())).expect("titles");
    assert_eq!(bars.len(), 4);
    assert!(bars[2].starts_with("Boxes 600,001 to 900,000"), "{bars:?}");
    eventually("the busiest shard to be named", || {
        clients[0].check(next_box);
        next_box += 1;
        window
            .text_of("#heat-busiest")
            .starts_with("Busiest: boxes 300,001 to 600,000, ")
            .then_some(())
    });
    clients[1].send(b"odd");
    eventually("a refusal to be counted", || {
        window.text_of("#refusals").starts_with("message").then_some(())
    });
    assert!(
        window.evaluate("return document.querySelectorAll('.figure .line[d^=M]').length", ()) == 6
    );
    window.assert_no_complaints();
    window.assert_no_request_elsewhere();
}

#[test]
fn an_operator_decides_by_keyboard_and_by_mouse() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    let server = guarded.setup.start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    come_in(&window, &alice);
    until_live(&window);
    assert!(!window.url().contains(&alice), "{}", window.url());
    // Read-only, by keys alone: no first, then yes.
    window.type_into("#read-only-reason", &format!("upgrade{}", char::from(Key::Enter)));
    window.until("document.getElementById('confirm').open");
    assert_eq!(window.focused(), "confirm-no");
    window.press(Key::Escape);
    window.until("!document.getElementById('confirm').open");
    window.type_into("#read-only-reason", &char::from(Key::Enter).to_string());
    window.until("document.getElementById('confirm').open");
    window.press(Key::Tab);
    assert_eq!(window.focused(), "confirm-yes");
    window.press(Key::Enter);
    until_text(&window, "#read-only-now .sign", "The board takes no checks");
    until_text(&window, "#alerts", "The board is read-only: upgrade");
    let mut client = server.client_v2();
    client.check(7);
    assert_eq!(client.next(), Told::Refused { id: 7, reason: 3 });
    window.click_on("#read-only-end");
    until_text(&window, "#read-only-now .sign", "The board takes checks");
    // A block, by mouse, after one that is none.
    window.type_into("#block-network", "203.0.113");
    window.click_on("#block-form .danger");
    window.until("document.getElementById('confirm').open");
    window.click_on("#confirm-yes");
    eventually("the mistake to be named", || {
        let told = window.text_of("#block-form .problem");
        told.contains("203.0.113").then_some(())
    });
    window.evaluate("document.getElementById('block-network').value = ''", ());
    window.type_into("#block-network", "203.0.113.0/24");
    window.type_into("#block-reason", "bots");
    window.click_on("#block-form .danger");
    window.until("document.getElementById('confirm').open");
    window.click_on("#confirm-yes");
    until_text(&window, "#blocks code", "203.0.113.0/24");
    assert!(window.text_of("#blocks .quiet").starts_with("bots, until "));
    window.click_on("#blocks button");
    window.until("!document.getElementById('blocks-none').hidden");
    // A notice, with a text of two lines.
    until_text(&window, "#notice-now", "No notice is up.");
    window.type_into("#notice-text", "We restart at 18:00,");
    window.type_into("#notice-text", &format!("{}for a <b>minute</b>.", char::from(Key::Enter)));
    window.evaluate("document.getElementById('notice-severity').value = 'warning'", ());
    window.click_on("#notice-form .primary");
    until_text(&window, "#notice-now .said", "We restart at 18:00,\nfor a <b>minute</b>.");
    until_text(&window, "#notice-now .sign", "warning");
    window.click_on("#notice-back");
    until_text(&window, "#notice-now", "No notice is up.");
    let actions = ["board.read_only", "board.writable", "block", "unblock", "notice", "notice.end"];
    let written = fs::read_to_string(guarded.setup.folder().join("data/audit.jsonl"));
    let written = written.unwrap_or_else(|error| panic!("the audit: {error}"));
    let done: Vec<Value> =
        written.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(done.iter().map(|line| line["action"].clone()).collect::<Vec<_>>(), actions);
    assert!(done.iter().all(|line| line["by"] == "alice"), "{written}");
    // The token is forgotten.
    window.click_on("#leave");
    window.until("!document.getElementById('door').hidden");
    assert_eq!(window.evaluate("return sessionStorage.length", ()), 0);
}

#[test]
fn a_viewer_sees_everything_and_no_button() {
    let guarded = Guarded::new();
    let grafana = guarded.token("grafana", "viewer");
    let server = guarded.setup.start();
    let _client = server.client();
    let browser = Browser::start();
    let window = open(&browser, &server);
    come_in(&window, &grafana);
    until_live(&window);
    until_text(&window, "#addresses code", "127.0.0.1");
    until_text(&window, "#read-only-now .sign", "The board takes checks");
    assert_eq!(buttons(&window), json!([]));
    // It is let in again after a reload, and in no other tab.
    window.reload();
    until_live(&window);
    assert_eq!(window.text_of("#caller-words"), "grafana, viewer");
}

#[test]
fn a_wrong_token_is_told_so_and_one_that_is_revoked_is_asked_for_again() {
    let guarded = Guarded::new();
    let alice = guarded.token("alice", "operator");
    let server = guarded.setup.start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    window.until("document.activeElement.id === 'token'");
    assert_eq!(window.text_of("#door-problem"), "");
    come_in(&window, "bc_wrong");
    until_text(&window, "#door-problem", "The token is not valid here.");
    window.assert_accessible("the door");
    come_in(&window, &alice);
    until_live(&window);
    fs::write(&guarded.file, "").expect("it can be written");
    window.until("!document.getElementById('door').hidden");
    assert_eq!(window.evaluate("return document.getElementById('room').hidden", ()), true);
}

#[test]
fn the_dashboard_outlives_its_node_and_comes_back() {
    // On another loopback address than all other tests, so that none of them takes the port meanwhile.
    let setup = Setup::new(1000, 1).with("ADMIN__ADDRESS", "127.0.0.5:0");
    let mut server = setup.start();
    let admin = server.admin;
    let browser = Browser::start();
    let window = open(&browser, &server);
    until_live(&window);
    let before = window.text_of("#whose");
    server.kill();
    window.until("document.body.dataset.state === 'lost'");
    assert_eq!(window.text_of("#state-words"), "reconnecting");
    assert!(window.text_of("#as-of").starts_with("as of "), "{}", window.text_of("#as-of"));
    window.assert_accessible("while the node is away");
    let _server = setup.with("ADMIN__ADDRESS", admin).start();
    until_live(&window);
    eventually("another process", || (window.text_of("#whose") != before).then_some(()));
}

#[test]
fn the_dashboard_suits_every_screen_by_day_and_by_night() {
    let pictures = std::env::var_os("BILLION_SCREENSHOTS").map(PathBuf::from);
    let cluster = cluster::shared();
    let node = || Setup::on(cluster, "dashboard", BILLION / 100, 50).start();
    let servers = [node(), node()];
    let server = &servers[0];
    server.client_v2().send(b"odd");
    for (network, reason) in [("198.51.100.0/24", "scripts"), ("2001:db8:6::/48", "flood")] {
        let block = json!({ "network": network, "reason": reason, "for_s": 86_400 });
        assert_eq!(change(server, "POST", "/blocks", &block).0, 200);
    }
    let notice = json!({ "text": "We restart at 18:00, for a minute.", "severity": "warning", "for_s": 7200 });
    assert_eq!(change(server, "POST", "/ws/broadcast", &notice).0, 200);
    let rate = if pictures.is_some() { 40 } else { 10 };
    let play = |player: usize| {
        let boxes = painting::glitter().skip(10_000 * player).map(|id| id.div_ceil(100));
        Crowd::start(servers[player % 3 / 2].address, rate, boxes)
    };
    let _players: Vec<_> = (0..15).map(play).collect();
    let browser = Browser::start();
    for (name, phone, dark) in [
        ("light", false, false),
        ("dark", false, true),
        ("phone", true, false),
        ("phone-dark", true, true),
    ] {
        let size = if phone { (360, 800) } else { (1280, 1340) };
        let screen = Screen { phone, dark };
        let reader = Reader { size: Some(size), ..screen.into() };
        let window = browser.open_for(reader, &format!("http://{}/", server.admin));
        until_live(&window);
        window.until("document.getElementById('nodes').rows.length === 2");
        window.until("document.querySelector('#checks .value').textContent !== '0'");
        window.until("document.querySelectorAll('#blocks li').length === 2");
        let overflow = "return document.documentElement.scrollWidth - innerWidth";
        assert_eq!(window.evaluate(overflow, ()), 0, "{name}: nothing sticks out");
        window.assert_accessible(name);
        // Three are enough for the documents.
        if let Some(folder) = pictures.as_ref().filter(|_| !(phone && dark)) {
            // A line of half a minute.
            let points =
                "document.querySelector('#checks .line').getAttribute('d').split('L').length > 30";
            window.until(points);
            window.save_screenshot(&folder.join(format!("dashboard-{name}.png")));
        }
        if !phone {
            let mut tools = DevTools::connect(&window);
            tools.prefer("prefers-contrast", "more");
            window.assert_accessible("more contrast");
        }
        window.assert_no_complaints();
    }
}

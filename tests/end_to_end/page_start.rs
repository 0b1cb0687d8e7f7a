//! A page that cannot start says so, and one in a browser that lacks a convenience starts all the same.

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::harness::{
    BILLION,
    browser::{Browser, DevTools, Screen, Window},
    eventually,
    server::Setup,
};

fn until_trouble(window: &Window) -> String {
    window.until("document.getElementById('trouble').checkVisibility()");
    let inert = "return ['main', '.dock'].every((part) => document.querySelector(part).inert)";
    assert_eq!(window.evaluate(inert, Value::Null), true, "what does not work takes no clicks");
    assert_ne!(window.text_of("#connection-state"), "connecting");
    window.text_of("#trouble-cause")
}

#[test]
fn a_page_that_cannot_start_says_so_and_offers_a_way_out() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let page = format!("http://{}/#b=1000", server.address);
    for (missing, word) in [("WebSocket", "WebSocket"), ("ResizeObserver", "ResizeObserver")] {
        let window = browser.open_url(Screen::default(), "about:blank");
        let mut tools = DevTools::connect(&window);
        tools.before_each_page(&format!("delete window.{missing}"));
        window.go_to(&page);
        assert!(until_trouble(&window).contains(word), "{}", window.text_of("#trouble-cause"));
    }

    // A module that does not arrive.
    let window = browser.open_url(Screen::PHONE, "about:blank");
    let mut tools = DevTools::connect(&window);
    tools.command("Network.enable", json!({}));
    tools.command("Network.setBlockedURLs", json!({ "urls": ["*/camera.js"] }));
    window.go_to(&page);
    assert!(
        until_trouble(&window).contains("could not be loaded"),
        "{}",
        window.text_of("#trouble-cause")
    );
    tools.command("Network.setBlockedURLs", json!({ "urls": [] }));
    window.tap_on("#reload");
    window.until_live();
    let gone = "return document.getElementById('trouble').checkVisibility()";
    assert_eq!(window.evaluate(gone, Value::Null), false);
    assert_eq!(window.hash(), "#b=1000", "the place is kept");
}

#[test]
fn without_scripts_there_is_a_word_about_it_and_nothing_to_click() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), "about:blank");
    let mut tools = DevTools::connect(&window);
    tools.command("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    window.go_to(&format!("http://{}/", server.address));
    let text: String = tools.text_of_page();
    assert!(text.contains("1,000,000,000"), "{text}");
    assert!(text.contains("Please switch it on"), "{text}");
    for control in ["Random", "connecting", "Busy"] {
        assert!(!text.contains(control), "{control} in {text}");
    }
}

#[test]
fn a_browser_without_popovers_and_light_dismiss_has_keys_and_help() {
    let server = Setup::new(BILLION, 50).start();
    let browser = Browser::start();
    let window = browser.open_url(Screen::default(), "about:blank");
    let mut tools = DevTools::connect(&window);
    tools.before_each_page(
        "for (const name of ['togglePopover', 'showPopover', 'hidePopover', 'popover']) delete HTMLElement.prototype[name];
         delete HTMLDialogElement.prototype.closedBy;
         for (const name of ['querySelector', 'querySelectorAll', 'matches']) {
             const prototype = name === 'matches' ? Element.prototype : Document.prototype;
             const native = prototype[name];
             prototype[name] = function (selector) {
                 if (/popover-open/.test(selector)) throw new SyntaxError(selector);
                 return native.call(this, selector);
             };
         }",
    );
    window.go_to(&format!("http://{}/#b=60200", server.address));
    window.until_live();
    window.until_landed();
    let zoom = window.zoom();
    window.press(Key::Right);
    eventually("a step", || (window.place() == Some(60_201)).then_some(()));
    window.press('-');
    window.until_landed();
    assert!(window.zoom() < zoom);
    let shown = "return document.getElementById('help').checkVisibility()";
    assert_eq!(window.evaluate(shown, Value::Null), false, "not in the way");
    window.click_on("#help-button");
    assert_eq!(window.evaluate(shown, Value::Null), true);
    window.press(Key::Escape);
    assert_eq!(window.evaluate(shown, Value::Null), false);
    window.assert_no_complaints();
}

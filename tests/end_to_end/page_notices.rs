//! What operators say, as players read it in a browser.

use serde_json::{Value, json};

use crate::{
    harness::{
        browser::{Browser, Screen, Window},
        eventually,
        server::{Server, Setup},
    },
    operators::change,
};

fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Value {
    let (status, answer) = change(server, method, path, body);
    assert_eq!(status, 200, "{answer}");
    answer
}

/// What stands in a place; nothing if it is hidden.
fn standing(window: &Window, place: &str) -> Option<String> {
    let script = format!("return document.getElementById('said-{place}').hidden");
    (window.evaluate(&script, ()) == json!(false))
        .then(|| window.text_of(&format!("#said-{place} p")))
}

fn until_standing(window: &Window, place: &str, wanted: Option<&str>) {
    eventually("what stands on the page", || {
        (standing(window, place).as_deref() == wanted).then_some(())
    });
}

#[test]
fn a_notice_stands_until_it_is_taken_back_or_put_away_and_covers_nothing() {
    let server = Setup::new(1_000_000, 4).start();
    let browser = Browser::start();
    for (phone, dark) in [(false, false), (false, true), (true, false), (true, true)] {
        let window = browser.open_on(Screen { phone, dark }, &server, "/");
        window.until_live();
        for (severity, word) in
            [("info", "Notice"), ("warning", "Warning"), ("critical", "Important")]
        {
            // One line: below several, axe-core finds several boxes and cannot say which gives the contrast.
            let text = "<b>Back</b> at 9:00";
            let body = json!({"text": text, "severity": severity});
            ask(&server, "POST", "/ws/broadcast", &body);
            until_standing(&window, "all", Some(&format!("{word}{text}")));
            let when = format!("a notice, phone: {phone}, dark: {dark}, {severity}");
            window.until_still();
            window.assert_accessible(&when);
            let overflow = "const { scrollWidth, scrollHeight } = document.documentElement;
                            return [scrollWidth - innerWidth, scrollHeight - innerHeight]";
            assert_eq!(window.evaluate(overflow, ()), json!([0, 0]), "{when}: nothing sticks out");
        }
        ask(&server, "DELETE", "/ws/broadcast", &Value::Null);
        until_standing(&window, "all", None);
        // As long as can be, without a place to break.
        let long = format!("{}\n{}", "x".repeat(511), "y".repeat(512));
        ask(&server, "POST", "/ws/broadcast", &json!({"text": long}));
        until_standing(&window, "all", Some(&format!("Notice{long}")));
        let inside = "const { left, right, bottom } = document.getElementById('said-all').getBoundingClientRect();
                      return left >= 0 && right <= innerWidth && bottom <= innerHeight * 0.6";
        assert_eq!(window.evaluate(inside, ()), json!(true), "phone: {phone}, dark: {dark}");
        ask(&server, "DELETE", "/ws/broadcast", &Value::Null);
        window.assert_no_complaints();
    }
}

#[test]
fn what_was_put_away_stays_away_over_a_reconnect_and_a_message_is_for_one_page() {
    let setup = Setup::new(1_000_000, 4);
    let server = setup.start();
    let browser = Browser::start();
    let window = browser.open(&server);
    window.until_live();
    ask(&server, "POST", "/ws/broadcast", &json!({"text": "Soon"}));
    until_standing(&window, "all", Some("NoticeSoon"));
    let connections = ask(&server, "GET", "/connections", &Value::Null);
    let id = connections["connections"][0]["id"].as_str().expect("text").to_owned();
    ask(&server, "POST", "/ws/message", &json!({"connection": id, "text": "Hello"}));
    until_standing(&window, "own", Some("To you: NoticeHello"));
    window.click_on("#said-all button");
    until_standing(&window, "all", None);
    assert_eq!(window.focused(), "board", "keys are for the board again");

    let shown = "shown = []; new MutationObserver(() => {
        const said = document.getElementById('said-all');
        if (!said.hidden) shown.push(said.textContent);
    }).observe(document.getElementById('said-all'), { attributes: true });";
    window.evaluate(shown, ());
    ask(&server, "DELETE", &format!("/connections/{id}?code=1012&reason=once+more"), &Value::Null);
    eventually("the page to come back", || {
        let connections = ask(&server, "GET", "/connections", &Value::Null);
        (connections["connections"][0]["id"] != json!(id)).then_some(())
    });
    window.until_live();
    ask(&server, "POST", "/ws/broadcast", &json!({"text": "Now"}));
    until_standing(&window, "all", Some("NoticeNow"));
    assert_eq!(window.evaluate("return shown", ()), json!(["NoticeNow"]));
    assert_eq!(standing(&window, "own").as_deref(), Some("To you: NoticeHello"));
    window.assert_no_complaints();
}

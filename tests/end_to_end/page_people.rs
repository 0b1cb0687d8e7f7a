//! People in a browser: who one is to the server, accounts, teams, ranks and the chat, by hand, by keys, and for every
//! reader.

mod screens;

use fantoccini::key::Key;
use serde_json::{Value, json};

use crate::harness::{
    browser::{Browser, Reader, Screen, Window},
    eventually,
    server::{Server, Setup, request, send},
};

/// A box in the middle of the first tile.
const HERE: u32 = 60_200;

const PASSWORD: &str = "correct horse battery";

fn start() -> Server {
    Setup::new(1_000_000, 4).with("PEOPLE__CHAT", true).start()
}

fn open<'b>(browser: &'b Browser, server: &Server) -> Window<'b> {
    let window = browser.open_on(Screen::default(), server, &format!("/#b={HERE}"));
    window.until_live();
    window.until_landed();
    window
}

/// Whom the connections of a server belong to.
fn users(server: &Server) -> Vec<Option<String>> {
    let answer = request(server.admin, "GET", "/connections", &[]);
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    let connections = answer["connections"].as_array().expect("a list").iter();
    connections.map(|connection| connection["user"].as_str().map(ToOwned::to_owned)).collect()
}

/// The only user who is connected.
fn user(server: &Server) -> String {
    eventually("a connection of somebody", || match &users(server)[..] {
        [Some(user)] => Some(user.clone()),
        _ => None,
    })
}

/// Opens the dialog at one of its tabs.
fn go_to(window: &Window, tab: &str) {
    if window.evaluate("return document.getElementById('people').open", ()) == false {
        window.click_on("#me");
        window.until("document.getElementById('people').open");
    }
    window.click_on(&format!("#tab-{tab}"));
}

/// With the whole board below: axe-core cannot tell what a line of text lies on that has other checkboxes behind it than
/// the next line, though none of them is seen.
fn from_afar(window: &Window) {
    window.evaluate("billion.zoomTo(0)", ());
    window.until_landed();
}

fn close(window: &Window) {
    window.press(Key::Escape);
    window.until("!document.getElementById('people').open");
}

/// Fills a form in and sends it.
fn fill(window: &Window, form: &str, fields: &[(&str, &str)]) {
    for (name, text) in fields {
        window.type_into(&format!("#{form} input[name={name}]"), text);
    }
    window.click_on(&format!("#{form} [type=submit]"));
}

fn register(window: &Window, name: &str) {
    go_to(window, "account");
    window.click_on("#signed-out [data-way=register]");
    fill(window, "register-form", &[("name", name), ("password", PASSWORD)]);
    until_named(window, name);
    close(window);
}

/// What the door says.
fn until_named(window: &Window, name: &str) {
    eventually(&format!("the door to say {name}"), || {
        (window.text_of("#me-name") == name).then_some(())
    });
}

fn until_said(window: &Window, words: &str) {
    eventually(&format!("the dialog to say {words}"), || {
        (window.text_of("#people-said") == words).then_some(())
    });
}

#[test]
fn a_player_has_an_identity_from_the_first_check_on_and_keeps_it_over_reloads() {
    let server = start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    assert_eq!(users(&server), [None], "nothing is asked of who only looks");
    assert_eq!(window.evaluate("return localStorage.getItem('billion.me')", ()), Value::Null);
    window.click(HERE);
    window.until_state(HERE, "checked");
    let first = user(&server);
    assert_eq!(window.text_of("#me-name"), "Sign in");
    let cookies = "return document.cookie";
    assert_eq!(window.evaluate(cookies, ()), json!(""), "no script can read it");
    window.reload();
    window.until_live();
    assert_eq!(user(&server), first);
    window.assert_no_complaints();
    window.assert_no_request_elsewhere();
}

#[test]
fn an_account_is_made_renamed_left_and_found_again() {
    let server = start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    window.click(HERE);
    window.until_state(HERE, "checked");
    let anonymous = user(&server);
    from_afar(&window);
    go_to(&window, "account");
    window.click_on("#signed-out [data-way=register]");
    assert_eq!(window.focused(), "register-name");
    // A problem is at its field, read out, and has the focus.
    window.click_on("#register-form [type=submit]");
    assert_eq!(window.text_of("#register-name-problem"), "Please fill this in.");
    fill(&window, "register-form", &[("name", "Ann"), ("password", "short")]);
    window.until("document.getElementById('register-password').ariaInvalid === 'true'");
    assert_eq!(window.focused(), "register-password");
    window.assert_accessible("a password that will not do");
    window.evaluate("document.getElementById('register-password').value = ''", ());
    fill(&window, "register-form", &[("password", PASSWORD)]);
    until_named(&window, "Ann");
    assert_eq!(user(&server), anonymous, "the boxes count for the account");

    window.click_on("#signed-in details:nth-of-type(1) summary");
    fill(&window, "name-form", &[("name", "Anna")]);
    until_named(&window, "Anna");
    window.click_on("#signed-in details:nth-of-type(2) summary");
    fill(&window, "password-form", &[("old", "wrong password"), ("new", "another battery")]);
    window.until("document.getElementById('old-password').ariaInvalid === 'true'");
    window.evaluate(
        "for (const i of document.querySelectorAll('#password-form input')) i.value = ''",
        (),
    );
    fill(&window, "password-form", &[("old", PASSWORD), ("new", "another battery")]);
    until_said(&window, "Your password is changed. Other devices are signed out.");
    until_named(&window, "Anna");
    eventually("the connection to be hers again", || {
        (users(&server) == [Some(anonymous.clone())]).then_some(())
    });

    window.click_on("#sign-out");
    until_named(&window, "Sign in");
    eventually("the connection to be nobody's", || (users(&server) == [None]).then_some(()));
    window.until_live();
    fill(&window, "login-form", &[("name", "Anna"), ("password", "another battery")]);
    until_named(&window, "Anna");
    assert_eq!(user(&server), anonymous);
    // The next day.
    close(&window);
    window.reload();
    window.until_live();
    until_named(&window, "Anna");

    let complaints = window.complaints();
    let others: Vec<_> =
        complaints.iter().filter(|line| !line.contains(" 40") && !line.contains(" 42")).collect();
    assert!(others.is_empty(), "the console says: {others:#?}");
}

#[test]
fn an_account_is_deleted_with_its_password_and_the_boxes_stay() {
    let server = start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    register(&window, "Ann");
    window.click(HERE);
    window.until_state(HERE, "checked");
    go_to(&window, "account");
    window.click_on("#signed-in details:nth-of-type(4) summary");
    fill(&window, "delete-form", &[("password", PASSWORD)]);
    until_said(&window, "Your account is deleted.");
    until_named(&window, "Sign in");
    eventually("the connection to be nobody's", || (users(&server) == [None]).then_some(()));
    close(&window);
    window.until_live();
    window.until_state(HERE, "checked");
    register(&window, "Ann");
    window.assert_no_complaints();
}

#[test]
fn what_one_tab_or_device_does_the_others_hear_of() {
    let server = start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    // A second tab of the same browser.
    window.evaluate("other = window.open(location.href); return null", ());
    let others_name = "other.document.getElementById('me-name')?.textContent";
    window.until(&format!("{others_name} === 'Sign in' && other.billion?.total !== undefined"));
    register(&window, "Ann");
    window.until(&format!("{others_name} === 'Ann'"));
    eventually("both connections to be hers", || {
        let users = users(&server);
        (users.len() == 2 && users[0].is_some() && users[0] == users[1]).then_some(())
    });
    let elsewhere = open(&browser, &server);
    go_to(&elsewhere, "account");
    fill(&elsewhere, "login-form", &[("name", "Ann"), ("password", PASSWORD)]);
    until_named(&elsewhere, "Ann");
    elsewhere.click_on("#sign-out-everywhere");
    until_named(&elsewhere, "Sign in");
    until_named(&window, "Sign in");
    window.until(&format!("{others_name} === 'Sign in'"));
    // And the board plays on.
    window.until_live();
    window.click(HERE);
    window.until_state(HERE, "checked");
    elsewhere.until_state(HERE, "checked");
}

#[test]
fn a_team_is_joined_by_a_link_and_a_click() {
    let server = start();
    let browser = Browser::start();
    let ann = open(&browser, &server);
    register(&ann, "Ann");
    go_to(&ann, "team");
    fill(&ann, "team-form", &[("name", "Foxes")]);
    ann.until("document.getElementById('team-invite').value !== ''");
    let link = ann.evaluate("return document.getElementById('team-invite').value", ());
    let link = link.as_str().expect("a text").to_owned();
    assert!(link.contains("/#team="), "{link}");
    close(&ann);

    let bob = open(&browser, &server);
    // In the same tab, as by a click on it in another program.
    bob.go_to(&link);
    bob.until("document.getElementById('people').open");
    assert_eq!(bob.hash(), format!("#b={HERE}"), "the address is the place again");
    bob.click_on("#team-sign-in");
    bob.click_on("#signed-out [data-way=register]");
    fill(&bob, "register-form", &[("name", "Bob"), ("password", PASSWORD)]);
    until_named(&bob, "Bob");
    assert_eq!(bob.focused(), "tab-team", "whoever has signed in to join is led there");
    assert_eq!(bob.text_of("#team-members"), "", "nobody joins by a link alone");
    bob.assert_accessible("an invitation");
    bob.click_on("#join-team");
    until_said(&bob, "Welcome to Foxes.");
    bob.until("document.querySelectorAll('#team-members li').length === 2");
    close(&bob);
    assert_eq!(bob.evaluate("return document.getElementById('me-team').hidden", ()), false);
    go_to(&ann, "team");
    ann.until("document.querySelectorAll('#team-members li').length === 2");
    ann.assert_accessible("a team");

    go_to(&bob, "team");
    bob.click_on("#leave-team");
    bob.click_on("#leave-yes");
    until_said(&bob, "You have left the team. Your boxes stay with it.");
    bob.until("!document.getElementById('team-none').hidden");
    // An invitation is declined by a click, and the place stays.
    close(&bob);
    bob.go_to(&link);
    bob.until("document.getElementById('people').open");
    bob.click_on("#decline-team");
    bob.until("document.getElementById('team-invited').hidden");
    ann.assert_no_complaints();
    bob.assert_no_complaints();
}

#[test]
fn the_ranks_mark_the_own_row_and_follow_what_happens() {
    let server = start();
    let browser = Browser::start();
    let (ann, bob) = (open(&browser, &server), open(&browser, &server));
    register(&ann, "Ann");
    register(&bob, "Bob");
    ann.click(HERE);
    ann.until_state(HERE, "checked");
    go_to(&ann, "ranks");
    let rows = |window: &Window| {
        let script = "return [...document.querySelectorAll('#ranks-rows tr')].map((row) =>
            [[...row.cells].map(({ textContent }) => textContent), row.ariaCurrent])";
        window.evaluate(script, ())
    };
    let until = |rank: &str, wanted: Value| {
        eventually(rank, || (rows(&ann) == wanted).then_some(()));
    };
    until("the own row", json!([[["1", "Ann (you)", "1"], "true"]]));
    for id in [HERE + 1, HERE + 2] {
        bob.click(id);
        bob.until_state(id, "checked");
    }
    let both = json!([[["1", "Bob", "2"], null], [["2", "Ann (you)", "1"], "true"]]);
    until("what the other has done, by itself", both.clone());
    ann.click_on("#ranks-form label:has([value=ever])");
    until("the same of all time", both);
    ann.assert_no_complaints();
}

/// The last message that a window shows: who, and what.
fn last_line(window: &Window) -> Value {
    let script = "const line = document.querySelector('#chat-lines li:last-child');
        return line && [line.querySelector('strong')?.textContent, line.querySelector('p')?.textContent,
                        line.querySelectorAll('p *').length]";
    window.evaluate(script, ())
}

fn until_last(window: &Window, who: &str, text: &str) {
    let wanted = json!([who, text, 0]);
    eventually(&format!("{who} to have said {text}"), || {
        (last_line(window) == wanted).then_some(())
    });
}

fn open_chat(window: &Window) {
    go_to(window, "account");
    window.click_on("#open-chat");
    window.until("document.getElementById('chat').dataset.where === 'here'");
}

fn say(window: &Window, text: &str) {
    window.type_into("#chat-text", &format!("{text}{}", char::from(Key::Enter)));
    window.until("document.getElementById('chat-text').value === ''");
}

#[test]
fn who_looks_at_the_same_place_can_talk_and_who_does_not_want_to_hear_somebody_does_not() {
    let server = start();
    let browser = Browser::start();
    let (ann, bob) = (open(&browser, &server), open(&browser, &server));
    for window in [&ann, &bob] {
        assert_eq!(window.evaluate("return document.getElementById('chat').hidden", ()), true);
        open_chat(window);
    }
    let name_of = |window: &Window| {
        window.evaluate("return document.querySelector('#chat-lines strong').textContent", ())
    };
    let hostile = "<b>hi</b> https://evil.example";
    say(&ann, hostile);
    until_last(&ann, "You", hostile);
    eventually("the other to hear it", || (last_line(&bob)[1] == hostile).then_some(()));
    assert_eq!(last_line(&bob)[2], 0, "text, never markup");
    let name = name_of(&bob).as_str().expect("a name").to_owned();
    assert!(name.starts_with("Player "), "{name}");
    // What was said is there for who comes, or comes back, a little later.
    bob.press(Key::Escape);
    bob.until("document.getElementById('chat').hidden");
    say(&ann, "second");
    open_chat(&bob);
    until_last(&bob, &name, "second");
    bob.assert_accessible("a chat");

    bob.click_on("#chat-lines li:last-child .more-of-it");
    bob.click_on("#chat-lines li:last-child .actions button");
    bob.until("document.querySelectorAll('#chat-lines li').length === 0");
    say(&ann, "third");
    say(&bob, "mine");
    until_last(&bob, "You", "mine");
    assert_eq!(bob.number("document.querySelectorAll('#chat-lines li').length"), 1.);
    bob.reload();
    bob.until_live();
    bob.until_landed();
    open_chat(&bob);
    until_last(&bob, "You", "mine");
    assert_eq!(bob.number("document.querySelectorAll('#chat-lines li').length"), 1.);
    bob.click_on("#chat-unmute");
    bob.until("document.querySelectorAll('#chat-lines li').length === 4");
    // From afar nobody is at the same place.
    bob.evaluate("billion.zoomTo(0)", ());
    bob.until("document.getElementById('chat').dataset.where === ''");
    ann.assert_no_complaints();
    bob.assert_no_complaints();
}

#[test]
fn what_operators_publish_is_heard_in_the_chat_and_what_is_reported_they_read() {
    let server = start();
    let browser = Browser::start();
    let (ann, bob) = (open(&browser, &server), open(&browser, &server));
    open_chat(&ann);
    open_chat(&bob);
    say(&ann, "buy this");
    eventually("the other to hear it", || (last_line(&bob)[1] == "buy this").then_some(()));
    bob.click_on("#chat-lines li:last-child .more-of-it");
    bob.click_on("#chat-lines li:last-child .actions button:last-child");
    bob.assert_accessible("reasons of a report");
    bob.click_on("#chat-lines li:last-child .actions button:nth-of-type(2)");
    eventually("the report to be confirmed", || {
        (bob.text_of("#chat-problem") == "Reported. Thank you.").then_some(())
    });
    bob.until(
        "document.querySelector('#chat-lines li:last-child').textContent.includes('reported')",
    );
    let answer = request(server.admin, "GET", "/reports", &[]);
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    let report = &answer["reports"][0];
    assert_eq!((&report["reason"], &answer["reports"][1]), (&json!("spam"), &Value::Null));
    assert_eq!(report["messages"][0]["data"]["text"], "buy this");

    let tile = report["messages"][0]["to"].clone();
    let body = json!({ "to": tile, "data": { "text": "<b>no</b> adverts" } }).to_string();
    let media = [("Content-Type", "application/json")];
    let sent = send(server.admin, "POST", "/ws/message", &media, body.as_bytes());
    assert_eq!(sent.status, 200, "{}", sent.body);
    for window in [&ann, &bob] {
        until_last(window, "Operator", "<b>no</b> adverts");
        let actions = "document.querySelectorAll('#chat-lines li:last-child button').length";
        assert_eq!(window.number(actions), 0., "nobody mutes or reports operators");
        window.assert_no_complaints();
    }
}

#[test]
fn a_page_without_a_chat_speaks_of_none() {
    let server = Setup::new(1_000_000, 4).start();
    let browser = Browser::start();
    let window = open(&browser, &server);
    go_to(&window, "account");
    assert_eq!(window.evaluate("return document.getElementById('open-chat').hidden", ()), true);
    assert_eq!(window.evaluate("return document.getElementById('chat-button').hidden", ()), true);
    window.assert_no_complaints();
}

#[test]
fn all_about_people_is_legible_for_every_reader() {
    let server = start();
    let browser = Browser::start();
    let sized = |width, height, font_px| Reader {
        size: Some((width, height)),
        font_px,
        ..Screen::default().into()
    };
    let readers: [(&str, Reader); 8] = [
        ("desk", Screen::default().into()),
        ("desk by night", Screen { phone: false, dark: true }.into()),
        ("phone", Screen::PHONE.into()),
        ("phone by night", Screen { phone: true, dark: true }.into()),
        ("small phone", Reader { size: Some((320, 568)), ..Screen::PHONE.into() }),
        ("phone on its side", Reader { size: Some((844, 390)), ..Screen::PHONE.into() }),
        ("desk at 400 %", sized(320, 256, 16)),
        ("desk with large type", sized(1280, 800, 32)),
    ];
    for (number, (who, reader)) in readers.into_iter().enumerate() {
        let window = browser.open_for(reader, &format!("http://{}/#b={HERE}", server.address));
        window.until_live();
        window.until_landed();
        from_afar(&window);
        let look = |state: &str| {
            // Its head stays in sight, and axe-core cannot tell what lies behind that.
            window.evaluate("document.getElementById('people').scrollTop = 0", ());
            window.until_still();
            let sideways =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(window.number(sideways), 0., "{who}, {state}: nothing sticks out");
            let inside = "(() => { const people = document.getElementById('people');
                return people.open ? people.scrollWidth - people.clientWidth : 0; })()";
            assert!(window.number(inside) <= 0., "{who}, {state}: all of it is in sight");
            window.assert_accessible(&format!("{who}, {state}"));
        };
        window.evaluate("document.getElementById('me').click()", ());
        window.until("document.getElementById('people').open");
        look("signing in");
        for tab in ["team", "ranks", "account"] {
            window.evaluate("document.getElementById(arguments[0]).click()", format!("tab-{tab}"));
            look(tab);
        }
        for way in ["register", "reset"] {
            let press = "document.querySelector(`#signed-out [data-way=${arguments[0]}]`).click()";
            window.evaluate(press, way);
            look(way);
        }
        window.evaluate("document.querySelector('#signed-out [data-way=register]').click()", ());
        let fields = [("name", format!("Reader {number}")), ("password", PASSWORD.to_owned())];
        for (name, text) in &fields {
            window.type_into(&format!("#register-form input[name={name}]"), text);
        }
        window.press(Key::Enter);
        until_named(&window, &format!("Reader {number}"));
        window.evaluate(
            "for (const part of document.querySelectorAll('#people details')) part.open = true",
            (),
        );
        look("signed in");
        window.evaluate("document.getElementById('tab-team').click()", ());
        look("no team");
        window.type_into("#team-new-name", &format!("Team {number}"));
        window.press(Key::Enter);
        window.until("document.querySelectorAll('#team-members li').length === 1");
        look("a team");
        close(&window);
        look("signed in, at the board");
        window.evaluate("document.getElementById('chat-button').click()", ());
        window.until("document.getElementById('chat').dataset.where === 'team'");
        say(&window, "hello");
        until_last(&window, "You", "hello");
        look("a chat");
        window.assert_no_complaints();
    }
}

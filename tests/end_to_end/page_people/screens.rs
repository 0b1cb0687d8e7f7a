//! A team that talks and is ranked, as it looks on a desk and on a phone; with `BILLION_SCREENSHOTS=<folder>` there are
//! pictures of it for the documents.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{PASSWORD, close, fill, go_to, last_line, until_last, until_named, until_said};
use crate::harness::{
    BILLION,
    browser::{Browser, Screen},
    client::Client,
    painting,
    person::Person,
    server::{Response, Server, Setup},
};
use crate::page_screens::paint;

/// What the team has said before the window comes, and who.
const SAID: [(&str, &str); 4] = [
    ("Ann", "The heart is done. What comes next?"),
    ("Bob", "A fox, of course."),
    ("Ann", "Then somebody has to begin with the ears."),
    ("Bob", "On it: row 12, from the left."),
];

fn done(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

/// Somebody with an account, and a connection that has checked some boxes near `HERE`.
fn somebody(server: &Server, name: &str, checks: std::ops::Range<u32>) -> (Person, Client) {
    let mut person = Person::new(server.address);
    done(&person.post("/me/register", &json!({ "name": name, "password": PASSWORD })));
    let mut client = person.connect("/ws?v=2");
    for id in checks {
        client.check(painting::HERE + 5_000_000 + id);
        client.next();
    }
    (person, client)
}

#[test]
fn a_team_suits_every_screen() {
    let pictures = std::env::var_os("BILLION_SCREENSHOTS").map(PathBuf::from);
    let browser = Browser::start();
    for (phone, dark) in [(false, false), (false, true), (true, false), (true, true)] {
        let name = format!(
            "{}-{}",
            if phone { "phone" } else { "desktop" },
            if dark { "dark" } else { "light" }
        );
        let server = Setup::new(BILLION, 50).with("PEOPLE__CHAT", true).start();
        if pictures.is_some() {
            paint(&server, 40_000.);
        }
        let (mut ann, mut anns) = somebody(&server, "Ann", 0..19);
        let (mut bob, mut bobs) = somebody(&server, "Bob", 19..26);
        let _others = ["Cleo", "Dan", "Eve"].map(|other| {
            let from = 100 * u32::from(other.as_bytes()[0]);
            somebody(&server, other, from..from + u32::from(other.as_bytes()[1] % 11))
        });
        let team = done(&ann.post("/teams", &json!({ "name": "Foxes", "colour": "#cc3311" })));
        done(&bob.post("/teams/join", &json!({ "invite": team["invite"] })));
        let to = format!("team:{}", team["id"].as_str().expect("an id"));
        for (who, text) in SAID {
            let client = if who == "Ann" { &mut anns } else { &mut bobs };
            client.say(&json!({ "type": "message", "to": to, "data": { "text": text } }));
            assert_eq!(client.text()["type"], "sent");
        }
        anns.say(&json!({ "type": "join", "to": to }));
        assert_eq!(anns.text()["type"], "joined");

        let window =
            browser.open_on(Screen { phone, dark }, &server, &format!("/#b={}", painting::HERE));
        window.until_live();
        window.until_landed();
        let invite = team["invite"].as_str().expect("an invitation");
        window.go_to(&format!("http://{}/#team={invite}", server.address));
        window.until("document.getElementById('people').open");
        window.click_on("#team-sign-in");
        window.click_on("#signed-out [data-way=register]");
        fill(&window, "register-form", &[("name", "Fay"), ("password", PASSWORD)]);
        until_named(&window, "Fay");
        window.click_on("#join-team");
        until_said(&window, "Welcome to Foxes.");
        close(&window);
        for id in painting::MINE {
            window.click(id);
            window.until_state(id, "checked");
        }

        let ranked = "[...document.querySelectorAll('#ranks-rows tr')].map((row) => row.cells[1].textContent)";
        go_to(&window, "ranks");
        window.until(&format!("{ranked}.includes('Ann') && {ranked}.includes('Fay (you)')"));
        window.until_still();
        window.assert_accessible(&format!("{name}: ranks"));
        let save = |what: &str, is_wanted: bool| {
            if let Some(folder) = pictures.as_ref().filter(|_| is_wanted) {
                window.until("document.getElementById('cheer').textContent === ''");
                window.until_still();
                window.save_screenshot(&folder.join(format!("people-{name}-{what}.png")));
            }
        };
        save("ranks", dark);
        close(&window);

        window.click_on("#chat-button");
        let (who, text) = SAID[SAID.len() - 1];
        until_last(&window, who, text);
        super::say(&window, "Hi! I take the tail.");
        until_last(&window, "You", "Hi! I take the tail.");
        // In a team all of them are heard by name, whoever is there.
        let names = window.evaluate(
            "return [...document.querySelectorAll('#chat-lines strong')].map((name) => name.textContent)",
            (),
        );
        assert_eq!(names, json!(["Ann", "Bob", "Ann", "Bob", "You"]));
        assert_eq!(anns.text()["data"]["text"], "Hi! I take the tail.");
        assert_eq!(last_line(&window)[2], 0, "text, never markup");
        save("chat", !dark);
        window.assert_no_complaints();
    }
}

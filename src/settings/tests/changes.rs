//! What is said of settings that were read again.

use config::ValueKind;

use super::{
    super::{
        CATALOGUE, InForce,
        catalogue::{Change, Entry, Form},
        changes::Changes,
    },
    Case, file,
};
use crate::{limits::Counts, live::Live, room::Room};

#[test]
fn what_differs_is_told_key_by_key_and_what_needs_a_restart_apart() {
    let text =
        "[limiter]\nlimit = 10\n[server]\nallowed_origins = [\"https://a.example\"]\nworkers = 2\n";
    let mut in_force = InForce::of(&file(text).load());
    let text = "[server]\nworkers = 3\nallowed_origins = [\"https://a.example\", \"https://b.example\"]\n\
                [board]\nboxes = 5\n[limiter]\nlimit = 2.5\n[session]\nidle_timeout_s = 90\n";
    let changed = file(text).load();
    let changes = in_force.take_over(&changed);
    assert_eq!(
        changes.live,
        [
            "server.allowed_origins: [\"https://a.example\"] → [\"https://a.example\", \"https://b.example\"]",
            "session.idle_timeout_s: 60 → 90",
            "limiter.limit: 10.0 → 2.5",
        ]
    );
    assert_eq!(changes.restart, ["server.workers", "board.boxes"]);

    // Taken over is taken over; what needs a restart does so until there is one.
    let again = in_force.take_over(&changed);
    assert_eq!((again.live, again.restart), (vec![], vec!["server.workers", "board.boxes"]));
    let back = in_force.take_over(&file("[limiter]\nlimit = 10\n[server]\nworkers = 2\n").load());
    assert_eq!(back.live.len(), 3, "{back:?}");
    assert_eq!(back.restart, [""; 0]);
}

#[test]
fn where_a_value_stands_makes_no_difference() {
    let mut in_force = InForce::of(&file("").load());
    let elsewhere = Case {
        file: "[limiter]\nburst = 20\n",
        environment: &[("LIMITER_LIMIT", "10"), ("BILLION__BOARD__NAME", "main")],
        ..Case::default()
    };
    assert_eq!(in_force.take_over(&elsewhere.load()), Changes::default());
    // A higher place hides the file's.
    let hidden = Case {
        file: "[limiter]\nlimit = 3\n",
        environment: &[("LIMITER_LIMIT", "10")],
        ..Case::default()
    };
    assert_eq!(in_force.take_over(&hidden.load()), Changes::default());
}

#[test]
fn no_secret_is_told_when_it_changes() {
    let mut in_force = InForce::of(&file("").load());
    let text = "[redis]\npassword = \"hunter2\"\naddresses = [\"redis://u:hunter2@h:1\"]\n";
    let changes = in_force.take_over(&file(text).load());
    assert_eq!(changes.restart, ["redis.addresses", "redis.password"]);
    assert!(!format!("{changes:?}").contains("hunter2"), "{changes:?}");
}

/// Another value that a setting may have, beside the defaults of all others.
fn another(entry: &Entry, default: &ValueKind) -> String {
    match (entry.form, default) {
        (Form::Whole(least, _), ValueKind::I64(number)) => match u64::try_from(*number) {
            Ok(number) if number > least => (number - 1).to_string(),
            _ => (least + 1).to_string(),
        },
        (Form::Rate, ValueKind::Float(number)) => (number + 1.0).to_string(),
        (Form::Switch, ValueKind::Boolean(switch)) => (!switch).to_string(),
        (Form::Address | Form::RedisNodes, _) => "127.0.0.1:7".into(),
        (Form::Database, _) => "sqlite:///elsewhere".into(),
        (Form::Path | Form::Socket, _) => "/elsewhere".into(),
        (Form::Origins | Form::Link, _) => "https://a.example".into(),
        (Form::Networks | Form::Proxies, _) => "10.0.0.0/8".into(),
        (Form::Remap, _) => "a:1|b:1".into(),
        (Form::Between(least, _), ValueKind::I64(number)) => {
            (if number > &least { number - 1 } else { least + 1 }).to_string()
        }
        (Form::Directives, _) => "debug".into(),
        (Form::Pace, _) => "7-S burst 9".into(),
        (Form::Word(words), ValueKind::String(word)) => {
            let other = words.iter().find(|other| *other != word);
            (*other.expect("there are two")).into()
        }
        (Form::Paths, _) => "/elsewhere".into(),
        _ => "other".into(),
    }
}

/// Otherwise a change would be logged as taken over and do nothing, or be taken over without a word.
#[test]
fn a_setting_is_called_live_exactly_if_a_running_server_follows_it() {
    let followed = |case: &Case<'_>| {
        let settings = case.settings();
        format!(
            "{:?} {:?}",
            Live::new(&settings, &Room::endless(), &Counts::default(), &std::sync::Arc::default()),
            settings.live()
        )
    };
    let (before, defaults) = (followed(&file("")), file("").load().values);
    for (entry, default) in CATALOGUE.iter().zip(&defaults) {
        let value = another(entry, &default.kind);
        let mut flags = vec![("--set", entry.key, value.as_str())];
        if entry.key == "page.reload" {
            // Only a folder can be read anew.
            flags.push(("--set", "page.path", "/elsewhere"));
        }
        let rules = "[[limits.route]]\npath = \"/x\"\nrate = \"1-S\"\n";
        let case = match entry.form {
            // No flag has tables.
            Form::Routes => file(rules),
            _ => Case { flags: &flags, ..Case::default() },
        };
        let changed = followed(&case) != before;
        assert_eq!(changed, entry.change == Change::Live, "{} = {value}", entry.key);
        let changes = InForce::of(&file("").load()).take_over(&case.load());
        assert_eq!(
            (changes.live.len(), changes.restart.len()),
            if changed { (1, 0) } else { (0, flags.len()) }
        );
    }
}

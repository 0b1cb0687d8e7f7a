//! `settings.toml`, the catalogue (and with it the struct, see `layering`) and `docs/OPERATING.md`
//! say the same.

use std::collections::BTreeMap;

use config::ValueKind;

use super::super::{
    CATALOGUE,
    aliases::ALIASES,
    catalogue::{Form, Notation},
    layers::DEFAULTS,
    show, written,
};

const OPERATING: &str = include_str!("../../../docs/OPERATING.md");

/// The rows of the documented tables whose first cell is `` `name` ``, by that name.
fn rows() -> BTreeMap<String, Vec<String>> {
    let (_, section) = OPERATING.split_once("<!-- settings: begin -->").expect("it begins");
    let (section, _) = section.split_once("<!-- settings: end -->").expect("it ends");
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<String> =
            line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect();
        let name = cells[0].trim_matches('`').to_owned();
        assert!(rows.insert(name.clone(), cells).is_none(), "{name} is documented twice");
    }
    rows
}

fn defaults() -> BTreeMap<String, ValueKind> {
    let given = written::parse("settings.toml", DEFAULTS).expect("valid");
    given.into_iter().map(|given| (given.key, given.value)).collect()
}

#[test]
fn every_setting_is_documented_as_it_is() {
    let (rows, defaults) = (rows(), defaults());
    for entry in CATALOGUE {
        let name = entry.key;
        let row = rows.get(name).unwrap_or_else(|| panic!("{name} is not documented"));
        let [_, unit, default, range, change, meaning] = &row[..] else {
            panic!("{name}: {row:?}")
        };
        assert_eq!(unit, entry.unit, "{name}: unit");
        let set = entry.fit(defaults[name].clone(), Notation::Toml).expect("defaults fit");
        assert_eq!(default, &format!("`{}`", show::toml(&set)), "{name}: default");
        let wanted = match entry.form {
            Form::Whole(least, most) => format!("{least} to {most}"),
            Form::Rate => "0, or 0.001 to 1000000000".into(),
            Form::Switch => "true, false".into(),
            _ => range.clone(),
        };
        assert_eq!(range, &wanted, "{name}: range");
        assert_eq!(change, entry.change.name(), "{name}: change");
        assert!(meaning.len() > 20 && !range.is_empty(), "{name}: {row:?}");
    }
    let unknown: Vec<_> = rows
        .keys()
        .filter(|name| name.contains('.') && !name.contains('/') && !name.starts_with('.'))
        .filter(|name| CATALOGUE.iter().all(|entry| entry.key != *name))
        .collect();
    assert!(unknown.is_empty(), "documented, but no settings: {unknown:?}");
}

#[test]
fn every_alias_is_documented_as_it_is() {
    let rows = rows();
    for (name, meaning) in ALIASES {
        let row = rows.get(*name).unwrap_or_else(|| panic!("{name} is not documented"));
        match meaning.key() {
            Some(key) => assert_eq!(row[1], format!("`{key}`"), "{name}"),
            None => assert!(["refused", "ignored, with a warning"].contains(&&*row[1]), "{name}"),
        }
    }
    let variables =
        rows.keys().filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
    assert_eq!(variables.count(), ALIASES.len(), "a documented variable does not exist");
}

#[test]
fn help_names_the_older_variables_and_counts_the_places_as_the_manual_does() {
    let help = crate::arguments::MORE;
    for (name, _) in ALIASES.iter().filter(|(name, _)| !name.starts_with("WEBSOCKET_")) {
        assert!(help.contains(name), "{name}");
    }
    assert!(help.contains("WEBSOCKET_*"));
    for place in 1..=6 {
        assert!(help.contains(&format!("\n  {place}. ")), "{place}");
        assert!(OPERATING.contains(&format!("\n| {place} | ")), "{place}");
    }
    assert!(!help.contains("\n  7. ") && !OPERATING.contains("\n| 7 | "));
}

#[test]
fn the_catalogue_lists_the_defaults_in_their_order() {
    let given = written::parse("settings.toml", DEFAULTS).expect("valid");
    let written: Vec<_> = given.iter().map(|given| given.key.as_str()).collect();
    let listed: Vec<_> = CATALOGUE.iter().map(|entry| entry.key).collect();
    assert_eq!(written, listed);
}

#[test]
fn units_are_what_names_say() {
    for entry in CATALOGUE {
        let suffix = entry.key.rsplit_once('_').map(|(_, suffix)| suffix);
        let said = match suffix {
            Some("s") => "s",
            Some("ms") => "ms",
            Some("bytes") => "bytes",
            Some("mib") => "MiB",
            _ => entry.unit,
        };
        assert_eq!(entry.unit, said, "{}", entry.key);
        let number = matches!(entry.form, Form::Whole(..) | Form::Rate);
        assert!(!number || entry.unit != "–", "{}: a number counts something", entry.key);
    }
}

#[test]
fn every_default_has_a_comment_above_it() {
    let mut above = "";
    for line in DEFAULTS.lines() {
        let is_setting = !line.is_empty() && !line.starts_with(['#', '[']);
        assert!(!is_setting || above.starts_with("# "), "no comment above: {line}");
        above = line;
    }
}

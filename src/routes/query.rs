//! What a query says: switches in every spelling that people use, and which board is meant.

use std::sync::Arc;

use actix_web::{HttpResponse, http::StatusCode};
use actors::{node::Node, table::Table};

/// The board in play that `board=NAME` in `query` names, or the main one.
///
/// # Errors
/// The answer to a player if there is none of that name, or if several are named.
pub fn table(query: &str, node: &Node) -> Result<Arc<Table>, HttpResponse> {
    find_table(query, node).map_err(|(status, told)| {
        let mut response = HttpResponse::build(status);
        response.content_type("text/plain; charset=utf-8").body(format!("{told}\n"))
    })
}

/// The same for any kind of answer.
///
/// # Errors
/// Status and reason if there is none of that name: 404; or if several are named: 400.
pub fn find_table(query: &str, node: &Node) -> Result<Arc<Table>, (StatusCode, &'static str)> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut names = pairs.filter(|(key, _)| key == "board").map(|(_, name)| name);
    match (names.next(), names.next()) {
        (None, _) => Ok(node.main().clone()),
        (Some(name), None) => {
            let found = node.table(&name);
            found.ok_or((StatusCode::NOT_FOUND, "no board of that name is in play"))
        }
        _ => Err((StatusCode::BAD_REQUEST, "one board at a time: board=NAME")),
    }
}

/// Refuses a name in `query` that is not among `known`: passed over, it would mean something else than was asked for.
///
/// # Errors
/// What to tell of the first that is not.
pub fn expect_only(query: &str, known: &[&str]) -> Result<(), String> {
    let mut names = url::form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    names.find(|name| !known.contains(&&**name)).map_or(Ok(()), |name| {
        Err(format!("{name:?} is not understood here: write {}\n", known.join(", ")))
    })
}

/// The text that `name` has in `query`, if it is there.
///
/// # Errors
/// If there are several.
pub fn text(query: &str, name: &str) -> Result<Option<String>, String> {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    let mut values = pairs.filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(format!("{name} is given twice\n")),
        (value, None) => Ok(value),
    }
}

/// The number that `name` has in `query`, if it is there.
///
/// # Errors
/// If it is none, or there are several.
pub fn number(query: &str, name: &str) -> Result<Option<u32>, String> {
    let Some(value) = text(query, name)? else { return Ok(None) };
    if !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{name} is a whole number, not {value:?}\n"));
    }
    value.parse().map(Some).map_err(|_| format!("{name} is no number up to {}\n", u32::MAX))
}

/// Whether `name` is switched on in `query`; not, if it is not there.
///
/// # Errors
/// If its value says neither, or two say different things.
pub fn switch(query: &str, name: &str) -> Result<bool, String> {
    let mut found = None;
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key != name {
            continue;
        }
        let on = match value.to_ascii_lowercase().as_str() {
            "" | "1" | "true" | "t" | "yes" | "y" | "on" => true,
            "0" | "false" | "f" | "no" | "n" | "off" => false,
            _ => return Err(format!("{name} is a switch: write {name}=1 or {name}=0\n")),
        };
        if found.is_some_and(|before| before != on) {
            return Err(format!("{name} is given twice, on and off\n"));
        }
        found = Some(on);
    }
    Ok(found.unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_named() {
        let known = ["rate", "board"];
        assert_eq!(expect_only("rate=1&board=a%20b&rate", &known), Ok(()));
        assert_eq!(expect_only("", &known), Ok(()));
        let told = expect_only("rate=1&bord=x", &known).expect_err("a misspelt name");
        assert_eq!(told, "\"bord\" is not understood here: write rate, board\n");
    }

    #[test]
    fn a_number_is_given_once_and_in_digits() {
        assert_eq!(number("x=1&rate=20000", "rate"), Ok(Some(20_000)));
        assert_eq!(number("rates=1", "rate"), Ok(None));
        for wrong in ["rate=abc", "rate=", "rate=-1", "rate=+1", "rate=5000000000", "rate=1&rate=1"]
        {
            assert!(
                number(wrong, "rate").is_err_and(|told| told.starts_with("rate is ")),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_switch_is_understood_in_every_usual_spelling() {
        for on in ["store", "store=", "store=1", "store=TRUE", "x&store=yes", "store=1&store=on"] {
            assert_eq!(switch(on, "store"), Ok(true), "{on}");
        }
        for off in ["", "x", "x=store", "stores=1", "store=0", "store=False", "store=no&store=0"] {
            assert_eq!(switch(off, "store"), Ok(false), "{off}");
        }
        for wrong in ["store=2", "store=maybe", "store=%31", "store=1&store=0"] {
            assert!(
                switch(wrong, "store").is_err_and(|told| told.starts_with("store is ")),
                "{wrong}"
            );
        }
    }
}

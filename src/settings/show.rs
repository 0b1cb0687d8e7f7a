//! The settings as an operator reads them back, and what must not be read back.

use std::fmt::Write as _;

use config::{Value, ValueKind};
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::catalogue::{CATALOGUE, Entry, Form};

/// What stands in for a secret.
const MASK: &str = "***";

/// The settings as TOML, each with the place it comes from and how it changes.
///
/// A value that is written down and equals its default is marked, so that those which differ stand out.
pub fn print(values: &[Value], defaults: &[Value]) -> String {
    let mut out = String::from(
        "# Every setting, its value, where it comes from, and what changes it: live means SIGHUP.\n",
    );
    let mut current = "";
    for ((entry, value), default) in CATALOGUE.iter().zip(values).zip(defaults) {
        let (section, name) = entry.key.split_once('.').expect("every key has a section");
        if section != current {
            let _ = write!(out, "\n[{section}]\n");
            current = section;
        }
        let origin = one_line(&masked_text(value.origin().unwrap_or("default")));
        let unchanged = value.kind == default.kind && value.origin() != default.origin();
        let mark = if unchanged { " (default)" } else { "" };
        let (value, change) = (shown(entry, value), entry.change.name());
        let _ = writeln!(out, "{name} = {value}  # {origin}{mark}; {change}");
    }
    out
}

/// The value of a setting as TOML, unless it is a secret.
pub fn shown(entry: &Entry, value: &Value) -> String {
    let secret = entry.form == Form::Secret && !value.to_string().is_empty();
    if secret { format!("\"{MASK}\"") } else { toml(&value.kind) }
}

/// A setting as programs read it back.
#[derive(Debug, Serialize, ToSchema)]
pub struct Setting {
    /// `section.key`.
    #[schema(examples("limiter.limit"))]
    key: &'static str,
    /// A number, a text, a switch or a list; `***` in place of a secret.
    #[schema(value_type = Value, examples(100.0))]
    value: toml::Value,
    /// Where it is set: `default`, a file, a variable or a flag.
    #[schema(examples("settings.toml"))]
    from: String,
    /// What it takes to change it: `live`, reading the settings again (SIGHUP), or `restart`.
    #[schema(examples("live"))]
    change: &'static str,
}

impl Setting {
    /// What is shown of `value`.
    pub fn new(entry: &Entry, value: &Value) -> Self {
        let secret = entry.form == Form::Secret && !value.to_string().is_empty();
        let mask = || toml::Value::String(MASK.to_owned());
        Self {
            key: entry.key,
            value: if secret { mask() } else { toml_value(&value.kind) },
            from: one_line(&masked_text(value.origin().unwrap_or("default"))),
            change: entry.change.name(),
        }
    }
}

/// A comment ends with its line, as a line of a log does, so that nothing in it must break it: names of files, and of
/// settings that are none.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// One value as TOML.
pub fn toml(kind: &ValueKind) -> String {
    toml_value(kind).to_string()
}

fn toml_value(kind: &ValueKind) -> toml::Value {
    match kind {
        ValueKind::I64(number) => toml::Value::Integer(*number),
        ValueKind::Float(number) => toml::Value::Float(*number),
        ValueKind::Boolean(switch) => toml::Value::Boolean(*switch),
        ValueKind::Array(items) => {
            toml::Value::Array(items.iter().map(|item| toml_value(&item.kind)).collect())
        }
        ValueKind::Table(entries) => {
            let entries = entries.iter().map(|(name, item)| (name.clone(), toml_value(&item.kind)));
            toml::Value::Table(entries.collect())
        }
        other => toml::Value::String(masked(&other.to_string())),
    }
}

/// `text` without the user and password of a URL, for logs and terminals.
pub fn masked(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_owned() };
    // With an @ in its path alone, https://social.example/@me, a URL has nothing to hide.
    if let Ok(url) = Url::parse(text)
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
    {
        return text.to_owned();
    }
    // Whatever it is, all before the last @ may be a secret.
    let scheme = text.find("://").map_or("", |end| &text[..end + 3]);
    format!("{scheme}{MASK}{}", &text[at..])
}

/// `text` with every URL in it masked: for lines that quote what somebody wrote.
pub fn masked_text(text: &str) -> String {
    let words = text.split_inclusive(char::is_whitespace);
    words.map(|word| if word.contains("//") { masked_word(word) } else { word.into() }).collect()
}

/// A URL and the quotes around it, which do not belong to it.
fn masked_word(word: &str) -> String {
    let start = word.find(char::is_alphanumeric).unwrap_or(0);
    format!("{}{}", &word[..start], masked(&word[start..]))
}

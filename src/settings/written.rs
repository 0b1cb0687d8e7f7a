//! Reads a settings file as it is written: which setting stands on which line.

use config::{Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::{catalogue::CATALOGUE, layers::Given};

/// The settings in `text`, in the order of its lines; or every syntax error in it.
///
/// A section that does not exist is given once, as `section.*`.
pub fn parse(place: &str, text: &str) -> Result<Vec<Given>, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // The message alone: the line itself may hold a secret.
        let told = errors.iter().map(|error| match error.span() {
            Some(span) => format!("{place}:{}: {}", line(text, span.start), error.message()),
            None => format!("{place}: {}", error.message()),
        });
        return Err(told.collect());
    }
    let mut found = Vec::new();
    flatten("", document.get_ref(), &mut found);
    found.sort_by_key(|(offset, ..)| *offset);
    let given = found.into_iter().map(|(offset, key, value)| Given {
        origin: format!("{place}:{}", line(text, offset)),
        key,
        value,
    });
    Ok(given.collect())
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Nested tables as dotted keys, with the offset of each key.
fn flatten(prefix: &str, table: &DeTable<'_>, found: &mut Vec<(usize, String, ValueKind)>) {
    for (name, value) in table {
        let key = format!("{prefix}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if is_section(&key) => {
                flatten(&format!("{key}."), inner, found);
            }
            DeValue::Table(_) => {
                found.push((name.span().start, format!("{key}.*"), ValueKind::Nil));
            }
            plain => found.push((name.span().start, key, kind(plain))),
        }
    }
}

fn is_section(name: &str) -> bool {
    CATALOGUE.iter().any(|entry| entry.key.split_once('.').is_some_and(|(known, _)| known == name))
}

fn kind(value: &DeValue<'_>) -> ValueKind {
    match value {
        DeValue::String(text) => ValueKind::String(text.to_string()),
        // Beyond 64 bits no number is a setting, and beyond 128 it need not be told back digit by digit.
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => i64::try_from(number).map_or(ValueKind::I128(number), ValueKind::I64),
            Err(_) => ValueKind::Float(f64::INFINITY),
        },
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::Float),
        DeValue::Boolean(switch) => ValueKind::Boolean(*switch),
        DeValue::Datetime(time) => ValueKind::String(time.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| Value::new(None, kind(item.get_ref())));
            ValueKind::Array(items.collect())
        }
        // Within a list: rules.
        DeValue::Table(table) => {
            let entries = table.iter().map(|(name, value)| {
                (name.get_ref().to_string(), Value::new(None, kind(value.get_ref())))
            });
            ValueKind::Table(entries.collect())
        }
    }
}

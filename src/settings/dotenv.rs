//! Reads a `.env` file: its variables, each with the line it begins on.
//!
//! One file often serves several programs, each with a reader of its own. So values are read as leniently
//! as the older server's reader (godotenv) does, blanks and apostrophes included, and a line that cannot be
//! read is an error only if it names a variable of ours. No crate does that and knows the lines, too.

use std::{collections::HashMap, path::Path};

use super::{
    layers::{Findings, read_text},
    variables::{Variable, is_read},
};
use crate::reading;

/// Blanks that may stand around names and values.
const BLANKS: [char; 2] = [' ', '\t'];

/// The variables in a `.env` file. `$NAME` in it is looked for in `environment` first, then further up;
/// the process's own environment stays as it is.
pub fn read(
    path: &Path,
    place: &str,
    environment: &[(String, String)],
    findings: &mut Findings,
) -> Vec<Variable> {
    let text = match read_text(path, place, reading::found) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n"),
        Err(problem) => {
            findings.problems.push(problem);
            return Vec::new();
        }
    };
    let mut known: HashMap<String, String> = HashMap::new();
    let mut variables = Vec::new();
    let mut passed_over = Vec::new();
    let (mut rest, mut line) = (text.as_str(), 1);
    while !rest.is_empty() {
        let look_up = |name: &str| {
            let set = environment.iter().find(|(known, _)| known == name).map(|(_, value)| value);
            set.or_else(|| known.get(name)).cloned()
        };
        let taken = match statement(rest, look_up) {
            Ok(Statement { variable: None, taken }) => taken,
            Ok(Statement { variable: Some((name, value)), taken }) => {
                let place = format!("{place}:{line} {name}");
                if value.unset && is_read(name) {
                    // Not which one: it may be a part of a password.
                    findings.notices.push(format!(
                        "{place}: a $ in it begins the name of a variable that is not set and \
                         counts as empty: write \\$ or single quotes for a $ itself"
                    ));
                }
                known.insert(name.to_owned(), value.text.clone());
                variables.push(Variable { place, name: name.to_owned(), value: value.text });
                taken
            }
            Err(Unreadable { name, why }) => {
                if is_read(name) {
                    findings.problems.push(format!("{place}:{line} {name}: {why}"));
                } else {
                    passed_over.push(line);
                }
                rest.find('\n').map_or(rest.len(), |end| end + 1)
            }
        };
        line += rest[..taken].matches('\n').count();
        rest = &rest[taken..];
    }
    findings.notices.extend(told(place, &passed_over));
    variables
}

/// One notice of all lines that cannot be read, without what is in them: it may be a secret.
fn told(place: &str, lines: &[usize]) -> Option<String> {
    let (first, others) = lines.split_first()?;
    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
    let others = match &others[..] {
        [] => String::new(),
        [line] => format!(", like line {line}"),
        lines => format!(", like lines {}", lines.join(", ")),
    };
    Some(format!(
        "{place}:{first}: passed over{others}: no variable can be read here, and none of ours is named"
    ))
}

/// What one or more lines say.
struct Statement<'a> {
    /// Name and value; blank lines and comments have none.
    variable: Option<(&'a str, Value)>,
    /// Bytes of the text that it takes, with the end of its last line.
    taken: usize,
}

/// A value as it is meant.
struct Value {
    text: String,
    /// Whether a `$NAME` in it is not set.
    unset: bool,
}

/// Why a line is no statement.
struct Unreadable<'a> {
    /// The word it begins with.
    name: &'a str,
    why: &'static str,
}

/// What `text` begins with.
fn statement(
    text: &str,
    look_up: impl Fn(&str) -> Option<String>,
) -> Result<Statement<'_>, Unreadable<'_>> {
    let end = text.find('\n').unwrap_or(text.len());
    let line = text[..end].trim_matches(BLANKS);
    if line.trim().is_empty() || line.starts_with('#') {
        return Ok(Statement { variable: None, taken: (end + 1).min(text.len()) });
    }
    let line = without_export(line);
    let unreadable = |why| Unreadable { name: first_word(line), why };
    let wanted = "no variable can be read here: write NAME=value";
    let (name, _) = line.split_once('=').ok_or_else(|| unreadable(wanted))?;
    let name = name.trim_end_matches(BLANKS);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(unreadable(wanted));
    }
    let start = text.find('=').expect("the line has one") + 1;
    let mut reader = Reader { rest: &text[start..], ..Reader::default() };
    reader.value(&look_up).map_err(unreadable)?;
    let Reader { rest, out, solid, unset } = reader;
    let value = Value { text: out[..solid].to_owned(), unset };
    Ok(Statement { variable: Some((name, value)), taken: text.len() - rest.len() })
}

fn without_export(line: &str) -> &str {
    let exported = line.strip_prefix("export").filter(|rest| rest.starts_with(BLANKS));
    exported.unwrap_or(line).trim_start_matches(BLANKS)
}

/// The word that a line begins with, which is a name if it is a statement.
fn first_word(line: &str) -> &str {
    let line = without_export(line.trim_start_matches(BLANKS));
    line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Reads one value.
#[derive(Default)]
struct Reader<'a> {
    rest: &'a str,
    out: String,
    /// How much of `out` stays if nothing but blanks comes: all but blanks without quotes at its end.
    solid: usize,
    unset: bool,
}

impl Reader<'_> {
    /// Reads up to and with the end of the line.
    fn value(&mut self, look_up: &impl Fn(&str) -> Option<String>) -> Result<(), &'static str> {
        self.rest = self.rest.trim_start_matches(BLANKS);
        let mut first = true;
        while let Some(c) = self.rest.chars().next() {
            let gap = first || self.out.len() > self.solid;
            match c {
                '\n' => {
                    self.rest = &self.rest[1..];
                    break;
                }
                '#' if gap => {
                    self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
                    continue;
                }
                '\'' | '"' if self.closed(c, first) => self.quoted(c, look_up)?,
                '\'' | '"' if first => return Err("a quote is opened and not closed"),
                '$' => self.dollar(look_up)?,
                '\\' => self.escaped(&['\\', '$', '\'', '"', ' ', '#']),
                c => self.take(c),
            }
            if !BLANKS.contains(&c) {
                self.solid = self.out.len();
            }
            first = false;
        }
        Ok(())
    }

    /// Whether the quote that comes next is closed again: one that begins a value may be closed lines
    /// later, but not behind a variable of ours; one further on is otherwise an apostrophe.
    fn closed(&self, quote: char, first: bool) -> bool {
        let (mut escaped, mut blank) = (false, false);
        for (at, c) in self.rest.char_indices().skip(1) {
            match c {
                '\n' if !first || is_read(first_word(&self.rest[at + 1..])) => return false,
                // The closing one would stand in a comment.
                '#' if !first && blank => return false,
                c if c == quote && !escaped => return true,
                c => escaped = c == '\\' && quote == '"' && !escaped,
            }
            blank = BLANKS.contains(&c);
        }
        false
    }

    /// A part in quotes, of which it is known that they are closed.
    fn quoted(
        &mut self,
        quote: char,
        look_up: &impl Fn(&str) -> Option<String>,
    ) -> Result<(), &'static str> {
        self.rest = &self.rest[1..];
        while let Some(c) = self.rest.chars().next() {
            match c {
                c if c == quote => break,
                '$' if quote == '"' => self.dollar(look_up)?,
                '\\' if quote == '"' => self.escaped(&['\\', '$', '"', '\'', ' ', 'n']),
                c => self.take(c),
            }
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        Ok(())
    }

    fn take(&mut self, c: char) {
        self.out.push(c);
        self.rest = &self.rest[c.len_utf8()..];
    }

    /// A backslash, and what follows if it is one of `special`.
    fn escaped(&mut self, special: &[char]) {
        let next = self.rest[1..].chars().next().filter(|c| special.contains(c));
        match next {
            Some('n') => self.out.push('\n'),
            Some(c) => self.out.push(c),
            None => self.out.push('\\'),
        }
        self.rest = &self.rest[1 + next.map_or(0, char::len_utf8)..];
    }

    /// `$NAME`, `${NAME}`, or a `$` alone.
    fn dollar(&mut self, look_up: &impl Fn(&str) -> Option<String>) -> Result<(), &'static str> {
        let (name, taken) = match self.rest[1..].strip_prefix('{') {
            Some(braced) => {
                let name = name(braced);
                if name.is_empty() || !braced[name.len()..].starts_with('}') {
                    return Err("a ${ is not followed by a name and a }");
                }
                (name, name.len() + 3)
            }
            None => (name(&self.rest[1..]), name(&self.rest[1..]).len() + 1),
        };
        if name.is_empty() {
            self.take('$');
            return Ok(());
        }
        match look_up(name) {
            Some(value) => self.out.push_str(&value),
            None => self.unset = true,
        }
        self.rest = &self.rest[taken..];
        Ok(())
    }
}

/// The name that `text` begins with, empty if it begins with none.
fn name(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

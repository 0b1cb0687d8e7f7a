//! Reads a `.env` file: its variables, each with the line it stands on.

use std::{
    cell::Cell,
    io::{BufRead as _, Read},
    path::Path,
    rc::Rc,
};

use super::{
    layers::{Findings, read_text},
    variables::Variable,
};

/// The variables in a `.env` file. The process's own environment stays as it is.
pub fn read(path: &Path, place: &str, findings: &mut Findings) -> Vec<Variable> {
    let text = match read_text(path, place) {
        Ok(text) => text,
        Err(problem) => {
            findings.problems.push(problem);
            return Vec::new();
        }
    };
    let line = Rc::new(Cell::new(0));
    let text = braced(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let lines = dotenvy::from_read_iter(Lines { text: text.as_bytes(), line: line.clone() });
    let mut variables = Vec::new();
    for item in lines {
        let line = line.get();
        match item {
            Ok((name, value)) => {
                variables.push(Variable { place: format!("{place}:{line} {name}"), name, value });
            }
            // Without the line itself: it may hold a secret.
            Err(_) => findings.problems.push(format!(
                "{place}:{line}: no variable can be read here: write NAME=value, in quotes if the \
                 value has spaces or quotes in it"
            )),
        }
    }
    variables
}

/// What a character of a `.env` file stands in.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Word,
    /// Between words, where a `#` begins a comment.
    Gap,
    Comment,
    SingleQuotes,
    DoubleQuotes,
}

/// `text` with `${NAME}` for each `$NAME` that is to be replaced.
///
/// Without braces the parser ends a name at its first underscore, where shells go on.
fn braced(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = Inside::Gap;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        let plain = matches!(inside, Inside::Word | Inside::Gap);
        let replaced = plain || inside == Inside::DoubleQuotes;
        let name = if c == '$' && replaced { name(&rest[1..]) } else { "" };
        if !name.is_empty() {
            out.push_str("${");
            out.push_str(name);
            out.push('}');
            rest = &rest[1 + name.len()..];
            inside = if plain { Inside::Word } else { inside };
            continue;
        }
        inside = match (inside, c) {
            (Inside::Word | Inside::Gap | Inside::Comment, '\n') => Inside::Gap,
            (Inside::Gap, '#') => Inside::Comment,
            (Inside::Word | Inside::Gap, '\'') => Inside::SingleQuotes,
            (Inside::Word | Inside::Gap, '"') => Inside::DoubleQuotes,
            (Inside::SingleQuotes, '\'') | (Inside::DoubleQuotes, '"') => Inside::Word,
            (Inside::Word | Inside::Gap, c) if c.is_whitespace() => Inside::Gap,
            (Inside::Gap, _) => Inside::Word,
            (inside, _) => inside,
        };
        if c == '\\' && replaced {
            // What follows stands for itself.
            taken += rest[1..].chars().next().map_or(0, char::len_utf8);
        }
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// The name that `text` begins with, empty if it begins with none.
fn name(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Hands out one line a read, so that whoever parses them can be asked for the line it is at.
struct Lines<'a> {
    text: &'a [u8],
    line: Rc<Cell<usize>>,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = buffer.len().min(self.text.len());
        let wanted =
            self.text[..room].iter().position(|byte| *byte == b'\n').map_or(room, |at| at + 1);
        let read = (&mut self.text).take(wanted as u64).read(buffer)?;
        if buffer[..read].ends_with(b"\n") || (read > 0 && self.text.fill_buf()?.is_empty()) {
            self.line.set(self.line.get() + 1);
        }
        Ok(read)
    }
}

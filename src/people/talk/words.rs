//! Words that a chat does not show. Plain functions of text.

use std::{borrow::Cow, collections::HashSet, fmt};

use unicode_normalization::char::is_combining_mark;

use crate::{numbers::counted, people::names::folded};

/// What is used until the operator names another list.
const OURS: &str = include_str!("words.txt");

/// More than any list has: each takes some 100 bytes.
const WORDS_MAX: usize = 20_000;

/// Most characters of a word.
const CHARACTERS_MAX: usize = 64;

/// The words, as names are compared: without case, and with letters that look the same being the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words(HashSet<String>);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.0.len() as u64, "word", "words"))
    }
}

impl Words {
    /// The list that comes with the server.
    pub fn ours() -> Self {
        Self::parse(OURS).expect("a test has read it")
    }

    /// Reads a list: a word a line, and `#` before a remark.
    ///
    /// # Errors
    /// The first line that is no word, by its number; or if there are too many.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = HashSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            let word = line.split_once('#').map_or(line, |(word, _)| word).trim();
            if word.is_empty() {
                continue;
            }
            if !word.chars().all(is_part) || word.chars().nth(CHARACTERS_MAX).is_some() {
                return Err(format!("line {number} is not one word of {CHARACTERS_MAX} letters"));
            }
            words.insert(key(word));
            if words.len() > WORDS_MAX {
                return Err(format!("it has more than {WORDS_MAX} words"));
            }
        }
        Ok(Self(words))
    }

    /// The text with an asterisk for each character of such a word.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = String::new();
        let mut copied = 0;
        let mut rest = 0;
        while let Some(begin) = text[rest..].find(is_part) {
            let begin = rest + begin;
            let end =
                text[begin..].find(|c| !is_part(c)).map_or(text.len(), |length| begin + length);
            let word = &text[begin..end];
            if self.0.contains(&key(word)) {
                masked.push_str(&text[copied..begin]);
                masked.extend(word.chars().map(|_| '*'));
                copied = end;
            }
            rest = end;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        masked.push_str(&text[copied..]);
        Cow::Owned(masked)
    }
}

/// Whether a character belongs to a word; nobody sees the invisible ones, so they part nothing.
fn is_part(character: char) -> bool {
    character.is_alphanumeric() || is_combining_mark(character) || is_invisible(character)
}

/// Soft hyphen, joiners, and marks of direction.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{FEFF}')
}

fn key(word: &str) -> String {
    let seen: String = word.chars().filter(|c| !is_invisible(*c)).collect();
    folded(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_words_are_masked_however_they_are_written_and_no_parts_of_others() {
        let words = Words::parse("# ours\nDarn\n\n  heck  # mild\nstraße\n").expect("a list");
        assert_eq!(words.to_string(), "3 words");
        for (text, shown) in [
            ("darn", "****"),
            ("Oh DARN, what the Heck!", "Oh ****, what the ****!"),
            ("d\u{430}rn", "****"),
            ("da\u{200B}rn it", "***** it"),
            ("STRASSE ß", "******* ß"),
            ("darned heckler", "darned heckler"),
            ("日本 darn 日本", "日本 **** 日本"),
            ("", ""),
            ("no-darn-way", "no-****-way"),
        ] {
            assert_eq!(words.mask(text), shown, "{text:?}");
        }
        assert!(matches!(words.mask("fine"), Cow::Borrowed("fine")));
    }

    #[test]
    fn a_line_of_more_than_a_word_is_named() {
        assert_eq!(Words::parse("a\nb c\n").unwrap_err(), "line 2 is not one word of 64 letters");
        assert!(Words::parse(&"x".repeat(65)).is_err());
        let many: String = (0..=WORDS_MAX).map(|number| format!("w{number}\n")).collect();
        assert!(Words::parse(&many).unwrap_err().contains("more than"));
    }

    #[test]
    fn the_list_that_comes_along_is_one() {
        assert!(Words::parse(OURS).expect("a list").0.len() > 10);
    }
}

//! What players, teams and rooms may be called, and which names are the same to a reader. Plain functions of text.
//!
//! A name is kept as its owner writes it (NFC) and compared [folded](Name::folded): without case, compatible forms and
//! the letters of other scripts that look like Latin ones, so that nobody takes a name that others read as somebody else's.

use std::fmt;

use unicode_normalization::{
    UnicodeNormalization as _,
    char::{is_combining_mark, is_public_assigned},
};

/// Fewest characters of a name.
pub const CHARACTERS_MIN: usize = 2;

/// Most characters. With three marks on each and four bytes a mark it is below 400 bytes.
pub const CHARACTERS_MAX: usize = 24;

/// Most characters of a folded name, as many as the column has; some ligatures are several letters.
const FOLDED_CHARACTERS_MAX: usize = 255;

/// Marks on one letter: Hindi and Hebrew have three; piles of them cover the lines above.
pub const MARKS_MAX: usize = 3;

/// Stand between letters; to a reader they are much the same.
const SEPARATORS: [char; 4] = [' ', '-', '_', '.'];

/// Why something is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Also of nothing.
    #[error("a name has at least {CHARACTERS_MIN} characters")]
    TooShort,
    /// Also if it is when compared.
    #[error("a name has at most {CHARACTERS_MAX} characters")]
    TooLong,
    /// At the edges, or two together.
    #[error("a name has single spaces, and none at its ends")]
    Spaces,
    /// Neither letter nor digit nor separator; by its number, because it may be invisible.
    #[error("a name has letters, digits, spaces, - _ and . only: not U+{:04X}", u32::from(*.0))]
    Character(char),
    /// At the beginning, after a separator, or too many.
    #[error("a name has at most {MARKS_MAX} accents on a letter")]
    Marks,
    /// Only separators.
    #[error("a name has a letter or a digit")]
    NoLetter,
}

/// The name of a player, a team or a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Judges a name.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        // Before any work on something long: composing shortens a text to a quarter at most.
        if text.chars().nth(CHARACTERS_MAX * (1 + MARKS_MAX)).is_some() {
            return Err(NameError::TooLong);
        }
        let text: String = text.nfc().collect();
        match text.chars().count() {
            ..CHARACTERS_MIN => return Err(NameError::TooShort),
            count if count > CHARACTERS_MAX => return Err(NameError::TooLong),
            _ => {}
        }
        if text.starts_with(' ') || text.ends_with(' ') || text.contains("  ") {
            return Err(NameError::Spaces);
        }
        let (mut has_letter, mut marks) = (false, MARKS_MAX);
        for character in text.chars() {
            // What it is a compatible form of is judged, too: ﷺ has spaces in it, ½ a fraction's slash.
            let mut same = std::iter::once(character).nfkc();
            let is_legal = is_legal(character)
                && same.all(|c| is_legal(c) && (c == character || !SEPARATORS.contains(&c)));
            if !is_legal {
                return Err(NameError::Character(character));
            }
            if is_combining_mark(character) {
                marks += 1;
                if marks > MARKS_MAX {
                    return Err(NameError::Marks);
                }
            } else {
                let is_separator = SEPARATORS.contains(&character);
                has_letter |= !is_separator;
                // Nothing carries a mark but letters and digits.
                marks = if is_separator { MARKS_MAX } else { 0 };
            }
        }
        if !has_letter {
            return Err(NameError::NoLetter);
        }
        if folded(&text).chars().nth(FOLDED_CHARACTERS_MAX).is_some() {
            return Err(NameError::TooLong);
        }
        Ok(Self(text))
    }

    /// As its owner writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As it is compared.
    pub fn folded(&self) -> String {
        folded(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn is_legal(character: char) -> bool {
    SEPARATORS.contains(&character)
        || (is_public_assigned(character)
            && (character.is_alphanumeric() || is_combining_mark(character))
            && !is_invisible(character)
            && !is_enclosing(character))
}

/// Letters and marks without a shape: fillers of Hangul, inherent vowels of Khmer, selectors of variants, the joiner of
/// graphemes. (Unicode's Default_Ignorable_Code_Point, as far as these are letters or marks.)
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{34F}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Marks around a letter, or around several.
fn is_enclosing(character: char) -> bool {
    matches!(character, '\u{488}'..='\u{489}' | '\u{1ABE}' | '\u{20DD}'..='\u{20E4}' | '\u{A670}'..='\u{A672}')
}

/// What two names have in common that a reader takes for one. Folding a folded name changes nothing.
pub fn folded(text: &str) -> String {
    let mut before = folded_once(text);
    // One round leaves what the next one composes; a third one has never found anything.
    loop {
        let after = folded_once(&before);
        if after == before {
            return after;
        }
        before = after;
    }
}

fn folded_once(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    // By way of capitals: ß, ſ and ς have none of their own.
    let lower = text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    for character in lower.nfkc() {
        let looks = looks_like(character);
        // The dot of İ, on a letter that has one.
        if !(looks == '\u{307}' && folded.ends_with('l')) {
            folded.push(looks);
        }
    }
    folded.nfkc().collect()
}

/// The Latin letter that a small letter or digit is taken for, by itself or as a capital. Greek ν is taken for v and η for
/// n, as they are written small.
fn looks_like(character: char) -> char {
    const TABLE: [(char, &str); 27] = [
        ('-', " _."),
        ('a', "аαɑᴀ"),
        ('b', "вβʙьƅ"),
        ('c', "сϲᴄⅽ"),
        ('d', "ԁᴅ"),
        ('e', "еεᴇ"),
        ('f', "ꜰϝ"),
        ('g', "ɡɢց"),
        ('h', "һнʜհ"),
        ('j', "јᴊϳ"),
        ('k', "кκᴋ"),
        ('l', "1iıіιɩɪӏǀ\u{7C}ʟ"),
        ('m', "мμᴍ"),
        ('n', "ηɴոп"),
        ('o', "0оοօᴏσ"),
        ('p', "рρᴘ"),
        ('q', "ԛ"),
        ('r', "ʀг"),
        ('s', "ѕꜱ"),
        ('t', "тτᴛ"),
        ('u', "υᴜսʋ"),
        ('v', "νѵᴠ"),
        ('w', "ԝωᴡ"),
        ('x', "хχ"),
        ('y', "уүγʏ"),
        ('z', "ζᴢ"),
        ('3', "зʒӡ"),
    ];
    let found = TABLE.iter().find(|(_, alike)| alike.contains(character));
    found.map_or(character, |(letter, _)| *letter)
}

/// The colour of a team, as `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colour(String);

impl Colour {
    /// Reads `#rrggbb`, in capitals too; none if it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        let is_colour = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_colour.then(|| Self(text.to_ascii_lowercase()))
    }

    /// `#rrggbb`, small.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusal(text: &str) -> NameError {
        Name::parse(text).expect_err(text)
    }

    #[test]
    fn names_of_all_scripts_are_names() {
        for text in [
            "Jo",
            "J0",
            "42",
            "Jean-Luc",
            "a.b_c d",
            "Ångström",
            "Żółć",
            "Нина",
            "Ελένη",
            "張偉",
            "김철수",
            "さくら",
            "محمد",
            "דָּנִיֵּאל",
            "हिन्दी",
            "ड़ि",
            "தமிழ்",
            "สมชาย",
            "Nguyễn Văn",
            "ⅧⅧ",
        ] {
            let name = Name::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(name.as_str().chars().count(), text.nfc().count());
            assert_eq!(Name::parse(name.as_str()), Ok(name.clone()), "kept as it is");
        }
    }

    #[test]
    fn what_hides_or_disturbs_is_no_name() {
        assert_eq!(refusal(""), NameError::TooShort);
        assert_eq!(refusal("é"), NameError::TooShort);
        assert_eq!(refusal("e\u{301}"), NameError::TooShort, "one character, composed");
        assert!(Name::parse(&"x".repeat(24)).is_ok());
        assert_eq!(refusal(&"x".repeat(25)), NameError::TooLong);
        assert_eq!(refusal(&"e\u{301}".repeat(1_000_000)), NameError::TooLong);
        for text in [" ab", "ab ", "a  b", "  "] {
            assert_eq!(refusal(text), NameError::Spaces, "{text:?}");
        }
        for wrong in [
            '\0',
            '\n',
            '\t',
            '\u{A0}',
            '\u{202E}',
            '\u{2066}',
            '\u{200B}',
            '\u{200D}',
            '\u{FEFF}',
            '\u{E000}',
            '\u{378}',
            '\u{10FFFF}',
            '\u{AD}',
            '\u{3164}',
            '\u{115F}',
            '\u{FE0F}',
            '\u{34F}',
            '\u{20DD}',
            '\u{2028}',
            '\u{FFFD}',
            '\u{E0041}',
            '<',
            '@',
            '/',
            '\'',
            '½',
            'ﷺ',
            '⑴',
            '😀',
            '\u{1160}',
            '\u{17B4}',
            '\u{2800}',
        ] {
            // Composing may put another one of the kind in its place, as for U+FFA0.
            assert!(matches!(refusal(&format!("a{wrong}b")), NameError::Character(_)), "{wrong:?}");
        }
        assert_eq!(refusal("a\u{316}\u{317}\u{318}\u{319}"), NameError::Marks);
        assert_eq!(refusal("\u{316}ab"), NameError::Marks);
        assert_eq!(refusal("a -\u{316}b"), NameError::Marks);
        assert_eq!(refusal("-_."), NameError::NoLetter);
    }

    #[test]
    fn names_that_look_alike_are_one_name() {
        for (one, other) in [
            ("Admin", "аdmin"),
            ("Admin", "ADMIN"),
            ("ADMIN", "AᎠMIN".replace('Ꭰ', "D").as_str()),
            ("HELLO", "НЕLLО"),
            ("Bill", "B1I|".replace('|', "l").as_str()),
            ("oO0", "00o"),
            ("straße", "STRASSE"),
            ("ΣΟΦΟΣ", "σοφος"),
            ("İstanbul", "istanbul"),
            ("ﬁn", "fin"),
            ("ｆｕｌｌ", "full"),
            ("𝔉raktur", "fraktur"),
            ("é-é", "e\u{301}_E\u{301}"),
            ("john.doe", "John Doe"),
            ("ᴊᴏʜɴ", "john"),
        ] {
            let names = [one, other].map(|text| Name::parse(text).expect("a name").folded());
            assert_eq!(names[0], names[1], "{one} and {other}");
        }
        assert_ne!(folded("anna"), folded("änna"));
        assert_ne!(folded("anna"), folded("hanna"));
    }

    #[test]
    fn folding_every_character_twice_is_folding_it_once() {
        for character in (0..=0x10FFFF).filter_map(char::from_u32) {
            let once = folded(&character.to_string());
            assert_eq!(folded(&once), once, "U+{:04X}", u32::from(character));
        }
    }

    proptest! {
        #[test]
        fn folding_is_settled_and_blind_to_case(text in "\\PC{0,30}") {
            let once = folded(&text);
            prop_assert_eq!(&folded(&once), &once);
            prop_assert_eq!(folded(&text.nfd().collect::<String>()), folded(&text.nfc().collect::<String>()));
            prop_assert_eq!(folded(&text.nfkd().collect::<String>()), once.clone());
        }

        #[test]
        fn a_name_is_settled_and_one_with_its_capitals(text in "[a-zA-Zа-яА-Яα-ω0-9éßøÅ._ -]{1,26}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(name.as_str()), Ok(name.clone()));
                let folded = name.folded();
                prop_assert_eq!(super::folded(&name.as_str().to_uppercase()), folded.clone());
                prop_assert_eq!(super::folded(&name.as_str().to_lowercase()), folded.clone());
                prop_assert!(folded.chars().count() <= FOLDED_CHARACTERS_MAX);
            }
        }

        #[test]
        fn whatever_is_a_name_has_nothing_hidden(text in "\\PC{2,24}") {
            if let Ok(name) = Name::parse(&text) {
                let hidden = |c: char| c.is_control() || is_invisible(c) || (c.is_whitespace() && c != ' ');
                prop_assert!(!name.as_str().chars().any(hidden));
            }
        }
    }

    #[test]
    fn a_colour_has_six_digits() {
        assert_eq!(Colour::parse("#00FFaa").expect("a colour").as_str(), "#00ffaa");
        for wrong in ["", "#", "00ffaa", "#00ffa", "#00ffaaa", "#00ffag", "#0é0ff", "red"] {
            assert_eq!(Colour::parse(wrong), None, "{wrong}");
        }
    }
}

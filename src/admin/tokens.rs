//! The tokens of `admin.token_file`: who may use the operators' API, and in which role.
//!
//! One line for each token, `name role sha256-of-token`; empty lines and lines that begin with `#` are ignored. The
//! file holds no token itself, so reading it lets nobody in. The file is read again when it changes: a file that
//! cannot be used leaves the tokens as they are, and the log says so.

use std::{fmt, path::Path};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::{
    followed::read_secret,
    hex::{from_hex, to_hex},
    numbers::counted,
};

/// Most characters of a name, which stands in every line of the audit.
const NAME_CHARS_MAX: usize = 64;

/// What a caller may do. A later role may do all that an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Read.
    Viewer,
    /// Read and change.
    Operator,
}

impl Role {
    const ALL: [Self; 2] = [Self::Viewer, Self::Operator];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        })
    }
}

/// What the file says of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Who it was given to.
    pub name: String,
    /// What it allows.
    pub role: Role,
    digest: [u8; 32],
}

impl Token {
    /// Of somebody who is to present `secret`.
    pub fn of(name: &str, role: Role, secret: &str) -> Self {
        Self { name: name.to_owned(), role, digest: digest(secret.as_bytes()) }
    }
}

impl fmt::Display for Token {
    /// As a line of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.name, self.role)?;
        f.write_str(&to_hex(&self.digest))
    }
}

/// All tokens.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.len() as u64, "token", "tokens"))
    }
}

impl Tokens {
    /// Reads the lines of a token file.
    ///
    /// # Errors
    /// The first line that is wrong, by its number, and why. The text of the line is left out: it may be a token.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens: Vec<Token> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let token = parse_line(line).map_err(|why| format!("line {}: {why}", at + 1))?;
            if tokens.iter().any(|other| other.name == token.name) {
                return Err(format!(
                    "line {}: a line before has the name {:?}",
                    at + 1,
                    token.name
                ));
            }
            tokens.push(token);
        }
        Ok(Self(tokens))
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, others may read or change it, or a line is wrong.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = read_secret(path)?;
        Self::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// The token that somebody presents, if it is one. Takes the same time whichever it is, and for none.
    pub fn find(&self, secret: &[u8]) -> Option<&Token> {
        let presented = digest(secret);
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&presented)) {
                found = Some(token);
            }
        }
        found
    }

    /// Whether one of them is just like `token`.
    pub fn contains(&self, token: &Token) -> bool {
        self.0.contains(token)
    }

    /// Whether one of them has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|token| token.name == name)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

fn parse_line(line: &str) -> Result<Token, String> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(role), Some(hex), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("write: name role sha256-of-token".to_owned());
    };
    judge_name(name)?;
    let found = Role::ALL.into_iter().find(|known| known.to_string() == role);
    let role = found.ok_or("the second word is a role: viewer or operator")?;
    let digest = from_hex(hex).ok_or("the third word is a SHA-256 of 64 hexadecimal digits")?;
    Ok(Token { name: name.to_owned(), role, digest })
}

/// Refuses what cannot be the name of a token.
///
/// # Errors
/// What a name may be.
pub fn judge_name(name: &str) -> Result<(), String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if starts_well && name.len() <= NAME_CHARS_MAX && name.chars().all(is_fine) {
        return Ok(());
    }
    Err(format!(
        "a name has 1 to {NAME_CHARS_MAX} letters, digits, -, _, . or @, and begins with a letter or digit"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "bc_0123456789";

    #[test]
    fn a_token_is_found_by_its_secret_and_by_nothing_else() {
        let written = Token::of("alice", Role::Operator, SECRET).to_string();
        let text = format!("# people\n\n  {written}\ngrafana viewer {}\n", "AB".repeat(32));
        let tokens = Tokens::parse(&text).expect("two tokens");
        assert_eq!(tokens.len(), 2);
        let found = tokens.find(SECRET.as_bytes()).expect("hers");
        assert_eq!((&*found.name, found.role), ("alice", Role::Operator));
        for wrong in ["", "bc_0123456788", "bc_01234567890", &written] {
            assert_eq!(tokens.find(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let good = Token::of("alice", Role::Viewer, SECRET).to_string();
        for (line, why) in [
            ("alice viewer", "write: name role"),
            ("alice viewer a b", "write: name role"),
            ("alice root secret", "viewer or operator"),
            ("alice viewer secret", "64 hexadecimal digits"),
            (&format!("alice viewer {}", "+f".repeat(32)), "64 hexadecimal digits"),
            ("-alice viewer secret", "a name has"),
            ("al/ice viewer secret", "a name has"),
            (&good, "a line before has the name \"alice\""),
        ] {
            let refused = Tokens::parse(&format!("{good}\n{line}\n")).expect_err(line);
            assert!(refused.starts_with("line 2: ") && refused.contains(why), "{refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
    }
}

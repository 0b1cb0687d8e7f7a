//! `billion admin token NAME ROLE`: makes a token for the operators' API.

use std::{
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::{Args, ValueHint};

use crate::{
    admin::tokens::{Role, Token, Tokens, judge_name},
    commands::{WrongArgument, print},
    settings::Settings,
};

/// Begins every token, so that programs that look for leaked secrets find it.
const PREFIX: &str = "bc_";

/// Make a token, print it once, and add its line to the token file
///
/// The file keeps a checksum of the token and not the token: who loses a token gets a new one. A running server
/// accepts it within a second. To revoke a token, delete its line.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Who gets it, as in alice or grafana: named in the audit
    #[arg(value_parser = name)]
    name: String,
    /// What it allows: a viewer reads, an operator also changes
    role: Role,
    /// The token file [default: admin.token_file of the settings]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
}

fn name(text: &str) -> Result<String, String> {
    judge_name(text).map(|()| text.to_owned())
}

/// Makes the token.
pub fn run(arguments: &Arguments, settings: &Settings) -> Result<()> {
    let set = Some(&settings.admin.token_file).filter(|path| !path.as_os_str().is_empty());
    let Some(file) = arguments.file.as_ref().or(set) else {
        let text =
            "there is no admin.token_file in the settings: name one with --file, and set it there";
        return Err(WrongArgument(text.to_owned()).into());
    };
    let secret = format!("{PREFIX}{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    add(file, &Token::of(&arguments.name, arguments.role, &secret))?;
    log::info!("added to {}: this is the only time that the token is shown", file.display());
    print(format!("{secret}\n").as_bytes())
}

/// Adds a line to the file, which is made if there is none.
fn add(file: &Path, token: &Token) -> Result<()> {
    let (mut before, mut is_unended) = (Tokens::default(), false);
    if file.exists() {
        before = Tokens::read(file).map_err(anyhow::Error::msg)?;
        is_unended = std::fs::read(file)?.last().is_some_and(|last| *last != b'\n');
    }
    if before.has(&token.name) {
        let (file, name) = (file.display(), &token.name);
        let text =
            format!("{file} has a token named {name}: choose another name, or delete its line");
        return Err(WrongArgument(text).into());
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("cannot write {}", file.display()))?;
    let line = format!("{}{token}\n", if is_unended { "\n" } else { "" });
    // At once: a server that reads meanwhile sees the whole line or none.
    opened.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_added_to_a_file_that_nobody_else_may_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("tokens");
        let token = |name: &str| Token::of(name, Role::Viewer, name);
        add(&file, &token("alice")).expect("the first");
        let text = std::fs::read_to_string(&file).expect("written");
        std::fs::write(&file, text.trim_end()).expect("without the end of its line");
        add(&file, &token("bob")).expect("the second");
        let tokens = Tokens::read(&file).expect("a mode of 600");
        assert!(tokens.find(b"alice").is_some() && tokens.find(b"bob").is_some());
        let twice = add(&file, &token("bob")).expect_err("he has one");
        assert!(twice.to_string().contains("has a token named bob"), "{twice}");
    }
}

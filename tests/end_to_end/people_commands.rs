//! `billion people …` on databases as operators have them. What it does to an account is tested beside the command.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use tempfile::TempDir;
use xtask::{
    guardian::{Folder, Guardian},
    mariadb::{DATABASE, MariaDb},
};

use crate::harness::server::Setup;

const ID: [&str; 4] = ["people", "ban", "--id", "00c0ffee00c0ffee"];

#[test]
fn without_a_setting_accounts_are_in_a_file_beside_the_board() {
    let setup = Setup::new(1000, 1);
    let banned = setup.run(&ID);
    assert_eq!(banned.code, Some(0), "{}", banned.said);
    assert!(banned.said.contains("user 00c0ffee00c0ffee is banned"), "{}", banned.said);
    let file = setup.folder().join("data/billion.db");
    let mode = fs::metadata(&file).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let nobody = setup.run(&["people", "reset", "nobody"]);
    assert_eq!((nobody.code, nobody.printed()), (Some(1), ""));
    assert!(
        nobody.said.contains("the account 'nobody': there is no such account"),
        "{}",
        nobody.said
    );
    let wrong = setup.run(&["people", "unban", "--id", "xyz"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.said);
}

#[test]
fn a_key_is_printed_and_stands_in_no_log() {
    let setup = Setup::new(1000, 1);
    let keys = [0, 1].map(|_| setup.run(&["people", "key"]));
    for made in &keys {
        let line = made.printed().strip_suffix('\n').expect("a line");
        assert!(line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
        assert!(!made.said.contains(line), "{}", made.said);
    }
    assert_ne!(keys[0].printed(), keys[1].printed());
}

#[test]
fn a_server_that_is_away_is_said_without_its_password() {
    let folder =
        tempfile::Builder::new().prefix("mariadb-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.map(TempDir::keep).expect("a folder");
    let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove).expect("sh runs");
    let server = MariaDb::start(guardian.folder()).expect("it starts");
    let setup = Setup::new(1000, 1).with("DATABASE__URL", server.url(DATABASE));
    let banned = setup.run(&ID);
    assert_eq!(banned.code, Some(0), "{}", banned.said);
    server.stop().expect("it ends");
    let away = setup.run(&ID);
    assert_eq!(away.code, Some(1), "{}", away.said);
    assert!(away.said.contains("the database is away: "), "{}", away.said);
    assert!(away.said.contains("Connection refused"), "{}", away.said);
    assert!(!(away.said + &banned.said).contains("secret"), "the password");
}

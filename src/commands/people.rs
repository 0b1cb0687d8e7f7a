//! `billion people …`: what operators do with accounts. Works on the database itself, whether nodes run or not; those
//! that do follow within a second.

use std::{process::ExitCode, time::Duration};

use actors::player::UserId;
use anyhow::{Context as _, Result, anyhow};
use clap::{Args, Subcommand, ValueHint};

use super::{print, with_settings};
use crate::{
    arguments::SettingsArguments,
    database::{Database, Target},
    people::{
        accounts,
        keys::Keys,
        repository::revocation::{Revocation, Revoked, revoke},
    },
    settings::Settings,
    wall,
};

/// Longest wait for the database; a server on another machine answers within a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// Help players with their accounts, and keep some out.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Print a code that sets a new password: good for an hour, and once
    ///
    /// Whoever has forgotten the password gets the code from you, by a way on which you know that it is them. It voids
    /// the code before, and all cookies once it is used.
    Reset {
        /// The name of the account
        #[arg(value_hint = ValueHint::Other)]
        name: String,
    },
    /// Keep a player out: all cookies are void, and the account does not log in
    Ban(Whom),
    /// Let a player in again
    Unban(Whom),
    /// Print a new key for people.keys_file
    Key,
}

#[derive(Debug, Args)]
struct Whom {
    /// The name of the account
    #[arg(value_hint = ValueHint::Other)]
    name: String,
    /// NAME is a user id, 16 hexadecimal digits, as of a player without an account
    #[arg(long)]
    id: bool,
}

/// 0: done; 1: failed, or there is no such account; 2: the settings or an argument are wrong.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> ExitCode {
    if matches!(arguments.task, Task::Key) {
        return super::say(format!("{}\n", Keys::generate()).as_bytes());
    }
    with_settings(settings, |settings| on_database(&arguments.task, settings))
}

fn on_database(task: &Task, settings: &Settings) -> Result<()> {
    let target = Target::parse(&settings.database_url());
    let target = target.map_err(|why| anyhow!("database.url: {why}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let database = Database::open(target, 1).context("cannot start a thread")?;
    let printed = runtime.block_on(async {
        database.ready(PATIENCE).await?;
        let done = act(task, &database, wall::now_ms()).await;
        database.close().await;
        done
    })?;
    print(printed.as_bytes())
}

/// Returns what is printed: what a program may want; the rest is logged.
async fn act(task: &Task, database: &Database, now_ms: u64) -> Result<String> {
    let of = |name: &str| format!("the account '{name}'");
    match task {
        Task::Reset { name } => {
            let code =
                accounts::reset_code(database, name, now_ms).await.with_context(|| of(name))?;
            log::info!("this is the only time that the code is shown; it is good for an hour");
            Ok(format!("{code}\n"))
        }
        Task::Ban(whom) => {
            let row = set_banned(database, whom, true, now_ms).await?;
            log::info!("user {} is banned, and all of its cookies are void", row.user);
            Ok(String::new())
        }
        Task::Unban(whom) => {
            let row = set_banned(database, whom, false, now_ms).await?;
            log::info!("user {} may log in again", row.user);
            Ok(String::new())
        }
        Task::Key => Ok(format!("{}\n", Keys::generate())),
    }
}

async fn set_banned(
    database: &Database,
    whom: &Whom,
    is_banned: bool,
    now_ms: u64,
) -> Result<Revoked> {
    let name = &whom.name;
    if !whom.id {
        let done = accounts::set_banned(database, name, is_banned, now_ms).await;
        return done.with_context(|| format!("the account '{name}'"));
    }
    let user = UserId::read(name).ok_or_else(|| {
        super::WrongArgument(format!("'{name}' is no user id: those have 16 hexadecimal digits"))
    })?;
    let what = if is_banned { Revocation::Ban } else { Revocation::Unban };
    Ok(revoke(database, user, what, now_ms).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        database::testing::Place,
        people::{
            accounts::{AccountError, Accounts, Visitor},
            passwords::Passwords,
            repository::revocation::revocations_after,
        },
    };

    const NOW_MS: u64 = 1_800_000_000_000;

    fn whom(name: &str, id: bool) -> Whom {
        Whom { name: name.to_owned(), id }
    }

    #[tokio::test]
    async fn operators_reset_passwords_and_ban_while_a_node_has_the_database() {
        let place = Place::sqlite();
        let passwords = Passwords::start().expect("threads start");
        let node = Accounts::new(place.open().await, passwords);
        node.register(None, "Jo Doe", "correct horse", NOW_MS).await.expect("made");
        let operator = place.open().await;
        let act = async |task| act(&task, &operator, NOW_MS).await;
        let visitor = Visitor { address: None, identity: None };

        let code = act(Task::Reset { name: "jo doe".to_owned() }).await.expect("it is there");
        let redeemed = node.redeem(&visitor, "Jo Doe", code.trim(), "new password", NOW_MS).await;
        redeemed.expect("the code is good");

        act(Task::Ban(whom("JO DOE", false))).await.expect("it is there");
        let refused = node.log_in(&visitor, "Jo Doe", "new password", NOW_MS).await;
        assert!(matches!(refused, Err(AccountError::Banned)), "{refused:?}");
        act(Task::Unban(whom("Jo Doe", false))).await.expect("it is there");
        node.log_in(&visitor, "Jo Doe", "new password", NOW_MS).await.expect("let in again");

        act(Task::Ban(whom("00000000000000ff", true))).await.expect("any user");
        let rows = revocations_after(&operator, 3, 10).await.expect("it is up");
        let found: Vec<_> = rows.iter().map(|row| (row.user.get(), row.banned)).collect();
        assert_eq!(found, [(255, Some(true))]);

        let nobody = act(Task::Ban(whom("nobody", false))).await.expect_err("there is none");
        assert_eq!(format!("{nobody:#}"), "the account 'nobody': there is no such account");
        let wrong = act(Task::Ban(whom("xyz", true))).await.expect_err("no id");
        assert!(wrong.is::<super::super::WrongArgument>(), "{wrong}");
    }
}

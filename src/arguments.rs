//! The command line: its flags and subcommands, and what they mean to the settings.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueHint,
    error::{ContextKind, ContextValue, ErrorKind},
};
use clap_complete::Shell;

use crate::{
    commands::{admin, export, health, import, inspect, limits, people, reset},
    settings::{Flag, Sources, masked, masked_text},
    telemetry::VERSION,
};

/// Shown by `--help`.
pub const MORE: &str = "\
Settings, later places win:
  1. the defaults compiled in (settings.toml of the repository, with a comment on each)
  2. ./settings.toml if there is one, or --settings FILE
  3. .env in the working directory: variables as in 4 and 5, one NAME=value a line
  4. the environment, the older server's names: REDIS_ADDRESSES (a Redis Cluster keeps
     the board), REDIS_ADDRESSES_REMAP, SERVER_ADDRESS, ALLOWED_ORIGINS, LIMITER_LIMIT,
     LIMITER_BURST, ME_URL, BUY_ME_A_COFFEE_URL, RUST_LOG (log.level) and WEBSOCKET_*
  5. the environment, BILLION__SECTION__KEY, as in BILLION__SERVER__ADDRESS=:9000
  6. flags: first --set, then the others

SIGHUP has a server read 2 and 3 again and take over what is live (--print-settings says what is).
One that was started from a terminal ends instead, as on SIGTERM.

--check looks at the settings and the files they name; it tries no port and looks no name up.

Examples:
  billion --address :9000 --data /var/lib/billion
  billion --set limiter.limit=5 --set shards.count=100
  billion --check && systemctl reload billion

Exit codes: 0 stopped as asked, or nothing wrong; 1 failed; 2 settings or flags are wrong.";

/// One page with one billion checkboxes that everyone in the world shares.
///
/// Without a command it serves the board until SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(name = "billion", version = VERSION, after_long_help = MORE)]
#[command(after_help = "--help says where settings come from and gives examples.")]
pub struct Arguments {
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where the settings come from
    #[command(flatten)]
    pub settings: SettingsArguments,

    /// Say what is wrong with the settings, each with its place, without starting
    #[arg(long)]
    pub check: bool,

    /// Print every setting, its value, where it comes from and what changes it, as TOML; secrets masked
    #[arg(long, conflicts_with = "check")]
    pub print_settings: bool,
}

/// What the binary can do beside serving, one file each in `commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    Health(health::Arguments),
    Export(export::Arguments),
    Import(import::Arguments),
    Inspect(inspect::Arguments),
    Reset(reset::Arguments),
    /// Ask a running server how its limits treat somebody
    Limits(limits::Arguments),
    Admin(admin::Arguments),
    People(people::Arguments),
    /// Print a completion script for a shell
    #[command(after_long_help = "\
bash:  billion completions bash > ~/.local/share/bash-completion/completions/billion
zsh:   billion completions zsh > ~/.zfunc/_billion   (a folder of your fpath)
fish:  billion completions fish > ~/.config/fish/completions/billion.fish")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Flags that change settings; those that are not about serving alone, every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArguments {
    /// Settings file [default: ./settings.toml if there is one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, global = true)]
    pub settings: Option<PathBuf>,

    /// Where players connect, host:port or :port (server.address)
    #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::Other)]
    pub address: Option<String>,

    /// Where operators reach /metrics, health, /export and /import, which checks boxes (admin.address)
    #[arg(long, value_name = "ADDRESS", value_hint = ValueHint::Other)]
    pub admin_address: Option<String>,

    /// Folder of the store (store.path)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, global = true)]
    pub data: Option<String>,

    /// Name of the stored board (board.name)
    #[arg(long, value_name = "NAME", value_hint = ValueHint::Other, global = true)]
    pub board: Option<String>,

    /// Any setting, as in limiter.limit=5; may be given more than once
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = assignment,
          value_hint = ValueHint::Other, global = true)]
    pub set: Vec<(String, String)>,
}

impl Arguments {
    /// The command line. What is wrong with it is said, and ends the process.
    pub fn read() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        Self::try_parse_from(&words).and_then(Self::agreeing).unwrap_or_else(|mut error| {
            explain_serving(&mut error);
            let text = error.to_string();
            let told = without_secrets(&text, &words);
            if !error.use_stderr() || told == text {
                error.exit();
            }
            // Where nobody listens the exit code is left.
            let _ = write!(io::stderr(), "{told}");
            std::process::exit(error.exit_code());
        })
    }

    /// Refuses to take one of two things that were asked for.
    fn agreeing(self) -> Result<Self, clap::Error> {
        let flag = match &self {
            Self { command: Some(_), check: true, .. } => "--check",
            Self { command: Some(_), print_settings: true, .. } => "--print-settings",
            // Before a command it would be taken and do nothing: health has an --address of its own.
            Self {
                command: Some(_), settings: SettingsArguments { address: Some(_), .. }, ..
            } => "--address",
            _ => return Ok(self),
        };
        let told = format!("the argument '{flag}' cannot be used with a command");
        Err(Self::command().error(ErrorKind::ArgumentConflict, told))
    }
}

/// Serving has no command, which is looked for all the same.
fn explain_serving(error: &mut clap::Error) {
    let words = ["serve", "server", "start", "run", "up"];
    let found = error.get(ContextKind::InvalidSubcommand);
    if matches!(found, Some(ContextValue::String(word)) if words.contains(&word.as_str())) {
        let tip = "without a command, billion serves the board";
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

/// What clap says of a wrong command line, which it quotes, without the passwords in `words`.
fn without_secrets(text: &str, words: &[OsString]) -> String {
    let mut told = text.to_owned();
    // Word by word first: only here is it known that one goes on after a space.
    for word in words.iter().map(|word| word.to_string_lossy()) {
        let value = word.split_once('=').map(|(_, value)| value);
        for quoted in [Some(&*word), value].into_iter().flatten() {
            if quoted.contains('@') {
                told = told.replace(quoted, &masked(quoted));
            }
        }
    }
    masked_text(&told)
}

impl SettingsArguments {
    /// Everything settings are made of: these flags, the environment, files in the working
    /// directory.
    pub fn sources(&self) -> Sources {
        Sources {
            folder: PathBuf::new(),
            file: self.settings.clone(),
            environment: environment(),
            flags: self.flags(),
        }
    }

    fn flags(&self) -> Vec<Flag> {
        let set = self.set.iter().map(|(key, value)| flag("--set", key, value));
        let named = [
            ("--address", "server.address", &self.address),
            ("--admin-address", "admin.address", &self.admin_address),
            ("--data", "store.path", &self.data),
            ("--board", "board.name", &self.board),
        ];
        let named = named
            .into_iter()
            .filter_map(|(name, key, value)| Some(flag(name, key, value.as_deref()?)));
        set.chain(named).collect()
    }
}

fn assignment(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').unwrap_or_default();
    let key = key.trim();
    if key.is_empty() {
        Err("write section.key=value")
    } else {
        Ok((key.to_owned(), value.to_owned()))
    }
}

fn flag(name: &str, key: &str, value: &str) -> Flag {
    Flag { name: name.to_owned(), key: key.to_owned(), value: value.to_owned() }
}

/// The environment. What is not UTF-8 is marked as such, and refused if it is one of ours.
fn environment() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let mut variables: Vec<_> =
        std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    // So that problems are told in the same order each time.
    variables.sort();
    variables
}

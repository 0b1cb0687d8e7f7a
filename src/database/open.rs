//! From a URL to pools of connections, each database with the options that we need.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    str::FromStr as _,
    time::Duration,
};

use sea_orm::{
    DatabaseConnection, SqlxMySqlConnector, SqlxPostgresConnector, SqlxSqliteConnector,
    sqlx::{
        self, ConnectOptions as _, Connection as _, Executor as _,
        mysql::{MySqlConnectOptions, MySqlPoolOptions},
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};

/// Longest wait for a free connection. 8 connections that take 3 ms each serve 5,000 before it is over: whoever waits for
/// longer waits for a database that is in trouble.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest wait for another transaction's lock, which is held for some ms; shorter than all of a piece of work may take
/// ([`super::WORK_LIMIT`]), so that the database names the reason.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a database is, and how to speak to it.
#[derive(Debug, Clone)]
pub enum Target {
    /// A file of this node alone.
    Sqlite(PathBuf),
    /// A MariaDB server.
    MariaDb(Box<MySqlConnectOptions>),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
}

impl Target {
    /// Reads a URL, as `database.url` is written.
    ///
    /// # Errors
    /// What is wrong with it, without the URL, which may have a password.
    pub fn parse(url: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            return Ok(Self::Sqlite(path.into()));
        }
        if url.starts_with("mysql://") {
            let options = MySqlConnectOptions::from_str(url).map_err(|error| error.to_string())?;
            return Ok(Self::MariaDb(Box::new(options.disable_statement_logging())));
        }
        if url.starts_with("postgres://") {
            let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
            let limit_ms = LOCK_TIMEOUT.as_millis().to_string();
            let options = options.options([("lock_timeout", limit_ms)]);
            return Ok(Self::Postgres(Box::new(options.disable_statement_logging())));
        }
        Err("it begins with none of sqlite://, mysql:// and postgres://".to_owned())
    }

    /// Where it is, without user and password.
    pub fn shown(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::MariaDb(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                format!("{host}:{port}/{}", options.get_database().unwrap_or_default())
            }
            Self::Postgres(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                format!("{host}:{port}/{}", options.get_database().unwrap_or_default())
            }
        }
    }

    /// Makes a file that only we may read, and its folder, if there is none.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn prepare(&self) -> Result<(), String> {
        let Self::Sqlite(path) = self else { return Ok(()) };
        make_file(path).map_err(|error| format!("cannot make {}: {error}", path.display()))
    }

    /// Connects and leaves again: a pool would try for as long as it may, and say nothing but that it has.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn knock(&self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(path) => sqlite(path).connect().await?.close().await,
            Self::MariaDb(options) => options.connect().await?.close().await,
            Self::Postgres(options) => options.connect().await?.close().await,
        }
    }

    /// A pool that connects when it is used. Must be used where it was made, because its connections live there.
    pub fn pool(&self, connections: u32) -> DatabaseConnection {
        match self {
            Self::Sqlite(path) => {
                let pool = SqlitePoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_lazy_with(sqlite(path));
                SqlxSqliteConnector::from_sqlx_sqlite_pool(pool)
            }
            Self::MariaDb(options) => {
                let pool = MySqlPoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .after_connect(|connection, _| {
                        Box::pin(async move {
                            connection.execute(OF_A_MARIADB_SESSION).await.map(|_| ())
                        })
                    })
                    .connect_lazy_with(MySqlConnectOptions::clone(options));
                SqlxMySqlConnector::from_sqlx_mysql_pool(pool)
            }
            Self::Postgres(options) => {
                let pool = PgPoolOptions::new()
                    .max_connections(connections)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_lazy_with(PgConnectOptions::clone(options));
                SqlxPostgresConnector::from_sqlx_postgres_pool(pool)
            }
        }
    }
}

/// READ COMMITTED as in PostgreSQL: a transaction that has waited for a lock sees what the one before has written.
/// MariaDB's own default goes on with what it saw at its first read. Seconds: [`LOCK_TIMEOUT`].
const OF_A_MARIADB_SESSION: &str =
    "SET SESSION tx_isolation = 'READ-COMMITTED', SESSION innodb_lock_wait_timeout = 2";

const _: () = assert!(LOCK_TIMEOUT.as_secs() == 2);

fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // What was answered is there after the machine lost its power; NORMAL may lose the last transactions.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOCK_TIMEOUT)
        .foreign_keys(true)
        .thread_name(|number| format!("sqlite-{number}"))
        .disable_statement_logging()
}

fn make_file(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    // Its log and index files take the same mode. One that is there keeps what its owner has given it.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(|_| ())
}

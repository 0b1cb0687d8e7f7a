//! Real databases for tests: a SQLite file, and servers that all tests of this process share, each test with a database
//! of its own. [`on_every_database`](crate::on_every_database) runs the same tests on all.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use xtask::{
    guardian::{Folder, Guardian},
    mariadb::MariaDb,
    postgres::Postgres,
};

use super::{Database, Target};

/// A machine that compiles beside the tests takes seconds for what takes ms otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Declares each test once for each database: functions of this module that take a [`Place`].
#[macro_export]
macro_rules! on_every_database {
    ($($name:ident)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::database::testing::Place::sqlite()).await;
            })*
        }
        mod mariadb {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::database::testing::Place::mariadb().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            #[ignore = "long: cargo xtask test --long"]
            async fn $name() {
                super::$name($crate::database::testing::Place::postgres().await).await;
            })*
        }
    };
}

/// An empty database.
#[derive(Debug)]
pub struct Place {
    /// Where it is.
    pub url: String,
    _folder: Option<TempDir>,
}

impl Place {
    /// A file in a folder that does not exist yet.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}", folder.path().join("new/billion.db").display());
        Self { url, _folder: Some(folder) }
    }

    /// On the shared MariaDB.
    pub async fn mariadb() -> Self {
        static SERVER: LazyLock<(MariaDb, Guardian)> =
            LazyLock::new(|| guarded("mariadb-", MariaDb::start));
        Self::on_server(|database| SERVER.0.url(database), "mysql").await
    }

    /// On the shared PostgreSQL.
    pub async fn postgres() -> Self {
        static SERVER: LazyLock<(Postgres, Guardian)> =
            LazyLock::new(|| guarded("postgres-", Postgres::start));
        Self::on_server(|database| SERVER.0.url(database), "postgres").await
    }

    async fn on_server(url: impl Fn(&str) -> String, first: &str) -> Self {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NAMES.fetch_add(1, Ordering::Relaxed));
        create(&url(first), &name).await;
        Self { url: url(&name), _folder: None }
    }

    /// As a node opens it; it is up.
    pub async fn open(&self) -> Database {
        let target = Target::parse(&self.url).expect("a URL of ours");
        let database = Database::open(target, 4).expect("a thread starts");
        database.ready(PATIENCE).await.expect("it is up");
        database
    }
}

/// A server in a folder that is removed with it, even when nobody is left to drop it.
pub fn guarded<S>(
    prefix: &str,
    start: impl Fn(&std::path::Path) -> anyhow::Result<S>,
) -> (S, Guardian) {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir().map(TempDir::keep);
    let folder = folder.expect("a temporary folder");
    let guardian = Guardian::over(&folder, Duration::ZERO, Folder::Remove).expect("sh runs");
    let server = start(guardian.folder());
    (server.unwrap_or_else(|failure| panic!("no server: {failure:#}")), guardian)
}

/// Creates a database by way of one that is there.
pub async fn create(url: &str, name: &str) {
    let connection = Target::parse(url).expect("a URL of ours").pool(1);
    let created = connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await;
    created.expect("a database can be created");
    connection.close().await.expect("it was open");
}

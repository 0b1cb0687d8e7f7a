//! Makes the tables and changes them from version to version, one node at a time.
//!
//! A step's statements change nothing where they have run already, because MariaDB commits each of them by itself: a
//! node that is killed in the middle leaves a step that the next one repeats. Steps that were released never change.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, SqlErr, Statement,
    sea_query::{ColumnDef, Expr, ExprTrait as _, Index, Query, Table, TableCreateStatement},
};

use crate::wall;

/// A node that was killed while it migrated holds the others up for so long. A statement takes milliseconds, and the
/// lock is prolonged before each.
const LOCK_LIFETIME: Duration = Duration::from_secs(30);

/// What takes a database from the version before to this one.
struct Step {
    tables: fn() -> Vec<TableCreateStatement>,
    /// The same words on all three databases.
    statements: &'static [&'static str],
}

/// The step to version 1, to 2 and so on.
const STEPS: [Step; 1] = [Step {
    tables: first_tables,
    statements: &[
        "CREATE INDEX IF NOT EXISTS player_seen ON player (seen_day)",
        "CREATE INDEX IF NOT EXISTS player_total ON player (total)",
        "CREATE INDEX IF NOT EXISTS player_moved ON player (moved_to)",
        "CREATE INDEX IF NOT EXISTS team_member_team ON team_member (team)",
        "CREATE INDEX IF NOT EXISTS room_member_player ON room_member (player)",
        "CREATE INDEX IF NOT EXISTS revocation_player ON revocation (player)",
        "CREATE INDEX IF NOT EXISTS revocation_at ON revocation (at_ms)",
        "CREATE INDEX IF NOT EXISTS credit_player ON credit (player)",
        "CREATE INDEX IF NOT EXISTS day_total_day ON day_total (day, checks)",
        "CREATE INDEX IF NOT EXISTS team_day_total_day ON team_day_total (day, checks)",
        "CREATE INDEX IF NOT EXISTS report_closed ON report (closed_ms, at_ms)",
        "CREATE INDEX IF NOT EXISTS report_about ON report (about)",
        "CREATE INDEX IF NOT EXISTS report_reporter ON report (reporter)",
    ],
}];

/// The version that this program works with.
pub const VERSION: i32 = STEPS.len() as i32;

/// Why a database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A statement failed.
    #[error("{0}")]
    Database(#[from] DbErr),
    /// Another node is at it.
    #[error("another node migrates the database")]
    Locked,
    /// A later release was here.
    #[error(
        "the database has version {found} and this program knows up to {VERSION}: start the release that has \
         migrated it, or restore the backup from before"
    )]
    Newer {
        /// The version of the database.
        found: i32,
    },
}

/// Brings the database to [`VERSION`]; returns how many steps that took.
///
/// # Errors
/// If the database is newer, if another node holds the lock, or if a statement fails. All can be tried again.
pub async fn migrate(connection: &DatabaseConnection) -> Result<usize, MigrationError> {
    let found = match version(connection).await {
        Ok(found) => found,
        // There is no such table, or the database is away, which the next statement finds, too.
        Err(_) => {
            make_own_tables(connection).await?;
            version(connection).await?
        }
    };
    if found > VERSION {
        return Err(MigrationError::Newer { found });
    }
    if found == VERSION {
        return Ok(0);
    }
    let holder: i64 = rand::random();
    lock(connection, holder).await?;
    let migrated = steps(connection, holder).await;
    let freed = Query::delete().from_table(LOCK).and_where(held_by(holder)).to_owned();
    // If that fails, it expires.
    let freed = connection.execute(&freed).await;
    let steps = migrated?;
    freed?;
    Ok(steps)
}

/// One row, the version.
const VERSIONS: &str = "schema_version";
/// At most one row, who migrates.
const LOCK: &str = "schema_lock";

async fn make_own_tables(connection: &DatabaseConnection) -> Result<(), DbErr> {
    let versions = table(VERSIONS)
        .col(ColumnDef::new("id").integer().not_null().primary_key())
        .col(ColumnDef::new("version").integer().not_null())
        .to_owned();
    let lock = table(LOCK)
        .col(ColumnDef::new("id").integer().not_null().primary_key())
        .col(ColumnDef::new("holder").big_integer().not_null())
        .col(ColumnDef::new("until_ms").big_integer().not_null())
        .to_owned();
    for table in [versions, lock] {
        let made = make(connection, table).await;
        // PostgreSQL fails if two nodes do this at once: then the table is there now.
        if let Err(error) = made
            && !is_unique(&error)
        {
            return Err(error);
        }
    }
    let insert = Query::insert()
        .into_table(VERSIONS)
        .columns(["id", "version"])
        .values_panic([1.into(), 0.into()])
        .to_owned();
    match connection.execute(&insert).await {
        Err(error) if !is_unique(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_unique(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}

async fn version(connection: &DatabaseConnection) -> Result<i32, DbErr> {
    let select = Query::select().column("version").from(VERSIONS).to_owned();
    let row = connection.query_one(&select).await?;
    row.ok_or_else(|| DbErr::RecordNotFound(format!("{VERSIONS} is empty")))?.try_get("", "version")
}

/// The lock's row, if that holder still has it.
fn held_by(holder: i64) -> Expr {
    Expr::col("id").eq(1).and(Expr::col("holder").eq(holder))
}

/// Becomes the holder: of a lock that nobody has, or whose time is over.
async fn lock(connection: &DatabaseConnection, holder: i64) -> Result<(), MigrationError> {
    let until = until_ms();
    let insert = Query::insert()
        .into_table(LOCK)
        .columns(["id", "holder", "until_ms"])
        .values_panic([1.into(), holder.into(), until.into()])
        .to_owned();
    match connection.execute(&insert).await {
        Ok(_) => return Ok(()),
        Err(error) if is_unique(&error) => {}
        Err(error) => return Err(error.into()),
    }
    let over = Expr::col("id").eq(1).and(Expr::col("until_ms").lt(now_ms()));
    take(connection, holder, over).await
}

async fn take(
    connection: &DatabaseConnection,
    holder: i64,
    condition: Expr,
) -> Result<(), MigrationError> {
    let update = Query::update()
        .table(LOCK)
        .values([("holder", holder.into()), ("until_ms", until_ms().into())])
        .and_where(condition)
        .to_owned();
    let taken = connection.execute(&update).await?.rows_affected() == 1;
    taken.then_some(()).ok_or(MigrationError::Locked)
}

fn now_ms() -> i64 {
    wall::now_ms().cast_signed()
}

fn until_ms() -> i64 {
    now_ms() + LOCK_LIFETIME.as_millis() as i64
}

async fn steps(connection: &DatabaseConnection, holder: i64) -> Result<usize, MigrationError> {
    // Another node may have been at it until now.
    let before = version(connection).await?;
    let todo = (1..).zip(&STEPS).skip(usize::try_from(before).unwrap_or(0));
    let mut done = 0;
    for (number, step) in todo {
        for table in (step.tables)() {
            take(connection, holder, held_by(holder)).await?;
            make(connection, table).await?;
        }
        for statement in step.statements {
            take(connection, holder, held_by(holder)).await?;
            let backend = connection.get_database_backend();
            connection.execute_raw(Statement::from_string(backend, *statement)).await?;
        }
        let update =
            Query::update().table(VERSIONS).values([("version", i32::into(number))]).to_owned();
        connection.execute(&update).await?;
        done += 1;
    }
    Ok(done)
}

/// Makes a table whose text is compared byte by byte, which is the default elsewhere than in MariaDB.
async fn make(
    connection: &DatabaseConnection,
    mut table: TableCreateStatement,
) -> Result<(), DbErr> {
    if connection.get_database_backend() == DbBackend::MySql {
        table.character_set("utf8mb4").collate("utf8mb4_nopad_bin");
    }
    connection.execute(&table).await.map(|_| ())
}

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).if_not_exists().to_owned()
}

fn id(name: &'static str) -> ColumnDef {
    number(name).primary_key().to_owned()
}

/// 64 bits.
fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

fn maybe_number(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().to_owned()
}

/// 32 bits.
fn small(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().to_owned()
}

/// Of 255 characters, which are 1,020 bytes at most: MariaDB's keys may have 3,072.
fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).string_len(255).not_null().to_owned()
}

fn first_tables() -> Vec<TableCreateStatement> {
    let player = table("player")
        .col(id("id"))
        .col(number("created_ms"))
        .col(small("seen_day"))
        .col(number("total"))
        .col(ColumnDef::new("first_day").integer().null())
        .col(ColumnDef::new("last_day").integer().null())
        .col(small("streak"))
        .col(small("best_streak"))
        .col(maybe_number("moved_to"))
        .to_owned();
    let account = table("account")
        .col(id("player"))
        .col(text("name"))
        .col(text("folded").unique_key())
        .col(text("password"))
        .col(number("created_ms"))
        .col(number("changed_ms"))
        .col(ColumnDef::new("code").string_len(64).null())
        .col(maybe_number("code_until_ms"))
        .to_owned();
    [vec![player, account], groups(), revocations(), credits()].concat()
}

fn groups() -> Vec<TableCreateStatement> {
    let team = table("team")
        .col(id("id"))
        .col(text("name"))
        .col(text("folded").unique_key())
        .col(ColumnDef::new("colour").string_len(7).not_null())
        .col(maybe_number("maker"))
        .col(ColumnDef::new("invite").string_len(64).not_null().unique_key())
        .col(number("created_ms"))
        .to_owned();
    let team_member = table("team_member")
        .col(id("player"))
        .col(number("team"))
        .col(number("since_ms"))
        .to_owned();
    let room = table("room")
        .col(id("id"))
        .col(text("name"))
        .col(maybe_number("maker"))
        .col(ColumnDef::new("invite").string_len(64).not_null().unique_key())
        .col(number("created_ms"))
        .to_owned();
    let room_member = table("room_member")
        .col(number("room"))
        .col(number("player"))
        .col(number("since_ms"))
        .primary_key(Index::create().col("room").col("player"))
        .to_owned();
    let report = table("report")
        .col(id("id"))
        .col(maybe_number("reporter"))
        .col(number("about"))
        .col(ColumnDef::new("reason").text().not_null())
        .col(ColumnDef::new("message").text().not_null())
        .col(number("at_ms"))
        .col(ColumnDef::new("closed_by").string_len(255).null())
        .col(maybe_number("closed_ms"))
        .to_owned();
    vec![team, team_member, room, room_member, report]
}

fn revocations() -> Vec<TableCreateStatement> {
    let counter = table("counter")
        .col(ColumnDef::new("name").string_len(32).not_null().primary_key())
        .col(number("value"))
        .to_owned();
    let revocation = table("revocation")
        .col(id("sequence"))
        .col(number("player"))
        .col(maybe_number("epoch"))
        .col(maybe_number("sign_in"))
        .col(ColumnDef::new("banned").boolean().null())
        .col(number("at_ms"))
        .to_owned();
    vec![counter, revocation]
}

fn credits() -> Vec<TableCreateStatement> {
    let credit = table("credit")
        .col(ColumnDef::new("board").string_len(64).not_null())
        .col(number("key_range"))
        .col(number("player"))
        .col(small("day"))
        .col(number("checks"))
        .primary_key(Index::create().col("board").col("key_range").col("player").col("day"))
        .to_owned();
    let of_day = |name, of| {
        table(name)
            .col(number(of))
            .col(small("day"))
            .col(number("checks"))
            .primary_key(Index::create().col(of).col("day"))
            .to_owned()
    };
    vec![credit, of_day("day_total", "player"), of_day("team_day_total", "team")]
}

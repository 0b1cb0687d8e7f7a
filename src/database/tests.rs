//! The database goes away and comes back, migrates once, and refuses what it does not know.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait as _, Statement};
use xtask::mariadb::MariaDb;

use super::{
    testing::{PATIENCE, Place, create, guarded},
    *,
};

crate::on_every_database! {
    many_nodes_that_start_at_once_migrate_once
    a_killed_migration_is_finished_by_the_next_node
    a_database_of_a_later_release_is_refused_until_it_is_replaced
    work_that_fails_leaves_nothing_behind
    work_beyond_the_bound_is_refused_at_once
}

fn open(url: &str) -> Database {
    let target = Target::parse(url).expect("a URL of ours");
    Database::open(target, 2).expect("a thread starts")
}

async fn run(database: &Database, sql: &'static str) {
    let done = database.write(async move |transaction: &DatabaseTransaction| {
        transaction.execute_unprepared(sql).await?;
        Ok(())
    });
    done.await.map_err(|trouble: Trouble| trouble).expect(sql);
}

async fn number(database: &Database, sql: &'static str) -> Result<i64, Trouble> {
    database
        .read(async move |connection: &DatabaseConnection| {
            let backend = connection.get_database_backend();
            let row = connection.query_one_raw(Statement::from_string(backend, sql)).await?;
            let row = row.ok_or_else(|| DbErr::RecordNotFound(sql.to_owned()))?;
            Ok(row.try_get_by_index(0)?)
        })
        .await
}

async fn many_nodes_that_start_at_once_migrate_once(place: Place) {
    let nodes: Vec<Database> = (0..4).map(|_| open(&place.url)).collect();
    for node in &nodes {
        node.ready(PATIENCE).await.expect("it is up");
    }
    assert_eq!(number(&nodes[0], "SELECT COUNT(*) FROM schema_version").await.expect("up"), 1);
    assert_eq!(number(&nodes[0], "SELECT COUNT(*) FROM schema_lock").await.expect("up"), 0);
    run(&nodes[0], "INSERT INTO counter VALUES ('x', 7)").await;
    assert_eq!(number(&nodes[3], "SELECT value FROM counter").await.expect("up"), 7);
}

async fn a_killed_migration_is_finished_by_the_next_node(place: Place) {
    let node = place.open().await;
    // As it is after the first statements: a lock that is over, some tables, and no version.
    run(&node, "INSERT INTO schema_lock VALUES (1, 5, 1000)").await;
    run(&node, "UPDATE schema_version SET version = 0").await;
    run(&node, "DROP TABLE report").await;
    run(&node, "INSERT INTO counter VALUES ('x', 7)").await;
    let next = place.open().await;
    assert_eq!(number(&next, "SELECT COUNT(*) FROM report").await.expect("up"), 0);
    assert_eq!(number(&next, "SELECT value FROM counter").await.expect("up"), 7, "it stayed");
    // One that is not over is waited for.
    run(&node, "INSERT INTO schema_lock VALUES (1, 5, 9000000000000000)").await;
    run(&node, "UPDATE schema_version SET version = 0").await;
    let waiting = open(&place.url);
    let held = waiting.ready(Duration::from_secs(1)).await;
    let Err(Trouble::Away(why)) = held else { panic!("{held:?}") };
    assert_eq!(&*why, "another node migrates the database");
    run(&node, "DELETE FROM schema_lock").await;
    waiting.ready(PATIENCE).await.expect("its turn");
}

async fn a_database_of_a_later_release_is_refused_until_it_is_replaced(place: Place) {
    let node = place.open().await;
    run(&node, "UPDATE schema_version SET version = 1000").await;
    let old = open(&place.url);
    let refused = old.ready(Duration::from_secs(1)).await;
    let Err(Trouble::Away(why)) = refused else { panic!("{refused:?}") };
    assert!(why.starts_with("the database has version 1000 and this program knows up to"), "{why}");
    run(&node, "UPDATE schema_version SET version = 1").await;
    old.ready(PATIENCE).await.expect("as if it had been restored");
}

async fn work_that_fails_leaves_nothing_behind(place: Place) {
    let node = place.open().await;
    let refused = node.write::<(), Trouble, _>(async |transaction: &DatabaseTransaction| {
        transaction.execute_unprepared("INSERT INTO counter VALUES ('x', 1)").await?;
        Err(Failure::Refused(Trouble::Busy))
    });
    assert!(matches!(refused.await, Err(Trouble::Busy)));
    let wrong = node.write::<(), Trouble, _>(async |transaction: &DatabaseTransaction| {
        transaction.execute_unprepared("INSERT INTO counter VALUES ('x', 1)").await?;
        transaction.execute_unprepared("NO SUCH STATEMENT").await?;
        Ok(())
    });
    let wrong = wrong.await;
    assert!(matches!(wrong, Err(Trouble::Refused(_))), "{wrong:?}");
    assert_eq!(number(&node, "SELECT COUNT(*) FROM counter").await.expect("up"), 0);
    node.close().await;
    let closed = number(&node, "SELECT COUNT(*) FROM counter").await;
    assert!(closed.is_err(), "{closed:?}");
}

async fn work_beyond_the_bound_is_refused_at_once(place: Place) {
    let node = place.open().await;
    let (let_go, held) = value::channel(false);
    let works = (0..WORK_MAX + 5).map(|_| {
        let (node, held) = (node.clone(), held.clone());
        tokio::spawn(async move {
            node.read::<_, Trouble, _>(async move |_: &DatabaseConnection| {
                // Ends with the sender at the latest.
                let _ = held.clone().wait_for(|is_over| *is_over).await;
                Ok(())
            })
            .await
        })
    });
    let works: Vec<_> = works.collect();
    // Those that are refused are answered while the others wait.
    let refused = async {
        while node.shared.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        node.read::<(), Trouble, _>(async |_: &DatabaseConnection| Ok(())).await
    };
    let refused = timeout(PATIENCE, refused).await.expect("at once");
    assert!(matches!(refused, Err(Trouble::Busy)), "{refused:?}");
    let_go.send_replace(true);
    let done = futures_util::future::join_all(works).await;
    let taken = done.iter().filter(|done| done.as_ref().is_ok_and(Result::is_ok));
    assert_eq!(taken.count(), WORK_MAX);
}

#[tokio::test]
async fn a_killed_server_is_noticed_at_once_and_found_again() {
    let (server, _guardian) = guarded("mariadb-", MariaDb::start);
    create(&server.url("mysql"), "people").await;
    let node = open(&server.url("people"));
    node.ready(PATIENCE).await.expect("it is up");
    run(&node, "INSERT INTO counter VALUES ('x', 7)").await;
    server.kill();
    let mut slowest = Duration::ZERO;
    // The first may find out by itself; those after it are refused without trying.
    for attempt in 0..3 {
        let began = Instant::now();
        let away = number(&node, "SELECT value FROM counter").await;
        assert!(matches!(away, Err(Trouble::Away(_))), "{attempt}: {away:?}");
        slowest = slowest.max(began.elapsed());
        let mut state = node.shared.state.subscribe();
        let noticed = state.wait_for(|state| matches!(state, State::Away(_)));
        timeout(PATIENCE, noticed).await.expect("it is noticed").expect("the thread runs");
    }
    assert!(slowest < WORK_LIMIT + Duration::from_secs(1), "{slowest:?}");
    server.start_again().expect("it starts");
    node.ready(PATIENCE).await.expect("it is found again");
    assert_eq!(number(&node, "SELECT value FROM counter").await.expect("it is up"), 7);
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up_for_longer_than_the_limit() {
    let (server, _guardian) = guarded("mariadb-", MariaDb::start);
    create(&server.url("mysql"), "people").await;
    let node = open(&server.url("people"));
    node.ready(PATIENCE).await.expect("it is up");
    server.pause().expect("it runs");
    let began = Instant::now();
    let crowd = (0..20).map(|_| number(&node, "SELECT COUNT(*) FROM counter"));
    let done = futures_util::future::join_all(crowd).await;
    let away = |done: &Result<_, _>| matches!(done, Err(Trouble::Away(_)));
    assert!(done.iter().all(away), "{done:?}");
    assert!(began.elapsed() < WORK_LIMIT + Duration::from_secs(2), "{:?}", began.elapsed());
    let mut state = node.shared.state.subscribe();
    let noticed = state.wait_for(|state| matches!(state, State::Away(_)));
    timeout(PATIENCE, noticed).await.expect("it is noticed").expect("the thread runs");
    server.resume().expect("it is there");
    node.ready(PATIENCE).await.expect("it is found again");
    assert_eq!(number(&node, "SELECT COUNT(*) FROM counter").await.expect("it is up"), 0);
}

#[tokio::test]
async fn nobody_waits_for_a_server_that_never_was() {
    // Claimed, and nobody listens.
    let port = xtask::redis::claim_ports(&[0]).expect("a free port");
    for url in ["mysql", "postgres"] {
        let node = open(&format!("{url}://user:secret@127.0.0.1:{port}/people"));
        let Err(Trouble::Away(_)) = node.check() else { panic!("there is none") };
        let refused = node.ready(Duration::from_secs(1)).await;
        let Err(Trouble::Away(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("refused") && !why.contains("secret"), "{why}");
    }
}

#[tokio::test]
async fn the_file_of_sqlite_is_for_its_owner_alone_and_flushed() {
    let place = Place::sqlite();
    let node = place.open().await;
    run(&node, "INSERT INTO counter VALUES ('x', 7)").await;
    let file = place.url.strip_prefix("sqlite://").expect("a file").to_owned();
    for file in [file.clone(), format!("{file}-wal"), format!("{file}-shm")] {
        let mode = fs::metadata(&file).expect(&file).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let pragma = database_pragmas(&node).await;
    assert_eq!(pragma, ["wal", "2", "1", "2000"]);
    node.close().await;
    // The folder was made; a file in the place of the folder is a reason, not a panic.
    let blocked = open(&format!("sqlite://{file}/billion.db"));
    let refused = blocked.ready(Duration::from_secs(1)).await;
    let Err(Trouble::Away(why)) = refused else { panic!("{refused:?}") };
    assert!(why.starts_with("cannot make "), "{why}");
}

/// Journal, synchronous (2: FULL), foreign keys, busy time-out.
async fn database_pragmas(node: &Database) -> [String; 4] {
    let journal = node.read::<_, Trouble, _>(async |connection: &DatabaseConnection| {
        let mut found = Vec::new();
        for pragma in ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"] {
            let backend = connection.get_database_backend();
            let ask = Statement::from_string(backend, format!("PRAGMA {pragma}"));
            let row = connection.query_one_raw(ask).await?.expect("a row");
            let text = row.try_get_by_index::<String>(0);
            found.push(text.or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string()))?);
        }
        Ok(found)
    });
    journal.await.expect("it is up").try_into().expect("four")
}

//! The SQL database of accounts, teams and credits: one thread that speaks to it, and whether it is there.
//!
//! Work is a closure that runs on the thread `sql`, because a connection lives in the runtime that has opened it, and
//! those of HTTP workers end one by one. Nobody waits for a database that is known to be away: work is refused at once
//! with the reason, and the board never asks here. Knows no tables but to migrate them; those are people/repository's.

pub mod entities;
mod migrations;
mod open;
mod watch;
mod metrics;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use sea_orm::{
    DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqlErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait as _, sqlx,
};
use tokio::{
    sync::{Notify, Semaphore, TryAcquireError, mpsc, oneshot, watch as value},
    task::LocalSet,
    time::timeout,
};

pub use open::Target;

use metrics::Metrics;

/// All that a piece of work may take: 2 s until a connection is free, 2 s for a lock, 1 s for statements.
pub const WORK_LIMIT: Duration = Duration::from_secs(5);

/// Pieces of work under way or waiting for a connection; more are refused. At 3,000 transactions a second the last one
/// waits for 0.2 s.
const WORK_MAX: usize = 512;

/// A transaction that another one has disturbed is tried so often altogether. One of two that disturb each other goes on,
/// so that a third attempt is rare.
const ATTEMPTS: usize = 3;

/// Why the database did not do something. All of them are 503.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Trouble {
    /// It is not there, or not yet, or does not answer.
    #[error("the database is away: {0}")]
    Away(Arc<str>),
    /// Too many want something of it.
    #[error("{WORK_MAX} pieces of work wait for the database already")]
    Busy,
    /// It did not take a statement.
    #[error("the database refused a statement: {0}")]
    Refused(Arc<str>),
}

/// How a piece of work ends when it ends badly.
#[derive(Debug)]
pub enum Failure<E> {
    /// By the database.
    Sql(DbErr),
    /// By what it found there.
    Refused(E),
}

impl<E> From<DbErr> for Failure<E> {
    fn from(error: DbErr) -> Self {
        Self::Sql(error)
    }
}

enum State {
    Up(DatabaseConnection),
    Away(Arc<str>),
}

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

struct Shared {
    target: Target,
    connections: u32,
    state: value::Sender<State>,
    /// Somebody has had trouble.
    suspected: Notify,
    /// All that there was is done, and the thread is to end.
    closed: Notify,
    places: Arc<Semaphore>,
    metrics: Metrics,
}

/// A handle; the thread ends with the last one.
#[derive(Clone)]
pub struct Database {
    shared: Arc<Shared>,
    jobs: mpsc::Sender<Job>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database at {}", self.shared.target.shown())
    }
}

impl Database {
    /// Begins to connect to `target`, with so many connections at most and one more that watches.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn open(target: Target, connections: u32) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            target,
            connections,
            state: value::Sender::new(State::Away("it was not connected to yet".into())),
            suspected: Notify::new(),
            closed: Notify::new(),
            places: Arc::new(Semaphore::new(WORK_MAX)),
            metrics: Metrics::default(),
        });
        // Never full: each job has a place of the semaphore.
        let (jobs, waiting) = mpsc::channel(WORK_MAX + 1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inside = Arc::clone(&shared);
        thread::Builder::new().name("sql".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, work_on(inside, waiting));
            // What closes connections has been given its time.
            runtime.shutdown_timeout(Duration::from_secs(1));
        })?;
        Ok(Self { shared, jobs })
    }

    /// Whether it is there; if not, why.
    ///
    /// # Errors
    /// [`Trouble::Away`].
    pub fn check(&self) -> Result<(), Trouble> {
        self.shared.connection().map(|_| ())
    }

    /// Waits until it is there, for `limit` at most.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn ready(&self, limit: Duration) -> Result<(), Trouble> {
        let mut state = self.shared.state.subscribe();
        let up = timeout(limit, state.wait_for(|state| matches!(state, State::Up(_)))).await;
        if let Ok(Ok(_)) = up {
            return Ok(());
        }
        self.check()
    }

    /// Reads, outside of a transaction.
    ///
    /// # Errors
    /// What `work` refused, or the database's trouble.
    pub async fn read<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
        W: AsyncFn(&DatabaseConnection) -> Result<T, Failure<E>> + Send + 'static,
    {
        self.perform(async move |connection: DatabaseConnection| work(&connection).await).await
    }

    /// Does `work` in a transaction, which is committed if it succeeds, and undone if not. It runs again if another one
    /// came between: a row that was inserted meanwhile is found then.
    ///
    /// # Errors
    /// What `work` refused, or the database's trouble. After [`Trouble::Away`] it is not known whether it was committed.
    pub async fn write<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
        W: AsyncFn(&DatabaseTransaction) -> Result<T, Failure<E>> + Send + 'static,
    {
        self.perform(async move |connection: DatabaseConnection| {
            let mut attempts = 1;
            loop {
                match transaction(&connection, &work).await {
                    Err(Failure::Sql(error)) if is_disturbed(&error) && attempts < ATTEMPTS => {
                        attempts += 1;
                    }
                    done => return done,
                }
            }
        })
        .await
    }

    async fn perform<T, E, W>(&self, work: W) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Trouble> + Send + 'static,
        W: AsyncFnOnce(DatabaseConnection) -> Result<T, Failure<E>> + Send + 'static,
    {
        let place = Arc::clone(&self.shared.places).try_acquire_owned();
        let place = place.map_err(|why| {
            self.shared.counted(match why {
                TryAcquireError::NoPermits => Trouble::Busy,
                TryAcquireError::Closed => Trouble::Away("it was closed".into()),
            })
        })?;
        self.check().map_err(|trouble| self.shared.counted(trouble))?;
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        // Not ended by whoever asks and leaves: a connection in the middle of a statement is of no use to others.
        let job: Job = Box::new(move || {
            Box::pin(async move {
                let done = shared.perform(work).await;
                // The caller may be gone.
                let _ = answer.send(done);
                drop(place);
            })
        });
        let ended = || Trouble::Away("it was closed".into());
        self.jobs.send(job).await.map_err(|_| self.shared.counted(ended()))?;
        answered.await.unwrap_or_else(|_| Err(self.shared.counted(ended()).into()))
    }

    /// Refuses what comes from now on, waits for what is under way, 5 s at most, and closes all connections.
    pub async fn close(&self) {
        let shared = Arc::clone(&self.shared);
        let (done, is_done) = oneshot::channel();
        let job: Job = Box::new(move || {
            Box::pin(async move {
                shared.places.close();
                let why = State::Away("it was closed".into());
                if let State::Up(pool) = shared.state.send_replace(why) {
                    let _ = timeout(WORK_LIMIT, pool.close()).await;
                }
                let _ = done.send(());
                shared.closed.notify_one();
            })
        });
        if self.jobs.send(job).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

async fn work_on(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Job>) {
    let watched = Arc::clone(&shared);
    let watch = tokio::task::spawn_local(async move { watch::watch(&watched).await });
    loop {
        let job = tokio::select! {
            job = waiting.recv() => job,
            () = shared.closed.notified() => None,
        };
        let Some(job) = job else { break };
        tokio::task::spawn_local(job());
    }
    watch.abort();
}

async fn transaction<T, E>(
    connection: &DatabaseConnection,
    work: &impl AsyncFn(&DatabaseTransaction) -> Result<T, Failure<E>>,
) -> Result<T, Failure<E>> {
    let options = TransactionOptions {
        // One that reads first and writes then would fail as soon as another one has written meanwhile.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    match work(&transaction).await {
        Ok(done) => {
            transaction.commit().await?;
            Ok(done)
        }
        Err(failure) => {
            // The failure says more than this one's would; dropped, it is undone as well.
            let _ = transaction.rollback().await;
            Err(failure)
        }
    }
}

impl Shared {
    fn connection(&self) -> Result<DatabaseConnection, Trouble> {
        match &*self.state.borrow() {
            State::Up(connection) => Ok(connection.clone()),
            State::Away(why) => Err(Trouble::Away(Arc::clone(why))),
        }
    }

    async fn perform<T, E: From<Trouble>>(
        &self,
        work: impl AsyncFnOnce(DatabaseConnection) -> Result<T, Failure<E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let connection = self.connection().map_err(|trouble| self.counted(trouble))?;
        let done = timeout(WORK_LIMIT, work(connection)).await;
        self.metrics.seconds.observe(began.elapsed().as_secs_f64());
        let trouble = match done {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Failure::Refused(error))) => return Err(error),
            Ok(Err(Failure::Sql(error))) => trouble_of(&error),
            Err(_) => Trouble::Away(format!("it did not answer within {WORK_LIMIT:?}").into()),
        };
        match &trouble {
            Trouble::Away(_) => self.suspected.notify_one(),
            _ => log::error!("{trouble}"),
        }
        Err(self.counted(trouble).into())
    }

    fn counted(&self, trouble: Trouble) -> Trouble {
        self.metrics.count(&trouble);
        trouble
    }

    fn backend(&self) -> DbBackend {
        match self.target {
            Target::Sqlite(_) => DbBackend::Sqlite,
            Target::MariaDb(_) => DbBackend::MySql,
            Target::Postgres(_) => DbBackend::Postgres,
        }
    }
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error),
        _ => None,
    }
}

fn trouble_of(error: &DbErr) -> Trouble {
    use sqlx::Error;
    let said = watch::first_line(error).into();
    match (error, sqlx_error(error)) {
        (DbErr::Conn(_) | DbErr::ConnectionAcquire(_), _)
        | (
            _,
            Some(
                Error::Io(_)
                | Error::Tls(_)
                | Error::Protocol(_)
                | Error::PoolTimedOut
                | Error::PoolClosed
                | Error::WorkerCrashed,
            ),
        ) => Trouble::Away(said),
        (_, Some(Error::Database(refused))) if is_going_away(refused.code().as_deref()) => {
            Trouble::Away(said)
        }
        _ => Trouble::Refused(said),
    }
}

/// PostgreSQL: an administrator ends it, it crashed, or it cannot take connections now; too many connections.
fn is_going_away(code: Option<&str>) -> bool {
    matches!(code, Some("57P01" | "57P02" | "57P03" | "53300"))
}

/// Whether another transaction came between, and trying again may succeed.
fn is_disturbed(error: &DbErr) -> bool {
    if error.sql_err().is_some_and(|kind| matches!(kind, SqlErr::UniqueConstraintViolation(_))) {
        return true;
    }
    let Some(sqlx::Error::Database(refused)) = sqlx_error(error) else { return false };
    // The number of a MariaDB error is not its code, which is the SQLSTATE of many.
    let mariadb = refused.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    if let Some(number) = mariadb.map(sqlx::mysql::MySqlDatabaseError::number) {
        // 1020 changed since it was read, 1205 waited for a lock for too long, 1213 deadlock.
        return matches!(number, 1020 | 1205 | 1213);
    }
    // PostgreSQL: serialization failure, deadlock, waited too long; SQLite: BUSY, BUSY_SNAPSHOT.
    matches!(refused.code().as_deref(), Some("40001" | "40P01" | "55P03" | "5" | "517"))
}

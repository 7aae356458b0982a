//! Opening the database: locks, keys, pragmas, and its threads.

use std::{
    cell::{Cell, RefCell},
    fs::{self, File},
    hint,
    io::{ErrorKind, Read},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};
use rusqlite_migration::SchemaVersion;
use tokio::sync::{mpsc, watch};

use super::{
    Db, KeyRing, Result, cascade,
    claim::ClaimBudget,
    clock_jumps::ClockJumps,
    db::Inner,
    files::{self, at, folder_of},
    key_mark,
    keyring::sealed,
    schema::{MIGRATIONS, SCHEMA},
    served_files::{APPLICATION_ID, HEADER, MAGIC, ServedFiles, ServerLock},
    upgrade_copy,
    usage::Usage,
    write_queue::WriteQueueHandle,
    writer::Writer,
};
use crate::{
    clock::SharedClock,
    config::{Durability, Limits, Storage, command},
    domain::{audit::Actor, timestamp::Timestamp},
    error::Error,
    metrics::Metrics,
};

/// Number of reading connections.
const READERS: u32 = 4;
/// How long a read waits for a connection.
const READER_PATIENCE: Duration = Duration::from_secs(2);
/// How long a write waits for a lock that another process holds, in milliseconds.
pub(super) const BUSY_TIMEOUT_MS: u32 = 5000;
/// How long emptying the log may block other connections, in milliseconds.
const EMPTYING_TIMEOUT_MS: u32 = 10;
/// The write-ahead log is cut back to this size after a checkpoint: 64 MiB.
const JOURNAL_SIZE_LIMIT: u32 = 64 << 20;
/// The allocator keeps twice this many freed bytes: see [`keep_freed_memory`].
const KEPT: usize = 2 << 20;
/// The message about a file in which no server has made a database yet.
const EMPTY: &str = "is empty: 'ngoma serve' makes the database in it";
/// Prepared statements kept by a connection; the code has fewer.
const STATEMENTS: usize = 128;

/// Opens the database. With `serving`, it creates a missing one and brings its schema up to date, a lock on the file
/// keeps every other server away, and the files are watched. The command line does none of these.
///
/// The limits bound the queue of writes and the shares of accounts.
///
/// # Errors
/// Another server uses the file; the file is foreign or newer; the key file is missing or the wrong one; the clock is
/// before 1970 or after 9999.
pub fn open(storage: &Storage, limits: &Limits, clock: SharedClock, serving: bool) -> Result<Db> {
    let now = clock.now().checked()?;
    files::expect_whole(storage)?;
    let lock = enter(&storage.path, serving)?;
    files::narrow(&files::of_database(&storage.path));
    let mut conn = connect(&storage.path, storage.durability)?;
    bring_up_to_date(&mut conn, &storage.path, serving, now)?;
    let actor = if serving { Actor::Engine } else { Actor::CommandLine };
    let keys = Arc::new(key_ring(&conn, storage, Some((now, actor)))?);
    if serving {
        note_first_key(&conn, &keys, now).map_err(|error| unusable(&storage.path, &error))?;
    }
    let readers = SqliteConnectionManager::file(&storage.path)
        .with_flags(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_init(reading);
    let readers =
        r2d2::Pool::builder().max_size(READERS).min_idle(Some(1)).connection_timeout(READER_PATIENCE).build(readers)?;
    let mut inline_reader = connect(&storage.path, storage.durability)?;
    reading(&mut inline_reader)?;
    let inline_reader = Arc::new(Mutex::new(inline_reader));
    let (handle, queue) = WriteQueueHandle::new(limits.waiting_writes);
    let (news_count, news_count_seen) = watch::channel(0);
    let (news, news_heard) = mpsc::unbounded_channel();
    let claim_budget = Arc::new(ClaimBudget::default());
    let (broken, broken_seen) = watch::channel(None);
    let files = lock.map(|lock| ServedFiles::new(lock, &storage.path, &conn)).transpose()?.map(Arc::new);
    let jumps = serving.then(|| ClockJumps::watch(&conn, &clock)).transpose()?;
    let behind = serving.then(|| cascade::behind(&conn)).transpose()?.unwrap_or_default();
    let metrics = Arc::new(Metrics::default());
    let writer = Writer {
        inline_reader: Arc::clone(&inline_reader),
        conn,
        metrics: Arc::clone(&metrics),
        queue,
        clock: Arc::clone(&clock),
        keys: Arc::clone(&keys),
        jumps,
        targets: RefCell::default(),
        usage: RefCell::new(Usage::new(limits)),
        claim_budget: Arc::clone(&claim_budget),
        news,
        behind: RefCell::new(behind),
        others: Cell::default(),
        failed: Cell::new(false),
        news_count,
        broken,
        files: files.clone(),
    };
    keep_freed_memory();
    thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| Error::Internal(format!("the writer thread could not be started: {error}")))?;
    Ok(Db(Arc::new(Inner {
        path: storage.path.clone(),
        metrics,
        readers,
        inline_reader,
        claim_budget,
        clock,
        news: Mutex::new(serving.then_some(news_heard)),
        news_count: news_count_seen,
        broken: broken_seen,
        keys,
        files,
        queue: handle,
    })))
}

/// Makes sure that the file is ours, and that no restore has begun. A server makes a missing file, readable by its
/// owner only, and gets its lock.
fn enter(path: &Path, serving: bool) -> Result<Option<ServerLock>> {
    if !serving {
        return expect_ours(path).map(|()| None);
    }
    files::expect_file(path)?;
    let is_new = files::make(path).is_ok();
    // Before the look at the file: whoever holds the lock may just be making the database in it.
    let lock = ServerLock::take(path)?;
    if !is_new {
        known(path)?;
    }
    // A restore that began meanwhile has found the lock, or has left its note.
    files::expect_exchanged(path)?;
    Ok(Some(lock))
}

/// Brings the schema up to date, after making a copy of the old database, or makes a new one. Only a server does so.
fn bring_up_to_date(conn: &mut Connection, path: &Path, serving: bool, now: Timestamp) -> Result<()> {
    let version = MIGRATIONS.current_version(conn);
    if !serving && matches!(version, Ok(SchemaVersion::NoneSet)) {
        return Err(at(path, EMPTY));
    }
    if let Ok(SchemaVersion::Inside(schema)) = version
        && schema.get() < SCHEMA
    {
        if !serving {
            return Err(at(path, "is of an older ngoma: start the server once, which brings it up to date"));
        }
        upgrade_copy::copy(conn, path, schema.get(), now);
        tracing::info!("{} is brought from schema {schema} to schema {SCHEMA}", path.display());
    }
    MIGRATIONS.to_latest(conn).map_err(|error| match error {
        rusqlite_migration::Error::MigrationDefinition(_) => newer(path),
        error => at(
            path,
            &format!("cannot be brought up to date: '{}' says more, or restore a backup: {error}", command("check")),
        ),
    })
}

/// A connection to an existing database, for a process that has none yet.
pub(super) fn existing(storage: &Storage) -> Result<Connection> {
    files::expect_whole(storage)?;
    expect_ours(&storage.path)?;
    another(storage)
}

/// Refuses a missing or empty file, and a file that is not ours, without touching it.
fn expect_ours(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(at(path, "is not there: 'ngoma serve' makes it")),
        Ok(file) if file.is_file() && file.len() == 0 => Err(at(path, EMPTY)),
        _ => known(path),
    }
}

/// A further connection to the database, for a process that may have it open.
pub(super) fn another(storage: &Storage) -> Result<Connection> {
    connect(&storage.path, storage.durability)
}

/// The error for a file of a newer version.
pub(super) fn newer(path: &Path) -> Error {
    at(path, "was made by a newer ngoma: run that version, or restore a backup made before the upgrade")
}

/// Refuses a file that is not ours without touching it. An empty file may become ours.
pub(super) fn known(path: &Path) -> Result<()> {
    files::expect_file(path)?;
    let length = fs::metadata(path).map_err(|error| at(path, &format!("cannot be opened: {error}")))?.len();
    if length == 0 {
        return Ok(());
    }
    // Reads the header without SQLite: without the log, SQLite would take a file whose last checkpoint was cut off for
    // damaged. This process has no connection to the file yet, so closing it drops no locks.
    let mut header = [0; HEADER];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) if !header.starts_with(MAGIC) => Err(no_database(path)),
        Ok(()) if header.ends_with(&APPLICATION_ID.to_be_bytes()) => Ok(()),
        Ok(()) => Err(at(path, "is a SQLite file of another program: name another file in storage.path")),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(no_database(path)),
        Err(error) => Err(at(path, &format!("cannot be read: {error}"))),
    }
}

fn no_database(path: &Path) -> Error {
    at(path, "cannot be read as a database: restore a backup, or name another file")
}

fn connect(path: &Path, durability: Durability) -> Result<Connection> {
    connection(path, durability).map_err(|error| unusable(path, &error))
}

fn connection(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    in_memory(&conn)?;
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    // Query plans do not depend on bound values: a statement is prepared only once.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let made: bool = conn.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    if made {
        // Both at once: a file without its mark is refused as one of another program.
        conn.execute_batch(&format!(
            "BEGIN; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION_ID}; COMMIT"
        ))?;
    }
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Deleted data is overwritten: a secret must not stay on a free page.
    conn.pragma_update(None, "secure_delete", true)?;
    conn.pragma_update(
        None,
        "synchronous",
        match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        },
    )?;
    Ok(conn)
}

/// Keeps SQLite's temporary data in memory: otherwise it would look for a folder outside that of the database.
pub(super) fn in_memory(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "temp_store", "MEMORY")
}

fn reading(conn: &mut Connection) -> rusqlite::Result<()> {
    in_memory(conn)?;
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Makes the allocator keep freed memory, up to 4 MiB in each arena. SQLite frees some 40 KiB at the end of each
/// savepoint. If that is at the end of an arena, glibc returned it to the system and took it again for every publish,
/// which on some starts halved the rate. Freeing one large block raises the threshold: mallopt(3), under
/// `M_MMAP_THRESHOLD`, "dynamic adjustment". It does no harm to other allocators.
fn keep_freed_memory() {
    drop(hint::black_box(Vec::<u8>::with_capacity(KEPT)));
}

impl Db {
    /// Copies the log into the file and empties it, so that removed data is in neither. Returns whether it could: it
    /// fails while somebody reads an earlier state. Writers are blocked only briefly.
    pub async fn empty_log(&self) -> Result<bool> {
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || empty_log(&*inner.readers.get()?));
        task.await.unwrap_or_else(|_| Err(Error::Internal("emptying the log panicked".to_owned())))
    }
}

/// Copies the log into the file and empties it, unless another connection is in the way for longer than a moment.
fn empty_log(conn: &Connection) -> Result<bool> {
    let checkpoint = |how: &str| {
        let busy = conn.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, bool>(0));
        busy.or_else(|error| if is_busy(&error) { Ok(true) } else { Err(error) })
    };
    conn.pragma_update(None, "busy_timeout", EMPTYING_TIMEOUT_MS)?;
    // The first part runs beside the writers, the rest while they wait.
    let emptied = checkpoint("PASSIVE").and_then(|_| checkpoint("TRUNCATE"));
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    Ok(!emptied?)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Reads the key file and tests every key on a row that it sealed, or by its mark if there is no such row. With a
/// `maker`, a database that never had a key file gets one.
///
/// A failure is checked again under the write lock: another process may be creating the key file or rotating the key.
fn key_ring(conn: &Connection, storage: &Storage, maker: Option<(Timestamp, Actor)>) -> Result<KeyRing> {
    match (try_key_ring(conn, storage), maker) {
        (Ok((ring, true)), _) | (Ok((ring, _)), None) => return Ok(ring),
        _ => {}
    }
    let unusable = |error| unusable(&storage.path, &error);
    let write = Transaction::new_unchecked(conn, TransactionBehavior::Immediate).map_err(unusable)?;
    let count = sealed(conn).map_err(unusable)?.count;
    let never_had_one = count == 0 && key_mark::known(conn).map_err(unusable)?.is_none();
    if maker.is_some() && never_had_one && !storage.key_file.exists() {
        make_key(&storage.key_file)?;
    }
    let (ring, marked) = try_key_ring(conn, storage)?;
    if let (false, Some((now, actor))) = (marked, maker) {
        key_mark::note(conn, &ring, now, actor).and_then(|()| write.commit()).map_err(unusable)?;
    }
    Ok(ring)
}

/// Notes the key of a database that version 0.1 made: its backups are told from those of others by it.
fn note_first_key(conn: &Connection, keys: &KeyRing, now: Timestamp) -> rusqlite::Result<()> {
    match key_mark::first(conn)? {
        Some(_) => Ok(()),
        None => key_mark::note(conn, keys, now, Actor::Engine),
    }
}

fn make_key(path: &Path) -> Result<KeyRing> {
    files::make_folders(&folder_of(path), 0o777).map_err(|error| at(path, &error.to_string()))?;
    KeyRing::create(path)
}

/// Creates a new key file in place of a lost one, if no secret needs the lost one; returns whether it did.
///
/// # Errors
/// A database or a key file that cannot be used.
pub fn make_lost_key(storage: &Storage, now: Timestamp) -> Result<bool> {
    let conn = existing(storage)?;
    let unusable = |error| unusable(&storage.path, &error);
    let write = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(unusable)?;
    let current = MIGRATIONS.pending_migrations(&conn).is_ok_and(|pending| pending == 0);
    if !current || storage.key_file.exists() || sealed(&conn).map_err(unusable)?.count > 0 {
        return Ok(false);
    }
    let ring = make_key(&storage.key_file)?;
    let noted = key_mark::note(&conn, &ring, now, Actor::CommandLine).and_then(|()| write.commit());
    noted.map_err(unusable).map(|()| true)
}

/// The keys, and whether they are known to belong to this database.
pub(super) fn try_key_ring(conn: &Connection, storage: &Storage) -> Result<(KeyRing, bool)> {
    let unusable = |error| unusable(&storage.path, &error);
    let sealed = sealed(conn).map_err(unusable)?;
    let mark = if sealed.count > 0 { None } else { key_mark::known(conn).map_err(unusable)? };
    let path = &storage.key_file;
    if sealed.count == 0 && !path.exists() {
        let problem = match mark {
            None => "is missing: the next start makes one, as no signing secret is stored yet".to_owned(),
            Some(_) => format!(
                "is missing: restore it from the backup made with this database; if it is lost, '{}' makes a new one, as no \
                 signing secret is stored yet",
                command("key rotate")
            ),
        };
        return Err(at(path, &problem));
    }
    let ring = KeyRing::fitting(path, &sealed)?;
    if mark.as_ref().is_some_and(|mark| !ring.has_mark(mark)) {
        return Err(at(
            path,
            &format!(
                "is not the key file of this database: restore the one from the backup made with it; if that is lost, move \
                 this one away and run '{}', as no signing secret is stored yet",
                command("key rotate")
            ),
        ));
    }
    Ok((ring, sealed.count > 0 || mark.is_some()))
}

/// Why SQLite cannot use the file.
pub(super) fn unusable(path: &Path, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => no_database(path),
        Some(ErrorCode::DatabaseCorrupt) => at(path, "is damaged: restore a backup"),
        _ => at(path, &error.to_string()),
    }
}

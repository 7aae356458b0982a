//! Opening the file: who may, with which keys, under which pragmas.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs::{self, File},
    hint,
    io::{ErrorKind, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};
use rusqlite_migration::{M, Migrations, SchemaVersion};
use tokio::sync::{mpsc, watch};

use super::{
    Db, Inner, KeyRing, Room,
    files::{self, ServingLock, at, folder_of},
    following,
    steps::Steps,
    writer::Writer,
};
use crate::{
    clock::SharedClock,
    config::{Durability, Storage},
    domain::ids::EndpointId,
    error::{Error, Result},
    figures::Figures,
};

/// Marks a SQLite file as ours: "Ngom" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x4E67_6F6D;
/// The first bytes of every SQLite file.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The bytes of a SQLite file up to and with its application id.
const HEADER: usize = 72;
/// Reading connections.
const READERS: u32 = 4;
/// How long a read waits for a connection.
const READER_PATIENCE: Duration = Duration::from_secs(2);
/// How long a write waits for a lock that another process holds, in milliseconds.
const BUSY_TIMEOUT_MS: u32 = 5000;
/// How long the log may be kept from everybody else while it is emptied, in milliseconds.
const EMPTYING_TIMEOUT_MS: u32 = 10;
/// The write-ahead log is cut back to this size after a checkpoint: 64 MiB.
const JOURNAL_SIZE_LIMIT: u32 = 64 << 20;
/// Twice so many bytes that were freed are kept for what comes next: see [`keep_freed_memory`].
const KEPT: usize = 2 << 20;
/// Prepared statements kept by a connection; there are fewer in the code.
const STATEMENTS: usize = 128;

const STEPS: &[M<'static>] = &[
    M::up(include_str!("migrations/0001.sql")), //
    M::up(include_str!("migrations/0002.sql")),
    M::up(include_str!("migrations/0003.sql")),
    M::up(include_str!("migrations/0004.sql")),
    M::up(include_str!("migrations/0005.sql")),
    M::up(include_str!("migrations/0006.sql")),
];
const MIGRATIONS: Migrations<'static> = Migrations::from_slice(STEPS);

/// Opens the database, makes it if it is not there, and brings its schema up to date.
///
/// At most `waiting_writes` wait for the writer. With `serving`, an OS lock on a file beside it keeps every other server away; what the command line does needs none.
///
/// # Errors
/// Another server on the same file; a foreign or newer file; a key file that is missing or not the right one.
pub fn open(storage: &Storage, waiting_writes: usize, clock: SharedClock, serving: bool) -> Result<Db> {
    let lock = serving.then(|| ServingLock::take(&storage.path)).transpose()?;
    refuse_foreign(&storage.path)?;
    files::narrow(&files::of_database(&storage.path));
    let mut conn = connect(&storage.path, storage.durability)?;
    let old = !serving && MIGRATIONS.current_version(&conn).is_ok_and(|version| version != SchemaVersion::NoneSet);
    if old && MIGRATIONS.pending_migrations(&conn).is_ok_and(|pending| pending > 0) {
        return Err(at(&storage.path, "is of an older ngoma: start the server once, which brings it up to date"));
    }
    MIGRATIONS.to_latest(&mut conn).map_err(|error| match error {
        rusqlite_migration::Error::MigrationDefinition(_) => at(
            &storage.path,
            "was made by a newer ngoma: run that version, or restore a backup made before the upgrade",
        ),
        error => at(&storage.path, &error.to_string()),
    })?;
    let keys = Arc::new(key_ring(&conn, storage)?);
    let readers = SqliteConnectionManager::file(&storage.path)
        .with_flags(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_init(reading);
    let readers =
        r2d2::Pool::builder().max_size(READERS).min_idle(Some(1)).connection_timeout(READER_PATIENCE).build(readers)?;
    let mut glance = connect(&storage.path, storage.durability)?;
    reading(&mut glance)?;
    let (queue, waiting) = mpsc::channel(waiting_writes);
    let (told, told_seen) = watch::channel(0);
    let (news, news_heard) = mpsc::unbounded_channel();
    let room = Arc::new(Room::default());
    let (broken, broken_seen) = watch::channel(None);
    let steps = serving.then(|| Steps::watch(&conn, &clock)).transpose()?;
    let behind = serving.then(|| following::behind(&conn)).transpose()?.unwrap_or_default();
    let figures = Arc::new(Figures::default());
    let writer = Writer {
        conn,
        figures: Arc::clone(&figures),
        queue: waiting,
        clock: Arc::clone(&clock),
        keys,
        steps,
        targets: RefCell::default(),
        room: Arc::clone(&room),
        news,
        behind: RefCell::new(behind),
        failed: Cell::new(false),
        told,
        broken,
        lock,
    };
    keep_freed_memory();
    thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| Error::Internal(format!("the writer thread could not be started: {error}")))?;
    Ok(Db(Arc::new(Inner {
        path: storage.path.clone(),
        figures,
        readers,
        glance: Mutex::new(glance),
        room,
        clock,
        news: Mutex::new(serving.then_some(news_heard)),
        told: told_seen,
        broken: broken_seen,
        queue,
    })))
}

/// A connection to the database that is there.
pub(super) fn existing(storage: &Storage) -> Result<Connection> {
    if !storage.path.exists() {
        return Err(at(&storage.path, "is not there: 'ngoma serve' makes it"));
    }
    refuse_foreign(&storage.path)?;
    connect(&storage.path, storage.durability)
}

/// Looks through the whole file and the key file, and says what is wrong; an empty list is good news.
///
/// # Errors
/// A file that cannot be opened as ours at all.
pub fn check(storage: &Storage) -> Result<Vec<String>> {
    let conn = existing(storage)?;
    let [database, log, index] = files::of_database(&storage.path);
    let files = [database, log, index, files::name_of_lock(&storage.path)];
    let wide = files.iter().filter_map(|file| Some(format!("{}: {}", file.display(), files::open_to_others(file)?)));
    let mut problems: Vec<String> = wide.collect();
    let unusable = |error| unusable(&storage.path, &error);
    let mut rows = conn.prepare("PRAGMA quick_check").map_err(unusable)?;
    for line in rows.query_map([], |row| row.get::<_, String>(0)).map_err(unusable)? {
        problems.push(line.unwrap_or_else(|error| error.to_string()));
    }
    problems.retain(|line| line != "ok");
    let pending = MIGRATIONS.pending_migrations(&conn).map_err(|error| at(&storage.path, &error.to_string()))?;
    match pending {
        0 => {}
        1.. => problems.push(format!("{pending} migrations are to be run: the next start does it")),
        _ => problems.push("it was made by a newer ngoma".to_owned()),
    }
    if pending == 0 {
        problems.extend(key_ring(&conn, storage).err().map(|error| error.to_string()));
    }
    Ok(problems)
}

/// Refuses a file that is not ours, without touching it; makes an empty one that only its owner can read.
fn refuse_foreign(path: &Path) -> Result<()> {
    let length = match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => 0,
        Err(_) => fs::metadata(path).map_err(|error| at(path, &format!("cannot be opened: {error}")))?.len(),
    };
    if length == 0 {
        return Ok(());
    }
    // Past SQLite, which without the log would take a file whose last checkpoint was cut off for a damaged one. This
    // process has no connection to the file yet: closing this one would drop its locks.
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
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    // Plans do not depend on what is bound: a statement is prepared once, not again for other values.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let made: bool = conn.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))?;
    if made {
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // What is deleted is overwritten: a secret must not outlive its row on a free page.
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

fn reading(conn: &mut Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Has freed memory kept, up to 4 MiB in each arena of the allocator, instead of being given back at once. SQLite frees some
/// 40 KiB at the end of each savepoint; where that lies at the end of an arena, glibc gave it back and took it again for
/// every publish, which on some starts halved their rate. Freeing one large block says so: mallopt(3), under
/// `M_MMAP_THRESHOLD`, "dynamic adjustment". Another allocator takes no harm.
fn keep_freed_memory() {
    drop(hint::black_box(Vec::<u8>::with_capacity(KEPT)));
}

/// Brings the log back into the file and empties it, unless somebody is in the way for longer than a moment.
pub(super) fn empty_log(conn: &Connection) -> Result<bool> {
    let checkpoint = |how: &str| {
        let busy = conn.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |row| row.get::<_, bool>(0));
        busy.or_else(|error| if is_busy(&error) { Ok(true) } else { Err(error) })
    };
    conn.pragma_update(None, "busy_timeout", EMPTYING_TIMEOUT_MS)?;
    // The bulk of it beside those who write, the rest while they wait.
    let emptied = checkpoint("PASSIVE").and_then(|_| checkpoint("TRUNCATE"));
    conn.pragma_update(None, "busy_timeout", BUSY_TIMEOUT_MS)?;
    Ok(!emptied?)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// How many secrets are sealed, and for each key one row that it sealed: the endpoint, and the secret.
type Sealed = (usize, BTreeMap<u8, ([u8; 16], Vec<u8>)>);

/// Each secret that is sealed, with the id of its endpoint. Those of deleted endpoints are wiped.
pub(super) const SEALED: &str = "SELECT id, secret FROM endpoint WHERE secret != x''
     UNION ALL SELECT id, former_secret FROM endpoint WHERE former_secret IS NOT NULL";

fn sealed(conn: &Connection) -> rusqlite::Result<Sealed> {
    let mut rows = conn.prepare(SEALED)?;
    let rows = rows.query_map([], |row| Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
    let (mut count, mut samples) = (0, BTreeMap::new());
    for row in rows {
        let (id, secret) = row?;
        count += 1;
        samples.entry(secret.get(1).copied().unwrap_or(0)).or_insert((id, secret));
    }
    Ok((count, samples))
}

/// Reads the key file and tries every key on a row it sealed; makes it for a database that holds no secret yet.
///
/// A failure is looked at again under the write lock: another process may be making the key file, or rotating the key.
fn key_ring(conn: &Connection, storage: &Storage) -> Result<KeyRing> {
    try_key_ring(conn, storage).or_else(|_| {
        let _lock = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
            .map_err(|error| unusable(&storage.path, &error))?;
        let (count, _) = sealed(conn).map_err(|error| unusable(&storage.path, &error))?;
        let path = &storage.key_file;
        if count == 0 && !path.exists() {
            fs::create_dir_all(folder_of(path)).map_err(|error| at(path, &error.to_string()))?;
            return KeyRing::create(path);
        }
        try_key_ring(conn, storage)
    })
}

fn try_key_ring(conn: &Connection, storage: &Storage) -> Result<KeyRing> {
    let (count, samples) = sealed(conn).map_err(|error| unusable(&storage.path, &error))?;
    let path = &storage.key_file;
    if !path.exists() {
        return Err(at(
            path,
            &format!(
                "is missing, and {count} signing secrets cannot be read without it: restore it from the backup made with this database"
            ),
        ));
    }
    let ring = KeyRing::read(path)?;
    for (key, (endpoint, secret)) in samples {
        if !ring.has(key) || ring.open(EndpointId::from_bytes(endpoint), &secret).is_err() {
            return Err(at(
                path,
                &format!(
                    "is not the key file of this database (key {key} does not open its secrets): restore the one from the backup made with it"
                ),
            ));
        }
    }
    Ok(ring)
}

/// Why SQLite cannot use the file.
fn unusable(path: &Path, error: &rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => no_database(path),
        Some(ErrorCode::DatabaseCorrupt) => at(path, "is damaged: restore a backup"),
        _ => at(path, &error.to_string()),
    }
}

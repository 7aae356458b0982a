//! The database file, read and changed from outside the server.

use std::{fs, path::Path, sync::Arc};

use ngoma::{clock::SystemClock, store};
use rusqlite::{Connection, types::FromSql};

use crate::support::{
    receiver::PATIENCE,
    world::{World, defaults, wait_for_lock},
};

/// Makes the database of a folder and its key, as the first start of a server does.
pub fn make(folder: &Path) {
    let mut config = defaults();
    config.storage.path = folder.join("ngoma.db");
    config.storage.key_file = folder.join("ngoma.key");
    drop(store::open(&config.storage, &config.limits, Arc::new(SystemClock), true).expect("made"));
    wait_for_lock(&config.storage.path);
}

/// The value of this SQL, read from outside the server.
pub fn query<T: FromSql>(world: &World, sql: &str) -> T {
    let conn = Connection::open(world.database()).expect("the file");
    conn.busy_timeout(PATIENCE).expect("set");
    conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Moves the write-ahead log of a database that no process has open into its file.
pub fn checkpoint(database: &Path) {
    let conn = Connection::open(database).expect("the file");
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).expect("folded");
    conn.close().expect("closed");
    assert!(!database.with_extension("db-wal").exists());
}

/// The pages that the largest transaction in the log has written.
pub fn largest_transaction(log: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let bytes = fs::read(log).expect("the log");
    let salts = &bytes[16..24];
    let (mut largest, mut pages) = (0, 0);
    for frame in bytes[HEADER..].chunks_exact(FRAME).take_while(|frame| &frame[8..16] == salts) {
        pages += 1;
        if frame[4..8] != [0; 4] {
            largest = largest.max(pages);
            pages = 0;
        }
    }
    largest
}

/// A database as this version of the schema had it, with the accounts, tokens, webhooks and deliveries of this one, and
/// what else the SQL adds.
pub fn make_older(world: &World, version: u32, more: &str) {
    make_older_at(&world.database(), version, more);
}

/// The same for a database file that no process has open.
pub fn make_older_at(now: &Path, version: u32, more: &str) {
    let old = now.with_file_name("old.db");
    let file = rusqlite::Connection::open(&old).expect("a file");
    file.pragma_update(None, "auto_vacuum", "INCREMENTAL").expect("set");
    file.pragma_update(None, "application_id", 0x4E67_6F6D).expect("set");
    for number in 1..=version {
        let path = format!("{}/src/store/migrations/{number:04}.sql", env!("CARGO_MANIFEST_DIR"));
        file.execute_batch(&std::fs::read_to_string(path).expect("a migration")).expect("the schema");
    }
    file.pragma_update(None, "user_version", version).expect("set");
    file.execute("ATTACH ? AS now", [now.to_str().expect("a path")]).expect("attached");
    for table in ["account", "token", "endpoint", "event", "delivery", "attempt"] {
        let columns = "SELECT group_concat(name) FROM pragma_table_info(?, 'main')";
        let columns: String = file.query_row(columns, [table], |row| row.get(0)).expect("its columns");
        let copy = format!("INSERT INTO {table} ({columns}) SELECT {columns} FROM now.{table}");
        file.execute(&copy, []).expect("copied");
    }
    file.execute_batch(more).expect("rows");
    file.close().expect("closed");
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", now.display()));
    }
    std::fs::rename(old, now).expect("replaced");
}

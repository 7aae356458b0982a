//! Whether a database has what its version says: tables, columns, indexes and triggers. The rows are not looked at.
//!
//! The next start is tried on an empty database of the same schema, in memory. So it does not matter how old the
//! database is, and what the start would say is known before.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::schema::MIGRATIONS;

/// What a database is made of: the columns of each table, and each index and trigger with its table.
#[derive(PartialEq, Eq)]
struct Schema {
    tables: BTreeMap<String, BTreeSet<String>>,
    /// Kind, name, table.
    others: BTreeSet<[String; 3]>,
}

/// What is wrong with the schema, ready to follow the name of the file; `None` if a start takes it. Tables of other
/// programs beside ours are not looked at, but a trigger on ours changes what the server does.
pub(super) fn flaw(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < 0 {
        return Ok(Some(format!("has the schema number {version}, which no ngoma writes")));
    }
    let mut tried = empty_copy(conn, version)?;
    let mut newest = Connection::open_in_memory()?;
    if let Err(error) = MIGRATIONS.to_latest(&mut newest).and_then(|()| MIGRATIONS.to_latest(&mut tried)) {
        let why = match &error {
            rusqlite_migration::Error::RusqliteError { err, .. } => err.to_string(),
            error => error.to_string(),
        };
        let why = why.lines().next().unwrap_or_default();
        return Ok(Some(format!("says that it has schema {version}, but has another: a start would fail ({why})")));
    }
    Ok(difference(&schema_of(&tried)?, &schema_of(&newest)?))
}

/// An empty database of the same schema, as far as it can be made again.
fn empty_copy(conn: &Connection, version: i64) -> rusqlite::Result<Connection> {
    let copy = Connection::open_in_memory()?;
    let mut statements = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY rowid")?;
    for sql in statements.query_map([], |row| row.get::<_, String>(0))? {
        let sql = sql?;
        // SQLite's own tables come by themselves, and those of other programs may need what we lack. What is missing
        // then is found by the comparison.
        if sql.starts_with("CREATE ") {
            let _ = copy.execute(&sql, []);
        }
    }
    copy.pragma_update(None, "user_version", version)?;
    Ok(copy)
}

fn schema_of(conn: &Connection) -> rusqlite::Result<Schema> {
    let sql = "SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'";
    let mut rows = conn.prepare(sql)?;
    let rows = rows.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))?;
    let all = rows.collect::<rusqlite::Result<BTreeSet<[String; 3]>>>()?;
    let (tables, others): (BTreeSet<_>, BTreeSet<_>) = all.into_iter().partition(|[kind, ..]| kind == "table");
    let mut columns = conn.prepare("SELECT name FROM pragma_table_xinfo(?)")?;
    let tables = tables.into_iter().map(|[_, table, _]| {
        let columns = columns.query_map([&table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok((table, columns))
    });
    Ok(Schema { tables: tables.collect::<rusqlite::Result<_>>()?, others })
}

fn difference(found: &Schema, expected: &Schema) -> Option<String> {
    for (table, columns) in &expected.tables {
        let Some(there) = found.tables.get(table) else { return Some(format!("lacks the table {table}")) };
        if let Some(column) = columns.difference(there).next() {
            return Some(format!("lacks the column {column} of the table {table}"));
        }
    }
    if let Some([kind, name, table]) = expected.others.difference(&found.others).next() {
        return Some(format!("lacks the {kind} {name} of the table {table}"));
    }
    let ours = |[kind, _, table]: &&[String; 3]| kind == "trigger" && expected.tables.contains_key(table);
    found.others.difference(&expected.others).find(ours).map(|[_, name, table]| {
        format!("has the trigger {name} on the table {table}, which no ngoma made: remove it by 'DROP TRIGGER'")
    })
}

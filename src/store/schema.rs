//! The schema, as a list of migrations: forward only, and none is ever changed.

use rusqlite_migration::{M, Migrations};

const ALL: &[M<'static>] = &[
    M::up(include_str!("migrations/0001.sql")), //
    M::up(include_str!("migrations/0002.sql")),
    M::up(include_str!("migrations/0003.sql")),
    M::up(include_str!("migrations/0004.sql")),
    M::up(include_str!("migrations/0005.sql")),
    M::up(include_str!("migrations/0006.sql")),
    M::up(include_str!("migrations/0007.sql")),
    M::up(include_str!("migrations/0008.sql")),
    M::up(include_str!("migrations/0009.sql")),
    M::up(include_str!("migrations/0010.sql")),
    M::up(include_str!("migrations/0011.sql")),
    M::up(include_str!("migrations/0012.sql")),
    M::up(include_str!("migrations/0013.sql")),
    M::up(include_str!("migrations/0014.sql")),
    M::up(include_str!("migrations/0015.sql")),
    M::up(include_str!("migrations/0016.sql")),
    M::up(include_str!("migrations/0017.sql")),
    M::up(include_str!("migrations/0018.sql")),
    M::up(include_str!("migrations/0019.sql")),
    M::up(include_str!("migrations/0020.sql")),
    M::up(include_str!("migrations/0021.sql")),
    M::up(include_str!("migrations/0022.sql")),
    M::up(include_str!("migrations/0023.sql")),
    M::up(include_str!("migrations/0024.sql")),
];
pub(super) const SCHEMA: usize = ALL.len();
pub(super) const MIGRATIONS: Migrations<'static> = Migrations::from_slice(ALL);

//! A warm copy kept by a program such as Litestream: it adds tables of its own to the file, holds a read open so that
//! nobody else empties the log, and makes the checkpoints itself. All of it is done here as that program does it.

use rusqlite::Connection;
use serde_json::json;

use crate::support::{receiver::Receiver, world::World};

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
    CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER);";
const NOTE: &str = "INSERT INTO _litestream_seq (id, seq) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1";
const ROUNDS: usize = 20;

#[test]
fn a_program_that_keeps_a_warm_copy_does_no_harm() {
    let mut world = World::new();
    let receiver = Receiver::new();
    world.coop().webhook(&receiver.url(), &["*"], "s");
    let copier = Connection::open(world.database()).expect("the file");
    let reader = Connection::open(world.database()).expect("the file");
    copier.busy_timeout(crate::support::receiver::PATIENCE).expect("set");
    copier.execute_batch(TABLES).expect("its tables");
    for round in 0..ROUNDS {
        copier.execute(NOTE, []).expect("its note");
        reader.execute_batch("BEGIN; SELECT count(*) FROM _litestream_seq").expect("a read is held open");
        for number in 0..5 {
            world.coop().publish("dds.filed", json!({ "round": round, "number": number }));
        }
        world.settle();
        reader.execute_batch("ROLLBACK").expect("the read ends");
        let how = ["PASSIVE", "RESTART", "TRUNCATE"][round % 3];
        let checkpoint = format!("PRAGMA wal_checkpoint({how})");
        let busy: bool = copier.query_row(&checkpoint, [], |row| row.get(0)).expect("a checkpoint");
        assert!(!busy, "{how}: the server holds no read open");
        if round == ROUNDS / 2 {
            world.restart();
        }
    }
    world.settle();
    assert_eq!(receiver.posts().len(), ROUNDS * 5, "each once");
    let sound: String = copier.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(sound, "ok");
    let delivered = "SELECT count(*) FROM delivery WHERE state = 'delivered'";
    let delivered: usize = copier.query_row(delivered, [], |row| row.get(0)).expect("a count");
    assert_eq!(delivered, ROUNDS * 5);
    let noted: usize = copier.query_row("SELECT seq FROM _litestream_seq", [], |row| row.get(0)).expect("its row");
    assert_eq!(noted, ROUNDS, "its own table is left alone");
}

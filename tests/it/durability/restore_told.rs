//! After a restore the next start tells the operator.

use rusqlite::Connection;

use super::restore::done;
use crate::support::site::{Site, publish};

/// A site whose database has an event more than its backup, `copy.db`, which was made while the server ran.
fn site_with_backup() -> Site {
    let site = Site::new();
    let server = site.start();
    publish(&server.coop(), "before").expect("the server answers").expect(202);
    done(&site, &["backup", "copy.db"]);
    publish(&server.coop(), "after").expect("the server answers").expect(202);
    server.stop();
    site
}

/// The alerts to the operator: what each is about, and what it says.
fn told(site: &Site) -> Vec<(String, String)> {
    let conn = Connection::open(site.database()).expect("a database");
    let mut rows = conn.prepare("SELECT about, said FROM alert WHERE about IS NOT NULL ORDER BY key").expect("SQL");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    rows.collect::<rusqlite::Result<_>>().expect("rows")
}

#[test]
fn the_next_start_tells_the_operator_once_that_a_backup_was_restored_and_until_when_it_knows_all() {
    let site = site_with_backup();
    done(&site, &["restore", "copy.db"]);
    assert_eq!(told(&site), []);
    // A command in between changes nothing.
    done(&site, &["token", "create", "--scope", "operator", "--quiet"]);
    site.start().stop();
    let [(about, text)] = told(&site).try_into().expect("one alert, and nothing of a crash");
    assert_eq!(about, "server.restored");
    for words in ["the database was restored from ", "copy.db, which knows all until 20", "after that backup are lost"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    site.start().stop();
    assert_eq!(told(&site).len(), 1, "it is said once");

    done(&site, &["restore", "copy.db"]);
    site.start().stop();
    assert_eq!(told(&site).len(), 1, "of another restore too: its copy knows nothing of the first");
    let server = site.start();
    while site.look::<i64>("SELECT serving FROM moment") == 0 {}
    drop(server.kill());
    site.start().stop();
    assert_eq!(told(&site)[1].0, "server.restarted", "a crash after it is a crash");
}

#[test]
fn of_each_restore_the_operator_is_told_and_never_that_it_is_over() {
    let site = site_with_backup();
    done(&site, &["restore", "copy.db"]);
    let server = site.start();
    done(&site, &["backup", "later.db"]);
    server.stop();
    done(&site, &["restore", "later.db"]);
    site.start().stop();
    let told = told(&site);
    let about: Vec<&str> = told.iter().map(|(about, _)| about.as_str()).collect();
    assert_eq!(about, ["server.restored"; 2], "{told:?}");
    assert!(told[1].1.contains("later.db"), "{told:?}");
}

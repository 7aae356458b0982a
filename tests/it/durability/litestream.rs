//! Litestream itself keeps a warm copy beside a server under load. Then the machine is lost, and the copy goes on.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
};

use ngoma::domain::ids::EventId;
use rusqlite::Connection;

use crate::support::{
    flaky_receiver::{Answered, Entry, FlakyReceiver},
    other_programs::litestream,
    program::finish,
    site::{SECRET, Server, Site, event_of, publish},
};

const PRODUCERS: usize = 16;

/// How many events each producer publishes, as fast as it can.
fn events() -> usize {
    if env::var_os("TEST_LONG").is_some() { 2_000 } else { 100 }
}

/// Litestream, which copies the database of a site. It is ended when it is dropped.
struct Copying(Child);

impl Copying {
    fn start(config: &Path) -> Self {
        let log = fs::File::create(config.with_extension("log")).expect("its log");
        let mut command = litestream();
        command.args(["replicate", "-config"]).arg(config).stdout(log.try_clone().expect("its log")).stderr(log);
        Self(command.spawn().expect("it starts"))
    }

    /// Asks it to stop: it copies the rest first.
    fn stop(mut self) {
        let asked = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().expect("kill runs");
        assert!(asked.success());
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Copying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes Litestream's settings. The copy is in a folder, where the guide has another machine.
fn settings(site: &Site) -> PathBuf {
    let config = site.folder().join("litestream.yml");
    let (database, copy) = (site.database(), site.folder().join("elsewhere"));
    let text = format!("dbs:\n  - path: {}\n    replica:\n      path: {}\n", database.display(), copy.display());
    fs::write(&config, text).expect("written");
    config
}

/// All producers publish at the same time. Gives the ids of the accepted events.
fn publish_all(server: &Server) -> BTreeSet<String> {
    thread::scope(|scope| {
        let producer = |number: usize| {
            let client = server.coop();
            let each = move |event| event_of(&publish(&client, &format!("{number}-{event}")).expect("an answer"));
            scope.spawn(move || (0..events()).map(each).collect::<Vec<_>>())
        };
        let producers: Vec<_> = (0..PRODUCERS).map(producer).collect();
        producers.into_iter().flat_map(|one| one.join().expect("no panic")).collect()
    })
}

/// The messages that got a good answer, read entry by entry.
#[derive(Default)]
struct Arrived {
    ids: BTreeSet<String>,
    read: usize,
}

impl Arrived {
    /// Reads the new entries; returns how many messages there are so far.
    fn read(&mut self, entries: &[Entry]) -> usize {
        let good = entries[self.read..].iter().filter(|entry| entry.answered == Answered::Well);
        self.ids.extend(good.map(|entry| entry.post.header("webhook-id").to_owned()));
        self.read = entries.len();
        self.ids.len()
    }
}

/// The ids of the events in a database file that nobody serves.
fn events_of(database: &Path) -> BTreeSet<String> {
    let copy = Connection::open(database).expect("the copy");
    let sound: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(sound, "ok");
    let mut statement = copy.prepare("SELECT id FROM event").expect("its events");
    let ids = statement.query_map([], |row| row.get::<_, [u8; 16]>(0)).expect("its events");
    ids.map(|id| EventId::from_bytes(id.expect("an id")).to_string()).collect()
}

#[test]
fn a_warm_copy_by_litestream_has_every_accepted_event_and_goes_on_where_the_lost_machine_was() {
    let site = Site::new();
    let receiver = FlakyReceiver::new(17, (60, 25));
    let server = site.start();
    server.coop().webhook(&receiver.url(), &["*"], SECRET);
    let config = settings(&site);
    let copying = Copying::start(&config);
    let accepted = publish_all(&server);
    drop(server.kill());
    copying.stop();

    let elsewhere = tempfile::tempdir().expect("a folder");
    let copy = elsewhere.path().join("copy.db");
    let mut restore = litestream();
    restore.args(["restore", "-integrity-check", "full", "-config"]).arg(&config).arg("-o").arg(&copy);
    let restored = restore.arg(site.database()).output().expect("it starts");
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let key = site.folder().join("ngoma.key");
    let takeover = ["restore", "copy.db", "--key", key.to_str().expect("a path")];
    let (code, out, err) = finish(site.command_of(&takeover).current_dir(elsewhere.path()));
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(events_of(&elsewhere.path().join("ngoma.db")), accepted);

    let mut arrived = Arrived::default();
    let before = arrived.read(&receiver.entries());
    let server = site.start_by(site.command().current_dir(elsewhere.path()));
    // Of tens of thousands, the beginning will do.
    let enough = accepted.len().min(before + 1_600);
    receiver.wait_until("what was accepted arrives", |entries| arrived.read(entries) >= enough);
    server.stop();
}

//! The content of a database before a server starts on it, made by the library itself: no SQL here.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use ngoma::{
    clock::{SharedClock, SystemClock},
    config::{Config, Storage},
    domain::{
        audit::Actor,
        endpoint::{EventFilter, TargetUrl},
        event::{Audience, NewEvent},
        signature::SigningSecret,
        token::Scopes,
    },
    error::Result,
    store::{
        self, Admission, Db, Tx, accounts, endpoints, events,
        tokens::{self, Holder},
    },
};
use tokio::runtime::Runtime;

pub const PROFILE: &str = "asilichain";
/// The event that is published.
pub const KIND: &str = "batch.exported";
/// Events published in one transaction.
const AT_ONCE: usize = 500;
/// The last one to close the file has removed its log by then.
const LAST_CLOSES: Duration = Duration::from_secs(3);
/// The text before an event's number.
pub const NUMBER: &str = r#"{"n":"#;

/// An account, and a token of it that may publish.
pub struct Account {
    pub id: String,
    pub token: String,
}

/// The data of the event with this number, filled up to `bytes` bytes.
pub fn data(number: u64, bytes: usize) -> String {
    let start = format!(
        r#"{NUMBER}{number},"batch_id":"BATCH-2026-004821","weight_kg":67.5,"grade":"AA","price":{{"amount":412.25,"currency":"USD"}},"farmers":["F-1029","F-1187","F-2210"],"note":""#
    );
    let note = "Washed, dried on raised beds. ".repeat(bytes / 30 + 1);
    format!(r#"{start}{}"}}"#, &note[..bytes - start.len() - 2])
}

/// An event of 600 bytes as it is stored, for its envelope to finish.
pub fn stored(number: u64) -> String {
    let start = format!(r#"{{"event":"{KIND}","api_version":"2026-04-01","created_at":"2026-04-20T11:55:00Z","data":"#);
    format!("{start}{}}}", data(number, 599 - start.len()))
}

/// A database that no server has open.
pub struct Store {
    pub runtime: Runtime,
    pub db: Db,
    storage: Storage,
}

impl Store {
    /// Opens it with this clock.
    pub fn open(folder: &Path, clock: SharedClock) -> Self {
        let Config { storage, mut limits, .. } = config(folder);
        (limits.waiting_writes, limits.pending_per_account, limits.bytes_per_account) = (10_000, 0, 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        if !storage.path.exists() {
            // Only a server makes a database.
            drop(store::open(&storage, &limits, Arc::clone(&clock), true).expect("a database"));
        }
        let db = store::open(&storage, &limits, clock, false).expect("it opens");
        Self { runtime, db, storage }
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        self.storage.path.parent().expect("a folder")
    }

    /// One transaction.
    pub fn write<T: Send + 'static>(&self, run: impl FnOnce(&Tx<'_>) -> Result<T> + Send + 'static) -> T {
        self.runtime.block_on(self.db.write(Actor::Engine, Admission::Try, run)).expect("it is written")
    }

    /// Makes an account with these webhooks.
    pub fn account(&self, id: &str, urls: Vec<String>) -> Account {
        let made = id.to_owned();
        let token = self.write(move |tx| {
            accounts::create(tx, PROFILE, &made, None)?;
            let account = accounts::find(tx, PROFILE, &made)?;
            for url in urls {
                let url = TargetUrl::parse(&url, url.len())?;
                let random = store::random()?;
                let secret = SigningSecret::from_random(&random);
                endpoints::create(tx, &account, url, EventFilter::from_stored("*"), &secret, u64::MAX)?;
            }
            let (_, token) = tokens::create(tx, &Holder::Account(made), &Scopes::parse("webhooks,events")?, None)?;
            Ok(token.expose().to_owned())
        });
        Account { id: id.to_owned(), token }
    }

    /// Publishes this many events of this account.
    pub fn publish(&self, account: &str, events: usize) {
        for from in (0..events).step_by(AT_ONCE) {
            let id = account.to_owned();
            self.write(move |tx| {
                let account = accounts::find(tx, PROFILE, &id)?.key;
                for number in from..events.min(from + AT_ONCE) {
                    let event = NewEvent {
                        account,
                        kind: KIND.to_owned(),
                        body: stored(number as u64).into(),
                        idempotency_key: None,
                    };
                    events::publish(tx, &event, &Audience::Subscribers)?;
                }
                Ok(())
            });
        }
    }

    /// Closes it, and waits until the file is whole.
    pub fn close(self) {
        let folder = self.folder().to_owned();
        drop(self.db);
        let watch = Instant::now();
        while self.storage.path.with_extension("db-wal").exists() {
            thread::sleep(Duration::from_millis(2));
            if watch.elapsed() > LAST_CLOSES {
                // Two that are closed at the same moment each take the other for the last.
                return Self::open(&folder, Arc::new(SystemClock)).close();
            }
        }
    }
}

/// The built-in settings, with the files in this folder.
pub fn config(folder: &Path) -> Config {
    let file = folder.join("none.toml");
    std::fs::write(&file, "").expect("an empty file");
    Config::load(Some(&file)).expect("the defaults are valid")
}

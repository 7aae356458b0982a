//! An installation: one database on which the built program is started again and again, with an account of each vendor.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    client::{Answer, Client},
    database,
    program::{Running, ngoma, run},
    world::{COOP, CUSTOMER},
};

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// More than enough retries for any receiver that answers well now and then.
const MANY_SHORT_WAITS: usize = 90;

pub struct Site {
    folder: PathBuf,
    _own: Option<TempDir>,
    settings: Vec<(String, String)>,
    token: String,
    customer_token: String,
}

/// A server of a site. Ended when it is dropped.
pub struct Server {
    pub running: Running,
    base: String,
    token: String,
    customer_token: String,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { _own: Some(folder), ..Self::at(Path::new("")) }.made()
    }

    /// A site in a folder that the story made.
    pub fn within(folder: &Path) -> Self {
        Self::at(folder).made()
    }

    fn at(folder: &Path) -> Self {
        let (token, customer_token) = (String::new(), String::new());
        let mut site = Self { folder: folder.to_owned(), _own: None, settings: Vec::new(), token, customer_token };
        site.set("SERVER__LISTEN", "127.0.0.1:0").set("LIMITS__REQUESTS_PER_MINUTE", "0");
        site.set("EGRESS__ALLOW_HTTP", "true").set("EGRESS__PUBLIC", "false").set("EGRESS__ALLOW", "[\"127.0.0.0/8\"]");
        site.set("ALERTS__GATHER", "0s");
        site.set("ASILICHAIN__WAITS", &format!("[{}]", vec!["\"10ms\""; MANY_SHORT_WAITS].join(",")));
        site
    }

    /// Makes its accounts and their tokens.
    fn made(mut self) -> Self {
        if let Some(own) = &self._own {
            self.folder = own.path().to_owned();
        }
        database::make(&self.folder);
        for (profile, account) in [("asilichain", COOP), ("asg", CUSTOMER)] {
            let (code, _, err) = run(&self.folder, &["account", "create", "--profile", profile, "--id", account]);
            assert_eq!(code, 0, "{err}");
        }
        let token = |account| {
            let create = ["token", "create", "--account", account, "--scope", "webhooks,events", "--json"];
            let (code, out, err) = run(&self.folder, &create);
            assert_eq!(code, 0, "{err}");
            let made: Value = serde_json::from_str(&out).expect("JSON");
            made["token"].as_str().expect("a token").to_owned()
        };
        (self.token, self.customer_token) = (token(COOP), token(CUSTOMER));
        self
    }

    /// A setting by its name in the environment, without `NGOMA_`.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.settings.push((format!("NGOMA_{name}"), value.to_owned()));
        self
    }

    pub fn database(&self) -> PathBuf {
        self.folder.join("ngoma.db")
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The command that serves.
    pub fn command(&self) -> Command {
        self.command_of(&["serve"])
    }

    /// Any command of the program, with the settings of the site.
    pub fn command_of(&self, arguments: &[&str]) -> Command {
        let mut command = ngoma(&self.folder, arguments);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn start(&self) -> Server {
        self.start_by(&mut self.command())
    }

    /// Starts a command that serves in the end, and waits until it is ready.
    #[track_caller]
    pub fn start_by(&self, command: &mut Command) -> Server {
        let mut running = Running::start(command);
        let base = running.address();
        Server { running, base, token: self.token.clone(), customer_token: self.customer_token.clone() }
    }

    /// A command under another program that starts it with these arguments, such as a tracer.
    pub fn under(&self, program: &str, arguments: &[&str], inner: &Command) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).arg(inner.get_program()).args(inner.get_args()).current_dir(&self.folder);
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.stdin(std::process::Stdio::null());
        command
    }

    /// The value of this SQL, read from outside the server.
    pub fn look<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let conn = Connection::open_with_flags(self.database(), OpenFlags::SQLITE_OPEN_READ_WRITE).expect("the file");
        conn.busy_timeout(crate::support::receiver::PATIENCE).expect("set");
        conn.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// How many deliveries are in this state.
    pub fn count(&self, state: &str) -> usize {
        self.look(&format!("SELECT count(*) FROM delivery WHERE state = '{state}'"))
    }
}

impl Server {
    pub fn coop(&self) -> Client {
        Client::at(&self.base, &self.token)
    }

    /// A client with another token than those of the site.
    pub fn client(&self, token: &str) -> Client {
        Client::at(&self.base, token)
    }

    /// The environment of a client program: the server's address, and a token of each vendor.
    pub fn environment(&self) -> [(&'static str, &str); 3] {
        [("NGOMA", &self.base), ("COOPERATIVE_TOKEN", &self.token), ("API_KEY", &self.customer_token)]
    }

    /// Its address and port.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub fn customer(&self) -> Client {
        Client::at(&self.base, &self.customer_token)
    }

    /// Ends it at once, as `kill -9` does. Returns its standard error.
    pub fn kill(mut self) -> String {
        self.running.log()
    }

    /// Stops it as a service manager does; it must end well.
    #[track_caller]
    pub fn stop(mut self) {
        self.running.signal("TERM");
        let status = self.running.wait();
        assert_eq!(status.code(), Some(0), "{}", self.running.log());
    }
}

/// Publishes an AsiliChain event with an idempotency key, which also marks its data.
pub fn publish(client: &Client, key: &str) -> Result<Answer, ureq::Error> {
    let body = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": { "key": key } }).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    client.try_send("POST", "/events", &headers, Some(body.as_bytes()))
}

/// Publishes such an event for each of these keys, all at once.
pub fn publish_batch(client: &Client, keys: &[String]) -> Result<Answer, ureq::Error> {
    let event = |key| json!({ "event": "batch.exported", "cooperative_id": COOP, "data": { "key": key }, "idempotency_key": key });
    let body = json!({ "events": keys.iter().map(event).collect::<Vec<_>>() }).to_string();
    client.try_send("POST", "/events/batch", &[("content-type", "application/json")], Some(body.as_bytes()))
}

/// The event's id of an answer that accepts it.
#[track_caller]
pub fn event_of(answer: &Answer) -> String {
    answer.expect(202)["event_id"].as_str().expect("an id").to_owned()
}

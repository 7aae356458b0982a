//! A mailbox: a real mail server in another process, tests/verify/mailbox.py, whose behaviour a story sets.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use ngoma::{config::Secret, engine::alerts::ChannelRest, store::channels::unsent_count};
use serde_json::Value;

use crate::support::{
    other_programs::mail_server,
    receiver::PATIENCE,
    world::{Wish, World},
};

pub struct Mailbox {
    file: PathBuf,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub port: u16,
}

/// A mail that the server accepted.
#[derive(Debug, Clone)]
pub struct Mail(Value);

impl Mailbox {
    /// A mailbox that accepts every mail.
    pub fn within(folder: &Path) -> Self {
        Self::with(folder, &[])
    }

    /// A mailbox with these options of the script.
    pub fn with(folder: &Path, options: &[&str]) -> Self {
        let file = folder.join("mails.jsonl");
        let mut command = mail_server();
        command.arg(&file).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let orders = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut mailbox = Self { file, child, orders, answers, port: 0 };
        mailbox.port = mailbox.answer().parse().expect("it prints its port");
        mailbox
    }

    /// Stops, and comes back on the same port when the story calls the result.
    pub fn go_down(self) -> impl FnOnce() -> Self {
        let (folder, port) = (self.file.parent().expect("a folder").to_owned(), self.port.to_string());
        drop(self);
        move || Self::with(&folder, &["--port", &port])
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Behaves in this way from now on.
    pub fn order(&mut self, order: &str) {
        assert_eq!(self.ask(order), "ok", "{order}");
    }

    /// Waits for this many mails in all, and gives them.
    #[track_caller]
    pub fn wait_for(&mut self, count: usize) -> Vec<Mail> {
        let mails: Vec<Value> = serde_json::from_str(&self.ask(&format!("mails {count}"))).expect("a list");
        assert!(mails.len() >= count, "only {} of {count} mails came", mails.len());
        mails.into_iter().map(Mail).collect()
    }

    /// Every mail so far.
    pub fn mails(&mut self) -> Vec<Mail> {
        self.wait_for(0)
    }

    /// Waits for this many connections in all.
    #[track_caller]
    pub fn wait_for_tries(&mut self, count: usize) {
        let tries: usize = self.ask(&format!("tries {count}")).parse().expect("a number");
        assert!(tries >= count, "only {tries} of {count} connections came");
    }

    pub fn tries(&mut self) -> usize {
        self.ask("tries 0").parse().expect("a number")
    }

    /// How many bytes were taken of a line that does not end, once the other side has left.
    pub fn said(&mut self) -> usize {
        self.ask("said").parse().expect("a number")
    }

    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("it listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its output is text");
        assert!(line.ends_with('\n'), "it ended early; why stands above");
        line.trim_end().to_owned()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Mail {
    pub fn header(&self, name: &str) -> &str {
        let headers = self.0["headers"].as_array().expect("a list");
        let mut found = headers.iter().filter(|header| header[0].as_str() == Some(name));
        let value = found.next().unwrap_or_else(|| panic!("no {name}: {headers:?}"))[1].as_str();
        assert!(found.next().is_none(), "{name} twice: {headers:?}");
        value.expect("a text")
    }

    pub fn text(&self) -> &str {
        self.0["text"].as_str().expect("a text")
    }

    pub fn get(&self, field: &str) -> &Value {
        &self.0[field]
    }
}

/// A world that mails to this server.
pub fn world_with(smtp_url: &str, change: impl FnOnce(&mut Wish)) -> World {
    World::with(|wish| {
        wish.config.alerts.smtp_url = Secret::from(smtp_url.to_owned());
        wish.config.alerts.from = "Ngoma <ngoma@coop.example>".to_owned();
        change(wish);
    })
}

/// Waits until no alert is due either.
#[track_caller]
pub fn told(world: &World) {
    world.settle();
    let (written, mut rest) = world.alerts().status();
    let calm = |rest: &Vec<ChannelRest>| rest.iter().all(|way| way.at == world.now() && way.seen == *written.borrow());
    let told = world.block_on(async { tokio::time::timeout(PATIENCE, rest.wait_for(calm)).await.map(drop) });
    told.expect("everybody is told");
}

/// Moves the clock, then waits until due deliveries and alerts are sent.
#[track_caller]
pub fn advance(world: &World, by: &str) {
    world.advance(by);
    told(world);
}

/// How many alerts are not sent yet.
pub fn unsent(world: &World) -> u64 {
    let set_up = world.alerts().set_up();
    world.block_on(world.db().read(move |view| unsent_count(view, &set_up))).expect("a count")
}

/// Looks into the outbox: the value of this SQL over `telling JOIN alert`.
pub fn outbox<T: rusqlite::types::FromSql>(world: &World, what: &str, condition: &str) -> T {
    let file = rusqlite::Connection::open(world.database()).expect("the file");
    let sql =
        format!("SELECT {what} FROM alert_delivery JOIN alert ON alert.key = alert_delivery.alert WHERE {condition}");
    file.query_row(&sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

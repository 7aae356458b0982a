//! A request that is held while its right is lost: its token, its scope, its session or its account.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Instant,
};

use ngoma::{
    domain::audit::Actor,
    store::{Admission, Db, View, accounts, erase},
};
use rusqlite::Connection;

use crate::support::{
    receiver::PATIENCE,
    world::{COOP, World},
    writer::poll,
};

/// Reading connections of the store.
pub const READERS: usize = 4;

/// Bytes of a body that are sent before the loss.
pub const BEGUN: usize = 5;

/// Rows that a request may write, without the rows that a loss itself writes.
pub const ROWS: [&str; 9] = [
    "SELECT json_array('account', id, alerts_url) FROM account WHERE profile != ''",
    "SELECT json_array('token', hex(id), scopes, revoked_at) FROM token WHERE key != ?",
    "SELECT json_array('webhook', hex(id), account, url, events, state, hex(secret), hex(former_secret)) FROM endpoint
     WHERE profile != ''",
    "SELECT json_array('event', hex(id), account, body) FROM event WHERE kind != ''",
    "SELECT json_array('delivery', hex(delivery.id), state, attempts) FROM delivery JOIN event ON event.key = event
     WHERE kind != ''",
    "SELECT json_array('audit', key, action, subject) FROM audit WHERE action NOT IN ('account.erased', 'account.created')",
    "SELECT json_array('recovery', hex(id), state = 'cancelled') FROM recovery",
    "SELECT json_array('session', hex(hash)) FROM session",
    "SELECT json_array('link', hex(hash)) FROM sign_in_link",
];

/// The right that is lost while a request is under way.
#[derive(Debug)]
pub enum Loss {
    /// Nothing: the request goes through.
    Nothing,
    /// Its token is revoked, by another process.
    Revoked,
    /// Its token expires.
    Expired,
    /// Its token has only this scope any more.
    Unscoped(&'static str),
    /// Its session is signed out.
    SignedOut,
    /// This account is erased and made again under its name.
    Erased(&'static str),
}

impl Loss {
    /// The SQL of another process that makes this loss.
    pub fn sql(&self, token: i64) -> String {
        match self {
            Self::Nothing | Self::Erased(_) => String::new(),
            Self::Revoked => format!("UPDATE token SET revoked_at = 1 WHERE key = {token}"),
            Self::Expired => format!("UPDATE token SET valid_until = 1 WHERE key = {token}"),
            Self::Unscoped(left) => format!("UPDATE token SET scopes = '{left}' WHERE key = {token}"),
            Self::SignedOut => format!("DELETE FROM session WHERE token = {token}"),
        }
    }
}

/// A request, ready to be sent.
pub struct HeldRequest {
    pub method: String,
    pub path: String,
    pub headers: String,
    pub body: String,
    /// Whether the server reads the body before it acts.
    pub is_read: bool,
    /// The key of its token's row.
    pub token: i64,
}

pub fn open(world: &World) -> Connection {
    let conn = Connection::open(world.database()).expect("the file");
    conn.busy_timeout(PATIENCE).expect("set");
    conn
}

/// The row of the token that was made last.
pub fn newest_token(world: &World) -> i64 {
    open(world).query_row("SELECT max(key) FROM token", [], |row| row.get(0)).expect("a token")
}

/// Every row that a request may have written.
pub fn rows(world: &World, token: i64) -> BTreeSet<String> {
    let conn = open(world);
    let all = ROWS.iter().flat_map(|sql| {
        let mut rows = conn.prepare(sql).expect("a query");
        let given = rusqlite::params_from_iter((rows.parameter_count() > 0).then_some(token));
        let rows = rows.query_map(given, |row| row.get(0)).expect("rows");
        rows.collect::<rusqlite::Result<Vec<String>>>().expect("texts")
    });
    all.collect()
}

pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Keeps every reading connection busy until the returned senders are dropped.
pub fn hold_readers(db: &Db) -> (Vec<mpsc::Sender<()>>, Vec<JoinHandle<()>>) {
    let (begun, begins) = mpsc::channel();
    let hold = |_| {
        let (open, gate) = mpsc::channel::<()>();
        let (db, begun) = (db.clone(), begun.clone());
        let wait = move |_: &View<'_>| {
            begun.send(()).expect("the story waits");
            // The gate was opened, or the story has ended.
            let _ = gate.recv_timeout(PATIENCE);
            Ok(())
        };
        let held = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(db.read(wait)).expect("a read");
        });
        (open, held)
    };
    let held = (0..READERS).map(hold).unzip();
    (0..READERS).for_each(|_| begins.recv_timeout(PATIENCE).expect("a read begins"));
    held
}

/// Has a request begin, takes its right away before it can read, write, or have its whole body, and lets it go on.
/// Returns the status and the text of its answer.
pub fn answer(world: &World, request: &HeldRequest, loss: &Loss) -> (u16, String) {
    let lock = open(world);
    lock.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let mut erased = Box::pin(world.db().write(Actor::Engine, Admission::Try, {
        let id = if let Loss::Erased(id) = loss { *id } else { "" };
        move |tx| {
            if !id.is_empty() {
                erase::begin(tx, id)?;
                accounts::create(tx, if id == COOP { "asilichain" } else { "asg" }, id, None)?;
            }
            Ok(())
        }
    }));
    assert!(poll(erased.as_mut()).is_pending(), "it waits for the lock, before what the request writes");
    let (open_readers, held) = hold_readers(world.db());

    let HeldRequest { method, path, headers, body, .. } = request;
    let host = world.address();
    let expect = if request.is_read { "Expect: 100-continue\r\n" } else { "" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}{expect}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(head.as_bytes()).expect("sent");
    let begun = BEGUN.min(body.len());
    if request.is_read {
        // The server asks for the body once it has let the request in.
        let mut go_on = [0; 25];
        stream.read_exact(&mut go_on).expect("an answer");
        assert!(go_on.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"), "{}", String::from_utf8_lossy(&go_on));
        stream.write_all(&body.as_bytes()[..begun]).expect("sent");
    } else {
        stream.write_all(body.as_bytes()).expect("sent");
        // Time enough to let it in; one that comes later is refused as well.
        world.stranger().get("/health/live").expect(200);
    }
    lock.execute_batch(&loss.sql(request.token)).expect("lost");
    lock.execute_batch("COMMIT").expect("lost");
    world.block_on(erased).expect("written");
    drop(open_readers);
    held.into_iter().for_each(|held| held.join().expect("no panic"));
    if request.is_read {
        stream.write_all(&body.as_bytes()[begun..]).expect("sent");
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default(), answer)
}

/// Holds a request, and sees that it is refused and has written nothing.
#[track_caller]
pub fn refused(world: &World, request: &HeldRequest, loss: &Loss, statuses: &[u16]) {
    // Answers that viewers share for some seconds have expired.
    world.advance("11s");
    let before = rows(world, request.token);
    let (status, text) = answer(world, request, loss);
    let named = format!("{} {}, {loss:?}", request.method, request.path);
    assert!(statuses.contains(&status), "{named}: {text}");
    world.settle();
    let after = rows(world, request.token);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{named} has written {new:?}");
    let gone = before.difference(&after).filter(|row| !row.contains("\"session\""));
    assert!(matches!(loss, Loss::Erased(_)) || gone.count() == 0, "{named} has removed something");
}

//! Requests that are under way while their token is revoked, while it loses its scope, or while their account is erased and
//! made again: each is refused, and writes nothing. Every operation of the contract is held.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Instant,
};

use ngoma::{
    domain::{audit::Actor, ids::TokenId},
    store::{Admission, Db, Tx, View, accounts, erase, tokens},
};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    security::{
        access::{Needs, Operation, Things, operations},
        limits::{hold_writer, poll},
    },
    support::{
        receiver::{PATIENCE, Receiver, Reply},
        world::{COOP, CUSTOMER, Holder, Wish, World},
    },
};

/// Reading connections of the store.
const READERS: usize = 4;
/// Of a body: what comes before something is lost.
const BEGUN: usize = 5;
/// Answers from memory: there is nothing to hold it by.
const FROM_MEMORY: &str = "listEventTypes";

/// Rows that a request may write; what a loss itself writes is left out.
const ROWS: [&str; 8] = [
    "SELECT json_array('account', id) FROM account WHERE profile != ''",
    "SELECT json_array('token', hex(id), scopes, revoked_at) FROM token WHERE key != ?",
    "SELECT json_array('webhook', hex(id), account, url, events, state, hex(secret), hex(former_secret)) FROM endpoint
     WHERE profile != ''",
    "SELECT json_array('event', hex(id), account, body) FROM event WHERE kind != ''",
    "SELECT json_array('delivery', hex(delivery.id), state, attempts) FROM delivery JOIN event ON event.key = event
     WHERE kind != ''",
    "SELECT json_array('audit', key, action, subject) FROM audit WHERE action NOT IN ('account.erased', 'account.created')",
    "SELECT json_array('retry', hex(id), state = 'cancelled') FROM retry",
    "SELECT json_array('session', hex(hash)) FROM session",
];

/// What is lost while a request is under way.
#[derive(Debug)]
pub enum Loss {
    /// Nothing: the request goes through.
    Nothing,
    /// Its token is revoked, by another process.
    Revoked,
    /// Its token has only this scope any more.
    Unscoped(&'static str),
    /// Its session is signed out.
    SignedOut,
    /// This account is erased and made again under its name.
    Erased(&'static str),
}

impl Loss {
    /// What another process writes.
    fn sql(&self, token: i64) -> String {
        match self {
            Self::Nothing | Self::Erased(_) => String::new(),
            Self::Revoked => format!("UPDATE token SET revoked_at = 1 WHERE key = {token}"),
            Self::Unscoped(left) => format!("UPDATE token SET scopes = '{left}' WHERE key = {token}"),
            Self::SignedOut => format!("DELETE FROM session WHERE token = {token}"),
        }
    }
}

/// A request, ready to be sent.
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: String,
    pub body: String,
    /// Whether the server reads the body before it acts.
    pub is_read: bool,
    /// The key of its token's row.
    pub token: i64,
}

fn open(world: &World) -> Connection {
    let conn = Connection::open(world.database()).expect("the file");
    conn.busy_timeout(PATIENCE).expect("set");
    conn
}

/// The row of the token that was made last.
pub fn newest_token(world: &World) -> i64 {
    open(world).query_row("SELECT max(key) FROM token", [], |row| row.get(0)).expect("a token")
}

/// All that a request may have written.
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

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Keeps every reading connection busy until what is returned first is dropped.
fn hold_readers(db: &Db) -> (Vec<mpsc::Sender<()>>, Vec<JoinHandle<()>>) {
    let (begun, begins) = mpsc::channel();
    let hold = |_| {
        let (open, gate) = mpsc::channel::<()>();
        let (db, begun) = (db.clone(), begun.clone());
        let wait = move |_: &View<'_>| {
            begun.send(()).expect("the story waits");
            // Opened, or the story has gone.
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

/// Has a request begin, loses what it was let in with before it can read, write, or have its whole body, and lets it go on.
/// Gives the status and the text of its answer.
pub fn answer(world: &World, asked: &Asked, loss: &Loss) -> (u16, String) {
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

    let Asked { method, path, headers, body, .. } = asked;
    let host = world.address();
    let expect = if asked.is_read { "Expect: 100-continue\r\n" } else { "" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}{expect}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(head.as_bytes()).expect("sent");
    let begun = BEGUN.min(body.len());
    if asked.is_read {
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
    lock.execute_batch(&loss.sql(asked.token)).expect("lost");
    lock.execute_batch("COMMIT").expect("lost");
    world.block_on(erased).expect("written");
    drop(open_readers);
    held.into_iter().for_each(|held| held.join().expect("no panic"));
    if asked.is_read {
        stream.write_all(&body.as_bytes()[begun..]).expect("sent");
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default(), answer)
}

/// Holds a request, and sees that it is refused and has written nothing.
#[track_caller]
pub fn refused(world: &World, asked: &Asked, loss: &Loss, statuses: &[u16]) {
    // Looks that are shared for some seconds are over.
    world.advance("11s");
    let before = rows(world, asked.token);
    let (status, text) = answer(world, asked, loss);
    let named = format!("{} {}, {loss:?}", asked.method, asked.path);
    assert!(statuses.contains(&status), "{named}: {text}");
    world.settle();
    let after = rows(world, asked.token);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.is_empty(), "{named} has written {new:?}");
    let gone = before.difference(&after).filter(|row| !row.contains("\"session\""));
    assert!(matches!(loss, Loss::Erased(_)) || gone.count() == 0, "{named} has removed something");
}

/// An operation, as this token asks for it.
fn asked(world: &World, operation: &Operation, things: &Things, holder: Holder, scopes: &str) -> Asked {
    let token = world.token_for(holder, scopes);
    let (path, body) = operation.request(things);
    // White space at its end leaves something to send later of the shortest one.
    let body = body.map_or_else(String::new, |body| body + &" ".repeat(BEGUN));
    Asked {
        method: operation.method.clone(),
        path,
        headers: format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"),
        body,
        is_read: operation.takes_body,
        token: newest_token(world),
    }
}

fn held_operations() -> impl Iterator<Item = (usize, Operation)> {
    let all = operations().into_iter().enumerate();
    all.filter(|(_, operation)| operation.needs() != Needs::Nothing && operation.id != FROM_MEMORY)
}

fn account_of(operation: &Operation) -> &'static str {
    if operation.is_asg() { CUSTOMER } else { COOP }
}

#[test]
fn what_was_begun_before_its_token_is_revoked_or_loses_the_scope_is_refused_and_writes_nothing() {
    let world = World::new();
    let receiver = Receiver::new();
    let things = Things::make(&world, &receiver, 0);
    let mut cells = 0;
    for (_, operation) in held_operations() {
        let (holder, scopes, left) = match operation.needs() {
            Needs::Operator => (Holder::Operator, "operator", "webhooks,events"),
            Needs::Events => (Holder::Account(account_of(&operation).to_owned()), "webhooks,events", "webhooks"),
            _ => (Holder::Account(account_of(&operation).to_owned()), "webhooks,events", "events"),
        };
        for (loss, status) in [(Loss::Revoked, 401), (Loss::Unscoped(left), 403)] {
            refused(&world, &asked(&world, &operation, &things, holder.clone(), scopes), &loss, &[status]);
            cells += 1;
        }
    }
    println!("held: {cells} requests over a revocation or the loss of a scope");
}

#[test]
fn what_was_begun_for_an_account_never_reaches_another_that_is_made_under_its_name() {
    let world = World::new();
    let receiver = Receiver::new();
    let mut cells = 0;
    for (place, operation) in held_operations() {
        let (account, writes) = (account_of(&operation), operation.method != "GET");
        let profile = if operation.is_asg() { "asg" } else { "asilichain" };
        let mut who = Vec::new();
        match operation.needs() {
            Needs::Operator if writes && operation.id != "createAccount" => {
                who.push((Holder::Operator, "operator", 404))
            }
            Needs::Operator => {}
            _ => {
                who.push((Holder::Account(account.to_owned()), "webhooks,events", 401));
                if writes {
                    who.push((Holder::Platform(profile.to_owned()), "webhooks,events", 404));
                }
            }
        }
        for (holder, scopes, status) in who {
            let things = Things::make(&world, &receiver, place);
            let asked = asked(&world, &operation, &things, holder, scopes);
            refused(&world, &asked, &Loss::Erased(account), &[status]);
            cells += 1;
        }
    }
    println!("held: {cells} requests over an erasure");
}

#[test]
fn a_batch_that_waits_for_a_place_is_not_taken_once_its_token_is_revoked() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.batches = 1);
    let things = Things::make(&world, &Receiver::new(), 0);
    let [first, second] = ["publishBatch", "asgPublishBatch"].map(|operation| {
        let operation = operations().into_iter().find(|one| one.id == operation).expect("an operation");
        asked(&world, &operation, &things, Holder::Account(account_of(&operation).to_owned()), "events")
    });
    let look = |sql: &str| open(&world).query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    let published = || look("SELECT count(*) FROM event JOIN account ON account.key = account WHERE profile = 'asg'");
    let (id, before) = (id_of(&world, second.token), published());
    let send = |Asked { path, headers, body, .. }: &Asked| {
        let mut stream = TcpStream::connect(world.address()).expect("a connection");
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).expect("sent");
        stream
    };
    let (gate, held) = hold_writer(world.db());
    let _first = send(&first);
    // The use of each token is noted as it is let in.
    until("the first has the one place", || world.db().waiting() >= 2);
    let mut waiting = send(&second);
    until("the second is let in", || world.db().waiting() >= 3);
    let revoke = move |tx: &Tx<'_>| tokens::revoke(tx, id);
    let mut revoked = Box::pin(world.db().write(Actor::Engine, Admission::Try, revoke));
    assert!(poll(revoked.as_mut()).is_pending(), "it is written as soon as the writer is free");
    gate.send(()).expect("the writer waits");
    world.block_on(revoked).expect("revoked");
    held.join().expect("no panic");
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("HTTP/1.1 401 ") && answer.contains("this token was revoked"), "{answer}");
    assert_eq!(published(), before);
}

fn id_of(world: &World, token: i64) -> TokenId {
    let id = open(world).query_row("SELECT id FROM token WHERE key = ?", [token], |row| row.get(0));
    TokenId::from_bytes(id.expect("a token"))
}

#[test]
fn a_test_whose_token_is_revoked_while_the_receiver_thinks_is_neither_recorded_nor_answered() {
    let world = World::new();
    let receiver = Receiver::new();
    let things = Things::make(&world, &receiver, 0);
    receiver.always(Reply::Gate(200));
    let client = world.coop();
    let token = newest_token(&world);
    let (before, posts) = (rows(&world, token), receiver.posts().len());
    let path = format!("/webhooks/{}/test", things.webhook);
    let asking = thread::spawn(move || client.post(&path, json!({})));
    until("it is sent", || receiver.posts().len() > posts);
    open(&world).execute_batch(&Loss::Revoked.sql(token)).expect("revoked");
    receiver.open_gate();
    assert_eq!(asking.join().expect("no panic").code(401), "UNAUTHORIZED");
    let after = rows(&world, token);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.len() == 1 && new[0].contains("webhook.tested"), "only that it was asked for: {new:?}");
}

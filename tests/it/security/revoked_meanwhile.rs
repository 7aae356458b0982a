//! Requests that are under way while their token is revoked, while it loses its scope, or while their account is erased
//! and made again: each is refused, and writes nothing. Every operation of the contract is held.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use ngoma::{
    domain::{audit::Actor, ids::TokenId},
    store::{Admission, Tx, tokens},
};
use serde_json::json;

use crate::support::{
    held_request::{BEGUN, HeldRequest, Loss, newest_token, open, refused, rows, until},
    operations::{Needs, Operation, Resources, operations},
    receiver::{Receiver, Reply},
    world::{COOP, CUSTOMER, Holder, Wish, World},
    writer::{hold_writer, poll},
};

/// Answers from memory: there is nothing to hold it by.
const FROM_MEMORY: &str = "listEventTypes";

/// An operation, as this token asks for it.
fn request(world: &World, operation: &Operation, resources: &Resources, holder: Holder, scopes: &str) -> HeldRequest {
    let token = world.token_for(holder, scopes);
    let (path, body) = operation.request(resources);
    // White space at its end leaves something to send later of the shortest one.
    let body = body.map_or_else(String::new, |body| body + &" ".repeat(BEGUN));
    HeldRequest {
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
fn a_request_begun_before_its_token_was_revoked_or_expired_or_lost_its_scope_is_refused_and_writes_nothing() {
    let world = World::new();
    let receiver = Receiver::new();
    let resources = Resources::make(&world, &receiver, 0);
    let mut cells = 0;
    for (_, operation) in held_operations() {
        let (holder, scopes, left) = match operation.needs() {
            Needs::Operator => (Holder::Operator, "operator", "webhooks,events"),
            Needs::Events => (Holder::Account(account_of(&operation).to_owned()), "webhooks,events", "webhooks"),
            _ => (Holder::Account(account_of(&operation).to_owned()), "webhooks,events", "events"),
        };
        for (loss, status) in [(Loss::Revoked, 401), (Loss::Expired, 401), (Loss::Unscoped(left), 403)] {
            refused(&world, &request(&world, &operation, &resources, holder.clone(), scopes), &loss, &[status]);
            cells += 1;
        }
    }
    println!("held: {cells} requests over a revocation, an expiry or the loss of a scope");
}

#[test]
fn a_request_begun_for_an_erased_account_never_reaches_a_new_one_of_the_same_name() {
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
            let resources = Resources::make(&world, &receiver, place);
            let request = request(&world, &operation, &resources, holder, scopes);
            refused(&world, &request, &Loss::Erased(account), &[status]);
            cells += 1;
        }
    }
    println!("held: {cells} requests over an erasure");
}

#[test]
fn a_batch_that_waits_for_a_place_is_not_taken_once_its_token_is_revoked() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.batches = 1);
    let resources = Resources::make(&world, &Receiver::new(), 0);
    let [first, second] = ["publishBatch", "asgPublishBatch"].map(|operation| {
        let operation = operations().into_iter().find(|one| one.id == operation).expect("an operation");
        request(&world, &operation, &resources, Holder::Account(account_of(&operation).to_owned()), "events")
    });
    let look = |sql: &str| open(&world).query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    let published = || look("SELECT count(*) FROM event JOIN account ON account.key = account WHERE profile = 'asg'");
    let (id, before) = (id_of(&world, second.token), published());
    let send = |HeldRequest { path, headers, body, .. }: &HeldRequest| {
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
    let resources = Resources::make(&world, &receiver, 0);
    receiver.always(Reply::Gate(200));
    let client = world.coop();
    let token = newest_token(&world);
    let (before, posts) = (rows(&world, token), receiver.posts().len());
    let path = format!("/webhooks/{}/test", resources.webhook);
    let asking = thread::spawn(move || client.post(&path, json!({})));
    until("it is sent", || receiver.posts().len() > posts);
    open(&world).execute_batch(&Loss::Revoked.sql(token)).expect("revoked");
    receiver.open_gate();
    assert_eq!(asking.join().expect("no panic").code(401), "UNAUTHORIZED");
    let after = rows(&world, token);
    let new: Vec<&String> = after.difference(&before).collect();
    assert!(new.len() == 1 && new[0].contains("webhook.tested"), "only that it was asked for: {new:?}");
}

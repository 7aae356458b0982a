//! An account's share of waiting deliveries, of stored bytes and of the writer's time.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use ngoma::{
    domain::{audit::Actor, token::BearerToken},
    store::{self, Admission, Tx, tokens},
};
use serde_json::{Value, json};

use crate::support::{
    aging::{age, pass},
    client::{Answer, Client},
    database::query,
    receiver::{Receiver, Reply},
    world::{COOP, Holder, OTHER_COOP, Wish, World},
    writer::hold_writer,
};

const EVENT: &str = "batch.exported";
/// The shares of all accounts.
const TAKEN: &str = "SELECT (SELECT sum(octet_length(body)) FROM event)
                          + (SELECT ifnull(sum(octet_length(response)), 0) FROM attempt)";

fn publish(client: &Client, cooperative: &str, data: Value) -> Answer {
    client.post("/events", json!({ "event": EVENT, "cooperative_id": cooperative, "data": data }))
}

#[test]
fn an_account_with_as_much_waiting_as_it_may_have_is_refused_more_until_some_is_gone() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.pending_per_account = 3);
    let coop = world.coop();
    let webhook = coop.webhook("http://127.0.0.1:1/", &[EVENT], "s");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "status": "SUSPENDED" })).expect(200);
    let keyed = |number: u32| {
        let key = format!("key-{number}");
        let body = json!({ "event": EVENT, "cooperative_id": COOP, "data": { "n": number } }).to_string();
        let headers = [("content-type", "application/json"), ("idempotency-key", key.as_str())];
        coop.send("POST", "/events", &headers, Some(body.as_bytes()))
    };
    (0..3).for_each(|number| drop(keyed(number).expect(202)));
    let refused = keyed(3);
    assert_eq!(refused.code(429), "RATE_LIMITED");
    assert_eq!(refused.header("retry-after"), "60");
    let message = refused.json()["error"]["message"].as_str().expect("a sentence").to_owned();
    assert!(message.contains("limits.pending_per_account") && message.contains("repair or delete"), "{message}");
    // A batch is refused whole, and names the event.
    let one = json!({ "event": EVENT, "cooperative_id": COOP, "data": {} });
    let batch = coop.post("/events/batch", json!({ "events": [one] }));
    assert!(batch.text.contains("events[0]") && batch.status == 429, "{batch:?}");
    // A repeat adds nothing, and other accounts have shares of their own.
    keyed(2).expect(202);
    let other = world.client(&world.token_for(Holder::Account(OTHER_COOP.to_owned()), "webhooks,events"));
    publish(&other, OTHER_COOP, json!({})).expect(202);
    coop.delete(&format!("/webhooks/{webhook}")).expect(204);
    world.advance("2s");
    keyed(3).expect(202);
}

#[test]
fn an_account_that_has_stored_as_much_as_it_may_is_refused_more_until_old_events_are_removed() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.bytes_per_account = 4_000);
    pass(&world);
    let coop = world.coop();
    let receiver = Receiver::new();
    receiver.always(Reply::Answer(200, "", b"thanks".to_vec()));
    coop.webhook(&receiver.url(), &[EVENT], "s");
    let note = "x".repeat(1_000);
    let accepted = (0..10).take_while(|n| publish(&coop, COOP, json!({ "n": n, "note": note })).status == 202).count();
    assert_eq!(accepted, 3);
    world.settle();
    let refused = publish(&coop, COOP, json!({ "note": note }));
    assert_eq!(refused.code(429), "RATE_LIMITED");
    assert!(refused.text.contains("limits.bytes_per_account"), "{refused:?}");
    let stored: i64 = query(&world, &format!("SELECT stored_bytes FROM account WHERE id = '{COOP}'"));
    assert_eq!(stored, query::<i64>(&world, TAKEN));
    // The newest row of each table stays.
    age(&world, "1h");
    age(&world, "30d");
    publish(&coop, COOP, json!({ "note": note })).expect(202);
    world.settle();
    let stored: i64 = query(&world, &format!("SELECT stored_bytes FROM account WHERE id = '{COOP}'"));
    assert_eq!(stored, query::<i64>(&world, TAKEN));
}

#[test]
fn an_undone_publish_takes_nothing_of_the_share() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.deliveries_per_batch = 1);
    let coop = world.coop();
    (1..=2).for_each(|port| drop(coop.webhook(&format!("http://127.0.0.1:{port}/"), &[EVENT], "s")));
    let one = json!({ "event": EVENT, "cooperative_id": COOP, "data": { "note": "x" } });
    coop.post("/events/batch", json!({ "events": [one] })).expect(422);
    assert_eq!(query::<i64>(&world, &format!("SELECT stored_bytes FROM account WHERE id = '{COOP}'")), 0);
}

#[test]
fn the_operator_sees_that_an_account_has_used_most_of_its_share() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.bytes_per_account = 1_000);
    let operator = world.operator();
    let near = || operator.get("/metrics").text.contains("\nngoma_accounts_near_limit 1\n");
    let coop = world.coop();
    publish(&coop, COOP, json!({ "note": "x".repeat(300) })).expect(202);
    assert!(!near(), "half is not near");
    publish(&coop, COOP, json!({ "note": "x".repeat(300) })).expect(202);
    assert!(near(), "{}", operator.get("/metrics").text);
}

/// Writes of these askers, in the order in which the writer takes them when it is free again.
fn taken(world: &World, asked: &[(&'static str, Actor)]) -> Vec<&'static str> {
    let taken = Arc::<Mutex<Vec<&'static str>>>::default();
    let (open, held) = hold_writer(world.db());
    let writes = asked.iter().map(|(name, actor)| {
        let (db, taken, name, actor) = (world.db().clone(), Arc::clone(&taken), *name, *actor);
        let run = move |_: &Tx<'_>| {
            taken.lock().expect("no panic").push(name);
            Ok(())
        };
        async move { db.write(actor, Admission::Try, run).await.expect("it is written") }
    });
    // Each takes its place when it is polled first, one after the other.
    world.block_on(async {
        let mut writes: Vec<_> = writes.map(Box::pin).collect();
        for write in &mut writes {
            assert!(futures_pending(write.as_mut()).await, "it waits");
        }
        open.send(()).expect("the writer waits");
        for write in writes {
            write.await;
        }
    });
    held.join().expect("no panic");
    taken.lock().expect("no panic").clone()
}

/// Polls a future once.
async fn futures_pending<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

fn actor_of(world: &World, account: &str) -> Actor {
    let token = world.token_for(Holder::Account(account.to_owned()), "events");
    let token = BearerToken::parse(&token).expect("a token");
    let caller = world.db().read_inline(|view| tokens::caller(view, &token, world.now()));
    let caller = caller.expect("it reads").expect("a caller");
    Actor::from(caller.grant())
}

#[test]
fn one_request_does_not_wait_behind_the_queue_of_another_account() {
    let world = World::new();
    let (greedy, modest) = (actor_of(&world, COOP), actor_of(&world, OTHER_COOP));
    let mut asked = vec![("greedy", greedy); 100];
    asked.push(("modest", modest));
    asked.push(("server", Actor::Engine));
    let taken = taken(&world, &asked);
    assert_eq!(taken.len(), asked.len());
    assert_eq!(taken[0], "server", "what has ended is written first");
    let place = taken.iter().position(|name| *name == "modest").expect("it is written");
    assert!(place <= 3, "the modest one was taken at place {place}");
}

#[test]
fn two_tokens_that_write_without_a_pause_leave_a_third_its_share() {
    let world = World::new();
    let greedy = [actor_of(&world, COOP), actor_of(&world, COOP)];
    let modest = actor_of(&world, OTHER_COOP);
    let (db, writes, over) = (world.db().clone(), Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    world.block_on(async {
        // Each sends its next batch when its last one is written, so its queue is empty while a batch of its own is
        // written.
        let greedy = greedy.map(|actor| {
            let (db, writes, over) = (db.clone(), Arc::clone(&writes), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) && writes.load(Ordering::Relaxed) < 1_000 {
                    let batch = |tx: &Tx<'_>| store::probe(tx);
                    db.write(actor, Admission::Batch, batch).await.expect("it is written");
                    writes.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        while writes.load(Ordering::Relaxed) < 10 {
            tokio::task::yield_now().await;
        }
        let modest: Vec<_> = (0..8)
            .map(|_| {
                let db = db.clone();
                tokio::spawn(async move {
                    for _ in 0..5 {
                        db.write(modest, Admission::Try, store::probe).await.expect("it is written");
                    }
                })
            })
            .collect();
        for one in modest {
            one.await.expect("no panic");
        }
        over.store(true, Ordering::Relaxed);
        for one in greedy {
            one.await.expect("no panic");
        }
    });
    let batches = writes.load(Ordering::Relaxed);
    assert!(batches < 200, "{batches} batches went before five rounds of single writes");
}

#[test]
fn one_token_cannot_take_all_places_for_waiting_writes() {
    let world = World::with(|wish: &mut Wish| wish.config.limits.waiting_writes = 16);
    let (greedy, modest) = (actor_of(&world, COOP), actor_of(&world, OTHER_COOP));
    let (open, held) = hold_writer(world.db());
    let (db, waiting) = (world.db().clone(), world.db().clone());
    let write = move |actor| {
        let db = db.clone();
        async move { db.write(actor, Admission::Try, |_| Ok(())).await }
    };
    world.block_on(async {
        let tasks: Vec<_> = (0..14).map(|_| tokio::spawn(write(greedy))).collect();
        while waiting.waiting() < 14 {
            tokio::task::yield_now().await;
        }
        assert!(write(greedy).await.is_err(), "seven of eight places are taken");
        let modest = tokio::spawn(write(modest));
        while waiting.waiting() < 15 {
            tokio::task::yield_now().await;
        }
        open.send(()).expect("the writer waits");
        modest.await.expect("no panic").expect("it has its place");
        for task in tasks {
            task.await.expect("no panic").expect("it is written");
        }
    });
    held.join().expect("no panic");
}

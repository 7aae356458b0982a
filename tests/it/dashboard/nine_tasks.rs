//! Nine tasks of a day in a real browser, with their clicks counted: at most 3 after signing in, and 6 for a new
//! cooperative.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use ngoma::clock::Clock;
use serde_json::{Value, json};

use crate::support::{
    chromium,
    client::Client,
    mailbox::{Mailbox, advance, told, world_with},
    receiver::{Receiver, Reply},
    world::{Holder, World},
};

/// How far the clock goes on at once while the browser is used.
const TICK: Duration = Duration::from_millis(50);
/// The value by which the first task finds its delivery.
const BATCH: &str = "BATCH-2026-004821";

/// A world after a night. Its times are Kampala's, three hours ahead of UTC.
struct Morning {
    world: World,
    /// Took everything, yesterday between 14 and 15.
    partner: Receiver,
    /// Its webhook was suspended yesterday, and is repaired.
    broken: Receiver,
    /// Took no task yesterday between 16 and 17, nor one at 18, and is repaired.
    shop: Receiver,
    /// The address in the mail about the suspension.
    mail: String,
}

fn publish_task(shop: &Client, task: &str) {
    let task = json!({ "event": "task.settled", "task_id": task, "consensus_label": "cat", "confidence": 1.0,
                       "bsv_txid": "f00d", "settled_at": "2026-04-08T21:05:00Z" });
    shop.post("/v1/events", task).expect(202);
}

/// 14:55: three batches are delivered. From 16:10 on, tasks fail and a webhook is suspended. It is 9 o'clock of the next day.
fn morning() -> Morning {
    let folder = tempfile::tempdir().expect("a folder");
    let mut mailbox = Mailbox::within(folder.path());
    let world = world_with(&mailbox.url(), |_| {});
    let (partner, broken, shop) = (Receiver::new(), Receiver::new(), Receiver::new());
    let (coop, customer) = (world.coop(), world.customer());
    coop.webhook(&partner.url(), &["batch.*"], "s3cret");
    for batch in ["BATCH-2026-004820", BATCH, "BATCH-2026-004822"] {
        coop.publish("batch.exported", json!({ "batch_id": batch, "weight_kg": 62.5 }));
    }
    told(&world);
    advance(&world, "75m");
    let webhook = coop.webhook(&broken.url(), &["loan.*"], "s3cret");
    customer.post("/v1/webhooks", json!({ "callback_url": shop.url(), "secret": "s3cret" })).expect(201);
    let answer = |status| _ = [&broken, &shop].map(|receiver| receiver.always(Reply::status(status)));
    answer(503);
    coop.publish("loan.repaid", json!({ "loan_id": "LOAN-1" }));
    (1..=3).for_each(|number| publish_task(&customer, &format!("tsk_{number}")));
    told(&world);
    ["1s", "4s", "25s", "5m", "30m", "2h"].iter().for_each(|wait| advance(&world, wait));
    assert_eq!(coop.status(&webhook), "SUSPENDED");
    publish_task(&customer, "tsk_4");
    (2..=3).for_each(|number| drop(coop.publish("loan.repaid", json!({ "loan_id": format!("LOAN-{number}") }))));
    told(&world);
    ["1s", "4s", "11h"].iter().for_each(|wait| advance(&world, wait));
    answer(200);
    let mails = mailbox.wait_for(2);
    let mail = mails.iter().find(|mail| mail.header("Subject").ends_with("is SUSPENDED")).expect("a mail");
    let mail = mail.text().lines().find(|line| line.contains("/ui/")).expect("an address").trim().to_owned();
    Morning { world, partner, broken, shop, mail }
}

/// Does the nine tasks in this way, while the clock goes on.
fn perform(way: &str) {
    let Morning { world, partner, broken, shop, mail } = morning();
    let new = Receiver::new();
    let sent = partner.posts().into_iter().find(|post| post.text().contains(BATCH)).expect("it was sent");
    let hours =
        |from: &str, to: &str| json!({ "from": format!("2026-04-20T{from}"), "to": format!("2026-04-20T{to}") });
    let facts = json!({
        "way": way, "batch": BATCH, "signature": sent.header("x-asilichain-signature"), "quiet": hours("14:00", "15:00"),
        "failing": hours("16:00", "17:00"), "task": "tsk_2", "suspended": broken.url(), "mail": mail, "shop": new.url(),
    });
    let (before, failed) = (broken.posts().len(), shop.posts().len());
    let (stop, stopped) = mpsc::channel::<()>();
    let clock = Arc::clone(&world.clock);
    let going = thread::spawn(move || {
        while stopped.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
            clock.set(clock.now() + TICK);
        }
    });
    let token = world.token_for(Holder::Operator, "operator");
    println!("{}", chromium::play("tasks.mjs", &world.address().to_string(), &token, Some(&facts)));
    drop(stop);
    going.join().expect("no panic");
    world.settle();
    let arrived = |receiver: &Receiver, after: usize, id: &str| {
        let mut found: Vec<String> = receiver.posts()[after..].iter().map(|post| id_of(&post.json(), id)).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(arrived(&broken, before, "loan_id"), ["LOAN-1", "LOAN-2", "LOAN-3"]);
    assert_eq!(arrived(&shop, failed, "task_id"), ["tsk_1", "tsk_2", "tsk_3"], "and not the one of another hour");
}

fn id_of(body: &Value, name: &str) -> String {
    let found = body[name].as_str().or_else(|| body["data"][name].as_str());
    found.expect("an id").to_owned()
}

#[test]
fn with_a_mouse_no_task_takes_more_than_three_clicks_and_a_new_cooperative_six() {
    perform("mouse");
}

#[test]
fn on_a_phone_it_takes_as_few() {
    perform("finger");
}

#[test]
fn by_keyboard_alone_it_takes_as_few() {
    perform("keys");
}

//! Prefetched deliveries: claimed ahead of their place for a receiver that answered fast, and then did not. Until one
//! is sent it counts as untried.

use std::time::Duration;

use ngoma::{clock::Stopwatch, domain::signature::SigningSecret, store};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    receiver::{PATIENCE, Post, Receiver, Reply},
    world::{COOP, Wish, World},
};

/// Attempts to one webhook at once.
const PLACES: usize = 4;
/// Attempts under way, and as many prefetched deliveries.
const CLAIMS: usize = 2 * PLACES;

/// A webhook whose attempts under way wait at a gate, and whose next deliveries are prefetched.
struct Prefetched {
    world: World,
    coop: Client,
    receiver: Receiver,
    webhook: String,
    /// POSTs that had come before.
    before: usize,
}

impl Prefetched {
    fn new() -> Self {
        Self::with(Reply::Gate(200), |_| {}, |_| {})
    }

    /// The receiver holds attempts with this reply. In the middle of the publishes the story runs its own step.
    fn with(reply: Reply, change: impl FnOnce(&mut Wish), meanwhile: impl Fn(&World)) -> Self {
        let world = World::with(|wish: &mut Wish| {
            wish.config.delivery.max_in_flight_per_endpoint = PLACES;
            change(wish);
        });
        let (coop, receiver) = (world.coop(), Receiver::new());
        let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "old");
        let mut prefetched = Self { world, coop, receiver, webhook, before: 0 };
        // On a busy machine the receiver may seem slow at first.
        while !prefetched.fills(&reply, &meanwhile) {
            prefetched.receiver.always(Reply::status(200)).hang_up();
            prefetched.world.settle();
            assert!(prefetched.before < 2000, "nothing is claimed ahead");
        }
        prefetched
    }

    fn fills(&mut self, reply: &Reply, meanwhile: impl Fn(&World)) -> bool {
        // The backlog of a resumed webhook uses all places that it may have, so it gets more.
        self.coop.patch(&self.path(), json!({ "status": "SUSPENDED" })).expect(200);
        self.publish(20);
        self.coop.patch(&self.path(), json!({ "status": "ACTIVE" })).expect(200);
        self.world.settle();
        self.before = self.receiver.posts().len();
        self.receiver.always(reply.clone());
        self.publish(CLAIMS - 2);
        meanwhile(&self.world);
        self.publish(2);
        self.receiver.wait_for(self.before + PLACES);
        self.newest().iter().all(|delivery| delivery["status"] == "IN_FLIGHT")
    }

    fn publish(&self, count: usize) {
        (0..count).for_each(|_| _ = self.coop.publish("batch.exported", json!({})));
    }

    fn path(&self) -> String {
        format!("/webhooks/{}", self.webhook)
    }

    /// The deliveries that were claimed, newest first: those prefetched, then those under way.
    fn newest(&self) -> Vec<Value> {
        self.coop.deliveries(&self.webhook)[..CLAIMS].to_vec()
    }

    /// Lets the attempts under way end, and waits until nothing is left to be done.
    fn open(&self) {
        self.receiver.always(Reply::status(200)).open_gate();
        self.world.settle();
    }

    /// The POSTs that came since.
    fn posts(&self) -> Vec<Post> {
        self.receiver.posts().split_off(self.before)
    }

    /// Each of these has this status, and had this many attempts.
    #[track_caller]
    fn are(deliveries: &[Value], status: &str, attempts: usize) {
        for delivery in deliveries {
            assert_eq!((&delivery["status"], &delivery["attempt_count"]), (&json!(status), &json!(attempts)));
        }
    }
}

fn numbers(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| post.header("ngoma-attempt")).collect()
}

#[test]
fn after_a_new_url_is_answered_for_no_attempt_begins_at_the_old_one() {
    let nothing: fn(&World) = |_| {};
    let a_while: fn(&World) = |world| world.move_clock(Duration::from_secs(2));
    let a_full_disk: fn(&World) = |world| {
        let limit = |pages| world.write(move |tx| store::limit_pages(tx, pages));
        limit(1).expect("it is set");
        let data = json!({ "pages": vec!["x".repeat(1024); 100] });
        let body = json!({ "event": "dds.filed", "cooperative_id": COOP, "data": data });
        assert_eq!(world.coop().post("/events", body).status, 503);
        limit(u32::MAX).expect("it is set");
    };
    for meanwhile in [nothing, a_while, a_full_disk] {
        let prefetched = Prefetched::with(Reply::Gate(200), |_| {}, meanwhile);
        let new = Receiver::new();
        prefetched.coop.patch(&prefetched.path(), json!({ "url": new.url() })).expect(200);
        prefetched.open();
        assert_eq!(prefetched.posts().len(), PLACES, "those under way end where they began");
        assert_eq!(numbers(&new.posts()), vec!["1"; CLAIMS - PLACES]);
        Prefetched::are(&prefetched.newest(), "DELIVERED", 1);
    }
}

#[test]
fn after_a_new_secret_is_answered_for_no_attempt_begins_with_the_old_one() {
    let prefetched = Prefetched::new();
    prefetched.coop.patch(&prefetched.path(), json!({ "secret": "new" })).expect(200);
    prefetched.open();
    let [old, new] = ["old", "new"].map(|secret| SigningSecret::parse(secret.to_owned()).expect("a secret"));
    let posts = prefetched.posts();
    assert_eq!(posts.len(), CLAIMS);
    for (number, post) in posts.iter().enumerate() {
        let signed_by =
            |secret: &SigningSecret| secret.verifies_body(&post.body, post.header("X-AsiliChain-Signature"));
        assert_eq!((signed_by(&old), signed_by(&new)), (number < PLACES, number >= PLACES), "{number}");
    }
    Prefetched::are(&prefetched.newest(), "DELIVERED", 1);
}

#[test]
fn prefetched_deliveries_of_a_suspended_webhook_are_held_untried() {
    let prefetched = Prefetched::new();
    prefetched.coop.patch(&prefetched.path(), json!({ "status": "SUSPENDED" })).expect(200);
    prefetched.open();
    assert_eq!(prefetched.posts().len(), PLACES);
    let newest = prefetched.newest();
    let (prefetched_ones, under_way) = newest.split_at(CLAIMS - PLACES);
    Prefetched::are(prefetched_ones, "HELD", 0);
    Prefetched::are(under_way, "DELIVERED", 1);
    prefetched.coop.patch(&prefetched.path(), json!({ "status": "ACTIVE" })).expect(200);
    prefetched.world.settle();
    assert_eq!(numbers(&prefetched.posts()), vec!["1"; CLAIMS]);
    Prefetched::are(&prefetched.newest(), "DELIVERED", 1);
}

#[test]
fn prefetched_deliveries_of_a_deleted_webhook_are_cancelled_untried() {
    let prefetched = Prefetched::new();
    let newest = prefetched.newest();
    prefetched.coop.delete(&prefetched.path()).expect(204);
    prefetched.open();
    assert_eq!(prefetched.posts().len(), PLACES);
    for (number, delivery) in newest.iter().enumerate() {
        let event = delivery["event_id"].as_str().expect("an id");
        let shown = prefetched.coop.get(&format!("/events/{event}")).expect(200)["deliveries"][0].clone();
        let (status, attempts) = if number < CLAIMS - PLACES { ("CANCELLED", 0) } else { ("DELIVERED", 1) };
        Prefetched::are(&[shown], status, attempts);
    }
}

#[test]
fn a_stop_gives_prefetched_deliveries_back_and_the_next_start_finds_no_interrupted_attempt() {
    let mut prefetched = Prefetched::new();
    prefetched.world.ask_to_stop();
    prefetched.receiver.always(Reply::status(200)).open_gate();
    prefetched.world.stop();
    assert_eq!(prefetched.posts().len(), PLACES, "what is under way ends, and nothing begins");
    prefetched.world.start();
    prefetched.coop = prefetched.world.coop();
    prefetched.world.settle();
    assert_eq!(numbers(&prefetched.posts()), vec!["1"; CLAIMS], "each once");
    for delivery in prefetched.newest() {
        let shown = prefetched.coop.delivery(&prefetched.webhook, delivery["delivery_id"].as_str().expect("an id"));
        let attempts = shown["attempts"].as_array().expect("a list");
        assert_eq!((&shown["status"], attempts.len()), (&json!("DELIVERED"), 1));
        assert_eq!(attempts[0]["error"], Value::Null, "not interrupted");
    }
}

#[test]
fn prefetched_deliveries_of_a_webhook_that_times_out_are_given_back_while_others_are_busy() {
    let busy = |wish: &mut Wish| {
        wish.config.delivery.timeout = Duration::from_millis(500);
        wish.config.delivery.poll_interval = Duration::from_millis(10);
    };
    let prefetched = Prefetched::with(Reply::Hang, busy, |_| {});
    let other = Receiver::new();
    prefetched.coop.webhook(&other.url(), &["dds.filed"], "s");
    let watch = Stopwatch::start();
    // They were never tried, and wait again. They are sent one by one until the receiver answers.
    let given_back = || prefetched.newest().iter().any(|one| one["status"] == "PENDING" && one["attempt_count"] == 0);
    while !given_back() {
        assert!(watch.elapsed() < PATIENCE, "it stays prefetched");
        prefetched.coop.publish("dds.filed", json!({}));
    }
}

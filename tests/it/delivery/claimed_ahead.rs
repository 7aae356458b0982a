//! What is in hand: claimed ahead of its place for a receiver that answered fast, and then did not. Until it is sent it is
//! as if nobody had claimed it.

use std::time::Duration;

use ngoma::{clock::Stopwatch, domain::signature::SigningSecret, store};
use serde_json::{Value, json};

use crate::support::{
    receiver::{PATIENCE, Post, Receiver, Reply},
    world::{COOP, Client, Wish, World},
};

/// Attempts to one webhook at once.
const PLACES: usize = 4;
/// As many again are in hand.
const CLAIMS: usize = 2 * PLACES;

/// A webhook with attempts under way that wait at a gate, and claims in hand.
struct Hand {
    world: World,
    coop: Client,
    receiver: Receiver,
    webhook: String,
    /// POSTs that had come before.
    before: usize,
}

impl Hand {
    fn new() -> Self {
        Self::with(Reply::Gate(200), |_| {}, |_| {})
    }

    /// The receiver holds attempts with this reply; in the middle of the publishes the story does something else.
    fn with(reply: Reply, change: impl FnOnce(&mut Wish), meanwhile: impl Fn(&World)) -> Self {
        let world = World::with(|wish: &mut Wish| {
            wish.config.delivery.max_in_flight_per_endpoint = PLACES;
            change(wish);
        });
        let (coop, receiver) = (world.coop(), Receiver::new());
        let webhook = coop.webhook(&receiver.url(), &["batch.exported"], "old");
        let mut hand = Self { world, coop, receiver, webhook, before: 0 };
        // On a busy machine the receiver may seem slow at first.
        while !hand.fills(&reply, &meanwhile) {
            hand.receiver.always(Reply::status(200)).hang_up();
            hand.world.settle();
            assert!(hand.before < 2000, "nothing is claimed ahead");
        }
        hand
    }

    fn fills(&mut self, reply: &Reply, meanwhile: impl Fn(&World)) -> bool {
        self.publish(20);
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

    /// The deliveries that were claimed, newest first: those in hand, then those under way.
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

    /// Each of these is so, and had so many attempts.
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
        let hand = Hand::with(Reply::Gate(200), |_| {}, meanwhile);
        let new = Receiver::new();
        hand.coop.patch(&hand.path(), json!({ "url": new.url() })).expect(200);
        hand.open();
        assert_eq!(hand.posts().len(), PLACES, "those under way end where they began");
        assert_eq!(numbers(&new.posts()), vec!["1"; CLAIMS - PLACES]);
        Hand::are(&hand.newest(), "DELIVERED", 1);
    }
}

#[test]
fn after_a_new_secret_is_answered_for_no_attempt_begins_with_the_old_one() {
    let hand = Hand::new();
    hand.coop.patch(&hand.path(), json!({ "secret": "new" })).expect(200);
    hand.open();
    let [old, new] = ["old", "new"].map(|secret| SigningSecret::parse(secret.to_owned()).expect("a secret"));
    let posts = hand.posts();
    assert_eq!(posts.len(), CLAIMS);
    for (number, post) in posts.iter().enumerate() {
        let signed_by =
            |secret: &SigningSecret| secret.verifies_body(&post.body, post.header("X-AsiliChain-Signature"));
        assert_eq!((signed_by(&old), signed_by(&new)), (number < PLACES, number >= PLACES), "{number}");
    }
    Hand::are(&hand.newest(), "DELIVERED", 1);
}

#[test]
fn what_is_in_hand_when_a_webhook_is_suspended_is_held_and_was_never_tried() {
    let hand = Hand::new();
    hand.coop.patch(&hand.path(), json!({ "status": "SUSPENDED" })).expect(200);
    hand.open();
    assert_eq!(hand.posts().len(), PLACES);
    let newest = hand.newest();
    let (in_hand, under_way) = newest.split_at(CLAIMS - PLACES);
    Hand::are(in_hand, "HELD", 0);
    Hand::are(under_way, "DELIVERED", 1);
    hand.coop.patch(&hand.path(), json!({ "status": "ACTIVE" })).expect(200);
    hand.world.settle();
    assert_eq!(numbers(&hand.posts()), vec!["1"; CLAIMS]);
    Hand::are(&hand.newest(), "DELIVERED", 1);
}

#[test]
fn what_is_in_hand_when_a_webhook_is_deleted_is_cancelled_and_was_never_tried() {
    let hand = Hand::new();
    let newest = hand.newest();
    hand.coop.delete(&hand.path()).expect(204);
    hand.open();
    assert_eq!(hand.posts().len(), PLACES);
    for (number, delivery) in newest.iter().enumerate() {
        let event = delivery["event_id"].as_str().expect("an id");
        let shown = hand.coop.get(&format!("/events/{event}")).expect(200)["deliveries"][0].clone();
        let (status, attempts) = if number < CLAIMS - PLACES { ("CANCELLED", 0) } else { ("DELIVERED", 1) };
        Hand::are(&[shown], status, attempts);
    }
}

#[test]
fn a_stop_gives_back_what_is_in_hand_and_the_next_start_finds_no_attempt_interrupted() {
    let mut hand = Hand::new();
    hand.world.ask_to_stop();
    hand.receiver.always(Reply::status(200)).open_gate();
    hand.world.stop();
    assert_eq!(hand.posts().len(), PLACES, "what is under way ends, and nothing begins");
    hand.world.start();
    hand.coop = hand.world.coop();
    hand.world.settle();
    assert_eq!(numbers(&hand.posts()), vec!["1"; CLAIMS], "each once");
    for delivery in hand.newest() {
        let shown = hand.coop.delivery(&hand.webhook, delivery["delivery_id"].as_str().expect("an id"));
        let attempts = shown["attempts"].as_array().expect("a list");
        assert_eq!((&shown["status"], attempts.len()), (&json!("DELIVERED"), 1));
        assert_eq!(attempts[0]["error"], Value::Null, "not interrupted");
    }
}

#[test]
fn what_is_in_hand_for_a_webhook_that_times_out_is_given_back_however_busy_the_others_are() {
    let busy = |wish: &mut Wish| {
        wish.config.delivery.timeout = Duration::from_millis(500);
        wish.config.delivery.poll_interval = Duration::from_millis(10);
    };
    let hand = Hand::with(Reply::Hang, busy, |_| {});
    let other = Receiver::new();
    hand.coop.webhook(&other.url(), &["dds.filed"], "s");
    let watch = Stopwatch::start();
    // It was never tried, and waits again: one after the other is sent now, until the receiver answers.
    let given_back = || hand.newest().iter().any(|one| one["status"] == "PENDING" && one["attempt_count"] == 0);
    while !given_back() {
        assert!(watch.elapsed() < PATIENCE, "it stays in hand");
        hand.coop.publish("dds.filed", json!({}));
    }
}

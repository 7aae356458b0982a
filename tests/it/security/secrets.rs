//! Secrets: keys that are rotated while the server works, and tokens and signing secrets that no file shows.

use std::{fs, path::Path, thread};

use ngoma::{
    domain::{signature::SigningSecret, token::BearerToken},
    store::KeyRing,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    program::run,
    receiver::Receiver,
    world::{COOP, Holder, OTHER_COOP, World},
};

const OWN: &str = "a signing secret of the subscriber's own";

/// A world beside which the built program works on the same database, with the default names of the files.
fn world() -> World {
    let world = World::new();
    fs::write(world.folder().join("config.toml"), "").expect("a config");
    world
}

fn rotate(folder: &Path) -> String {
    let (code, out, err) = run(folder, &["key", "rotate"]);
    assert_eq!(code, 0, "{err}");
    out
}

/// The key file's lines: id and key.
fn keys(world: &World) -> Vec<(u8, String)> {
    let text = fs::read_to_string(&world.config.storage.key_file).expect("the key file");
    let line = |line: &str| line.split_once(' ').map(|(id, key)| (id.parse().expect("an id"), key.to_owned()));
    text.lines().map(|text| line(text).expect("id and key")).collect()
}

/// Every sealed secret in the file.
fn sealed(world: &World) -> Vec<Vec<u8>> {
    let file = Connection::open(world.database()).expect("the file");
    let all = "SELECT secret FROM endpoint UNION ALL SELECT former_secret FROM endpoint WHERE former_secret NOT NULL";
    let mut rows = file.prepare(all).expect("a query");
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("bytes")
}

/// Registers a webhook and gives the secret that was made for it.
fn register(coop: &Client, url: &str) -> String {
    let body = json!({ "url": url, "events": ["*"], "cooperative_id": COOP });
    coop.post("/webhooks", body).expect(201)["secret"].as_str().expect("it is shown once").to_owned()
}

/// Publishes, and verifies the POST of each of these receivers.
fn deliver(world: &World, coop: &Client, hooks: &[(Receiver, String)]) {
    let before: Vec<usize> = hooks.iter().map(|(receiver, _)| receiver.posts().len()).collect();
    coop.publish("dds.filed", json!({ "dds_id": "DDS-1" }));
    world.settle();
    for ((receiver, secret), before) in hooks.iter().zip(before) {
        let posts = receiver.posts();
        assert_eq!(posts.len(), before + 1, "it was delivered");
        let secret = SigningSecret::parse(secret.clone()).expect("a secret");
        let post = posts.last().expect("one");
        assert_eq!(post.header("x-asilichain-signature"), secret.sign_body(&post.body), "signed with the same secret");
    }
}

fn hook(coop: &Client) -> (Receiver, String) {
    let receiver = Receiver::new();
    let secret = register(coop, &receiver.url());
    (receiver, secret)
}

#[test]
fn the_key_is_rotated_while_the_server_serves() {
    let mut world = world();
    let coop = world.coop();
    let mut hooks = vec![hook(&coop), hook(&coop)];
    deliver(&world, &coop, &hooks);
    let before = keys(&world);
    assert!(before.len() == 1 && sealed(&world).iter().all(|sealed| sealed[1] == before[0].0));
    let old_file = fs::read(&world.config.storage.key_file).expect("the key file");

    assert!(rotate(world.folder()).contains("every secret is encrypted with a new key"));
    let after = keys(&world);
    assert!(after.len() == 1 && after[0].0 != before[0].0 && after[0].1 != before[0].1, "the old key is gone");
    assert!(sealed(&world).iter().all(|sealed| sealed[1] == after[0].0), "every row is encrypted again");
    deliver(&world, &coop, &hooks);
    hooks.push(hook(&coop));
    assert!(sealed(&world).iter().all(|sealed| sealed[1] == after[0].0), "a registration after it takes the new key");
    deliver(&world, &coop, &hooks);

    world.stop();
    let new_file = fs::read(&world.config.storage.key_file).expect("the key file");
    fs::write(&world.config.storage.key_file, old_file).expect("the old file is put back");
    let refused = world.try_start().expect_err("it cannot open what is there").to_string();
    assert!(refused.contains("ngoma.key") && refused.contains("backup"), "{refused}");
    fs::write(&world.config.storage.key_file, new_file).expect("the new file");
    world.start();
    deliver(&world, &world.coop(), &hooks);
}

/// A webhook whose secret was replaced: the receiver, and both secrets in turn.
struct Renewed {
    receiver: Receiver,
    secrets: [SigningSecret; 2],
}

/// Gives a webhook another secret. The one it had must go on signing too.
fn renew(coop: &Client, (receiver, old): (Receiver, String), new: &str) -> Renewed {
    let all = coop.get("/webhooks").expect(200);
    let own = all.as_array().expect("a list").iter().find(|webhook| webhook["url"] == receiver.url()).expect("its own");
    let webhook = own["webhook_id"].as_str().expect("an id");
    coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": new })).expect(200);
    let secrets = [old, new.to_owned()].map(|secret| SigningSecret::parse(secret).expect("a secret"));
    Renewed { receiver, secrets }
}

/// Publishes, and verifies both signatures of each receiver's POST.
fn deliver_to_renewed(world: &World, coop: &Client, renewed: &[Renewed]) {
    coop.publish("dds.filed", json!({ "dds_id": "DDS-1" }));
    world.settle();
    for Renewed { receiver, secrets } in renewed {
        let post = receiver.last();
        let header = post.header("webhook-signature");
        for (secret, which) in secrets.iter().zip(["former", "present"]) {
            let verified = secret.verifies_standard(post.header("webhook-id"), world.now(), &post.body, header);
            assert!(verified, "the {which} one signs");
        }
    }
}

#[test]
fn a_registration_or_a_new_secret_during_a_rotation_is_kept() {
    const RENEWED: usize = 40;
    let mut world = world();
    let coop = world.coop();
    let mut hooks: Vec<(Receiver, String)> = (0..5).map(|_| hook(&coop)).collect();
    let mut renewed: Vec<_> = (0..5).map(|_| renew(&coop, hook(&coop), "renewed before the rotation")).collect();
    let folder = world.folder().to_owned();
    let rotating = thread::spawn(move || (0..4).for_each(|_| drop(rotate(&folder))));
    while !rotating.is_finished() {
        if renewed.len() < RENEWED {
            hooks.push(hook(&coop));
            renewed.push(renew(&coop, hook(&coop), &format!("renewed during the rotation, {}", renewed.len())));
        }
        deliver(&world, &coop, &hooks[..1]);
    }
    rotating.join().expect("no panic");
    assert!(renewed.len() > 5, "some came during the rotation");
    rotate(world.folder());
    let key = keys(&world);
    assert!(key.len() == 1 && sealed(&world).iter().all(|sealed| sealed[1] == key[0].0));
    deliver_to_renewed(&world, &coop, &renewed);
    world.stop();
    world.start();
    let coop = world.coop();
    deliver(&world, &coop, &hooks);
    deliver_to_renewed(&world, &coop, &renewed);
}

#[test]
fn a_server_that_rested_through_several_rotations_still_signs() {
    let world = world();
    let coop = world.coop();
    let hooks = [hook(&coop)];
    // After two the new key has the number that the first had.
    for _ in 0..2 {
        rotate(world.folder());
    }
    assert_eq!(keys(&world).len(), 1);
    deliver(&world, &coop, &hooks);
    rotate(world.folder());
    rotate(world.folder());
    let webhook = coop.get("/webhooks").expect(200)[0]["webhook_id"].as_str().expect("an id").to_owned();
    let tested = coop.post(&format!("/webhooks/{webhook}/test"), json!({})).expect(200);
    assert_eq!(tested["delivered"], Value::Bool(true), "{tested}");
}

#[test]
fn rotations_at_the_same_time_lose_no_secret() {
    let mut world = world();
    let coop = world.coop();
    let hooks: Vec<(Receiver, String)> = (0..20).map(|_| hook(&coop)).collect();
    for _ in 0..3 {
        let folders: Vec<_> = (0..4).map(|_| world.folder().to_owned()).collect();
        let rotations: Vec<_> = folders.into_iter().map(|folder| thread::spawn(move || rotate(&folder))).collect();
        rotations.into_iter().for_each(|rotation| drop(rotation.join().expect("it ends well")));
        deliver(&world, &coop, &hooks);
    }
    rotate(world.folder());
    assert_eq!(keys(&world).len(), 1);
    world.stop();
    world.start();
    deliver(&world, &world.coop(), &hooks);
}

fn holds(file: &Path, text: &[u8]) -> bool {
    fs::read(file).is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
}

#[test]
fn tokens_and_secrets_are_in_none_of_the_files() {
    let mut world = world();
    let token = world.token_for(Holder::Account(COOP.to_owned()), "webhooks,events");
    let coop = world.client(&token);
    let made = register(&coop, "http://127.0.0.1:1/");
    coop.webhook("http://127.0.0.1:1/", &["*"], OWN);
    let digits = made.strip_prefix("whsec_").expect("a prefix").to_owned();
    for stopped in [false, true] {
        if stopped {
            world.stop();
        }
        let files: Vec<_> =
            fs::read_dir(world.folder()).expect("a folder").map(|file| file.expect("one").path()).collect();
        let some = |text: &[u8]| files.iter().any(|file| holds(file, text));
        assert!(files.len() >= 3, "{files:?}");
        let hash = BearerToken::parse(&token).expect("a token").hash();
        assert!(some(&hash) && some(COOP.as_bytes()), "the hash is what is stored");
        for secret in [token.as_str(), &token[4..47], &made, &digits, OWN] {
            assert!(!some(secret.as_bytes()), "it can be read in {files:?}");
        }
    }
}

#[test]
fn a_secret_that_was_replaced_is_not_in_the_file_any_more() {
    const WEBHOOKS: usize = 12;
    let world = world();
    let coop = world.coop();
    let webhooks: Vec<String> =
        (0..WEBHOOKS).map(|_| coop.webhook("http://127.0.0.1:1/", &["*"], "a short one")).collect();
    let first = sealed(&world);
    assert_eq!(first.len(), WEBHOOKS);
    // Longer ones: each row finds another place, and most another page. The first one signs too for a while, so it
    // stays beside the second; the third takes its place.
    for secret in ["2", "3"] {
        for webhook in &webhooks {
            coop.patch(&format!("/webhooks/{webhook}"), json!({ "secret": secret.repeat(256) })).expect(200);
        }
    }
    let now = sealed(&world);
    assert_eq!(now.len(), 2 * WEBHOOKS);
    let file = Connection::open(world.database()).expect("the file");
    let busy: i64 = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).expect("a checkpoint");
    assert_eq!(busy, 0, "nobody reads meanwhile");
    assert!(now.iter().all(|sealed| holds(&world.database(), sealed)), "those that sign are there");
    for name in ["ngoma.db", "ngoma.db-wal"] {
        let file = world.folder().join(name);
        // The nonce and the first bytes after it: a page that is written anew may split the freed bytes.
        let left = first.iter().filter(|sealed| holds(&file, &sealed[2..40])).count();
        assert_eq!(left, 0, "of {WEBHOOKS} that were replaced, in {name}");
    }
}

#[test]
fn a_mistyped_token_is_known_without_a_look_up() {
    let token = BearerToken::from_random(&[7; 32]).expose().to_owned();
    assert!(BearerToken::parse(&token).is_some());
    for (place, was) in token.char_indices() {
        let typo = if was == '7' { '8' } else { '7' };
        let mut typed: Vec<char> = token.chars().collect();
        typed[place] = typo;
        assert!(BearerToken::parse(&typed.iter().collect::<String>()).is_none(), "a typo at {place}");
        if typed.get(place + 1).is_some_and(|next| *next != was) {
            let mut swapped: Vec<char> = token.chars().collect();
            swapped.swap(place, place + 1);
            assert!(BearerToken::parse(&swapped.iter().collect::<String>()).is_none(), "two swapped at {place}");
        }
    }
    for wrong in [&token[..52], &format!("{token}7"), &format!(" {token}"), &token.to_uppercase(), "", "ngm_"] {
        assert!(BearerToken::parse(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn only_the_very_hash_of_a_token_is_taken_for_it() {
    let token = BearerToken::from_random(&[7; 32]);
    let hash = token.hash();
    let but = |byte: usize, bit: u8| {
        let mut other = hash;
        other[byte] ^= bit;
        other.to_vec()
    };
    let cases = [
        ("the same", hash.to_vec(), true),
        ("all but the first bit", but(0, 0x80), false),
        ("all but the last bit", but(31, 1), false),
        ("a shorter one", hash[..31].to_vec(), false),
        ("a longer one", [&hash[..], &[0]].concat(), false),
        ("none", Vec::new(), false),
    ];
    for (case, stored, same) in cases {
        assert_eq!(token.has_hash(&stored), same, "{case}");
    }
}

#[test]
fn a_token_whose_hash_agrees_where_it_is_looked_up_only_is_refused() {
    let world = World::new();
    let [token, other] =
        [COOP, OTHER_COOP].map(|account| world.token_for(Holder::Account(account.to_owned()), "webhooks"));
    let hash = |token: &str| BearerToken::parse(token).expect("a token").hash();
    let file = Connection::open(world.database()).expect("the file");
    let store = |before: [u8; 32], after: [u8; 32]| {
        let stored = file.execute("UPDATE token SET hash = ? WHERE hash = ?", (after, before)).expect("stored");
        assert_eq!(stored, 1);
    };
    let right = hash(&token);
    let webhook = world.client(&token).webhook("http://127.0.0.1:1/", &["*"], OWN);
    let look = || world.client(&token).get(&format!("/webhooks/{webhook}")).status;
    assert_eq!(look(), 200);
    for byte in 0..right.len() {
        let mut wrong = right;
        wrong[byte] ^= 1;
        store(right, wrong);
        assert_eq!(look(), 401, "byte {byte} is another");
        store(wrong, right);
    }
    // Beside others that agree there, the right one is taken.
    let mut beside = right;
    beside[31] ^= 1;
    store(hash(&other), beside);
    assert_eq!(look(), 200);
    store(beside, hash(&other));
    store(right, beside);
    assert_eq!(look(), 401);
}

#[test]
fn debug_output_shows_no_secret() {
    let token = BearerToken::from_random(&[7; 32]);
    let secret = SigningSecret::from_random(&[7; 32]);
    assert_eq!((format!("{token:?}"), format!("{secret:?}")), ("***".to_owned(), "***".to_owned()));
    assert_eq!(format!("{:?}", Some([&secret])), "Some([***])");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.key");
    let ring = KeyRing::create(&file).expect("a key file");
    let line = fs::read_to_string(&file).expect("it is there");
    let key = line.trim().split_once(' ').expect("id and key").1.to_owned();
    assert!(!format!("{ring:?}").contains(&key), "{ring:?}");
    // A bad key file is described without its lines.
    fs::write(&file, format!("{line}0 nonsense-{key}\n")).expect("written");
    let refused = format!("{:?}", KeyRing::read(&file).expect_err("a bad line"));
    assert!(!refused.contains(&key), "{refused}");
}

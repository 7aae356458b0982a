//! Secrets in the memory of the built program, read from outside as a debugger reads it.
//!
//! The bytes of a request stay in the buffers of the HTTP library until it uses them again, so the stories about
//! sending take a second process, which knows the secrets from the database alone.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::PathBuf,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

use crate::support::{
    program::run,
    receiver::{Receiver, Reply},
    site::{Server, Site},
};

const OWN: &str = "an-own-Secret:of.forty+eight/bytes#0123456789abcd";
const CUSTOMERS: &str = "what(the)customer-signs=with, and*nobody*else@all";
const STANDARD: &str = "whsec_x3Bnq0hUu2dW8mJk5rTzYvE7aLsNcQ1pGf4iXo9DRtM=";

/// The length of the searched pieces, in bytes. The beginning of a freed secret may be gone, because the allocator
/// writes over it.
const PIECE: usize = 16;
const PAGE: usize = 4096;
/// The bytes with which HMAC combines a key: the result is as good as the key.
const PADS: [u8; 3] = [0, 0x36, 0x5c];

/// Every form of a signing secret in memory: its text, its key, and both as HMAC pads them.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let key = secret.strip_prefix("whsec_").map(|rest| BASE64_STANDARD.decode(rest).expect("base64"));
    let keys = [Some(secret.as_bytes().to_vec()), key].into_iter().flatten();
    keys.flat_map(|key| PADS.map(|pad| key.iter().map(|byte| byte ^ pad).collect())).collect()
}

/// The keys of the key file: their bytes, and the digits that the file holds.
fn keys(site: &Site) -> Vec<Vec<u8>> {
    let file = fs::read_to_string(key_file(site)).expect("the key file");
    let digits = file.lines().map(|line| line.split_once(' ').expect("id and key").1);
    let key = |digits: &str| {
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
        [(0..digits.len()).step_by(2).map(byte).collect(), digits.as_bytes().to_vec()]
    };
    digits.flat_map(key).collect()
}

fn key_file(site: &Site) -> PathBuf {
    site.folder().join("ngoma.key")
}

/// How many copies of these bytes, or of a piece of them, the program holds in memory.
fn copies(server: &Server, forms: &[Vec<u8>]) -> usize {
    let pieces: Vec<&[u8]> = forms.iter().flat_map(|bytes| bytes.chunks_exact(PIECE)).collect();
    let mut by_first: Vec<Vec<usize>> = vec![Vec::new(); 256];
    pieces.iter().enumerate().for_each(|(at, piece)| by_first[usize::from(piece[0])].push(at));
    let mut counts = vec![0; pieces.len()];
    for memory in written(server.running.id()) {
        for (at, byte) in memory.iter().enumerate() {
            for &piece in &by_first[usize::from(*byte)] {
                counts[piece] += usize::from(memory[at..].starts_with(pieces[piece]));
            }
        }
    }
    counts.into_iter().max().unwrap_or(0)
}

/// The memory that a process can write, without the unused beginnings of its stacks.
fn written(process: u32) -> Vec<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).expect("it runs");
    let memory = File::open(format!("/proc/{process}/mem")).expect("a child's memory can be read");
    let writable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")));
    let read = |line: &str| {
        let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).expect("an address"));
        let mut bytes = vec![0; usize::try_from(to - from).expect("it fits")];
        // A stack may go away meanwhile.
        memory.read_exact_at(&mut bytes, from).ok()?;
        let unused = bytes.chunks(PAGE).take_while(|page| page.iter().all(|byte| *byte == 0)).count();
        Some(bytes.split_off(PAGE * unused))
    };
    writable.filter_map(read).collect()
}

/// A site where a failed delivery waits for an hour.
fn site() -> Site {
    let mut site = Site::new();
    site.set("ASILICHAIN__WAITS", "[\"1h\"]");
    site
}

/// Publishes, and gives the delivery as the log names it.
fn publish(server: &Server, event: &str) -> String {
    let published = server.coop().publish(event, json!({ "key": event }));
    format!("delivery.id={}", published["deliveries"][0]["delivery_id"].as_str().expect("a delivery"))
}

#[test]
fn a_secret_is_in_the_clear_only_while_a_delivery_that_it_signs_is_under_way() {
    let site = site();
    let (receiver, witness) = (Receiver::new(), Receiver::new());
    let first = site.start();
    let webhook = first.coop().webhook(&receiver.url(), &["batch.*"], OWN);
    first.coop().patch(&format!("/webhooks/{webhook}"), json!({ "secret": STANDARD })).expect(200);
    first.coop().webhook(&witness.url(), &["dds.*"], "another");
    first.stop();

    let second = site.start();
    let held = || [OWN, STANDARD].map(|secret| copies(&second, &forms(secret)));
    assert!(copies(&second, &keys(&site)) > 0, "what it must hold is found");
    assert_eq!(held(), [0, 0], "at the start");
    receiver.always(Reply::Gate(500));
    let failed = publish(&second, "batch.exported");
    receiver.wait_for(1);
    assert!(held().iter().all(|copies| *copies > 0), "both sign, so both are there: {:?}", held());
    receiver.open_gate();
    second.running.error_with(&failed);
    // The engine begins an attempt when it has let go of those that have ended.
    publish(&second, "dds.filed");
    witness.wait_for(1);
    assert_eq!(held(), [0, 0], "while the delivery waits for its next attempt");
    receiver.always(Reply::status(200));
    let tested = second.coop().send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);
    assert_eq!((&tested["delivered"], held()), (&json!(true), [0, 0]), "after a test");
}

#[test]
fn of_a_secret_in_a_request_only_the_http_library_s_read_buffer_remains() {
    let site = site();
    let server = site.start();
    // Each client has a connection of its own, whose buffer is there as long as it is.
    let (registering, changing, customer) = (server.coop(), server.coop(), server.customer());
    let webhook = registering.webhook("http://127.0.0.1:1/", &["*"], OWN);
    changing.patch(&format!("/webhooks/{webhook}"), json!({ "secret": STANDARD })).expect(200);
    let registration = json!({ "callback_url": "http://127.0.0.1:1/", "secret": CUSTOMERS });
    customer.post("/v1/webhooks", registration).expect(201);
    assert_eq!([OWN, STANDARD, CUSTOMERS].map(|secret| copies(&server, &[secret.as_bytes().to_vec()])), [1, 1, 1]);
}

#[test]
fn keys_that_were_rotated_away_are_forgotten() {
    let site = site();
    // Many keys, as interrupted rotations leave them: the memory of a single freed key may be used again at once.
    let mut file = fs::OpenOptions::new().append(true).open(key_file(&site)).expect("the key file");
    for id in 100..200 {
        let half = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128.wrapping_mul(id);
        writeln!(file, "{id} {half:032x}{:032x}", !half).expect("a key");
    }
    let receiver = Receiver::new();
    let server = site.start();
    server.coop().webhook(&receiver.url(), &["batch.*"], OWN);
    let old = keys(&site);
    assert!(old.len() > 200 && copies(&server, &old) > 0, "they are held");
    let (code, _, err) = run(site.folder(), &["key", "rotate"]);
    assert_eq!(code, 0, "{err}");
    publish(&server, "batch.exported");
    receiver.wait_for(1);
    assert_eq!((copies(&server, &old), copies(&server, &keys(&site)) > 0), (0, true));
}

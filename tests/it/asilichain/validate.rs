//! Data that does not fit the catalogue: it is accepted, and its publisher and the operator are told where.

use ngoma::config::Validate;
use serde_json::{Value, json};

use crate::program::readme::readme;
use crate::support::{
    browser::operator,
    receiver::Receiver,
    site::Site,
    world::{COOP, World},
};

const HEADER: &str = "x-ngoma-warnings";

/// Data that differs from the catalogue in every way, and the warnings about it.
const UNFIT: &str = r#"{"token_id":4821.5,"farmer_id":7,"weight_kg":"hidden","grade":["hidden"],"dds_eligible":null,"delivered_at":"hidden","moisture_pct":{},"hidden":1,"batch_id":"B","cooperative_id":"C","collateral_value_usdc":1,"max_loan_usdc":true}"#;
const SAID: [&str; 9] = [
    "data.token_id: expected an integer, got a fraction",
    "data.farmer_id: expected a string, got a number",
    "data.weight_kg: expected a number, got a string",
    "data.grade: expected a string, got an array",
    "data.moisture_pct: expected a number, got an object",
    "data.max_loan_usdc: expected a number, got true or false",
    "data.dds_eligible: expected true or false, got null",
    "data.delivered_at: expected an RFC 3339 time, got another string",
    "data: expected also mantle_tx_hash, hedera_sequence_number",
];

fn event(kind: &str, data: &str) -> String {
    format!(r#"{{"event":"{kind}","cooperative_id":"{COOP}","data":{data}}}"#)
}

/// A list of strings, as RFC 9651 writes it.
fn list(strings: &[String]) -> String {
    strings.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ")
}

#[test]
fn data_that_does_not_fit_is_delivered_as_it_is_and_the_answer_says_where() {
    let world = World::new();
    let receiver = Receiver::new();
    let coop = world.coop();
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    let answer = coop.post_text("/events", &event("batch.delivered", UNFIT));
    answer.expect(202);
    let said: Vec<String> = SAID[..8].iter().map(|&said| said.to_owned()).chain(["and 1 more".to_owned()]).collect();
    assert_eq!(answer.header(HEADER), list(&said));
    world.settle();
    assert!(receiver.only().text().ends_with(&format!(r#""data":{UNFIT}}}"#)), "{}", receiver.only().text());

    let few =
        coop.post_text("/events", &event("credit.updated", r#"{"change":-28,"score_before":1e21,"\u0068idden":2}"#));
    let missing = "farmer_id, event_type, score_after, tier_before, tier_after, batch_id, mantle_tx_hash, updated_at";
    assert_eq!(few.header(HEADER), format!("\"data: expected also {missing}\""));
}

#[test]
fn the_events_that_readme_and_contract_show_fit() {
    let world = World::new();
    let coop = world.coop();
    let readme = readme().replace("DEMO-ASILICHAIN", COOP);
    let shown =
        readme.split("/events ").filter_map(|part| part.split_once("-d '")?.1.split_once('\'').map(|end| end.0));
    let mut shown: Vec<String> = shown.filter(|body| body.contains("\"data\"")).map(str::to_owned).collect();
    let contract: Value = serde_json::from_str(&ngoma::api::contract().expect("a contract")).expect("JSON");
    shown.push(contract["components"]["schemas"]["EventInput"]["example"].to_string());
    assert_eq!(shown.len(), 2, "{shown:?}");
    for event in shown {
        let answer = coop.post_text("/events", &event);
        answer.expect(202);
        assert_eq!(answer.header(HEADER), "", "{event}");
    }
}

#[test]
fn the_sample_of_every_event_fits_and_so_does_what_the_vendor_does_not_list() {
    let world = World::new();
    let coop = world.coop();
    let types = coop.get("/event-types").expect(200);
    let types = types.as_array().expect("a list");
    assert_eq!(types.len(), 15);
    for entry in types {
        let kind = entry["name"].as_str().expect("a name");
        let mut sample = entry["sample"].clone();
        sample["a_field_of_tomorrow"] = json!(null);
        let answer = coop.post_text("/events", &event(kind, &sample.to_string()));
        answer.expect(202);
        assert_eq!(answer.header(HEADER), "", "{kind}");
        let first = sample.as_object_mut().and_then(|fields| fields.values_mut().next()).expect("a field");
        *first = json!([]);
        let answer = coop.post_text("/events", &event(kind, &sample.to_string()));
        assert!(answer.header(HEADER).contains("expected a string, got an array"), "{kind}: {}", answer.header(HEADER));
    }
    // The vendor's reference does not list the fields of these.
    for kind in ["loan.repaid", "dds.filed"] {
        assert_eq!(coop.post_text("/events", &event(kind, "{}")).header(HEADER), "", "{kind}");
    }
}

#[test]
fn in_a_batch_each_warning_names_its_event() {
    let world = World::new();
    let coop = world.coop();
    let fits = event("dds.filed", "{}");
    let unfit = event("batch.delivered", UNFIT);
    let answer = coop.post_text("/events/batch", &format!(r#"{{"events":[{fits},{unfit},{fits},{unfit}]}}"#));
    assert_eq!(answer.expect(202)["events"].as_array().map(Vec::len), Some(4));
    let said = SAID[..8].iter().map(|said| format!("events[1].{said}")).chain(["and 10 more".to_owned()]);
    assert_eq!(answer.header(HEADER), list(&said.collect::<Vec<_>>()));
    let answer = coop.post_text("/events/batch", &format!(r#"{{"events":[{fits}]}}"#));
    assert_eq!((answer.status, answer.header(HEADER)), (202, ""));
}

#[test]
fn the_page_of_an_event_says_where_its_data_does_not_fit() {
    let mut world = World::new();
    let publish = |world: &World, data: &str| {
        let answer = world.coop().post_text("/events", &event("batch.delivered", data)).expect(202);
        format!("/ui/events/{}", answer["event_id"].as_str().expect("an id"))
    };
    let (unfit, browser) = (publish(&world, UNFIT), operator(&world));
    let page = browser.get(&unfit).text;
    for said in SAID {
        assert!(page.contains(&format!("<li><code>{said}</code></li>")), "{said}: {page}");
    }
    assert!(page.contains("hidden"), "the payload stands below");
    let sample = world.coop().get("/event-types").expect(200)[1]["sample"].to_string();
    let fits = publish(&world, &sample);
    assert!(!browser.get(&fits).text.contains("misfits"));

    world.config.asilichain.validate = Validate::Off;
    world.restart();
    let answer = world.coop().post_text("/events", &event("batch.delivered", UNFIT));
    assert_eq!((answer.status, answer.header(HEADER)), (202, ""));
    assert!(!operator(&world).get(&unfit).text.contains("misfits"));
}

#[test]
fn the_log_says_where_data_does_not_fit_without_its_values_and_not_too_often() {
    let mut site = Site::new();
    site.set("LOG__LEVEL", "info").set("LOG__FORMAT", "json");
    let lines = |site: &Site| {
        let mut server = site.start();
        for _ in 0..12 {
            server.coop().post_text("/events", &event("batch.delivered", UNFIT)).expect(202);
        }
        server.running.signal("TERM");
        assert!(server.running.wait().success());
        let log = server.running.log();
        assert!(!log.contains("hidden"), "{log}");
        let all = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("one object a line"));
        all.filter(|line| line["warnings"].is_string()).collect::<Vec<Value>>()
    };
    let told = lines(&site);
    assert_eq!(told.len(), 10, "{told:?}");
    assert_eq!((&told[0]["account"], &told[0]["event.kind"]), (&json!(COOP), &json!("batch.delivered")));
    assert_eq!((&told[0]["warnings"], &told[0]["level"]), (&json!(SAID.join("; ")), &json!("INFO")));
    assert!(told[0]["event.id"].as_str().is_some_and(|id| id.starts_with("evt_")), "{told:?}");
    site.set("ASILICHAIN__VALIDATE", "off");
    assert_eq!(lines(&site), Vec::<Value>::new());
}

//! Times of the pages without a script: in UTC, beside the words, and the filters by time.

use std::time::Duration;

use serde_json::json;

use crate::support::{browser::operator, receiver::Receiver, world::World};

#[test]
fn the_time_of_day_stands_beside_the_words_and_the_page_says_which_zone_it_is_of() {
    let world = World::with(|wish| wish.config.retention.delivered = Duration::from_secs(400 * 86_400));
    let (receiver, coop) = (Receiver::new(), world.coop());
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    let made = coop.publish("batch.exported", json!({}));
    world.settle();
    let (event, delivery) = (&made["event_id"], &made["deliveries"][0]["delivery_id"]);
    let [event, delivery] = [event, delivery].map(|id| id.as_str().expect("an id"));
    for (wait, words, clock) in
        [("1h", "1 h ago", "11:55"), ("23h", "1 d ago", "20 Apr 11:55"), ("300d", "301 d ago", "20 Apr 2026 11:55")]
    {
        world.advance(wait);
        let browser = operator(&world);
        let time = format!("<span>{words}</span> <small>{clock}</small></time>");
        for page in ["deliveries", "events", &format!("deliveries/{delivery}"), &format!("events/{event}")] {
            let page = browser.get(&format!("/ui/{page}")).text;
            assert!(page.contains(&time), "{wait}: {page}");
            assert!(page.contains("times of day are in <span class=\"zone\">UTC</span>"), "{page}");
        }
    }
}

#[test]
fn today_yesterday_and_the_last_hour_are_at_hand() {
    let world = World::new();
    let (receiver, coop) = (Receiver::new(), world.coop());
    coop.webhook(&receiver.url(), &["*"], "s3cret");
    coop.publish("batch.exported", json!({}));
    world.settle();
    world.advance("13h");
    coop.publish("dds.filed", json!({}));
    world.settle();
    world.advance("2h");
    coop.publish("loan.repaid", json!({}));
    world.settle();
    let browser = operator(&world);
    for list in ["deliveries", "events"] {
        let page = browser.get(&format!("/ui/{list}?account=COOP-MBALE-001")).text.replace("&#38;", "&");
        for (words, shown) in [
            ("Last hour", ["loan.repaid"].as_slice()),
            ("Today", &["loan.repaid", "dds.filed"]),
            ("Yesterday", &["batch.exported"]),
        ] {
            let before = page.split(&format!("\">{words}</a>")).next().expect("text");
            let href = before.rsplit("href=\"").next().expect("a link");
            assert!(href.starts_with(&format!("/ui/{list}?account=COOP-MBALE-001&from=")), "{href}");
            let chosen = browser.get(href).text;
            for kind in ["batch.exported", "dds.filed", "loan.repaid"] {
                assert_eq!(
                    chosen.contains(&format!("\">{kind}</a>")),
                    shown.contains(&kind),
                    "{list}, {words}: {kind}"
                );
            }
            if words == "Yesterday" {
                assert!(chosen.contains("value=\"2026-04-20T00:00\"") && chosen.contains("value=\"2026-04-21T00:00\""));
            }
        }
        assert_eq!(browser.get(&format!("/ui/{list}?from=soon")).status, 400);
    }
}

#[test]
fn every_time_of_a_page_has_a_place_for_the_words_and_one_for_the_time_of_day() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dashboard");
    let files = std::fs::read_dir(folder).expect("the templates").map(|file| file.expect("a file").path());
    let templates = files.filter(|file| file.extension().is_some_and(|end| end == "html"));
    let mut times = 0;
    for template in templates {
        let text = std::fs::read_to_string(&template).expect("a template");
        for time in text.split("<time").skip(1) {
            let content = time.split("</time>").next().and_then(|time| time.split_once(">"));
            let content = content.expect("an element").1;
            // The script fills both: a page without them is not refreshed any more.
            assert!(content.starts_with("<span>") && content.contains("<small>"), "{}: {time}", template.display());
            times += 1;
        }
    }
    assert!(times > 5, "{times}");
}

#[test]
fn a_time_that_ends_before_it_begins_is_refused_with_a_sentence_and_matches_nothing_in_silence_nowhere() {
    let world = World::new();
    let (receiver, coop, operator) = (Receiver::new(), world.coop(), world.operator());
    let webhook = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let (early, late) = ("2026-04-20T09:00:00Z", "2026-04-20T10:00:00Z");
    let said = "ends at 2026-04-20T09:00:00Z, before it begins at 2026-04-20T10:00:00Z";
    let query = format!("since={late}&until={early}");
    let body = json!({ "since": late, "until": early });
    for answer in [
        coop.get(&format!("/webhooks/{webhook}/deliveries?{query}")),
        coop.get(&format!("/events?{query}")),
        coop.post(&format!("/webhooks/{webhook}/recover"), body.clone()),
        operator.get(&format!("/operator/deliveries?{query}")),
        operator.post("/operator/recoveries", body.clone()),
    ] {
        assert_eq!(answer.code(400), "INVALID_REQUEST", "{}", answer.text);
        assert!(answer.text.contains(said), "{}", answer.text);
    }
    let browser = crate::support::browser::operator(&world);
    for page in ["deliveries", "events", "recover", "deliveries.csv"] {
        let page = browser.get(&format!("/ui/{page}?from={late}&to={early}"));
        assert!(page.status == 400 && page.text.contains(said), "{}", page.text);
    }
    let moment = json!({ "since": late, "until": late });
    assert_eq!(coop.post(&format!("/webhooks/{webhook}/recover"), moment).status, 202, "a moment is a time");
}

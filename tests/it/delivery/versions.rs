//! Lists of webhooks page by page, and changes that apply to one version of a webhook only.

use serde_json::{Value, json};

use crate::support::{
    client::{Answer, Client},
    operations::{JSON, text},
    receiver::Receiver,
    world::World,
};

fn ids(answer: &Answer) -> Vec<String> {
    answer.expect(200).as_array().expect("an array").iter().map(|webhook| text(&webhook["webhook_id"])).collect()
}

/// Follows `Link: <...>; rel="next"` from this path to the last page.
fn pages(client: &Client, path: &str) -> Vec<Vec<String>> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next.take() {
        let answer = client.get(&path);
        pages.push(ids(&answer));
        let link = answer.header("link");
        next = (!link.is_empty()).then(|| {
            let target = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
            target.unwrap_or_else(|| panic!("{link}")).to_owned()
        });
        assert!(pages.len() < 10, "it ends");
    }
    pages
}

#[test]
fn both_lists_of_webhooks_go_page_by_page_by_their_link_header_and_stay_arrays() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, customer) = (world.coop(), world.customer());
    let made: Vec<String> = (0..5).map(|_| coop.webhook(&receiver.url(), &["*"], "s3cret")).collect();
    let register = |_| {
        let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
        text(&made["webhook_id"])
    };
    let of_asg: Vec<String> = (0..5).map(register).collect();
    for (client, path, all) in [(&coop, "/webhooks", &made), (&customer, "/v1/webhooks", &of_asg)] {
        let whole = client.get(path);
        assert_eq!((ids(&whole), whole.header("link")), (all.clone(), ""), "without parameters it is all");
        let paged = pages(client, &format!("{path}?limit=2"));
        assert_eq!(paged, [all[..2].to_vec(), all[2..4].to_vec(), all[4..].to_vec()]);
        assert_eq!(pages(client, &format!("{path}?limit=5")).len(), 1, "a full last page has no next");
        assert_eq!(ids(&client.get(&format!("{path}?cursor={}", all[3]))), all[4..]);
        for wrong in ["limit=0", "limit=x", "cursor=nonsense", "cursor="] {
            assert_eq!(client.get(&format!("{path}?{wrong}")).status, 400, "{path} {wrong}");
        }
        // A webhook that was deleted meanwhile is still a place in the list.
        let first = client.get(&format!("{path}?limit=2"));
        client.delete(&format!("{path}/{}", all[1]));
        let link = first.header("link");
        let rest = client.get(&link[1..link.find('>').expect("an end")]);
        assert_eq!(ids(&rest), all[2..4]);
    }
    // The cursor of a foreign webhook is none.
    assert_eq!(coop.get(&format!("/webhooks?cursor={}", of_asg[0])).status, 400);
    // Deleted webhooks of the other list keep their place between its pages.
    let all = pages(&customer, "/v1/webhooks?all=true&limit=2").concat();
    assert_eq!(all, of_asg);
}

#[test]
fn a_change_or_a_deletion_of_another_version_is_refused_and_changes_nothing() {
    let (world, receiver) = (World::new(), Receiver::new());
    let (coop, customer) = (world.coop(), world.customer());
    let own = coop.webhook(&receiver.url(), &["*"], "s3cret");
    let made = customer.post("/v1/webhooks", json!({ "callback_url": receiver.url() })).expect(201);
    let paths = [format!("/webhooks/{own}"), format!("/v1/webhooks/{}", text(&made["webhook_id"]))];
    for (client, path) in [(&coop, &paths[0]), (&customer, &paths[1])] {
        let send = |method: &str, tag: &str, body: Option<Value>| {
            let body = body.map(|body| body.to_string());
            client.send(method, path, &[JSON[0], ("if-match", tag)], body.as_deref().map(str::as_bytes))
        };
        let first = client.get(path).header("etag").to_owned();
        assert!(first.len() > 10 && first.starts_with('"') && first.ends_with('"'), "{first}");
        let changed = send("PATCH", &first, Some(json!({ "name": "first" })));
        assert_eq!(changed.status, 200, "{}", changed.text);
        let second = changed.header("etag").to_owned();
        assert!(second != first && second == client.get(path).header("etag"));
        for tag in [first.as_str(), "\"nonsense\"", "nonsense", "", &format!("W/{second}")] {
            let refused = send("PATCH", tag, Some(json!({ "name": "second" })));
            assert_eq!(refused.status, 412, "{tag}: {}", refused.text);
            assert_eq!(send("DELETE", tag, None).status, 412, "{tag}");
        }
        let rotate = format!("{path}/secret/rotate");
        let refused = client.send("POST", &rotate, &[JSON[0], ("if-match", &first)], Some(b"{}"));
        assert_eq!(refused.status, 412, "{}", refused.text);
        let several = [JSON[0], ("if-match", "\"other\""), ("if-match", &second)];
        assert_eq!(client.send("PATCH", path, &several, Some(b"{}")).status, 200, "several lines are one list");
        assert_eq!(client.get(path).expect(200)["name"], "first", "nothing was changed");
        assert_eq!(send("PATCH", "*", Some(json!({ "description": "any" }))).status, 200);
        let third = client.get(path).header("etag").to_owned();
        assert_ne!(third, second);
        // A new secret is another version; a delivery is not.
        client.patch(path, json!({ "secret": "another" })).expect(200);
        let fourth = client.get(path).header("etag").to_owned();
        assert_ne!(fourth, third);
        client.post(&format!("{path}/test"), json!({})).expect(200);
        assert_eq!(client.get(path).header("etag"), fourth);
        let last = send("DELETE", &format!("\"other\", {fourth}"), None);
        assert!(matches!(last.status, 200 | 204), "{}", last.text);
    }
    assert_eq!(coop.get("/webhooks").expect(200), json!([]));
}

//! Clients that other people's generators make from the committed contract: everything in them has a type and a good
//! name, and they go through both vendors' pages against the built program. And what other people's linters say of the
//! contract.
//!
//! Every operation of the contract is generated, type-checked, judged and linted.

use serde_json::json;

use crate::{
    program::readme::{blocks, chapter},
    support::{
        desk::{Desk, committed},
        receiver::Receiver,
        site::{Server, Site},
    },
};

/// What both stories print in the end.
const DONE: &str = "both pages are gone through";

/// The programs of the guide in this language.
fn shown(language: &str) -> String {
    let mut found = blocks(&chapter("publish"), language);
    assert_eq!(found.len(), 1, "the guide shows one program in {language}");
    found.remove(0)
}

/// A server whose retries are short: three attempts of ASG, five of AsiliChain.
fn serve() -> (Site, Server) {
    let mut site = Site::new();
    site.set("ASG__WAITS", r#"["10ms"]"#).set("ASILICHAIN__WAITS", r#"["10ms","10ms","10ms","10ms"]"#);
    let server = site.start();
    (site, server)
}

#[test]
fn a_generated_python_client_goes_through_both_vendors_pages() {
    let (desk, (_site, server)) = (Desk::new(), serve());
    desk.python_client(&["story.py", "judge.py", "ngoma-client/ngoma_client"]);
    desk.must(desk.python("httpx").args(["judge.py", "openapi.json"]));
    let said = desk.must(desk.python("httpx").arg("story.py").envs(server.environment()));
    assert_eq!(said.trim(), DONE);
    server.stop();
}

#[test]
fn a_generated_typescript_client_goes_through_both_vendors_pages() {
    let (desk, (_site, server)) = (Desk::new(), serve());
    desk.typescript_client(&["story.ts"]);
    let said = desk.must(desk.node("story.js").envs(server.environment()));
    assert_eq!(said.trim(), DONE);
    server.stop();
}

/// The lines that the guide shows are the ones that run.
#[test]
fn the_guide_s_python_client_has_the_methods_of_asg_s_page() {
    let (desk, (_site, server), receiver) = (Desk::new(), serve(), Receiver::new());
    let shown = shown("python");
    let count = shown.lines().count();
    assert!(count <= 30, "thirty lines are shown, not {count}");
    desk.write("asg_gateway.py", &shown);
    desk.python_client(&["asg_gateway.py", "page.py"]);
    let (url, mut page) = (receiver.url(), desk.python("httpx"));
    let said = desk.must(page.arg("page.py").envs(server.environment()).env("CALLBACK_URL", &url));
    let id = said.lines().next().expect("the id of what was registered");
    let listed = format!("{id}\n{id} {url} True\n{id} {url} False\nwebhook not found\n");
    assert_eq!(said, listed);
    server.stop();
}

#[test]
fn the_guide_s_typescript_lists_and_tests_webhooks() {
    let (desk, (_site, server), receiver) = (Desk::new(), serve(), Receiver::new());
    desk.write("guide.ts", &shown("ts"));
    desk.typescript_client(&["guide.ts"]);
    let id = server.coop().webhook(&receiver.url(), &["*"], "a secret");
    let mut program = desk.node("guide.js");
    program.envs(server.environment()).env("TOKEN", server.environment()[1].1);
    assert_eq!(desk.must(&mut program).trim(), format!("{id} ACTIVE true null"));
    assert_eq!(receiver.wait_for(1)[0].header("ngoma-test"), "true");
    server.stop();
}

/// Not even a warning.
#[test]
fn other_people_s_linters_find_nothing_in_the_contract() {
    let desk = Desk::new();
    desk.must(desk.module("openapi_spec_validator").arg("openapi.json"));
    assert_eq!(desk.must(desk.node("lint.mjs").arg("openapi.json")).trim(), "[]");
}

/// Without this story those above would prove nothing.
#[test]
fn a_contract_that_is_less_than_it_should_be_is_found_out() {
    let mut contract = committed();
    contract["paths"]["/health/live"]["get"].as_object_mut().expect("an operation").remove("security");
    contract["paths"]["/webhooks/{webhook_id}/deliveries"]["get"]["parameters"][3]["example"] = "20".into();
    // As poem-openapi describes a reference, and an answer that may be anything.
    let status = json!({ "allOf": [{ "$ref": "#/components/schemas/HealthStatus" }, { "description": "It." }] });
    contract["components"]["schemas"]["Health"]["properties"]["status"] = status;
    contract["paths"]["/webhooks"]["get"]["responses"]["200"]["content"]["application/json"]["schema"] = json!({});
    let desk = Desk::with(&contract);

    let found = desk.must(desk.node("lint.mjs").arg("openapi.json"));
    for rule in [r#""spectral","severity":"error","rule":"oas3-valid-media-example""#, r#""rule":"security-defined""#] {
        assert!(found.contains(rule), "{rule}: {found}");
    }
    let (well, said) = desk.generate_python();
    assert!(!well && said.contains("Cannot take allOf a non-object"), "{said}");
    let (well, said) = desk.run(desk.python("httpx").args(["judge.py", "openapi.json"]));
    assert!(!well, "{said}");
    for flaw in
        ["live does not answer with Health", "listWebhooks answers with anything", "Health is not in the client"]
    {
        assert!(said.contains(flaw), "{flaw}: {said}");
    }
    desk.write("openapi.json", r#"{"openapi":"3.1.0","info":{"title":"Ngoma"}}"#);
    let (well, said) = desk.run(desk.module("openapi_spec_validator").arg("openapi.json"));
    assert!(!well && said.contains("is a required property"), "{said}");
}

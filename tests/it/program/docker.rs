//! The guide's files for Docker, as far as they can be tried without it: the settings in them.

use serde_json::json;

use crate::{
    program::readme::{blocks, chapter},
    support::{
        client::{Answer, Client},
        site::Site,
        world::{COOP, World},
    },
};

/// The name by which a container knows its machine, as ASG Gateway's page has it.
const MACHINE: &str = "host.docker.internal";

/// The settings in the guide's `compose.yaml`: names without `NGOMA_`, and values.
fn settings() -> Vec<(String, String)> {
    let file = blocks(&chapter("deploy"), "yaml").remove(0);
    let lines = file.lines().filter_map(|line| line.trim().strip_prefix("NGOMA_")?.split_once(": "));
    let unquoted = |value: &str| {
        let value = value.split(" #").next().unwrap_or_default().trim();
        let quote = value.chars().next().expect("a value");
        value.trim_matches(quote).to_owned()
    };
    lines.map(|(name, value)| (name.to_owned(), unquoted(value))).collect()
}

fn register(coop: &Client, url: &str) -> Answer {
    coop.post("/webhooks", json!({ "url": url, "events": ["*"], "cooperative_id": COOP }))
}

#[test]
fn the_settings_for_docker_let_deliveries_go_to_the_machine_itself_and_to_nothing_else_beside_it() {
    let mut site = Site::new();
    let settings = settings();
    for (name, value) in settings.iter().filter(|(name, _)| name != "SERVER__LISTEN") {
        site.set(name, value);
    }
    let server = site.start();
    register(&server.coop(), "http://172.17.0.1:9000/").expect(201);
    for beside in ["172.17.0.2", "172.16.0.1", "127.0.0.1", "192.168.1.1"] {
        let refused = register(&server.coop(), &format!("http://{beside}:9000/"));
        assert_eq!(refused.code(422), "URL_NOT_ALLOWED", "{beside}");
    }
    drop(server);

    // The name is judged by the address that Docker gives it.
    let (_, allow) = settings.iter().find(|(name, _)| name == "EGRESS__ALLOW").expect("it is set");
    let allow: Vec<String> = serde_json::from_str(allow).expect("a list");
    let url = format!("http://{MACHINE}:9000/");
    for (allow, status) in [(allow, 201), (Vec::new(), 422)] {
        let world = World::with(|wish| {
            wish.config.egress.allow = allow.iter().map(|block| block.parse().expect("a block")).collect();
            wish.look_up = std::sync::Arc::new(|name, port| {
                assert_eq!(name, MACHINE);
                Ok(vec![([172, 17, 0, 1], port).into()])
            });
        });
        assert_eq!(register(&world.coop(), &url).status, status);
        let told = register(&world.operator(), &url).text;
        assert_eq!(told.contains("172.17.0.1") && told.contains("egress.allow"), status == 422, "{told}");
    }
    let file = blocks(&chapter("deploy"), "yaml").remove(0);
    assert!(file.contains(&format!("extra_hosts: [\"{MACHINE}:host-gateway\"]")), "{file}");
}

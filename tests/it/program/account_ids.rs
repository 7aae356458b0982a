//! Which ids an account may have: a new one fits into every path and every command line.

use rusqlite::Connection;
use serde_json::json;

use crate::support::{
    browser,
    program::run,
    world::{COOP, World},
};

#[test]
fn the_id_of_a_new_account_begins_with_a_letter_or_a_digit_at_every_door() {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let (api, browser) = (world.operator(), browser::operator(&world));
    for id in [".", "..", "-x", "_x", ":x", ".x"] {
        let refused = api.post("/operator/accounts", json!({ "account_id": id, "profile": "asilichain" }));
        assert_eq!(refused.code(400), "INVALID_REQUEST", "{id}");
        assert!(refused.text.contains("begin with a letter or a digit"), "{}", refused.text);
        let form = [("id", id), ("vendor", "asilichain")];
        let page = browser.submit(&browser.get("/ui/accounts"), "/ui/accounts", &form);
        assert!(page.status == 400 && page.text.contains("begin with a letter or a digit"), "{id}: {}", page.text);
        let named = [format!("--id={id}"), format!("--account={id}")];
        for words in [
            &["account", "create", "--profile", "asg", &named[0]][..],
            &["setup", "--profile", "asg", &named[1], "--url", "https://erp.coop.example/hook"],
        ] {
            let (code, _, said) = run(world.folder(), words);
            assert!(code == 2 && said.contains("begin with a letter or a digit"), "{words:?}: {said}");
        }
    }
    for id in ["COOP-MBALE-002", "cust_01HXYZ", "7", "a.b:c_d-"] {
        api.post("/operator/accounts", json!({ "account_id": id, "profile": "asilichain" })).expect(201);
        assert_eq!(api.get(&format!("/operator/accounts/{id}")).expect(200)["account_id"], id);
    }
}

#[test]
fn an_account_with_an_id_that_no_new_one_may_have_goes_on() {
    let world = World::new();
    std::fs::write(world.folder().join("config.toml"), "").expect("a config");
    let coop = world.coop();
    Connection::open(world.database())
        .and_then(|conn| conn.execute("UPDATE account SET id = '-x' WHERE id = ?", [COOP]))
        .expect("as an older version made it");
    coop.post("/events", json!({ "event": "dds.filed", "cooperative_id": "-x", "data": {} })).expect(202);
    world.operator().patch("/operator/accounts/-x", json!({ "alert_email": "ops@coop.example" })).expect(200);
    for (words, code) in [
        (&["deliveries", "--account=-x"][..], 0),
        (&["account", "set", "--no-alert-email", "--", "-x"], 0),
        (&["token", "create", "--account=-x", "--scope", "webhooks,events"], 0),
    ] {
        let (ended, _, said) = run(world.folder(), words);
        assert_eq!(ended, code, "{words:?}: {said}");
    }
    let setup = ["setup", "--profile", "asilichain", "--account=-x", "--url", "https://erp.coop.example/hook"];
    let (code, out, said) = run(world.folder(), &setup);
    assert!(code == 1 && out.contains("The account -x is there already"), "{out}{said}");
    assert_eq!(run(world.folder(), &["account", "delete", "--yes", "--", "-x"]).0, 0);
}

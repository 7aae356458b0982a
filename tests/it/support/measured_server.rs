//! The built program at work for one cooperative, with its memory and its threads measured.

use std::{fs, net::SocketAddr, process::Command};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    database::make,
    program::{Running, ngoma, run, word_after},
};

/// A server that may deliver to loopback, whose attempts end after a second.
pub struct MeasuredServer {
    running: Running,
    pub coop: Client,
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl MeasuredServer {
    /// Starts the server, with a change to its command by the story.
    pub fn with(change: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path());
        run(folder.path(), &["account", "create", "--profile", "asilichain", "--id", "COOP-1"]);
        let create = ["token", "create", "--account", "COOP-1", "--scope", "webhooks,events", "--json"];
        let made: Value = serde_json::from_str(&run(folder.path(), &create).1).expect("JSON");
        let mut serve = ngoma(folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
        serve
            .env("NGOMA_EGRESS__ALLOW", "[\"127.0.0.0/8\"]")
            .env("NGOMA_EGRESS__ALLOW_HTTP", "true")
            .env("NGOMA_LIMITS__REQUESTS_PER_MINUTE", "0")
            .env("NGOMA_DELIVERY__TIMEOUT", "1s");
        change(&mut serve);
        let mut running = Running::start(&mut serve);
        let address = word_after(&running.line_with("address"), "address").to_owned();
        let coop = Client::at(&address, made["token"].as_str().expect("a token"));
        let address = address.trim_start_matches("http://").parse().expect("an address");
        Self { running, coop, address, _folder: folder }
    }

    /// Sends one test delivery to this URL, and gives its result.
    pub fn attempt(&self, url: &str) -> Value {
        let body = json!({ "url": url, "events": ["dds.filed"], "cooperative_id": "COOP-1" });
        let made = self.coop.post("/webhooks", body).expect(201);
        let webhook = made["webhook_id"].as_str().expect("an id");
        let seen = self.coop.send("POST", &format!("/webhooks/{webhook}/test"), &[], None).expect(200);
        self.coop.delete(&format!("/webhooks/{webhook}")).expect(204);
        seen
    }

    /// The most memory it ever held, in KiB.
    pub fn peak(&self) -> u64 {
        self.running.peak()
    }

    /// How many of its threads send.
    pub fn senders(&self) -> usize {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.running.id())).expect("it runs").flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|name| name.trim() == "sender").count()
    }
}

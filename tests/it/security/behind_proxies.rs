//! Behind nginx and Caddy, set up by the very text of the guide: Debian's programs, started by hand on 127.0.0.1.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    program::readme::{blocks, chapter},
    support::{
        client::Answer,
        curl::{Curl, free_port},
        leaks,
        pebble::Own,
        program::Running,
        receiver::{Receiver, Reply},
        site::{Server, Site},
        world::COOP,
    },
};

/// The name in the guide's text.
const NAME: &str = "ngoma.example.org";
/// Two clients. The proxy itself comes from 127.0.0.1.
const ONE: &str = "127.0.0.2";
const OTHER: &str = "127.0.0.3";

/// The configuration that the guide shows in this language, for this server.
fn shown(language: &str, server: &Server) -> String {
    let mut found = blocks(&chapter("deploy"), language);
    assert_eq!(found.len(), 1, "the guide shows one {language}");
    let text = found.remove(0);
    assert!(text.contains("127.0.0.1:8080"), "{text}");
    text.replace("127.0.0.1:8080", server.address()).replace(NAME, "localhost")
}

/// Starts a proxy, and waits until it says this.
fn started(program: &str, arguments: &[&str], folder: &Path, said: &str) -> Running {
    let there = Command::new(program).arg(if program == "nginx" { "-v" } else { "version" }).output();
    assert!(there.is_ok(), "{program} is missing: run the suite by tests/run, which installs it");
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("HOME", folder).env("XDG_DATA_HOME", folder);
    let running = Running::start(&mut command);
    running.error_with(said);
    running
}

/// A server that trusts the proxy, as the guide says, and gives each client two requests at a time.
fn server(site: &mut Site) -> Server {
    site.set("LOG__FORMAT", "json").set("SERVER__TRUSTED_PROXIES", "[\"127.0.0.1/32\"]");
    site.set("LIMITS__CONNECTIONS_PER_CLIENT", "2").start()
}

/// The client of a request in the log, by its path.
fn client_of(server: &mut Server, path: &str) -> Vec<String> {
    server.running.signal("TERM");
    assert!(server.running.wait().success());
    let log = server.running.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let requests = lines.filter(|line| line["path"] == path);
    requests.map(|line| line["client.address"].as_str().unwrap_or("-").to_owned()).collect()
}

/// A batch of exactly this many bytes, of a thousand events.
fn batch(bytes: usize) -> Vec<u8> {
    let event = json!({ "event": "batch.exported", "cooperative_id": COOP, "data": { "text": "x".repeat(4000) } });
    let mut text = json!({ "events": vec![event; 1000] }).to_string();
    assert!(text.len() < bytes, "{}", text.len());
    text.push_str(&" ".repeat(bytes - text.len()));
    text.into_bytes()
}

fn publishes(curl: &Curl, token: &str) {
    let headers = [("authorization", token), ("content-type", "application/json")];
    let taken = curl.ask(ONE, "/events/batch", &headers, Some(&batch(4 << 20))).expect(202);
    assert_eq!(taken["events"].as_array().map(Vec::len), Some(1000), "{taken}");
    let refused = curl.refused(ONE, "/events/batch", &headers, &batch((4 << 20) + 1));
    assert_eq!(refused.status, 413, "{}", refused.text);
    assert!(refused.header("x-request-id").starts_with("req_"), "the server's own answer");
}

/// Signs in to the dashboard, and sends a form there.
fn uses_the_dashboard(curl: &Curl, token: &str, webhook: &str) {
    let own = ("origin", curl.base.as_str());
    let post = |path: &str, headers: &[(&str, &str)], body: &str| curl.ask(ONE, path, headers, Some(body.as_bytes()));
    let token = format!("token={}", token.trim_start_matches("Bearer "));
    assert_eq!(post("/ui/sign-in", &[("origin", "https://evil.example")], &token).status, 403);
    let entered = post("/ui/sign-in", &[own], &token);
    let cookie = entered.header("set-cookie").to_owned();
    assert_eq!((entered.status, entered.header("location")), (303, "/ui"), "{}", entered.text);
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let cookie = ("cookie", cookie.split(';').next().expect("a pair"));
    leaks::secret(cookie.1.trim_start_matches("ngoma_session="));
    let address = format!("/ui/webhooks/{webhook}");
    let page = curl.ask(ONE, &address, &[cookie, ("accept-encoding", "identity")], None);
    let form = page.text.split_once("name=\"form\" value=\"").and_then(|(_, rest)| rest.split('"').next());
    let form = format!("form={}", form.unwrap_or_else(|| panic!("{}", page.text)));
    let pause = format!("{address}/pause");
    assert_eq!(post(&pause, &[cookie, ("origin", "https://evil.example")], &form).status, 403);
    assert_eq!(post(&pause, &[cookie, own], &form).status, 303);
    let resumed = post(&format!("{address}/resume"), &[cookie, own, ("sec-fetch-site", "same-origin")], &form);
    assert_eq!(resumed.status, 303, "{}", resumed.text);
}

/// Each client behind the proxy may have two requests at a time, and takes no other's place.
fn shares(curl: &Curl, token: &str, webhook: &str, receiver: &Receiver) {
    receiver.always(Reply::Gate(200));
    let headers = [("authorization", token), ("content-type", "application/json")];
    let test = format!("/webhooks/{webhook}/test");
    let held = [(); 2].map(|()| curl.begin(ONE, &test, &headers, Some(b"{}")));
    receiver.wait_for(2);
    let list = |from| curl.ask(from, "/webhooks", &[headers[0], ("x-forwarded-for", "203.0.113.9")], None);
    assert_eq!(list(ONE).status, 429, "two requests are under way, whatever address it claims");
    assert_eq!(list(OTHER).status, 200, "another client has a share of its own");
    receiver.open_gate();
    for asked in held {
        let answer = asked.answer().expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    receiver.always(Reply::status(200));
}

/// Everything that the guide promises, through this proxy.
fn check(server: &mut Server, curl: &Curl, plain: u16, folder: &Path, authority: &Path) {
    let (token, receiver) = (format!("Bearer {}", server.environment()[1].1), Receiver::new());
    let webhook = server.coop().webhook(&receiver.url(), &["payout.*"], "s3cret-of-the-story");
    publishes(curl, &token);
    uses_the_dashboard(curl, &token, &webhook);
    shares(curl, &token, &webhook, &receiver);
    let redirected: Answer =
        Curl::new(&format!("http://localhost:{plain}"), authority, folder).ask(OTHER, "/webhooks?limit=1", &[], None);
    assert_eq!(redirected.status, 308, "{}", redirected.text);
    let to = redirected.header("location");
    assert!(to.starts_with("https://localhost") && to.ends_with("/webhooks?limit=1"), "{to}");
    assert_eq!(client_of(server, "/events/batch"), [ONE, ONE]);
}

#[test]
fn behind_nginx_as_the_guide_shows_it_batches_forms_cookies_and_addresses_come_through() {
    let mut site = Site::new();
    let mut server = server(&mut site);
    let (folder, tls, plain) = (tempfile::tempdir().expect("a folder"), free_port(), free_port());
    let own = Own::new(folder.path());
    let (chain, key) = own.certificate("proxy");
    let text = shown("nginx", &server)
        .replace("/etc/letsencrypt/live/localhost/fullchain.pem", &chain.display().to_string())
        .replace("/etc/letsencrypt/live/localhost/privkey.pem", &key.display().to_string())
        .replace("listen 443 ssl;", &format!("listen 127.0.0.1:{tls} ssl;"))
        .replace("listen 80;", &format!("listen 127.0.0.1:{plain};"));
    // A machine of a CI may have no IPv6.
    let text: String = text.lines().filter(|line| !line.contains("[::]")).map(|line| format!("{line}\n")).collect();
    let here = folder.path().display();
    let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|of| format!("{of}_temp_path {here}/{of};"));
    let whole = format!(
        "daemon off; master_process off; pid {here}/pid; error_log stderr notice; events {{}}\n\
         http {{ access_log off; {}\n{text}}}",
        places.join(" ")
    );
    fs::write(folder.path().join("nginx.conf"), whole).expect("written");
    let (config, prefix) = (format!("{here}/nginx.conf"), here.to_string());
    let _nginx = started("nginx", &["-p", &prefix, "-c", &config, "-e", "stderr"], folder.path(), "getrlimit");
    let curl = Curl::new(&format!("https://localhost:{tls}"), &own.authority(), folder.path());
    check(&mut server, &curl, plain, folder.path(), &own.authority());
}

#[test]
fn behind_caddy_as_the_guide_shows_it_batches_forms_cookies_and_addresses_come_through() {
    let mut site = Site::new();
    let mut server = server(&mut site);
    let (folder, tls, plain) = (tempfile::tempdir().expect("a folder"), free_port(), free_port());
    let own = Own::new(folder.path());
    let (chain, key) = own.certificate("proxy");
    // A certificate of the story's, as there is no authority here that gives one.
    let certificate = format!("localhost {{\n\tbind 127.0.0.1\n\ttls {} {}", chain.display(), key.display());
    let text = shown("caddyfile", &server).replace("localhost {", &certificate);
    let options = format!("{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {plain}\n\thttps_port {tls}\n}}\n");
    fs::write(folder.path().join("Caddyfile"), options + &text).expect("written");
    let arguments = ["run", "--config", "Caddyfile", "--adapter", "caddyfile"];
    let _caddy = started("caddy", &arguments, folder.path(), "serving initial configuration");
    let curl = Curl::new(&format!("https://localhost:{tls}"), &own.authority(), folder.path());
    check(&mut server, &curl, plain, folder.path(), &own.authority());
}

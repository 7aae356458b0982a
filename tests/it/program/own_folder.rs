//! The program needs the folder of its database and no other: all else may be read-only, or full.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    program::finish,
    receiver::Receiver,
    site::{SECRET, Site, event_of, publish},
    strace::require_strace,
    world::COOP,
};

/// Runs a command with every folder but this one read-only, and tries to write elsewhere first.
const READ_ONLY: &str = r#"
    folder=$1; shift
    mount --make-rprivate / && mount --bind "$folder" "$folder" || exit 90
    for place in $(cut -d" " -f2 /proc/self/mounts); do
        [ "$place" = "$folder" ] || mount -o remount,bind,ro "$place" 2>&-
    done
    for place in / /tmp /var/tmp /dev/shm "$(dirname "$folder")"; do
        ! touch "$place/ngoma-was-here" 2>&- || { echo "$place can still be written" >&2; exit 91; }
    done
    unset TMPDIR SQLITE_TMPDIR; cd / && exec "$@"
"#;

/// A site whose files are named in full: the program works in another folder.
fn site() -> Site {
    let mut site = Site::new();
    for (name, file) in [("STORAGE__PATH", "ngoma.db"), ("STORAGE__KEY_FILE", "ngoma.key")] {
        let path = site.folder().join(file);
        site.set(name, path.to_str().expect("a path"));
    }
    site
}

/// A command of the program that can write nowhere else.
fn confined(site: &Site, arguments: &[&str]) -> Command {
    let folder = site.folder().to_str().expect("a path");
    site.under("unshare", &["-m", "sh", "-c", READ_ONLY, "sh", folder], &site.command_of(arguments))
}

/// Publishes enough at once that SQLite must be able to undo a lot.
fn publish_many(client: &Client) {
    let events: Vec<Value> = (0..300)
        .map(|number| json!({ "event": "batch.exported", "cooperative_id": COOP, "data": { "n": number, "x": "y".repeat(3000) } }))
        .collect();
    client.post("/events/batch", json!({ "events": events })).expect(202);
}

/// Everything that may need room: large batches, deliveries, lists, a search.
fn use_it(client: &Client, receiver: &Receiver) {
    for _ in 0..3 {
        client.webhook(&receiver.url(), &["*"], SECRET);
    }
    for _ in 0..2 {
        publish_many(client);
        assert_eq!(client.get("/health/ready").status, 200);
    }
    receiver.wait_for(2 * 300 * 3);
    let webhooks = client.get("/webhooks").expect(200);
    let webhook = webhooks[0]["webhook_id"].as_str().expect("an id");
    client.get(&format!("/webhooks/{webhook}/deliveries?status=DELIVERED&limit=100")).expect(200);
}

/// The commands that write.
const COMMANDS: [&[&str]; 5] = [
    &["check"],
    &["key", "rotate"],
    &["token", "create", "--scope", "operator"],
    &["account", "delete", "CUST-7", "--yes"],
    &["account", "list"],
];

#[test]
fn where_only_the_folder_of_the_database_can_be_written_all_works() {
    let (site, receiver) = (site(), Receiver::new());
    let server = site.start_by(&mut confined(&site, &["serve"]));
    use_it(&server.coop(), &receiver);
    let copy = site.folder().join("copy.db");
    for command in COMMANDS.into_iter().chain([&["backup", copy.to_str().expect("a path")][..]]) {
        let (code, out, err) = finish(&mut confined(&site, command));
        assert_eq!(code, 0, "{command:?}: {out}{err}");
    }
    server.kill();
    let server = site.start_by(&mut confined(&site, &["serve"]));
    publish_many(&server.coop());
    event_of(&publish(&server.coop(), "after").expect("an answer"));
    server.stop();
}

/// The files that a trace shows to have been opened for writing, but for those in this folder.
fn written_elsewhere(trace: &Path, folder: &Path) -> Vec<String> {
    let trace = fs::read_to_string(trace).expect("a trace");
    let opened = trace.lines().filter(|line| ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|how| line.contains(how)));
    let named = opened.filter_map(|line| line.split('"').nth(1));
    let inside = |name: &str| Path::new(name).starts_with(folder) && !name.contains("etilqs");
    named.filter(|name| !inside(name) && *name != "/dev/null").map(str::to_owned).collect()
}

#[test]
fn no_file_outside_the_folder_of_the_database_is_opened_for_writing() {
    require_strace();
    let (site, receiver) = (site(), Receiver::new());
    let trace = site.folder().join("trace");
    let options = ["-f", "-qq", "-e", "trace=open,openat,creat", "-o", trace.to_str().expect("a path")];
    let none = |what: &str| {
        assert_eq!(written_elsewhere(&trace, site.folder()), [""; 0], "{what}");
    };
    let serve = [&["-D"], &options[..]].concat();
    let server = site.start_by(&mut site.under("strace", &serve, &site.command()));
    use_it(&server.coop(), &receiver);
    server.stop();
    none("serve");
    let copy = site.folder().join("copy.db");
    for command in COMMANDS.into_iter().chain([&["backup", copy.to_str().expect("a path")][..]]) {
        let (code, out, err) = finish(&mut site.under("strace", &options, &site.command_of(command)));
        assert_eq!(code, 0, "{command:?}: {out}{err}");
        none(&format!("{command:?}"));
    }
}

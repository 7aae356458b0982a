//! The Debian package in a clean Debian, and the static programs in a root where nothing else is. They take minutes:
//! `tests/run --long` has them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    program::readme::{blocks, chapter},
    support::{
        client::Client,
        database::make_older_at,
        machine::{Machine, ran},
        other_programs::litestream,
        program::{Running, word_after},
        source::root,
    },
};

fn is_long() -> bool {
    let long = env::var_os("TEST_LONG").is_some();
    if !long {
        println!("left out: tests/run --long has it");
    }
    long
}

/// The package of the program that the stories run, with this version.
fn package(folder: &Path, version: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_ngoma"));
    ran(Command::new(program).args(["man", "target/share"]).current_dir(root()));
    // It stands where a release would be built.
    let built = tempfile::tempdir().expect("a folder");
    fs::create_dir(built.path().join("release")).expect("a folder");
    fs::copy(program, built.path().join("release/ngoma")).expect("copied");
    let file = folder.join(format!("ngoma_{version}.deb"));
    let mut cargo = Command::new("cargo");
    cargo.args(["deb", "--no-build", "--fast", "--deb-version", version, "--output"]).arg(&file);
    ran(cargo.current_dir(root()).env("CARGO_TARGET_DIR", built.path()));
    file
}

/// Changes the settings file in a package, as a new version may.
fn change_settings(package: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let change = "dpkg-deb --raw-extract \"$1\" \"$2\" && cd \"$2\" && echo '# New in this version.' >> etc/ngoma/config.toml && \
                  find etc usr -type f -exec md5sum {} + > DEBIAN/md5sums && dpkg-deb --root-owner-group --build . \"$1\"";
    ran(Command::new("sh").args(["-c", change, "sh"]).arg(package).arg(folder.path().join("parts")));
}

/// A person at the machine: the account's token, and what they do with it.
struct Person<'a> {
    machine: &'a Machine,
    token: String,
}

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

impl<'a> Person<'a> {
    /// Makes an account, opens the way to receivers on the machine itself, starts one, and registers it.
    fn at(machine: &'a Machine) -> Self {
        machine.run("ngoma account create --profile asilichain --id COOP-MBALE-001 --alert-email ops@coop.example");
        let made = machine.run("ngoma token create --account COOP-MBALE-001 --scope webhooks,events --json");
        let made: Value = serde_json::from_str(&made).expect("JSON");
        let token = made["token"].as_str().expect("a token").to_owned();
        machine
            .run("printf '\\n[egress]\\nallow_http = true\\nallow = [\"127.0.0.1/32\"]\\n' >> /etc/ngoma/config.toml");
        machine.run("systemctl restart ngoma");
        machine.run(&format!("systemd-run --quiet --unit listen ngoma listen --port 9000 --secret {SECRET}"));
        machine.journal_until("listen", "listening on");
        let person = Self { machine, token };
        person.post(
            "webhooks",
            &format!(r#"{{"url": "http://127.0.0.1:9000/", "events": ["*"], "cooperative_id": "COOP-MBALE-001", "secret": "{SECRET}"}}"#),
        );
        person
    }

    fn post(&self, path: &str, body: &str) {
        let Self { machine, token } = self;
        machine.run(&format!(
            "curl -sS --fail-with-body -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \
             -d '{body}' http://127.0.0.1:8080/{path}"
        ));
    }

    /// Publishes, and waits until the receiver shows this event with a signature that it has verified.
    fn sees(&self, batch: &str) {
        self.post("events", &format!(r#"{{"event": "batch.exported", "cooperative_id": "COOP-MBALE-001", "data": {{"batch_id": "{batch}"}}}}"#));
        self.machine.journal_until("listen", batch);
        let shown = self.machine.run("journalctl --output=cat --unit listen");
        assert!(shown.contains("  verified  ") && !shown.contains("WRONG"), "{shown}");
    }
}

/// The guide's Litestream beside the package, which copies into a folder of the machine.
fn keeps_a_warm_copy(machine: &Machine, person: &Person) {
    let unit = chapter("backup");
    let unit =
        unit.split("```").find(|block| block.contains("Description=Litestream")).expect("the guide has its unit");
    let etc = machine.root().join("etc");
    fs::write(etc.join("systemd/system/litestream.service"), unit).expect("written");
    let settings = "dbs:\n  - path: /var/lib/ngoma/ngoma.db\n    replica:\n      path: /srv/copy\n";
    fs::write(etc.join("litestream.yml"), settings).expect("written");
    let program = litestream().get_program().to_owned();
    fs::copy(program, machine.root().join("usr/local/bin/litestream")).expect("copied");
    machine.run("systemctl daemon-reload && systemctl start litestream");
    machine.journal_until("litestream", "snapshot complete");
    person.sees("BATCH-COPIED");
    machine.run("systemctl stop litestream");
    machine.run("litestream restore -config /etc/litestream.yml -integrity-check full -o /srv/restored.db /var/lib/ngoma/ngoma.db");
    machine.run("grep -q BATCH-COPIED /srv/restored.db");
    person.sees("BATCH-AFTER-THE-COPY");
}

/// The schema of the version that is upgraded.
const FORMER_SCHEMA: u32 = 22;
const UP: &str =
    "systemctl is-active ngoma && curl -sS --fail --retry 5 --retry-connrefused http://127.0.0.1:8080/health/ready";

#[test]
fn the_package_starts_in_a_clean_debian_is_upgraded_keeps_the_data_when_removed_and_nothing_when_purged() {
    if !is_long() {
        return;
    }
    let machine = Machine::boot("trixie");
    package(machine.root(), "0.1.9-1");
    change_settings(&package(machine.root(), "99-1"));

    machine.run("apt-get install --yes /ngoma_0.1.9-1.deb");
    machine.run(UP);
    assert_eq!(
        machine.run("stat -c '%U:%G %a' /var/lib/ngoma /var/lib/ngoma/ngoma.db"),
        "ngoma:ngoma 700\nngoma:ngoma 600\n"
    );
    machine.run(
        "test -e /usr/share/man/man1/ngoma-token-create.1.gz && dpkg --verify ngoma && systemctl is-enabled ngoma",
    );
    let person = Person::at(&machine);
    person.sees("BATCH-FIRST");
    keeps_a_warm_copy(&machine, &person);
    assert_eq!(machine.run("find /var/lib/ngoma -maxdepth 1 -type f ! -user ngoma"), "");

    let before = machine.run("systemctl show --property MainPID ngoma");
    // The version before had an older schema, and the person has changed the settings file, as the new version has.
    machine.run("systemctl stop ngoma");
    make_older_at(&machine.root().join("var/lib/ngoma/ngoma.db"), FORMER_SCHEMA, "");
    machine.run("chown ngoma:ngoma /var/lib/ngoma/ngoma.db && chmod 600 /var/lib/ngoma/ngoma.db");
    machine.run("apt-get install --yes --option Dpkg::Options::=--force-confold /ngoma_99-1.deb");
    machine.run(UP);
    assert_ne!(machine.run("systemctl show --property MainPID ngoma"), before, "the new program runs");
    machine.run(&format!("test -e /var/lib/ngoma/ngoma.db.before-{FORMER_SCHEMA}"));
    person.sees("BATCH-UPGRADED");
    machine.run("grep -q allow_http /etc/ngoma/config.toml && grep -q 'New in this' /etc/ngoma/config.toml.dpkg-dist");

    machine.run("apt-get remove --yes ngoma");
    assert_ne!(machine.try_run("systemctl is-active ngoma").0, 0);
    machine.run("test ! -e /usr/bin/ngoma && test -e /var/lib/ngoma/ngoma.key && test -e /etc/ngoma/config.toml");
    machine.run("apt-get install --yes /ngoma_99-1.deb");
    machine.run(UP);
    machine.run("systemctl stop listen");
    machine.run(&format!("systemd-run --quiet --unit listen ngoma listen --port 9000 --secret {SECRET}"));
    machine.journal_until("listen", "listening on");
    person.sees("BATCH-INSTALLED-AGAIN");

    machine.run("touch /etc/ngoma/secrets && install -m 600 /dev/null /etc/ngoma/smtp_url");
    machine.run("systemctl stop listen && apt-get purge --yes ngoma");
    let left =
        machine.run("find /etc /usr /var/lib -iname '*ngoma*' ! -path '/var/lib/dpkg/*' ! -path '/var/lib/apt/*'");
    assert_eq!(left, "");
}

#[test]
fn the_package_installs_and_delivers_in_the_oldest_debian_that_the_guide_names() {
    const OLDEST: u32 = 12;
    if !is_long() {
        return;
    }
    // A package needs the C library of the Debian that it was made on, or a newer one.
    let here = fs::read_to_string("/etc/debian_version").unwrap_or_default();
    if here.split('.').next().is_none_or(|release| release.trim().parse().map_or(true, |release: u32| release > OLDEST))
    {
        println!("left out: a package that is made on Debian {OLDEST} is needed for it");
        return;
    }
    let machine = Machine::boot("bookworm");
    package(machine.root(), "99-1");
    machine.run("apt-get install --yes /ngoma_99-1.deb");
    machine.run(UP);
    Person::at(&machine).sees("BATCH-FIRST");
}

/// The static program for a machine, made by the guide's command for Debian's Rust.
fn static_program(target: &str) -> PathBuf {
    let tools = env::var("TEST_STATIC").expect("run the suite by tests/run --long, which installs what builds it");
    let commands = blocks(&chapter("deploy"), "sh");
    let command = commands.iter().find(|block| block.contains("build-std")).expect("the guide has it");
    let command = command.replace("x86_64-unknown-linux-musl", target);
    let built = root().join("target/static");
    let path = format!("{tools}:/usr/bin:{}", env::var("PATH").expect("a path"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(root()).env("PATH", path).env("CARGO_TARGET_DIR", &built);
    shell.env("CARGO_ZIGBUILD_PYTHON_PATH", format!("{tools}/python"));
    ran(shell.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN"));
    let program = built.join(target).join("release/ngoma");
    let size = fs::metadata(&program).expect("it is built").len();
    println!("{target}: {size} bytes");
    assert!(size <= 25_000_000, "{size}");
    program
}

/// Serves, answers, and delivers an event to its own receiver, which finds the signature right.
fn serves_and_delivers(start: impl Fn(&[&str]) -> Command) {
    let mut server = Running::start(&mut start(&["serve", "--dev", "--listen", "127.0.0.1:0"]));
    let base = server.address();
    let account = server.line_with("account DEMO-ASILICHAIN");
    let client = Client::at(&base, word_after(&account, "token"));
    client.get("/health/ready").expect(200);
    let mut receiver = Running::start(&mut start(&["listen", "--port", "0", "--secret", SECRET]));
    let line = receiver.line_with("listening on");
    let of = |mut body: Value| {
        body["cooperative_id"] = json!("DEMO-ASILICHAIN");
        body
    };
    client
        .post("/webhooks", of(json!({ "url": word_after(&line, "on"), "events": ["*"], "secret": SECRET })))
        .expect(201);
    client.post("/events", of(json!({ "event": "batch.exported", "data": { "batch_id": "BATCH-1" } }))).expect(202);
    receiver.line_with("  verified  ");
    receiver.line_with("BATCH-1");
    receiver.line_with("-> 200");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// The names below a folder.
fn names(folder: &Path) -> Vec<String> {
    let all = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<_> = all.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn the_static_program_serves_and_delivers_where_there_is_no_other_file() {
    if !is_long() {
        return;
    }
    let program = static_program("x86_64-unknown-linux-musl");
    let empty = tempfile::tempdir().expect("a folder");
    fs::copy(program, empty.path().join("ngoma")).expect("copied");
    serves_and_delivers(|arguments| {
        let mut chroot = Command::new("/usr/sbin/chroot");
        chroot.arg(empty.path()).arg("/ngoma").args(arguments).env_clear().env("NGOMA_BACKUP__EVERY", "0s");
        chroot
    });
    // The log of the database goes with its last connection, or stays for the next start.
    let mut left = names(empty.path());
    left.retain(|name| !name.starts_with("ngoma.db-"));
    assert_eq!(left, ["ngoma", "ngoma.db", "ngoma.key"]);
}

#[test]
fn the_program_for_arm_serves_and_delivers_under_qemu() {
    if !is_long() {
        return;
    }
    let program = static_program("aarch64-unknown-linux-musl");
    let folder = tempfile::tempdir().expect("a folder");
    serves_and_delivers(|arguments| {
        let mut qemu = Command::new("qemu-aarch64-static");
        qemu.arg(&program).args(arguments).current_dir(folder.path());
        qemu
    });
}

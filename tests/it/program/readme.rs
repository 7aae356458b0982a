//! README and guide, taken at their word: every command in them is run, in its order, in a fresh folder.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use ngoma::{domain::alert::Kind, guide::CHAPTERS};

use crate::support::program::{Running, finish, ngoma, word_after};

/// The README.
pub fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README")
}

/// A chapter of the guide, by its name.
pub fn chapter(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/guide/{name}.md"));
    fs::read_to_string(file).expect("a chapter")
}

/// All chapters, in their order.
pub fn chapters() -> Vec<String> {
    let names = CHAPTERS.iter().filter_map(|chapter| chapter.path.strip_prefix("/guide/"));
    names.map(chapter).collect()
}

/// The blocks of this language in a text.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let found = text.split(&opening).skip(1).map(|rest| rest.split_once("```").expect("it is closed").0.to_owned());
    found.collect()
}

/// The commands of a block: one ends with a line, unless a quote is open or a backslash goes before.
fn commands(block: &str) -> Vec<String> {
    let (mut all, mut one) = (Vec::new(), String::new());
    for line in block.lines() {
        let even = |text: &str| text.matches('\'').count().is_multiple_of(2);
        let code =
            line.split_once(" # ").map_or(line, |(code, _)| if even(&(one.clone() + code)) { code } else { line });
        one.push_str(code);
        one.push('\n');
        let open = !even(&one) || one.trim_end().ends_with('\\');
        if !open {
            all.push(std::mem::take(&mut one).trim().to_owned());
        }
    }
    assert!(one.is_empty(), "a quote has no end: {one}");
    all.retain(|command| !command.is_empty() && !command.starts_with('#'));
    all
}

/// A reader of README and guide, who runs their commands.
struct Reader {
    folder: tempfile::TempDir,
    /// The programs in other terminals.
    server: Option<Running>,
    receiver: Option<Running>,
    /// Variables set by `NAME=value`.
    variables: BTreeMap<String, String>,
    /// Texts of the guide, and their replacements here.
    places: BTreeMap<&'static str, String>,
    vendors: std::array::IntoIter<&'static str, 2>,
    done: Vec<String>,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let places = BTreeMap::from([
            ("/var/lib/ngoma", folder.path().join("lib").display().to_string()),
            ("/mnt/backups", folder.path().display().to_string()),
            ("cargo run --release --", "ngoma".to_owned()),
        ]);
        fs::create_dir(folder.path().join("lib")).expect("a folder");
        let (variables, vendors, done) = (BTreeMap::new(), ["asilichain", "asg"].into_iter(), Vec::new());
        Self { folder, server: None, receiver: None, variables, places, vendors, done }
    }

    fn follow(&mut self, command: &str) {
        let written = self.places.iter().fold(command.to_owned(), |text, (there, here)| text.replace(there, here));
        let words: Vec<&str> = written.split_whitespace().collect();
        let is = |word: &str| words.first() == Some(&word);
        // What needs a machine of its own, or is this very suite.
        if is("sudo") || words.contains(&"cargo") || is("tests/run") || is(".ci/run") {
            return;
        }
        if words.contains(&"--follow") {
            // It goes on until it is stopped.
            drop(Running::start(&mut ngoma(self.folder.path(), &["deliveries", "--follow"])));
            self.done.push(command.to_owned());
            return;
        }
        match written.split_once("ngoma ").map(|(before, rest)| (before, rest.split_whitespace().next())) {
            _ if is("TOKEN=ngm_...") => self.take_token(),
            Some((before, Some("serve"))) => self.serve(before, &written),
            Some((_, Some("listen"))) => self.listen(&words),
            // It counts only, and fails.
            Some((_, Some("account"))) if is("ngoma") && words[2] == "delete" && !words.contains(&"--yes") => {
                self.run(&format!("! {written}"));
            }
            // The server is stopped before.
            _ if written.starts_with("ngoma restore") => {
                self.server = None;
                self.run(&written);
            }
            _ => self.run(&written),
        }
        self.done.push(command.to_owned());
    }

    /// Copies a token that the server printed, in the order in which the README needs them.
    fn take_token(&mut self) {
        let vendor = self.vendors.next().expect("no more than two are needed");
        let server = self.server.as_ref().expect("it is served");
        let is_of = |line: &&String| line.trim().starts_with(vendor) && line.contains("token ngm_");
        let line = server.seen.iter().find(is_of).expect("it was printed");
        let token = word_after(line, "token").to_owned();
        self.variables.insert("TOKEN".to_owned(), token);
    }

    /// Starts a server, on a free port, in the place of the last one.
    fn serve(&mut self, before: &str, command: &str) {
        self.server = None;
        let mut serve = ngoma(self.folder.path(), &["serve"]);
        serve.args(command.contains("--dev").then_some("--dev"));
        for setting in before.split_whitespace() {
            let (name, value) = setting.split_once('=').expect("a setting");
            serve.env(name, value);
        }
        serve.args(["--listen", "127.0.0.1:0"]);
        let mut server = Running::start(&mut serve);
        let address = word_after(&server.line_with("address"), "address").trim_start_matches("http://").to_owned();
        server.line_with("alerts");
        if command.contains("--dev") {
            ["asg", "asilichain", "operator"].iter().for_each(|name| drop(server.line_with(&format!("  {name}"))));
        }
        self.places.insert("127.0.0.1:8080", address);
        self.server = Some(server);
    }

    fn listen(&mut self, words: &[&str]) {
        let arguments: Vec<&str> = words[1..].iter().map(|word| if *word == "9000" { "0" } else { word }).collect();
        let mut receiver = Running::start(&mut ngoma(self.folder.path(), &arguments));
        let url = word_after(&receiver.line_with("listening on"), "on").to_owned();
        self.places.insert("http://127.0.0.1:9000", url);
        self.receiver = Some(receiver);
    }

    /// Runs anything else by bash; it must end well, and the server must not refuse it.
    fn run(&mut self, command: &str) {
        let mut text = command.to_owned();
        if text.contains("tok_01...") {
            let (_, listed, _) = finish(&mut ngoma(self.folder.path(), &["token", "list", "--json"]));
            let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
            let last = listed.as_array().and_then(|all| all.last()).expect("a token");
            text = text.replace("tok_01...", last["id"].as_str().expect("an id"));
        }
        let program = ngoma(self.folder.path(), &[]);
        let mut bash = Command::new("bash");
        let define = "ngoma() { \"$PROGRAM\" \"$@\"; }";
        bash.args(["-euo", "pipefail", "-c", &format!("{define}\n{text}")]).env("PROGRAM", program.get_program());
        bash.current_dir(self.folder.path()).envs(&self.variables).env("NO_PROXY", "127.0.0.1");
        // A token may be among what it prints: not kept for the check of leaks.
        let output = bash.output().expect("it runs");
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        // So every refusal begins; an attempt in the middle of an answer has an error too.
        let refused = said[0].lines().any(|line| line.starts_with("{\"error\":"));
        assert!(output.status.success() && !refused, "{text}\n{said:?}");
    }
}

#[test]
fn readme_and_guide_followed_from_a_fresh_folder_show_what_they_say() {
    let mut reader = Reader::new();
    let texts = [vec![readme()], chapters()].concat();
    for command in texts.iter().flat_map(|text| blocks(text, "sh")).flat_map(|block| commands(&block)) {
        let begun = Instant::now();
        reader.follow(&command);
        // After each publish, the output that the README shows.
        let path = [("/events", "POST /asilichain"), ("/v1/events", "POST /asg")];
        let publishes = |path: &str| command.contains(&format!("8080{path} ")) && command.contains("-X POST");
        if let Some((_, shown)) = path.into_iter().find(|(path, _)| publishes(path)) {
            let receiver = reader.receiver.as_mut().expect("it listens");
            assert!(receiver.line_with(shown).contains("attempt 1"));
            for signature in ["-Signature: sha256=", "webhook-signature: v1,"] {
                let line = receiver.line_with(signature);
                assert!(line.trim_start().starts_with("verified "), "{line}");
            }
            let fails = shown == "POST /asg";
            assert_eq!(
                receiver.line_with("  -> ").trim(),
                if fails { "-> 500 Internal Server Error" } else { "-> 200 OK" }
            );
            if fails {
                // The retry that the README promises.
                assert!(receiver.line_with(shown).contains("attempt 2"));
                assert_eq!(receiver.line_with("  -> ").trim(), "-> 200 OK");
                assert!(begun.elapsed() < Duration::from_secs(10), "a reader waits {:?} for it", begun.elapsed());
            }
        }
    }
    for part in [
        "serve --dev",
        "listen",
        "/events",
        "/v1/tasks/",
        "account create",
        "token revoke",
        "WEBHOOK_RETRY_MAX",
        "--yes",
        "backup",
    ] {
        assert!(reader.done.iter().any(|done| done.contains(part)), "{part} is in neither README nor guide any more");
    }
}

#[test]
fn the_table_of_alerts_tells_of_every_kind() {
    let alerts = chapter("alerts");
    let table =
        alerts.split_once("| alert | what it means |").expect("it is there").1.split_once("\n\n").expect("it ends").0;
    let kinds: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(kinds, Kind::ALL.map(Kind::name));
}

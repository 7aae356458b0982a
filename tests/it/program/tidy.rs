//! The house rules, kept by reading the source: the floors and absences of lib.rs, the limits, the tidy top level.

use std::fs;

use crate::support::source::{IGNORED, Source, files, functions, name_of, none, root, sayings, sources, strip};

const MAX_FILE: usize = 450;
const MAX_FUNCTION: usize = 70;

/// Each module of the library and its floor: it may use the floors below its own.
const FLOORS: [(&str, u32); 18] = [
    ("build", 11),
    ("main", 11),
    ("cli", 10),
    ("server", 9),
    ("api", 8),
    ("dashboard", 8),
    ("http", 7),
    ("app", 6),
    ("tls", 6),
    ("engine", 5),
    ("store", 4),
    ("metrics", 3),
    ("clock", 2),
    ("domain", 1),
    ("guide", 1),
    ("error", 0),
    ("config", 0),
    ("keyed_semaphore", 0),
];

const TOP_LEVEL: [&str; 9] =
    ["Cargo.toml", "Cargo.lock", "src", "openapi", "tests", "config.toml", "README.md", "LICENSE", "target"];

/// Words, and the only places (files or folders) whose code may say them; then what to do about it.
const WORDS: &[(&[&str], &[&str], &str)] = &[
    (
        &["Instant::now", "SystemTime::now", "now_utc", "now_local"],
        &["src/clock.rs"],
        "ask the Clock that is handed in",
    ),
    (&["rusqlite", "r2d2"], &["src/store/"], "give the store a verb for it"),
    (&["ureq"], &["src/engine/", "src/tls/"], "leave sending to the engine"),
    (&["pulldown_cmark"], &["src/guide/"], "leave Markdown to the guide"),
    (&["prometheus"], &["src/metrics"], "leave what is shown of metrics to metrics.rs and its folder"),
    (
        &["poem", "hyper"],
        &["src/http/", "src/api/", "src/dashboard/", "src/server", "src/cli/"],
        "keep HTTP in http and the doors",
    ),
    (&["poem_openapi"], &["src/api/"], "describe routes in api"),
    (&["askama"], &["src/dashboard/", "src/guide/"], "make pages in the dashboard or the guide"),
    (&[".unwrap()", ".expect(\"", "todo!", "dbg!", "unimplemented!"], &[], "return an error"),
    (
        &["Actor::Engine", "Actor::CommandLine"],
        &["src/store/", "src/engine/", "src/app/health.rs", "src/app/access.rs", "src/server.rs", "src/cli/"],
        "a door writes by the grant of its request",
    ),
    (&["of_command_line"], &["src/app/access.rs", "src/cli/"], "a door acts by the right of its caller"),
    (
        &["db.read(", ".read(|view|", ".read(move |view|"],
        &["src/store/", "src/engine/", "src/cli/", "src/app/overview.rs"],
        "the app reads by the right of a request: App::read",
    ),
    (&["Caller::new("], &["src/store/"], "only the store makes a caller, from the row of a token"),
    (
        &["Access::new("],
        &["src/api/openapi/auth.rs", "src/dashboard/visit.rs"],
        "a handler takes its access as an argument",
    ),
    (&["#[allow", "#![allow"], &[], "use #[expect(.., reason = \"..\")]"),
];

/// Words that a folder does not say.
const ABSENCES: &[(&str, &[&str], &str)] = &[
    ("src/store/", &["StatusCode", "http::"], "the store knows no HTTP"),
    ("src/domain/", &["std::fs", "std::net", "std::thread", "tokio"], "the domain is pure"),
    ("src/engine/", &["serde_json", "serde::"], "the engine never parses: bodies are finished by concatenation"),
];

/// A vendor's word, and where code may say it.
const VENDORS: [(&str, [&str; 3]); 2] = [
    ("asg", ["src/api/asg/", "src/api/mod.rs", "src/config"]),
    ("asilichain", ["src/api/asilichain/", "src/api/mod.rs", "src/config"]),
];

/// The modules of the library that a line of bones begins to name after `crate::` or `ngoma::`, groups included.
fn uses(source: &Source) -> Vec<(usize, String)> {
    let text = source.bones.join("\n");
    let mut found = Vec::new();
    for root in ["crate::", "ngoma::"] {
        for (at, _) in text.match_indices(root) {
            let line = text[..at].matches('\n').count() + 1;
            let rest = &text[at + root.len()..];
            let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            if !rest.starts_with('{') {
                found.push((line, word(rest)));
                continue;
            }
            let mut depth = 0;
            for (place, c) in rest.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                if depth == 1 && matches!(c, '{' | ',') {
                    found.push((line, word(rest[place + 1..].trim_start())));
                }
            }
        }
    }
    found
}

#[test]
fn a_floor_uses_only_floors_below_it() {
    let floor = |module: &str| FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor);
    let mut violations = Vec::new();
    for source in sources("src").iter().filter(|source| source.name != "src/lib.rs") {
        let module = source.name.split(['/', '.']).nth(1).unwrap_or_default();
        let Some(own) = floor(module) else {
            violations.push(format!("{}:1: is on no floor: give it one in lib.rs and in tidy.rs", source.name));
            continue;
        };
        for (line, used) in uses(source) {
            if used != module && floor(&used).is_some_and(|used| used >= own) {
                violations.push(format!(
                    "{}:{line}: {module} uses {used}, which is not below it: hand in what is needed from above",
                    source.name
                ));
            }
        }
    }
    none(&violations);
}

#[test]
fn a_door_comes_to_the_store_and_the_engine_only_through_the_app() {
    let mut violations = Vec::new();
    for source in ["src/http", "src/api", "src/dashboard"].iter().flat_map(|door| sources(door)) {
        for (line, used) in uses(&source).into_iter().filter(|(_, used)| matches!(used.as_str(), "store" | "engine")) {
            violations.push(format!("{}:{line}: uses {used}: call a method of the app", source.name));
        }
    }
    none(&violations);
}

#[test]
fn every_technology_keeps_to_its_folder() {
    let sources = sources("src");
    let mut violations = Vec::new();
    for source in &sources {
        for (words, except, remedy) in WORDS {
            violations.extend(sayings(&source.bones, &source.name, words, except, remedy));
        }
        for (folder, words, remedy) in ABSENCES {
            if source.name.starts_with(folder) {
                violations.extend(sayings(&source.bones, &source.name, words, &[], remedy));
            }
        }
    }
    none(&violations);
}

#[test]
fn only_settle_give_back_and_interrupt_leave_the_claimed_state() {
    let sources = sources("src");
    let remedy = "a delivery changes only by the verbs of queue.rs and cascade.rs; new_delivery, outages, missed and turns mark it";
    let verbs =
        ["queue", "cascade", "new_delivery", "outages", "missed", "turns"].map(|name| format!("src/store/{name}.rs"));
    let verbs = verbs.each_ref().map(String::as_str);
    let changes = |source: &Source| {
        let any = sayings(&source.code, &source.name, &["UPDATE delivery"], &verbs, remedy);
        any.into_iter().chain(sayings(&source.code, &source.name, &["UPDATE delivery SET state"], &verbs[..2], remedy))
    };
    none(&sources.iter().flat_map(changes).collect::<Vec<_>>());
    let queue = sources.iter().find(|source| source.name == "src/store/queue.rs").expect("queue.rs");
    let guarded = queue.code.iter().filter(|line| line.contains("state = 'claimed' AND attempts = "));
    assert_eq!(guarded.count(), 1, "src/store/queue.rs: one UPDATE, of `leave`, ends claims, and it names its attempt");
    let callers = queue.bones.iter().filter(|line| line.contains("leave(") && !line.contains("fn leave"));
    assert_eq!(callers.count(), 3, "src/store/queue.rs: `leave` is called by settle, give_back and interrupt");
}

#[test]
fn a_vendors_name_stays_in_its_folder() {
    let mut violations = Vec::new();
    for source in &sources("src") {
        for (vendor, places) in VENDORS {
            for (number, line) in source.code.iter().enumerate() {
                // Examples of command lines name an account of somebody.
                let example =
                    source.name.starts_with("src/cli/") && ["ngoma ", "command("].iter().any(|of| line.contains(of));
                if line.to_lowercase().contains(vendor)
                    && !example
                    && !places.iter().any(|place| source.name.starts_with(place))
                {
                    violations.push(format!(
                        "{}:{}: says '{vendor}': what a vendor has of its own belongs in its Profile",
                        source.name,
                        number + 1
                    ));
                }
            }
        }
    }
    none(&violations);
}

#[test]
fn no_file_and_no_function_outgrows_its_limit() {
    let mut violations = Vec::new();
    for source in sources("src").iter().chain(&sources("tests")) {
        if source.lines.len() > MAX_FILE {
            let length = source.lines.len();
            violations.push(format!("{}:{length}: more than {MAX_FILE} lines: split it by duty", source.name));
        }
        for (line, length) in functions(source).into_iter().filter(|(_, length)| *length > MAX_FUNCTION) {
            violations
                .push(format!("{}:{line}: a function of {length} lines: {MAX_FUNCTION} fit a screen", source.name));
        }
    }
    none(&violations);
}

#[test]
fn stories_never_sleep_and_are_never_ignored() {
    let needles = [["thread::", "sleep"], ["time::", "sleep"], ["#[", "ignore"], ["#[", "allow"], ["#![", "allow"]];
    let needles = needles.map(|parts| parts.concat());
    let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
    let mut violations = Vec::new();
    for source in &sources("tests/it") {
        // Without strings: this file names them in some.
        violations.extend(sayings(
            &source.bones,
            &source.name,
            &needles,
            &[],
            "wait for what is to happen, or say why",
        ));
    }
    none(&violations);
}

/// The paths of the stories in a file, as `cargo test -- --list` prints them.
fn stories(source: &Source) -> Vec<String> {
    let file = source.name.trim_start_matches("tests/it/").trim_end_matches(".rs").replace('/', "::");
    let named = source.code.windows(2).filter(|lines| lines[0].trim() == "#[test]");
    let name = |lines: &[String]| {
        let (_, rest) = lines[1].split_once("fn ")?;
        Some(format!("{file}::{}", rest.split('(').next()?))
    };
    named.filter_map(name).collect()
}

#[test]
fn the_list_of_a_quick_run_leaves_out_only_stories_that_exist() {
    let script = fs::read_to_string(root().join("tests/run")).expect("the script");
    let list = script.split_once("\nleft_out=(\n").and_then(|(_, rest)| rest.split_once("\n)\n"));
    let (list, _) = list.expect("the list of stories that a quick run leaves out");
    let stories: Vec<String> = sources("tests/it").iter().flat_map(stories).collect();
    assert!(stories.contains(&"program::tidy::no_file_and_no_function_outgrows_its_limit".to_owned()));
    let names = list.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let exists = |name: &&str| {
        let is = |story: &String| if name.ends_with("::") { story.starts_with(*name) } else { story == name };
        stories.iter().any(is)
    };
    let missing = names.filter(|name| !exists(name));
    none(&missing.map(|name| format!("tests/run:1: '{name}' is no file of stories and no story")).collect::<Vec<_>>());
}

#[test]
fn the_top_level_holds_only_files_that_a_newcomer_expects() {
    let mut violations = Vec::new();
    for entry in fs::read_dir(root()).expect("the project").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let own = IGNORED.iter().any(|own| name.starts_with(own));
        if !name.starts_with('.') && !own && !TOP_LEVEL.contains(&name.as_str()) {
            violations.push(format!("{name}:1: is not of the top level: find it a folder"));
        }
    }
    none(&violations);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let needles = [["/wor", "k/"], ["/tm", "p/"], ["/hom", "e/"], ["/roo", "t/"]].map(|parts| parts.concat());
    let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
    let mut violations = Vec::new();
    for path in files(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        violations.extend(sayings(
            &lines,
            &name_of(&path),
            &needles,
            &[],
            "use a path of the project, or a temporary one",
        ));
    }
    none(&violations);
}

#[test]
fn the_reader_of_the_source_measures_functions() {
    let bones = "trait A {\n    fn a(x: [u8; 2]);\n    fn b() -> [u8; 2] {\n        {}\n    }\n}\nfn c() {}";
    let bones: Vec<String> = bones.lines().map(str::to_owned).collect();
    let source = Source { name: String::new(), lines: Vec::new(), code: Vec::new(), bones };
    assert_eq!(functions(&source), [(3, 3), (7, 1)]);
}

#[test]
fn the_reader_of_the_source_separates_code_from_comments_and_strings() {
    let text =
        "let a = \"x // y\"; // asg\nlet b = r#\"fn {\"#; let c = '\"'; let d = 'e';\nlet e = \"\\\"}\"; /// z\n";
    let (code, bones) = strip(text);
    assert_eq!(code, "let a = \"x // y\"; \nlet b = r#\"fn {\"#; let c = '\"'; let d = 'e';\nlet e = \"\\\"}\"; \n");
    assert_eq!(bones, "let a = \"\"; \nlet b = \"\"; let c = \"\"; let d = 'e';\nlet e = \"\"; \n");
}

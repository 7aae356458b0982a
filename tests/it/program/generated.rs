//! Clients that other people's generators make from the committed contract: everything in them has a type and a good
//! name, and they go through both vendors' pages against the built program. And what other people's linters say of the
//! contract.
//!
//! Every operation of the contract is generated, type-checked, judged and linted.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    program::readme::{blocks, chapter},
    support::{
        leaks,
        other_programs::{modules, python_with},
        receiver::Receiver,
        site::{Server, Site},
    },
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What both stories print in the end.
const DONE: &str = "both pages are gone through";

/// A folder with a contract and the programs of tests/clients, in which clients are generated.
struct Desk(TempDir);

impl Desk {
    /// With the committed contract.
    fn new() -> Self {
        Self::with(&committed())
    }

    fn with(contract: &Value) -> Self {
        let desk = Self(tempfile::tempdir().expect("a folder"));
        for entry in fs::read_dir(Path::new(ROOT).join("tests/clients")).expect("tests/clients").flatten() {
            fs::copy(entry.path(), desk.path().join(entry.file_name())).expect("copied");
        }
        desk.write("openapi.json", &contract.to_string());
        desk.write("package.json", r#"{"type":"module"}"#);
        symlink(modules(), desk.path().join("node_modules")).expect("linked");
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// Runs a program in the folder. Returns whether it ended well, and its output.
    fn run(&self, command: &mut Command) -> (bool, String) {
        let output = command.current_dir(self.path()).stdin(Stdio::null()).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        leaks::shown(&said);
        (output.status.success(), said)
    }

    #[track_caller]
    fn must(&self, command: &mut Command) -> String {
        let (well, said) = self.run(command);
        assert!(well, "{command:?}: {said}");
        said
    }

    /// A Python with this package and the generated client, about to run a program.
    fn python(&self, package: &str) -> Command {
        let mut command = python_with(package);
        // The generator formats by a program of its own that stands beside Python.
        let beside = Path::new(command.get_program()).parent().map(Path::to_owned).unwrap_or_default();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([beside].into_iter().chain(env::split_paths(&path)));
        command.env("PATH", path.expect("a path")).env("PYTHONPATH", self.path().join("ngoma-client"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "127.0.0.1");
        command
    }

    fn module(&self, package: &str) -> Command {
        let mut command = self.python(package);
        command.args(["-m", package]);
        command
    }

    fn node(&self, program: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(program);
        command
    }

    /// Makes the Python client, as the guide says. Whether all of the contract went into it, and what the generator
    /// says.
    fn generate_python(&self) -> (bool, String) {
        let settings = ["--config", "generator.yaml", "--fail-on-warning"];
        self.run(self.module("openapi_python_client").args(["generate", "--path", "openapi.json"]).args(settings))
    }

    #[track_caller]
    fn python_client(&self, programs: &[&str]) {
        let (well, said) = self.generate_python();
        assert!(well, "{said}");
        self.must(self.module("mypy").args(["--config-file", "mypy.ini"]).args(programs));
    }

    /// Makes the types for TypeScript, and compiles these programs with them.
    #[track_caller]
    fn typescript_client(&self, programs: &[&str]) {
        let generator = "node_modules/openapi-typescript/bin/cli.js";
        self.must(self.node(generator).args(["openapi.json", "--output", "ngoma.ts"]));
        let mut options: Value = serde_json::from_str(&self.read("tsconfig.json")).expect("JSON");
        options["files"] = json!(programs);
        self.write("tsconfig.json", &options.to_string());
        self.must(self.node("node_modules/typescript/bin/tsc").args(["--project", "."]));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

fn committed() -> Value {
    let text = fs::read_to_string(Path::new(ROOT).join("openapi/openapi.json")).expect("openapi/openapi.json");
    serde_json::from_str(&text).expect("JSON")
}

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

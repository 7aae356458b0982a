//! Clients that further generators make from the committed contract: each is compiled, and runs the same errand against
//! the built program. Postman's converter makes a collection, whose first request works.
//!
//! The errand: register a webhook, publish a typed event to it, wait until it is delivered, read the body of another
//! delivery as its own type, and be refused with typed errors, at both vendors' routes.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    desk::Desk,
    receiver::Receiver,
    site::{Server, Site},
};

/// The sentence of the refusal with which the errand ends.
const DONE: &str = "webhook not found";

/// What openapi-generator leaves out: nobody reads it here.
const LESS: &str = "--global-property=modelDocs=false,apiDocs=false,modelTests=false,apiTests=false";

/// A server, and the body of a delivery that it made. A field that the vendor does not list comes with it.
fn served() -> (Site, Server, Receiver, String) {
    let site = Site::new();
    let (server, receiver) = (site.start(), Receiver::new());
    let coop = server.coop();
    let id = coop.webhook(&receiver.url(), &["batch.*"], "a secret");
    coop.publish("batch.exported", json!({ "batch_id": "BATCH-7", "token_id": 7, "colour": "red" }));
    let body = receiver.wait_for(1)[0].text().to_owned();
    coop.delete(&format!("/webhooks/{id}"));
    (site, server, receiver, body)
}

/// Makes a client by openapi-generator, which needs Java.
fn generate(desk: &Desk, language: &str, folder: &str, settings: &[&str]) {
    let python = desk.python("openapi_generator_cli");
    let beside = Path::new(python.get_program()).with_file_name("openapi-generator-cli");
    let mut generator = std::process::Command::new(beside);
    // The compiler that starts quickest: the generator runs for seconds.
    generator.env("JAVA_OPTS", "-XX:TieredStopAtLevel=1");
    desk.must(generator.args(["generate", "-i", "openapi.json", "-g", language, "-o", folder, LESS]).args(settings));
}

/// Compiles a program in TypeScript, strictly. `indexed`: an element of a list may be missing, which not every generator's
/// own code minds.
fn compile(desk: &Desk, program: &str, indexed: bool) {
    let mut options: Value = serde_json::from_str(&desk.read("tsconfig.json")).expect("JSON");
    options["compilerOptions"]["noUncheckedIndexedAccess"] = indexed.into();
    options["files"] = json!([program]);
    desk.write("tsconfig.json", &options.to_string());
    desk.must(desk.node("node_modules/typescript/bin/tsc").args(["--project", "."]));
}

/// Runs a program with the client in it.
fn run(desk: &Desk, mut program: std::process::Command) {
    let (_site, server, receiver, body) = served();
    program.envs(server.environment()).env("CALLBACK_URL", receiver.url()).env("BODY", body);
    assert_eq!(desk.must(program.env("NO_PROXY", "127.0.0.1")).trim(), DONE);
    assert_eq!(receiver.last().json()["data"], json!({ "batch_id": "BATCH-9", "weight_kg": 62.5 }));
    server.stop();
}

#[test]
fn openapi_generator_makes_a_python_client_that_runs() {
    let desk = Desk::new();
    generate(&desk, "python", "ngoma-client", &["--package-name", "ngoma_api"]);
    let mut program = desk.python("dateutil");
    program.arg("errand.py");
    run(&desk, program);
}

/// Go's constants share one space: `enumClassPrefix` puts the name of the enumeration before each. Without
/// `useOneOfDiscriminatorLookup` the generator's code tells the events' bodies apart by their fields, not by `event`.
#[test]
fn openapi_generator_makes_a_go_client_that_compiles_and_runs() {
    let desk = Desk::new();
    let settings = "--additional-properties=enumClassPrefix=true,useOneOfDiscriminatorLookup=true";
    generate(&desk, "go", "go/src/ngoma", &["--package-name", "ngoma", settings]);
    let mut compiler = std::process::Command::new("go");
    // Debian has the one module that the client needs, so none is fetched.
    let path = format!("{}:/usr/share/gocode", desk.path().join("go").display());
    compiler.env("GOPATH", path).env("GO111MODULE", "off").env("GOCACHE", desk.path().join("cache"));
    desk.must(compiler.args(["build", "-o", "errand", "errand.go"]));
    run(&desk, std::process::Command::new(desk.path().join("errand")));
}

#[test]
fn openapi_generator_makes_a_typescript_client_that_compiles_and_runs() {
    let desk = Desk::new();
    generate(&desk, "typescript-fetch", "fetch", &["--additional-properties=importFileExtension=.js"]);
    compile(&desk, "errand_fetch.ts", false);
    run(&desk, desk.node("errand_fetch.js"));
}

#[test]
fn hey_api_makes_a_typescript_client_that_compiles_and_runs() {
    let desk = Desk::new();
    desk.must(desk.node("node_modules/@hey-api/openapi-ts/bin/index.cjs").args(["-f", "hey.config.mjs"]));
    compile(&desk, "errand_hey.ts", true);
    run(&desk, desk.node("errand_hey.js"));
}

#[test]
fn postman_s_converter_makes_a_collection_whose_first_request_works() {
    let (desk, site) = (Desk::new(), Site::new());
    let server = site.start();
    let said = desk.must(desk.node("first_request.mjs").arg("openapi.json").envs(server.environment()));
    let contract: Value = serde_json::from_str(&desk.read("openapi.json")).expect("JSON");
    let operations: usize = contract["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, item)| item.as_object().map_or(0, serde_json::Map::len))
        .sum();
    assert_eq!(said.trim(), format!("200 {operations}"), "and every operation is in it");
    server.stop();
}

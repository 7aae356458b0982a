//! A folder in which clients are generated from a contract, and other people's programs that work in it.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    leaks,
    other_programs::{modules, python_with},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with a contract and the programs of tests/clients, in which clients are generated.
pub struct Desk(TempDir);

impl Desk {
    /// With the committed contract.
    pub fn new() -> Self {
        Self::with(&committed())
    }

    pub fn with(contract: &Value) -> Self {
        let desk = Self(tempfile::tempdir().expect("a folder"));
        for entry in fs::read_dir(Path::new(ROOT).join("tests/clients")).expect("tests/clients").flatten() {
            fs::copy(entry.path(), desk.path().join(entry.file_name())).expect("copied");
        }
        desk.write("openapi.json", &contract.to_string());
        desk.write("package.json", r#"{"type":"module"}"#);
        symlink(modules(), desk.path().join("node_modules")).expect("linked");
        desk
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    /// Runs a program in the folder. Returns whether it ended well, and its output.
    pub fn run(&self, command: &mut Command) -> (bool, String) {
        let output = command.current_dir(self.path()).stdin(Stdio::null()).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("UTF-8");
        leaks::shown(&said);
        (output.status.success(), said)
    }

    #[track_caller]
    pub fn must(&self, command: &mut Command) -> String {
        let (well, said) = self.run(command);
        assert!(well, "{command:?}: {said}");
        said
    }

    /// A Python with this package and the generated client, about to run a program.
    pub fn python(&self, package: &str) -> Command {
        let mut command = python_with(package);
        // The generator formats by a program of its own that stands beside Python.
        let beside = Path::new(command.get_program()).parent().map(Path::to_owned).unwrap_or_default();
        let path = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths([beside].into_iter().chain(env::split_paths(&path)));
        command.env("PATH", path.expect("a path")).env("PYTHONPATH", self.path().join("ngoma-client"));
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "127.0.0.1");
        command
    }

    pub fn module(&self, package: &str) -> Command {
        let mut command = self.python(package);
        command.args(["-m", package]);
        command
    }

    pub fn node(&self, program: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(program);
        command
    }

    /// Makes the Python client, as the guide says. Whether all of the contract went into it, and what the generator
    /// says.
    pub fn generate_python(&self) -> (bool, String) {
        let settings = ["--config", "generator.yaml", "--fail-on-warning"];
        self.run(self.module("openapi_python_client").args(["generate", "--path", "openapi.json"]).args(settings))
    }

    #[track_caller]
    pub fn python_client(&self, programs: &[&str]) {
        let (well, said) = self.generate_python();
        assert!(well, "{said}");
        self.must(self.module("mypy").args(["--config-file", "mypy.ini"]).args(programs));
    }

    /// Makes the types for TypeScript, and compiles these programs with them.
    #[track_caller]
    pub fn typescript_client(&self, programs: &[&str]) {
        let generator = "node_modules/openapi-typescript/bin/cli.js";
        self.must(self.node(generator).args(["openapi.json", "--output", "ngoma.ts"]));
        let mut options: Value = serde_json::from_str(&self.read("tsconfig.json")).expect("JSON");
        options["files"] = json!(programs);
        self.write("tsconfig.json", &options.to_string());
        self.must(self.node("node_modules/typescript/bin/tsc").args(["--project", "."]));
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

pub fn committed() -> Value {
    let text = fs::read_to_string(Path::new(ROOT).join("openapi/openapi.json")).expect("openapi/openapi.json");
    serde_json::from_str(&text).expect("JSON")
}

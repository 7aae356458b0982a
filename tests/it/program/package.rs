//! The parts of the Debian package.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use clap::CommandFactory;
use ngoma::cli::Cli;
use serde_json::Value;

use crate::{
    program::{
        readme::{blocks, chapter},
        shell::commands,
    },
    support::{
        program::{finish, run},
        source::root,
    },
};

/// What Cargo says of this crate and of those that it is built from.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    // Cargo has fetched only what this machine needs.
    let machine = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", &machine]);
    cargo.current_dir(root());
    let (code, out, err) = finish(&mut cargo);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn own(metadata: &Value) -> &Value {
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().find(|package| package["name"] == "ngoma").expect("this one")
}

/// The path of a page, and of everything else that `ngoma man` writes into this folder.
fn written(folder: &Path) -> BTreeSet<String> {
    let (code, _, err) = run(folder, &["man", "share"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let (_, found, _) = finish(Command::new("find").args(["share", "-type", "f"]).current_dir(folder));
    found.lines().map(str::to_owned).collect()
}

#[test]
fn all_that_the_package_names_is_there_or_written_by_ngoma_man() {
    let metadata = metadata();
    let deb = &own(&metadata)["metadata"]["deb"];
    let folder = tempfile::tempdir().expect("a folder");
    let written = written(folder.path());
    let mut left = written.clone();
    for asset in deb["assets"].as_array().expect("assets") {
        let source = asset[0].as_str().expect("a source");
        match source.strip_prefix("target/") {
            Some("release/ngoma") => {}
            Some(made) => {
                let (before, after) = made.split_once('*').unwrap_or((made, ""));
                let count = left.len();
                left.retain(|path| !(path.starts_with(before) && path.ends_with(after)));
                assert!(left.len() < count, "nothing is written as {source}");
            }
            None => assert!(root().join(source).is_file(), "{source}"),
        }
    }
    assert!(left.is_empty(), "the package leaves out {left:?}");
    let scripts = root().join(deb["maintainer-scripts"].as_str().expect("a folder"));
    let unit = format!("{}.service", deb["systemd-units"]["unit-name"].as_str().expect("a name"));
    for name in [unit.as_str(), "ngoma.sysusers", "postrm"] {
        assert!(scripts.join(name).is_file(), "{name}");
    }
    let (code, _, err) = finish(Command::new("sh").arg("-n").arg(scripts.join("postrm")));
    assert_eq!((code, err.as_str()), (0, ""));
}

#[test]
fn every_command_has_a_man_page_without_a_flaw() {
    let folder = tempfile::tempdir().expect("a folder");
    let written = written(folder.path());
    let pages: BTreeSet<_> = written.iter().filter(|path| path.ends_with(".1")).map(String::as_str).collect();
    let name =
        |words: Vec<String>| format!("share/man/man1/{}.1", [&["ngoma".to_owned()], &words[..]].concat().join("-"));
    let expected: Vec<_> = commands().into_iter().map(name).collect();
    assert_eq!(pages, expected.iter().map(String::as_str).collect());
    for page in pages {
        let (code, _, said) =
            finish(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-b", page]).current_dir(folder.path()));
        assert_eq!((code, said.as_str()), (0, ""), "{page}");
    }
    let whole = Cli::command().get_subcommands().count();
    let text = fs::read_to_string(folder.path().join("share/man/man1/ngoma.1")).expect("the first page");
    assert_eq!(text.matches("\nngoma\\-").count(), whole, "the first page names the others");
}

#[test]
fn the_package_and_the_guide_have_one_unit_and_one_user() {
    let unit = fs::read_to_string(root().join("src/package/ngoma.service")).expect("the unit");
    let shown = blocks(&chapter("deploy"), "ini").remove(0);
    assert_eq!(shown.replace("/usr/local/bin/", "/usr/bin/"), unit);
    let user = unit.lines().find_map(|line| line.strip_prefix("User=")).expect("a user");
    let users = fs::read_to_string(root().join("src/package/ngoma.sysusers")).expect("the users");
    assert!(users.contains(&format!("\nu {user} - ")), "{users}");
    assert!(chapter("deploy").contains(&format!("useradd --system --home-dir /var/lib/ngoma {user}")));
}

#[test]
fn the_settings_of_the_package_are_taken_and_each_line_to_uncomment_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = fs::read_to_string(root().join("src/package/config.toml")).expect("the settings");
    let text = text.replace("/var/lib/ngoma", "lib");
    fs::create_dir(folder.path().join("lib")).expect("a folder");
    let all = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if setting.contains(" = ") => setting.to_owned() + "\n",
        _ => line.to_owned() + "\n",
    });
    for settings in [text.clone(), all.collect()] {
        fs::write(folder.path().join("config.toml"), &settings).expect("written");
        let (code, out, err) = run(folder.path(), &["check"]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
    }
}

#[test]
fn the_oldest_rust_that_is_named_is_the_one_that_a_dependency_forbids_to_lower() {
    let metadata = metadata();
    let version = |package: &Value| {
        let parts = package["rust_version"].as_str().unwrap_or("0").split('.').map(|part| part.parse::<u32>());
        let mut parts = parts.map(|part| part.expect("a number"));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    };
    let nodes = metadata["resolve"]["nodes"].as_array().expect("nodes");
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("packages");
    let others =
        packages.iter().filter(|one| one["name"] != "ngoma" && used.contains(one["id"].as_str().expect("an id")));
    let highest = others.max_by_key(|one| version(one)).expect("a dependency");
    assert_eq!(version(own(&metadata)), version(highest), "{}", highest["name"]);
}

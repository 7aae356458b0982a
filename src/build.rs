//! Names the build: the version and, in a checkout of this project, the commit.

use std::{env, path::Path, process::Command};

/// The files of git that change with the commit.
const WATCHED: [&str; 3] = ["HEAD", "logs/HEAD", "packed-refs"];

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=NGOMA_VERSION={version}{}", commit().unwrap_or_default());
}

/// The commit and its day, to stand behind the version; `None` without git, or in the checkout of another project.
fn commit() -> Option<String> {
    git(&["rev-parse", "--show-prefix"]).filter(String::is_empty)?;
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    for file in WATCHED.into_iter().chain([branch.as_str()]) {
        // A file that is not there would have every build begin anew.
        let file = git(&["rev-parse", "--git-path", file]).filter(|file| Path::new(file).is_file());
        file.into_iter().for_each(|file| println!("cargo::rerun-if-changed={file}"));
    }
    Some(format!(" (commit {})", git(&["show", "-s", "--abbrev=7", "--format=%h, %cs", "HEAD"])?))
}

/// What git says in the folder of the project; `None` if it refuses.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}

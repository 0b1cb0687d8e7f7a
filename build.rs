//! Names the commit that a release is built from, for `billion --version` and `billion_build_info`.
//!
//! From `BILLION_COMMIT` if that is set (the image is built without the repository), else from git, else
//! `unknown`, as in a source archive. Only a release asks git: a development build would be built anew after
//! every commit.

use std::{env, path::Path, process::Command};

/// The page and the dashboard, which are compiled in.
const PAGE: [&str; 3] = ["templates", "static", "dashboard"];

/// What the server is built from besides; `-modified` is about all of these.
const SOURCES: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "build.rs", "settings.toml", "src", "actors"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BILLION_COMMIT");
    // The compiler sees changes of the files that it was given, and of no folder: one more file.
    for folder in PAGE {
        println!("cargo::rerun-if-changed={folder}");
    }
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let given = env::var("BILLION_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = match (given, is_release) {
        (Some(commit), _) => commit,
        (None, true) => commit().unwrap_or_else(|| "unknown".to_owned()),
        (None, false) => "development".to_owned(),
    };
    println!("cargo::rustc-env=BILLION_COMMIT={commit}");
}

/// The checked out commit; none without git or outside of a repository of our own.
fn commit() -> Option<String> {
    // An archive of the sources may have been unpacked inside somebody else's repository.
    let prefix = git(&["rev-parse", "--show-prefix"])?;
    if !prefix.is_empty() || git(&["ls-files", "build.rs"])?.is_empty() {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    // A file that is not there would count as changed in every build.
    let branch = git(&["rev-parse", "--symbolic-full-name", "HEAD"])?;
    let of_git = ["HEAD", "logs/HEAD", &branch].map(|name| git(&["rev-parse", "--git-path", name]));
    let sources = SOURCES.map(|name| Some(name.to_owned()));
    for path in of_git.into_iter().chain(sources).flatten() {
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let mut changed = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    changed.extend(SOURCES);
    changed.extend(PAGE);
    let is_modified = git(&changed).is_none_or(|changed| !changed.is_empty());
    Some(if is_modified { format!("{commit}-modified") } else { commit })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

//! What is fuzzed: one function for each kind of bytes that come from the internet or from a file. Each takes whatever
//! bytes there are and asserts what has to hold of them; docs/FUZZING.md says how to run them.
//!
//! Some bytes, usually the first, choose options: the module of each target says which. The files of `fuzz/corpus` are
//! run by an ordinary test as well.

pub mod address;
pub mod backup;
pub mod feed;
pub mod frame;
pub mod handshake;
pub mod inflate;
pub mod message;
pub mod settings;

/// A target's function.
pub type Run = fn(&[u8]);

/// Every target, by the name that its program and the folder of its corpus have.
pub const TARGETS: [(&str, Run); 8] = [
    ("frame", frame::run),
    ("message", message::run),
    ("inflate", inflate::run),
    ("handshake", handshake::run),
    ("address", address::run),
    ("settings", settings::run),
    ("backup", backup::run),
    ("feed", feed::run),
];

/// Takes options off the front of what a fuzzer has made; behind its end there are zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        let mut bytes = [0; N];
        bytes[..taken.len()].copy_from_slice(taken);
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs,
        panic::{AssertUnwindSafe, catch_unwind},
        path::{Path, PathBuf},
    };

    use super::*;

    /// Of the whole corpus, so that it stays one that people can look through.
    const CORPUS_BYTES_MAX: u64 = 200_000;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{folder:?}: {why}"));
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        entries.map(|entry| name(entry.expect("a readable folder"))).collect()
    }

    #[test]
    fn every_file_of_the_corpus_passes() {
        let (mut bytes, mut failed) = (0, Vec::new());
        for (name, run) in TARGETS {
            let corpus = folder().join("corpus").join(name);
            let files = names(&corpus);
            assert!(files.len() >= 10, "{name}: {} files", files.len());
            for file in files {
                let content = fs::read(corpus.join(&file)).expect("a readable file");
                bytes += content.len() as u64;
                if catch_unwind(AssertUnwindSafe(|| run(&content))).is_err() {
                    failed.push(format!("{name}/{file}"));
                }
            }
        }
        assert!(failed.is_empty(), "{failed:?}");
        assert!(bytes < CORPUS_BYTES_MAX, "{bytes} bytes");
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names(&folder().join("corpus")), targets);
        let programs: BTreeSet<_> = targets.iter().map(|name| format!("{name}.rs")).collect();
        assert_eq!(names(&folder().join("fuzz_targets")), programs);
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("a manifest");
        for name in &targets {
            let program = format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
            assert!(manifest.contains(&program), "fuzz/Cargo.toml lacks {name}");
        }
    }
}

//! The corpus in `tests/hellos`: bytes and label of each hello.
//!
//! A label is lines of `key = value`: the client and the command that made it send the hello, and
//! what the hello says. Labels of captured hellos were checked by hand against that command.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One hello of the corpus.
pub(crate) struct Labelled {
    pub(crate) file: String,
    pub(crate) bytes: Vec<u8>,
    label: BTreeMap<String, String>,
}

impl Labelled {
    /// The value of a key that every label has.
    pub(crate) fn get(&self, key: &str) -> &str {
        match self.label.get(key) {
            Some(value) => value,
            None => panic!("label of {} has no {key}", self.file),
        }
    }

    /// The values of a key that holds a list.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        self.get(key)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }
}

/// All hellos, in the order of their file names.
pub(crate) fn all() -> Vec<Labelled> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "bin"));
    files.sort();
    assert!(
        files.len() > 10,
        "the corpus is missing from {}",
        folder().display()
    );
    files.iter().map(|path| load(path)).collect()
}

/// Where the corpus lies.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hellos")
}

fn load(path: &Path) -> Labelled {
    let label = fs::read_to_string(path.with_extension("label")).unwrap();
    let label = label.lines().map(|line| {
        let (key, value) = line.split_once('=').unwrap();
        (key.trim().to_owned(), value.trim().to_owned())
    });
    Labelled {
        file: path.file_stem().unwrap().to_string_lossy().into_owned(),
        bytes: fs::read(path).unwrap(),
        label: label.collect(),
    }
}

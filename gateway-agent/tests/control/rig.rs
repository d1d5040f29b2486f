//! What the tests share: a configuration file, a publisher that takes notes, waiting.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_agent::control::{Control, Publisher, Snapshot};
use tempfile::TempDir;

pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Notes what it is told; refuses when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    calls: Arc<Mutex<Vec<String>>>,
    pub(crate) refuse: Arc<Mutex<bool>>,
}

impl Notes {
    fn note(&self, what: &str, snapshot: &Snapshot) {
        self.calls
            .lock()
            .unwrap()
            .push(format!("{what} {}", snapshot.generation));
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl Publisher for Notes {
    fn add(&mut self, next: &Snapshot) -> Result<(), String> {
        self.note("add", next);
        if *self.refuse.lock().unwrap() {
            Err("port 443 is taken".to_owned())
        } else {
            Ok(())
        }
    }

    fn remove_stale(&mut self, next: &Snapshot) {
        self.note("remove", next);
    }

    fn recheck(&mut self, next: &Arc<Snapshot>) {
        self.note("recheck", next);
    }
}

/// A configuration file in a folder of its own.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

impl File {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("culvert.hcl");
        std::fs::write(&path, text).unwrap();
        Self {
            path,
            _folder: folder,
        }
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    /// As editors do it: a new file takes the old one's place.
    pub(crate) fn replace(&self, text: &str) {
        let aside = self.path.with_extension("new");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, &self.path).unwrap();
    }
}

pub(crate) const LISTENER: &str = "listener \"tls\" { address = \"127.0.0.1:8443\" }\n";

pub(crate) fn with_route(name: &str) -> String {
    format!("{LISTENER}route \"{name}\" {{ endpoints = [\"127.0.0.1:1\"] }}\n")
}

pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < DEADLINE,
            "not within the deadline: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn has_route(control: &Control, name: &str) -> bool {
    control.snapshot().routes.get(name).is_some()
}

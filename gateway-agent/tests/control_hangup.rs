//! SIGHUP, in a process of its own: the signal reaches every control path of a process.

use std::sync::Arc;
use std::time::Duration;

use gateway_agent::control::{Control, Publisher, Snapshot};
use rustix::process::{Signal, getpid, kill_process};

struct Nobody;

impl Publisher for Nobody {
    fn add(&mut self, _next: &Snapshot) -> Result<(), String> {
        Ok(())
    }

    fn remove_stale(&mut self, _next: &Snapshot) {}

    fn recheck(&mut self, _next: &Arc<Snapshot>) {}
}

#[tokio::test]
async fn a_hangup_reloads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("culvert.hcl");
    let listener = "listener \"tls\" { address = \"127.0.0.1:8443\" }\n";
    std::fs::write(&path, listener).unwrap();
    let control = Control::load(&path).unwrap();
    let _running = control.start(Box::new(Nobody)).await.unwrap();
    // The file stays as it is: nothing but the signal can count up.
    kill_process(getpid(), Signal::HUP).unwrap();
    let counted = async {
        while control.last_reload().good == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), counted)
        .await
        .unwrap();
}

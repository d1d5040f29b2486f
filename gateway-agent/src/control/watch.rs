//! Watch: notices that the configuration file has changed.
//!
//! The folder is watched, not the file: editors and orchestrators put a new file in the old
//! one's place. Whether the content changed is not decided here; the reload looks at it.

use std::path::{Path, PathBuf};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Watches while it lives.
pub(super) struct Watch {
    changes: mpsc::Receiver<()>,
    /// Dropping it ends the watching.
    _watcher: RecommendedWatcher,
}

impl Watch {
    pub(super) fn start(path: &Path) -> notify::Result<Self> {
        // One waiting note is enough: it says "look".
        let (note, changes) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // An error (a full queue) may have hidden a change.
                if event.map_or(true, |event| is_change(event.kind)) {
                    // Full: a note waits already. Closed: nobody is interested any more.
                    note.try_send(()).unwrap_or_default();
                }
            })?;
        for folder in folders(path) {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
        }
        Ok(Self {
            changes,
            _watcher: watcher,
        })
    }

    /// Waits for the next change. Cancel safe.
    pub(super) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // The watcher lives as long as this: it does not happen, and must not spin.
            std::future::pending::<()>().await;
        }
    }
}

/// The folder of the file and, where that is a symbolic link, the folder of what it leads to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let folder = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut folders = vec![folder(path)];
    if let Ok(real) = path.canonicalize() {
        let real = folder(&real);
        if folders[0].canonicalize().ok().as_ref() != Some(&real) {
            folders.push(real);
        }
    }
    folders
}

/// Whether files may differ after this. Writing counts when it is done; reading (which we do
/// ourselves) never.
fn is_change(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Create(_)
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_)
    )
}

//! Watch: notices that the configuration file, or one in the folders it reads, has changed.
//!
//! Folders are watched, not files: editors and orchestrators put a new file in the old one's
//! place. They do the same with folders, behind a symbolic link or not; so of each folder that is
//! read, the one that holds it is watched too. The kernel follows what a path led to when the watch
//! began: a watch is begun anew with each reload. Whether the content changed is not decided here;
//! the reload looks at it.

use std::collections::BTreeSet;
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
    /// Watches the file at `path` and all files in `read`. A folder in `read` need not be there: its
    /// coming is noticed.
    ///
    /// What changes from the return on is noticed; so it comes before a look at the files.
    pub(super) fn start(path: &Path, read: &[PathBuf]) -> notify::Result<Self> {
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
        let must = holders(path);
        for folder in &must {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
        }
        let may: BTreeSet<PathBuf> = read.iter().flat_map(|folder| around(folder)).collect();
        for folder in may.difference(&must) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(%error, folder = %folder.display(), "a folder is not watched");
            }
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

/// A folder that is read, and what holds it.
fn around(folder: &Path) -> BTreeSet<PathBuf> {
    let mut all = holders(folder);
    all.extend(folder.canonicalize());
    all
}

/// The folder that holds what is at `path` and, where that is a symbolic link, the one that holds
/// what it leads to. Both as the kernel knows them, since it watches one folder once.
fn holders(path: &Path) -> BTreeSet<PathBuf> {
    let real = path.canonicalize().ok();
    [Some(path), real.as_deref()]
        .into_iter()
        .flatten()
        .map(|path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })
        .map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()))
        .collect()
}

/// Whether files may differ after this. Writing counts when it is done; reading (which we do
/// ourselves) never. A change of rights counts: a file that could not be read may be readable.
fn is_change(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Create(_)
            | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_))
            | EventKind::Remove(_)
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    /// `culvert.hcl` and a folder `mesh.d` that holds `a.hcl`.
    fn files() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("culvert.hcl"), "").unwrap();
        let mesh = folder.path().join("elsewhere/mesh.d");
        std::fs::create_dir_all(&mesh).unwrap();
        std::fs::write(mesh.join("a.hcl"), "").unwrap();
        folder
    }

    /// Whether what `change` does to the files is noticed, the folder being read as `read`.
    async fn notices(folder: &Path, read: &str, change: impl FnOnce()) {
        let read = [folder.join(read)];
        let mut watch = Watch::start(&folder.join("culvert.hcl"), &read).unwrap();
        change();
        let noticed = tokio::time::timeout(DEADLINE, watch.changed()).await;
        noticed.expect("the change is noticed");
    }

    #[test]
    fn a_file_that_cannot_be_watched_is_an_error_and_a_folder_is_none() {
        assert!(Watch::start("/nonexistent/culvert.hcl".as_ref(), &[]).is_err());
        let folder = files();
        let file = folder.path().join("culvert.hcl");
        Watch::start(&file, &["/nonexistent/a/b".into(), "/".into()]).unwrap();
    }

    #[tokio::test]
    async fn every_change_of_files_in_a_folder_is_noticed() {
        let folder = files();
        let at = |name: &str| folder.path().join("elsewhere/mesh.d").join(name);
        let read = "elsewhere/mesh.d";
        let write = || std::fs::write(at("a.hcl"), "x").unwrap();
        notices(folder.path(), read, write).await;
        let add = || std::fs::write(at("b.hcl"), "x").unwrap();
        notices(folder.path(), read, add).await;
        let rename = || std::fs::rename(at("b.hcl"), at("c.hcl")).unwrap();
        notices(folder.path(), read, rename).await;
        let remove = || std::fs::remove_file(at("c.hcl")).unwrap();
        notices(folder.path(), read, remove).await;
    }

    #[tokio::test]
    async fn a_folder_that_comes_and_goes_is_noticed() {
        let folder = files();
        let at = folder.path().join("elsewhere/more.d");
        let come = || std::fs::create_dir(&at).unwrap();
        notices(folder.path(), "elsewhere/more.d", come).await;
        let go = || std::fs::remove_dir(&at).unwrap();
        notices(folder.path(), "elsewhere/more.d", go).await;
    }

    #[tokio::test]
    async fn a_link_that_leads_elsewhere_is_noticed_wherever_it_stands() {
        let folder = files();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("links")).unwrap();
        let swap = |link: &str| {
            symlink(at("elsewhere/mesh.d"), at("links/new")).unwrap();
            std::fs::rename(at("links/new"), at(link)).unwrap();
        };
        // The folder itself is the link.
        symlink(at("links"), at("links/mesh.d")).unwrap();
        notices(folder.path(), "links/mesh.d", || swap("links/mesh.d")).await;
        // A link in the folder, as orchestrators mount it.
        notices(folder.path(), "links", || swap("links/..data")).await;
    }

    #[tokio::test]
    async fn a_file_that_may_be_read_from_now_on_is_noticed() {
        let folder = files();
        let file = folder.path().join("elsewhere/mesh.d/a.hcl");
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
        std::fs::set_permissions(&file, mode(0o000)).unwrap();
        let allow = || std::fs::set_permissions(&file, mode(0o644)).unwrap();
        notices(folder.path(), "elsewhere/mesh.d", allow).await;
    }

    #[tokio::test]
    async fn reading_is_no_change() {
        let folder = files();
        let read = [folder.path().join("elsewhere/mesh.d")];
        let file = folder.path().join("culvert.hcl");
        let mut watch = Watch::start(&file, &read).unwrap();
        std::fs::read(read[0].join("a.hcl")).unwrap();
        std::fs::read_dir(&read[0]).unwrap().for_each(drop);
        std::fs::write(&file, "x").unwrap();
        // The queue is in order: the first note is of the write.
        tokio::time::timeout(DEADLINE, watch.changed())
            .await
            .unwrap();
        assert!(watch.changes.try_recv().is_err(), "one change, one note");
    }
}

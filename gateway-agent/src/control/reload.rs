//! Reload: the task that owns all change.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::publish::{Publisher, publish};
use super::resolve::Resolver;
use super::snapshot::Snapshot;
use super::watch::Watch;
use super::{Order, Shared};
use crate::config::{Config, ConfigErrors};

/// The running control path; it stops when this is dropped.
#[derive(Debug)]
#[must_use = "the control path stops when this is dropped"]
pub struct Running {
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A new name gets so long to resolve before its snapshot takes effect without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file is read when it has been quiet for so long: writers often write in several steps.
const QUIET: Duration = Duration::from_millis(200);

/// Where it is never quiet (other files beside ours count as well), it is read so long after the
/// first change all the same.
const RESTLESS: Duration = Duration::from_secs(2);

/// When changed files are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    at: Instant,
    latest: Instant,
}

impl Due {
    /// After a change at `now`, where `before` was due.
    fn after(now: Instant, before: Option<Self>) -> Self {
        let latest = before.map_or(now + RESTLESS, |before| before.latest);
        Self {
            at: latest.min(now + QUIET),
            latest,
        }
    }
}

pub(super) async fn start(
    shared: &Arc<Shared>,
    mut publisher: Box<dyn Publisher>,
) -> Result<Running, ConfigErrors> {
    let inbox = shared
        .inbox
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(inbox) = inbox else {
        return Err(shared.errors("the control path was started before".to_owned()));
    };
    // Before the first look at the names: what changes from here on is noticed.
    let first = shared.current.load_full();
    let watch = Watch::start(&shared.path, &first.watched)
        .inspect_err(|error| {
            tracing::warn!(%error, "the configuration is not watched; reload by SIGHUP or command");
        })
        .ok();
    let resolver = Resolver::start();
    resolver.follow(&first).within(PATIENCE).await;
    publish(&mut *publisher, &shared.current, &first).map_err(|why| shared.errors(why))?;
    log_in_force(&first);
    let reloader = Reloader {
        shared: Arc::clone(shared),
        publisher,
        resolver,
        watched: first.watched.clone(),
        watch,
    };
    Ok(Running {
        task: tokio::spawn(reloader.run(inbox)),
    })
}

struct Reloader {
    shared: Arc<Shared>,
    publisher: Box<dyn Publisher>,
    resolver: Resolver,
    /// Folders beside the file's that are watched.
    watched: Vec<PathBuf>,
    watch: Option<Watch>,
}

impl Reloader {
    async fn run(mut self, mut inbox: mpsc::Receiver<Order>) {
        let mut due: Option<Due> = None;
        loop {
            let changed = async {
                match &mut self.watch {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = inbox.recv() => {
                    let Some(reply) = order else { return };
                    let (outcome, again) = self.watched_reload().await;
                    due = again.then(|| Due::after(Instant::now(), due)).or(due);
                    // Whoever asked may have gone; the outcome is in `last_reload` as well.
                    drop(reply.send(outcome));
                }
                () = changed => due = Some(Due::after(Instant::now(), due)),
                () = sleep_until(due.map_or_else(Instant::now, |due| due.at)), if due.is_some() => {
                    let (_, again) = self.watched_reload().await;
                    due = again.then(|| Due::after(Instant::now(), None));
                }
            }
        }
    }

    /// Reloads under a watch that began before it looked at the files. Folders that were read and
    /// not watched are watched from now on. Answers whether they are to be looked at again, in case
    /// they changed in between.
    async fn watched_reload(&mut self) -> (Result<u64, ConfigErrors>, bool) {
        self.watch_again();
        let outcome = self.reload().await;
        let mut wanted = self.shared.current.load().watched.clone();
        if let Err(errors) = &outcome {
            // Whoever mends a file that was refused must not have to touch the main one.
            wanted.extend(folders(errors, &self.shared.path));
        }
        let other = wanted != self.watched;
        if other {
            self.watched = wanted;
            self.watch_again();
        }
        // What was refused would only be told twice.
        let again = other && outcome.is_ok();
        (outcome, again)
    }

    /// Begins the watch anew; the old one goes on where that fails.
    fn watch_again(&mut self) {
        match Watch::start(&self.shared.path, &self.watched) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => tracing::warn!(%error, "watch the configuration"),
        }
    }

    /// Reloads, and notes and logs how it went.
    async fn reload(&mut self) -> Result<u64, ConfigErrors> {
        let outcome = self.try_reload().await;
        let mut last = self.shared.last();
        last.at = SystemTime::now();
        match &outcome {
            Ok(_) => last.good += 1,
            Err(errors) => {
                last.bad += 1;
                tracing::error!(
                    errors = errors.count(),
                    "configuration refused, the last good one stays in force\n{errors}"
                );
            }
        }
        last.errors = outcome.as_ref().err().cloned();
        outcome
    }

    async fn try_reload(&mut self) -> Result<u64, ConfigErrors> {
        let current = self.shared.current.load_full();
        let Some((next, fingerprint)) = read(&self.shared, &current).await? else {
            tracing::debug!(generation = current.generation, "configuration unchanged");
            return Ok(current.generation);
        };
        self.resolver.follow(&next).within(PATIENCE).await;
        if let Err(why) = publish(&mut *self.publisher, &self.shared.current, &next) {
            // Its names have answers: nothing to wait for.
            drop(self.resolver.follow(&current));
            return Err(self.shared.errors(why));
        }
        *self.shared.text() = fingerprint;
        self.shared.generation.send_replace(next.generation);
        log_in_force(&next);
        Ok(next.generation)
    }
}

/// The snapshot of the file as it is now, and its fingerprint; `None` when the file is that
/// of the current one. Reading a large file takes a while, so it is done aside.
async fn read(
    shared: &Arc<Shared>,
    current: &Arc<Snapshot>,
) -> Result<Option<(Arc<Snapshot>, u128)>, ConfigErrors> {
    let (file, current) = (Arc::clone(shared), Arc::clone(current));
    let reading = tokio::task::spawn_blocking(move || {
        let config = Config::load(&file.path)?;
        let fingerprint = config.sources.fingerprint();
        if fingerprint == *file.text() {
            return Ok(None);
        }
        config.check_reload((&current.instance, &current.settings))?;
        Ok(Some((
            Arc::new(Snapshot::build(&config, Some(&current))),
            fingerprint,
        )))
    });
    match reading.await {
        Ok(outcome) => outcome,
        Err(error) => Err(shared.errors(format!("cannot read the configuration: {error}"))),
    }
}

/// The folders of files with errors, other than the main file's.
fn folders(errors: &ConfigErrors, main: &Path) -> BTreeSet<PathBuf> {
    errors
        .items()
        .map(|error| PathBuf::from(error.file))
        .filter(|file| file != main)
        .filter_map(|file| file.parent().map(Path::to_owned))
        .collect()
}

fn log_in_force(snapshot: &Snapshot) {
    tracing::info!(
        generation = snapshot.generation,
        listeners = snapshot.listeners.len(),
        routes = snapshot.routes.len(),
        "configuration in force"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_never_pause_do_not_put_a_reload_off_for_ever() {
        let start = Instant::now();
        let mut due = Due::after(start, None);
        assert_eq!(due.at, start + QUIET, "a single change waits for quiet");
        for n in 1..100 {
            due = Due::after(start + QUIET / 2 * n, Some(due));
        }
        assert_eq!(due.at, start + RESTLESS);
    }
}

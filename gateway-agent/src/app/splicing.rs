//! Splicing: the kernel half of the sockmap engine, tested and handed to the data path.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gateway_common::abi::splice::{Direction, Stream};
use tokio::task::AbortHandle;

use crate::bpf::{self, Joined, SpliceCount, Splices};
use crate::control::snapshot::{EngineKind, Snapshot, Sockmap};
use crate::proxy::Gateway;
use crate::proxy::splice::sockmap::{self, Splice, Splicer, Terms};
use crate::word::Word;

/// The kernel half of the running agent, if it is used.
pub(super) struct Splicing {
    kernel: Option<Kernel>,
}

impl Splicing {
    /// Opens and tries the kernel half, and hands the data path what was found.
    pub(super) async fn open(snapshot: &Snapshot, gateway: &Gateway) -> Self {
        let (kernel, found): (_, Result<Arc<dyn Splicer>, _>) = match open(snapshot).await {
            Ok(kernel) => (Some(kernel.clone()), Ok(Arc::new(kernel))),
            Err(reason) => {
                if snapshot.engine.prefer.contains(&EngineKind::Sockmap) {
                    tracing::warn!(reason, "the sockmap engine is not used");
                }
                (None, Err(reason))
            }
        };
        gateway.sockmap.settle(found);
        Self { kernel }
    }

    /// Keeps the sum of what waits in the kernel within its setting: the largest are paused first, and
    /// go on when nothing of theirs waits any more. Runs for good: spawn it and abort it.
    pub(super) async fn guard(self, gateway: Arc<Gateway>) {
        let Some(kernel) = self.kernel else { return };
        let mut held = Vec::new();
        let mut overruns = 0;
        loop {
            tokio::time::sleep(LOOK).await;
            held.retain(|one: &Held| !one.is_over());
            // Each was told once, through a ring that may have been full.
            let count = kernel
                .splices
                .count(SpliceCount::Overruns)
                .unwrap_or(overruns);
            if count != overruns {
                overruns = count;
                kernel.splices.tell_all();
            }
            let limit = gateway.control.snapshot().engine.sockmap.total;
            if kernel.waiting() > limit {
                hold_back(&gateway, limit, &mut held);
            }
        }
    }
}

/// Takes away what was pinned for people to look at: the agent ends.
pub(super) fn hide(snapshot: &Snapshot) {
    if let Err(error) = bpf::splice::hide(&bpf_settings(snapshot)) {
        tracing::debug!(%error, "remove the pins of the sockmap engine");
    }
}

fn bpf_settings(snapshot: &Snapshot) -> bpf::Settings {
    bpf::Settings {
        bpffs: snapshot.settings.steer.bpffs.clone(),
        ..bpf::Settings::new(&*snapshot.instance)
    }
}

/// How often the sum is looked at: one system call.
const LOOK: Duration = Duration::from_millis(100);

/// A direction that may not use the kernel, since too much waits there altogether. Its rows go with its
/// connection all the same: what waited by their last word would count for good.
struct Held {
    splice: Weak<dyn Splice>,
    direction: Direction,
}

impl Held {
    /// Lets a direction go once nothing of it waits.
    fn is_over(&self) -> bool {
        let Some(splice) = self.splice.upgrade() else {
            return true;
        };
        match splice.waiting(self.direction) {
            Ok(0) => {
                hold(&splice, self.direction, false);
                true
            }
            // The connection is to say how much it is, by the next look.
            Ok(_) => {
                splice.told().give();
                false
            }
            Err(_) => true,
        }
    }
}

/// Pauses the largest until what the others hold is within the limit.
fn hold_back(gateway: &Gateway, limit: u64, held: &mut Vec<Held>) {
    let mut all = Vec::new();
    let (mut sum, before) = (0, held.len());
    let splices = gateway.registry.list();
    for splice in splices.iter().filter_map(|live| live.splice()) {
        for direction in Direction::BOTH {
            // The program's word is of the last segment, and most of it may have gone since.
            let waiting = splice.waiting(direction).unwrap_or(0);
            if waiting > 0 {
                splice.told().give();
                sum += waiting;
                all.push((waiting, Arc::clone(&splice), direction));
            }
        }
    }
    all.sort_by_key(|(waiting, ..)| core::cmp::Reverse(*waiting));
    for (waiting, splice, direction) in all {
        if sum <= limit {
            break;
        }
        sum -= waiting;
        hold(&splice, direction, true);
        held.push(Held {
            splice: Arc::downgrade(&splice),
            direction,
        });
    }
    if held.len() > before {
        let paused = held.len() - before;
        tracing::warn!(
            limit,
            paused,
            "too much waits in the kernel for its sockets"
        );
    }
}

fn hold(splice: &Arc<dyn Splice>, direction: Direction, held: bool) {
    if let Err(error) = splice.hold(direction, held) {
        // Its rows are gone: the connection has ended.
        tracing::trace!(%error, "hold a direction back, or let it go");
    }
}

/// Opens the kernel half if the configuration asks for it, and tries it out.
///
/// # Errors
/// Why it is not used, for people.
async fn open(snapshot: &Snapshot) -> Result<Kernel, String> {
    if !snapshot.engine.prefer.contains(&EngineKind::Sockmap) {
        return Err("not preferred when the agent started".to_owned());
    }
    let settings = bpf_settings(snapshot);
    let kernel = tried(snapshot.engine.sockmap, settings.routes).await?;
    if let Err(error) = kernel.splices.show(&settings) {
        tracing::debug!(%error, "pin the maps of the sockmap engine for people to look at");
    }
    Ok(kernel)
}

/// A kernel half that has passed its test.
///
/// # Errors
/// Why there is none, for people.
pub(crate) async fn tried(settings: Sockmap, routes: u32) -> Result<Kernel, String> {
    if settings.self_test.is_zero() {
        return Err("untested: engine.self_test is 0".to_owned());
    }
    if let Some(reason) = bpf::splice::known_bad() {
        return Err(reason);
    }
    let splices =
        Splices::open(routes, true).map_err(|error| format!("{error}; {}", error.remedy()))?;
    let kernel = Kernel::new(splices);
    let begun = Instant::now();
    sockmap::self_test(&kernel, settings.self_test)
        .await
        .map_err(|error| format!("self-test failed: {error:#}"))?;
    tracing::info!(took = ?begun.elapsed(), "the sockmap engine passed its self-test");
    Ok(kernel)
}

/// The kernel half, as the data path sees it.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    splices: Splices,
    _telling: Arc<Telling>,
}

/// The task that tells connections what the program says; ends with the last holder.
#[derive(Debug)]
struct Telling(AbortHandle);

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Kernel {
    fn new(splices: Splices) -> Self {
        let told = splices.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = told.tell().await {
                tracing::warn!(%error, "listen to what splices have to say");
            }
        });
        Self {
            splices,
            _telling: Arc::new(Telling(task.abort_handle())),
        }
    }

    /// Tries it for some time more; how often it passed.
    ///
    /// # Errors
    /// What went wrong, for people.
    pub(crate) async fn try_for(&self, time: Duration) -> Result<u64, String> {
        let rounds = sockmap::long_self_test(self, time).await;
        rounds.map_err(|error| format!("self-test failed: {error:#}"))
    }

    /// Bytes that wait in the kernel for their sockets, by the program's word.
    fn waiting(&self) -> u64 {
        let sum = self.splices.count(SpliceCount::Backlog).unwrap_or(0);
        // Sums of changes per CPU: a moment's difference may be below zero.
        if sum > i64::MAX as u64 { 0 } else { sum }
    }
}

impl Splicer for Kernel {
    fn join(
        &self,
        client: BorrowedFd<'_>,
        upstream: BorrowedFd<'_>,
        terms: Terms<'_>,
    ) -> io::Result<Arc<dyn Splice>> {
        let id = self.splices.route(terms.datacenter, terms.service);
        // A route beyond what the map holds is spliced all the same, and counted with the first one.
        let id = id.unwrap_or_else(|error| {
            tracing::debug!(%error, service = terms.service, "count a route apart");
            0
        });
        let terms = bpf::splice::JoinTerms {
            owed: terms.owed,
            budget: terms.budget,
            beyond: terms.beyond,
            route: id,
        };
        Ok(self.splices.join([client, upstream], terms)?)
    }
}

impl Splice for Joined {
    fn is_whole(&self) -> bool {
        self.is_whole()
    }

    fn stream(&self, direction: Direction) -> io::Result<Stream> {
        self.stream(direction)
    }

    fn told_forwarded(&self, direction: Direction) -> u64 {
        self.told_forwarded(direction)
    }

    fn forwarded(&self, direction: Direction, bytes: u64) -> io::Result<()> {
        self.forwarded(direction, bytes)
    }

    fn review(&self, direction: Direction, bytes: u64) -> io::Result<()> {
        self.review(direction, bytes)
    }

    fn hold(&self, direction: Direction, held: bool) -> io::Result<()> {
        self.hold(direction, held)
    }

    fn be_patient(&self, direction: Direction, patient: bool) -> io::Result<()> {
        self.be_patient(direction, patient)
    }

    fn budget(&self, _direction: Direction) -> u32 {
        self.budget()
    }

    fn told(&self) -> &Word {
        self.told()
    }

    fn looked(&self, direction: Direction, noted: u64, waiting: u64) {
        self.looked(direction, noted, waiting);
    }

    fn waiting(&self, direction: Direction) -> io::Result<u64> {
        self.waiting(direction)
    }
}

//! The agent's life: start, serve, follow signals, drain.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::assembly::Core;
use super::publication::lock;
use super::signals::{Asked, Signals};
use super::splicing::{self, Splicing};
use super::state::{Ender, State};
use super::steering::Steering;
use super::{Failure, Options};
use crate::control::snapshot::Snapshot;
use crate::control::{Control, Running};
use crate::drain::{self, Drain};
use crate::ops::admin::{self, Admin, AdminSocket, SocketError};
use crate::ops::systemd::Inherited;
use crate::ops::{log, systemd};
use crate::proxy::close::CloseReason;
use crate::proxy::park;

/// What the process was given.
pub(super) struct Host<'a> {
    pub(super) inherited: Inherited,
    pub(super) descriptors: u64,
    pub(super) cores: usize,
    /// The runtime of connections.
    pub(super) connections: &'a Handle,
}

/// Starts everything, serves until told to end, and ends in order.
pub(super) async fn live(options: Options<'_>, host: Host<'_>) -> Result<(), Failure> {
    let control = Control::load(options.config).map_err(Failure::Configuration)?;
    let mut signals = Signals::new()?;
    let mut agent = Agent::start(options, host, control).await?;
    let timeout = agent.follow(&mut signals).await;
    agent.end(timeout, &mut signals).await;
    Ok(())
}

/// The running agent.
struct Agent {
    control: Control,
    /// Follows the configuration until it is dropped.
    _following: Running,
    core: Core,
    state: Arc<State>,
    drain: Drain,
    wishes: mpsc::Receiver<Option<Duration>>,
    /// What goes on for ever: aborted when the agent is dropped.
    _background: JoinSet<()>,
    /// The admin interface.
    answering: JoinSet<()>,
    /// Ends the admin interface in order.
    admin_shutdown: watch::Sender<bool>,
}

impl Agent {
    async fn start(
        options: Options<'_>,
        host: Host<'_>,
        control: Control,
    ) -> Result<Self, Failure> {
        let snapshot = control.snapshot();
        let settings = &snapshot.settings;
        let level = options
            .log_level
            .unwrap_or_else(|| settings.log.level.label());
        let level = log::start(options.log_form, level).context("start logging")?;
        report_foreign(&host.inherited);
        // Also the lock of the instance: a second agent ends here.
        let socket = admin_socket(&settings.admin.socket)
            .await
            .context("open the admin socket")?;
        let (drain, drain_watch) = drain::channel();
        let connections = host.connections.clone();
        let core = Core::build(host, &control, drain_watch)?;
        let splicing = Splicing::open(&snapshot, &core.gateway).await;
        let sockmap = core.gateway.sockmap.get().is_ok();
        core.metrics.set_sockmap_available(sockmap);
        let state = Arc::new(core.state(&level));
        // What fails here is the host's fault, not the file's: an address in use, a kernel that refuses.
        let following = control
            .start(Box::new(core.publication(&level, &snapshot)))
            .await
            .map_err(anyhow::Error::new)?;
        let mut background = JoinSet::new();
        background.spawn(systemd::keep_alive());
        background.spawn(keep_counts(Arc::clone(&core.steering)));
        background.spawn(splicing.guard(Arc::clone(&core.gateway)));
        if sockmap {
            background.spawn_on(park::keep(Arc::clone(&core.gateway)), &connections);
        }
        let (ender, wishes) = mpsc::channel(1);
        let (admin_shutdown, shutdown) = watch::channel(false);
        let admin = Admin {
            control: control.clone(),
            registry: Arc::clone(&core.gateway.registry),
            metrics: core.metrics.clone(),
            level,
            status: Arc::clone(&state) as _,
            drainer: Arc::new(Ender { wishes: ender }),
        };
        let mut answering = JoinSet::new();
        serve_admin(&mut answering, &snapshot, socket, admin, &shutdown).await?;
        state.ready();
        systemd::ready();
        tracing::info!(
            generation = snapshot.generation,
            listeners = snapshot.listeners.len(),
            routes = snapshot.routes.len(),
            connection_limit = core.gateway.permits.limit(),
            "ready"
        );
        Ok(Self {
            control,
            _following: following,
            core,
            state,
            drain,
            wishes,
            _background: background,
            answering,
            admin_shutdown,
        })
    }

    /// Follows signals and wishes until one says to end; the timeout that it named.
    async fn follow(&mut self, signals: &mut Signals) -> Option<Duration> {
        let mut generations = self.control.subscribe();
        loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Reload => self.reload().await,
                    Asked::End => return None,
                },
                // However it was asked for; also takes back what a failed reload said.
                Ok(()) = generations.changed() => {
                    let generation = *generations.borrow_and_update();
                    systemd::status(&format!("generation {generation} serves"));
                }
                wish = self.wishes.recv() => return wish.flatten(),
            }
        }
    }

    async fn reload(&self) {
        systemd::reloading();
        match self.control.reload().await {
            Ok(generation) => tracing::info!(generation, "reloaded"),
            // The control path has said why already.
            Err(_errors) => systemd::status("last reload failed: an older configuration serves"),
        }
        systemd::ready();
    }

    /// Ends in order: no new connections, open ones until the timeout, then the rest.
    async fn end(mut self, timeout: Option<Duration>, signals: &mut Signals) {
        let configured = self.control.snapshot().limits.drain_timeout;
        let timeout = timeout.unwrap_or(configured);
        self.state.draining();
        self.core.metrics.set_draining();
        systemd::stopping();
        let open = self.core.gateway.permits.open();
        tracing::info!(open, timeout = ?timeout, "draining");
        let acceptors = lock(&self.core.acceptors).take();
        if let Some(acceptors) = acceptors {
            acceptors.close().await;
        }
        let told_again = async {
            signals.end().await;
            tracing::warn!("told again to end: open connections are cut");
        };
        let registry = &self.core.gateway.registry;
        let cut = || {
            let cut = registry.cut_all(CloseReason::Drained);
            tracing::debug!(cut, "the deadline of the drain has passed");
        };
        let finished = self.drain.finish(timeout, told_again, cut).await;
        tracing::info!(finished, "drained");
        if let Some(accounts) = lock(&self.core.steering).accounts()
            && let Err(error) = accounts.flush()
        {
            tracing::warn!(%error, "write the last counts");
        }
        splicing::hide(&self.control.snapshot());
        self.admin_shutdown.send_replace(true);
        let answered = async { while self.answering.join_next().await.is_some() {} };
        if tokio::time::timeout(GOODBYE, answered).await.is_err() {
            self.answering.abort_all();
        }
        self.core.access_log.finish(GOODBYE);
    }
}

/// How long the admin interface and the access log may take to finish what they are at.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long a predecessor that was killed may take to be gone, with its locks.
const SUCCESSION: Duration = Duration::from_secs(2);

/// Opens the admin socket, and with it takes the lock of the instance.
async fn admin_socket(path: &Path) -> Result<AdminSocket, SocketError> {
    let deadline = Instant::now() + SUCCESSION;
    loop {
        match AdminSocket::bind(path) {
            Err(SocketError::Held(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            bound => return bound,
        }
    }
}

async fn serve_admin(
    answering: &mut JoinSet<()>,
    snapshot: &Snapshot,
    socket: AdminSocket,
    admin: Admin,
    shutdown: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    if let Some(address) = snapshot.settings.admin.metrics {
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener =
            listener.with_context(|| format!("listen for metrics on {address}: choose another"))?;
        let served = admin::serve_metrics(listener, admin.clone(), told(shutdown.clone()));
        answering.spawn(async move { report("metrics", served.await) });
    }
    let served = admin::serve_socket(socket, admin, told(shutdown.clone()));
    answering.spawn(async move { report("admin socket", served.await) });
    Ok(())
}

async fn told(mut shutdown: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the same end.
    if shutdown.wait_for(|told| *told).await.is_err() {}
}

fn report(what: &str, served: std::io::Result<()>) {
    if let Err(error) = served {
        tracing::error!(what, %error, "admin interface ended");
    }
}

fn report_foreign(inherited: &Inherited) {
    for foreign in &inherited.foreign {
        tracing::warn!("{foreign}");
    }
}

/// Writes the counts by destination to their map each second, and follows the kernel's events
/// from the moment there is a kernel half.
async fn keep_counts(steering: Arc<Mutex<Steering>>) {
    let mut events = JoinSet::new();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let mut steering = lock(&steering);
        if let Some(accounts) = steering.accounts()
            && let Err(error) = accounts.flush()
        {
            tracing::warn!(%error, "write counts by destination");
        }
        for reader in steering.take_readers() {
            events.spawn(reader);
        }
    }
}

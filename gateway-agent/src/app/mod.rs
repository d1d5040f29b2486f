//! The wiring: what starts in which order, what stops in which order. Only this module sees
//! everything.
//!
//! Two runtimes on purpose: connections run on one with a thread per core; configuration, admin
//! and signals on one of their own, so that a burst there never delays bytes.

mod assembly;
mod inheritance;
mod life;
mod publication;
mod signals;
mod splicing;
mod state;
mod steering;

use std::fmt;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::config::ConfigErrors;
use crate::control::snapshot::Sockmap;
use crate::ops::{log, systemd};
use crate::sys::descriptors;

/// How to run the agent.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The configuration file.
    pub config: &'a Path,
    /// Level of the own log, instead of the configured one.
    pub log_level: Option<&'a str>,
    /// Form of the own log.
    pub log_form: log::Form,
}

/// Why the agent did not run.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is not one.
    Configuration(ConfigErrors),
    /// Something it needs is not to be had.
    Start(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Start(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(errors) => errors.fmt(f),
            Self::Start(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Failure {}

/// How long tasks that no drain waits for may take to notice the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs the agent until it is told to end, and ends it in order.
///
/// # Errors
/// It could not start.
pub fn run(options: Options<'_>) -> Result<(), Failure> {
    // First of all, before anything opens descriptors: which are the service manager's.
    let inherited = systemd::inherited();
    let descriptors = descriptors::raise_limit();
    let cores = available_parallelism().map_or(1, usize::from);
    let connections = runtime(&mut Builder::new_multi_thread(), cores, "connections")?;
    let control = runtime(&mut Builder::new_current_thread(), 1, "control")?;
    let host = life::Host {
        inherited,
        descriptors,
        cores,
        connections: connections.handle(),
    };
    let ended = control.block_on(life::live(options, host));
    connections.shutdown_timeout(LAST_WORDS);
    control.shutdown_timeout(LAST_WORDS);
    ended
}

/// Tries the sockmap engine out on this kernel: once, as at start, or again and again for some time. How
/// often it passed.
///
/// # Errors
/// Why it would not be used, for people.
pub fn try_sockmap(time: Option<Duration>) -> Result<u64, String> {
    let runtime = runtime(&mut Builder::new_current_thread(), 1, "self-test");
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let kernel = splicing::tried(Sockmap::default(), 1).await?;
        match time {
            None => Ok(1),
            Some(time) => kernel.try_for(time).await,
        }
    })
}

fn runtime(builder: &mut Builder, threads: usize, name: &str) -> Result<Runtime, Failure> {
    let built = builder
        .worker_threads(threads)
        .thread_name(name)
        .enable_all()
        .build();
    built.map_err(|error| Failure::Start(anyhow::Error::new(error).context("start a runtime")))
}

//! The agent's own log: to stderr, as text or JSON, with a level that changes at run time.
//!
//! Where stderr is the journal, each line carries its priority and no time, since the journal has
//! its own. Messages of the `log` crate (aya-log's from the kernel half among them) arrive here
//! too. The access log is not here: it is no diagnosis but a product, and goes to stdout.

use core::fmt;
use std::io::IsTerminal as _;
use std::os::linux::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, reload};

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One readable line a message.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes the level while the agent runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct LevelHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    current: Arc<Mutex<String>>,
}

/// A level or list of directives that does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLevel(String);

/// Starts logging for the whole process. `level` is as in [`LevelHandle::set`].
///
/// # Errors
/// The level does not parse, or logging runs already.
pub fn start(form: Form, level: &str) -> Result<LevelHandle, BadLevel> {
    let (subscriber, handle) = build(form, is_journal(), std::io::stderr);
    // The `log` bridge keeps the level that it finds here for good, so it has to find the widest;
    // the filter decides from then on.
    subscriber
        .try_init()
        .map_err(|error| BadLevel(format!("cannot start logging: {error}")))?;
    handle.set(level)?;
    Ok(handle)
}

impl LevelHandle {
    /// Sets the level: `error`, `warn`, `info`, `debug` or `trace` for culvert's own messages (its
    /// libraries then speak at `warn` and above), or directives such as
    /// `info,gateway_agent::proxy=debug,hickory_resolver=debug` for everything.
    ///
    /// # Errors
    /// It does not parse; the level in force stays.
    pub fn set(&self, level: &str) -> Result<(), BadLevel> {
        let level = level.trim();
        let filter = filter(level)?;
        let failed = |error| BadLevel(format!("cannot change the log level: {error}"));
        self.filter.reload(filter).map_err(failed)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = level.to_owned();
        Ok(())
    }

    /// The level in force, as it was given.
    #[must_use]
    pub fn current(&self) -> String {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Display for BadLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadLevel {}

/// What a level lets through.
fn filter(level: &str) -> Result<EnvFilter, BadLevel> {
    if let Ok(own) = level.parse::<Level>() {
        let others = own.min(Level::WARN);
        let directives = format!("{others},gateway_agent={own},gateway_ebpf={own},culvert={own}");
        return EnvFilter::try_new(directives).map_err(|error| BadLevel(error.to_string()));
    }
    // An empty text and a misspelt level parse, as directives that let nothing of ours through.
    if level.is_empty() || !level.contains(['=', ',']) {
        let expected =
            "expected error, warn, info, debug, trace, or directives like info,hyper=debug";
        return Err(BadLevel(format!("unknown log level {level:?}: {expected}")));
    }
    EnvFilter::try_new(level)
        .map_err(|error| BadLevel(format!("log directives {level:?} do not parse: {error}")))
}

/// The whole subscriber, at the widest level.
pub(super) fn build<W>(
    form: Form,
    journal: bool,
    writer: W,
) -> (impl Subscriber + Send + Sync, LevelHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(EnvFilter::new("trace"));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(!journal && std::io::stderr().is_terminal());
    let lines = match (form, journal) {
        (Form::Json, _) => lines.json().flatten_event(true).boxed(),
        (Form::Text, true) => lines.event_format(Journal::default()).boxed(),
        (Form::Text, false) => lines.boxed(),
    };
    let current = Arc::new(Mutex::new(String::from("trace")));
    (
        tracing_subscriber::registry().with(filter).with(lines),
        LevelHandle {
            filter: handle,
            current,
        },
    )
}

/// Whether stderr is the stream that systemd connected to the journal (systemd.exec(5),
/// `$JOURNAL_STREAM`).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|stderr| stream == format!("{}:{}", stderr.st_dev(), stderr.st_ino()))
}

/// Text lines for the journal: `<priority>` (sd-daemon(3)) and no time.
struct Journal(Format<Full, ()>);

impl Default for Journal {
    fn default() -> Self {
        Self(
            Format::default()
                .without_time()
                .with_level(false)
                .with_ansi(false),
        )
    }
}

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn with(form: Form, journal: bool, scene: impl FnOnce(&LevelHandle, &Lines)) {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, handle) = build(form, journal, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || scene(&handle, &lines));
    }

    #[test]
    fn the_level_changes_at_run_time() {
        with(Form::Text, false, |handle, lines| {
            handle.set("info").unwrap();
            tracing::debug!("unseen");
            assert_eq!(lines.take(), "");
            handle.set("debug").unwrap();
            tracing::debug!("seen");
            assert!(lines.take().contains("seen"));
            assert_eq!(handle.current(), "debug");
        });
    }

    #[test]
    fn a_bad_level_is_refused_and_changes_nothing() {
        with(Form::Text, false, |handle, lines| {
            handle.set("info").unwrap();
            for bad in ["verbose", "", "a=b=c=d"] {
                assert!(handle.set(bad).is_err(), "{bad}");
            }
            assert_eq!(handle.current(), "info");
            tracing::info!("still here");
            assert!(lines.take().contains("still here"));
        });
    }

    #[test]
    fn libraries_stay_quiet_below_warn() {
        with(Form::Text, false, |handle, lines| {
            handle.set("debug").unwrap();
            tracing::debug!(target: "hyper::proto", "chatter");
            assert_eq!(lines.take(), "");
            tracing::warn!(target: "hyper::proto", "trouble");
            assert!(lines.take().contains("trouble"));
        });
    }

    #[test]
    fn the_journal_gets_priorities_and_no_time() {
        with(Form::Text, true, |_, lines| {
            tracing::warn!(n = 1, "careful");
            let line = lines.take();
            assert!(
                line.starts_with("<4>") && line.contains("careful n=1"),
                "{line}"
            );
        });
    }

    #[test]
    fn json_is_one_object_a_line() {
        with(Form::Json, false, |_, lines| {
            tracing::info!(route = "a\u{1b}[31m\nb", "hello");
            let line = lines.take();
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["route"], "a\u{1b}[31m\nb");
            assert_eq!(line.lines().count(), 1);
        });
    }
}

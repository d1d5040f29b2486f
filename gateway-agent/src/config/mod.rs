//! Configuration: the host's file and those of its sources, from text to checked values.
//!
//! source -> syntax (a tree with places) -> blocks, each read by its own file -> conflicts
//! between them -> `Config`. Errors are gathered over all steps and files and told at once. What
//! comes out is right as a whole, so that building a snapshot of it cannot fail. Pure but for
//! `Config::load`, which reads the files.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::control::cluster::Target;
use crate::control::snapshot::{EnginePreference, Limits, Place, Settings};

mod access;
mod conflicts;
mod diagnostic;
mod listener;
mod mesh;
mod reader;
mod report;
mod route;
mod settings;
mod source;
mod syntax;
mod value;

pub use diagnostic::{ConfigErrors, ErrorItem};
pub use listener::{DefaultConfig, ListenerConfig};
pub use mesh::{FilesSource, GatewayConfig, MeshConfig};
pub use report::Setting;
pub use route::RouteConfig;
pub use source::{Sources, Span};

use source::Source;

use diagnostic::Diagnostic;
use reader::{Reader, What};
use syntax::{Item, Value};

/// A configuration that is right as a whole.
#[derive(Debug)]
pub struct Config {
    /// The texts it was read from.
    pub sources: Arc<Sources>,
    /// The instance's name.
    pub instance: Arc<str>,
    /// The datacenter's label.
    pub datacenter: Arc<str>,
    /// At least one listener, unless there is a gateway.
    pub listeners: Vec<ListenerConfig>,
    /// The mesh gateway that we are, if we are one.
    pub gateway: Option<GatewayConfig>,
    /// The mesh, where a gateway or a source of it is configured.
    pub mesh: Option<MeshConfig>,
    /// What else to watch than the host's file: directories.
    pub watched: Vec<PathBuf>,
    /// The routes.
    pub routes: Vec<RouteConfig>,
    /// The global default, if given.
    pub default: Option<DefaultConfig>,
    /// Sizes and times.
    pub limits: Limits,
    /// Engines, best first.
    pub engine: EnginePreference,
    /// What stands beside the data path.
    pub settings: Settings,
    /// Where the settings stand that cannot change at run time.
    fixed: Fixed,
}

/// Places of what cannot change at run time; the start of the file where it is not given.
#[derive(Clone, Copy, Debug, Default)]
struct Fixed {
    instance: Span,
    admin: Span,
    steer: Span,
}

impl Config {
    /// Reads and checks a file, and the files of its sources.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, or that they cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let shown = path.to_string_lossy();
        let text = read_text(path).map_err(|message| ConfigErrors::of_file(&shown, message))?;
        let mut sources = Sources::new(&shown, text);
        let mut errors = Vec::new();
        let folders = folders(&sources);
        mesh::folder::add(&mut sources, &folders, &mut errors);
        Self::check(sources, errors)
    }

    /// Checks a text without sources. `path` is for messages, and decides the language: JSON when
    /// it ends in `.json`, else HCL.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(path: &str, text: String) -> Result<Self, ConfigErrors> {
        Self::parse_all((path, text), Vec::new())
    }

    /// Checks a text together with those of its sources, each with its path.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn parse_all(
        (path, text): (&str, String),
        files: Vec<(String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut sources = Sources::new(path, text);
        let mut errors = Vec::new();
        for (path, text) in files {
            if !sources.add(&path, text) {
                let message = format!("{path}: all files together are bigger than 1 GiB");
                errors.push(Diagnostic::elsewhere(message));
            }
        }
        Self::check(sources, errors)
    }

    fn check(sources: Sources, mut errors: Vec<Diagnostic>) -> Result<Self, ConfigErrors> {
        let sources = Arc::new(sources);
        match read(&sources, &mut errors) {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(ConfigErrors::new(sources, errors)),
        }
    }

    /// Refuses a configuration that differs from `running` in what cannot change at run time.
    ///
    /// # Errors
    ///
    /// Each such difference, with its place and the remedy.
    pub fn check_reload(&self, running: (&str, &Settings)) -> Result<(), ConfigErrors> {
        let (instance, settings) = running;
        let (new, old) = (&self.settings, settings);
        let changed = [
            ("instance", self.fixed.instance, *self.instance == *instance),
            (
                "admin.socket",
                self.fixed.admin,
                new.admin.socket == old.admin.socket,
            ),
            (
                "admin.metrics",
                self.fixed.admin,
                new.admin.metrics == old.admin.metrics,
            ),
            (
                "steer.mode",
                self.fixed.steer,
                new.steer.mode == old.steer.mode,
            ),
            (
                "steer.bpffs",
                self.fixed.steer,
                new.steer.bpffs == old.steer.bpffs,
            ),
        ];
        let errors: Vec<_> = changed
            .into_iter()
            .filter(|(_, _, same)| !same)
            .map(|(name, at, _)| {
                let message = format!("`{name}` cannot change while culvert runs");
                Diagnostic::new(at, message, "changed here")
                    .help("restart culvert, or take the change back")
            })
            .collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(ConfigErrors::new(Arc::clone(&self.sources), errors))
    }

    /// Where a listener or route is configured.
    pub(crate) fn place(&self, at: Span) -> Place {
        self.sources.place(at)
    }
}

/// The normal form of a server name that a person typed.
///
/// # Errors
///
/// Why no hello can have it.
pub(crate) fn server_name(text: &str) -> Result<String, String> {
    match value::route_name(text) {
        Ok(name) if name.starts_with('*') => {
            Err(format!("`{text}` is a route's name, no server's"))
        }
        Ok(name) => Ok(name),
        Err(wrong) => Err(wrong.message),
    }
}

/// The endpoint that an address or host name with a port stands for.
///
/// # Errors
///
/// Why nobody can dial it.
pub(crate) fn endpoint(text: &str) -> Result<Target, String> {
    value::target(text).map_err(|wrong| wrong.message)
}

/// The directories of the sources, before all else is read. What is wrong with them is told when
/// it is.
fn folders(sources: &Sources) -> Vec<FilesSource> {
    let text = sources.main().text();
    // Most files have none, and a big one need not be read twice. A backslash may hide the word.
    if !text.contains("source") && !text.contains('\\') {
        return Vec::new();
    }
    let mut unheard = Vec::new();
    let Some(table) = syntax::parse(sources.main(), &mut unheard) else {
        return Vec::new();
    };
    let mut top = Reader::new(&table, Span::default(), THE_CONFIGURATION, &mut unheard);
    mesh::settings::sources(&mut top, Path::new(&*sources.main().path))
}

const THE_CONFIGURATION: What<'static> = What {
    kind: "the configuration",
    label: None,
};

fn read_text(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot read the configuration: {error}");
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(Source::MOST_BYTES as u64 + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(failed)?;
    if bytes.len() > Source::MOST_BYTES {
        return Err("cannot read the configuration: it is bigger than 256 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..good]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        format!("cannot read the configuration: line {line} is not UTF-8")
    })
}

/// Reads the whole of a source. The result means something only without errors.
fn read(sources: &Arc<Sources>, errors: &mut Vec<Diagnostic>) -> Option<Config> {
    let table = syntax::parse(sources.main(), errors)?;
    let mut top = Reader::new(&table, Span::default(), THE_CONFIGURATION, errors);

    let place = |item: Option<&Item<'_>>| item.map(|item| item.key.at).unwrap_or_default();
    let fixed = Fixed {
        instance: place(top.all("instance").next()),
        admin: place(top.all("admin").next()),
        steer: place(top.all("steer").next()),
    };
    let instance = top
        .parsed("instance", |text| value::identifier(text, "-", 32, false))
        .unwrap_or_else(|| "default".into());
    let datacenter = top
        .parsed("datacenter", |text| value::label(text, 64))
        .unwrap_or_else(|| "".into());
    let limits = settings::limits(&mut top);
    let engine = settings::engine(&mut top);
    let settings = Settings {
        admin: settings::admin(&mut top, &instance),
        log: settings::log(&mut top),
        steer: settings::steer(&mut top),
        dns: settings::dns(&mut top),
        health: settings::health(&mut top),
    };
    let default = listener::default(&mut top);

    let mut listeners = Vec::new();
    for (label, table) in labelled(&mut top, "listener", "listener \"tls\" { ... }") {
        listeners.extend(listener::read(label, table, &datacenter, top.errors()));
    }
    let files = mesh::settings::sources(&mut top, Path::new(&*sources.main().path));
    let mesh_settings = mesh::settings::read(&mut top);
    let gateway = gateway(&mut top);
    let in_mesh = top.has("gateway") || top.has("source");
    if in_mesh {
        mesh::settings::require(&mut top);
    }
    if !top.has("listener") && !top.has("gateway") {
        top.missing(
            "listener",
            "expected `listener \"tls\" { address = \"0.0.0.0:443\" }`",
        );
    }
    let mut routes = Vec::new();
    for (label, table) in labelled(&mut top, "route", "route \"web.example.com\" { ... }") {
        routes.extend(route::read(label, table, top.errors()));
    }
    top.finish();

    let watched = files.iter().map(|source| source.path.clone()).collect();
    let (mesh, gateway) = if in_mesh {
        let (mesh, gateway) =
            mesh::read(sources, &datacenter, mesh_settings, gateway, files, errors);
        (Some(mesh), gateway)
    } else {
        (None, None)
    };

    conflicts::listeners(&listeners, gateway.as_ref(), errors);
    conflicts::routes(&routes, errors);
    let defaults = listeners
        .iter()
        .filter_map(|listener| listener.default.as_ref());
    conflicts::defaults(defaults.chain(&default), &routes, errors);
    if let Some(metrics) = settings.admin.metrics {
        conflicts::metrics((metrics, fixed.admin), &listeners, gateway.as_ref(), errors);
    }
    Some(Config {
        sources: Arc::clone(sources),
        instance,
        datacenter,
        listeners,
        gateway,
        mesh,
        watched,
        routes,
        default,
        limits,
        engine,
        settings,
        fixed,
    })
}

/// The gateway, which may stand once.
fn gateway(top: &mut Reader<'_, '_>) -> Option<mesh::gateway::Block> {
    let blocks = labelled(top, "gateway", "gateway \"mesh\" { ... }");
    if let [((_, first), _), ((_, again), _), ..] = blocks[..] {
        let message = "there are two gateways";
        let twice = Diagnostic::new(again, message, "expected one `gateway` block");
        top.error(twice.also(first, "the first one"));
    }
    let mut read = blocks
        .into_iter()
        .map(|(label, table)| mesh::gateway::read(label, table, top.errors()));
    // The others are still checked.
    let first = read.next().flatten();
    read.for_each(drop);
    first
}

/// A label, its place and the body of a block.
type Labelled<'r, 's> = ((&'r str, Span), &'r syntax::Table<'s>);

/// The blocks of one kind, each with its label: `kind "label" { ... }`, or as an object of
/// objects, as JSON has them.
fn labelled<'r, 's>(
    top: &mut Reader<'r, 's>,
    kind: &'static str,
    example: &str,
) -> Vec<Labelled<'r, 's>> {
    let mut all = Vec::new();
    for item in top.all(kind) {
        match (&item.labels[..], &item.value.value) {
            (_, Value::Broken) => {}
            ([label], Value::Table(body)) => all.push(((&*label.value, label.at), body)),
            ([], Value::Table(object)) if !object.items.is_empty() => {
                for inner in &object.items {
                    match &inner.value.value {
                        Value::Table(body) if inner.labels.is_empty() => {
                            all.push(((&*inner.key.value, inner.key.at), body));
                        }
                        Value::Broken => {}
                        _ => top.error(bad_block(kind, example, inner.key.at)),
                    }
                }
            }
            _ => top.error(bad_block(kind, example, item.key.at)),
        }
    }
    all
}

fn bad_block(kind: &str, example: &str, at: Span) -> Diagnostic {
    let message = format!("a {kind} is a block with one label");
    Diagnostic::new(at, message, format!("expected `{example}`"))
}

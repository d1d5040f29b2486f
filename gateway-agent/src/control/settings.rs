//! Settings: what a configuration says beside listeners and routes, with every default.
//!
//! Plain values; the snapshot carries them, and `check` prints them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Sizes and times of the data path. The defaults are those of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From accept to the end of the hello.
    pub hello_timeout: Duration,
    /// Largest handshake message, in bytes.
    pub hello_size: usize,
    /// One dial, unless the route says otherwise.
    pub connect_timeout: Duration,
    /// Dials per connection, over different endpoints.
    pub connect_attempts: u32,
    /// Head start of one address family over the other (RFC 8305 section 5).
    pub attempt_delay: Duration,
    /// No byte either way for so long closes the connection, unless the route says otherwise.
    pub idle_timeout: Duration,
    /// How long one direction may stay open without a byte after the other ended.
    pub half_close_timeout: Duration,
    /// Connections at one time; `None`: computed from the descriptor limit.
    pub connections: Option<u64>,
    /// How long live connections may finish after SIGTERM.
    pub drain_timeout: Duration,
    /// TCP keepalive time of both sockets; `None`: off.
    pub keepalive: Option<Duration>,
    /// Length of the accept queue.
    pub backlog: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello_timeout: Duration::from_secs(5),
            // A post-quantum hello is under 2 KiB; 64 KiB is what other TLS stacks accept at most.
            hello_size: 64 * 1024,
            connect_timeout: Duration::from_secs(5),
            connect_attempts: 3,
            // RFC 8305 section 8 recommends this.
            attempt_delay: Duration::from_millis(250),
            // Envoy's, which users of mesh gateways are used to.
            idle_timeout: Duration::from_secs(3600),
            half_close_timeout: Duration::from_secs(300),
            connections: None,
            drain_timeout: Duration::from_secs(30),
            keepalive: Some(Duration::from_secs(60)),
            // The kernel cuts it to net.core.somaxconn, which is 4096 since Linux 5.4.
            backlog: 4096,
        }
    }
}

/// One way to splice two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// A kernel program rewrites segments.
    Packet,
    /// A kernel program redirects from socket to socket.
    Sockmap,
    /// The agent moves the bytes.
    Copy,
}

impl EngineKind {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Packet, Self::Sockmap, Self::Copy];

    /// The word of configuration, logs and tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Packet => "packet",
            Self::Sockmap => "sockmap",
            Self::Copy => "copy",
        }
    }
}

/// The engines to try, best first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnginePreference {
    /// The list as configured.
    pub prefer: Vec<EngineKind>,
    /// What the sockmap engine may do.
    pub sockmap: Sockmap,
}

/// What the sockmap engine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sockmap {
    /// Bytes that may wait in the kernel for one direction.
    pub budget: u32,
    /// What a socket's send buffer, and its window, may grow to; none: the host's own limits.
    pub buffer: Option<u32>,
    /// Bytes that may wait so for all connections together.
    pub total: u64,
    /// How long the self-test at start may take; zero: the engine is not used.
    pub self_test: Duration,
}

impl Default for Sockmap {
    fn default() -> Self {
        Self {
            // Some kernel work is always behind: a few of the largest segments keep it busy.
            budget: 256 * 1024,
            buffer: None,
            // A thousand directions that have all they may.
            total: 256 * 1024 * 1024,
            // Several times what it takes where nothing is wrong.
            self_test: Duration::from_secs(2),
        }
    }
}

impl Default for EnginePreference {
    fn default() -> Self {
        Self {
            prefer: vec![EngineKind::Copy],
            sockmap: Sockmap::default(),
        }
    }
}

/// What the agent needs beside the data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Admin socket and metrics address.
    pub admin: Admin,
    /// Own log and access log.
    pub log: Log,
    /// Kernel steering.
    pub steer: Steer,
    /// Name resolution of endpoints.
    pub dns: Dns,
    /// Passive health of endpoints.
    pub health: Health,
}

/// Where the agent answers operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Path of the unix socket.
    pub socket: PathBuf,
    /// TCP address for metrics, health and readiness only.
    pub metrics: Option<SocketAddr>,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Level of the own log, on stderr.
    pub level: LogLevel,
    /// Form of the access log, on stdout.
    pub access: AccessLog,
}

/// Level of the agent's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Only what needs a person.
    Error,
    /// And what will need one soon.
    Warn,
    /// And what changes.
    #[default]
    Info,
    /// And what every connection does.
    Debug,
    /// And all else.
    Trace,
}

impl LogLevel {
    /// The word of configuration and of `culvert log-level`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Form of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLog {
    /// `key=value` lines.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// None.
    Off,
}

/// Kernel steering of whole destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steer {
    /// Whether it is used.
    pub mode: SteerMode,
    /// Where the BPF file system is mounted.
    pub bpffs: PathBuf,
}

/// Whether steering is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SteerMode {
    /// If destinations are configured and the kernel can; else they are reported unavailable.
    #[default]
    Auto,
    /// Never.
    Off,
    /// The agent does not start without it.
    Required,
}

/// How endpoint names are resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Servers to ask; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// An answer is kept at least so long.
    pub min_ttl: Duration,
    /// An answer is kept at most so long.
    pub max_ttl: Duration,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(3600),
        }
    }
}

/// When endpoints are ejected after failed dials. The defaults are Envoy's, which users of mesh
/// gateways are used to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Failed dials in a row that eject an endpoint.
    pub failures: u32,
    /// First ejection; the n-th in short succession lasts n times as long.
    pub ejection_time: Duration,
    /// Longest ejection.
    pub max_ejection_time: Duration,
    /// At most this share of a route's endpoints is ejected at one time, but at least one may be.
    pub max_ejected_percent: u8,
    /// With fewer usable endpoints than this share, all are used.
    pub panic_percent: u8,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            failures: 5,
            ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejected_percent: 10,
            panic_percent: 50,
        }
    }
}

//! Why the kernel half could not do what was asked, and what to do about it.

use core::{error::Error, fmt};
use std::{io, path::PathBuf};

use ipnet::IpNet;

/// Where errors of aya end: callers branch on what failed, and print why.
type Source = Box<dyn Error + Send + Sync>;

/// A failure of the kernel half.
#[derive(Debug)]
pub enum BpfError {
    /// The binary was built without a kernel object.
    NoObject,
    /// The instance's name cannot be part of a pin path.
    Instance {
        /// The name.
        name: String,
    },
    /// No bpffs at the path.
    NotMounted {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file or directory of the pin tree could not be used.
    Pin {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another agent runs this instance.
    Locked {
        /// The instance.
        instance: String,
    },
    /// The instance has pins of another ABI.
    ForeignAbi {
        /// Their directory.
        path: PathBuf,
        /// Their ABI.
        found: u32,
        /// This binary's.
        expected: u32,
    },
    /// A pinned map is not what this ABI says.
    ForeignMap {
        /// Path of the pin.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// The object, a program or its link could not be loaded or attached.
    Program {
        /// Its name.
        name: &'static str,
        /// What was tried, as a verb.
        operation: &'static str,
        /// Why it failed.
        source: Source,
    },
    /// A map could not be read or written.
    Map {
        /// Its name.
        name: &'static str,
        /// What was tried, as a verb.
        operation: &'static str,
        /// Why it failed.
        source: Source,
    },
    /// A map has no room.
    Full {
        /// Its name.
        name: &'static str,
        /// Entries wanted.
        wanted: usize,
        /// Entries that it holds.
        capacity: usize,
    },
    /// No map of that name.
    UnknownMap {
        /// The name.
        name: String,
    },
    /// More different sets of destinations than there are port classes.
    Classes,
    /// A name does not fit its map.
    NameTooLong {
        /// The name.
        name: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// A local route could not be listed, added or removed.
    LocalRoute {
        /// The prefix, where there is one.
        prefix: Option<IpNet>,
        /// What was tried, as a verb.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl BpfError {
    pub(super) fn program(
        name: &'static str,
        operation: &'static str,
        source: impl Into<Source>,
    ) -> Self {
        Self::Program {
            name,
            operation,
            source: source.into(),
        }
    }

    pub(super) fn map(
        name: &'static str,
        operation: &'static str,
        source: impl Into<Source>,
    ) -> Self {
        Self::Map {
            name,
            operation,
            source: source.into(),
        }
    }

    /// What the operator can do, as an imperative.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoObject => "build it with `cargo xtask ebpf`, then build culvert again".into(),
            Self::Instance { .. } => "use letters, digits, - and _, at most 64".into(),
            Self::NotMounted { path } => {
                format!("mount it: `mount -t bpf bpf {}`", path.display())
            }
            Self::Pin { .. } => {
                "run as root or with CAP_BPF and CAP_NET_ADMIN, and let no one else write there"
                    .into()
            }
            Self::Locked { .. } => "stop the other agent, or give this gateway another name".into(),
            Self::ForeignAbi { path, .. } => format!(
                "run `culvert detach` of the version that made it, or remove {}",
                path.display()
            ),
            Self::ForeignMap { path, .. } => format!(
                "run `culvert detach`, or remove {}",
                path.parent().unwrap_or(path).display()
            ),
            Self::Program { .. } | Self::Map { .. } => {
                "run `culvert check`: it names what this kernel or these privileges lack".into()
            }
            Self::Full { name, .. } => {
                format!("raise the size of {name}, then run `culvert detach` and start again")
            }
            Self::UnknownMap { .. } => {
                let names: Vec<_> = super::decode::names().collect();
                format!("name one of {}", names.join(", "))
            }
            Self::Classes => "use fewer different port ranges".into(),
            Self::NameTooLong { .. } => "use a shorter name".into(),
            Self::LocalRoute { .. } => {
                "run as root or with CAP_NET_ADMIN, and set lo up: `ip link set lo up`".into()
            }
        }
    }
}

impl fmt::Display for BpfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject => write!(f, "this binary was built without the kernel object"),
            Self::Instance { name } => write!(f, "instance name {name:?} cannot name a pin"),
            Self::NotMounted { path } => write!(f, "no bpffs is mounted at {}", path.display()),
            Self::Pin {
                path,
                operation,
                source,
            } => {
                write!(f, "cannot {operation} {}: {source}", path.display())
            }
            Self::Locked { instance } => write!(f, "another agent runs instance {instance}"),
            Self::ForeignAbi {
                path,
                found,
                expected,
            } => {
                write!(
                    f,
                    "{} has ABI {found}, this culvert has ABI {expected}",
                    path.display()
                )
            }
            Self::ForeignMap {
                path,
                found,
                expected,
            } => {
                write!(
                    f,
                    "pinned map {} is {found}, expected {expected}",
                    path.display()
                )
            }
            Self::Program {
                name,
                operation,
                source,
            } => {
                write!(f, "cannot {operation} program {name}: {source}")
            }
            Self::Map {
                name,
                operation,
                source,
            } => {
                write!(f, "cannot {operation} map {name}: {source}")
            }
            Self::Full {
                name,
                wanted,
                capacity,
            } => {
                write!(
                    f,
                    "map {name} holds {capacity} entries, {wanted} are wanted"
                )
            }
            Self::UnknownMap { name } => write!(f, "no map is called {name}"),
            Self::Classes => write!(f, "more than 65535 different sets of destinations by port"),
            Self::NameTooLong { name, limit } => {
                write!(
                    f,
                    "name {name:?} has {} bytes, the limit is {limit}",
                    name.len()
                )
            }
            Self::LocalRoute {
                prefix: Some(prefix),
                operation,
                source,
            } => {
                write!(f, "cannot {operation} local route {prefix}: {source}")
            }
            Self::LocalRoute {
                prefix: None,
                operation,
                source,
            } => {
                write!(f, "cannot {operation} local routes: {source}")
            }
        }
    }
}

impl Error for BpfError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pin { source, .. } | Self::LocalRoute { source, .. } => Some(source),
            Self::Program { source, .. } | Self::Map { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}

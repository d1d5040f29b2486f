//! Reads the pinned maps of every instance back into rows for people and programs: `culvert maps`.
//!
//! Works with no agent, and beside one: it takes no lock and writes nothing. A map of another ABI, or of
//! sizes that this ABI does not know, is an error that says so; its bytes can be had by [`Pinned::raw`].

mod rows;
mod table;

use std::{fs, io, path::Path, path::PathBuf};

use gateway_common::abi::ABI;

pub use table::{Cell, RawTable, Table};

use super::{
    BpfError,
    layout::{self, Layout},
    pins,
    raw::RawMap,
    splice,
};

/// The pins of one instance under one ABI.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pinned {
    /// Name of the gateway.
    pub instance: String,
    /// Number of the layout.
    pub abi: u32,
    /// Whose maps they are.
    pub half: Half,
    /// Their directory.
    pub path: PathBuf,
}

/// The two programs have maps of their own, pinned apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// Those of `steer`, which outlive the agent.
    Steer,
    /// Those of `splice`, which do not.
    Splice,
}

impl Half {
    fn layouts(self) -> &'static [Layout] {
        match self {
            Self::Steer => &layout::ALL,
            Self::Splice => &layout::SPLICE,
        }
    }
}

/// Every instance's pins below a bpffs, in order of names.
pub fn find(bpffs: &Path) -> Result<Vec<Pinned>, BpfError> {
    if !pins::is_bpffs(bpffs) {
        return Err(BpfError::NotMounted {
            path: bpffs.to_owned(),
        });
    }
    let mut found = Vec::new();
    for (instance, root) in directory(&bpffs.join("culvert"))? {
        for (name, path) in directory(&root)? {
            let splice = name.strip_prefix(splice::PINS);
            let half = if splice.is_some() {
                Half::Splice
            } else {
                Half::Steer
            };
            let splice_abi = splice.and_then(|abi| abi.parse().ok());
            if let Some(abi) = splice_abi.or_else(|| pins::abi_of(&name)) {
                found.push(Pinned {
                    instance: instance.clone(),
                    abi,
                    half,
                    path,
                });
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Names of the maps of this ABI, in the order in which they make sense.
pub fn names() -> impl Iterator<Item = &'static str> {
    let all = layout::ALL.iter().chain(&layout::SPLICE);
    all.map(|layout| layout.name)
}

impl Pinned {
    /// Whether a map is one of these.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.half
            .layouts()
            .iter()
            .any(|layout| layout.name.eq_ignore_ascii_case(name))
    }

    /// Decodes one map.
    pub fn table(&self, name: &str) -> Result<Table, BpfError> {
        let layout = self
            .half
            .layouts()
            .iter()
            .find(|layout| layout.name.eq_ignore_ascii_case(name));
        let layout = layout.ok_or_else(|| BpfError::UnknownMap {
            name: name.to_owned(),
        })?;
        if self.abi != ABI {
            let path = self.path.join(layout.name);
            return Err(BpfError::ForeignAbi {
                path,
                found: self.abi,
                expected: ABI,
            });
        }
        let (columns, rows) = rows::decode(self, layout)?;
        Ok(Table {
            instance: self.instance.clone(),
            abi: self.abi,
            map: layout.name,
            kind: layout.kind.name(),
            capacity: self.open(layout)?.capacity(),
            columns,
            rows,
        })
    }

    /// Compares every map with its layout, as an agent does before it adopts them.
    pub fn check(&self) -> Result<(), BpfError> {
        if self.abi != ABI {
            let path = self.path.clone();
            return Err(BpfError::ForeignAbi {
                path,
                found: self.abi,
                expected: ABI,
            });
        }
        self.half
            .layouts()
            .iter()
            .try_for_each(|layout| self.open(layout).map(drop))
    }

    /// The bytes of one pinned map, of any ABI and size.
    pub fn raw(&self, name: &str) -> Result<RawTable, BpfError> {
        let known = directory(&self.path)?.into_iter();
        let found = known
            .into_iter()
            .find(|(pin, _)| pin.eq_ignore_ascii_case(name));
        let (map, path) = found.ok_or_else(|| BpfError::UnknownMap {
            name: name.to_owned(),
        })?;
        let unread = |source| BpfError::Pin {
            path: path.clone(),
            operation: "read",
            source,
        };
        let raw = RawMap::open(&path).map_err(|error| unread(io::Error::other(error)))?;
        Ok(RawTable {
            instance: self.instance.clone(),
            abi: self.abi,
            map,
            key_bytes: raw.key_bytes(),
            value_bytes: raw.value_bytes(),
            entries: raw.entries().map_err(unread)?,
        })
    }

    /// Opens a map whose sizes are those of its layout.
    fn open(&self, layout: &Layout) -> Result<RawMap, BpfError> {
        let path = self.path.join(layout.name);
        let raw = RawMap::open(&path)
            .map_err(|error| BpfError::map(layout.name, "open pinned", error))?;
        match raw.differs(layout) {
            None => Ok(raw),
            Some(found) => Err(BpfError::ForeignMap {
                path,
                found,
                expected: layout.describe(),
            }),
        }
    }
}

/// Names and paths in a directory; empty when there is none.
fn directory(path: &Path) -> Result<Vec<(String, PathBuf)>, BpfError> {
    let failed = |source| BpfError::Pin {
        path: path.to_owned(),
        operation: "read",
        source,
    };
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    entries
        .map(|entry| {
            let entry = entry.map_err(failed)?;
            Ok((
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            ))
        })
        .collect()
}

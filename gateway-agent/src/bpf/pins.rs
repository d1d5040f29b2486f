//! The pin tree: `<bpffs>/culvert/<instance>/abi-<n>/` holds the maps and the link of one instance.
//!
//! The directory is filled aside, as `new-<pid>`, and renamed when complete; it is renamed to `old-<pid>`
//! before it is taken apart. So `abi-<n>` is whole whenever it exists, also after a kill. The instance's
//! directory carries the lock of its one agent, which the kernel lets go when the agent dies.
//!
//! Names in bpffs may hold no dot.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use gateway_common::abi::ABI;
use rustix::fs::{FlockOperation, flock, statfs};

use super::{BpfError, Settings};

/// `f_type` of bpffs (`BPF_FS_MAGIC`).
const BPFFS_MAGIC: u32 = 0xcafe_4a11;

/// Name of the pinned link of `steer`.
pub(crate) const STEER_LINK: &str = "steer_link";

/// Name under which a link that will replace it is pinned.
const STEER_LINK_NEXT: &str = "steer_link_next";

const INSTANCE_BYTES: usize = 64;

/// The instance's directory, locked for this process.
#[derive(Debug)]
pub(crate) struct Pins {
    root: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Pins {
    /// Locks the instance, makes its directory if there is none, clears what a killed agent left half
    /// done, and refuses pins of another ABI.
    pub(crate) fn lock(settings: &Settings) -> Result<Self, BpfError> {
        let instance = &settings.instance;
        if !valid_instance(instance) {
            return Err(BpfError::Instance {
                name: instance.clone(),
            });
        }
        if !is_bpffs(&settings.bpffs) {
            return Err(BpfError::NotMounted {
                path: settings.bpffs.clone(),
            });
        }
        let root = settings.bpffs.join("culvert").join(instance);
        let lock = lock(&root, instance)?;
        let pins = Self { root, _lock: lock };
        pins.tidy()?;
        Ok(pins)
    }

    /// Where the complete pins are.
    pub(crate) fn current(&self) -> PathBuf {
        self.root.join(format!("abi-{ABI}"))
    }

    /// Makes an empty directory to fill before [`Self::activate`].
    pub(crate) fn aside(&self) -> Result<PathBuf, BpfError> {
        let path = self.root.join(format!("new-{}", std::process::id()));
        fs::create_dir(&path).map_err(failed("make", &path))?;
        Ok(path)
    }

    /// Makes the filled directory the current one.
    pub(crate) fn activate(&self, aside: &Path) -> Result<(), BpfError> {
        fs::rename(aside, self.current()).map_err(failed("rename", aside))
    }

    /// Removes what a failed start put aside. If that fails too, the next start does it.
    pub(crate) fn discard(&self, aside: &Path) {
        if let Err(error) = remove_dir(aside) {
            tracing::debug!(%error, "what was put aside stays until the next start");
        }
    }

    /// Where to pin a link before [`Self::replace_link`] puts it in its place.
    pub(crate) fn next_link(&self) -> PathBuf {
        self.current().join(STEER_LINK_NEXT)
    }

    /// Puts the next link in the place of the current one. The kernel detaches the old link when its
    /// last reference goes, that is now: the new one has been attached before.
    pub(crate) fn replace_link(&self) -> Result<(), BpfError> {
        let (next, link) = (self.next_link(), self.current().join(STEER_LINK));
        fs::rename(&next, link).map_err(failed("rename", &next))
    }

    /// Removes every pin of the instance, and its directory.
    pub(crate) fn remove(self) -> Result<(), BpfError> {
        let (current, old) = (
            self.current(),
            self.root.join(format!("old-{}", std::process::id())),
        );
        match fs::rename(&current, &old) {
            Ok(()) => remove_dir(&old)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("rename", &current)(error)),
        }
        self.remove_windows()?;
        fs::remove_dir(&self.root).map_err(failed("remove", &self.root))?;
        // The parent goes with its last instance; others keep it.
        match self.root.parent().map(fs::remove_dir) {
            Some(Err(error)) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                Err(failed("remove parent of", &self.root)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the pins of `splice`, of any ABI: they are only for people to look at.
    fn remove_windows(&self) -> Result<(), BpfError> {
        for entry in fs::read_dir(&self.root).map_err(failed("read", &self.root))? {
            let path = entry.map_err(failed("read", &self.root))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            if name.is_some_and(|name| name.starts_with(super::splice::PINS)) {
                remove_dir(&path)?;
            }
        }
        Ok(())
    }

    fn tidy(&self) -> Result<(), BpfError> {
        for entry in fs::read_dir(&self.root).map_err(failed("read", &self.root))? {
            let path = entry.map_err(failed("read", &self.root))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with("new-") || name.starts_with("old-") {
                remove_dir(&path)?;
            } else if let Some(found) = abi_of(name).filter(|found| *found != ABI) {
                return Err(BpfError::ForeignAbi {
                    path,
                    found,
                    expected: ABI,
                });
            }
        }
        let half = self.next_link();
        match fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &half)(error))
            }
            _ => Ok(()),
        }
    }
}

/// The ABI that a directory's name states.
pub(crate) fn abi_of(name: &str) -> Option<u32> {
    name.strip_prefix("abi-")?.parse().ok()
}

/// Whether a name can stand in a pin path.
pub(crate) fn valid_instance(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=INSTANCE_BYTES).contains(&name.len()) && name.bytes().all(plain)
}

/// Whether bpffs is mounted at a path.
pub(crate) fn is_bpffs(path: &Path) -> bool {
    // The field is signed on some architectures: its low 32 bits are the number.
    statfs(path).is_ok_and(|found| found.f_type as u64 & 0xffff_ffff == u64::from(BPFFS_MAGIC))
}

/// Opens and locks the instance's directory. Another agent may remove it between the two: then again.
fn lock(root: &Path, instance: &str) -> Result<File, BpfError> {
    loop {
        fs::create_dir_all(root).map_err(failed("make", root))?;
        let directory = match File::open(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(failed("open", root))?,
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BpfError::Locked {
                    instance: instance.to_owned(),
                });
            }
            Err(error) => return Err(failed("lock", root)(error.into())),
        }
        let held = directory.metadata().map_err(failed("read", root))?;
        if fs::metadata(root).is_ok_and(|now| now.ino() == held.ino()) {
            return Ok(directory);
        }
    }
}

/// Removes a directory of pins; bpffs has no directories below it.
fn remove_dir(path: &Path) -> Result<(), BpfError> {
    fs::remove_dir_all(path).map_err(failed("remove", path))
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> BpfError {
    let path = path.to_owned();
    move |source| BpfError::Pin {
        path: path.clone(),
        operation,
        source,
    }
}

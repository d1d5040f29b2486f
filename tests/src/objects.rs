//! Kernel objects that a process holds, and whether they still exist: programs and maps by their ids.
//!
//! Ids are unique while the host runs, so one that is gone is not taken for a later one.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A loaded program.
    Program,
    /// A map.
    Map,
}

/// An object in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its type, as a number of the kernel's (`bpf_prog_type`, `bpf_map_type`).
    pub subtype: u32,
    /// Its id.
    pub id: u32,
}

/// `BPF_PROG_TYPE_SK_SKB`: what `splice` is.
pub const SK_SKB: u32 = 14;

/// The programs and maps that a process has open.
pub fn of_process(pid: u32) -> Result<BTreeSet<Object>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let mut objects = BTreeSet::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
        // A descriptor may close while we look.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let value = |name| {
            let found = text.lines().find_map(|line| line.strip_prefix(name));
            found.and_then(|value| value.trim().parse().ok())
        };
        let program = (Kind::Program, value("prog_type:"), value("prog_id:"));
        let map = (Kind::Map, value("map_type:"), value("map_id:"));
        for found in [program, map] {
            if let (kind, Some(subtype), Some(id)) = found {
                objects.insert(Object { kind, subtype, id });
            }
        }
    }
    Ok(objects)
}

impl Object {
    /// Whether the kernel still has it.
    pub fn exists(self) -> Result<bool> {
        match self.open() {
            Ok(_descriptor) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).with_context(|| format!("cannot look for {self:?}")),
        }
    }

    #[expect(
        unsafe_code,
        reason = "no crate of the tree wraps these commands of bpf(2)"
    )]
    fn open(self) -> io::Result<OwnedFd> {
        /// The part of the kernel's `union bpf_attr` for ids.
        #[repr(C)]
        struct Attributes {
            id: u32,
            next_id: u32,
            flags: u32,
        }
        const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
        const BPF_MAP_GET_FD_BY_ID: libc::c_int = 14;
        let command = match self.kind {
            Kind::Program => BPF_PROG_GET_FD_BY_ID,
            Kind::Map => BPF_MAP_GET_FD_BY_ID,
        };
        let attributes = Attributes {
            id: self.id,
            next_id: 0,
            flags: 0,
        };
        // SAFETY: the attributes are those of the command and live across the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = i32::try_from(result).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor, for us alone.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
    }
}

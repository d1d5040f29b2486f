//! Map entries as bytes, of any pinned map: what `culvert maps` decodes or shows as it is.
//!
//! aya's typed maps take a pin only at the size that they expect; this reads what is there, also what
//! another version of culvert made.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use aya::{
    maps::{MapData, MapError, MapInfo},
    util::nr_cpus,
};
use rustix::io::Errno;

use super::layout::{self, Kind};

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_GET_NEXT_KEY: libc::c_int = 4;

/// A pinned map, whatever its sizes.
pub(crate) struct RawMap {
    data: MapData,
    info: MapInfo,
}

/// Key and value of one entry.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

impl RawMap {
    pub(crate) fn open(path: &Path) -> Result<Self, MapError> {
        let data = MapData::from_pin(path)?;
        let info = data.info()?;
        Ok(Self { data, info })
    }

    /// The kernel's number of the map's kind.
    pub(crate) fn kind(&self) -> u32 {
        self.info.map_type().map_or(0, |kind| kind as u32)
    }

    pub(crate) fn key_bytes(&self) -> u32 {
        self.info.key_size()
    }

    /// Of one CPU where there is a value for each.
    pub(crate) fn value_bytes(&self) -> u32 {
        self.info.value_size()
    }

    /// Entries that it can hold; bytes for a ring buffer.
    pub(crate) fn capacity(&self) -> u32 {
        self.info.max_entries()
    }

    /// How it differs from a layout, in words.
    pub(crate) fn differs(&self, layout: &layout::Layout) -> Option<String> {
        layout::difference(layout, self.kind(), self.key_bytes(), self.value_bytes())
    }

    /// Every entry. A map that is written meanwhile may repeat or skip some; it always ends.
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        if self.kind() == Kind::Ring.number() {
            return Ok(entries);
        }
        let mut key = None;
        for _ in 0..self.capacity() {
            let Some(next) = self.next_key(key.as_deref())? else {
                break;
            };
            if let Some(value) = self.lookup(&next)? {
                entries.push((next.clone(), value));
            }
            key = Some(next);
        }
        Ok(entries)
    }

    fn next_key(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.key_bytes() as usize];
        let found = self.call(BPF_MAP_GET_NEXT_KEY, key, &mut next)?;
        Ok(found.then_some(next))
    }

    fn lookup(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.room()?];
        let found = self.call(BPF_MAP_LOOKUP_ELEM, Some(key), &mut value)?;
        Ok(found.then_some(value))
    }

    /// Bytes that the kernel writes for a value: of every possible CPU, each padded to eight bytes, for
    /// maps that have one for each.
    fn room(&self) -> io::Result<usize> {
        let one = self.value_bytes() as usize;
        if !Kind::of(self.kind()).is_some_and(Kind::is_per_cpu) {
            return Ok(one);
        }
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        Ok(one.next_multiple_of(8) * cpus)
    }

    /// One command on an element; false when there is none.
    fn call(&self, command: libc::c_int, key: Option<&[u8]>, out: &mut [u8]) -> io::Result<bool> {
        /// The part of the kernel's `union bpf_attr` for commands on elements.
        #[repr(C)]
        struct Attributes {
            map_fd: u32,
            padding: u32,
            key: u64,
            out: u64,
            flags: u64,
        }
        let attributes = Attributes {
            map_fd: self.data.fd().as_fd().as_raw_fd().unsigned_abs(),
            padding: 0,
            key: key.map_or(0, |key| key.as_ptr() as u64),
            out: out.as_mut_ptr() as u64,
            flags: 0,
        };
        // SAFETY: the descriptor is a map's. `key` is null or as long as the map's keys, since it came
        // from `next_key`; `out` is as long as what the command writes there.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                &raw const attributes,
                size_of::<Attributes>(),
            )
        };
        if result == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        if Errno::from_io_error(&error) == Some(Errno::NOENT) {
            Ok(false)
        } else {
            Err(error)
        }
    }
}

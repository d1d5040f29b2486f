//! The maps of `splice`, by system calls of our own: sockets go in with 64-bit values, which aya's map
//! of sockets does not know, and everything else is read and written once a connection or more often.

use core::mem::MaybeUninit;
use std::{
    collections::HashMap as Table,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
};

use aya::{
    Ebpf, Pod,
    maps::{Map, MapData},
    programs::ProgramFd,
    util::nr_cpus,
};
use gateway_common::abi::{
    route::{DATACENTER_BYTES, RouteName, SERVICE_BYTES, padded},
    splice::{Forwarded, SpliceCount, SpliceStats, Stream},
};
use rustix::io::Errno;

use super::super::BpfError;

const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_MAP_DELETE_ELEM: libc::c_int = 3;
const BPF_PROG_ATTACH: libc::c_int = 8;
/// `BPF_SK_SKB_STREAM_VERDICT`.
const STREAM_VERDICT: u32 = 5;

/// The maps, none of them pinned by itself.
#[derive(Debug)]
pub(super) struct Maps {
    pub(super) peers: MapData,
    pub(super) streams: MapData,
    pub(super) forwarded: MapData,
    pub(super) stats: MapData,
    pub(super) routes: MapData,
    pub(super) counts: MapData,
    cpus: usize,
}

impl Maps {
    pub(super) fn take(object: &mut Ebpf) -> Result<Self, BpfError> {
        let mut take = |name: &'static str| match object.take_map(name) {
            Some(
                Map::SockHash(map)
                | Map::HashMap(map)
                | Map::PerCpuHashMap(map)
                | Map::PerCpuArray(map),
            ) => Ok(map),
            _ => Err(BpfError::map(name, "find", "the object lacks it")),
        };
        Ok(Self {
            peers: take("PEERS")?,
            streams: take("STREAMS")?,
            forwarded: take("FORWARDED")?,
            stats: take("SPLICE_STATS")?,
            routes: take("SPLICE_ROUTES")?,
            counts: take("SPLICE_COUNTS")?,
            cpus: nr_cpus().map_err(|(_, error)| BpfError::map("SPLICE_STATS", "size", error))?,
        })
    }

    /// Has the program judge what arrives at every socket that is put into `PEERS` from now on.
    pub(super) fn attach(&self, program: &ProgramFd) -> io::Result<()> {
        /// The part of the kernel's `union bpf_attr` for attaching.
        #[repr(C)]
        struct Attributes {
            target_fd: u32,
            program_fd: u32,
            kind: u32,
            flags: u32,
        }
        let attributes = Attributes {
            target_fd: raw(&self.peers),
            program_fd: program.as_fd().as_raw_fd().unsigned_abs(),
            kind: STREAM_VERDICT,
            flags: 0,
        };
        bpf(BPF_PROG_ATTACH, &attributes)
    }

    /// Makes the rows of a direction.
    pub(super) fn add(&self, cookie: u64, row: &Forwarded) -> io::Result<()> {
        write(&self.streams, &cookie, &Stream::default())?;
        write(&self.forwarded, &cookie, row)
    }

    /// Gives a cookie its peer.
    pub(super) fn insert(&self, cookie: u64, peer: BorrowedFd<'_>) -> io::Result<()> {
        let descriptor = u64::from(peer.as_raw_fd().unsigned_abs());
        write(&self.peers, &cookie, &descriptor)
    }

    pub(super) fn replace(&self, cookie: u64, row: &Forwarded) -> io::Result<()> {
        write(&self.forwarded, &cookie, row)
    }

    /// Removes the rows of a direction; the sockets stay in `PEERS` until they close.
    pub(super) fn remove(&self, cookie: u64) {
        for map in [&self.streams, &self.forwarded] {
            let removed = element(
                BPF_MAP_DELETE_ELEM,
                map,
                &cookie,
                core::ptr::null_mut::<u8>(),
            );
            if let Err(error) = removed {
                tracing::debug!(%error, "remove a row of a connection that ended");
            }
        }
    }

    pub(super) fn stream(&self, cookie: u64) -> io::Result<Stream> {
        read(&self.streams, &cookie)
    }

    /// A counter, all CPUs together.
    pub(super) fn count(&self, counter: SpliceCount) -> Result<u64, BpfError> {
        let values: Vec<u64> = self
            .per_cpu(&self.counts, counter as u32)
            .map_err(|error| BpfError::map("SPLICE_COUNTS", "read", error))?;
        Ok(values.into_iter().fold(0, u64::wrapping_add))
    }

    /// The counts of a route, all CPUs together.
    pub(super) fn stats(&self, route: u32) -> Result<SpliceStats, BpfError> {
        let values: Vec<SpliceStats> = self
            .per_cpu(&self.stats, route)
            .map_err(|error| BpfError::map("SPLICE_STATS", "read", error))?;
        Ok(sum(values))
    }

    fn add_route(&self, id: u32, name: &RouteName) -> io::Result<()> {
        let zeros = vec![SpliceStats::default(); self.cpus];
        element(
            BPF_MAP_UPDATE_ELEM,
            &self.stats,
            &id,
            zeros.as_ptr().cast_mut(),
        )?;
        write(&self.routes, &id, name)
    }

    /// The values of all CPUs. Their sizes are multiples of eight, as the kernel wants them.
    fn per_cpu<T: Pod + Default>(&self, map: &MapData, key: u32) -> io::Result<Vec<T>> {
        let mut values = vec![T::default(); self.cpus];
        element(BPF_MAP_LOOKUP_ELEM, map, &key, values.as_mut_ptr())?;
        Ok(values)
    }
}

/// Adds the counts of all CPUs.
pub(in crate::bpf) fn sum(values: impl IntoIterator<Item = SpliceStats>) -> SpliceStats {
    let add = |a: [u64; 2], b: [u64; 2]| [a[0].wrapping_add(b[0]), a[1].wrapping_add(b[1])];
    let zero = SpliceStats::default();
    values.into_iter().fold(zero, |sum, one| SpliceStats {
        packets: add(sum.packets, one.packets),
        bytes: add(sum.bytes, one.bytes),
        passed: add(sum.passed, one.passed),
    })
}

/// Ids of routes by name, while the program is loaded.
#[derive(Debug, Default)]
pub(super) struct Routes {
    ids: Table<(String, String), u32>,
}

impl Routes {
    pub(super) fn id(
        &mut self,
        maps: &Maps,
        datacenter: &str,
        service: &str,
    ) -> Result<u32, BpfError> {
        let key = (datacenter.to_owned(), service.to_owned());
        if let Some(id) = self.ids.get(&key) {
            return Ok(*id);
        }
        let long = |name: &str, limit| BpfError::NameTooLong {
            name: name.to_owned(),
            limit,
        };
        let name = RouteName {
            datacenter: padded(datacenter).ok_or_else(|| long(datacenter, DATACENTER_BYTES))?,
            service: padded(service).ok_or_else(|| long(service, SERVICE_BYTES))?,
            flags: 0,
        };
        let id = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        maps.add_route(id, &name)
            .map_err(|error| match Errno::from_io_error(&error) {
                Some(Errno::TOOBIG) => BpfError::Full {
                    name: "SPLICE_STATS",
                    wanted: self.ids.len() + 1,
                    capacity: self.ids.len(),
                },
                _ => BpfError::map("SPLICE_STATS", "write", error),
            })?;
        self.ids.insert(key, id);
        Ok(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &str, &str)> {
        self.ids
            .iter()
            .map(|((datacenter, service), id)| (*id, &**datacenter, &**service))
    }
}

fn read<K: Pod, V: Pod>(map: &MapData, key: &K) -> io::Result<V> {
    let mut value = MaybeUninit::<V>::zeroed();
    element(BPF_MAP_LOOKUP_ELEM, map, key, value.as_mut_ptr())?;
    // SAFETY: zeroed, then written by the kernel: plain data either way.
    Ok(unsafe { value.assume_init() })
}

fn write<K: Pod, V: Pod>(map: &MapData, key: &K, value: &V) -> io::Result<()> {
    element(
        BPF_MAP_UPDATE_ELEM,
        map,
        key,
        core::ptr::from_ref(value).cast_mut(),
    )
}

/// One command on an element of a map whose key is a `K` and whose values take the room of what `value`
/// points to: the callers above see to that.
fn element<K: Pod, V: Pod>(
    command: libc::c_int,
    map: &MapData,
    key: &K,
    value: *mut V,
) -> io::Result<()> {
    /// The part of the kernel's `union bpf_attr` for commands on elements.
    #[repr(C)]
    struct Attributes {
        map_fd: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    let attributes = Attributes {
        map_fd: raw(map),
        padding: 0,
        key: core::ptr::from_ref(key) as u64,
        value: value as u64,
        flags: 0,
    };
    bpf(command, &attributes)
}

/// Has a loaded program look at what arrives at a socket (`SO_ATTACH_BPF`, socket(7)), for as long as there
/// is the socket.
pub(super) fn filter(socket: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let program = program.as_raw_fd();
    let length = libc::socklen_t::try_from(size_of_val(&program)).map_err(io::Error::other)?;
    // SAFETY: the option takes one descriptor, which lives across the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_BPF,
            core::ptr::from_ref(&program).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<()> {
    // SAFETY: the attributes are those of the command, and what they point to lives across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            core::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn raw(map: &MapData) -> u32 {
    map.fd().as_fd().as_raw_fd().unsigned_abs()
}

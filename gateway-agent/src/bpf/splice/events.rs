//! Word from the program to connections that there is something to look at.
//!
//! Most of what a connection must know shows at its sockets. Not so that its windows are too small for
//! what the kernel moves, or that passed bytes queue where no window holds them back. So the program says
//! it in the ring that `steer` has for its events; each load has a ring of its own.

use core::fmt;
use std::{
    collections::HashMap as Table,
    io,
    sync::{Arc, Mutex, Weak},
};

use aya::{
    Ebpf,
    maps::{Map, MapData, RingBuf},
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{super::BpfError, Joined, lock};

/// Size of the ring: thousands of events between two looks at it.
pub(super) const RING_BYTES: u32 = 64 * 1024;

/// The ring, not listened to yet.
pub(super) struct Ring(RingBuf<MapData>);

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

/// Who is told, by the cookie of the client's socket.
#[derive(Debug, Default)]
pub(super) struct Events {
    listeners: Mutex<Table<u64, Weak<Joined>>>,
}

/// The ring of a loaded object.
pub(super) fn ring(object: &mut Ebpf) -> Result<Ring, BpfError> {
    let map = object
        .take_map("EVENTS")
        .ok_or_else(|| BpfError::map("EVENTS", "find", "the object lacks it"))?;
    match map {
        Map::RingBuf(_) => {
            let ring = RingBuf::try_from(map);
            ring.map(Ring)
                .map_err(|error| BpfError::map("EVENTS", "open", error))
        }
        _ => Err(BpfError::map("EVENTS", "open", "it is no ring")),
    }
}

impl Events {
    /// Has a connection told when either of its directions is to be looked at.
    pub(super) fn listen(&self, joined: &Arc<Joined>) {
        let [client, _] = joined.cookies;
        lock(&self.listeners).insert(client, Arc::downgrade(joined));
    }

    pub(super) fn forget(&self, [client, _]: [u64; 2]) {
        lock(&self.listeners).remove(&client);
    }

    /// Tells for good. What finds the ring full is lost: the next event of its direction says it again,
    /// and [`Self::tell_all`] whoever counts them.
    pub(super) async fn tell(&self, ring: Ring) -> io::Result<()> {
        // SAFETY: the ring owns its map's descriptor, open and the same until the ring is dropped.
        let ring = unsafe { AsyncFd::register_with_interest(ring.0, Interest::READABLE) };
        let mut ring = ring.map_err(io::Error::from)?;
        loop {
            let mut ready = ring.readable_mut().await?;
            self.read(ready.get_inner_mut());
            ready.clear_ready();
            // What came before readiness was cleared wakes nobody.
            self.read(ring.get_mut());
        }
    }

    fn read(&self, ring: &mut RingBuf<MapData>) {
        while let Some(item) = ring.next() {
            let Ok(cookie) = <[u8; 8]>::try_from(&*item) else {
                continue;
            };
            let cookie = u64::from_ne_bytes(cookie);
            // The last holder of a connection forgets it here, so the table must not be locked by then.
            let listener = lock(&self.listeners).get(&cookie).and_then(Weak::upgrade);
            if let Some(joined) = listener {
                joined.told().give();
            }
        }
    }

    pub(super) fn tell_all(&self) {
        let all: Vec<_> = lock(&self.listeners)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        all.iter().for_each(|joined| joined.told().give());
    }
}

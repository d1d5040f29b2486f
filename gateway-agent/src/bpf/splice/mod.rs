//! The kernel half of the sockmap engine: `splice` loaded and attached to a map of peer sockets of its
//! own, and the rows of its connections.
//!
//! Loaded apart from `steer`, because nothing of it outlives the agent: the kernel drops the entries
//! of a process that dies, with its sockets. The maps are pinned all the same, under
//! `culvert/<instance>/splice-<n>`, for people to look at; nobody adopts those pins, the next agent of
//! the instance replaces them.
//!
//! Not here: when to forward, resume or end. That is the engine's, in `proxy/splice`.

mod btf;
mod events;
mod maps;
pub(super) mod show;
mod version;

use std::{
    io,
    os::fd::BorrowedFd,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{SkSkb, SocketFilter},
};
use gateway_common::abi::{
    config,
    splice::{Direction, Forwarded, SpliceCount, SpliceStats, Stream},
};

pub(super) use self::maps::sum;
pub use self::show::{PINS, close as hide};
pub use self::version::known_bad;
use self::{events::Events, maps::Maps};
use super::{BpfError, Settings, layout, object};
use crate::word::Word;

const SPLICE: &str = "splice";
const SHED: &str = "shed";

/// The loaded program and its maps; clones share them. The program goes with the last clone.
#[derive(Clone, Debug)]
pub struct Splices {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    maps: Maps,
    routes: Mutex<maps::Routes>,
    /// What rows that are gone had still counted as waiting.
    settled: Mutex<u64>,
    events: Events,
    /// Until someone listens to it.
    ring: Mutex<Option<events::Ring>>,
    /// Keeps the programs.
    object: Mutex<Ebpf>,
}

impl Splices {
    /// Loads `splice` and attaches it to a new map of peers. `bounded` is false only to measure what a
    /// budget prevents.
    ///
    /// # Errors
    /// No object in this binary, no BTF, or a kernel or privileges that do not allow it.
    pub fn open(routes: u32, bounded: bool) -> Result<Self, BpfError> {
        let bytes = object::embedded().ok_or(BpfError::NoObject)?;
        let offsets = btf::Offsets::read()
            .map_err(|error| BpfError::program(SPLICE, "find socket fields for", error))?;
        let mut loader = EbpfLoader::new();
        let bounded = u32::from(bounded);
        loader
            .override_global(config::WRITE_SEQ, &offsets.write_seq, true)
            .override_global(config::SNDBUF, &offsets.sndbuf, true)
            .override_global(config::WMEM_QUEUED, &offsets.wmem_queued, true)
            .override_global(config::COPIED_SEQ, &offsets.copied_seq, true)
            .override_global(config::WINDOW_CLAMP, &offsets.window_clamp, true)
            .override_global(config::RCVBUF, &offsets.rcvbuf, true)
            .override_global(config::RMEM_ALLOC, &offsets.rmem_alloc, true)
            .override_global(config::BACKLOG_LEN, &offsets.backlog_len, true)
            .override_global(config::BOUNDED, &bounded, true);
        for map in &layout::ALL {
            loader.map_max_entries(map.name, map.least());
        }
        loader.map_max_entries(layout::EVENTS.name, events::RING_BYTES);
        for map in &layout::SPLICE {
            loader.map_max_entries(map.name, map.splice_entries(routes));
        }
        let mut object = loader
            .load(bytes)
            .map_err(|error| BpfError::program(SPLICE, "load the object of", error))?;
        let maps = Maps::take(&mut object)?;
        let ring = events::ring(&mut object)?;
        let program: &mut SkSkb = object
            .program_mut(SPLICE)
            .ok_or_else(|| BpfError::program(SPLICE, "find", "the object lacks it"))?
            .try_into()
            .map_err(|error| BpfError::program(SPLICE, "convert", error))?;
        program
            .load()
            .map_err(|error| BpfError::program(SPLICE, "load", error))?;
        let program = program
            .fd()
            .map_err(|error| BpfError::program(SPLICE, "open", error))?;
        maps.attach(program)
            .map_err(|error| BpfError::program(SPLICE, "attach", error))?;
        filter(&mut object)?
            .load()
            .map_err(|error| BpfError::program(SHED, "load", error))?;
        let inner = Inner {
            maps,
            routes: Mutex::default(),
            settled: Mutex::new(0),
            events: Events::default(),
            ring: Mutex::new(Some(ring)),
            object: Mutex::new(object),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Pins the maps where `culvert maps` finds them, in place of a former agent's.
    ///
    /// # Errors
    /// No bpffs, or no right to write there; the engine works all the same.
    pub fn show(&self, settings: &Settings) -> Result<(), BpfError> {
        show::open(&self.inner.maps, settings)
    }

    /// The id that a route's connections are counted under.
    ///
    /// # Errors
    /// The map is full, or the name does not fit it.
    pub fn route(&self, datacenter: &str, service: &str) -> Result<u32, BpfError> {
        let mut routes = lock(&self.inner.routes);
        routes.id(&self.inner.maps, datacenter, service)
    }

    /// Puts the two sockets of a connection into the map. From here on bytes that arrive at one go to
    /// the other, except those that were there already: kick the sockets. On an error neither is in it,
    /// or [`Joined::is_whole`] is false and what arrives upstream is passed for good.
    ///
    /// # Errors
    /// Those of bpf(2): a socket that is not established, or that someone else's program has.
    pub fn join(
        &self,
        [client, upstream]: [BorrowedFd<'_>; 2],
        terms: JoinTerms,
    ) -> io::Result<Joined> {
        let cookies = [
            rustix::net::sockopt::socket_cookie(client)?,
            rustix::net::sockopt::socket_cookie(upstream)?,
        ];
        let mut joined = Joined {
            splices: self.clone(),
            cookies,
            terms: Mutex::new([Forwarded::default(); 2]),
            whole: true,
            told: self.inner.events.listen(cookies),
        };
        let maps = &self.inner.maps;
        for (direction, (cookie, peer)) in
            (0..).zip(cookies.into_iter().zip([cookies[1], cookies[0]]))
        {
            let row = Forwarded {
                forwarded: terms.owed[direction as usize],
                peer,
                review: 0,
                budget: terms.budget,
                beyond: terms.beyond,
                held: 0,
                route: terms.route,
                direction,
                padding: 0,
            };
            maps.add(cookie, &row)?;
            lock(&joined.terms)[direction as usize] = row;
        }
        for socket in [client, upstream] {
            self.filter(socket);
        }
        // The endpoint's socket first: until the client's follows, what the endpoint says finds no
        // peer and is passed. The client's bytes find theirs from the first moment.
        maps.insert(cookies[0], upstream)?;
        if let Err(error) = maps.insert(cookies[1], client) {
            tracing::debug!(%error, "a client's socket cannot be spliced: its connection is relayed");
            joined.whole = false;
        }
        Ok(joined)
    }

    /// Has `shed` look at what arrives at a socket. It goes with the socket.
    fn filter(&self, socket: BorrowedFd<'_>) {
        let mut object = lock(&self.inner.object);
        let attached = filter(&mut object).and_then(|program| {
            let attached = program.attach(socket);
            attached.map_err(|error| BpfError::program(SHED, "attach", error))
        });
        if let Err(error) = attached {
            // The agent still shuts windows, and ends a connection before memory does.
            tracing::debug!(%error, "nothing is shed for a connection");
        }
    }

    /// Tells connections what the program has to say to them. Runs for good: spawn it and abort it.
    ///
    /// # Errors
    /// No runtime to wait on; a second listener.
    pub async fn tell(&self) -> io::Result<()> {
        let ring = lock(&self.inner.ring).take();
        let ring = ring.ok_or_else(|| io::Error::other("someone listens already"))?;
        self.inner.events.tell(ring).await
    }

    /// Has every connection look: some word of the program was lost.
    pub fn tell_all(&self) {
        self.inner.events.tell_all();
    }

    /// What the program did, all CPUs together.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn count(&self, counter: SpliceCount) -> Result<u64, BpfError> {
        let sum = self.inner.maps.count(counter)?;
        Ok(if counter == SpliceCount::Backlog {
            sum.wrapping_sub(*lock(&self.inner.settled))
        } else {
            sum
        })
    }

    /// What was redirected under each route: datacenter, service, counts.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn stats(&self) -> Result<Vec<(String, String, SpliceStats)>, BpfError> {
        let routes = lock(&self.inner.routes);
        let each = routes.all().map(|(id, datacenter, service)| {
            let stats = self.inner.maps.stats(id)?;
            Ok((datacenter.to_owned(), service.to_owned(), stats))
        });
        each.collect()
    }
}

/// The rows of one connection; they go when it is dropped. The sockets leave the map when they close,
/// and must not leave before: what waits for them in the kernel would be lost.
#[derive(Debug)]
pub struct Joined {
    splices: Splices,
    cookies: [u64; 2],
    terms: Mutex<[Forwarded; 2]>,
    whole: bool,
    told: Arc<Word>,
}

/// What is agreed when two sockets are joined.
#[derive(Clone, Copy, Debug, Default)]
pub struct JoinTerms {
    /// What the counts of forwarded bytes begin at: below zero by the bytes that must be written first.
    pub owed: [u64; 2],
    /// Bytes of one direction that may wait in the kernel outside of all buffers.
    pub budget: u32,
    /// How many of these may be redirected ones.
    pub beyond: u32,
    /// Id that the connection is counted under.
    pub route: u32,
}

impl Joined {
    /// Whether both sockets are in the map.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Told when the program has something to say of a direction, or someone else has.
    #[must_use]
    pub fn told(&self) -> &Word {
        &self.told
    }

    /// What the program did with a direction.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn stream(&self, direction: Direction) -> io::Result<Stream> {
        self.splices
            .inner
            .maps
            .stream(self.cookies[direction as usize])
    }

    /// Tells the program that so many bytes, of all that were passed, have been written to the peer.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn forwarded(&self, direction: Direction, bytes: u64) -> io::Result<()> {
        self.change(direction, |row| row.forwarded = bytes)
    }

    /// Asks to be told after so many redirected bytes; zero: never.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn review(&self, direction: Direction, bytes: u64) -> io::Result<()> {
        self.change(direction, |row| row.review = bytes)
    }

    /// Has the program redirect nothing of a direction, or as it can again.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn hold(&self, direction: Direction, held: bool) -> io::Result<()> {
        self.change(direction, |row| row.held = u32::from(held))
    }

    /// The bytes that may wait in the kernel outside of all buffers.
    #[must_use]
    pub fn budget(&self, direction: Direction) -> u32 {
        lock(&self.terms)[direction as usize].budget
    }

    fn change(&self, direction: Direction, change: impl FnOnce(&mut Forwarded)) -> io::Result<()> {
        let index = direction as usize;
        let mut terms = lock(&self.terms);
        change(&mut terms[index]);
        self.splices
            .inner
            .maps
            .replace(self.cookies[index], &terms[index])
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.splices.inner.events.forget(self.cookies);
        for cookie in self.cookies {
            let maps = &self.splices.inner.maps;
            let backlog = maps.stream(cookie).map_or(0, |stream| stream.backlog);
            maps.remove(cookie);
            let mut settled = lock(&self.splices.inner.settled);
            *settled = settled.wrapping_add(backlog);
        }
    }
}

fn filter(object: &mut Ebpf) -> Result<&mut SocketFilter, BpfError> {
    object
        .program_mut(SHED)
        .ok_or_else(|| BpfError::program(SHED, "find", "the object lacks it"))?
        .try_into()
        .map_err(|error| BpfError::program(SHED, "convert", error))
}

/// No holder leaves these half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    os::fd::{AsFd as _, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{ProgramFd, SkSkb, SocketFilter},
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
    shed: ProgramFd,
    /// Keeps the programs.
    _object: Mutex<Ebpf>,
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
        let shed = shed(&mut object)?;
        let inner = Inner {
            maps,
            routes: Mutex::default(),
            settled: Mutex::new(0),
            events: Events::default(),
            ring: Mutex::new(Some(ring)),
            shed,
            _object: Mutex::new(object),
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
    ) -> io::Result<Arc<Joined>> {
        let cookies = [
            rustix::net::sockopt::socket_cookie(client)?,
            rustix::net::sockopt::socket_cookie(upstream)?,
        ];
        let joined = Arc::new(Joined {
            splices: self.clone(),
            cookies,
            budget: terms.budget,
            beyond: terms.beyond,
            route: terms.route,
            notes: Mutex::new(Notes::new(terms.owed)),
            whole: AtomicBool::new(true),
            told: Word::default(),
        });
        self.inner.events.listen(&joined);
        let maps = &self.inner.maps;
        for direction in Direction::BOTH {
            let row = joined.row(direction, &lock(&joined.notes));
            maps.add(cookies[direction as usize], &row)?;
        }
        for socket in [client, upstream] {
            self.filter(socket);
        }
        // The endpoint's socket first: until the client's follows, what the endpoint says finds no
        // peer and is passed. The client's bytes find theirs from the first moment.
        maps.insert(cookies[0], upstream)?;
        if let Err(error) = maps.insert(cookies[1], client) {
            tracing::debug!(%error, "a client's socket cannot be spliced: its connection is relayed");
            joined.whole.store(false, Ordering::Relaxed);
        }
        Ok(joined)
    }

    /// Has `shed` look at what arrives at a socket. It goes with the socket.
    fn filter(&self, socket: BorrowedFd<'_>) {
        if let Err(error) = maps::filter(socket, self.inner.shed.as_fd()) {
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
    budget: u32,
    beyond: u32,
    route: u32,
    notes: Mutex<Notes>,
    whole: AtomicBool,
    told: Word,
}

/// What the agent has said of both directions, and found.
#[derive(Debug)]
struct Notes {
    forwarded: [u64; 2],
    review: [u64; 2],
    held: [bool; 2],
    patient: [bool; 2],
    /// What the program said to wait when the connection looked, and what did; nothing where those have
    /// been the same.
    looked: Option<Box<[(u64, u64); 2]>>,
}

impl Notes {
    fn new(owed: [u64; 2]) -> Self {
        Self {
            forwarded: owed,
            review: [0; 2],
            held: [false; 2],
            patient: [false; 2],
            looked: None,
        }
    }
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
        self.whole.load(Ordering::Relaxed)
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

    /// How many bytes the program was told to have been written to the peer, of all that were passed.
    #[must_use]
    pub fn told_forwarded(&self, direction: Direction) -> u64 {
        lock(&self.notes).forwarded[direction as usize]
    }

    /// Tells the program that so many bytes, of all that were passed, have been written to the peer.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn forwarded(&self, direction: Direction, bytes: u64) -> io::Result<()> {
        self.change(direction, |notes| {
            notes.forwarded[direction as usize] = bytes
        })
    }

    /// Asks to be told after so many redirected bytes; zero: never.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn review(&self, direction: Direction, bytes: u64) -> io::Result<()> {
        self.change(direction, |notes| notes.review[direction as usize] = bytes)
    }

    /// Has the program redirect nothing of a direction, or as it can again.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn hold(&self, direction: Direction, held: bool) -> io::Result<()> {
        self.change(direction, |notes| notes.held[direction as usize] = held)
    }

    /// Has the program redirect what finds little room in its own socket's buffer, or pass some of it.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn be_patient(&self, direction: Direction, patient: bool) -> io::Result<()> {
        self.change(direction, |notes| {
            notes.patient[direction as usize] = patient;
        })
    }

    /// The bytes that may wait in the kernel outside of all buffers.
    #[must_use]
    pub fn budget(&self) -> u32 {
        self.budget
    }

    /// Takes that so many bytes wait for a direction, as its connection found when the program said `noted`.
    pub fn looked(&self, direction: Direction, noted: u64, waiting: u64) {
        let mut notes = lock(&self.notes);
        if notes.looked.is_some() || noted != waiting {
            let looked = notes.looked.get_or_insert_default();
            looked[direction as usize] = (noted, waiting);
        }
    }

    /// Bytes that wait in the kernel for a direction: what its connection found, or the program's word,
    /// which is of the last segment.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn waiting(&self, direction: Direction) -> io::Result<u64> {
        let noted = self.stream(direction)?.backlog;
        let notes = lock(&self.notes);
        let looked = notes.looked.as_deref().copied().unwrap_or_default();
        let (then, waiting) = looked[direction as usize];
        Ok(if noted == then { waiting } else { noted })
    }

    fn change(&self, direction: Direction, change: impl FnOnce(&mut Notes)) -> io::Result<()> {
        // Held over the write, or an older row might follow a newer one.
        let mut notes = lock(&self.notes);
        change(&mut notes);
        let row = self.row(direction, &notes);
        let cookie = self.cookies[direction as usize];
        self.splices.inner.maps.replace(cookie, &row)
    }

    /// The program's row of a direction.
    fn row(&self, direction: Direction, notes: &Notes) -> Forwarded {
        let index = direction as usize;
        Forwarded {
            forwarded: notes.forwarded[index],
            peer: self.cookies[direction.reverse() as usize],
            review: notes.review[index],
            budget: self.budget,
            beyond: self.beyond,
            held: u32::from(notes.held[index]),
            route: self.route,
            direction: direction as u32,
            patient: u32::from(notes.patient[index]),
        }
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

/// Loads `shed`. Its sockets are not aya's to keep count of: they come and go with connections.
fn shed(object: &mut Ebpf) -> Result<ProgramFd, BpfError> {
    let program: &mut SocketFilter = object
        .program_mut(SHED)
        .ok_or_else(|| BpfError::program(SHED, "find", "the object lacks it"))?
        .try_into()
        .map_err(|error| BpfError::program(SHED, "convert", error))?;
    program
        .load()
        .map_err(|error| BpfError::program(SHED, "load", error))?;
    let descriptor = program.fd().and_then(|fd| Ok(fd.try_clone()?));
    descriptor.map_err(|error| BpfError::program(SHED, "open", error))
}

/// No holder leaves these half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

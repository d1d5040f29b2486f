//! Where connections stand that are left alone: no task, no timer, no place in the runtime. One keeper
//! watches them all.
//!
//! A connection that the kernel moves by itself needs the agent only when a socket has something to read
//! or an error, when somebody has word for it (the kernel half, or whoever cuts it), and in time before
//! its idle timer. Then it gets a task again, and that decides: nothing is judged here.
//!
//! What must hold: what comes while a connection is being parked brings it back at once; a connection
//! that finds no place goes on with its task, and one that finds none in the runtime is tried again.

mod fold;
mod places;

use core::convert::Infallible;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::time::Duration;

use fold::{Folded, Sockets};
use places::Places;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Gateway;
use super::splice::Resting;
use super::splice::sockmap::Rest;
use crate::control::snapshot::Route;
use crate::sys::watch::Watched;

/// How long a connection is left alone before it is parked: many times what a wake costs, and little
/// next to what connections last that are worth it.
pub(super) const AFTER: Duration = Duration::from_millis(200);

/// Between two looks for those whose idle timer comes near.
const LOOK: Duration = Duration::from_secs(1);

/// How long before its idle timer a connection is back at the latest.
const EARLY: Duration = Duration::from_secs(2);

/// The connections that are parked.
#[derive(Debug)]
pub struct Lot {
    /// Both sockets of each, by its number in `places`.
    watched: Watched,
    places: Mutex<Places<Place>>,
    /// Numbers of those that somebody has word for.
    called: Mutex<Vec<usize>>,
    /// Numbers of those that were called and found no place with the runtime.
    homeless: Mutex<Vec<usize>>,
    word: Notify,
}

/// A place in the lot. The connections stand side by side, so that what they take together is what each
/// takes: memory of their own would be among that of others, which comes and goes.
#[derive(Debug)]
struct Place {
    folded: Folded,
    bell: Arc<Bell>,
}

impl Place {
    /// When it must be back; never, where that is too far off to be said.
    fn due(&self) -> Option<Instant> {
        due(
            &self.folded.rest,
            &self.folded.registration.live().opened.route,
        )
    }
}

fn due(rest: &Rest, route: &Route) -> Option<Instant> {
    let idle = route.idle_timeout.saturating_sub(EARLY);
    rest.quiet_since().checked_add(idle)
}

/// Calls a parked connection. Who has word for it holds this as a waker, perhaps for longer than it is parked.
#[derive(Debug)]
struct Bell {
    lot: Arc<Lot>,
    number: u32,
    /// It has been called, or is gone.
    called: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.called.swap(true, Ordering::AcqRel) {
            lock(&self.lot.called).push(self.number as usize);
            self.lot.word.notify_one();
        }
    }
}

impl Lot {
    /// An empty lot, which needs a keeper.
    ///
    /// # Errors
    /// Those of epoll_create(2).
    fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            watched: Watched::new()?,
            places: Mutex::default(),
            called: Mutex::default(),
            homeless: Mutex::default(),
            word: Notify::new(),
        }))
    }

    /// Parks a connection.
    ///
    /// # Errors
    /// There is no place for it (the host's limits on descriptors or on watches): it is as it was.
    pub(super) fn park(self: &Arc<Self>, resting: Box<Resting>) -> Result<(), Box<Resting>> {
        let due = due(&resting.rest, &resting.admitted.route);
        let (Ok(sockets), Some(_)) = (Sockets::of(&resting), due) else {
            return Err(resting);
        };
        // Whoever calls it or finds an event of its sockets waits here, until it has its place.
        let mut places = lock(&self.places);
        let Ok(number) = u32::try_from(places.next()) else {
            return Err(resting);
        };
        if let Err(error) = self.watch(&sockets, number) {
            tracing::debug!(%error, "park a connection: it keeps its task");
            return Err(resting);
        }
        let folded = Folded::new(resting, sockets);
        let bell = Arc::new(Bell {
            lot: Arc::clone(self),
            number,
            called: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&bell));
        let context = Context::from_waker(&waker);
        let live = folded.registration.live();
        live.set_resting(true);
        // By now nobody else waits for either: its task has ended, and the next has not begun.
        let cut = live.poll_cut(&context).is_ready();
        let told = live
            .splice()
            .is_none_or(|kernel| kernel.told().poll_take(&context).is_ready());
        places.insert(Place { folded, bell });
        drop(places);
        if cut || told {
            waker.wake();
        }
        Ok(())
    }

    /// Watches both sockets; neither on an error.
    fn watch(&self, sockets: &Sockets, number: u32) -> io::Result<()> {
        let number = number.into();
        self.watched.add(&sockets.client, number)?;
        let added = self.watched.add(&sockets.upstream, number);
        if added.is_err() {
            self.watched.forget(&sockets.client);
        }
        added
    }

    /// Takes a connection out of the lot, if it is still there.
    fn take(&self, number: usize) -> Option<Folded> {
        let Place { folded, bell, .. } = lock(&self.places).remove(number)?;
        bell.called.store(true, Ordering::Release);
        folded.registration.live().set_resting(false);
        Some(folded)
    }

    /// Takes back a connection that found no place with the runtime.
    fn put_back(self: &Arc<Self>, folded: Folded) {
        let bell = Bell {
            lot: Arc::clone(self),
            number: u32::MAX,
            called: AtomicBool::new(true),
        };
        let mut places = lock(&self.places);
        lock(&self.homeless).push(places.next());
        places.insert(Place {
            folded,
            bell: Arc::new(bell),
        });
    }

    /// Numbers of those whose time has come, and of those that found no place with the runtime.
    fn due(&self) -> Vec<usize> {
        let soon = Instant::now() + LOOK;
        let mut numbers = core::mem::take(&mut *lock(&self.homeless));
        let places = lock(&self.places);
        let due = |place: &Place| place.due().is_some_and(|due| due <= soon);
        numbers.extend(
            places
                .iter()
                .filter(|(_, place)| due(place))
                .map(|(number, _)| number),
        );
        // One that found no place may be due as well, and is tried once.
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// Keeps the lot of a gateway, which has one from now on: whoever is called gets a task of this runtime.
/// Runs for good: spawn it and abort it.
pub async fn keep(gateway: Arc<Gateway>) {
    let lot = match Lot::new() {
        Ok(lot) => lot,
        Err(error) => {
            tracing::warn!(%error, "no place for connections to rest: each keeps a task");
            return;
        }
    };
    let lot = gateway.lot.get_or_init(|| lot);
    loop {
        // Those that are parked have nobody else.
        let Err(error) = watch(&gateway, lot).await;
        tracing::error!(%error, "watch resting connections: tried again");
        tokio::time::sleep(LOOK).await;
    }
}

/// Wakes whoever is called, until an error.
async fn watch(gateway: &Arc<Gateway>, lot: &Arc<Lot>) -> io::Result<Infallible> {
    let listener = lot.watched.listen()?;
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let numbers = tokio::select! {
            numbers = listener.numbers() => {
                let numbers = numbers?.into_iter().map(usize::try_from);
                numbers.filter_map(Result::ok).collect()
            }
            () = lot.word.notified() => core::mem::take(&mut *lock(&lot.called)),
            _now = looks.tick() => lot.due(),
        };
        for number in numbers {
            wake(gateway, lot, number);
        }
    }
}

/// Gives a parked connection a task.
fn wake(gateway: &Arc<Gateway>, lot: &Arc<Lot>, number: usize) {
    // Both sockets may have had an event, or someone word.
    let Some(folded) = lot.take(number) else {
        return;
    };
    lot.watched.forget(&folded.sockets.client);
    lot.watched.forget(&folded.sockets.upstream);
    match folded.unfold() {
        Ok(resting) => {
            tokio::spawn(super::serve_again(Arc::clone(gateway), resting));
        }
        Err((error, folded)) => {
            tracing::warn!(%error, "give a parked connection a task: tried again soon");
            lot.put_back(*folded);
        }
    }
}

/// No holder leaves these half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Resolve: keeps the addresses of endpoint names fresh.
//!
//! One task owns all names of the snapshot it follows. It asks for each when its last answer's
//! time is over, a bounded number at once, and gives the answer to every cluster that has the
//! name. A failed or empty answer changes nothing: the last good one stays, and the question is
//! asked again soon. How one question is asked is in `lookup`.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

mod lookup;

use super::cluster::Cluster;
use super::snapshot::{Dns, Snapshot};
use lookup::{Answer, Asker};

/// Handle of the task that resolves names. Dropping it ends the task.
#[derive(Debug)]
pub(super) struct Resolver {
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

/// Follow these names, and say when each has been asked for once.
struct Order {
    dns: Dns,
    names: HashMap<Arc<str>, Vec<Arc<Cluster>>>,
    settled: oneshot::Sender<()>,
}

impl Resolver {
    pub(super) fn start() -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        Self {
            orders,
            task: tokio::spawn(Work::default().run(inbox)),
        }
    }

    /// Makes `snapshot` the one whose names are kept fresh.
    pub(super) fn follow(&self, snapshot: &Snapshot) -> Settled {
        let mut names: HashMap<Arc<str>, Vec<Arc<Cluster>>> = HashMap::new();
        for route in snapshot.routes.iter() {
            for host in route.cluster.hosts() {
                names
                    .entry(host)
                    .or_default()
                    .push(Arc::clone(&route.cluster));
            }
        }
        let (settled, answered) = oneshot::channel();
        let dns = snapshot.settings.dns.clone();
        if self
            .orders
            .send(Order {
                dns,
                names,
                settled,
            })
            .is_err()
        {
            tracing::error!("the resolver has stopped: endpoint names are no longer kept fresh");
        }
        Settled(answered)
    }
}

/// Tells when each name of a snapshot has an answer, good or bad.
pub(super) struct Settled(oneshot::Receiver<()>);

impl Settled {
    /// Waits for that, until `patience` is over.
    pub(super) async fn within(self, patience: Duration) {
        if tokio::time::timeout(patience, self.0).await.is_err() {
            tracing::warn!(
                ms = patience.as_millis(),
                "some endpoint names have no answer yet; going on without"
            );
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Questions at one time; more would only queue up at the server.
const MOST_AT_ONCE: usize = 32;

/// All names and what is known of them.
#[derive(Default)]
struct Work {
    dns: Dns,
    asker: Option<Asker>,
    names: HashMap<Arc<str>, Name>,
    /// When each name that nobody is asking for is due.
    due: BTreeSet<(Instant, Arc<str>)>,
    asking: JoinSet<Answer>,
    /// The names in `asking`, by task: a task that panics does not say which it was.
    asked: HashMap<task::Id, Arc<str>>,
    /// How many names have never been answered, and whom to tell when there is none.
    unsettled: usize,
    settled: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
struct Name {
    clusters: Vec<Arc<Cluster>>,
    /// Last good addresses of each family.
    v4: Vec<IpAddr>,
    v6: Vec<IpAddr>,
    tried: bool,
    /// Answers without an address in a row.
    failures: u32,
}

impl Work {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.ask_due();
            self.tell_settled();
            let next = self
                .due
                .first()
                .map(|(due, _)| *due)
                .filter(|_| self.has_room());
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => self.follow(order),
                    None => return,
                },
                Some(answered) = self.asking.join_next_with_id() => match answered {
                    Ok((id, answer)) => self.answered(id, answer),
                    Err(error) => self.answered(error.id(), Answer::failed()),
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// Takes over the names of another snapshot; what is known of them stays known.
    fn follow(&mut self, order: Order) {
        if self.dns != order.dns || self.asker.is_none() {
            self.asker = Some(Asker::new(&order.dns));
            self.dns = order.dns;
            // Other servers may know other addresses; answers under way are the old ones'.
            self.asking = JoinSet::new();
            self.asked.clear();
            self.due.clear();
        }
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.names);
        let mut waiting: HashMap<Arc<str>, Instant> = std::mem::take(&mut self.due)
            .into_iter()
            .map(|(due, name)| (name, due))
            .collect();
        self.unsettled = 0;
        for (name, clusters) in order.names {
            let mut known = before.remove(&name).unwrap_or_default();
            if !self.asked.values().any(|asked| *asked == name) {
                let due = waiting.remove(&name).unwrap_or(now);
                self.due.insert((due, Arc::clone(&name)));
            }
            known.clusters = clusters;
            known.tell(&name);
            self.unsettled += usize::from(!known.tried);
            self.names.insert(name, known);
        }
        self.settled = Some(order.settled);
    }

    fn has_room(&self) -> bool {
        self.asking.len() < MOST_AT_ONCE
    }

    fn ask_due(&mut self) {
        let now = Instant::now();
        while self.has_room()
            && let Some(asker) = &mut self.asker
            && self.due.first().is_some_and(|(due, _)| *due <= now)
            && let Some((_, name)) = self.due.pop_first()
        {
            let answer = asker.ask(Arc::clone(&name));
            self.asked.insert(self.asking.spawn(answer).id(), name);
        }
    }

    fn answered(&mut self, id: task::Id, answer: Answer) {
        let Some(name) = self.asked.remove(&id) else {
            return;
        };
        // Its route may have gone meanwhile.
        let Some(known) = self.names.get_mut(&name) else {
            return;
        };
        if !std::mem::replace(&mut known.tried, true) {
            self.unsettled -= 1;
        }
        let wait = known.take(&name, answer, &self.dns);
        self.due.insert((Instant::now() + wait, name));
    }

    fn tell_settled(&mut self) {
        if self.unsettled == 0
            && let Some(settled) = self.settled.take()
        {
            // An error: whoever asked has stopped waiting.
            settled.send(()).unwrap_or_default();
        }
    }
}

impl Name {
    /// Takes an answer; says when to ask again.
    fn take(&mut self, name: &str, answer: Answer, dns: &Dns) -> Duration {
        let Answer { v4, v6, ttl } = answer;
        if v4.is_empty() && v6.is_empty() {
            self.failures = self.failures.saturating_add(1);
            tracing::warn!(
                host = name,
                failures = self.failures,
                "an endpoint name has no address"
            );
            // Twice as long each time, up to half a minute: a server in trouble needs rest.
            let wait = Duration::from_secs(1 << self.failures.min(5)).min(Duration::from_secs(30));
            return wait.clamp(dns.min_ttl, dns.max_ttl);
        }
        self.failures = 0;
        // A family that could not be asked for keeps its last good answer.
        if let Some(addresses) = v4.known() {
            self.v4 = addresses;
        }
        if let Some(addresses) = v6.known() {
            self.v6 = addresses;
        }
        self.tell(name);
        ttl.clamp(dns.min_ttl, dns.max_ttl)
    }

    fn tell(&self, name: &str) {
        let addresses = [&self.v4[..], &self.v6[..]].concat();
        for cluster in &self.clusters {
            cluster.resolved(name, &addresses);
        }
    }
}

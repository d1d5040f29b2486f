//! One scrape: every metric in the order of its name list.

use core::fmt;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use super::counts::{Counts, Label};
use super::names::{self, Name};
use super::{Gauges, Sources, SteerCount};
use crate::control::Snapshot;
use crate::mesh::route::{Health, Role};

/// Everything that a scrape reads.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) counts: Counts,
    pub(super) gauges: Gauges,
    sources: Sources,
    /// The largest byte counts ever shown, by route: see [`Self::bytes`].
    shown: Mutex<HashMap<Label, [u64; 2]>>,
}

/// A sample's labels: key and value.
type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Scrape {
    pub(super) fn new(sources: Sources) -> Self {
        let (counts, gauges, shown) = (Counts::default(), Gauges::default(), Mutex::default());
        Self {
            counts,
            gauges,
            sources,
            shown,
        }
    }

    /// Bytes by route, of ended and open connections: upstream, downstream.
    ///
    /// Ended ones are read first. A connection that ends in between is in neither part, never in
    /// both, since it leaves the registry before it is counted as ended; and what has been shown
    /// stays the least that is shown. So the counters are exact at rest and never go backwards.
    fn bytes(&self, snapshot: &Snapshot) -> Vec<(Label, [u64; 2])> {
        let mut now: HashMap<Label, [u64; 2]> = HashMap::new();
        let ended = [&self.counts.upstream, &self.counts.downstream].map(|series| series.list());
        for (direction, ended) in ended.into_iter().enumerate() {
            for (route, bytes) in ended {
                now.entry(route).or_default()[direction] += bytes;
            }
        }
        for live in self.sources.registry.list() {
            let (sent, received) = live.bytes();
            let sums = now.entry(Arc::clone(&live.opened.route.name)).or_default();
            sums[0] += received;
            sums[1] += sent;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|route, _| now.contains_key(route) || snapshot.routes.get(route).is_some());
        for (route, sums) in &now {
            let most = shown.entry(Arc::clone(route)).or_default();
            *most = [most[0].max(sums[0]), most[1].max(sums[1])];
        }
        let mut bytes: Vec<_> = shown
            .iter()
            .map(|(route, sums)| (Arc::clone(route), *sums))
            .collect();
        bytes.sort_unstable();
        bytes
    }

    fn connections(&self, out: &mut Out<'_>, snapshot: &Snapshot) -> fmt::Result {
        let counts = &self.counts;
        out.by("listener", &names::ACCEPTED, &counts.accepted.list())?;
        out.by(
            "listener",
            &names::BARE_CONNECTS,
            &counts.bare_connects.list(),
        )?;
        let ended = counts.connections.list();
        out.all(
            &names::CONNECTIONS,
            ended.iter().map(|((listener, route, reason), n)| {
                (
                    vec![
                        ("listener", &**listener),
                        ("route", &**route),
                        ("reason", *reason),
                    ],
                    *n,
                )
            }),
        )?;
        out.by("route", &names::CONNECTIONS_ACTIVE, &counts.active.list())?;
        let refused = counts.refused.list();
        out.all(
            &names::REFUSED,
            refused
                .iter()
                .map(|(reason, n)| (vec![("reason", *reason)], *n)),
        )?;
        let bytes = self.bytes(snapshot);
        out.all(
            &names::BYTES,
            bytes.iter().flat_map(|(route, [up, down])| {
                let labels = |direction| vec![("route", &**route), ("direction", direction)];
                [(labels("upstream"), *up), (labels("downstream"), *down)]
            }),
        )?;
        out.histogram(&names::HELLO_SECONDS, &counts.hello_seconds)?;
        out.histogram(&names::HELLO_BYTES, &counts.hello_bytes)?;
        out.histogram(&names::CONNECT_SECONDS, &counts.connect_seconds)?;
        out.histogram(&names::CONNECTION_SECONDS, &counts.connection_seconds)
    }

    fn endpoints(&self, out: &mut Out<'_>, snapshot: &Snapshot) -> fmt::Result {
        let counts = &self.counts;
        out.by(
            "route",
            &names::ENDPOINT_FAILURES,
            &counts.endpoint_failures.list(),
        )?;
        out.by(
            "route",
            &names::ENDPOINT_EJECTIONS,
            &counts.endpoint_ejections.list(),
        )?;
        // Only routes where a dial ever failed: with a hundred thousand routes, asking all of
        // them would make each scrape slow for numbers that are zero.
        let (now, failed) = (Instant::now(), counts.endpoint_failures.list());
        let ejected: Vec<_> = failed
            .iter()
            .filter_map(|(name, _)| snapshot.routes.get(name))
            .map(|route| {
                let endpoints = route.cluster.endpoints();
                (
                    &route.name,
                    endpoints.iter().filter(|one| one.is_ejected(now)).count(),
                )
            })
            .collect();
        out.all(
            &names::ENDPOINT_EJECTED,
            ejected
                .iter()
                .map(|(route, n)| (vec![("route", &***route)], *n as u64)),
        )?;
        // Checks are part of what a route asks for: no lock is taken to count them.
        let down = snapshot.routes.iter().filter_map(|route| {
            let entries = route.cluster.spec().endpoints.iter();
            let down = entries.filter(|one| one.health == Health::Down).count();
            (down > 0).then(|| (vec![("route", &*route.name)], down as u64))
        });
        out.all(&names::ENDPOINT_DOWN, down)?;
        out.by(
            "route",
            &names::CONNECT_RETRIES,
            &counts.connect_retries.list(),
        )
    }

    fn agent(&self, out: &mut Out<'_>, snapshot: &Snapshot) -> fmt::Result {
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        out.all(&names::BUILD_INFO, [(version, 1)].into_iter())?;
        out.one(
            &names::CONNECTION_LIMIT,
            self.gauges.connection_limit.load(Ordering::Relaxed),
        )?;
        out.one(
            &names::LIMIT_WARNINGS,
            self.counts.limit_warnings.load(Ordering::Relaxed),
        )?;
        out.one(&names::SNAPSHOT_GENERATION, snapshot.generation)?;
        let last = self.sources.control.last_reload();
        let results = [("ok", last.good), ("failed", last.bad)];
        let results = results.map(|(result, n)| (vec![("result", result)], n));
        out.all(&names::RELOADS, results.into_iter())?;
        out.one(&names::LAST_RELOAD_OK, u64::from(last.ok()))?;
        out.one(&names::ROUTES, snapshot.routes.len() as u64)?;
        let roles = roles(snapshot).into_iter();
        let roles = roles.map(|(role, n)| (vec![("role", role.label())], n));
        out.all(&names::MESH_ROUTES, roles)?;
        out.one(
            &names::DRAINING,
            u64::from(self.gauges.draining.load(Ordering::Relaxed)),
        )?;
        out.one(&names::ACCESS_LOG_DROPPED, self.sources.dropped.count())
    }

    fn steer(&self, out: &mut Out<'_>) -> fmt::Result {
        let counts = (self.sources.steer)();
        let lookups = counts.iter().map(|count| (steered(count), count.lookups));
        out.all(&names::STEER_LOOKUPS, lookups)?;
        let connections = counts
            .iter()
            .map(|count| (steered(count), count.connections));
        out.all(&names::STEER_CONNECTIONS, connections)
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.sources.control.snapshot();
        self.counts.prune(&snapshot);
        let mut out = Out(encoder);
        self.agent(&mut out, &snapshot)?;
        self.connections(&mut out, &snapshot)?;
        self.endpoints(&mut out, &snapshot)?;
        self.steer(&mut out)
    }
}

/// How many routes of the mesh each role has.
fn roles(snapshot: &Snapshot) -> BTreeMap<Role, u64> {
    let mut roles = BTreeMap::new();
    for route in snapshot.routes.iter() {
        if let Some(mesh) = route.origin.mesh() {
            *roles.entry(mesh.role).or_default() += 1;
        }
    }
    roles
}

fn steered(count: &SteerCount) -> Labels<'_> {
    vec![
        ("datacenter", &*count.datacenter),
        ("service", &*count.service),
    ]
}

/// Writes metrics under the names of the list.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    /// One number without labels.
    fn one(&mut self, name: &Name, value: u64) -> fmt::Result {
        self.all(name, [(Vec::new(), value)].into_iter())
    }

    /// One number for each value of one label.
    fn by(&mut self, key: &'static str, name: &Name, list: &[(Label, u64)]) -> fmt::Result {
        self.all(
            name,
            list.iter().map(|(value, n)| (vec![(key, &**value)], *n)),
        )
    }

    fn all<'l>(
        &mut self,
        name: &Name,
        samples: impl Iterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name.name, name.help, None, name.kind)?;
        for (labels, value) in samples {
            let labels: Vec<(&str, String)> = labels
                .into_iter()
                .map(|(key, value)| (key, escaped(value)))
                .collect();
            if labels.is_empty() {
                number(&mut metric, name.kind, value)?;
            } else {
                number(&mut metric.encode_family(&labels)?, name.kind, value)?;
            }
        }
        Ok(())
    }

    fn histogram(&mut self, name: &Name, histogram: &Histogram) -> fmt::Result {
        let metric = self
            .0
            .encode_descriptor(name.name, name.help, None, name.kind)?;
        histogram.encode(metric)
    }
}

fn number(sample: &mut MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => sample.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => sample.encode_gauge(&value),
    }
}

/// A label value as the text format wants it; the encoder writes values as they are.
pub(super) fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

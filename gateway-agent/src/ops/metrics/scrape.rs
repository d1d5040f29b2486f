//! One scrape: every metric in the order of its name list.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gateway_common::abi::splice::Stream;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeMetric as _, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;

use super::counts::{Counts, Label};
use super::names::{self, Name};
use super::shown::{Look, Shown};
use super::spliced::Tally;
use super::{Gauges, Sources, SteerCount};
use crate::control::Snapshot;
use crate::control::snapshot::EngineKind;
use crate::mesh::route::{Health, Role};
use crate::proxy::registry::Moved;

/// Everything that a scrape reads.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) counts: Counts,
    pub(super) gauges: Gauges,
    sources: Sources,
    bytes: Shown<Label, [u64; 2]>,
    spliced: Shown<Label, [Tally; 2]>,
}

/// A sample's labels: key and value.
type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Scrape {
    pub(super) fn new(sources: Sources) -> Self {
        Self {
            counts: Counts::default(),
            gauges: Gauges::default(),
            sources,
            bytes: Shown::default(),
            spliced: Shown::default(),
        }
    }

    fn connections(&self, out: &mut Out<'_>, bytes: &[(Label, [u64; 2])]) -> fmt::Result {
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
        out.directions(&names::BYTES, bytes, |bytes| *bytes)?;
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

    fn engines(&self, out: &mut Out<'_>, open: &[(Moved, Option<EngineKind>)]) -> fmt::Result {
        let each = EngineKind::ALL.map(|engine| (vec![("engine", engine.label())], engine));
        let available = |engine: EngineKind| match engine {
            EngineKind::Packet => false,
            EngineKind::Sockmap => self.gauges.sockmap.load(Ordering::Relaxed),
            EngineKind::Copy => true,
        };
        let known = each.iter().cloned();
        out.all(
            &names::ENGINE_AVAILABLE,
            known.map(|(labels, engine)| (labels, u64::from(available(engine)))),
        )?;
        let ended = self.counts.engines.list();
        out.all(
            &names::ENGINE_CONNECTIONS,
            ended.iter().map(|(one, n)| (vec![("engine", *one)], *n)),
        )?;
        let moved_by = |engine| open.iter().filter(|(_, by)| *by == Some(engine)).count() as u64;
        out.all(
            &names::ENGINE_CONNECTIONS_ACTIVE,
            each.into_iter()
                .map(|(labels, engine)| (labels, moved_by(engine))),
        )?;
        let fallbacks = self.counts.fallbacks.list();
        out.all(
            &names::ENGINE_FALLBACKS,
            fallbacks
                .iter()
                .map(|((engine, reason), n)| (vec![("engine", *engine), ("reason", *reason)], *n)),
        )
    }

    /// What the kernel moves by itself: nothing where no connection was ever handed to it.
    fn splices(&self, out: &mut Out<'_>, look: Look, snapshot: &Snapshot) -> fmt::Result {
        let kept = |route: &Label| snapshot.routes.get(route).is_some();
        let larger = |[a, b]: [Tally; 2], [c, d]: [Tally; 2]| [a.max(c), b.max(d)];
        let routes = self.spliced.raise(look.spliced, kept, larger);
        out.ways(&names::SPLICE_BYTES, &routes)?;
        for (name, count) in [
            (&names::SPLICE_SEGMENTS, (|tally| tally.segments) as Count),
            (&names::SPLICE_PAUSES, |tally| tally.pauses),
            (&names::SPLICE_RESUMES, |tally| tally.resumes),
            (&names::SPLICE_ORPHANS, |tally| tally.orphans),
        ] {
            out.directions(name, &routes, |tallies| {
                [count(&tallies[0]), count(&tallies[1])]
            })?;
        }
        // What a connection that is over had waiting is gone with it.
        let waiting = |count: fn(&Stream) -> u64| -> u64 {
            let streams = look.open.iter().filter_map(|(moved, _)| moved.waiting());
            streams.flatten().map(|stream| count(&stream)).sum()
        };
        out.one(&names::SPLICE_BACKLOG, waiting(|stream| stream.backlog))?;
        out.one(&names::SPLICE_HIDDEN, waiting(|stream| stream.hidden))
    }
}

/// One of the counts of a direction.
type Count = fn(&Tally) -> u64;

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.sources.control.snapshot();
        self.counts.prune(&snapshot);
        let mut out = Out(encoder);
        let mut look = Look::at(&self.counts, &self.sources.registry);
        let kept = |route: &Label| snapshot.routes.get(route).is_some();
        let larger = |[a, b]: [u64; 2], [c, d]: [u64; 2]| [a.max(c), b.max(d)];
        let bytes = core::mem::take(&mut look.bytes);
        let bytes = self.bytes.raise(bytes, kept, larger);
        self.agent(&mut out, &snapshot)?;
        self.connections(&mut out, &bytes)?;
        self.endpoints(&mut out, &snapshot)?;
        self.steer(&mut out)?;
        self.engines(&mut out, &look.open)?;
        self.splices(&mut out, look, &snapshot)
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

    /// Two numbers for each route: from clients and to them.
    fn directions<T>(
        &mut self,
        name: &Name,
        routes: &[(Label, T)],
        numbers: impl Fn(&T) -> [u64; 2],
    ) -> fmt::Result {
        let each = routes.iter().flat_map(|(route, counts)| {
            let labels = |direction| vec![("route", &**route), ("direction", direction)];
            let [up, down] = numbers(counts);
            [(labels("upstream"), up), (labels("downstream"), down)]
        });
        self.all(name, each)
    }

    /// Likewise, apart by who moved them.
    fn ways(&mut self, name: &Name, routes: &[(Label, [Tally; 2])]) -> fmt::Result {
        let each = routes.iter().flat_map(|(route, [up, down])| {
            let labels =
                |direction, way| vec![("route", &**route), ("direction", direction), ("way", way)];
            [
                (labels("upstream", "redirected"), up.redirected),
                (labels("upstream", "passed"), up.passed),
                (labels("downstream", "redirected"), down.redirected),
                (labels("downstream", "passed"), down.passed),
            ]
        });
        self.all(name, each)
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

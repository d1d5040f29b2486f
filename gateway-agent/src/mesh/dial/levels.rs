//! Precedence: who may say how connections travel, highest first.
//!
//! Consul, from 1.14 on: the upstream of the registration, then the downstream's service-defaults
//! for this upstream, the registration, the service-defaults for all upstreams, the
//! service-defaults themselves, proxy-defaults; all silent: the target's service-defaults, then
//! proxy-defaults. An empty mode asks the next level, `none` is an answer.

use super::ModeRules;
use super::downstream::Found;
use super::plan::{Level, Step, Target};
use super::upstream::Asked;
use crate::mesh::Mesh;
use crate::mesh::catalog::{GatewayMode, Placed};
use crate::mesh::entries::service_defaults::{UpstreamConfig, UpstreamConfiguration};
use crate::mesh::name::{Name, ServiceName};

/// Levels 1 to 6. What they say holds for every target of a chain.
pub(super) fn of_downstream(
    mesh: &Mesh,
    asker: &Found<'_>,
    asked: &Asked<'_>,
    rules: ModeRules,
) -> Vec<Level> {
    let service = &asker.service;
    let upstream = asked.label();
    let defaults = mesh.entries.service_defaults.get(service);
    let config = defaults.and_then(|defaults| defaults.upstream_config.as_ref());
    let of_all = config.and_then(|config| config.defaults.as_ref());
    let of_one = config.and_then(|config| overriding(config, asked));
    let general = mesh.entries.proxy_defaults.get(&asker.locality.partition);
    let levels = [
        level(
            Step::Upstream,
            format!("registration, upstream {upstream}"),
            asked.stanza.and_then(|stanza| stanza.mesh_gateway.as_ref()),
        ),
        level(
            Step::Override,
            format!("service-defaults {service}, upstream_config override {upstream}"),
            of_one.and_then(|config| config.mesh_gateway.as_ref()),
        ),
        level(
            Step::Registration,
            "registration, proxy.mesh_gateway".to_owned(),
            asker.proxy().and_then(|proxy| proxy.mesh_gateway.as_ref()),
        ),
        level(
            Step::UpstreamDefaults,
            format!("service-defaults {service}, upstream_config defaults"),
            of_all.and_then(|config| config.mesh_gateway.as_ref()),
        ),
        level(
            Step::ServiceDefaults,
            format!("service-defaults {service}"),
            defaults.and_then(|defaults| defaults.mesh_gateway.as_ref()),
        ),
        level(
            Step::ProxyDefaults,
            "proxy-defaults".to_owned(),
            general.and_then(|general| general.mesh_gateway.as_ref()),
        ),
    ];
    let passes_one = !asker.is_gateway() && !asked.is_query();
    decided(levels.map(|level| Level {
        asked: passes_one && asked_by(rules, level.step),
        ..level
    }))
}

/// Level 7, which each target of a chain answers for itself. A peer's service has no entries
/// here.
pub(super) fn of_target(mesh: &Mesh, service: &ServiceName, peer: Option<&Name>) -> Vec<Level> {
    let own = mesh.entries.service_defaults.get(service);
    let general = mesh.entries.proxy_defaults.get(&service.partition);
    let levels = [
        level(
            Step::TargetServiceDefaults,
            format!("service-defaults {service} (the target's)"),
            own.and_then(|own| own.mesh_gateway.as_ref()),
        ),
        level(
            Step::TargetProxyDefaults,
            "proxy-defaults (the target's)".to_owned(),
            general.and_then(|general| general.mesh_gateway.as_ref()),
        ),
    ];
    decided(levels.map(|level| Level {
        asked: peer.is_none(),
        ..level
    }))
}

/// All levels, as a plan shows them: those of level 7 are the first target's, and decide only
/// where nobody above does.
pub(super) fn of_plan(mesh: &Mesh, own: &[Level], targets: &[Target]) -> Vec<Level> {
    let last = targets.iter().take(1).flat_map(|target| {
        let levels = of_target(mesh, &target.service, target.peer.as_ref());
        levels.into_iter().map(|level| Level {
            asked: level.asked && !target.query,
            decided: level.decided && !target.query && decision(own).is_none(),
            ..level
        })
    });
    own.iter().cloned().chain(last).collect()
}

/// The level that decided.
pub(super) fn decision(levels: &[Level]) -> Option<&Level> {
    levels.iter().find(|level| level.decided)
}

/// What of a registration and of the entries about a downstream counts for nothing.
pub(super) fn note_unasked(
    asker: &Found<'_>,
    rules: ModeRules,
    levels: &[Level],
    notes: &mut Vec<String>,
) {
    if asker.is_gateway() {
        notes.push(format!(
            "{} is an {}, which passes no mode of its own: only level 7 counts",
            asker.service,
            asker.kind.label()
        ));
    } else if levels
        .iter()
        .any(|level| level.value.is_some() && !asked_by(rules, level.step))
    {
        notes.push(
            "upstream_config says a mode, which rules 1.8 do not ask: it counts from 1.14 on"
                .to_owned(),
        );
    }
}

fn level(step: Step, name: String, said: Option<&Placed<GatewayMode>>) -> Level {
    Level {
        number: step.number(),
        step,
        name,
        value: said.map(|said| said.value),
        at: said.map(|said| said.at.clone()),
        asked: true,
        decided: false,
    }
}

/// Marks the first that is asked and says something.
fn decided<const N: usize>(levels: [Level; N]) -> Vec<Level> {
    let mut levels = Vec::from(levels);
    let first = levels
        .iter_mut()
        .find(|level| level.asked && level.value.is_some());
    if let Some(first) = first {
        first.decided = true;
    }
    levels
}

/// Consul: `upstream_config` has a say in modes since 1.14.
fn asked_by(rules: ModeRules, step: Step) -> bool {
    rules == ModeRules::V1_14 || !matches!(step, Step::Override | Step::UpstreamDefaults)
}

/// Settings for this very upstream. Consul: found by name, namespace, partition and peer; the
/// datacenter plays no part.
pub(super) fn overriding<'m>(
    config: &'m UpstreamConfiguration,
    asked: &Asked<'_>,
) -> Option<&'m UpstreamConfig> {
    config.overrides.iter().find(|config| {
        let peer = Some(&config.peer).filter(|peer| !peer.as_str().is_empty());
        config.service == asked.service && peer == asked.peer.as_ref()
    })
}

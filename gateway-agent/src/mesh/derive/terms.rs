//! What all routes of a gateway share: names, and the settings of its registration.

use std::sync::Arc;
use std::time::Duration;

use super::{Fidelity, Note, View};
use crate::control::snapshot::Place;
use crate::mesh::name::{Locality, ServiceName};
use crate::mesh::route::{
    Action, DnsDiscovery, MeshBalance, MeshRoute, Reason, Role, RouteKeepalive, RouteLimits,
};
use crate::mesh::state::Gateway;

/// Limit of one dial where nothing says another. Consul: 5 s.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What all routes share. If it changes, every route is derived anew.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Terms {
    pub(super) here: Locality,
    pub(super) trust_domain: Arc<str>,
    pub(super) domain: Arc<str>,
    pub(super) fidelity: Fidelity,
    /// Whether the gateway serves the servers of a WAN federation.
    pub(super) wan_federation: bool,
    /// How host names of remote gateways are resolved.
    pub(super) dns: DnsDiscovery,
    connect_timeout: Duration,
    limits: RouteLimits,
    limits_at: Option<Place>,
    keepalive: Option<RouteKeepalive>,
}

impl Terms {
    pub(super) fn of(view: &View, fidelity: &Fidelity, notes: &mut Vec<Note>) -> Self {
        let gateway = &view.gateway;
        let defaults = view.entries.service_defaults.get(&own_name(view));
        let limits = defaults.and_then(|defaults| {
            let upstreams = defaults.upstream_config.as_ref()?.defaults.as_ref()?;
            Some((upstreams.limits?, upstreams.at.clone()))
        });
        // Consul: only the value "1" counts, and only in the default partition.
        let federated = gateway
            .meta
            .get(WAN_FEDERATION)
            .is_some_and(|value| value == "1");
        Self {
            here: view.here.clone(),
            trust_domain: Arc::clone(&view.trust_domain),
            domain: Arc::clone(&view.domain),
            fidelity: *fidelity,
            wan_federation: federated && view.here.partition.is_default(),
            dns: dns(gateway, fidelity, notes),
            connect_timeout: connect_timeout(gateway, notes),
            limits: limits
                .as_ref()
                .map(|(limits, _)| *limits)
                .unwrap_or_default(),
            limits_at: limits.map(|(_, at)| at),
            keepalive: keepalive(gateway),
        }
    }

    /// Whether a name, in lower case, is of a form that services, gateways and servers of this
    /// mesh have, whether or not there is one.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let below = |zone: &str| name.strip_suffix(zone)?.strip_suffix('.');
        let zone = |kind: &str| format!("{kind}.{}", self.trust_domain).to_ascii_lowercase();
        if below(&zone("internal")).is_some() || below(&zone("internal-v1")).is_some() {
            return true;
        }
        let domain = self.domain.trim_end_matches('.').to_ascii_lowercase();
        let server = below(&domain).and_then(|rest| rest.rsplit_once('.'));
        self.wan_federation
            && server
                .is_some_and(|(rest, _datacenter)| rest == "server" || rest.ends_with(".server"))
    }

    /// A route that passes connections through, so far without endpoints.
    pub(super) fn route(&self, name: String, role: Role, mut reason: Reason) -> MeshRoute {
        // Consul: limits are set on every route but those out to peers.
        let limited = !matches!(role, Role::Imported | Role::PeeringRemoteServers);
        if limited {
            reason.entries.extend(self.limits_at.clone());
        }
        MeshRoute {
            name: name.into(),
            role,
            action: Action::Forward,
            datacenter: self.here.datacenter.clone(),
            service: None,
            subset: None,
            endpoints: Vec::new(),
            connect_timeout: self.connect_timeout,
            balance: MeshBalance::default(),
            dns: None,
            panic_percent: None,
            limits: if limited {
                self.limits
            } else {
                RouteLimits::default()
            },
            keepalive: self.keepalive.filter(|_| leads_out(role)),
            reason,
        }
    }
}

const WAN_FEDERATION: &str = "consul-wan-federation";

/// The gateway's service as the config entries here would name it.
fn own_name(view: &View) -> ServiceName {
    ServiceName {
        partition: view.here.partition.clone(),
        ..view.gateway.service.clone()
    }
}

/// Whether a route's endpoints are remote. Consul: only towards those is keepalive set.
fn leads_out(role: Role) -> bool {
    match role {
        Role::RemoteDc
        | Role::RemoteDcExact
        | Role::RemotePartition
        | Role::RemotePartitionExact
        | Role::RemoteServers
        | Role::RemoteServersExact
        | Role::PeeringRemoteServers
        | Role::Imported => true,
        Role::LocalService
        | Role::LocalSubset
        | Role::LocalServer
        | Role::LocalServersAny
        | Role::PeeringLocalServers
        | Role::ExportedTcp
        | Role::ExportedHttp => false,
    }
}

fn dns(gateway: &Gateway, fidelity: &Fidelity, notes: &mut Vec<Note>) -> DnsDiscovery {
    const KEY: &str = "envoy_dns_discovery_type";
    match gateway.config.text(KEY) {
        None | Some("") => fidelity.hostnames,
        Some(text) if text.eq_ignore_ascii_case("strict_dns") => DnsDiscovery::StrictDns,
        Some(text) => {
            if !text.eq_ignore_ascii_case("logical_dns") {
                notes.push(Note {
                    text: format!(
                        "{KEY} of the gateway is `{text}` and counts as `logical_dns`; \
                         write `logical_dns` or `strict_dns`"
                    ),
                    at: vec![gateway.at.clone()],
                });
            }
            // Consul: all but the word for the other one means this.
            DnsDiscovery::LogicalDns
        }
    }
}

fn connect_timeout(gateway: &Gateway, notes: &mut Vec<Note>) -> Duration {
    const KEY: &str = "connect_timeout_ms";
    let told = gateway.config.number(KEY);
    if told.is_none() && gateway.config.0.contains_key(KEY) {
        notes.push(Note {
            text: format!("{KEY} of the gateway is no whole number and is left out"),
            at: vec![gateway.at.clone()],
        });
    }
    told.and_then(|told| u64::try_from(told).ok())
        // Consul: below 1 it is as if nothing were told.
        .filter(|told| *told >= 1)
        .map_or(CONNECT_TIMEOUT, Duration::from_millis)
}

fn keepalive(gateway: &Gateway) -> Option<RouteKeepalive> {
    let config = &gateway.config;
    let enabled = config.flag("envoy_gateway_remote_tcp_enable_keepalive");
    let number = |key: &str| {
        let told = config.number(&format!("envoy_gateway_remote_tcp_keepalive_{key}"))?;
        u32::try_from(told).ok().filter(|told| *told > 0)
    };
    enabled.filter(|enabled| *enabled).map(|_| RouteKeepalive {
        time: number("time"),
        interval: number("interval"),
        probes: number("probes"),
    })
}

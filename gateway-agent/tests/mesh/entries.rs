//! Config entries of the cases file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_agent::mesh::catalog::Opaque;
use gateway_agent::mesh::entries::exported::{Consumer, Export};
use gateway_agent::mesh::entries::resolver::{LoadBalancer, LoadPolicy, Redirect, Subset};
use gateway_agent::mesh::entries::service_defaults::{
    UpstreamConfig, UpstreamConfiguration, UpstreamLimits,
};
use gateway_agent::mesh::entries::{
    Entries, ExportedServices, MeshSettings, ProxyDefaults, ServiceDefaults, ServiceResolver,
};
use gateway_agent::mesh::{Name, ServiceName};
use serde_json::Value;

use super::fields::{Fields, fold, list, pairs, text};
use super::instance::nowhere;

/// Reads the entries among the state's keys.
pub(crate) fn entries(state: &mut Fields, gateway: &ServiceName) -> Result<Entries, String> {
    let partition = &gateway.partition;
    let mut entries = Entries::default();
    for (key, value) in pairs("resolvers", state.take(&["resolvers"]))? {
        let service = service_name(&key, partition);
        let resolver = resolver(&service, &value)?;
        entries.resolvers.insert(service, Arc::new(resolver));
    }
    protocols(state, partition, &mut entries)?;
    if let Some(value) = state.take(&["gatewayservicedefaults"]) {
        let mut defaults = service_defaults(gateway, "");
        defaults.upstream_config = upstream_config(gateway, &value)?;
        entries
            .service_defaults
            .insert(gateway.clone(), Arc::new(defaults));
    }
    let through = state.flag(&["peerthroughmeshgateways"])?;
    if peers_through(state.take(&["mesh"]))? || through {
        let settings = MeshSettings {
            peer_through_mesh_gateways: true,
            ..MeshSettings::new(partition.clone(), nowhere())
        };
        entries.mesh.insert(partition.clone(), Arc::new(settings));
    }
    let exported = ExportedServices {
        partition: partition.clone(),
        services: exports(state.take(&["exported"]), partition)?,
        meta: BTreeMap::new(),
        at: nowhere(),
    };
    entries
        .exported
        .insert(partition.clone(), Arc::new(exported));
    Ok(entries)
}

/// What the mesh entry says, where a case tells it as such.
fn peers_through(mesh: Option<Value>) -> Result<bool, String> {
    let Some(mesh) = mesh else {
        return Ok(false);
    };
    let mut fields = Fields::of("mesh", &mesh)?;
    let peering = fields.take(&["peering"]);
    fields.end()?;
    let Some(peering) = peering else {
        return Ok(false);
    };
    let mut fields = Fields::of("peering of mesh", &peering)?;
    let through = fields.flag(&["peerthroughmeshgateways"])?;
    fields.end()?;
    Ok(through)
}

/// `svc`, `namespace/svc` or `partition/namespace/svc`.
pub(crate) fn service_name(key: &str, partition: &Name) -> ServiceName {
    let mut parts = key.rsplit('/');
    let (name, namespace, told) = (parts.next(), parts.next(), parts.next());
    ServiceName::new(
        name.unwrap_or_default(),
        namespace.unwrap_or_default(),
        told.unwrap_or(partition.as_str()),
    )
}

fn resolver(service: &ServiceName, value: &Value) -> Result<ServiceResolver, String> {
    let mut fields = Fields::of(&format!("resolver {service}"), value)?;
    let mut subsets = BTreeMap::new();
    for (name, value) in pairs("subsets", fields.take(&["subsets"]))? {
        let mut fields = Fields::of(&format!("subset {name}"), &value)?;
        let subset = Subset {
            filter: fields.text(&["filter"]),
            only_passing: fields.flag(&["onlypassing"])?,
            at: nowhere(),
        };
        fields.end()?;
        subsets.insert(name, subset);
    }
    let redirect = fields.take(&["redirect"]);
    let choices = fields.number(&["choicecount", "leastrequestchoicecount"])?;
    let balancer = fields.take(&["lb", "loadbalancer"]);
    let timeout = match fields.number(&["connecttimeoutms"])? {
        Some(told) => Some(Duration::from_millis(told)),
        None => fields
            .take(&["connecttimeout"])
            .map(|value| duration(&value))
            .transpose()?,
    };
    let found = ServiceResolver {
        default_subset: fields.text(&["defaultsubset"]),
        subsets,
        redirect: redirect.map(|value| redirected(&value)).transpose()?,
        connect_timeout: timeout,
        load_balancer: balancer
            .map(|value| load_balancer(&value, choices))
            .transpose()?,
        ..ServiceResolver::new(service.clone(), nowhere())
    };
    // A gateway looks at none of these.
    fields.take(&["failover"]);
    fields.take(&["requesttimeout", "requesttimeoutms"]);
    fields.take(&["kind"]);
    fields.take(&["name"]);
    fields.take(&["meta"]);
    fields.end()?;
    Ok(found)
}

fn redirected(value: &Value) -> Result<Redirect, String> {
    let mut fields = Fields::of("a redirect", value)?;
    let redirect = Redirect {
        service: Name::new(&fields.text(&["service"])),
        subset: fields.text(&["servicesubset", "subset"]),
        namespace: Name::new(&fields.text(&["namespace", "ns"])),
        partition: Name::new(&fields.text(&["partition"])),
        datacenter: Name::new(&fields.text(&["datacenter", "dc"])),
        peer: Name::new(&fields.text(&["peer"])),
        sameness_group: fields.text(&["samenessgroup"]),
        at: nowhere(),
    };
    fields.end()?;
    Ok(redirect)
}

/// The name of a policy, or an object as in the entry.
fn load_balancer(value: &Value, choices: Option<u64>) -> Result<LoadBalancer, String> {
    let (policy, choices) = match value {
        Value::Object(_) => {
            let mut fields = Fields::of("a load balancer", value)?;
            let config = fields.take(&["leastrequestconfig", "leastrequest"]);
            let inner = match config {
                Some(config) => {
                    Fields::of("least_request_config", &config)?.number(&["choicecount"])?
                }
                None => None,
            };
            let own = fields.number(&["choicecount"])?;
            let policy = fields.text(&["policy"]);
            // A gateway looks at none of these.
            fields.take(&["ringhashconfig", "ringhash"]);
            fields.take(&["hashpolicies", "hashpolicy"]);
            fields.end()?;
            (policy, own.or(inner).or(choices))
        }
        value => (text(value), choices),
    };
    let policy = match policy.as_str() {
        "" => LoadPolicy::Unset,
        "random" => LoadPolicy::Random,
        "round_robin" => LoadPolicy::RoundRobin,
        "least_request" => LoadPolicy::LeastRequest,
        "ring_hash" => LoadPolicy::RingHash,
        "maglev" => LoadPolicy::Maglev,
        other => return Err(format!("the load balancer {other} is unknown")),
    };
    Ok(LoadBalancer {
        policy,
        choice_count: choices.and_then(|choices| u32::try_from(choices).ok()),
        ring_size: (None, None),
        hash_policies: Vec::new(),
        at: nowhere(),
    })
}

/// Text such as `10s`, or nanoseconds.
fn duration(value: &Value) -> Result<Duration, String> {
    match value {
        Value::Number(number) => Ok(Duration::from_nanos(number.as_u64().unwrap_or_default())),
        value => humantime::parse_duration(&text(value)).map_err(|why| format!("{value}: {why}")),
    }
}

/// `svc` to protocol; `*` is that of `proxy-defaults`.
fn protocols(state: &mut Fields, partition: &Name, entries: &mut Entries) -> Result<(), String> {
    for (key, value) in pairs("protocols", state.take(&["protocols"]))? {
        if key == "*" {
            let defaults = ProxyDefaults {
                config: Opaque(BTreeMap::from([("protocol".to_owned(), value)])),
                ..ProxyDefaults::new(partition.clone(), nowhere())
            };
            entries
                .proxy_defaults
                .insert(partition.clone(), Arc::new(defaults));
            continue;
        }
        let service = service_name(&key, partition);
        let defaults = service_defaults(&service, &text(&value));
        entries.service_defaults.insert(service, Arc::new(defaults));
    }
    Ok(())
}

fn service_defaults(service: &ServiceName, protocol: &str) -> ServiceDefaults {
    ServiceDefaults {
        protocol: protocol.to_owned(),
        ..ServiceDefaults::new(service.clone(), nowhere())
    }
}

fn upstream_config(
    gateway: &ServiceName,
    value: &Value,
) -> Result<Option<UpstreamConfiguration>, String> {
    let mut fields = Fields::of("gateway_service_defaults", value)?;
    // A gateway looks at none of these.
    for key in ["kind", "name", "protocol", "meta"] {
        fields.take(&[key]);
    }
    let mut told = fields.take(&["limits"]);
    if let Some(upstreams) = fields.take(&["upstreamconfig"]) {
        let mut upstreams = Fields::of("upstream_config", &upstreams)?;
        if let Some(defaults) = upstreams.take(&["defaults"]) {
            let mut defaults = Fields::of("defaults of upstream_config", &defaults)?;
            told = defaults.take(&["limits"]).or(told);
        }
        upstreams.take(&["overrides"]);
        upstreams.end()?;
    }
    fields.end()?;
    let Some(told) = told else {
        return Ok(None);
    };
    Ok(Some(UpstreamConfiguration {
        overrides: Vec::new(),
        defaults: Some(UpstreamConfig {
            limits: Some(limits(&told)?),
            ..UpstreamConfig::new(gateway.clone(), nowhere())
        }),
    }))
}

pub(crate) fn limits(value: &Value) -> Result<UpstreamLimits, String> {
    let mut fields = Fields::of("limits", value)?;
    let mut limit = |key: &str| {
        let told = fields.number(&[key])?;
        told.map(|told| u32::try_from(told).map_err(|_why| format!("{told} is too large a limit")))
            .transpose()
    };
    let limits = UpstreamLimits {
        max_connections: limit("maxconnections")?,
        max_pending_requests: limit("maxpendingrequests")?,
        max_concurrent_requests: limit("maxconcurrentrequests")?,
    };
    fields.end()?;
    Ok(limits)
}

/// `svc` to its peers, or a list of services as in the entry.
fn exports(value: Option<Value>, partition: &Name) -> Result<Vec<Export>, String> {
    let value = match value {
        Some(Value::Object(mut map)) if map.len() == 1 => {
            let entry = map.keys().next().map(|key| fold(key));
            match entry.filter(|key| key == "services") {
                Some(_) => map.values_mut().next().map(Value::take),
                None => Some(Value::Object(map)),
            }
        }
        other => other,
    };
    if let Some(Value::Array(services)) = value {
        return services
            .iter()
            .map(|service| {
                let name = Fields::of("an exported service", service)?.text(&["name", "service"]);
                export(&name, service, partition)
            })
            .collect();
    }
    pairs("exported", value)?
        .iter()
        .map(|(key, peers)| export(key, peers, partition))
        .collect()
}

/// Peers by name or as `{peer}`, or an object with such a list.
fn export(name: &str, value: &Value, partition: &Name) -> Result<Export, String> {
    let mut peers = value.clone();
    if value.is_object() && value.get("peer").is_none() {
        let mut fields = Fields::of("an exported service", value)?;
        peers = fields.take(&["consumers", "peers"]).unwrap_or_default();
        fields.take(&["name", "service"]);
        fields.end()?;
    }
    let consumer = |peer: &Value| match peer {
        Value::Object(_) => {
            let mut fields = Fields::of("a consumer", peer)?;
            let told = fields.text(&["peer", "peername"]);
            fields.end()?;
            Ok(Consumer::Peer(Name::new(&told)))
        }
        name => Ok(Consumer::Peer(Name::new(&text(name)))),
    };
    Ok(Export {
        service: service_name(name, partition),
        consumers: list(&peers)
            .iter()
            .map(consumer)
            .collect::<Result<_, String>>()?,
        at: nowhere(),
    })
}

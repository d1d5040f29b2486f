//! From the state of a case to the view of its gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_agent::mesh::catalog::{Instance, Kind, Opaque, Peering};
use gateway_agent::mesh::derive::View;
use gateway_agent::mesh::state::Gateway;
use gateway_agent::mesh::{Locality, Name, ServiceName};
use serde_json::{Map, Value};

use super::entries::{entries, service_name};
use super::fields::{Fields, address, list, pairs};
use super::instance::{Context, instances, nowhere, port, tagged, texts};

/// A view, and what the case says about the chains of its exported services.
pub(crate) struct State {
    pub(crate) view: View,
    pub(crate) chains: Vec<(ServiceName, Value)>,
}

pub(crate) fn read(
    state: &Map<String, Value>,
    trust_domain: &str,
    domain: &str,
) -> Result<State, String> {
    let mut fields = Fields::of("the state", &Value::Object(state.clone()))?;
    let partition = match fields.text(&["ownpartition", "partition"]).as_str() {
        "" => Name::default_name(),
        told => Name::new(told),
    };
    let here = Locality {
        datacenter: Name::new(&fields.text(&["localdc", "datacenter"])),
        partition: partition.clone(),
    };
    // Names, partitions and groups of gateways say all that these would.
    for key in ["edition", "version", "datacenters", "note", "notes"] {
        fields.take(&[key]);
    }
    let gateway = gateway(&mut fields, &partition)?;
    let entries = Arc::new(entries(&mut fields, &gateway.service)?);
    let servers = fields.take(&["servers"]).unwrap_or_default();
    let servers = instances(&servers, &context(&here, Kind::Typical, "consul", None))?;
    let chains = pairs("chain_target", fields.take(&["chaintarget"]))?;
    let chains = chains
        .into_iter()
        .map(|(key, value)| (service_name(&key, &partition), value))
        .collect();
    let view = View {
        trust_domain: trust_domain.into(),
        domain: domain.into(),
        gateway,
        entries,
        connect: connect(&mut fields, &here)?,
        remote_gateways: gateways(&mut fields, "remotegateways")?,
        federation: gateways(&mut fields, "federationstates")?,
        servers,
        imported: imported(&mut fields, &here)?,
        peerings: peerings(fields.take(&["peerings"]))?,
        here,
    };
    fields.end()?;
    Ok(State { view, chains })
}

fn context(at: &Locality, kind: Kind, service: &str, peer: Option<&Name>) -> Context {
    Context {
        at: at.clone(),
        kind,
        service: service.to_owned(),
        namespace: "default".to_owned(),
        peer: peer.cloned(),
    }
}

fn gateway(fields: &mut Fields, partition: &Name) -> Result<Gateway, String> {
    let config = pairs("gateway_config", fields.take(&["gatewayconfig"]))?;
    let meta = texts("gateway_meta", fields.take(&["gatewaymeta"]))?;
    let told = fields.take(&["gatewayregistration"]);
    let told = told.unwrap_or_else(|| Value::Object(Map::new()));
    let mut registration = Fields::of("gateway_registration", &told)?;
    let name = match registration.text(&["name", "service"]).as_str() {
        "" => "mesh-gateway".to_owned(),
        told => told.to_owned(),
    };
    let gateway = Gateway {
        service: ServiceName {
            partition: partition.clone(),
            ..ServiceName::plain(&name)
        },
        address: registration.text(&["address", "addr"]),
        port: match port(registration.number(&["port"])?)? {
            0 => 8443,
            port => port,
        },
        tagged: tagged(&mut registration)?,
        meta,
        config: Opaque(config.into_iter().collect()),
        at: nowhere(),
    };
    for key in ["id", "kind", "node", "dc"] {
        registration.take(&[key]);
    }
    registration.end()?;
    Ok(gateway)
}

type Lists<K> = BTreeMap<K, Arc<[Arc<Instance>]>>;

fn connect(fields: &mut Fields, here: &Locality) -> Result<Lists<ServiceName>, String> {
    let mut found = BTreeMap::new();
    for (key, value) in pairs("connect", fields.take(&["connect"]))? {
        let service = service_name(&key, &here.partition);
        let context = Context {
            namespace: service.namespace.to_string(),
            ..context(here, Kind::ConnectProxy, service.name.as_str(), None)
        };
        found.insert(service, instances(&value, &context)?);
    }
    Ok(found)
}

/// Keys are `dc` or `partition/dc`.
fn gateways(fields: &mut Fields, key: &str) -> Result<Lists<Locality>, String> {
    let mut found = BTreeMap::new();
    for (key, value) in pairs(key, fields.take(&[key]))? {
        let (partition, datacenter) = key.split_once('/').unwrap_or(("default", &key));
        let at = Locality {
            datacenter: Name::new(datacenter),
            partition: Name::new(partition),
        };
        let list = instances(
            &value,
            &context(&at, Kind::MeshGateway, "mesh-gateway", None),
        )?;
        found.insert(at, list);
    }
    Ok(found)
}

fn imported(fields: &mut Fields, here: &Locality) -> Result<Lists<(Name, ServiceName)>, String> {
    let mut found = BTreeMap::new();
    for (peer, services) in pairs("imported", fields.take(&["imported"]))? {
        let peer = Name::new(&peer);
        for (key, value) in pairs("imported", Some(services))? {
            let service = service_name(&key, &Name::default_name());
            let name = service.name.to_string();
            let context = context(here, Kind::ConnectProxy, &name, Some(&peer));
            found.insert((peer.clone(), service), instances(&value, &context)?);
        }
    }
    Ok(found)
}

/// A list of peerings, or a map from their names.
fn peerings(value: Option<Value>) -> Result<BTreeMap<Name, Arc<Peering>>, String> {
    let all: Vec<(String, Value)> = match value {
        Some(Value::Array(list)) => list.into_iter().map(|one| (String::new(), one)).collect(),
        other => pairs("peerings", other)?,
    };
    let mut found = BTreeMap::new();
    for (key, value) in all {
        let mut fields = Fields::of("a peering", &value)?;
        let name = match fields.text(&["name", "peer", "peername"]).as_str() {
            "" => key,
            told => told.to_owned(),
        };
        let addresses = fields.take(&[
            "addresses",
            "servers",
            "serveraddresses",
            "peerserveraddresses",
        ]);
        let peering = Peering {
            name: Name::new(&name),
            server_name: fields.text(&["servername", "peerservername"]),
            server_addresses: list(&addresses.unwrap_or_default())
                .iter()
                .map(address)
                .collect::<Result<_, _>>()?,
            modify_index: fields.number(&["modifyindex"])?.unwrap_or_default(),
            at: nowhere(),
        };
        // A gateway looks at none of these.
        for key in ["id", "state", "peerid", "note"] {
            fields.take(&[key]);
        }
        fields.end()?;
        found.insert(Name::new(&name), Arc::new(peering));
    }
    Ok(found)
}

//! An instance as a filter sees it: the fields of Consul's HTTP answers.
//!
//! Consul: names of fields and keys of maps are case-sensitive, and `Service` is the registration
//! of the proxy, not that of the application behind it. Namespace and partition read `default`
//! where none is told.

use crate::mesh::catalog::{Check, GatewayMode, Instance, Proxy, TaggedAddress, Upstream};
use crate::mesh::catalog::{Placed, UpstreamKind};
use crate::mesh::filter::{Field, Subject};

/// An instance that a filter is asked about.
pub struct Asked<'a> {
    instance: &'a Instance,
    checks: Vec<AskedCheck<'a>>,
}

impl<'a> Asked<'a> {
    /// Makes an instance ready to be asked about.
    #[must_use]
    pub fn new(instance: &'a Instance) -> Self {
        let checks = instance.checks.iter();
        Self {
            instance,
            checks: checks.map(|check| AskedCheck { check, instance }).collect(),
        }
    }
}

impl Subject for Asked<'_> {
    fn field(&self, path: &[&str]) -> Option<Field<'_>> {
        match path {
            ["Node", rest @ ..] => node(self.instance, rest),
            ["Service", "Proxy", rest @ ..] => proxy(self.instance.service.proxy.as_deref()?, rest),
            ["Service", rest @ ..] => service(self.instance, rest),
            ["Checks"] => {
                let checks = self.checks.iter();
                Some(Field::Items(
                    checks.map(|check| check as &dyn Subject).collect(),
                ))
            }
            _ => None,
        }
    }
}

fn node<'a>(instance: &'a Instance, path: &[&str]) -> Option<Field<'a>> {
    let node = &*instance.node;
    Some(match path {
        ["ID"] => Field::Text(&node.id),
        ["Node"] => Field::Text(node.name.as_str()),
        ["Address"] => Field::Text(&node.address),
        ["Datacenter"] => Field::Text(node.datacenter.as_str()),
        ["Partition"] => Field::Text(node.partition.as_str()),
        ["PeerName"] => Field::Text(peer(instance)),
        ["TaggedAddresses", key @ ..] => map(&node.tagged, key)?,
        ["Meta", key @ ..] => map(&node.meta, key)?,
        _ => return None,
    })
}

fn service<'a>(instance: &'a Instance, path: &[&str]) -> Option<Field<'a>> {
    let service = &*instance.service;
    Some(match path {
        ["Kind"] => Field::Text(service.kind.label()),
        ["ID"] => Field::Text(&service.id),
        ["Service"] => Field::Text(service.name.as_str()),
        ["Namespace"] => Field::Text(service.namespace.as_str()),
        ["Partition"] => Field::Text(instance.node.partition.as_str()),
        ["PeerName"] => Field::Text(peer(instance)),
        ["Address"] => Field::Text(&service.address),
        ["Port"] => Field::Number(service.port.into()),
        ["Tags"] => Field::List(service.tags.iter().map(String::as_str).collect()),
        ["Meta", key @ ..] => map(&service.meta, key)?,
        ["TaggedAddresses"] => Field::Map(service.tagged.keys().map(String::as_str).collect()),
        ["TaggedAddresses", key, part] => service
            .tagged
            .get(*key)
            .map_or(Some(Field::Absent), |tagged| address(tagged, part))?,
        ["Weights", state] => {
            let weights = service
                .weights
                .map(|weights| (weights.passing, weights.warning));
            let (passing, warning) = weights.unwrap_or((1, 1));
            Field::Number(if *state == "Passing" {
                passing
            } else {
                warning
            })
        }
        ["Connect", "Native"] => Field::Bool(service.native),
        ["ModifyIndex"] => Field::Number(service.modify_index.try_into().unwrap_or(i64::MAX)),
        _ => return None,
    })
}

fn address<'a>(tagged: &'a TaggedAddress, part: &str) -> Option<Field<'a>> {
    match part {
        "Address" => Some(Field::Text(&tagged.address)),
        "Port" => Some(Field::Number(tagged.port.into())),
        _ => None,
    }
}

fn proxy<'a>(proxy: &'a Proxy, path: &[&str]) -> Option<Field<'a>> {
    Some(match path {
        ["DestinationServiceName"] => Field::Text(proxy.destination_service.as_str()),
        ["DestinationServiceID"] => Field::Text(&proxy.destination_id),
        ["LocalServiceAddress"] => Field::Text(&proxy.local_service_address),
        ["LocalServicePort"] => Field::Number(proxy.local_service_port.into()),
        ["LocalServiceSocketPath"] => Field::Text(&proxy.local_service_socket_path),
        ["Mode"] => Field::Text(&proxy.mode),
        ["MeshGateway", "Mode"] => Field::Text(mode(proxy.mesh_gateway.as_ref())),
        ["Upstreams"] => {
            let upstreams = proxy.upstreams.iter();
            Field::Items(upstreams.map(|upstream| upstream as &dyn Subject).collect())
        }
        _ => return None,
    })
}

impl Subject for Upstream {
    fn field(&self, path: &[&str]) -> Option<Field<'_>> {
        Some(match path {
            ["DestinationType"] => Field::Text(match self.kind {
                UpstreamKind::Service => "service",
                UpstreamKind::PreparedQuery => "prepared_query",
            }),
            ["DestinationNamespace"] => Field::Text(self.namespace.as_str()),
            ["DestinationPartition"] => Field::Text(self.partition.as_str()),
            ["DestinationPeer"] => Field::Text(self.peer.as_str()),
            ["DestinationName"] => Field::Text(self.destination.as_str()),
            ["Datacenter"] => Field::Text(self.datacenter.as_str()),
            ["LocalBindAddress"] => Field::Text(&self.local_bind_address),
            ["LocalBindPort"] => Field::Number(self.local_bind_port.into()),
            ["LocalBindSocketPath"] => Field::Text(&self.local_bind_socket_path),
            ["LocalBindSocketMode"] => Field::Text(&self.local_bind_socket_mode),
            ["MeshGateway", "Mode"] => Field::Text(mode(self.mesh_gateway.as_ref())),
            _ => return None,
        })
    }
}

/// A check with the instance that it is about.
struct AskedCheck<'a> {
    check: &'a Check,
    instance: &'a Instance,
}

impl Subject for AskedCheck<'_> {
    fn field(&self, path: &[&str]) -> Option<Field<'_>> {
        let (check, service) = (self.check, &*self.instance.service);
        let of_service = !check.service_id.is_empty();
        Some(match path {
            ["Node"] => Field::Text(self.instance.node.name.as_str()),
            ["CheckID"] => Field::Text(&check.id),
            ["Name"] => Field::Text(&check.name),
            ["Status"] => Field::Text(check.status.label()),
            ["Output"] => Field::Text(&check.output),
            ["ServiceID"] => Field::Text(&check.service_id),
            ["ServiceName"] if of_service => Field::Text(service.name.as_str()),
            ["ServiceTags"] if of_service => {
                Field::List(service.tags.iter().map(String::as_str).collect())
            }
            ["Namespace"] => Field::Text(service.namespace.as_str()),
            ["Partition"] => Field::Text(self.instance.node.partition.as_str()),
            ["PeerName"] => Field::Text(peer(self.instance)),
            _ => return None,
        })
    }
}

fn map<'a>(
    map: &'a std::collections::BTreeMap<String, String>,
    path: &[&str],
) -> Option<Field<'a>> {
    match path {
        [] => Some(Field::Map(map.keys().map(String::as_str).collect())),
        [key] => Some(
            map.get(*key)
                .map_or(Field::Absent, |value| Field::Text(value)),
        ),
        _ => None,
    }
}

fn mode(mode: Option<&Placed<GatewayMode>>) -> &'static str {
    mode.map_or("", |mode| mode.value.label())
}

fn peer(instance: &Instance) -> &str {
    instance.peer.as_ref().map_or("", |peer| peer.as_str())
}

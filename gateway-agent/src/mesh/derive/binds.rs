//! Where a mesh gateway listens, by its registration.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value;

use super::{Fidelity, Note};
use crate::mesh::catalog::Opaque;
use crate::mesh::state::Gateway;

/// Names and addresses to listen at: sorted by name, each address once. Consul: that of the
/// registration unless it says otherwise, then the tagged ones and further ones as it says. A
/// gateway without an address listens at all of the host's, of one or both families as
/// `fidelity` says.
///
/// # Errors
///
/// All addresses that nobody can listen at.
pub fn binds(
    gateway: &Gateway,
    fidelity: &Fidelity,
) -> Result<Vec<(String, SocketAddr)>, Vec<Note>> {
    let mut named: Vec<(String, SocketAddr)> = Vec::new();
    let mut wrong = BTreeSet::new();
    let mut add = |name: &str, address: &str, port: u16| {
        let port = if port == 0 { gateway.port } else { port };
        match listened(address, port, fidelity) {
            Ok(found) => named.extend(found.into_iter().map(|one| (name.to_owned(), one))),
            Err(why) => {
                wrong.insert(format!(
                    "the gateway cannot listen at its address {name}: {why}"
                ));
            }
        }
    };
    if !flag(&gateway.config, "no_default_bind") {
        add("default", &gateway.address, gateway.port);
    }
    if flag(&gateway.config, "bind_tagged_addresses") {
        for (tag, tagged) in &gateway.tagged {
            add(tag, &tagged.address, tagged.port);
        }
    }
    let further = setting(&gateway.config, "bind_addresses").map(addresses);
    match further.transpose() {
        Ok(further) => {
            for (name, address, port) in further.iter().flatten() {
                add(name, address, *port);
            }
        }
        Err(why) => {
            wrong.insert(why);
        }
    }
    if !wrong.is_empty() {
        let note = |text| Note {
            text,
            at: vec![gateway.at.clone()],
        };
        return Err(wrong.into_iter().map(note).collect());
    }
    named.sort();
    let mut seen = HashSet::new();
    named.retain(|(_, address)| seen.insert(*address));
    Ok(named)
}

fn listened(address: &str, port: u16, fidelity: &Fidelity) -> Result<Vec<SocketAddr>, String> {
    if port == 0 {
        return Err("it has no port; set `port`".to_owned());
    }
    let address = address.trim();
    if address.is_empty() {
        let (v4, v6) = (
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        );
        let families = std::iter::once(v4).chain(fidelity.both_families.then_some(v6));
        return Ok(families.map(|ip| SocketAddr::new(ip, port)).collect());
    }
    let bare = address
        .strip_prefix('[')
        .and_then(|address| address.strip_suffix(']'))
        .unwrap_or(address);
    let ip: IpAddr = bare
        .parse()
        .map_err(|_why| format!("`{address}` is no IP address; write one of this host's"))?;
    Ok(vec![SocketAddr::new(ip, port)])
}

/// A setting under its name or under the one that it had until 1.6, still read.
fn setting<'a>(config: &'a Opaque, name: &str) -> Option<&'a Value> {
    names(name).iter().find_map(|name| config.0.get(name))
}

fn flag(config: &Opaque, name: &str) -> bool {
    let told = names(name).into_iter().find_map(|name| config.flag(&name));
    told.unwrap_or(false)
}

fn names(name: &str) -> [String; 2] {
    [
        format!("envoy_gateway_{name}"),
        format!("envoy_mesh_gateway_{name}"),
    ]
}

/// Reads a map from names to `{address, port}`. HCL may hand out each block as a list of one.
fn addresses(value: &Value) -> Result<Vec<(&str, &str, u16)>, String> {
    let shape = || {
        "envoy_gateway_bind_addresses of the gateway is no map from names to \
         `{ address = \"...\", port = ... }`"
            .to_owned()
    };
    let mut found = Vec::new();
    for named in maps(value).ok_or_else(shape)? {
        for (name, value) in named {
            for fields in maps(value).ok_or_else(shape)? {
                let field = |key: &str| {
                    let found = fields
                        .iter()
                        .find(|(name, _)| name.eq_ignore_ascii_case(key));
                    found.map(|(_, value)| value)
                };
                let address = field("address").map_or(Some(""), Value::as_str);
                let port = field("port").map_or(Some(0), number);
                match (address, port) {
                    (Some(address), Some(port)) => found.push((name.as_str(), address, port)),
                    _ => return Err(shape()),
                }
            }
        }
    }
    Ok(found)
}

fn maps(value: &Value) -> Option<Vec<&serde_json::Map<String, Value>>> {
    match value {
        Value::Object(map) => Some(vec![map]),
        Value::Array(list) => list.iter().map(Value::as_object).collect(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Number(number) => number.as_u64()?.try_into().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

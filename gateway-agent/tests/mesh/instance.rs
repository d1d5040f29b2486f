//! Instances of the cases file.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_agent::control::snapshot::Place;
use gateway_agent::mesh::catalog::{
    Check, Instance, Kind, Node, PeerMeta, Proxy, Service, Status, TaggedAddress, Weights,
};
use gateway_agent::mesh::{Locality, Name};
use serde_json::Value;

use super::fields::{Fields, list, number, pairs, text};

/// What an instance is where it does not say so itself.
pub(crate) struct Context {
    pub(crate) at: Locality,
    pub(crate) kind: Kind,
    /// The application: of a proxy its destination.
    pub(crate) service: String,
    pub(crate) namespace: String,
    pub(crate) peer: Option<Name>,
}

pub(crate) fn instances(value: &Value, context: &Context) -> Result<Arc<[Arc<Instance>]>, String> {
    let all = list(value);
    let read = all
        .iter()
        .map(|value| instance(value, context).map(Arc::new));
    read.collect()
}

fn instance(value: &Value, context: &Context) -> Result<Instance, String> {
    let mut fields = Fields::of("an instance", value)?;
    let node = Arc::new(node(&mut fields, context)?);
    let (service, checks) = service(&mut fields, context)?;
    // Notes of the file's author, and what the place of the instance says.
    for key in ["note", "notes", "comment", "peer", "peername"] {
        fields.take(&[key]);
    }
    fields.end()?;
    Ok(Instance {
        node,
        service: Arc::new(service),
        checks,
        peer: context.peer.clone(),
        at: nowhere(),
    })
}

fn node(fields: &mut Fields, context: &Context) -> Result<Node, String> {
    let or = |told: String, known: &Name| match told.as_str() {
        "" => known.clone(),
        told => Name::new(told),
    };
    let mut tagged = BTreeMap::new();
    for tag in ["lan", "wan"] {
        let told = fields.text(&[&format!("node{tag}")]);
        if !told.is_empty() {
            tagged.insert(tag.to_owned(), told);
        }
    }
    for (tag, address) in pairs(
        "node_tagged",
        fields.take(&["nodetagged", "nodetaggedaddresses"]),
    )? {
        tagged.insert(tag, text(&address));
    }
    Ok(Node {
        name: Name::new(&fields.text(&["node", "nodename"])),
        id: fields.text(&["nodeid"]),
        address: fields.text(&["nodeaddr", "nodeaddress"]),
        datacenter: or(fields.text(&["dc", "datacenter"]), &context.at.datacenter),
        partition: or(fields.text(&["partition"]), &context.at.partition),
        tagged,
        meta: texts("node_meta", fields.take(&["nodemeta"]))?,
        at: nowhere(),
    })
}

fn service(fields: &mut Fields, context: &Context) -> Result<(Service, Vec<Check>), String> {
    let told = fields.text(&["kind"]);
    let native = fields.flag(&["native", "connectnative"])?
        || matches!(told.as_str(), "connect-native" | "native");
    let kind = match told.as_str() {
        "" if native => Kind::Typical,
        "" => context.kind,
        "connect-proxy" => Kind::ConnectProxy,
        "mesh-gateway" => Kind::MeshGateway,
        "terminating-gateway" => Kind::TerminatingGateway,
        "ingress-gateway" => Kind::IngressGateway,
        "api-gateway" => Kind::ApiGateway,
        "typical" | "service" | "connect-native" | "native" => Kind::Typical,
        other => return Err(format!("an instance has the unknown kind {other}")),
    };
    let destination = match fields.text(&["for", "destination"]).as_str() {
        "" => context.service.clone(),
        told => told.to_owned(),
    };
    let name = match (fields.text(&["name", "service"]).as_str(), kind) {
        ("", Kind::Typical) => context.service.clone(),
        ("", Kind::ConnectProxy) => format!("{destination}-sidecar-proxy"),
        ("", kind) => kind.label().to_owned(),
        (told, _) => told.to_owned(),
    };
    let id = match fields.text(&["id", "serviceid"]).as_str() {
        "" => name.clone(),
        told => told.to_owned(),
    };
    let namespace = match fields.text(&["namespace", "ns"]).as_str() {
        "" => context.namespace.clone(),
        told => told.to_owned(),
    };
    let mut checks = Vec::new();
    for key in ["checks", "servicechecks", "nodechecks"] {
        for value in list(&fields.take(&[key]).unwrap_or_default()) {
            let of = if key == "nodechecks" { "" } else { id.as_str() };
            checks.push(check(&value, of)?);
        }
    }
    for key in ["maintenance", "nodemaintenance"] {
        if fields.flag(&[key])? {
            checks.push(check(&Value::from("maintenance"), &id)?);
        }
    }
    let proxy = Proxy {
        destination_service: Name::new(&destination),
        ..Proxy::default()
    };
    let tags = fields.take(&["tags"]).unwrap_or_default();
    let mut sni = fields.take(&["peersni", "sni"]).unwrap_or_default();
    if let Some(meta) = fields.take(&["peermeta"]) {
        sni = Fields::of("peer_meta", &meta)?
            .take(&["sni"])
            .unwrap_or_default();
    }
    let service = Service {
        kind,
        name: Name::new(&name),
        namespace: Name::new(&namespace),
        address: fields.text(&["addr", "address"]),
        port: port(fields.number(&["port"])?)?,
        tagged: tagged(fields)?,
        tags: list(&tags).iter().map(text).collect(),
        meta: texts("meta", fields.take(&["meta"]))?,
        weights: fields
            .take(&["weights"])
            .map(|value| weights(&value))
            .transpose()?,
        native,
        proxy: (kind == Kind::ConnectProxy).then(|| Arc::new(proxy)),
        peer_meta: context.peer.is_some().then(|| PeerMeta {
            sni: list(&sni).iter().map(text).collect(),
            ..PeerMeta::default()
        }),
        modify_index: fields.number(&["modifyindex"])?.unwrap_or_default(),
        id,
    };
    Ok((service, checks))
}

/// `lan` and `wan`, and `tagged` with any others.
pub(crate) fn tagged(fields: &mut Fields) -> Result<BTreeMap<String, TaggedAddress>, String> {
    let mut found = BTreeMap::new();
    for tag in ["lan", "wan"] {
        if let Some(value) = fields.take(&[tag]) {
            found.insert(tag.to_owned(), tagged_address(&value)?);
        }
    }
    for (tag, value) in pairs("tagged", fields.take(&["tagged", "taggedaddresses"]))? {
        found.insert(tag, tagged_address(&value)?);
    }
    Ok(found)
}

/// `[address, port]`, `{address, port}` or an address alone.
pub(crate) fn tagged_address(value: &Value) -> Result<TaggedAddress, String> {
    let (address, told) = match value {
        Value::Array(list) => (list.first().map(text), list.get(1).and_then(number)),
        Value::Object(_) => {
            let mut fields = Fields::of("a tagged address", value)?;
            let address = fields.text(&["address", "addr"]);
            (Some(address), fields.number(&["port"])?)
        }
        one => (Some(text(one)), None),
    };
    Ok(TaggedAddress {
        address: address.unwrap_or_default(),
        port: port(told)?,
    })
}

pub(crate) fn port(told: Option<u64>) -> Result<u16, String> {
    let told = told.unwrap_or_default();
    u16::try_from(told).map_err(|why| format!("{told} is no port: {why}"))
}

fn weights(value: &Value) -> Result<Weights, String> {
    let (passing, warning) = match value {
        Value::Array(list) => (list.first(), list.get(1)),
        value => (
            value.get("passing").or_else(|| value.get("Passing")),
            value.get("warning").or_else(|| value.get("Warning")),
        ),
    };
    let whole = |value: Option<&Value>| {
        let told = value.map_or(Some(1), Value::as_i64);
        told.ok_or_else(|| "a weight is no number".to_owned())
    };
    Ok(Weights {
        passing: whole(passing)?,
        warning: whole(warning)?,
    })
}

/// A status, or an object with one.
fn check(value: &Value, service_id: &str) -> Result<Check, String> {
    let told = value.get("status").or_else(|| value.get("Status"));
    let status = match text(told.unwrap_or(value)).as_str() {
        "passing" => Status::Passing,
        "warning" => Status::Warning,
        "critical" | "maintenance" => Status::Critical,
        other => return Err(format!("a check has the unknown status {other}")),
    };
    Ok(Check {
        id: String::new(),
        name: String::new(),
        service_id: service_id.to_owned(),
        status,
        output: String::new(),
        at: nowhere(),
    })
}

pub(crate) fn texts(what: &str, value: Option<Value>) -> Result<BTreeMap<String, String>, String> {
    let pairs = pairs(what, value)?.into_iter();
    Ok(pairs.map(|(key, value)| (key, text(&value))).collect())
}

pub(crate) fn nowhere() -> Place {
    Place {
        file: "cases".into(),
        line: 1,
        column: 1,
    }
}

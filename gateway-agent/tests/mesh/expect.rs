//! From what a case expects to what differs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gateway_agent::mesh::route::{Action, MeshBalance, MeshRoute, Role, RouteKeepalive};
use serde_json::{Map, Value};

use super::entries::limits;
use super::fields::{Fields, address, list, number, text};

/// All roles, as other files name them too.
const ROLES: [Role; 15] = [
    Role::LocalService,
    Role::LocalSubset,
    Role::RemoteDc,
    Role::RemoteDcExact,
    Role::RemotePartition,
    Role::RemotePartitionExact,
    Role::RemoteServers,
    Role::RemoteServersExact,
    Role::LocalServer,
    Role::LocalServersAny,
    Role::PeeringLocalServers,
    Role::PeeringRemoteServers,
    Role::ExportedTcp,
    Role::ExportedHttp,
    Role::Imported,
];

/// Compares one route with what is expected of it.
pub(crate) fn route(name: &str, expected: &Value, got: &MeshRoute) -> Result<Vec<String>, String> {
    let mut fields = Fields::of(name, expected)?;
    let mut wrong = Vec::new();
    let mut compare = |what: &str, expected: String, got: String| {
        if expected != got {
            wrong.push(format!("{what}: expected {expected}, got {got}"));
        }
    };
    // Of what is no role of ours another file may make up words of its own.
    let role = fields.text(&["role"]);
    if ROLES.iter().any(|known| known.label() == role) {
        compare("role", role, got.role.to_string());
    }
    if let Some(service) = fields.take(&["service"]) {
        let actual = got.service.as_ref().map(|service| service.name.to_string());
        compare("service", text(&service), actual.unwrap_or_default());
    }
    if let Some(subset) = fields.take(&["subset"]) {
        let actual = got.subset.as_deref().unwrap_or_default();
        compare("subset", text(&subset), actual.to_owned());
    }
    let action = fields.take(&["action"]).map(|action| text(&action));
    let refused = matches!(action.as_deref(), Some("terminate-tls" | "refuse"));
    let action = if refused { "refuse" } else { "forward" };
    let actual = match got.action {
        Action::Forward => "forward",
        Action::Refuse(_) => "refuse",
    };
    compare("action", action.to_owned(), actual.to_owned());
    if let Some(endpoints) = fields.take(&["endpoints"]) {
        compare("endpoints", wanted(&endpoints)?, endpoints_of(got));
    }
    let timeout = fields.number(&["connecttimeoutms"])?;
    let balance = fields.take(&["lb", "balance", "lbpolicy"]);
    let balance = balance.map(|lb| text(&lb).to_ascii_lowercase());
    let dns = fields
        .take(&["dns"])
        .map(|dns| text(&dns).to_ascii_lowercase());
    if !refused {
        let expected = timeout.unwrap_or(5000).to_string();
        compare(
            "connect_timeout_ms",
            expected,
            got.connect_timeout.as_millis().to_string(),
        );
        let expected = balance.unwrap_or_else(|| "round_robin".to_owned());
        compare("lb", expected, got.balance.label().to_owned());
        let actual = got.dns.map_or("none", |dns| dns.label());
        compare(
            "dns",
            dns.unwrap_or_else(|| "none".to_owned()),
            actual.to_owned(),
        );
    }
    if let Some(choices) = fields.number(&["choicecount"])? {
        let actual = match got.balance {
            MeshBalance::LeastRequest(choices) => choices,
            MeshBalance::RoundRobin | MeshBalance::Random => None,
        };
        compare(
            "choice_count",
            format!("Some({choices})"),
            format!("{actual:?}"),
        );
    }
    if let Some(panic) = fields.number(&["panicpercent", "panicthreshold"])? {
        compare(
            "panic_percent",
            format!("Some({panic})"),
            format!("{:?}", got.panic_percent),
        );
    }
    if let Some(value) = fields.take(&["limits"]) {
        compare(
            "limits",
            format!("{:?}", limits(&value)?),
            format!("{:?}", got.limits),
        );
    }
    if let Some(value) = fields.take(&["keepalive", "tcpkeepalive"]) {
        let expected = Some(keepalive(&value)?);
        compare(
            "keepalive",
            format!("{expected:?}"),
            format!("{:?}", got.keepalive),
        );
    }
    // Notes of the file's author.
    for key in ["note", "notes", "comment", "why", "reason", "since"] {
        fields.take(&[key]);
    }
    fields.end()?;
    Ok(wrong)
}

/// Limits hold for every route but those out to peers.
pub(crate) fn limited(expected: &Value, got: &MeshRoute) -> Result<Option<String>, String> {
    let to_peer = matches!(got.role, Role::Imported | Role::PeeringRemoteServers);
    let expected = if to_peer {
        Default::default()
    } else {
        limits(expected)?
    };
    Ok((got.limits != expected)
        .then(|| format!("limits: expected {expected:?}, got {:?}", got.limits)))
}

/// Keepalive holds for routes to remote gateways and peers alone.
pub(crate) fn kept_alive(expected: &Value, got: &MeshRoute) -> Result<Option<String>, String> {
    let remote = !matches!(
        got.role,
        Role::LocalService
            | Role::LocalSubset
            | Role::LocalServer
            | Role::LocalServersAny
            | Role::PeeringLocalServers
            | Role::ExportedTcp
            | Role::ExportedHttp
    );
    let expected = remote.then(|| keepalive(expected)).transpose()?;
    Ok((got.keepalive != expected)
        .then(|| format!("keepalive: expected {expected:?}, got {:?}", got.keepalive)))
}

fn keepalive(value: &Value) -> Result<RouteKeepalive, String> {
    let mut fields = Fields::of("keepalive", value)?;
    let mut seconds = |key: &str| -> Result<_, String> {
        let long = format!("keepalive{key}");
        Ok(fields
            .number(&[key, &long])?
            .and_then(|told| u32::try_from(told).ok()))
    };
    let keepalive = RouteKeepalive {
        time: seconds("time")?,
        interval: seconds("interval")?,
        probes: seconds("probes")?,
    };
    fields.end()?;
    Ok(keepalive)
}

/// `[address, health, weight]` each, or an object of these, or an address alone.
fn wanted(value: &Value) -> Result<String, String> {
    let each = list(value);
    let read = |one: &Value| {
        let field = |at: usize, key: &str| one.get(at).or_else(|| one.get(key));
        let told = match one {
            Value::Object(_) => {
                let mut fields = Fields::of("an endpoint", one)?;
                fields.take(&["health"]);
                fields.take(&["weight"]);
                let mut left = Map::new();
                for key in ["address", "addr", "host", "ip", "port"] {
                    left.extend(fields.take(&[key]).map(|value| (key.to_owned(), value)));
                }
                fields.end()?;
                address(&Value::Object(left))?
            }
            other => text(field(0, "address").unwrap_or(other)),
        };
        let health = field(1, "health").map_or_else(|| "up".to_owned(), text);
        let weight = field(2, "weight").and_then(number).unwrap_or(1);
        Ok(format!("{} {health} {weight}", canonical(&told)))
    };
    let mut all = each.iter().map(read).collect::<Result<Vec<_>, String>>()?;
    all.sort();
    Ok(format!("[{}]", all.join(", ")))
}

fn endpoints_of(route: &MeshRoute) -> String {
    let each = route.endpoints.iter();
    let mut all: Vec<String> = each
        .map(|one| {
            format!(
                "{} {} {}",
                canonical(&one.to_string()),
                one.health.label(),
                one.weight
            )
        })
        .collect();
    all.sort();
    format!("[{}]", all.join(", "))
}

/// One spelling of an address and port: brackets around IPv6 alone, names in lower case.
pub(crate) fn canonical(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{}:{port}", bare.to_ascii_lowercase()),
    }
}

/// The route of a name: the exact one, else the longest `*.suffix`, as the table of a running
/// gateway answers.
pub(crate) fn lookup<'a, R>(routes: &'a BTreeMap<String, R>, name: &str) -> Option<&'a str> {
    let name = name.parse::<gateway_common::wire::ServerName>().ok()?;
    let name = name.as_str();
    let found = |key: &str| routes.get_key_value(key).map(|(key, _)| key.as_str());
    let suffixes = name.match_indices('.').map(|(dot, _)| &name[dot..]);
    let wildcard = |suffix: &str| found(&format!("*{suffix}"));
    found(name).or_else(|| { suffixes }.find_map(wildcard))
}

//! From what a case expects to what differs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gateway_agent::mesh::route::{Action, MeshBalance, MeshRoute, Role, RouteKeepalive};
use serde_json::Value;

use super::entries::limits;
use super::fields::{Fields, list, number, text};

/// Compares one route with what is expected of it.
pub(crate) fn route(name: &str, expected: &Value, got: &MeshRoute) -> Result<Vec<String>, String> {
    let mut fields = Fields::of(name, expected)?;
    let mut wrong = Vec::new();
    let mut compare = |what: &str, expected: String, got: String| {
        if expected != got {
            wrong.push(format!("{what}: expected {expected}, got {got}"));
        }
    };
    if let Some(role) = fields.take(&["role"]) {
        compare("role", text(&role), got.role.to_string());
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
        compare("endpoints", wanted(&endpoints), endpoints_of(got));
    }
    let timeout = fields.number(&["connecttimeoutms"])?;
    let balance = fields.take(&["lb", "balance"]).map(|lb| text(&lb));
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
    if let Some(panic) = fields.number(&["panicpercent"])? {
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
    if let Some(value) = fields.take(&["keepalive"]) {
        let expected = Some(keepalive(&value)?);
        compare(
            "keepalive",
            format!("{expected:?}"),
            format!("{:?}", got.keepalive),
        );
    }
    fields.take(&["note", "notes", "comment"]);
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
        Ok(fields
            .number(&[key])?
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
fn wanted(value: &Value) -> String {
    let each = list(value);
    let mut all: Vec<String> = each
        .iter()
        .map(|one| {
            let field = |at: usize, key: &str| one.get(at).or_else(|| one.get(key));
            let address = text(field(0, "address").unwrap_or(one));
            let health = field(1, "health").map_or_else(|| "up".to_owned(), text);
            let weight = field(2, "weight").and_then(number).unwrap_or(1);
            format!("{} {health} {weight}", canonical(&address))
        })
        .collect();
    all.sort();
    format!("[{}]", all.join(", "))
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

//! `culvert routes`: where server names go.

use std::io::IsTerminal as _;
use std::time::Instant;

use clap::Args;

use super::output::{json, print, table, table_of, visible};
use super::{Agent, AgentOrFile, Failure, format};
use crate::control::Snapshot;
use crate::ops::view::{self, Endpoint, Route, RouteKeepalive, RouteLimits};

/// Which routes
#[derive(Debug, Args)]
pub(super) struct Routes {
    /// A route, or any server name: shows the one it is or matches, with every endpoint
    name: Option<String>,
    /// Print exactly what the agent says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: AgentOrFile,
}

pub(super) fn run(arguments: &Routes) -> Result<(), Failure> {
    let name = arguments.name.as_deref();
    let (body, routes) = match arguments.target.snapshot()? {
        Some(snapshot) => of_file(&snapshot, name)?,
        None => of_agent(&arguments.target.agent, name)?,
    };
    print(&match (arguments.json, name) {
        (true, _) => body,
        (false, Some(_)) => routes.iter().map(one).collect(),
        (false, None) => all(&routes, std::io::stdout().is_terminal()),
    })
}

fn of_agent(agent: &Agent, name: Option<&str>) -> Result<(String, Vec<Route>), Failure> {
    let query = name.map(|name| ("name", name));
    let reply = agent.client().get("/routes", query.as_slice())?.success()?;
    let routes = reply.read()?;
    Ok((reply.body, routes))
}

/// What an agent would say that had just started: no endpoint has a history.
fn of_file(snapshot: &Snapshot, name: Option<&str>) -> Result<(String, Vec<Route>), Failure> {
    let routes = view::routes(snapshot, name, Instant::now());
    match name {
        Some(name) if routes.is_empty() => {
            Err(Failure::No(format!("no route is or matches {name:?}")))
        }
        _ => Ok((json(&routes), routes)),
    }
}

/// One line a route. Where a mesh has routes, their names say datacenter and service, and what else
/// there is to say takes the place of these columns.
fn all(routes: &[Route], terminal: bool) -> String {
    if routes.iter().any(|route| route.role.is_some()) {
        return all_with_mesh(routes, terminal);
    }
    let rows = routes.iter().map(|route| {
        [
            route.name.clone(),
            route.datacenter.clone(),
            route.service.clone(),
            route.balance.clone(),
            usable(route),
            active(route),
            endpoints(route, 3),
            notes(route).join(", "),
        ]
    });
    table(
        [
            "NAME",
            "DATACENTER",
            "SERVICE",
            "BALANCE",
            "USABLE",
            "ACTIVE",
            "ENDPOINTS",
            "NOTES",
        ],
        rows,
    )
}

/// On a terminal, the trust domain that ends most names is told once, below.
fn all_with_mesh(routes: &[Route], terminal: bool) -> String {
    let trust_domain = routes.iter().find_map(trust_domain).filter(|_| terminal);
    let name = |route: &Route| match trust_domain.and_then(|td| route.name.strip_suffix(td)) {
        Some(start) => format!("{start}~"),
        None => route.name.clone(),
    };
    let rows = routes.iter().map(|route| {
        [
            name(route),
            route.role.clone().unwrap_or_else(|| route.origin.clone()),
            health(route),
            active(route),
            endpoints(route, if terminal { 1 } else { 3 }),
            notes(route).join(", "),
        ]
    });
    let headers = ["NAME", "ROLE", "HEALTH", "ACTIVE", "ENDPOINTS", "NOTES"];
    let legend = trust_domain.map(|td| format!("\n~ is the trust domain {}\n", visible(td)));
    table(headers, rows) + &legend.unwrap_or_default()
}

/// The trust domain in the name of a route that the mesh has for itself.
fn trust_domain(route: &Route) -> Option<&str> {
    route.role.as_ref().filter(|role| *role != "imported")?;
    [".internal.", ".internal-v1."]
        .iter()
        .find_map(|mark| route.name.split_once(mark))
        .map(|(_, trust_domain)| trust_domain)
}

/// One route on a screen of its own.
fn one(route: &Route) -> String {
    let mut text = String::new();
    for (key, value) in facts(route) {
        text += &format!("{key:<16}{}\n", visible(&value));
    }
    let checked = route.role.is_some();
    let rows = route.endpoints.iter().map(|endpoint| {
        let mut row = vec![
            endpoint.address.clone(),
            endpoint.host.clone().unwrap_or_default(),
            endpoint.weight.to_string(),
            endpoint.active.to_string(),
            endpoint.failures.to_string(),
        ];
        row.extend(checked.then(|| endpoint.health.clone()));
        row.push(format::standing(endpoint));
        row
    });
    let headers = ["ENDPOINT", "HOST", "WEIGHT", "ACTIVE", "FAILURES"];
    let headers = headers.into_iter().chain(checked.then_some("HEALTH"));
    let headers = headers.chain(["STATE"]).map(str::to_owned).collect();
    format!("{text}\n{}", table_of(headers, rows))
}

/// What there is to say of a route beside its endpoints.
fn facts(route: &Route) -> Vec<(&'static str, String)> {
    let mut facts = vec![("name", route.name.clone())];
    facts.extend(route.matched.clone().map(|matched| ("matched", matched)));
    facts.push(("configured at", route.at.clone()));
    facts.extend(route.role.clone().map(|role| ("role", role)));
    facts.extend(route.rule.clone().map(|rule| ("because", rule)));
    let also = route.entries.iter().filter(|at| **at != route.at);
    facts.extend(also.map(|at| ("shaped by", at.clone())));
    facts.extend(route.refused.clone().map(|why| ("refused", why)));
    facts.push(("datacenter", route.datacenter.clone()));
    facts.push(("service", route.service.clone()));
    facts.push(("balance", route.balance.clone()));
    facts.extend(route.dns.clone().map(|dns| ("host names", dns)));
    let connect = format::duration(route.connect_timeout_ms);
    facts.push(("connect timeout", connect));
    facts.push(("idle timeout", format::duration(route.idle_timeout_ms)));
    facts.extend(limits(route).map(|limits| ("limits", limits)));
    facts.extend(route.keepalive.map(|one| ("keepalive", keepalive(one))));
    facts.push(("notes", notes(route).join(", ")));
    facts
}

fn limits(route: &Route) -> Option<String> {
    let RouteLimits {
        max_connections,
        max_pending_requests,
        max_concurrent_requests,
    } = route.limits;
    let connections =
        max_connections.map(|most| format!("{} of {most} connections in use", route.in_use));
    let requests = [
        ("pending", max_pending_requests),
        ("concurrent", max_concurrent_requests),
    ];
    let requests = requests.into_iter().filter_map(|(kind, most)| {
        let most = most?;
        Some(format!(
            "{most} {kind} requests (not seen by a passthrough gateway)"
        ))
    });
    let all: Vec<String> = connections.into_iter().chain(requests).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

fn keepalive(keepalive: RouteKeepalive) -> String {
    let or_system = |value: Option<u32>, unit: &str| {
        value.map_or_else(|| "system's".to_owned(), |value| format!("{value}{unit}"))
    };
    format!(
        "after {}, every {}, {} probes",
        or_system(keepalive.time, "s"),
        or_system(keepalive.interval, "s"),
        or_system(keepalive.probes, "")
    )
}

/// As many endpoints as help on one line.
fn endpoints(route: &Route, shown: usize) -> String {
    let mut text: Vec<&str> = route
        .endpoints
        .iter()
        .map(|one| &*one.address)
        .take(shown)
        .collect();
    let more = route
        .endpoints
        .len()
        .checked_sub(shown)
        .filter(|&more| more > 0);
    let more = more.map(|more| format!("and {more} more"));
    text.extend(more.as_deref());
    text.join(", ")
}

fn active(route: &Route) -> String {
    let active: u32 = route.endpoints.iter().map(|one| one.active).sum();
    active.to_string()
}

fn usable(route: &Route) -> String {
    let usable = route
        .endpoints
        .iter()
        .filter(|one| one.ejected_ms.is_none() && one.health != "down")
        .count();
    format!("{usable}/{}", route.endpoints.len())
}

/// How many endpoints are in each state, such as `2 up, 1 down`. One that is ejected counts as
/// that, unless its checks hold it back anyway.
fn health(route: &Route) -> String {
    let state = |endpoint: &Endpoint| match (&*endpoint.health, endpoint.ejected_ms) {
        ("down", _) => "down",
        (_, Some(_)) => "ejected",
        ("up", None) => "up",
        _ => "unknown",
    };
    let counts = ["up", "unknown", "ejected", "down"]
        .into_iter()
        .map(|word| {
            let number = route
                .endpoints
                .iter()
                .filter(|one| state(one) == word)
                .count();
            (word, number)
        });
    let counts: Vec<String> = counts
        .filter(|(_, number)| *number > 0)
        .map(|(word, number)| format!("{number} {word}"))
        .collect();
    counts.join(", ")
}

fn notes(route: &Route) -> Vec<String> {
    let mut notes = Vec::new();
    if route.refused.is_some() {
        notes.push("refused".to_owned());
    }
    if route.default {
        notes.push("default".to_owned());
    }
    if route.restricted {
        notes.push("restricted by source".to_owned());
    }
    if let Some(version) = &route.send_proxy {
        notes.push(format!("sends PROXY {version}"));
    }
    if let Some(most) = route.limits.max_connections {
        notes.push(format!("limit {most}"));
    }
    notes.extend(
        route
            .unresolved
            .iter()
            .map(|host| format!("{host} does not resolve")),
    );
    notes.extend(route.notes.iter().cloned());
    notes
}

#[cfg(test)]
mod tests;

//! `culvert routes`: where server names go.

use std::time::Instant;

use clap::Args;

use super::output::{json, print, table};
use super::{Agent, AgentOrFile, Failure, format};
use crate::control::Snapshot;
use crate::ops::view::{self, Endpoint, Route};

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
        (false, None) => all(&routes),
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

/// One line a route.
fn all(routes: &[Route]) -> String {
    let rows = routes.iter().map(|route| {
        [
            route.name.clone(),
            route.datacenter.clone(),
            route.service.clone(),
            route.balance.clone(),
            health(route),
            route
                .endpoints
                .iter()
                .map(|one| one.active)
                .sum::<u32>()
                .to_string(),
            endpoints(route),
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

/// One route on a screen of its own.
fn one(route: &Route) -> String {
    let label = |key: &str, value: &str| {
        format!("{key:<16}{}\n", if value.is_empty() { "-" } else { value })
    };
    let mut text = label("name", &route.name);
    if let Some(matched) = &route.matched {
        text += &label("matched", matched);
    }
    text += &label("configured at", &route.at);
    text += &label("datacenter", &route.datacenter);
    text += &label("service", &route.service);
    text += &label("balance", &route.balance);
    text += &label(
        "connect timeout",
        &format::duration(route.connect_timeout_ms),
    );
    text += &label("idle timeout", &format::duration(route.idle_timeout_ms));
    text += &label("notes", &notes(route).join(", "));
    let rows = route.endpoints.iter().map(|endpoint| {
        [
            endpoint.address.clone(),
            endpoint.host.clone().unwrap_or_default(),
            endpoint.weight.to_string(),
            endpoint.active.to_string(),
            endpoint.failures.to_string(),
            state(endpoint),
        ]
    });
    let headers = ["ENDPOINT", "HOST", "WEIGHT", "ACTIVE", "FAILURES", "STATE"];
    format!("{text}\n{}", table(headers, rows))
}

/// As many endpoints as help on one line.
fn endpoints(route: &Route) -> String {
    const SHOWN: usize = 3;
    let mut text: Vec<&str> = route
        .endpoints
        .iter()
        .map(|one| &*one.address)
        .take(SHOWN)
        .collect();
    let more = route
        .endpoints
        .len()
        .checked_sub(SHOWN)
        .filter(|&more| more > 0);
    let more = more.map(|more| format!("and {more} more"));
    text.extend(more.as_deref());
    text.join(", ")
}

fn health(route: &Route) -> String {
    let usable = route
        .endpoints
        .iter()
        .filter(|one| one.ejected_ms.is_none())
        .count();
    format!("{usable}/{}", route.endpoints.len())
}

fn state(endpoint: &Endpoint) -> String {
    match endpoint.ejected_ms {
        None => "usable".to_owned(),
        Some(left) => format!("ejected for {}", format::duration(left)),
    }
}

fn notes(route: &Route) -> Vec<String> {
    let mut notes = Vec::new();
    if route.default {
        notes.push("default".to_owned());
    }
    if route.restricted {
        notes.push("restricted by source".to_owned());
    }
    if let Some(version) = &route.send_proxy {
        notes.push(format!("sends PROXY {version}"));
    }
    notes.extend(
        route
            .unresolved
            .iter()
            .map(|host| format!("{host} does not resolve")),
    );
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_with_many_endpoints_stays_one_line() {
        let endpoint = |n: u8| Endpoint {
            address: format!("10.0.0.{n}:443"),
            host: None,
            weight: 1,
            active: 2,
            failures: 0,
            ejected_ms: (n == 1).then_some(29_500),
        };
        let mut route = sample();
        route.endpoints = (1..=5).map(endpoint).collect();
        let text = all(&[route.clone()]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("4/5     10"), "{text}");
        assert!(text.contains("10.0.0.3:443, and 2 more"), "{text}");
        assert!(one(&route).contains("ejected for 29.5s"));
    }

    fn sample() -> Route {
        Route {
            name: "web.example.com".into(),
            matched: None,
            default: true,
            datacenter: String::new(),
            service: "web".into(),
            balance: "round_robin".into(),
            restricted: false,
            send_proxy: None,
            connect_timeout_ms: 5000,
            idle_timeout_ms: 3_600_000,
            at: "culvert.hcl:3:1".into(),
            endpoints: Vec::new(),
            unresolved: Vec::new(),
        }
    }
}

//! Where a connection to a server name goes: each step, what was found, where it is configured.

use std::time::Instant;

use super::Explain;
use crate::cli::output::{json, print, visible};
use crate::cli::{Agent, Failure, format};
use crate::control::Snapshot;
use crate::control::explain::explain;
use crate::ops::view::{Endpoint, Explanation, Step};

pub(super) fn run(arguments: &Explain, name: &str) -> Result<(), Failure> {
    let (body, explanation) = match arguments.target.snapshot()? {
        Some(snapshot) => of_file(&snapshot, arguments, name),
        None => of_agent(&arguments.target.agent, arguments, name)?,
    };
    print(&if arguments.json {
        body
    } else {
        render(&explanation)
    })?;
    // The output has said why.
    if explanation.allowed {
        Ok(())
    } else {
        Err(Failure::No(String::new()))
    }
}

fn of_agent(agent: &Agent, asked: &Explain, name: &str) -> Result<(String, Explanation), Failure> {
    let from = asked.from.map(|from| from.to_string());
    let mut query = vec![("name", name)];
    query.extend(from.as_deref().map(|from| ("from", from)));
    query.extend(
        asked
            .listener
            .as_deref()
            .map(|listener| ("listener", listener)),
    );
    let reply = agent.client().get("/explain", &query)?.success()?;
    let explanation = reply.read()?;
    Ok((reply.body, explanation))
}

fn of_file(snapshot: &Snapshot, asked: &Explain, name: &str) -> (String, Explanation) {
    let listener = asked.listener.as_deref();
    let chain = explain(snapshot, name, asked.from, listener, Instant::now());
    let explanation = Explanation::from(chain);
    (json(&explanation), explanation)
}

/// The story: each step, what was found, where it is configured; then the end of it.
fn render(explanation: &Explanation) -> String {
    let mut text: String = explanation.steps.iter().map(step).collect();
    if explanation.endpoints.len() > 1 {
        text += &explanation
            .endpoints
            .iter()
            .map(endpoint)
            .collect::<String>();
    }
    let answer = if explanation.allowed {
        "forwarded"
    } else {
        "REFUSED"
    };
    // The reason of a forwarded connection says so itself.
    let reason = explanation.reason.trim_start_matches("forwarded ");
    format!(
        "{text}{answer}{} {}\n",
        if explanation.allowed { "" } else { ":" },
        visible(reason)
    )
}

fn step(step: &Step) -> String {
    let mark = if step.passed { "->" } else { "x" };
    let places: Vec<&str> = step.at.iter().chain(&step.also).map(|at| &**at).collect();
    let place = if places.is_empty() {
        String::new()
    } else {
        format!("  ({})", visible(&places.join(", ")))
    };
    format!(
        "{:<16} {mark:<2} {}{place}\n",
        step.step,
        visible(&step.found)
    )
}

fn endpoint(endpoint: &Endpoint) -> String {
    let host = endpoint
        .host
        .as_ref()
        .map(|host| format!(" of {host}"))
        .unwrap_or_default();
    let state = format::standing(endpoint);
    let Endpoint {
        address,
        weight,
        active,
        failures,
        ..
    } = endpoint;
    format!(
        "{:20}{address}{host}: weight {weight}, {active} active, {failures} failures, {state}\n",
        ""
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, from: &str) -> (String, bool) {
        let text = r#"
            listener "tls" {
              address = "127.0.0.1:8443"
              deny = ["10.6.6.0/24"]
            }
            route "*.example.com" { endpoints = ["10.2.0.2:443", "10.2.0.3:443"] }
        "#;
        let config = crate::config::Config::parse("culvert.hcl", text.to_owned()).unwrap();
        let snapshot = Snapshot::build(&config, None);
        let from = Some(from.parse().unwrap());
        let chain = explain(&snapshot, name, from, None, Instant::now());
        let explanation = Explanation::from(chain);
        (render(&explanation), explanation.allowed)
    }

    #[test]
    fn a_forwarded_connection_reads_from_name_to_endpoint() {
        let (text, allowed) = told("WEB.example.com", "10.1.1.1");
        assert!(allowed, "{text}");
        assert!(text.contains("(culvert.hcl:6:"), "{text}");
        assert!(text.contains("10.2.0.3:443: weight 1"), "{text}");
        assert!(text.ends_with("forwarded to 10.2.0.2:443\n"), "{text}");
    }

    #[test]
    fn a_refused_connection_ends_at_the_rule_that_refuses() {
        let (text, allowed) = told("web.example.com", "10.6.6.6");
        assert!(!allowed);
        let last: Vec<&str> = text.lines().rev().take(2).collect();
        assert!(last[1].starts_with("listener access  x "), "{text}");
        assert!(
            last[0].starts_with("REFUSED: 10.6.6.6 is denied by 10.6.6.0/24"),
            "{text}"
        );
    }
}

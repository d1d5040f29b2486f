//! What an agent says about dialling an upstream, read as a sidecar would read it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One place to dial, and whom to expect there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The gateway mode in force; empty where no level says any.
    pub mode: String,
    /// The server name to ask for.
    pub name: String,
    /// The identity that the server must prove.
    pub identity: String,
    /// What to dial: those that are up, or all if none is.
    pub endpoints: Vec<SocketAddr>,
}

/// The targets in an answer of `culvert explain --service`, the first choice first.
pub fn targets(answer: &Value) -> Result<Vec<Target>> {
    let targets = answer["targets"]
        .as_array()
        .with_context(|| format!("no targets in {answer}"))?;
    targets
        .iter()
        .map(|target| read(target).with_context(|| format!("cannot read the target {target}")))
        .collect()
}

fn read(target: &Value) -> Result<Target> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let all = target["endpoints"].as_array().context("no endpoints")?;
    let up: Vec<&Value> = all.iter().filter(|it| it["health"] != "down").collect();
    let chosen = if up.is_empty() {
        all.iter().collect()
    } else {
        up
    };
    let endpoints = chosen.into_iter().map(|endpoint| {
        let address = endpoint["address"].as_str().context("no address")?;
        Ok(address.parse()?)
    });
    Ok(Target {
        mode: text(&target["mode"]).unwrap_or_default(),
        name: text(&target["sni"]).context("no server name")?,
        identity: text(&target["spiffe"][0]).context("no identity")?,
        endpoints: endpoints.collect::<Result<_>>()?,
    })
}

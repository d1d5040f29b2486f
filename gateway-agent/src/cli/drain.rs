//! `culvert drain`: end in order.

use clap::Args;

use super::output::print;
use super::{Agent, Failure, format};
use crate::ops::view::{DrainRequest, Draining};

/// How to drain
#[derive(Debug, Args)]
pub(super) struct Drain {
    /// How long open connections may take, such as 30s, instead of the configured time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<core::time::Duration>,
    /// Print exactly what the agent says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

pub(super) fn run(arguments: &Drain) -> Result<(), Failure> {
    let timeout = arguments
        .timeout
        .map(|time| humantime::format_duration(time).to_string());
    let request = serde_json::to_string(&DrainRequest { timeout });
    let request = request.map_err(|error| Failure::Usage(format!("cannot ask: {error}")))?;
    let reply = arguments
        .agent
        .client()
        .post("/drain", &request)?
        .success()?;
    if arguments.json {
        return print(&reply.body);
    }
    let draining: Draining = reply.read()?;
    let patience = format::duration(draining.timeout_ms);
    let open = format::count(draining.connections, "connection");
    print(&format!("draining: {open} may take {patience}"))
}

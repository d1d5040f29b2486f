//! `culvert log-level`: what the agent says about itself, and how much.

use clap::Args;

use super::output::print;
use super::{Agent, Failure};
use crate::ops::view;

/// What level
#[derive(Debug, Args)]
pub(super) struct LogLevel {
    /// error, warn, info, debug, trace, or directives such as info,gateway_agent::proxy=debug;
    /// absent: show the level in force
    level: Option<String>,
    /// Print exactly what the agent says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

pub(super) fn run(arguments: &LogLevel) -> Result<(), Failure> {
    let client = arguments.agent.client();
    let reply = match &arguments.level {
        Some(level) => client.put("/log-level", level)?,
        None => client.get("/log-level", &[])?,
    };
    let reply = reply.success()?;
    print(&if arguments.json {
        reply.body
    } else {
        reply.read::<view::LogLevel>()?.level
    })
}

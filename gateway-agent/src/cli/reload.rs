//! `culvert reload`: take over the changed configuration, or say why not.

use clap::Args;
use hyper::StatusCode;

use super::output::print;
use super::{Agent, Failure};
use crate::ops::view::{ReloadRefused, Reloaded};

/// Which agent reloads
#[derive(Debug, Args)]
pub(super) struct Reload {
    /// Print exactly what the agent says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

pub(super) fn run(arguments: &Reload) -> Result<(), Failure> {
    let reply = arguments.agent.client().post("/reload", "")?;
    if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
        let refused: ReloadRefused = reply.read()?;
        if arguments.json {
            print(&reply.body)?;
            return Err(Failure::Usage(String::new()));
        }
        let stays = format!("generation {} stays in force", refused.generation);
        return Err(Failure::Usage(format!("{}\n{stays}", refused.text)));
    }
    let reply = reply.success()?;
    let done: Reloaded = reply.read()?;
    print(&if arguments.json {
        reply.body
    } else {
        format!("generation {} is in force", done.generation)
    })
}

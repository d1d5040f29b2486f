//! `culvert explain`: why something goes where it goes, or does not.
//!
//! Three questions: where a connection to a server name goes, how a proxy of the mesh reaches an
//! upstream, and whether one service may connect to another.

mod mesh;
mod name;

use std::net::IpAddr;

use clap::Args;

use super::{AgentOrFile, Failure};

/// What to explain
#[derive(Debug, Args)]
#[command(after_help = QUESTIONS)]
pub(super) struct Explain {
    /// The server name of the hello; "" for a hello without one
    #[arg(required_unless_present_any = ["service", "proxy", "from_service"])]
    name: Option<String>,
    /// The client's address; without it, access by source is not judged
    #[arg(long, value_name = "IP", requires = "name")]
    from: Option<IpAddr>,
    /// The listener it arrives at; without it, the first one
    #[arg(long, value_name = "NAME", requires = "name")]
    listener: Option<String>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: AgentOrFile,
    // Last: a heading holds for all that follows.
    #[command(flatten, next_help_heading = "Modes of the mesh")]
    upstream: Upstream,
    #[command(flatten, next_help_heading = "Intentions of the mesh")]
    intention: Intention,
}

const QUESTIONS: &str = "\
Examples:
  culvert explain web.example.com --from 10.1.1.1
  culvert explain --service web --upstream api --datacenter dc2
  culvert explain --from-service web --to-service api

A service of another namespace or partition is written NAMESPACE/SERVICE or PARTITION/NAMESPACE/SERVICE";

/// How a proxy reaches an upstream
#[derive(Debug, Args)]
struct Upstream {
    /// The service that dials
    #[arg(long, value_name = "SERVICE", requires = "upstream",
          conflicts_with_all = ["name", "from_service"])]
    service: Option<String>,
    /// The proxy that dials, by its ID, instead: a service may have several
    #[arg(long, value_name = "ID", requires = "upstream",
          conflicts_with_all = ["name", "from_service", "service"])]
    proxy: Option<String>,
    /// The service that it dials
    #[arg(long, value_name = "SERVICE", conflicts_with_all = ["name", "from_service"])]
    upstream: Option<String>,
    /// Where that is; without it, where the registration says
    #[arg(long, value_name = "NAME", requires = "upstream")]
    datacenter: Option<String>,
    /// The peer that it is imported from
    #[arg(
        long,
        value_name = "NAME",
        requires = "upstream",
        conflicts_with = "datacenter"
    )]
    peer: Option<String>,
}

/// Whether one service may connect to another
#[derive(Debug, Args)]
struct Intention {
    /// The service that connects
    #[arg(
        long,
        value_name = "SERVICE",
        requires = "to_service",
        conflicts_with = "name"
    )]
    from_service: Option<String>,
    /// The peer that it lives in
    #[arg(long, value_name = "NAME", requires = "from_service")]
    from_peer: Option<String>,
    /// The service that it connects to
    #[arg(long, value_name = "SERVICE", requires = "from_service")]
    to_service: Option<String>,
    /// The method of a request; without it, the gateway cannot see one
    #[arg(long, value_name = "METHOD", requires = "from_service")]
    method: Option<String>,
    /// The path of a request
    #[arg(long, value_name = "PATH", requires = "from_service")]
    path: Option<String>,
    /// A header of a request; all that are not given are absent
    #[arg(long, value_name = "NAME: VALUE", requires = "from_service")]
    header: Vec<String>,
}

pub(super) fn run(arguments: &Explain) -> Result<(), Failure> {
    if let Some(name) = &arguments.name {
        return name::run(arguments, name);
    }
    mesh::run(arguments)
}

//! `culvert bench`: how fast a gateway is, and whether every byte comes through as it was.

mod client;
mod render;
mod server;
mod values;

use clap::{Args, Subcommand};

use super::Failure;
use crate::bench::error::Error;

/// Which end
#[derive(Debug, Args)]
#[command(after_help = STORY)]
pub(super) struct Bench {
    #[command(subcommand)]
    end: End,
}

const STORY: &str = "\
The client sends a TLS hello for a name that the gateway routes to the server, and behind it, in the
clear or with --tls inside a session, bytes that both ends check. Start the server where the
gateway's endpoint is, then the client where the gateway's clients are:

  server$   culvert bench server --listen 10.2.0.2:443 --listen '[fd00::2]:443'
  gateway:  route \"bench.example.com\" { endpoints = [\"10.2.0.2:443\", \"[fd00::2]:443\"] }
  client$   culvert bench client 10.1.0.1:8443 --sni bench.example.com

Without a gateway in between, the same two ends show what the network itself can do. Measure your
own network only: a server answers anyone who reaches it.";

#[derive(Debug, Subcommand)]
enum End {
    /// Send a hello through a gateway, then measure
    Client(Box<client::Client>),
    /// Answer the clients
    Server(server::Server),
}

pub(super) fn run(arguments: Bench) -> Result<(), Failure> {
    match arguments.end {
        End::Client(arguments) => client::run(*arguments),
        End::Server(arguments) => server::run(arguments),
    }
}

/// The exit code that fits an error.
fn failure(error: &Error) -> Failure {
    let text = error.to_string();
    if error.is_usage() {
        Failure::Usage(text)
    } else if error.is_unreachable() {
        Failure::Unreachable(text)
    } else {
        Failure::No(text)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    // Thousands of connections are the point of some modes.
    crate::sys::descriptors::raise_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Unreachable(format!("cannot start a runtime: {error}")))
}

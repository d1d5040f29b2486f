//! `culvert bench server`: the flags, and a line for each second in which something happened.

use core::time::Duration;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::super::output::{print, visible};
use super::super::{Failure, format};
use super::values::{bytes, time};
use super::{failure, runtime};
use crate::bench::server::{self, Limits, News, Second, Settings};

/// Where to answer, and whom how much
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Server {
    /// Where to listen; may be given several times
    #[arg(short, long, value_name = "ADDRESS:PORT", required = true, num_args = 1..)]
    listen: Vec<SocketAddr>,
    /// Connections of one client at once
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    max_connections: u64,
    /// Bytes of one client both ways, until its last connection ends
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "10T")]
    max_bytes: u64,
    /// How long one connection may last
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1h")]
    max_duration: Duration,
    /// How long a client may take for its hello and its request
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s")]
    greeting_timeout: Duration,
    /// Name that the certificate is for, for clients with --tls --ca; may be given several times
    #[arg(long, value_name = "NAME", default_value = "bench.example.com")]
    name: Vec<String>,
    /// Write the certificate there (PEM), for the client's --ca
    #[arg(long, value_name = "FILE")]
    ca_out: Option<PathBuf>,
    /// Say only what goes wrong
    #[arg(short, long)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  culvert bench server --listen 0.0.0.0:4433 '[::]:4433'
  culvert bench server --listen 10.2.0.2:443 --max-connections 100 --max-duration 5m
  culvert bench server --listen 10.2.0.2:443 --name bench.example.com --ca-out bench.pem

A client is an IPv4 address or an IPv6 /64. Behind a gateway, that is the gateway: all who come
through it are one client. The key of the certificate is made at each start and kept in memory.
Ends with Ctrl-C.";

pub(super) fn run(arguments: Server) -> Result<(), Failure> {
    let settings = Settings {
        listen: arguments.listen,
        limits: Limits {
            connections: arguments.max_connections,
            bytes: arguments.max_bytes,
            duration: arguments.max_duration,
        },
        greeting_timeout: arguments.greeting_timeout,
        names: arguments.name,
        ca_out: arguments.ca_out,
    };
    let quiet = arguments.quiet;
    let serving = server::run(&settings, |news| tell(news, quiet));
    let served = runtime()?.block_on(serving);
    served.map_err(|error| failure(&error))
}

fn tell(news: &News, quiet: bool) {
    let line = match news {
        News::Trouble { client, text } => {
            let client = client.map_or_else(String::new, |client| format!("{client}: "));
            // It may hold what the client sent.
            eprintln!("{client}{}", visible(text));
            return;
        }
        _ if quiet => return,
        News::Listening(address) => format!("listening on {address}"),
        News::Second(second) => self::second(*second),
    };
    if let Err(failure) = print(&line) {
        // Nobody reads: serving goes on.
        tracing::debug!(?failure, "cannot tell");
    }
}

fn second(second: Second) -> String {
    format!(
        "{} open, {} new, {}/s received, {}/s sent",
        format::count(second.open, "connection"),
        second.opened,
        format::bytes(second.received),
        format::bytes(second.sent)
    )
}

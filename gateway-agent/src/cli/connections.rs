//! `culvert connections`: what is open now.

use core::time::Duration;
use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::time::Instant;

use clap::Args;

use super::output::{print, table};
use super::{Agent, Failure, format};
use crate::ops::view::Connection;

/// Which connections, and how
#[derive(Debug, Args)]
pub(super) struct Connections {
    /// Show again each second, with rates; redraws on a terminal, else appends
    #[arg(short, long)]
    watch: bool,
    /// Print exactly what the agent says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

pub(super) fn run(arguments: &Connections) -> Result<(), Failure> {
    if arguments.watch {
        return watch(arguments);
    }
    let reply = arguments
        .agent
        .client()
        .get("/connections", &[])?
        .success()?;
    if arguments.json {
        return print(&reply.body);
    }
    print(&render(&reply.read::<Vec<Connection>>()?, None))
}

/// Shows the connections each second until interrupted or the agent is gone.
fn watch(arguments: &Connections) -> Result<(), Failure> {
    // Cursor home, and clear to the end of the screen.
    let clear = if io::stdout().is_terminal() {
        "\x1b[H\x1b[J"
    } else {
        ""
    };
    let client = arguments.agent.client();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let runtime =
        runtime.map_err(|error| Failure::Unreachable(format!("cannot watch: {error}")))?;
    let mut before: Option<Seen> = None;
    loop {
        let reply = client.get("/connections", &[])?.success()?;
        if arguments.json {
            print(&reply.body)?;
        } else {
            let connections: Vec<Connection> = reply.read()?;
            let seen = Seen::new(&connections);
            let rates = before
                .as_ref()
                .map(|before| seen.rates(before))
                .unwrap_or_default();
            print(&format!("{clear}{}", render(&connections, Some(&rates))))?;
            before = Some(seen);
        }
        runtime.block_on(async { tokio::time::sleep(Duration::from_secs(1)).await });
    }
}

/// Byte counts at one time, for rates.
struct Seen {
    at: Instant,
    bytes: HashMap<u64, u64>,
}

impl Seen {
    fn new(connections: &[Connection]) -> Self {
        let bytes = connections
            .iter()
            .map(|one| (one.id, one.sent + one.received))
            .collect();
        Self {
            at: Instant::now(),
            bytes,
        }
    }

    /// Bytes per second since `before`, both directions together, by connection.
    fn rates(&self, before: &Self) -> HashMap<u64, u64> {
        let milliseconds = u64::try_from((self.at - before.at).as_millis()).unwrap_or(u64::MAX);
        let rate = |(id, bytes): (&u64, &u64)| {
            let moved = bytes.saturating_sub(*before.bytes.get(id)?);
            Some((*id, moved.saturating_mul(1000) / milliseconds.max(1)))
        };
        self.bytes.iter().filter_map(rate).collect()
    }
}

fn render(connections: &[Connection], rates: Option<&HashMap<u64, u64>>) -> String {
    let rows = connections.iter().map(|one| {
        let rate = rates.and_then(|rates| rates.get(&one.id));
        [
            one.id.to_string(),
            format::duration(one.age_ms),
            one.source.clone(),
            one.name.clone().unwrap_or_default(),
            one.route.clone(),
            one.endpoint
                .clone()
                .unwrap_or_else(|| "connecting".to_owned()),
            one.engine.clone().unwrap_or_default(),
            format::bytes(one.sent),
            format::bytes(one.received),
            rate.map(|rate| format!("{}/s", format::bytes(*rate)))
                .unwrap_or_default(),
        ]
    });
    let headers = [
        "CONN", "AGE", "SOURCE", "NAME", "ROUTE", "ENDPOINT", "ENGINE", "SENT", "RECEIVED",
    ];
    let count = format::count(connections.len() as u64, "connection");
    let table = if rates.is_some() {
        let [a, b, c, d, e, f, g, h, i] = headers;
        table([a, b, c, d, e, f, g, h, i, "RATE"], rows)
    } else {
        table(
            headers,
            rows.map(|[a, b, c, d, e, f, g, h, i, _]| [a, b, c, d, e, f, g, h, i]),
        )
    };
    format!("{table}{count}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(id: u64, sent: u64) -> Connection {
        Connection {
            id,
            started: "2023-11-14T22:13:20.123Z".into(),
            age_ms: 61_000,
            listener: "tls".into(),
            source: "192.0.2.7:50000".into(),
            destination: "192.0.2.1:443".into(),
            name: Some("web.example.com".into()),
            route: "*.example.com".into(),
            endpoint: Some("10.2.0.2:443".into()),
            engine: Some("copy".into()),
            engine_notes: Vec::new(),
            sent,
            received: 0,
        }
    }

    #[test]
    fn rates_are_between_two_looks_and_only_of_connections_in_both() {
        let before = Seen::new(&[connection(1, 1000)]);
        let mut now = Seen::new(&[connection(1, 5000), connection(2, 9)]);
        now.at = before.at + Duration::from_secs(2);
        assert_eq!(now.rates(&before), HashMap::from([(1, 2000)]));
    }

    #[test]
    fn the_rate_column_stands_only_where_there_are_rates() {
        let connections = [connection(1, 2048)];
        assert!(!render(&connections, None).contains("RATE"));
        let watched = render(&connections, Some(&HashMap::from([(1, 3072)])));
        assert!(
            watched.contains("2.00K  0         3.00K/s\n1 connection\n"),
            "{watched}"
        );
    }
}

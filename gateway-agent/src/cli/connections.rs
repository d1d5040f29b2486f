//! `culvert connections`: what is open now.

use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, IsTerminal as _};
use std::time::Instant;

use clap::Args;

use super::output::{print, table, visible};
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
            waiting(one),
            rate.map(|rate| format!("{}/s", format::bytes(*rate)))
                .unwrap_or_default(),
        ]
    });
    let headers = [
        "CONN", "AGE", "SOURCE", "NAME", "ROUTE", "ENDPOINT", "ENGINE", "SENT", "RECEIVED",
        "BACKLOG",
    ];
    let count = format::count(connections.len() as u64, "connection");
    let table = if rates.is_some() {
        let [a, b, c, d, e, f, g, h, i, j] = headers;
        table([a, b, c, d, e, f, g, h, i, j, "RATE"], rows)
    } else {
        table(
            headers,
            rows.map(|[a, b, c, d, e, f, g, h, i, j, _]| [a, b, c, d, e, f, g, h, i, j]),
        )
    };
    format!("{table}{count}\n{}", notes(connections))
}

/// Why better engines are not used, each reason once: most connections share theirs.
fn notes(connections: &[Connection]) -> String {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for note in connections.iter().flat_map(|one| &one.engine_notes) {
        *reasons.entry(note).or_default() += 1;
    }
    let line = |(note, count): (&&str, &u64)| {
        let count = format::count(*count, "connection");
        format!("note: {} ({count})\n", visible(note))
    };
    reasons.iter().map(line).collect()
}

/// What waited in the kernel when bytes last came, both directions together; what is charged to no buffer
/// besides, of what may be, and how often the agent had to relay.
fn waiting(one: &Connection) -> String {
    let Some([down, up]) = &one.spliced else {
        return String::new();
    };
    let mut text = format::bytes(down.backlog + up.backlog);
    let hidden = down.hidden + up.hidden;
    if hidden > 0 {
        let budget = u64::from(down.budget) + u64::from(up.budget);
        let (hidden, budget) = (format::bytes(hidden), format::bytes(budget));
        text += &format!(", {hidden} of {budget} hidden");
    }
    let pauses = u64::from(down.pauses) + u64::from(up.pauses);
    if pauses > 0 {
        text += &format!(", {}", format::count(pauses, "pause"));
    }
    if down.paused || up.paused {
        text += ", paused";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::view::Spliced;

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
            resting: false,
            spliced: None,
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
    fn what_waits_is_shown_with_its_limit_only_where_it_matters() {
        let mut one = connection(1, 0);
        assert_eq!(waiting(&one), "");
        let rests = Spliced {
            redirected: 9000,
            relayed: 0,
            backlog: 0,
            most_backlog: 0,
            hidden: 0,
            budget: 256 * 1024,
            pauses: 0,
            paused: false,
        };
        one.spliced = Some([rests; 2]);
        assert_eq!(waiting(&one), "0");
        let stalled = Spliced {
            backlog: 2048,
            hidden: 1024,
            pauses: 2,
            paused: true,
            ..rests
        };
        one.spliced = Some([rests, stalled]);
        let told = "2.00K, 1.00K of 512K hidden, 2 pauses, paused";
        assert_eq!(waiting(&one), told);
    }

    #[test]
    fn each_reason_against_an_engine_is_one_line() {
        let mut all = [connection(1, 0), connection(2, 0), connection(3, 0)];
        for one in &mut all[1..] {
            one.engine_notes = vec!["sockmap: self-test\u{1b} failed".into()];
        }
        all[2].engine_notes.push("packet: not in this build".into());
        assert_eq!(
            notes(&all),
            "note: packet: not in this build (1 connection)\n\
             note: sockmap: self-test\\u{1b} failed (2 connections)\n"
        );
    }

    #[test]
    fn the_rate_column_stands_only_where_there_are_rates() {
        let connections = [connection(1, 2048)];
        assert!(!render(&connections, None).contains("RATE"));
        let watched = render(&connections, Some(&HashMap::from([(1, 3072)])));
        assert!(
            watched.contains("2.00K  0         -        3.00K/s\n1 connection\n"),
            "{watched}"
        );
    }
}

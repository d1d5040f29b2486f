//! `culvert status`: the agent on one screen.

use clap::Args;

use super::output::{print, table, visible};
use super::{Agent, Failure, format};
use crate::ops::view::{self, Listener, Mesh, Phase, Usage};

/// How to show it
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Print exactly what the agent says
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agent: Agent,
}

pub(super) fn run(arguments: &Status) -> Result<(), Failure> {
    let reply = arguments.agent.client().get("/status", &[])?.success()?;
    print(&if arguments.json {
        reply.body
    } else {
        render(&reply.read()?)
    })
}

fn render(status: &view::Status) -> String {
    let phase = match status.phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    };
    let uptime = format::duration(status.uptime_ms);
    let mut lines = vec![
        (
            "agent",
            format!("culvert {}, {phase}, pid {}", status.version, status.pid),
        ),
        ("instance", status.instance.clone()),
        ("running", format!("{uptime}, since {}", status.started)),
        ("configuration", configuration(status)),
        ("routes", routes(status)),
        ("connections", usage(status.connections)),
        ("descriptors", usage(status.descriptors)),
        (
            "steer",
            switch(status.steer.active, status.steer.why.as_deref()),
        ),
    ];
    if !status.datacenter.is_empty() {
        lines.insert(2, ("datacenter", status.datacenter.clone()));
    }
    if let Some(mesh) = &status.mesh {
        lines.extend(self::mesh(mesh));
    }
    let engine = |engine: &view::Engine| {
        format!(
            "{}: {}",
            engine.name,
            switch(engine.available, engine.why.as_deref())
        )
    };
    lines.extend(status.engines.iter().map(|one| ("engine", engine(one))));
    lines.push(("log level", status.log_level.clone()));
    let text: String = lines
        .iter()
        .map(|(key, value)| format!("{key:<15}{value}\n"))
        .collect();
    let notes = status.mesh.as_ref().map(|mesh| notes(&mesh.notes));
    let notes = notes.unwrap_or_default();
    let gap = if notes.is_empty() { "" } else { "\n" };
    format!(
        "{text}{}{gap}{notes}\n{}",
        errors(status),
        listeners(&status.listeners)
    )
}

fn routes(status: &view::Status) -> String {
    match &status.mesh {
        Some(mesh) => format!("{}, {} of the mesh", status.routes, mesh.routes),
        None => status.routes.to_string(),
    }
}

fn mesh(mesh: &Mesh) -> [(&'static str, String); 3] {
    let partition = match &*mesh.partition {
        "default" => String::new(),
        other => format!("partition {other}, "),
    };
    let found = format!(
        "{} here, {partition}{}, {}",
        mesh.datacenter,
        format::count(mesh.services, "service"),
        format::count(mesh.gateways, "gateway")
    );
    let remote = match &mesh.remote[..] {
        [] => "none known".to_owned(),
        some => some.join(", "),
    };
    let trust_domain = mesh.trust_domain.clone();
    [
        ("mesh", found),
        ("trust domain", trust_domain),
        ("remote", remote),
    ]
}

/// So many notes leave room for the rest on one screen; a large mesh may have thousands.
const MOST_NOTES: usize = 10;

fn notes(notes: &[String]) -> String {
    let shown = notes.iter().take(MOST_NOTES);
    let text: String = shown
        .map(|note| format!("note: {}\n", visible(note)))
        .collect();
    match notes.len().saturating_sub(MOST_NOTES) {
        0 => text,
        more => format!("{text}note: and {more} more, which `culvert status --json` shows\n"),
    }
}

fn configuration(status: &view::Status) -> String {
    let (generation, reload) = (status.generation, &status.last_reload);
    if reload.ok {
        format!("generation {generation}, last reload {}", reload.at)
    } else {
        format!(
            "generation {generation}, THE RELOAD OF {} FAILED: see below",
            reload.at
        )
    }
}

/// What the last reload found wrong, whole.
fn errors(status: &view::Status) -> String {
    if status.last_reload.ok {
        String::new()
    } else {
        format!("\n{}\n", status.last_reload.text.trim_end())
    }
}

fn listeners(listeners: &[Listener]) -> String {
    let rows = listeners.iter().map(|listener| {
        let destination = |one: &view::Destination| format!("{} port {}", one.prefix, one.ports);
        let destinations: Vec<String> = listener.destinations.iter().map(destination).collect();
        [
            listener.name.clone(),
            listener.addresses.join(", "),
            destinations.join(", "),
            listener.problem.clone().unwrap_or_else(|| "ok".to_owned()),
        ]
    });
    table(["LISTENER", "ADDRESSES", "DESTINATIONS", "STATE"], rows)
}

fn switch(on: bool, why: Option<&str>) -> String {
    let state = if on { "available" } else { "not available" };
    why.map_or_else(|| state.to_owned(), |why| format!("{state}: {why}"))
}

/// The share matters from where the agent itself warns.
fn usage(usage: Usage) -> String {
    let share = usage.used.saturating_mul(100) / usage.limit.max(1);
    let warning = if share >= 80 { ", NEAR THE LIMIT" } else { "" };
    format!("{} of {} ({share} %{warning})", usage.used, usage.limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reload_and_a_near_limit_are_seen() {
        let status = sample();
        let text = render(&status);
        assert!(text.contains("generation 3, THE RELOAD OF 2023-11-14T22:13:20.123Z FAILED"));
        assert!(text.contains("\nerror: unknown attribute\n"), "{text}");
        assert!(text.contains("90 of 100 (90 %, NEAR THE LIMIT)"), "{text}");
        assert!(text.contains("cannot bind: in use"), "{text}");
    }

    #[test]
    fn a_mesh_has_its_lines_and_its_notes() {
        let mut status = sample();
        status.mesh = Some(Mesh {
            datacenter: "dc1".into(),
            partition: "blue".into(),
            trust_domain: "5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul".into(),
            services: 1,
            gateways: 2,
            remote: vec!["dc2".into(), "blue/dc3".into()],
            routes: 1,
            notes: vec!["db has no instance".into()],
        });
        let text = render(&status);
        for line in [
            "routes         2, 1 of the mesh",
            "mesh           dc1 here, partition blue, 1 service, 2 gateways",
            "trust domain   5fcd4b81-a2ca-405a-ac62-0fac602c1949.consul",
            "remote         dc2, blue/dc3",
            "note: db has no instance",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn thousands_of_notes_leave_room_for_the_rest() {
        let all: Vec<String> = (0..3000).map(|n| format!("service {n}")).collect();
        assert_eq!(notes(&all[..MOST_NOTES]).lines().count(), MOST_NOTES);
        let text = notes(&all);
        assert_eq!(text.lines().count(), MOST_NOTES + 1);
        assert!(text.contains("and 2990 more"), "{text}");
    }

    fn sample() -> view::Status {
        view::Status {
            version: "0.1.0".into(),
            instance: "default".into(),
            datacenter: "dc1".into(),
            pid: 1,
            started: "2023-11-14T22:13:20.123Z".into(),
            uptime_ms: 1000,
            phase: Phase::Ready,
            generation: 3,
            last_reload: view::LastReload {
                ok: false,
                at: "2023-11-14T22:13:20.123Z".into(),
                errors: Vec::new(),
                text: "error: unknown attribute\n".into(),
                succeeded: 2,
                failed: 1,
            },
            routes: 2,
            mesh: None,
            listeners: vec![Listener {
                name: "tls".into(),
                addresses: vec!["[::]:8443".into()],
                destinations: Vec::new(),
                problem: Some("cannot bind: in use".into()),
            }],
            engines: vec![view::Engine {
                name: "copy".into(),
                available: true,
                why: None,
            }],
            steer: view::Steer {
                active: false,
                why: Some("switched off".into()),
            },
            connections: Usage {
                used: 90,
                limit: 100,
            },
            descriptors: Usage {
                used: 20,
                limit: 1024,
            },
            log_level: "info".into(),
        }
    }
}

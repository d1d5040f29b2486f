//! The demo: real TLS clients reach the right servers by name, through culvert, before your eyes.
//!
//! `cargo xtask demo` builds everything and runs this. It needs root for its namespaces, and
//! leaves nothing behind.

mod client;
mod mesh;
mod stage;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use client::{Attempt, Outcome};
use stage::Stage;

/// One line of the table.
struct Row {
    attempt: Attempt,
    got: Outcome,
    engine: String,
    milliseconds: f64,
}

impl Row {
    fn as_expected(&self) -> bool {
        self.got == self.attempt.expected
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let keep = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--keep") => true,
        Some(other) => bail!("unknown argument {other}: there is only --keep"),
    };
    let stage = Stage::build().await?;
    let mut rows = Vec::new();
    for attempt in client::attempts() {
        rows.push(try_one(&stage, attempt).await?);
    }
    println!("{}", table::render(&rows));
    let wrong = rows.iter().filter(|row| !row.as_expected()).count();
    match wrong {
        0 => println!("all {} as expected", rows.len()),
        _ => println!("{wrong} of {} NOT as expected", rows.len()),
    }
    let (mesh, wrong_in_mesh) = mesh::Mesh::show().await?;
    if keep {
        stage.describe();
        mesh.describe();
        println!("Ctrl-C here stops and removes everything.");
        tokio::signal::ctrl_c()
            .await
            .context("cannot wait for Ctrl-C")?;
    }
    Ok(if wrong + wrong_in_mesh == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs one client to its end and finds culvert's own record of the connection.
async fn try_one(stage: &Stage, attempt: Attempt) -> Result<Row> {
    let before = stage.agent.access_log()?.len();
    let start = Instant::now();
    let got = client::run(stage, &attempt)?;
    let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
    let record = stage.next_record(before).await?;
    let engine = record
        .get("engine")
        .and_then(Value::as_str)
        .unwrap_or("-")
        .to_owned();
    Ok(Row {
        attempt,
        got,
        engine,
        milliseconds,
    })
}

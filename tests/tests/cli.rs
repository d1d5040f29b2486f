//! The command line: what each noun says, its exit codes, and errors that lead to their remedy.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::agent::Agent;
use gateway_tests::config::{PORT, listener, route};
use gateway_tests::peers::listen;
use gateway_tests::peers::pair::Pair;
use gateway_tests::process::built;
use gateway_tests::skip;
use gateway_tests::topology::{Family, Topology, gateway, server};
use tempfile::TempDir;

const NAME: &str = "web.example.com";

/// A configuration that is right in every line.
const GOOD: &str = r#"
listener "tls" { address = "127.0.0.1:8443" }
route "web.example.com"    { endpoints = ["10.2.0.2:443"] }
route "*.shop.example.com" { endpoints = ["10.2.0.3:443"] }
"#;

/// Three mistakes of three kinds, in lines 2, 3 and 6.
const BAD: &str = r#"
listener "tls" { adress = "127.0.0.1:8443" }
route "web.example.com" { endpoints = ["10.2.0.2"] }
route "shop.example.com" {
  endpoints = ["10.2.0.3:443"]
  balance   = "round_robbin"
}
"#;

struct File {
    directory: TempDir,
}

impl File {
    fn new(text: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(
            directory.path().join("culvert.hcl"),
            text.trim_start_matches('\n'),
        )?;
        Ok(Self { directory })
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let (noun, rest) = arguments.split_first().context("a command has a name")?;
        let config = self.directory.path().join("culvert.hcl");
        let mut command = Command::new(built("culvert")?);
        Ok(command
            .arg(noun)
            .args(rest)
            .arg("-c")
            .arg(config)
            .output()?)
    }
}

fn culvert(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(built("culvert")?).args(arguments).output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_mistake_of_a_file_is_shown_with_its_place_and_the_nearest_name() -> Result<()> {
    for command in ["run", "check"] {
        let output = File::new(BAD)?.run(&[command])?;
        assert_eq!(output.status.code(), Some(2), "{command}");
        let errors = text(&output.stderr) + &text(&output.stdout);
        for expected in [
            "culvert.hcl:1:",
            "adress",
            "address",
            "culvert.hcl:2:",
            "culvert.hcl:5:",
        ] {
            assert!(
                errors.contains(expected),
                "{command}: no {expected} in:\n{errors}"
            );
        }
        assert!(
            errors.contains("round_robin"),
            "{command}: no nearest name in:\n{errors}"
        );
    }
    Ok(())
}

#[test]
fn a_missing_file_is_an_error_that_names_it() -> Result<()> {
    let output = culvert(&["check", "-c", "/nowhere/culvert.hcl"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere/culvert.hcl"));
    Ok(())
}

#[test]
fn an_unknown_command_is_a_usage_error() -> Result<()> {
    let output = culvert(&["rutes"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("routes"),
        "{}",
        text(&output.stderr)
    );
    Ok(())
}

#[test]
fn every_command_has_help() -> Result<()> {
    let nouns = [
        "run",
        "check",
        "routes",
        "explain",
        "connections",
        "status",
        "maps",
    ];
    for command in nouns
        .iter()
        .chain(&["reload", "drain", "log-level", "bench"])
    {
        let output = culvert(&[command, "--help"])?;
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(text(&output.stdout).contains("Usage"), "{command}");
    }
    Ok(())
}

#[test]
fn an_agent_that_is_not_there_is_exit_code_3_and_a_hint() -> Result<()> {
    for command in ["status", "connections", "reload", "drain"] {
        let output = culvert(&[command, "--socket", "/nowhere/admin.sock"])?;
        assert_eq!(output.status.code(), Some(3), "{command}");
        assert!(
            text(&output.stderr).contains("/nowhere/admin.sock"),
            "{command}"
        );
    }
    Ok(())
}

#[test]
fn routes_are_shown_from_a_file_without_an_agent() -> Result<()> {
    let output = File::new(GOOD)?.run(&["routes"])?;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for expected in ["web.example.com", "*.shop.example.com", "10.2.0.3:443"] {
        assert!(table.contains(expected), "no {expected} in:\n{table}");
    }
    Ok(())
}

#[test]
fn explain_says_yes_with_the_rule_or_no_with_the_reason() -> Result<()> {
    let file = File::new(GOOD)?;
    let yes = file.run(&["explain", "a.shop.example.com"])?;
    assert_eq!(yes.status.code(), Some(0), "{}", text(&yes.stderr));
    assert!(
        text(&yes.stdout).contains("*.shop.example.com"),
        "{}",
        text(&yes.stdout)
    );
    let no = file.run(&["explain", "nobody.example.com"])?;
    assert_eq!(no.status.code(), Some(1), "{}", text(&no.stdout));
    Ok(())
}

#[test]
fn check_shows_defaults_and_findings_about_the_host() -> Result<()> {
    let destinations = "listener \"steered\" { destinations = [\"192.0.2.0/24:443\"] }\n";
    let output = File::new(&(GOOD.to_owned() + destinations))?.run(&["check"])?;
    let shown = text(&output.stdout);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output.stderr)
    );
    for expected in ["hello_timeout", "5s", "kernel", "bpffs"] {
        assert!(shown.contains(expected), "no {expected} in:\n{shown}");
    }
    Ok(())
}

#[test]
fn json_is_json_for_commands_that_need_no_agent() -> Result<()> {
    let file = File::new(GOOD)?;
    for command in [
        vec!["check"],
        vec!["routes"],
        vec!["explain", "web.example.com"],
    ] {
        let output = file.run(&[&command[..], &["--json"]].concat())?;
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
        ensure!(
            parsed.is_ok(),
            "{command:?} printed {}",
            text(&output.stdout)
        );
    }
    Ok(())
}

#[tokio::test]
async fn every_noun_answers_about_a_live_agent() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let address = server(Family::V4, 0, 443);
    let far = listen(&net.servers[0], address)?;
    let agent = Agent::start(&net.gateway, &(listener("") + &route(NAME, &[address], ""))).await?;
    let pair = Pair::join(&net.client, gateway(Family::V4, PORT), NAME, &far).await?;
    for (arguments, expected) in [
        (&["status"][..], agent.instance()),
        (&["routes"], NAME),
        (&["routes", NAME], "10.2.0.2:443"),
        (&["explain", NAME, "--from", "10.1.0.2"], "10.2.0.2:443"),
        (&["connections"], NAME),
    ] {
        let table = agent.expect(arguments)?;
        assert!(
            table.contains(expected),
            "{arguments:?}: no {expected} in:\n{table}"
        );
        assert!(
            !table.contains('\u{1b}'),
            "{arguments:?}: colours without a terminal"
        );
        let json = agent.json(arguments)?.to_string();
        assert!(
            json.contains(expected),
            "{arguments:?} --json: no {expected} in:\n{json}"
        );
    }
    let connections = agent.json(&["connections"])?.to_string();
    assert!(connections.contains("copy"), "{connections}");
    drop(pair);
    Ok(())
}

#[tokio::test]
async fn a_route_that_does_not_exist_is_a_no() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let body = listener("") + &route(NAME, &[server(Family::V4, 0, 443)], "");
    let agent = Agent::start(&net.gateway, &body).await?;
    for arguments in [
        &["routes", "nobody.example.com"][..],
        &["explain", "nobody.example.com"],
    ] {
        assert_eq!(
            agent.cli(arguments)?.status.code(),
            Some(1),
            "{arguments:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_log_level_changes_at_run_time() -> Result<()> {
    if skip::without_root() {
        return Ok(());
    }
    let net = Topology::new(1)?;
    let body = listener("") + &route(NAME, &[server(Family::V4, 0, 443)], "");
    let agent = Agent::start(&net.gateway, &body).await?;
    agent.expect(&["log-level", "trace"])?;
    let output = agent.cli(&["log-level", "loud"])?;
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{:?}",
        output.status
    );
    Ok(())
}

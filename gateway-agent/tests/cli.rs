//! The command line as its users meet it: the built binary, its output and its exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by its panic")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

const ROUTES: &str = r#"
    route "web.example.com" { endpoints = ["127.0.0.1:9"] }
    route "*.example.com" { endpoints = ["127.0.0.1:9"]  deny = ["192.0.2.0/24"] }
"#;

fn culvert(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(arguments)
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    core::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    core::str::from_utf8(&output.stderr).unwrap()
}

/// A directory with a configuration that is good on this host.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        // Free now; nobody else here listens on what the kernel has just given us.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let socket = place.socket();
        let text = format!(
            "listener \"tls\" {{ address = \"127.0.0.1:{port}\" }}\n{ROUTES}\n\
             admin {{ socket = \"{}\" }}\nsteer {{ mode = \"off\" }}\n",
            socket.display()
        );
        std::fs::write(place.config(), text).unwrap();
        place
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("culvert.hcl")
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        culvert(&[arguments, &["-c", config.to_str().unwrap()]].concat())
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    for wrong in [
        &["fly"][..],
        &[],
        &["routes", "--instance", "../x"],
        &["drain", "--timeout", "x"],
    ] {
        assert_eq!(code(&culvert(wrong)), 2, "{wrong:?}");
    }
}

#[test]
fn a_wrong_configuration_is_2_and_every_error_is_told_at_once() {
    let place = Place::new();
    std::fs::write(
        place.config(),
        "listner \"x\" {}\nlimits { idle_timeout = 3 }\n",
    )
    .unwrap();
    for noun in [&["check"][..], &["routes"], &["explain", "x"], &["run"]] {
        let output = place.ask(noun);
        assert_eq!(code(&output), 2, "{noun:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("did you mean `listener`?"),
            "{}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("culvert.hcl:2:"),
            "{}",
            stderr(&output)
        );
        assert_eq!(stdout(&output), "");
    }
    let output = place.ask(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert!(report["errors"].as_array().unwrap().len() >= 2, "{report}");
}

#[test]
fn no_agent_is_3_and_says_what_to_do() {
    for noun in [
        "routes",
        "connections",
        "status",
        "reload",
        "drain",
        "log-level",
    ] {
        let output = culvert(&[noun, "--socket", "/nonexistent/culvert.sock"]);
        assert_eq!(code(&output), 3, "{noun}");
        assert!(
            stderr(&output).contains("is it running?"),
            "{}",
            stderr(&output)
        );
    }
}

#[test]
fn explain_answers_by_its_exit_code() {
    let place = Place::new();
    assert_eq!(code(&place.ask(&["explain", "a.example.com"])), 0);
    let refused = place.ask(&["explain", "a.example.com", "--from", "192.0.2.7"]);
    assert_eq!(code(&refused), 1);
    assert!(stdout(&refused).ends_with("REFUSED: 192.0.2.7 is denied by 192.0.2.0/24\n"));
    assert_eq!(stderr(&refused), "");
}

#[test]
fn check_shows_every_default_and_routes_work_without_an_agent() {
    let place = Place::new();
    let output = place.ask(&["check"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("limits.hello_timeout"));
    let output = place.ask(&["routes", "a.b.example.com"]);
    assert!(
        stdout(&output).contains("*.example.com"),
        "{}",
        stdout(&output)
    );
    assert_eq!(code(&place.ask(&["routes", "example.org"])), 1);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let place = Place::new();
    let mut check = Command::new(env!("CARGO_BIN_EXE_culvert"))
        .args(["check", "-c"])
        .arg(place.config())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(check.stdout.take());
    assert_eq!(check.wait().unwrap().code(), Some(0));
}

#[test]
fn every_noun_answers_from_a_live_agent() {
    let place = Place::new();
    let agent = Agent::start(&place.config(), &place.socket());
    let socket = place.socket();
    let ask = |noun: &[&str]| culvert(&[noun, &["--socket", socket.to_str().unwrap()]].concat());
    for noun in [
        &["routes"][..],
        &["connections"],
        &["status"],
        &["log-level"],
        &["reload"],
    ] {
        let output = ask(noun);
        assert_eq!(code(&output), 0, "{noun:?}: {}", stderr(&output));
        let output = ask(&[noun, &["--json"]].concat());
        serde_json::from_str::<serde_json::Value>(stdout(&output)).unwrap();
    }
    assert_eq!(code(&ask(&["log-level", "loud"])), 2);
    assert_eq!(code(&ask(&["routes", "example.org"])), 1);
    std::fs::write(place.config(), "listener {}").unwrap();
    let refused = ask(&["reload"]);
    assert_eq!(code(&refused), 2);
    assert!(
        stderr(&refused).contains("generation 1 stays in force"),
        "{}",
        stderr(&refused)
    );
    assert!(stdout(&ask(&["status"])).contains("FAILED"));
    assert_eq!(code(&ask(&["drain", "--timeout", "1s"])), 0);
    assert_eq!(agent.ended(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn watching_appends_where_there_is_no_terminal() {
    let place = Place::new();
    let _agent = Agent::start(&place.config(), &place.socket());
    let socket = place.socket();
    let (watch, at) = ("--watch".as_ref(), "--socket".as_ref());
    let mut watch = Agent::spawn(&["connections".as_ref(), watch, at, socket.as_os_str()]);
    let lines = BufReader::new(watch.child.stdout.take().unwrap()).lines();
    let counts: Vec<String> = lines
        .map(Result::unwrap)
        .filter(|line| line == "0 connections")
        .take(2)
        .collect();
    assert_eq!(counts.len(), 2);
}

/// A child that ends with its test, even when the test is killed.
struct Agent {
    child: Child,
    /// Hangs up when the child has closed its log.
    log_ended: Option<Receiver<()>>,
}

impl Agent {
    fn spawn(arguments: &[&OsStr]) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_culvert")])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            log_ended: None,
        }
    }

    /// Starts `culvert run` and waits until it is ready.
    fn start(config: &Path, socket: &Path) -> Self {
        let mut agent = Self::spawn(&["run".as_ref(), "-c".as_ref(), config.as_os_str()]);
        let mut log = BufReader::new(agent.child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("ready generation") {
            line.clear();
            assert!(
                log.read_line(&mut line).unwrap() > 0,
                "the agent ended before it was ready"
            );
        }
        assert!(socket.exists());
        let (hang_up, log_ended) = channel();
        // The rest of its log must not fill the pipe.
        std::thread::spawn(move || {
            let rest = log.read_to_end(&mut Vec::new());
            drop(hang_up);
            rest
        });
        agent.log_ended = Some(log_ended);
        agent
    }

    /// Its exit code, when it ends by itself in time.
    fn ended(mut self) -> Option<i32> {
        let log_ended = self.log_ended.take().unwrap();
        let patience = Duration::from_secs(20);
        assert_eq!(
            log_ended.recv_timeout(patience),
            Err(RecvTimeoutError::Disconnected)
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child
            .kill()
            .expect("a child that was not waited for can be killed");
        self.child.wait().expect("it is our child");
    }
}

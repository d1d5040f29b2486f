use std::path::PathBuf;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;
use crate::control::Snapshot;
use crate::ops::access_log::Dropped;
use crate::ops::fixtures::{route, runtime, snapshot};
use crate::ops::log;
use crate::ops::metrics::Sources;

/// A running admin interface, and what its wiring sees.
struct Rig {
    socket: PathBuf,
    wiring: Arc<Wiring>,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<io::Result<()>>,
    _directory: tempfile::TempDir,
    _log: Log,
}

#[derive(Default)]
struct Wiring {
    drained: Mutex<Vec<Option<Duration>>>,
}

impl StatusSource for Wiring {
    fn phase(&self) -> view::Phase {
        if self.drained.lock().unwrap().is_empty() {
            view::Phase::Ready
        } else {
            view::Phase::Draining
        }
    }

    fn runtime(&self) -> view::Runtime {
        runtime()
    }
}

impl Drainer for Wiring {
    fn drain(&self, timeout: Option<Duration>) {
        self.drained.lock().unwrap().push(timeout);
    }
}

fn start() -> Rig {
    let snapshot = snapshot(vec![route("web.example.com"), route("*.example.com")]);
    start_with(Control::fixed(
        snapshot,
        "/nonexistent/culvert.hcl".as_ref(),
    ))
}

fn start_with(control: Control) -> Rig {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("admin.sock");
    let wiring = Arc::new(Wiring::default());
    let (admin, log) = admin(&wiring, control);
    let (stop, stopped) = oneshot::channel();
    let bound = AdminSocket::bind(&socket).unwrap();
    let stopped = async { drop(stopped.await) };
    let server = tokio::spawn(serve_socket(bound, admin, stopped));
    Rig {
        socket,
        wiring,
        stop,
        server,
        _directory: directory,
        _log: log,
    }
}

type Log = Box<dyn tracing::Subscriber + Send + Sync>;

/// What the interface answers from, and the log whose level it changes.
fn admin(wiring: &Arc<Wiring>, control: Control) -> (Admin, Log) {
    let (log, level) = log::build(log::Form::Text, false, io::sink);
    level.set("info").unwrap();
    let registry = Arc::new(Registry::default());
    let metrics = Metrics::new(Sources {
        control: control.clone(),
        registry: Arc::clone(&registry),
        dropped: Dropped::default(),
        steer: Box::new(Vec::new),
    });
    let (status, drainer) = (Arc::clone(wiring) as _, Arc::clone(wiring) as _);
    (
        Admin {
            control,
            registry,
            metrics,
            level,
            status,
            drainer,
        },
        Box::new(log),
    )
}

impl Rig {
    /// Status code and body.
    async fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut stream = tokio::net::UnixStream::connect(&self.socket).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            body.to_owned(),
        )
    }
}

#[tokio::test]
async fn an_agent_is_healthy_always_and_ready_until_it_drains() {
    let rig = start();
    assert_eq!(rig.ask("GET", "/health", "").await, (200, "ok\n".into()));
    assert_eq!(rig.ask("GET", "/ready", "").await, (200, "ready\n".into()));
    let (code, body) = rig.ask("POST", "/drain", r#"{"timeout":"90s"}"#).await;
    assert_eq!(
        (code, body.as_str()),
        (202, r#"{"connections":0,"timeout_ms":90000}"#)
    );
    assert_eq!(
        *rig.wiring.drained.lock().unwrap(),
        [Some(Duration::from_secs(90))]
    );
    assert_eq!(
        rig.ask("GET", "/ready", "").await,
        (503, "draining\n".into())
    );
    assert_eq!(rig.ask("GET", "/health", "").await, (200, "ok\n".into()));
}

#[tokio::test]
async fn a_bad_drain_request_drains_nothing() {
    let rig = start();
    for bad in [r#"{"timeout":"soon"}"#, r#"{"time":"3s"}"#, "now"] {
        let (code, body) = rig.ask("POST", "/drain", bad).await;
        assert_eq!(code, 400, "{bad}: {body}");
        serde_json::from_str::<view::Refusal>(&body).unwrap();
    }
    assert!(rig.wiring.drained.lock().unwrap().is_empty());
}

#[tokio::test]
async fn routes_answer_by_name_and_404_says_which_name() {
    let rig = start();
    let (_, body) = rig.ask("GET", "/routes", "").await;
    assert_eq!(
        serde_json::from_str::<Vec<view::Route>>(&body)
            .unwrap()
            .len(),
        2
    );
    let (_, body) = rig.ask("GET", "/routes?name=a.b.example.com", "").await;
    let found: Vec<view::Route> = serde_json::from_str(&body).unwrap();
    assert_eq!(found[0].name, "*.example.com");
    let (code, body) = rig.ask("GET", "/routes?name=example.org", "").await;
    assert!(code == 404 && body.contains("example.org"), "{body}");
    assert_eq!(rig.ask("GET", "/routes?nome=x", "").await.0, 400);
}

#[tokio::test]
async fn status_connections_and_metrics_are_readable() {
    let rig = start();
    let (_, body) = rig.ask("GET", "/status", "").await;
    assert_eq!(
        serde_json::from_str::<view::Status>(&body).unwrap().routes,
        2
    );
    let (_, body) = rig.ask("GET", "/connections", "").await;
    assert!(
        serde_json::from_str::<Vec<view::Connection>>(&body)
            .unwrap()
            .is_empty()
    );
    let (code, body) = rig.ask("GET", "/metrics", "").await;
    assert!(code == 200 && body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_log_level_is_set_and_a_bad_one_refused() {
    let rig = start();
    assert_eq!(
        rig.ask("PUT", "/log-level", "debug").await,
        (200, r#"{"level":"debug"}"#.into())
    );
    assert_eq!(rig.ask("PUT", "/log-level", "loud").await.0, 400);
    assert_eq!(
        rig.ask("GET", "/log-level", "").await.1,
        r#"{"level":"debug"}"#
    );
}

#[tokio::test]
async fn explain_answers_for_any_name_and_refuses_a_bad_source() {
    let rig = start();
    let (code, body) = rig
        .ask("GET", "/explain?name=a.example.com&from=192.0.2.7", "")
        .await;
    assert_eq!(code, 200, "{body}");
    assert!(
        serde_json::from_str::<view::Explanation>(&body)
            .unwrap()
            .allowed
    );
    let (_, body) = rig.ask("GET", "/explain?name=", "").await;
    assert!(
        !serde_json::from_str::<view::Explanation>(&body)
            .unwrap()
            .allowed
    );
    assert_eq!(rig.ask("GET", "/explain?name=x&from=here", "").await.0, 400);
    assert_eq!(rig.ask("GET", "/explain", "").await.0, 400);
}

#[tokio::test]
async fn a_reload_says_the_generation_and_a_bad_file_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("culvert.hcl");
    let listener = "listener \"tls\" { address = \"127.0.0.1:8443\" }\n";
    std::fs::write(&file, listener).unwrap();
    let control = Control::load(&file).unwrap();
    let _running = control.start(Box::new(Nothing)).await.unwrap();
    let rig = start_with(control);
    let more = format!("{listener}route \"x.example\" {{ endpoints = [\"10.2.0.2:443\"] }}\n");
    std::fs::write(&file, more).unwrap();
    assert_eq!(
        rig.ask("POST", "/reload", "").await,
        (200, r#"{"generation":2}"#.into())
    );
    std::fs::write(&file, "listener {}").unwrap();
    let (code, body) = rig.ask("POST", "/reload", "").await;
    let refused: view::ReloadRefused = serde_json::from_str(&body).unwrap();
    assert_eq!((code, refused.generation), (422, 2));
    assert!(!refused.errors.is_empty() && refused.text.contains("culvert.hcl:1:"));
    let (_, body) = rig.ask("GET", "/status", "").await;
    let status: view::Status = serde_json::from_str(&body).unwrap();
    assert!(!status.last_reload.ok && status.routes == 1);
    let (_, metrics) = rig.ask("GET", "/metrics", "").await;
    assert!(metrics.contains("culvert_last_reload_ok 0\n"), "{metrics}");
}

/// Publishes to nobody.
struct Nothing;

impl crate::control::Publisher for Nothing {
    fn add(&mut self, _next: &Snapshot) -> Result<(), String> {
        Ok(())
    }
    fn remove_stale(&mut self, _next: &Snapshot) {}
    fn recheck(&mut self, _next: &Arc<Snapshot>) {}
}

#[tokio::test]
async fn the_public_side_cannot_change_anything() {
    let rig = start();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let control = Control::fixed(snapshot(Vec::new()), "culvert.hcl".as_ref());
    let (admin, _log) = admin(&rig.wiring, control);
    let server = tokio::spawn(serve_metrics(listener, admin, core::future::pending()));
    for (request, code) in [
        ("GET /health", 200),
        ("GET /status", 404),
        ("POST /drain", 404),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request}: {answer}"
        );
    }
    server.abort();
}

#[tokio::test]
async fn the_socket_goes_when_the_server_stops() {
    let rig = start();
    assert!(rig.socket.exists());
    rig.stop.send(()).unwrap();
    rig.server.await.unwrap().unwrap();
    assert!(!rig.socket.exists());
}

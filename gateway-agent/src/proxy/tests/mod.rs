//! The data path in process: real sockets on loopback, a fixed snapshot. What needs namespaces,
//! the built binary or many connections is in the `tests` package.

mod aborts;
mod accepting;
mod connecting;
mod refusals;
mod streams;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::accept::{Acceptors, Inheritance, Place};
use super::connection::Gateway;
use super::permits::Permits;
use super::record::{ConnectionRecord, Observer};
use super::splice::Pipes;
use crate::control::Control;
use crate::control::cluster::{Balance, Cluster, Entry, Spec, Target};
use crate::control::policy::Access;
use crate::control::routes::RouteTable;
use crate::control::snapshot::{
    AcceptProxy, AccessLog, Admin, DefaultAction, Dns, Health, Limits, Listener, Log, LogLevel,
    Origin, Pattern, Place as At, ProxyVersion, Refuse, Route, Settings, Snapshot, Steer,
    SteerMode,
};
use crate::control::uses::Uses;
use crate::drain;
use crate::mesh::route::{Health as Checked, RouteKeepalive};

/// Longest wait of a test for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with one listener on loopback and the route `web.example.com`.
struct Rig {
    address: SocketAddr,
    records: Arc<Records>,
    gateway: Arc<Gateway>,
    acceptors: Acceptors,
    _drain: drain::Drain,
}

/// What a test may change.
struct Setup {
    /// Where it listens.
    address: SocketAddr,
    endpoints: Vec<Target>,
    /// Addresses the endpoints are dialled from.
    source_addresses: Vec<std::net::IpAddr>,
    /// What the host names among the endpoints resolve to.
    resolved: Vec<std::net::IpAddr>,
    send_proxy: Option<ProxyVersion>,
    accept_proxy: Option<AcceptProxy>,
    limits: Limits,
    access: Access,
    refuse: Refuse,
    pipes: u64,
    permits: u64,
    /// What checks say of the endpoints.
    health: Checked,
    panic_percent: u8,
    refused: Option<Arc<str>>,
    max_connections: Option<u32>,
    keepalive: Option<RouteKeepalive>,
}

impl Setup {
    fn to(endpoints: &[SocketAddr]) -> Self {
        Self {
            address: "127.0.0.1:0".parse().unwrap(),
            endpoints: endpoints.iter().copied().map(Target::Address).collect(),
            source_addresses: Vec::new(),
            resolved: Vec::new(),
            send_proxy: None,
            accept_proxy: None,
            limits: Limits::default(),
            access: Access::default(),
            refuse: Refuse::Alert,
            pipes: 16,
            permits: 100,
            health: Checked::Unknown,
            panic_percent: 50,
            refused: None,
            max_connections: None,
            keepalive: None,
        }
    }

    fn start(self) -> Rig {
        let mut rig = self.bound();
        rig.acceptors.serve();
        rig
    }

    /// A gateway that listens and does not accept yet.
    fn bound(self) -> Rig {
        let records = Arc::new(Records::default());
        let control = Control::fixed(self.snapshot(), "test.hcl".as_ref());
        let observers: Vec<Arc<dyn Observer>> = vec![Arc::clone(&records) as _];
        let permits = Permits::new(self.permits);
        let gateway = Arc::new(Gateway::new(
            control.clone(),
            Arc::default(),
            observers,
            permits,
            Pipes::new(self.pipes),
        ));
        let (drain, watch) = drain::channel();
        let runtime = tokio::runtime::Handle::current();
        let mut acceptors =
            Acceptors::new(Arc::clone(&gateway), watch, runtime, Box::new(Nothing), 1);
        let snapshot = control.snapshot();
        acceptors.bind(&snapshot).unwrap();
        let targets = acceptors.steer_targets(&snapshot.listeners[0]);
        let address = targets[0].1.local_addr().unwrap();
        Rig {
            address,
            records,
            gateway,
            acceptors,
            _drain: drain,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let at = At {
            file: "test".into(),
            line: 1,
            column: 1,
        };
        let listener = Listener {
            name: "tls".into(),
            id: 1,
            addresses: vec![self.address],
            destinations: Vec::new(),
            access: self.access.clone(),
            accept_proxy: self.accept_proxy.clone(),
            refuse: self.refuse,
            default: None,
            at: at.clone(),
        };
        let entry = |target| Entry {
            target,
            weight: 1,
            health: self.health,
        };
        let spec = Spec {
            endpoints: self.endpoints.iter().cloned().map(entry).collect(),
            balance: Balance::RoundRobin,
            choices: None,
            health: Health {
                panic_percent: self.panic_percent,
                ..Health::default()
            },
        };
        let cluster = Cluster::new(spec, None);
        for host in cluster.hosts() {
            cluster.resolved(&host, &self.resolved);
        }
        let route = Route {
            name: "web.example.com".into(),
            origin: Origin::Configured,
            pattern: Pattern::Exact,
            refused: self.refused.clone(),
            datacenter: "".into(),
            service: "web".into(),
            access: Access::default(),
            send_proxy: self.send_proxy,
            balance: Balance::RoundRobin,
            connect_timeout: self.limits.connect_timeout,
            idle_timeout: self.limits.idle_timeout,
            max_connections: self.max_connections,
            uses: Uses::default(),
            keepalive: self.keepalive,
            source_addresses: self.source_addresses.clone(),
            cluster: Arc::new(cluster),
            notes: Vec::new(),
            at,
        };
        Snapshot {
            generation: 1,
            instance: "test".into(),
            datacenter: "".into(),
            listeners: vec![Arc::new(listener)],
            routes: RouteTable::new(vec![Arc::new(route)]),
            departed: RouteTable::default(),
            default: DefaultAction::Reject,
            limits: Arc::new(self.limits.clone()),
            engine: Arc::default(),
            settings: Settings {
                admin: Admin {
                    socket: "admin.sock".into(),
                    metrics: None,
                },
                log: Log {
                    level: LogLevel::Info,
                    access: AccessLog::Off,
                },
                steer: Steer {
                    mode: SteerMode::Off,
                    bpffs: "/sys/fs/bpf".into(),
                },
                dns: Dns::default(),
                health: Health::default(),
            },
            mesh: None,
            watched: Vec::new(),
        }
    }
}

impl Rig {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The record of the first connection that ended.
    async fn record(&self) -> ConnectionRecord {
        self.records.first(1).await.swap_remove(0)
    }
}

#[derive(Default)]
struct Records {
    /// Where they connected to.
    accepted: Mutex<Vec<SocketAddr>>,
    /// Endpoints that could not be dialled.
    failed: Mutex<Vec<SocketAddr>>,
    ended: Mutex<Vec<ConnectionRecord>>,
    one_more: tokio::sync::Notify,
}

impl Records {
    /// The records of the first `count` connections that ended.
    async fn first(&self, count: usize) -> Vec<ConnectionRecord> {
        let ended = async {
            loop {
                if let Some(records) = self.ended.lock().unwrap().get(..count) {
                    return records.to_vec();
                }
                self.one_more.notified().await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.expect("so many connections end")
    }
}

impl Observer for Records {
    fn accepted(&self, _listener: &str, arrived_at: SocketAddr) {
        self.accepted.lock().unwrap().push(arrived_at);
    }

    fn endpoint_failed(&self, _route: &Route, endpoint: SocketAddr, _ejected: bool) {
        self.failed.lock().unwrap().push(endpoint);
    }

    fn closed(&self, record: &ConnectionRecord) {
        self.ended.lock().unwrap().push(record.clone());
        self.one_more.notify_one();
    }
}

/// Inherits nothing, keeps nothing.
struct Nothing;

impl Inheritance for Nothing {
    fn take(&mut self, _place: &Place) -> Vec<OwnedFd> {
        Vec::new()
    }
    fn store(&mut self, _place: &Place, _index: usize, _socket: BorrowedFd<'_>) {}
    fn settle(&mut self) {}
    fn forget(&mut self, _place: &Place) {}
}

/// A server socket and its address.
async fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A small, complete ClientHello for `name`: TLS 1.2, one cipher suite, the server name.
fn hello(name: &str) -> Vec<u8> {
    fn sized16(body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap();
        [&length.to_be_bytes(), body].concat()
    }
    let entry = [&[0], sized16(name.as_bytes()).as_slice()].concat();
    let extension = [&[0, 0], sized16(&sized16(&entry)).as_slice()].concat();
    let body = [
        [3, 3].as_slice(),
        &[7; 32],
        &[0],
        &[0, 2, 0x13, 0x01],
        &[1, 0],
        &sized16(&extension),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1], length.get(1..).unwrap(), body.as_slice()].concat();
    [[22, 3, 1].as_slice(), &sized16(&message)].concat()
}

/// Reads until EOF or error; what came, and how it ended.
async fn read_out(stream: &mut TcpStream) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    (all, ended.expect("the stream ends").map(|_| ()))
}

/// Accepts and reads exactly the hello.
async fn accept_hello(server: &TcpListener, hello: &[u8]) -> TcpStream {
    let accepted = tokio::time::timeout(PATIENCE, server.accept()).await;
    let (mut stream, _) = accepted.expect("the gateway connects").unwrap();
    let mut read = vec![0; hello.len()];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(read, hello, "the hello arrives as it was sent");
    stream
}

/// A client and a server that the gateway has joined, the hello delivered.
async fn joined(rig: &Rig, server: &TcpListener) -> (TcpStream, TcpStream) {
    let hello = hello("web.example.com");
    let mut client = rig.connect().await;
    client.write_all(&hello).await.unwrap();
    let upstream = accept_hello(server, &hello).await;
    (client, upstream)
}

/// Closes with RST.
fn reset(stream: TcpStream) {
    crate::sys::tcp::reset_on_close(&stream).unwrap();
    drop(stream);
}

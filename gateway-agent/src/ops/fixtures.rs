//! Records and snapshots for the tests of this module.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::view::{Engine, Phase, Runtime, Steer as SteerState, Usage};
use crate::control::cluster::{Balance, Cluster, Entry, Spec, Target};
use crate::control::policy::Access;
use crate::control::routes::{MatchKind, RouteTable};
use crate::control::snapshot::{
    AccessLog, Admin, DefaultAction, Dns, EngineKind, Health, Listener, Log, LogLevel, Origin,
    Pattern, Place, Refuse, Route, Settings, Snapshot, Steer, SteerMode,
};
use crate::control::uses::Uses;
use crate::proxy::close::CloseReason;
use crate::proxy::record::{ConnectionRecord, HelloFacts, LegFacts};

/// A route to one address.
pub(super) fn route(name: &str) -> Arc<Route> {
    let address: SocketAddr = "10.2.0.2:443".parse().unwrap();
    let endpoints = vec![Entry::unchecked(Target::Address(address), 1)];
    let balance = Balance::RoundRobin;
    let spec = Spec {
        endpoints,
        balance,
        choices: None,
        health: Health::default(),
    };
    Arc::new(Route {
        name: name.into(),
        origin: Origin::Configured,
        pattern: Pattern::of(name),
        refused: None,
        datacenter: "".into(),
        service: name.into(),
        access: Access::default(),
        send_proxy: None,
        balance,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(3600),
        max_connections: None,
        uses: Uses::default(),
        keepalive: None,
        source_addresses: Vec::new(),
        cluster: Arc::new(Cluster::new(spec, None)),
        notes: Vec::new(),
        at: Place {
            file: "culvert.hcl".into(),
            line: 3,
            column: 1,
        },
    })
}

/// A connection that ended well on `route`.
pub(super) fn record(route: &Arc<Route>) -> ConnectionRecord {
    let source = "192.0.2.7:50000".parse().unwrap();
    ConnectionRecord {
        id: 7,
        listener: "tls".into(),
        peer: source,
        source,
        arrived_at: "[2001:db8::1]:8443".parse().unwrap(),
        destination: "[2001:db8::1]:8443".parse().unwrap(),
        hello: Some(hello()),
        route: Some((Arc::clone(route), MatchKind::Exact)),
        endpoint: Some("10.2.0.2:443".parse().unwrap()),
        attempts: 1,
        engine: Some(EngineKind::Copy),
        fallbacks: Vec::new(),
        streams: None,
        stripped: 0,
        prepended: 0,
        sent: 4321,
        received: 1234,
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        hello_took: Some(Duration::from_micros(900)),
        connect_took: Some(Duration::from_millis(2)),
        lasted: Duration::from_millis(1500),
        reason: CloseReason::Finished,
        client_leg: Some(LegFacts {
            rtt_us: 250,
            retransmissions: 0,
        }),
        upstream_leg: Some(LegFacts {
            rtt_us: 90,
            retransmissions: 3,
        }),
    }
}

fn hello() -> HelloFacts {
    HelloFacts {
        server_name: Some("web.example.com".into()),
        alpn: vec!["h2".into(), "http/1.1".into()],
        version: 0x0304,
        ech: false,
        post_quantum: true,
        ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1".into(),
        bytes: 517,
        records: 1,
    }
}

/// A snapshot with one listener and these routes.
pub(super) fn snapshot(routes: Vec<Arc<Route>>) -> Snapshot {
    let listener = Listener {
        name: "tls".into(),
        id: 0,
        addresses: vec!["127.0.0.1:8443".parse().unwrap()],
        destinations: Vec::new(),
        access: Access::default(),
        accept_proxy: None,
        refuse: Refuse::default(),
        default: None,
        at: Place {
            file: "culvert.hcl".into(),
            line: 1,
            column: 1,
        },
    };
    Snapshot {
        generation: 1,
        instance: "default".into(),
        datacenter: "dc1".into(),
        listeners: vec![Arc::new(listener)],
        routes: RouteTable::new(routes),
        departed: RouteTable::default(),
        default: DefaultAction::Reject,
        limits: Arc::default(),
        engine: Arc::default(),
        settings: Settings {
            admin: Admin {
                socket: "/run/culvert/default.sock".into(),
                metrics: None,
            },
            log: Log {
                level: LogLevel::Info,
                access: AccessLog::Text,
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

/// What a ready agent says of itself.
pub(super) fn runtime() -> Runtime {
    Runtime {
        phase: Phase::Ready,
        started: SystemTime::UNIX_EPOCH,
        uptime: Duration::from_secs(90),
        listener_problems: vec![("tls".into(), "cannot bind".into())],
        engines: vec![Engine {
            name: "copy".into(),
            available: true,
            why: None,
        }],
        steer: SteerState {
            active: false,
            why: Some("switched off".into()),
        },
        connections: Usage {
            used: 3,
            limit: 100,
        },
        descriptors: Usage {
            used: 20,
            limit: 1024,
        },
        log_level: "info".into(),
    }
}

use std::time::{Instant, SystemTime};

use gateway_common::abi::splice::Stream;

use super::*;
use crate::config::Config;
use crate::control::Snapshot;
use crate::control::mesh::fixtures::{endpoint, part, wanted};
use crate::control::snapshot::EngineKind;
use crate::mesh::route::{Health, Role};
use crate::ops::fixtures::{record, route, snapshot};
use crate::proxy::close::CloseReason;
use crate::proxy::registry::{Opened, Registration};
use crate::proxy::splice::fallback::Why;

fn metrics(routes: Vec<Arc<Route>>) -> (Metrics, Arc<Registry>) {
    metrics_of(snapshot(routes))
}

fn metrics_of(snapshot: Snapshot) -> (Metrics, Arc<Registry>) {
    let registry = Arc::new(Registry::default());
    let metrics = Metrics::new(Sources {
        control: Control::fixed(snapshot, "culvert.hcl".as_ref()),
        registry: Arc::clone(&registry),
        dropped: Dropped::default(),
        steer: Box::new(|| {
            let (datacenter, service) = ("dc2".into(), "web".into());
            vec![SteerCount {
                datacenter,
                service,
                lookups: 9,
                connections: 4,
            }]
        }),
    });
    (metrics, registry)
}

fn open(registry: &Arc<Registry>, route: &Arc<Route>, sent: u64) -> Registration {
    let registration = registry.register(Opened {
        id: 1,
        listener: "tls".into(),
        source: "192.0.2.7:50000".parse().unwrap(),
        destination: "192.0.2.1:8443".parse().unwrap(),
        server_name: None,
        route: Arc::clone(route),
        accepted: Instant::now(),
        started: SystemTime::now(),
    });
    registration.live().sent.store(sent, Ordering::Relaxed);
    registration
}

/// The value of one sample, by its line's beginning.
fn sample(metrics: &Metrics, line: &str) -> Option<u64> {
    let text = metrics.render();
    let rest = text.lines().find_map(|found| found.strip_prefix(line))?;
    Some(rest.trim().parse().unwrap())
}

/// Names, help and labels are an interface. To change them, change the file too, and say so in the
/// changelog.
#[test]
fn the_exposition_is_the_golden_one() {
    let route = route("web.example.com");
    let (metrics, _registry) = metrics(vec![Arc::clone(&route)]);
    metrics.accepted("tls", "192.0.2.1:443".parse().unwrap());
    metrics.greeted(517, Duration::from_micros(900));
    metrics.routed(&route);
    metrics.endpoint_failed(&route, "10.2.0.2:443".parse().unwrap(), true);
    metrics.retried(&route);
    metrics.limit_near(80, 100);
    metrics.set_connection_limit(100);
    let why = Why::Unavailable("whatever a kernel says".into());
    let engine = EngineKind::Sockmap;
    metrics.fell_back(&Fallback { engine, why });
    metrics.closed(&record(&route));
    let mut refused = record(&route);
    refused.route = None;
    refused.reason = CloseReason::UnknownName;
    metrics.closed(&refused);
    refused.reason = CloseReason::BareConnect;
    metrics.closed(&refused);
    let golden = include_str!("golden.txt");
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    let text = metrics.render().replace(&version, "version=\"x.y.z\"");
    assert!(
        text == golden,
        "the exposition is not golden.txt but:\n{text}"
    );
}

#[test]
fn open_connections_count_their_bytes_and_never_go_backwards() {
    let route = route("x");
    let (metrics, registry) = metrics(vec![Arc::clone(&route)]);
    let sent = "culvert_bytes_total{route=\"x\",direction=\"downstream\"}";
    let registration = open(&registry, &route, 3000);
    assert_eq!(sample(&metrics, sent), Some(3000));
    drop(registration);
    assert_eq!(
        sample(&metrics, sent),
        Some(3000),
        "between leaving the registry and its record"
    );
    metrics.closed(&record(&route));
    let registration = open(&registry, &route, 500);
    assert_eq!(sample(&metrics, sent), Some(4821));
    drop(registration);
    assert_eq!(sample(&metrics, sent), Some(4821));
    let mut last = record(&route);
    last.sent = 600;
    metrics.closed(&last);
    assert_eq!(sample(&metrics, sent), Some(4921));
}

#[test]
fn what_the_kernel_moved_is_counted_by_route_direction_and_way() {
    let route = route("x");
    let (metrics, _registry) = metrics(vec![Arc::clone(&route)]);
    let stream = |redirected, passed| Stream {
        redirected,
        passed,
        packets: 3,
        pauses: 1,
        backlog: 77,
        ..Stream::default()
    };
    let mut spliced = record(&route);
    spliced.engine = Some(EngineKind::Sockmap);
    spliced.streams = Some(Box::new([stream(100, 10), stream(2000, 0)]));
    metrics.closed(&spliced);
    metrics.closed(&spliced);
    let of = |name: &str, direction: &str, more: &str| {
        let labels = format!("route=\"x\",direction=\"{direction}\"{more}");
        sample(&metrics, &format!("culvert_{name}_total{{{labels}}}"))
    };
    let bytes = |direction, way| of("splice_bytes", direction, &format!(",way=\"{way}\""));
    assert_eq!(bytes("upstream", "redirected"), Some(200));
    assert_eq!(bytes("upstream", "passed"), Some(20));
    assert_eq!(bytes("downstream", "redirected"), Some(4000));
    assert_eq!(of("splice_segments", "downstream", ""), Some(6));
    assert_eq!(of("splice_pauses", "upstream", ""), Some(2));
    let backlog = sample(&metrics, "culvert_splice_backlog_bytes");
    assert_eq!(backlog, Some(0), "of connections that are over");
    let ended = "culvert_engine_connections_total{engine=\"sockmap\"}";
    assert_eq!(sample(&metrics, ended), Some(2));
}

#[test]
fn routes_out_of_the_configuration_leave_when_their_last_connection_does() {
    let gone = route("gone");
    let (metrics, _registry) = metrics(Vec::new());
    metrics.routed(&gone);
    metrics.retried(&gone);
    let retries = "culvert_connect_retries_total{route=\"gone\"}";
    assert_eq!(sample(&metrics, retries), Some(1));
    metrics.closed(&record(&gone));
    assert_eq!(sample(&metrics, retries), None, "{}", metrics.render());
}

#[test]
fn routes_of_a_mesh_count_by_role_and_show_what_is_down() {
    let text = "listener \"tls\" { address = \"127.0.0.1:8443\" }\n";
    let config = Config::parse("culvert.hcl", text.to_owned()).unwrap();
    let mut half = wanted("half.test", &["10.0.0.1:1"]);
    half.endpoints.push(endpoint("[fd00::1]:1", Health::Down));
    let mut remote = wanted("*.dc2.test", &["10.0.0.1:1"]);
    remote.role = Role::RemoteDc;
    let routes = [wanted("a.test", &[]), half, remote].map(Arc::new);
    let snapshot = Snapshot::assemble(&config, Some(part(routes)), None);
    let (metrics, _registry) = metrics_of(snapshot);
    let role = |role| sample(&metrics, &format!("culvert_mesh_routes{{role=\"{role}\"}}"));
    assert_eq!(
        (role("local-service"), role("remote-dc"), role("imported")),
        (Some(2), Some(1), None)
    );
    let down = |route| {
        sample(
            &metrics,
            &format!("culvert_endpoint_down{{route=\"{route}\"}}"),
        )
    };
    assert_eq!((down("half.test"), down("a.test")), (Some(1), None));
}

#[test]
fn label_values_are_escaped() {
    let (metrics, _registry) = metrics(Vec::new());
    metrics.accepted("a\"b\\c\nd", "192.0.2.1:443".parse().unwrap());
    assert!(
        !metrics.render().contains("a\"b"),
        "this listener is not in the configuration"
    );
    assert_eq!(scrape::escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
}

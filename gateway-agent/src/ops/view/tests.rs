use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::control::Control;
use crate::ops::fixtures::{route, runtime, snapshot};
use crate::proxy::registry::{Opened, Registry};

fn round_trip<T>(value: &T)
where
    T: Serialize + for<'de> Deserialize<'de> + PartialEq + core::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value, "{text}");
}

#[test]
fn status_survives_the_wire_and_names_a_listeners_problem() {
    let control = Control::fixed(snapshot(vec![route("x")]), "culvert.hcl".as_ref());
    let status = status(&control, runtime());
    assert_eq!(status.listeners[0].problem.as_deref(), Some("cannot bind"));
    assert_eq!(status.routes, 1);
    round_trip(&status);
}

#[test]
fn routes_are_found_by_pattern_and_by_name_without_case() {
    let snapshot = snapshot(vec![route("web.example.com"), route("*.example.com")]);
    let ask = |name| routes(&snapshot, Some(name), Instant::now());
    assert_eq!(ask("WEB.example.com.")[0].matched.as_deref(), Some("exact"));
    assert_eq!(
        ask("a.b.example.com")[0].matched.as_deref(),
        Some("wildcard")
    );
    assert_eq!(ask("*.example.com")[0].matched, None);
    assert!(ask("example.org").is_empty());
    assert_eq!(routes(&snapshot, None, Instant::now()).len(), 2);
    round_trip(&ask("web.example.com"));
}

#[test]
fn an_open_connection_shows_its_age_and_no_endpoint_before_it_has_one() {
    let registry = Arc::new(Registry::default());
    let registration = registry.register(Opened {
        id: 5,
        listener: "tls".into(),
        source: "192.0.2.7:50000".parse().unwrap(),
        destination: "[2001:db8::1]:443".parse().unwrap(),
        server_name: Some("web.example.com".parse().unwrap()),
        route: route("web.example.com"),
        accepted: Instant::now(),
        started: SystemTime::UNIX_EPOCH,
    });
    let later = Instant::now() + Duration::from_secs(5);
    let shown = connections(&registry, later);
    drop(registration);
    assert_eq!(shown[0].endpoint, None);
    assert!((5000..6000).contains(&shown[0].age_ms));
    round_trip(&shown);
}

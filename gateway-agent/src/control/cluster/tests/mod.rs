//! Balance, ejection and members, on a clock that the tests turn.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod checked;

fn entry(target: &str, weight: u32) -> Entry {
    let target = match target.parse() {
        Ok(address) => Target::Address(address),
        Err(_) => {
            let (host, port) = target.rsplit_once(':').unwrap();
            Target::Host {
                host: host.into(),
                port: port.parse().unwrap(),
            }
        }
    };
    Entry::unchecked(target, weight)
}

fn cluster(balance: Balance, entries: &[(&str, u32)]) -> Cluster {
    let endpoints = entries
        .iter()
        .map(|(target, weight)| entry(target, *weight))
        .collect();
    Cluster::new(
        Spec {
            endpoints,
            balance,
            choices: None,
            health: Health::default(),
        },
        None,
    )
}

/// `count` endpoints 10.0.0.1:1, 10.0.0.2:1, ... of weight 1.
fn row(balance: Balance, count: u8) -> Cluster {
    let names: Vec<_> = (1..=count).map(|last| format!("10.0.0.{last}:1")).collect();
    cluster(
        balance,
        &names
            .iter()
            .map(|name| (name.as_str(), 1))
            .collect::<Vec<_>>(),
    )
}

fn ask(now: Instant) -> Ask<'static> {
    Ask {
        now,
        source: [192, 0, 2, 1].into(),
        tried: &[],
    }
}

fn picks(cluster: &Cluster, count: usize) -> HashMap<String, usize> {
    let now = Instant::now();
    let mut counts = HashMap::new();
    for _ in 0..count {
        let pick = cluster.pick(&ask(now)).unwrap();
        *counts.entry(pick.endpoint.address.to_string()).or_default() += 1;
    }
    counts
}

fn eject(cluster: &Cluster, at: usize, now: Instant) -> bool {
    let endpoint = Arc::clone(&cluster.endpoints()[at]);
    (0..5).any(|_| cluster.failed(&endpoint, now))
}

#[test]
fn a_cluster_of_unresolved_names_says_so() {
    let cluster = cluster(Balance::RoundRobin, &[("a.test:1", 1)]);
    assert_eq!(
        cluster.pick(&ask(Instant::now())).unwrap_err(),
        NoEndpoint::Unresolved
    );
    assert_eq!(cluster.unresolved(), ["a.test".into()]);
}

#[test]
fn a_connection_that_tried_all_is_told_so() {
    let cluster = row(Balance::RoundRobin, 2);
    let tried: Vec<_> = cluster
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.address)
        .collect();
    let first = cluster
        .pick(&Ask {
            tried: &tried[..1],
            ..ask(Instant::now())
        })
        .unwrap();
    assert_eq!(first.endpoint.address, tried[1]);
    let error = cluster
        .pick(&Ask {
            tried: &tried,
            ..ask(Instant::now())
        })
        .unwrap_err();
    assert_eq!(error, NoEndpoint::AllTried);
}

#[test]
fn an_empty_answer_keeps_the_last_good_one() {
    let cluster = cluster(Balance::RoundRobin, &[("a.test:1", 1)]);
    cluster.resolved("a.test", &["10.0.0.1".parse().unwrap()]);
    cluster.resolved("a.test", &[]);
    assert_eq!(cluster.endpoints().len(), 1);
}

#[test]
fn a_new_answer_keeps_the_life_of_addresses_that_stay() {
    let cluster = cluster(Balance::RoundRobin, &[("a.test:1", 1)]);
    cluster.resolved("a.test", &["10.0.0.1".parse().unwrap()]);
    let _busy = cluster.endpoints()[0].begin();
    cluster.resolved(
        "a.test",
        &["fd00::1".parse().unwrap(), "10.0.0.1".parse().unwrap()],
    );
    let active: Vec<_> = cluster
        .endpoints()
        .iter()
        .map(|endpoint| (endpoint.address.is_ipv4(), endpoint.active()))
        .collect();
    assert_eq!(active, [(true, 1), (false, 0)]);
}

#[test]
fn the_addresses_of_a_name_share_its_weight() {
    let cluster = cluster(Balance::RoundRobin, &[("a.test:1", 3), ("10.0.0.9:1", 1)]);
    cluster.resolved(
        "a.test",
        &["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
    );
    let counts = picks(&cluster, 80);
    assert_eq!(counts["10.0.0.1:1"], 30);
    assert_eq!(counts["[fd00::1]:1"], 30);
    assert_eq!(counts["10.0.0.9:1"], 20);
}

#[test]
fn alternates_are_of_the_same_name_the_other_family_first() {
    let cluster = cluster(Balance::RoundRobin, &[("a.test:1", 1), ("10.0.0.9:1", 1)]);
    let addresses = ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|address| address.parse().unwrap());
    cluster.resolved("a.test", &addresses);
    let tried = [
        "10.0.0.9:1".parse().unwrap(),
        "[fd00::1]:1".parse().unwrap(),
    ];
    let pick = cluster
        .pick(&Ask {
            tried: &tried[..1],
            ..ask(Instant::now())
        })
        .unwrap();
    let families: Vec<_> = pick
        .alternates
        .iter()
        .map(|other| other.address.is_ipv4() == pick.endpoint.address.is_ipv4())
        .collect();
    assert!(families.is_sorted(), "{families:?}");
    assert_eq!(families.len(), 2);
    let pick = cluster
        .pick(&Ask {
            tried: &tried,
            ..ask(Instant::now())
        })
        .unwrap();
    assert_eq!(
        pick.alternates.len(),
        1,
        "an address that was tried is no alternate"
    );
}

#[test]
fn five_failures_in_a_row_eject_and_a_success_between_does_not() {
    let now = Instant::now();
    let cluster = row(Balance::RoundRobin, 3);
    let endpoint = Arc::clone(&cluster.endpoints()[0]);
    for _ in 0..4 {
        assert!(!cluster.failed(&endpoint, now));
    }
    cluster.succeeded(&endpoint);
    assert!((0..4).all(|_| !cluster.failed(&endpoint, now)));
    assert!(cluster.failed(&endpoint, now));
    assert!(endpoint.is_ejected(now));
    assert!(!picks(&cluster, 30).contains_key("10.0.0.1:1"));
}

#[test]
fn each_ejection_lasts_longer_up_to_the_longest_and_good_times_are_forgiven() {
    let cluster = row(Balance::RoundRobin, 3);
    let mut now = Instant::now();
    for seconds in [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300] {
        assert!(eject(&cluster, 0, now));
        let left = cluster.survey(now)[0].ejected_ms.unwrap();
        assert_eq!(left, seconds * 1000);
        now += Duration::from_millis(left);
        assert!(!cluster.endpoints()[0].is_ejected(now));
    }
    // Eleven ejections, ten base times of good service: the next counts as the second.
    now += Duration::from_secs(300);
    assert!(eject(&cluster, 0, now));
    assert_eq!(cluster.survey(now)[0].ejected_ms, Some(60_000));
}

#[test]
fn at_most_the_share_is_ejected_but_at_least_one() {
    let now = Instant::now();
    let few = row(Balance::RoundRobin, 3);
    assert!(eject(&few, 0, now));
    assert!(!eject(&few, 1, now));
    let many = row(Balance::RoundRobin, 25);
    assert!(eject(&many, 0, now));
    assert!(eject(&many, 1, now));
    assert!(!eject(&many, 2, now), "10 % of 25 are 2");
}

#[test]
fn a_success_ends_an_ejection() {
    let now = Instant::now();
    let cluster = row(Balance::RoundRobin, 3);
    assert!(eject(&cluster, 0, now));
    let endpoint = Arc::clone(&cluster.endpoints()[0]);
    cluster.succeeded(&endpoint);
    assert!(!endpoint.is_ejected(now));
    assert!(eject(&cluster, 0, now), "and may be ejected anew");
    assert_eq!(
        cluster.survey(now)[0].ejected_ms,
        Some(60_000),
        "for longer"
    );
}

#[test]
fn with_too_few_usable_endpoints_all_are_used() {
    let now = Instant::now();
    let single = row(Balance::RoundRobin, 1);
    assert!(eject(&single, 0, now));
    assert!(single.pick(&ask(now)).unwrap().panic);
    let two = row(Balance::RoundRobin, 2);
    assert!(eject(&two, 0, now));
    assert!(
        !two.pick(&ask(now)).unwrap().panic,
        "half of them is enough"
    );
}

#[test]
fn an_ejected_endpoint_is_the_last_resort_of_a_connection() {
    let now = Instant::now();
    let cluster = row(Balance::RoundRobin, 2);
    assert!(eject(&cluster, 0, now));
    let tried = [cluster.endpoints()[1].address];
    let pick = cluster
        .pick(&Ask {
            tried: &tried,
            ..ask(now)
        })
        .unwrap();
    assert!(pick.panic);
    assert_eq!(pick.endpoint.address, cluster.endpoints()[0].address);
}

#[test]
fn least_connections_counts_by_weight() {
    let cluster = cluster(
        Balance::LeastConnections,
        &[("10.0.0.1:1", 3), ("10.0.0.2:1", 1)],
    );
    let now = Instant::now();
    let busy: Vec<_> = (0..40)
        .map(|_| cluster.pick(&ask(now)).unwrap().endpoint.begin())
        .collect();
    let active: Vec<_> = cluster
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.active())
        .collect();
    assert_eq!(active, [30, 10]);
    drop(busy);
}

#[test]
fn least_connections_of_many_never_prefers_the_busiest() {
    let cluster = row(Balance::LeastConnections, 100);
    let now = Instant::now();
    let busy: Vec<_> = (0..10).map(|_| cluster.endpoints()[0].begin()).collect();
    assert!((0..500).all(|_| cluster.pick(&ask(now)).unwrap().endpoint.active() == 0));
    drop(busy);
}

#[test]
fn random_honours_weights() {
    fastrand::seed(7);
    let counts = picks(
        &cluster(Balance::Random, &[("10.0.0.1:1", 3), ("10.0.0.2:1", 1)]),
        4000,
    );
    assert!((2850..3150).contains(&counts["10.0.0.1:1"]), "{counts:?}");
}

fn hashed(cluster: &Cluster, source: u32) -> SocketAddr {
    let source = IpAddr::V4(source.into());
    cluster
        .pick(&Ask {
            source,
            ..ask(Instant::now())
        })
        .unwrap()
        .endpoint
        .address
}

#[test]
fn source_hash_honours_weights_and_keeps_clients() {
    let cluster = cluster(Balance::SourceHash, &[("10.0.0.1:1", 3), ("10.0.0.2:1", 1)]);
    let heavy = (0..4000).filter(|&source| hashed(&cluster, source).ip().to_string() == "10.0.0.1");
    assert!((2850..3150).contains(&heavy.count()));
    assert!((0..100).all(|source| hashed(&cluster, source) == hashed(&cluster, source)));
}

#[test]
fn source_hash_moves_only_the_clients_of_an_endpoint_that_goes() {
    let (three, two) = (row(Balance::SourceHash, 3), row(Balance::SourceHash, 2));
    for source in 0..1000 {
        let before = hashed(&three, source);
        if before.ip().to_string() != "10.0.0.3" {
            assert_eq!(hashed(&two, source), before);
        }
    }
}

proptest! {
    /// Over one cycle each endpoint is picked exactly as often as its weight says, and after half
    /// of it never more than once off its share for each endpoint.
    #[test]
    fn round_robin_is_exact_over_a_cycle(weights in prop::collection::vec(1_u32..20, 1..8)) {
        let names: Vec<_> = (1..=weights.len()).map(|last| format!("10.0.0.{last}:1")).collect();
        let entries: Vec<_> =
            names.iter().zip(&weights).map(|(name, weight)| (name.as_str(), *weight)).collect();
        let cluster = cluster(Balance::RoundRobin, &entries);
        let cycle = weights.iter().sum::<u32>() as usize;
        for _ in 0..2 {
            let counts = picks(&cluster, cycle);
            for (name, weight) in &entries {
                prop_assert_eq!(counts[*name], *weight as usize);
            }
        }
    }

    /// Whatever fails and succeeds, never more than the share is ejected, and there is an
    /// endpoint for every connection that has tried none.
    #[test]
    fn ejections_stay_within_bounds(
        count in 1_u8..30,
        events in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..10, 0_u64..20), 0..300),
    ) {
        let cluster = row(Balance::RoundRobin, count);
        let endpoints = cluster.endpoints();
        let mut now = Instant::now();
        for (at, what, seconds) in events {
            now += Duration::from_secs(seconds);
            let endpoint = at.get(&endpoints);
            if what == 0 {
                cluster.succeeded(endpoint);
            } else {
                cluster.failed(endpoint, now);
            }
            let ejected = endpoints.iter().filter(|endpoint| endpoint.is_ejected(now)).count();
            prop_assert!(ejected <= (usize::from(count) / 10).max(1));
            let pick = cluster.pick(&ask(now)).unwrap();
            prop_assert!(pick.panic || !pick.endpoint.is_ejected(now));
        }
    }
}

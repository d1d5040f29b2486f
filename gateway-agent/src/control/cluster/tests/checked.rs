//! What checks elsewhere say of endpoints, and what it does to the choice.

use super::*;
use crate::mesh::route::Health::{Down, Unknown, Up};

/// Endpoints 10.0.0.1:1, ... of weight 1, as checks have them.
fn checked(panic_percent: u8, healths: &[Checked]) -> Spec {
    let endpoints = (1_u8..)
        .zip(healths)
        .map(|(last, &health)| Entry {
            health,
            ..entry(&format!("10.0.0.{last}:1"), 1)
        })
        .collect();
    Spec {
        endpoints,
        balance: Balance::RoundRobin,
        choices: None,
        health: Health {
            panic_percent,
            ..Health::default()
        },
    }
}

fn of(spec: Spec) -> Cluster {
    Cluster::new(spec, None)
}

fn tried(cluster: &Cluster, which: &[usize]) -> Vec<SocketAddr> {
    let endpoints = cluster.endpoints();
    which.iter().map(|&at| endpoints[at].address).collect()
}

#[test]
fn all_down_without_panic_is_a_reason_of_its_own() {
    let cluster = of(checked(0, &[Down, Down]));
    let error = cluster.pick(&ask(Instant::now())).unwrap_err();
    assert_eq!(error, NoEndpoint::AllDown);
}

#[test]
fn all_down_is_panic_and_still_means_try() {
    let cluster = of(checked(50, &[Down, Down]));
    assert!(cluster.pick(&ask(Instant::now())).unwrap().panic);
    assert_eq!(picks(&cluster, 10).len(), 2);
}

#[test]
fn one_that_is_down_counts_in_the_panic_share_as_an_ejected_one_does() {
    let now = Instant::now();
    let half = of(checked(50, &[Up, Down]));
    assert_eq!(picks(&half, 10)["10.0.0.1:1"], 10);
    let less = of(checked(50, &[Up, Unknown, Down, Down]));
    assert!(!less.pick(&ask(now)).unwrap().panic);
    assert!(eject(&less, 0, now));
    assert_eq!(picks(&less, 20).len(), 4, "one of four is less than half");
}

#[test]
fn a_connection_that_tried_all_gets_ejected_ones_and_never_one_that_is_down() {
    let now = Instant::now();
    let cluster = of(checked(50, &[Up, Up, Up, Down]));
    assert!(eject(&cluster, 0, now));
    let asked = |which: &[usize]| {
        let tried = tried(&cluster, which);
        cluster.pick(&Ask {
            tried: &tried,
            ..ask(now)
        })
    };
    let last = asked(&[1, 2]).unwrap();
    assert_eq!(last.endpoint.address, cluster.endpoints()[0].address);
    assert!(last.panic);
    assert_eq!(asked(&[0, 1, 2]).unwrap_err(), NoEndpoint::AllTried);
}

#[test]
fn a_change_of_health_keeps_lives_and_the_turn() {
    let now = Instant::now();
    let before = of(checked(0, &[Up, Up, Up]));
    let _busy = before.endpoints()[2].begin();
    assert!(eject(&before, 1, now));
    let first = before.pick(&ask(now)).unwrap().endpoint.address;
    let after = Cluster::new(checked(0, &[Up, Down, Up]), Some(&before));
    assert_eq!(after.endpoints()[2].active(), 1);
    assert!(after.endpoints()[1].is_ejected(now));
    let second = after.pick(&ask(now)).unwrap().endpoint.address;
    assert_ne!(first, second, "the turn goes on");
    let back = Cluster::new(checked(0, &[Up, Up, Up]), Some(&after));
    assert!(back.endpoints()[1].is_ejected(now));
}

#[test]
fn of_two_names_with_one_address_the_better_health_counts() {
    for healths in [[Down, Up], [Up, Down]] {
        let hosts = ["a.test:1", "b.test:1"];
        let endpoints = hosts.iter().zip(healths);
        let endpoints = endpoints.map(|(host, health)| Entry {
            health,
            ..entry(host, 1)
        });
        let cluster = of(Spec {
            endpoints: endpoints.collect(),
            ..checked(0, &[])
        });
        for host in cluster.hosts() {
            cluster.resolved(&host, &["fd00::1".parse().unwrap()]);
        }
        assert_eq!(cluster.survey(Instant::now())[0].health, Up);
    }
}

#[test]
fn an_unchanged_spec_keeps_the_cluster_itself() {
    let spec = checked(50, &[Up, Down]);
    let before = Arc::new(of(spec.clone()));
    assert!(Arc::ptr_eq(&Cluster::renewed(spec, Some(&before)), &before));
    let other = Cluster::renewed(checked(50, &[Up, Up]), Some(&before));
    assert!(!Arc::ptr_eq(&other, &before));
}

fn least_of(choices: u32, entries: &[(&str, u32)]) -> Cluster {
    let mut spec = cluster(Balance::LeastConnections, entries).spec().clone();
    spec.choices = Some(choices);
    of(spec)
}

#[test]
fn the_least_of_two_drawn_is_never_the_busiest_and_honours_weights_when_idle() {
    let cluster = least_of(
        2,
        &[("10.0.0.1:1", 6), ("10.0.0.2:1", 1), ("10.0.0.3:1", 1)],
    );
    fastrand::seed(7);
    let idle = picks(&cluster, 4000);
    assert!((2850..3150).contains(&idle["10.0.0.1:1"]), "{idle:?}");
    let _busy: Vec<_> = (0..10).map(|_| cluster.endpoints()[0].begin()).collect();
    assert!(!picks(&cluster, 200).contains_key("10.0.0.1:1"));
}

#[test]
fn as_many_choices_as_endpoints_look_at_all_and_one_choice_is_random() {
    let all = least_of(5, &[("10.0.0.1:1", 1), ("10.0.0.2:1", 1)]);
    let _busy = all.endpoints()[0].begin();
    assert_eq!(picks(&all, 10)["10.0.0.2:1"], 10);
    for choices in [0, 1] {
        let one = least_of(choices, &[("10.0.0.1:1", 1), ("10.0.0.2:1", 1)]);
        let _busy = one.endpoints()[0].begin();
        assert_eq!(picks(&one, 200).len(), 2);
    }
}

proptest! {
    /// Whatever checks say and dials show: an endpoint that is down is used in panic only, and a
    /// connection that tried none is refused only where all are down and there is no panic.
    #[test]
    fn down_is_used_in_panic_only(
        panic_percent in prop::sample::select(vec![0_u8, 1, 50, 100]),
        healths in prop::collection::vec(prop::sample::select(vec![Up, Down, Unknown]), 1..12),
        failed in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        tries in 0_usize..3,
    ) {
        let now = Instant::now();
        let cluster = of(checked(panic_percent, &healths));
        for at in failed {
            cluster.failed(at.get(&cluster.endpoints()), now);
        }
        let usable = cluster.endpoints().iter()
            .filter(|one| !one.is_down() && !one.is_ejected(now))
            .count();
        let panic = usable * 100 < healths.len() * usize::from(panic_percent);
        let mut tried = Vec::new();
        for turn in 0..=tries {
            match cluster.pick(&Ask { tried: &tried, ..ask(now) }) {
                Ok(pick) => {
                    prop_assert!(panic || !pick.endpoint.is_down());
                    prop_assert!(pick.panic || !pick.endpoint.is_ejected(now));
                    prop_assert!(!tried.contains(&pick.endpoint.address));
                    tried.push(pick.endpoint.address);
                }
                Err(why) => {
                    let all_down = healths.iter().all(|health| *health == Down);
                    prop_assert_eq!(why == NoEndpoint::AllDown, all_down && !panic);
                    prop_assert!(turn > 0 || all_down);
                }
            }
        }
    }
}

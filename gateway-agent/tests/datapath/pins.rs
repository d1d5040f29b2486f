//! What outlives an agent, who may touch it, and how it goes away.

use std::{fs, path::Path};

use gateway_agent::bpf::{self, BpfError, Datapath, Family, list_local_routes};

use crate::host::{Gateway, connect, on_a_host, settings, to};

const ROOT: &str = "/sys/fs/bpf/culvert";

#[test]
fn a_restart_keeps_ids_and_counts() {
    on_a_host(|| {
        let mut first = Gateway::open("a");
        let listener = first.listen("tls");
        let route = first.datapath.route_id("dc1", "web").unwrap();
        first.publish(&[to("192.0.2.0/24", 443, 443, listener, route)]);
        connect("192.0.2.1:443").unwrap();
        first.datapath.account(route).accepted();
        first.datapath.account(route).closed(10, 20);
        first.datapath.accounts().flush().unwrap();
        drop(first);

        let mut second = Gateway::open("a");
        assert!(second.datapath.adopted());
        assert_eq!(second.datapath.route_id("dc1", "api").unwrap(), route + 1);
        assert_eq!(second.datapath.route_id("dc1", "web").unwrap(), route);
        assert_eq!(second.listen("tls"), listener);
        let stats = second.datapath.route_stats().unwrap();
        assert_eq!(stats[0].kernel.steered, 1);
        assert_eq!(
            (stats[0].agent.connections, stats[0].agent.downstream_bytes),
            (1, 20)
        );
        // The rows are there still: the new sockets are all it takes.
        connect("192.0.2.2:443").unwrap();
        assert_eq!(
            second.accept("tls", Family::V4),
            "192.0.2.2:443".parse().unwrap()
        );
    });
}

#[test]
fn the_program_of_a_successor_takes_the_place_of_the_old_one() {
    on_a_host(|| {
        drop(Gateway::open("a"));
        let mut second = Gateway::open("a");
        let id = second.listen("tls");
        second.publish(&[to("192.0.2.0/24", 443, 443, id, 0)]);
        connect("192.0.2.1:443").unwrap();
        let counts = second.datapath.steer_counts().unwrap();
        assert_eq!(counts[0].1, 1, "one program ran: {counts:?}");
    });
}

#[test]
fn one_agent_at_a_time_runs_an_instance() {
    on_a_host(|| {
        let _first = Gateway::open("a");
        let error = Datapath::open(&settings("a")).unwrap_err();
        assert!(matches!(error, BpfError::Locked { .. }), "{error}");
    });
}

#[test]
fn pins_of_another_abi_are_refused() {
    on_a_host(|| {
        fs::create_dir_all(format!("{ROOT}/a/abi-999")).unwrap();
        let error = Datapath::open(&settings("a")).unwrap_err();
        assert!(
            matches!(error, BpfError::ForeignAbi { found: 999, .. }),
            "{error}"
        );
    });
}

#[test]
fn a_pinned_map_of_another_size_is_refused() {
    on_a_host(|| {
        drop(Gateway::open("a"));
        let current = format!("{ROOT}/a/abi-{}", gateway_common::abi::ABI);
        fs::rename(format!("{current}/ROUTE_STATS"), format!("{current}/PORTS")).unwrap();
        let error = Datapath::open(&settings("a")).unwrap_err();
        assert!(
            matches!(&error, BpfError::ForeignMap { found, .. } if found.starts_with("percpu_hash")),
            "{error}"
        );
    });
}

#[test]
fn a_name_that_leaves_the_pin_tree_is_refused() {
    on_a_host(|| {
        for name in ["", "..", "a/b", "a.b", &"x".repeat(65)] {
            let error = Datapath::open(&settings(name)).unwrap_err();
            assert!(
                matches!(error, BpfError::Instance { .. }),
                "{name}: {error}"
            );
        }
    });
}

#[test]
fn two_instances_share_a_prefix_and_do_not_disturb_each_other() {
    on_a_host(|| {
        let (mut a, mut b) = (Gateway::open("a"), Gateway::open("b"));
        let (of_a, of_b) = (a.listen("tls"), b.listen("tls"));
        a.publish(&[to("192.0.2.0/24", 443, 443, of_a, 0)]);
        b.publish(&[to("192.0.2.0/24", 8443, 8443, of_b, 0)]);
        connect("192.0.2.1:443").unwrap();
        connect("192.0.2.1:8443").unwrap();
        assert_eq!(
            a.accept("tls", Family::V4),
            "192.0.2.1:443".parse().unwrap()
        );
        assert_eq!(
            b.accept("tls", Family::V4),
            "192.0.2.1:8443".parse().unwrap()
        );
        a.datapath.detach().unwrap();
        connect("192.0.2.1:8443").unwrap();
        assert_eq!(list_local_routes().unwrap().len(), 1);
    });
}

#[test]
fn what_a_killed_agent_left_is_cleared_by_the_next() {
    on_a_host(|| {
        let mut killed = Gateway::open("a");
        let id = killed.listen("tls");
        killed.publish(&[
            to("192.0.2.0/24", 443, 443, id, 0),
            to("fd00:9::/64", 443, 443, id, 0),
        ]);
        drop(killed);
        fs::create_dir(format!("{ROOT}/a/new-1")).unwrap();
        fs::create_dir(format!("{ROOT}/a/old-1")).unwrap();

        let mut next = Gateway::open("a");
        let id = next.listen("tls");
        next.publish(&[to("198.51.100.0/24", 443, 443, id, 0)]);
        let routes: Vec<_> = list_local_routes()
            .unwrap()
            .iter()
            .map(|route| route.prefix.to_string())
            .collect();
        assert_eq!(routes, ["198.51.100.0/24"]);
        assert_eq!(fs::read_dir(format!("{ROOT}/a")).unwrap().count(), 1);
    });
}

#[test]
fn detach_leaves_nothing() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        gateway.publish(&[
            to("192.0.2.0/24", 443, 443, id, 0),
            to("fd00:9::/64", 443, 443, id, 0),
        ]);
        assert_eq!(list_local_routes().unwrap().len(), 2);
        gateway.datapath.detach().unwrap();
        assert!(!Path::new(ROOT).exists());
        assert_eq!(list_local_routes().unwrap(), []);
    });
}

#[test]
fn an_instance_without_an_agent_can_be_detached() {
    on_a_host(|| {
        let mut gateway = Gateway::open("a");
        let id = gateway.listen("tls");
        gateway.publish(&[to("192.0.2.0/24", 443, 443, id, 0)]);
        drop(gateway);
        bpf::detach(&settings("a")).unwrap();
        assert!(!Path::new(ROOT).exists());
        assert_eq!(list_local_routes().unwrap(), []);
    });
}

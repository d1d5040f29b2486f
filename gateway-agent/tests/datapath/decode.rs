//! What people see of the pinned maps, with an agent and without.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: what fails here fails the test"
)]

use std::{fs, path::Path};

use gateway_agent::bpf::{
    BpfError,
    decode::{self, Pinned, Table},
    probe::{self, Level},
};

use crate::host::{Gateway, connect, on_a_host, settings, to};

const BPFFS: &str = "/sys/fs/bpf";

/// A gateway with something in every map; its agent is gone.
fn left_behind() -> Pinned {
    let mut gateway = Gateway::open("mesh");
    let id = gateway.listen("tls");
    let route = gateway.datapath.route_id("dc1", "web").unwrap();
    gateway.publish(&[
        to("192.0.2.0/24", 443, 450, id, route),
        to("192.0.2.0/24", 80, 80, id, route),
        to("fd00:9::/64", 443, 443, id, route),
    ]);
    connect("192.0.2.1:443").unwrap();
    gateway.datapath.account(route).accepted();
    gateway.datapath.accounts().flush().unwrap();
    decode::find(Path::new(BPFFS)).unwrap().remove(0)
}

/// A table as text, a line a row.
fn text(table: &Table) -> Vec<String> {
    let row = |row: &Vec<_>| {
        row.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    table.rows.iter().map(row).collect()
}

#[test]
fn every_map_is_decoded_without_an_agent() {
    on_a_host(|| {
        let pinned = left_behind();
        let show = |map| text(&pinned.table(map).unwrap());
        assert_eq!(show("PORTS").len(), 3);
        assert_eq!(
            show("DESTINATIONS"),
            [
                "80,444-450 192.0.2.0/24 0 tls 0 dc1 web",
                "443 192.0.2.0/24 0 tls 0 dc1 web",
                "443 fd00:9::/64 0 tls 0 dc1 web",
            ]
        );
        assert_eq!(show("LISTENERS"), [""; 0], "the agent's sockets are closed");
        assert_eq!(show("LISTENER_NAMES"), ["0 tls"]);
        assert_eq!(show("ROUTES"), ["0 dc1 web 0"]);
        assert_eq!(show("ROUTE_STATS"), ["0 dc1 web 1 1 0"]);
        assert_eq!(show("ROUTE_ACCEPTS"), ["0 dc1 web 1 0 0"]);
        assert_eq!(
            show("STEER_COUNTS")[..3],
            ["lookups 1", "elsewhere 0", "steered 1"]
        );
        assert_eq!(show("EVENT_CLOCK"), [""; 0]);
        assert_eq!(show("events"), [""; 0]);
    });
}

#[test]
fn sockets_of_a_live_agent_are_shown() {
    on_a_host(|| {
        let mut gateway = Gateway::open("mesh");
        gateway.listen("tls");
        let pinned = decode::find(Path::new(BPFFS)).unwrap().remove(0);
        let shown = text(&pinned.table("LISTENERS").unwrap());
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].starts_with("0 tls ipv4 ") && shown[1].starts_with("0 tls ipv6 "));
    });
}

#[test]
fn all_instances_are_found() {
    on_a_host(|| {
        let _agents = [Gateway::open("b"), Gateway::open("a")];
        let found = decode::find(Path::new(BPFFS)).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|pinned| pinned.instance.as_str())
            .collect();
        assert_eq!(names, ["a", "b"]);
    });
}

#[test]
fn maps_of_another_abi_are_named_and_their_bytes_can_be_had() {
    on_a_host(|| {
        let pinned = left_behind();
        let foreign = pinned.path.with_file_name("abi-999");
        fs::rename(&pinned.path, &foreign).unwrap();
        let pinned = decode::find(Path::new(BPFFS)).unwrap().remove(0);
        let error = pinned.table("routes").unwrap_err();
        assert!(
            matches!(&error, BpfError::ForeignAbi { path, found: 999, .. } if path.ends_with("ROUTES")),
            "{error}"
        );
        assert!(error.remedy().contains("culvert detach"));
        let raw = pinned.raw("routes").unwrap();
        assert_eq!(
            (raw.entries.len(), raw.key_bytes, raw.value_bytes),
            (1, 4, 324)
        );
        assert!(raw.hex().next().unwrap().1.starts_with("646331"), "dc1");
    });
}

#[test]
fn a_map_of_another_size_is_named_with_what_it_is() {
    on_a_host(|| {
        let pinned = left_behind();
        fs::rename(pinned.path.join("ROUTE_STATS"), pinned.path.join("ROUTES")).unwrap();
        let error = pinned.table("ROUTES").unwrap_err();
        assert!(matches!(error, BpfError::ForeignMap { .. }), "{error}");
        assert!(
            error
                .to_string()
                .contains("percpu_hash with 4 byte keys and 24 byte values")
        );
    });
}

#[test]
fn a_map_that_does_not_exist_is_an_error_with_the_names_that_do() {
    on_a_host(|| {
        let error = left_behind().table("PROTS").unwrap_err();
        assert!(error.remedy().contains("PORTS"), "{error}");
    });
}

#[test]
fn a_host_without_bpffs_is_told_to_mount_it() {
    let error = decode::find(Path::new("/proc")).unwrap_err();
    assert_eq!(error.remedy(), "mount it: `mount -t bpf bpf /proc`");
}

#[test]
fn a_fit_host_passes_the_probe() {
    on_a_host(|| {
        left_behind();
        let findings = probe::run(&settings("mesh"));
        let failed: Vec<_> = findings
            .iter()
            .filter(|one| one.level == Level::Fail)
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
        let local = findings
            .iter()
            .find(|one| one.name == "local routes")
            .unwrap();
        assert_eq!(
            local.found,
            "192.0.2.0/24, fd00:9::/64; 0 of other gateways"
        );
    });
}

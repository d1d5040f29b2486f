//! The plan against a naive reading of its rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway_common::abi::steer::Target;
use ipnet::IpNet;
use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};

use super::{Destination, Plan, PlanError, Tables};

fn to(prefix: &str, first: u16, last: u16, listener: u32) -> Destination {
    Destination {
        prefix: prefix.parse().unwrap(),
        ports: first..=last,
        listener,
        route: 0,
    }
}

/// What the kernel would answer from these tables.
fn lookup(tables: &Tables, address: IpAddr, port: u16) -> Option<Target> {
    let class = tables.ports.get(usize::from(port))?;
    let address = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let contains = |bits: u8, row: u128| {
        (row ^ address)
            .checked_shr(128 - u32::from(bits))
            .unwrap_or(0)
            == 0
    };
    let rows = tables
        .classes
        .get(class)?
        .iter()
        .filter(|(row, _)| contains(row.bits, row.address));
    rows.max_by_key(|(row, _)| row.bits)
        .map(|(_, target)| *target)
}

fn steered(destinations: &[Destination], address: &str, port: u16) -> Option<u32> {
    let tables = Tables::default()
        .after(&Plan::new(destinations).unwrap())
        .unwrap();
    lookup(&tables, address.parse().unwrap(), port).map(|target| target.listener)
}

fn refused(destinations: &[Destination]) -> Vec<PlanError> {
    Plan::new(destinations).unwrap_err()
}

#[test]
fn bits_beyond_the_prefix_are_refused_with_what_was_meant() {
    let errors = refused(&[to("192.0.2.1/24", 443, 443, 1)]);
    assert!(matches!(&errors[..], [PlanError::HostBits { network, .. }]
        if network.to_string() == "192.0.2.0/24"));
}

#[test]
fn a_range_that_ends_before_it_begins_is_refused() {
    let errors = refused(&[to("192.0.2.0/24", 444, 443, 1)]);
    assert!(matches!(
        errors[..],
        [PlanError::NoPorts {
            start: 444,
            end: 443,
            ..
        }]
    ));
}

#[test]
fn prefixes_that_take_a_whole_family_are_refused() {
    for wide in ["0.0.0.0/0", "::/0", "::/16", "::ffff:0:0/96"] {
        let errors = refused(&[to(wide, 443, 443, 1)]);
        assert!(matches!(errors[..], [PlanError::TooWide { .. }]), "{wide}");
    }
}

#[test]
fn ranges_of_one_width_that_overlap_are_a_conflict() {
    let errors = refused(&[to("192.0.2.0/24", 1, 10, 1), to("192.0.2.0/24", 5, 14, 2)]);
    assert!(matches!(&errors[..], [PlanError::Conflict { ports, .. }] if *ports == (5..=10)));
}

#[test]
fn a_narrower_range_settles_a_conflict_of_wider_ones() {
    let quarrel = [
        to("192.0.2.0/24", 5, 5, 1),
        to("192.0.2.0/24", 5, 5, 2),
        to("192.0.2.0/24", 1, 9, 3),
    ];
    assert_eq!(refused(&quarrel).len(), 1);
    let settled = [
        to("192.0.2.0/24", 4, 5, 1),
        to("192.0.2.0/24", 5, 6, 2),
        to("192.0.2.0/24", 5, 5, 3),
    ];
    assert_eq!(steered(&settled, "192.0.2.1", 5), Some(3));
}

#[test]
fn the_same_destination_twice_is_no_conflict() {
    let twice = [
        to("192.0.2.0/24", 443, 443, 1),
        to("192.0.2.0/24", 443, 443, 1),
    ];
    assert_eq!(steered(&twice, "192.0.2.9", 443), Some(1));
}

#[test]
fn a_longer_prefix_beats_a_narrower_range() {
    let both = [
        to("192.0.2.0/24", 443, 443, 1),
        to("192.0.2.128/25", 1, 65535, 2),
    ];
    assert_eq!(steered(&both, "192.0.2.200", 443), Some(2));
}

#[test]
fn the_last_port_can_be_a_destination() {
    assert_eq!(
        steered(&[to("fd00::/64", 65535, 65535, 1)], "fd00::1", 65535),
        Some(1)
    );
}

#[test]
fn a_mapped_prefix_means_the_ipv4_one() {
    let mapped = [to("::ffff:192.0.2.0/120", 443, 443, 1)];
    assert_eq!(steered(&mapped, "192.0.2.7", 443), Some(1));
    let prefixes = Plan::new(&mapped).unwrap().prefixes().clone();
    assert_eq!(
        prefixes.into_iter().collect::<Vec<IpNet>>(),
        ["192.0.2.0/24".parse().unwrap()]
    );
}

#[test]
fn an_unchanged_class_keeps_its_number_and_a_changed_one_gets_a_fresh_one() {
    let before = [
        to("192.0.2.0/24", 443, 443, 1),
        to("192.0.2.0/24", 80, 80, 1),
    ];
    let after = [
        to("192.0.2.0/24", 443, 443, 1),
        to("198.51.100.0/24", 80, 80, 2),
    ];
    let old = Tables::default()
        .after(&Plan::new(&before).unwrap())
        .unwrap();
    let new = old.after(&Plan::new(&after).unwrap()).unwrap();
    assert_eq!(new.ports[443], old.ports[443]);
    assert!(!old.classes.contains_key(&new.ports[80]));
}

/// The rules word by word: longest prefix, then narrowest range.
fn naive(destinations: &[Destination], address: IpAddr, port: u16) -> Option<Target> {
    let fits = |to: &&Destination| to.prefix.contains(&address) && to.ports.contains(&port);
    let rank = |to: &&Destination| (to.prefix.prefix_len(), u16::MAX - to.width());
    destinations
        .iter()
        .filter(fits)
        .max_by_key(rank)
        .map(Destination::target)
}

/// Destinations from few addresses and ports, so that they meet.
fn destinations() -> impl Strategy<Value = Vec<Destination>> {
    let v4 = (0..4_u32, 24..=32_u8).prop_map(|(low, bits)| {
        IpNet::new(
            IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 | (low * 77))),
            bits,
        )
        .unwrap()
    });
    let v6 = (0..4_u128, 100..=128_u8).prop_map(|(low, bits)| {
        IpNet::new(
            IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) | (low * 77))),
            bits,
        )
        .unwrap()
    });
    let ports = prop_oneof![
        (0..20_u16, 0..20_u16).prop_map(|(a, b)| a.min(b)..=a.max(b)),
        Just(0..=u16::MAX),
        Just(u16::MAX..=u16::MAX),
    ];
    let one = (prop_oneof![v4, v6], ports, 0..3_u32, 0..3_u32).prop_map(
        |(prefix, ports, listener, route)| {
            let prefix = prefix.trunc();
            Destination {
                prefix,
                ports,
                listener,
                route,
            }
        },
    );
    proptest::collection::vec(one, 0..12)
}

proptest! {
    #[test]
    fn the_kernel_would_answer_as_the_rules_say(set in destinations(), before in destinations()) {
        let Ok(plan) = Plan::new(&set) else { return Ok(()) };
        let old = Plan::new(&before).unwrap_or_default();
        let tables = Tables::default().after(&old).unwrap().after(&plan).unwrap();
        for low in 0..4_u32 {
            let v4 = IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 | (low * 77)));
            let v6 = IpAddr::V6(Ipv6Addr::from_bits((0xfd00 << 112) | (u128::from(low) * 77)));
            for port in (0..22).chain([30_000, u16::MAX]) {
                for address in [v4, v6] {
                    prop_assert_eq!(lookup(&tables, address, port), naive(&set, address, port));
                }
            }
        }
    }
}

//! From configured destinations to what `steer` looks up: pure, so that it can be tested against a naive
//! reading of the rules.
//!
//! The rules: the longest address prefix wins, then the narrower port range; what is left undecided is
//! an error of the configuration. A trie matches prefixes only, so the port space is cut at every end of
//! a range, and ports with the same destinations share a class. The kernel looks up port -> class, then
//! (class, address) -> target.
//!
//! A class that changes gets a new number: its rows are written first, then the ports
//! turn to it, then the old rows go. At no instant does a port lead to half a set of rows.
//!
//! Not here: the maps themselves (`tables`).

mod error;

use core::ops::RangeInclusive;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use gateway_common::abi::steer::{CLASS_NONE, Target};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::BpfError;

pub use error::PlanError;

/// A prefix and a range of ports whose new flows go to a listener, counted under a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Addresses; no bits set beyond its length.
    pub prefix: IpNet,
    /// TCP ports.
    pub ports: RangeInclusive<u16>,
    /// Listener id, from [`Datapath::listener_id`](super::Datapath::listener_id).
    pub listener: u32,
    /// Route id, from [`Datapath::route_id`](super::Datapath::route_id).
    pub route: u32,
}

impl Destination {
    fn target(&self) -> Target {
        Target {
            listener: self.listener,
            route: self.route,
        }
    }

    /// Number of ports less one.
    fn width(&self) -> u16 {
        self.ports.end().saturating_sub(*self.ports.start())
    }
}

/// Prefix in the trie's address space, IPv4 as mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row {
    pub(crate) address: u128,
    /// Bits of the address that count, 0 to 128.
    pub(crate) bits: u8,
}

/// Rows of one port class.
pub(crate) type Rows = BTreeMap<Row, Target>;

/// What a set of destinations asks of the kernel; class numbers are given when it is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Disjoint ranges in order, each with the index of its rows in `classes`.
    ranges: Vec<(RangeInclusive<u16>, usize)>,
    /// Different sets of rows.
    classes: Vec<Rows>,
    /// Prefixes that must be local to the host.
    prefixes: BTreeSet<IpNet>,
}

impl Plan {
    /// Works out what destinations ask for, or everything that is wrong with them.
    pub fn new(destinations: &[Destination]) -> Result<Self, Vec<PlanError>> {
        let mut errors: Vec<_> = destinations.iter().filter_map(fault).collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut plan = Self::default();
        let mut numbers = BTreeMap::new();
        for ports in cut(destinations) {
            let rows = rows_of(destinations, &ports, &mut errors);
            if rows.is_empty() {
                continue;
            }
            let key: Vec<_> = rows
                .iter()
                .map(|(row, to)| (*row, to.listener, to.route))
                .collect();
            let class = *numbers.entry(key).or_insert_with(|| {
                plan.classes.push(rows);
                plan.classes.len() - 1
            });
            plan.ranges.push((ports, class));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        plan.prefixes = destinations.iter().map(|to| plain(to.prefix)).collect();
        Ok(plan)
    }

    /// Prefixes that must be local to the host, IPv4 ones as IPv4.
    pub fn prefixes(&self) -> &BTreeSet<IpNet> {
        &self.prefixes
    }
}

/// Cuts the ports that destinations mention wherever a range begins or ends.
fn cut(destinations: &[Destination]) -> impl Iterator<Item = RangeInclusive<u16>> {
    let starts = destinations.iter().map(|to| u32::from(*to.ports.start()));
    let after = destinations.iter().map(|to| u32::from(*to.ports.end()) + 1);
    let cuts: BTreeSet<u32> = starts.chain(after).collect();
    let ends: Vec<_> = cuts.iter().skip(1).copied().collect();
    cuts.into_iter().zip(ends).filter_map(|(start, end)| {
        Some(u16::try_from(start).ok()?..=u16::try_from(end.checked_sub(1)?).ok()?)
    })
}

/// The rows of ports that no range cuts: of each prefix the narrowest range. Undecided ones are errors.
fn rows_of(
    destinations: &[Destination],
    ports: &RangeInclusive<u16>,
    errors: &mut Vec<PlanError>,
) -> Rows {
    let mut best: BTreeMap<Row, &Destination> = BTreeMap::new();
    let mut rivals = Vec::new();
    for to in destinations
        .iter()
        .filter(|to| to.ports.contains(ports.start()))
    {
        let row = Row::new(to.prefix);
        match best.get(&row) {
            Some(other) if other.width() < to.width() => {}
            Some(other) if other.width() == to.width() => {
                if other.target() != to.target() {
                    rivals.push((row, *other, to));
                }
            }
            _ => {
                best.insert(row, to);
            }
        }
    }
    // A narrower range that came later settles a quarrel of wider ones.
    let open = rivals.into_iter().filter(|(row, first, _)| {
        best.get(row)
            .is_some_and(|winner| winner.width() == first.width())
    });
    errors.extend(open.map(|(_, first, second)| PlanError::Conflict {
        first: first.clone(),
        second: second.clone(),
        ports: ports.clone(),
    }));
    best.into_iter()
        .map(|(row, to)| (row, to.target()))
        .collect()
}

impl Row {
    fn new(prefix: IpNet) -> Self {
        match prefix {
            IpNet::V4(v4) => Self {
                address: v4.network().to_ipv6_mapped().to_bits(),
                bits: 96 + v4.prefix_len(),
            },
            IpNet::V6(v6) => Self {
                address: v6.network().to_bits(),
                bits: v6.prefix_len(),
            },
        }
    }
}

/// A prefix within `::ffff:0:0/96` as the IPv4 prefix that it stands for.
fn plain(prefix: IpNet) -> IpNet {
    let IpNet::V6(v6) = prefix else { return prefix };
    let short = v6.prefix_len().checked_sub(96);
    match (v6.network().to_ipv4_mapped(), short) {
        (Some(v4), Some(bits)) => Ipv4Net::new(v4, bits).map_or(prefix, IpNet::V4),
        _ => prefix,
    }
}

/// What is wrong with one destination by itself.
fn fault(to: &Destination) -> Option<PlanError> {
    let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
    let covers_v4 = |v6: Ipv6Net| v6.prefix_len() <= 96 && v6.contains(&mapped);
    let (prefix, network) = (to.prefix, to.prefix.trunc());
    if prefix != network {
        Some(PlanError::HostBits { prefix, network })
    } else if to.ports.is_empty() {
        Some(PlanError::NoPorts {
            prefix,
            start: *to.ports.start(),
            end: *to.ports.end(),
        })
    } else if prefix.prefix_len() == 0 || matches!(prefix, IpNet::V6(v6) if covers_v4(v6)) {
        Some(PlanError::TooWide { prefix })
    } else {
        None
    }
}

/// What the kernel's `PORTS` and `DESTINATIONS` hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    /// Class by port; 65,536 of them.
    pub(crate) ports: Vec<u16>,
    pub(crate) classes: BTreeMap<u16, Rows>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            ports: vec![CLASS_NONE; 1 << 16],
            classes: BTreeMap::new(),
        }
    }
}

impl Tables {
    /// The tables that a plan asks for. Classes with the same rows keep their number, others get one
    /// that is not in use here, so that both can be in the kernel at once.
    pub(crate) fn after(&self, plan: &Plan) -> Result<Self, BpfError> {
        let mut next = Self::default();
        let mut free =
            (CLASS_NONE + 1..=u16::MAX).filter(|class| !self.classes.contains_key(class));
        let mut numbers = Vec::with_capacity(plan.classes.len());
        for rows in &plan.classes {
            let same = self.classes.iter().find(|(_, held)| *held == rows);
            let class = match same {
                Some((class, _)) => *class,
                None => free.next().ok_or(BpfError::Classes)?,
            };
            next.classes.insert(class, rows.clone());
            numbers.push(class);
        }
        for (ports, index) in &plan.ranges {
            let class = numbers.get(*index).copied().unwrap_or(CLASS_NONE);
            for port in ports.clone() {
                if let Some(slot) = next.ports.get_mut(usize::from(port)) {
                    *slot = class;
                }
            }
        }
        Ok(next)
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.classes.values().map(BTreeMap::len).sum()
    }
}

#[cfg(test)]
mod tests;

//! Members: the endpoints of a cluster at one time, built from its entries and DNS answers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::endpoint::{Endpoint, Live};
use super::{Entry, Target};
use crate::mesh::route::Health as Checked;

#[derive(Clone, Debug)]
pub(super) struct Members {
    /// The endpoints, each address once.
    pub(super) list: Arc<[Arc<Endpoint>]>,
    /// Round-robin credit of each endpoint.
    pub(super) credit: Vec<i64>,
    /// Last good answer of each host name.
    answers: Vec<(Arc<str>, Vec<IpAddr>)>,
}

impl Members {
    pub(super) fn new(entries: &[Entry]) -> Self {
        Self::build(entries, Vec::new(), &[])
    }

    /// The members under new entries; what is still there keeps its life, and where only health
    /// differs, the round robin goes on where it was.
    pub(super) fn respecified(&self, entries: &[Entry]) -> Self {
        let mut next = Self::build(entries, self.answers.clone(), &self.list);
        let turns = |members: &Self| -> Vec<(SocketAddr, u32)> {
            let of = |one: &Arc<Endpoint>| (one.address, one.share);
            members.list.iter().map(of).collect()
        };
        if turns(self) == turns(&next) {
            next.credit.clone_from(&self.credit);
        }
        next
    }

    /// Takes the answer for one host name.
    pub(super) fn resolved(&mut self, entries: &[Entry], host: &str, addresses: &[IpAddr]) {
        let mut addresses = addresses.to_vec();
        // Servers rotate their answers; the order must not look like a change.
        addresses.sort_unstable();
        addresses.dedup();
        let mut answers = std::mem::take(&mut self.answers);
        match answers.iter_mut().find(|(known, _)| &**known == host) {
            Some((_, known)) if *known == addresses => {
                self.answers = answers;
                return;
            }
            Some((_, known)) => *known = addresses,
            None => answers.push((host.into(), addresses)),
        }
        *self = Self::build(entries, answers, &self.list);
    }

    pub(super) fn is_resolved(&self, host: &str) -> bool {
        self.answers.iter().any(|(known, _)| &**known == host)
    }

    fn build(
        entries: &[Entry],
        answers: Vec<(Arc<str>, Vec<IpAddr>)>,
        previous: &[Arc<Endpoint>],
    ) -> Self {
        let addresses: Vec<_> = entries
            .iter()
            .map(|entry| addresses(entry, &answers))
            .collect();
        let any_host = entries.iter().any(|entry| host(&entry.target).is_some());
        let scale = scale(addresses.iter().map(Vec::len));
        let mut list: Vec<Endpoint> = Vec::with_capacity(entries.len());
        let mut known: HashMap<SocketAddr, usize> = HashMap::new();
        let lives: HashMap<SocketAddr, &Arc<Live>> = previous
            .iter()
            .map(|endpoint| (endpoint.address, &endpoint.live))
            .collect();

        for (entry, addresses) in entries.iter().zip(&addresses) {
            for &address in addresses {
                let share = share(entry.weight, addresses.len(), scale);
                // Two names may lead to one address: it is one endpoint, with both shares.
                // Written addresses differ, which spares the usual route the table.
                if any_host {
                    if let Some(&at) = known.get(&address) {
                        list[at].share = list[at].share.saturating_add(share);
                        // One name says that it may be used.
                        if entry.health != Checked::Down && list[at].is_down() {
                            list[at].health = entry.health;
                        }
                        continue;
                    }
                    known.insert(address, list.len());
                }
                list.push(Endpoint {
                    address,
                    host: host(&entry.target).cloned(),
                    weight: entry.weight,
                    health: entry.health,
                    share,
                    live: lives
                        .get(&address)
                        .map_or_else(Arc::default, |live| Arc::clone(live)),
                });
            }
        }
        let credit = vec![0; list.len()];
        Self {
            list: list.into_iter().map(Arc::new).collect(),
            credit,
            answers,
        }
    }
}

fn host(target: &Target) -> Option<&Arc<str>> {
    match target {
        Target::Address(_) => None,
        Target::Host { host, .. } => Some(host),
    }
}

fn addresses(entry: &Entry, answers: &[(Arc<str>, Vec<IpAddr>)]) -> Vec<SocketAddr> {
    match &entry.target {
        Target::Address(address) => vec![*address],
        Target::Host { host, port } => answers
            .iter()
            .filter(|(known, _)| known == host)
            .flat_map(|(_, addresses)| addresses)
            .map(|&address| SocketAddr::new(address, *port))
            .collect(),
    }
}

/// Shares are at most this many times a weight. 5040 is divided by 1 to 10, so that the usual
/// numbers of addresses come out exact even when they cannot all be honoured.
const MOST_SCALE: u32 = 5040;

/// The least number that each entry's count of addresses divides, if it is within bounds.
fn scale(counts: impl Iterator<Item = usize>) -> u32 {
    let mut scale: u32 = 1;
    for count in counts.filter(|&count| count > 1) {
        let count = u32::try_from(count).unwrap_or(MOST_SCALE);
        match scale.checked_mul(count / gcd(scale, count)) {
            Some(multiple) if multiple <= MOST_SCALE => scale = multiple,
            _ => return MOST_SCALE,
        }
    }
    scale
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One address's part of its entry's weight.
fn share(weight: u32, addresses: usize, scale: u32) -> u32 {
    let addresses = u32::try_from(addresses).unwrap_or(u32::MAX).max(1);
    (weight.saturating_mul(scale) / addresses).max(1)
}

//! Descriptors, and the kernel's own bounds.

use rustix::process::{Resource, getrlimit};

use super::{Finding, sysctl};
use crate::control::snapshot::Limits;
use crate::sys::descriptors::{Budget, budget};

pub(super) fn findings(limits: &Limits) -> Vec<Finding> {
    // The agent raises its soft limit to the hard one when it starts.
    let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let mut findings = vec![connections(
        &budget(descriptors, limits.connections),
        limits,
    )];
    findings.extend(sysctl("net.core.somaxconn").map(|most| backlog(most, limits.backlog)));
    findings
}

/// Fewer connections than this, computed from the limit, are hardly meant.
const FEW: u64 = 1000;

pub(super) fn connections(budget: &Budget, limits: &Limits) -> Finding {
    let name = "connection limit";
    let (connections, descriptors) = (budget.connections, budget.descriptors);
    let found = format!("{connections} connections with {descriptors} descriptors");
    let raise = "raise the hard descriptor limit: LimitNOFILE= in the unit, or ulimit -Hn";
    match limits.connections {
        Some(wanted) if wanted > connections => {
            let found = format!("{found}, {wanted} are configured");
            Finding::fail(name, found, format!("{raise}, or lower limits.connections"))
        }
        Some(_) => Finding::ok(name, format!("{found}, as configured")),
        None if connections < FEW => Finding::warn(name, found, raise),
        None => Finding::ok(name, found),
    }
}

pub(super) fn backlog(most: u64, wanted: u32) -> Finding {
    let name = "accept queue";
    let found = format!("limits.backlog is {wanted}, net.core.somaxconn is {most}");
    if u64::from(wanted) <= most {
        return Finding::ok(name, found);
    }
    let remedy = format!("sysctl -w net.core.somaxconn={wanted}, or lower limits.backlog");
    Finding::warn(name, format!("{found}: the kernel cuts it"), remedy)
}

//! The descriptor limit of this process, and what it means for the number of connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept for everything but connections: listeners, admin clients, BPF maps and links,
/// DNS, log files, epoll.
pub const RESERVED: u64 = 512;

/// How many descriptors one connection is planned with: two sockets, and a share of the pipes (a
/// direction that moves bulk data holds a pipe, two descriptors, while it does).
const PER_CONNECTION: u64 = 3;

/// What the descriptor limit allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Budget {
    /// Descriptors this process may have open.
    pub descriptors: u64,
    /// Connections that may be open at once.
    pub connections: u64,
    /// Pipes that may be open at once; beyond it directions are copied through buffers.
    pub pipes: u64,
}

/// Raises the soft descriptor limit to the hard one and returns the limit in force.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        return limit.maximum.unwrap_or(u64::MAX);
    }
    limit.current.unwrap_or(u64::MAX)
}

/// Divides `descriptors` between connections and pipes. `configured` overrides the number of
/// connections, as far as two sockets each fit; pipes get what is left.
#[must_use]
pub fn budget(descriptors: u64, configured: Option<u64>) -> Budget {
    let free = descriptors.saturating_sub(RESERVED.min(descriptors / 2));
    let most = (free / 2).max(1);
    let connections = configured.unwrap_or(free / PER_CONNECTION).clamp(1, most);
    let pipes = free.saturating_sub(connections * 2) / 2;
    Budget {
        descriptors,
        connections,
        pipes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_and_pipes_never_exceed_the_descriptors() {
        for descriptors in [64, 1024, 20_000, 1_048_576] {
            for configured in [None, Some(1), Some(500), Some(u64::MAX)] {
                let budget = budget(descriptors, configured);
                assert!(
                    budget.connections * 2 + budget.pipes * 2 <= descriptors,
                    "{budget:?}"
                );
                assert!(budget.connections >= 1);
            }
        }
    }

    #[test]
    fn a_configured_number_is_kept_when_it_fits() {
        assert_eq!(budget(20_000, Some(9_000)).connections, 9_000);
        assert_eq!(budget(20_000, None).connections, 6_496);
    }
}

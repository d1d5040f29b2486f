//! What can be wrong with configured destinations, in words for who wrote them.

use core::{error::Error, fmt, ops::RangeInclusive};

use ipnet::IpNet;

use super::Destination;

/// What is wrong with configured destinations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// Bits are set beyond the prefix's length.
    HostBits {
        /// As configured.
        prefix: IpNet,
        /// What was probably meant.
        network: IpNet,
    },
    /// The range of ports ends before it begins.
    NoPorts {
        /// Its prefix.
        prefix: IpNet,
        /// First port.
        start: u16,
        /// Last port.
        end: u16,
    },
    /// The prefix would make every address of a family local to this host.
    TooWide {
        /// As configured.
        prefix: IpNet,
    },
    /// Same prefix, ranges of the same width that overlap, different targets.
    Conflict {
        /// One of the two.
        first: Destination,
        /// The other.
        second: Destination,
        /// Some of the ports that both claim.
        ports: RangeInclusive<u16>,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostBits { prefix, network } => {
                write!(
                    f,
                    "destination {prefix} has bits set beyond its length: write {network}"
                )
            }
            Self::NoPorts { prefix, start, end } => {
                write!(
                    f,
                    "destination {prefix} has ports {start}-{end}, which are none"
                )
            }
            Self::TooWide { prefix } => write!(
                f,
                "destination {prefix} would make every address local to this host: narrow it"
            ),
            Self::Conflict {
                first,
                second,
                ports,
            } => {
                let Destination {
                    prefix, ports: a, ..
                } = first;
                let ((a0, a1), b) = ((a.start(), a.end()), &second.ports);
                write!(
                    f,
                    "destinations {prefix} ports {a0}-{a1} and {}-{} both claim ports {}-{}: \
                     make one range narrower or the prefix longer",
                    b.start(),
                    b.end(),
                    ports.start(),
                    ports.end()
                )
            }
        }
    }
}

impl Error for PlanError {}

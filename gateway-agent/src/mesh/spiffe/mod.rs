//! The names that certificates of the mesh carry: SPIFFE identifiers in Consul's forms.
//!
//! | holder | path |
//! |---|---|
//! | service | `/ns/<namespace>/dc/<datacenter>/svc/<name>` |
//! | mesh gateway | `/gateway/mesh/dc/<datacenter>` |
//! | agent | `/agent/client/dc/<datacenter>/id/<node>` |
//! | server | `/agent/server/dc/<datacenter>` |
//!
//! `/ap/<partition>` stands before the first three when the partition is not `default`. A form that
//! is not listed is refused, as is whatever a SPIFFE identifier must not have (query, fragment, user,
//! port): an identity that is read leniently is one that can be forged. Not here: certificates.

use std::fmt;
use std::str::FromStr;

mod escape;
#[cfg(test)]
mod tests;

use escape::{Escaped, decoded};

/// Longest identifier. SPIFFE-ID section 2.3: 2048 bytes must be supported, and no more.
const MAX_LENGTH: usize = 2048;

const DEFAULT: &str = "default";

/// Who a certificate says its holder is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpiffeId {
    /// An instance of a service.
    Service {
        /// The federation, or the peer's.
        trust_domain: TrustDomain,
        /// `default` without partitions.
        partition: String,
        /// `default` without namespaces.
        namespace: String,
        /// Where the instance is.
        datacenter: String,
        /// The service's name.
        service: String,
    },
    /// A mesh gateway.
    MeshGateway {
        /// The federation, or the peer's.
        trust_domain: TrustDomain,
        /// `default` without partitions.
        partition: String,
        /// Where the gateway is.
        datacenter: String,
    },
    /// An agent in client mode.
    Agent {
        /// The federation.
        trust_domain: TrustDomain,
        /// `default` without partitions.
        partition: String,
        /// Where the agent is.
        datacenter: String,
        /// The agent's node.
        node: String,
    },
    /// Any server of a datacenter.
    Server {
        /// The federation.
        trust_domain: TrustDomain,
        /// Where the server is.
        datacenter: String,
    },
}

impl SpiffeId {
    /// The part before the path.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        match self {
            Self::Service { trust_domain, .. }
            | Self::MeshGateway { trust_domain, .. }
            | Self::Agent { trust_domain, .. }
            | Self::Server { trust_domain, .. } => trust_domain,
        }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_LENGTH {
            return Err(SpiffeError::TooLong);
        }
        let rest = after_scheme(text).ok_or(SpiffeError::Scheme)?;
        let (trust_domain, path) = rest.split_once('/').unwrap_or((rest, ""));
        let trust_domain = trust_domain.parse()?;
        let parts: Vec<&str> = path.split('/').collect();
        // All are looked at before the form is, so that a bad character is told as one.
        for part in &parts {
            decoded(part)?;
        }
        let (partition, parts) = match parts.as_slice() {
            ["ap", partition, rest @ ..] => (Some(*partition), rest),
            rest => (None, rest),
        };
        let with_partition = || decoded(partition.unwrap_or(DEFAULT));
        Ok(match *parts {
            ["ns", namespace, "dc", datacenter, "svc", service] => Self::Service {
                trust_domain,
                partition: with_partition()?,
                namespace: decoded(namespace)?,
                datacenter: decoded(datacenter)?,
                service: decoded(service)?,
            },
            ["gateway", "mesh", "dc", datacenter] => Self::MeshGateway {
                trust_domain,
                partition: with_partition()?,
                datacenter: decoded(datacenter)?,
            },
            ["agent", "client", "dc", datacenter, "id", node] => Self::Agent {
                trust_domain,
                partition: with_partition()?,
                datacenter: decoded(datacenter)?,
                node: decoded(node)?,
            },
            ["agent", "server", "dc", datacenter] if partition.is_none() => Self::Server {
                trust_domain,
                datacenter: decoded(datacenter)?,
            },
            _ => return Err(SpiffeError::Form),
        })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}", self.trust_domain())?;
        match self {
            Self::Service {
                partition,
                namespace,
                datacenter,
                service,
                ..
            } => {
                write_partition(f, partition)?;
                let (namespace, datacenter) = (Escaped(namespace), Escaped(datacenter));
                write!(
                    f,
                    "/ns/{namespace}/dc/{datacenter}/svc/{}",
                    Escaped(service)
                )
            }
            Self::MeshGateway {
                partition,
                datacenter,
                ..
            } => {
                write_partition(f, partition)?;
                write!(f, "/gateway/mesh/dc/{}", Escaped(datacenter))
            }
            Self::Agent {
                partition,
                datacenter,
                node,
                ..
            } => {
                write_partition(f, partition)?;
                write!(
                    f,
                    "/agent/client/dc/{}/id/{}",
                    Escaped(datacenter),
                    Escaped(node)
                )
            }
            Self::Server { datacenter, .. } => {
                write!(f, "/agent/server/dc/{}", Escaped(datacenter))
            }
        }
    }
}

/// The federation that vouches for an identity. Kept in lower case: it is compared without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        // SPIFFE-ID section 2.1. What is not listed would be a user, a port, or an escape.
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > 255 || !text.bytes().all(known) {
            return Err(SpiffeError::TrustDomain);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no identity of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpiffeError {
    /// It does not start with `spiffe://`.
    Scheme,
    /// The trust domain has other characters than letters, digits, dots, dashes and underscores.
    TrustDomain,
    /// A part of the path is empty.
    EmptyPart,
    /// A part of the path has a character that must be escaped, or a query or a fragment follows.
    Character,
    /// An escape is not two hexadecimal digits, or the escapes do not make up UTF-8.
    Escape,
    /// The path has none of the known forms.
    Form,
    /// It is longer than SPIFFE allows.
    TooLong,
}

impl fmt::Display for SpiffeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "a SPIFFE identifier must start with `spiffe://`",
            Self::TrustDomain => {
                "the trust domain must be letters, digits, dots, dashes and underscores, \
                 without a user or a port"
            }
            Self::EmptyPart => "a part of the SPIFFE identifier's path is empty",
            Self::Character => {
                "the SPIFFE identifier's path has a character that must be escaped; \
                 a query or a fragment is not allowed"
            }
            Self::Escape => "an escape in the SPIFFE identifier's path does not stand for text",
            Self::Form => {
                "the SPIFFE identifier's path is not that of a service, a mesh gateway, an agent \
                 or a server"
            }
            Self::TooLong => "the SPIFFE identifier is longer than 2048 bytes",
        })
    }
}

impl std::error::Error for SpiffeError {}

fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked("spiffe://".len())?;
    scheme.eq_ignore_ascii_case("spiffe://").then_some(rest)
}

fn write_partition(f: &mut fmt::Formatter<'_>, partition: &str) -> fmt::Result {
    if partition == DEFAULT {
        return Ok(());
    }
    write!(f, "/ap/{}", Escaped(partition))
}

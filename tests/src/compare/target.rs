//! What is compared: plain routing, culvert with each engine, and other gateways.

use std::fmt;

use anyhow::{Result, bail};
use gateway_tests::engines::ENGINES;

/// One contender, or the ceiling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The kernel of the gateway's namespace forwards packets: no gateway at all.
    Routing,
    /// culvert with one engine preferred.
    Culvert { engine: String },
    /// Another gateway.
    Peer(Peer),
}

/// Other gateways that route TLS by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    HaProxy,
    Nginx,
    SniProxy,
    Envoy,
}

const PEERS: [Peer; 4] = [Peer::Envoy, Peer::HaProxy, Peer::Nginx, Peer::SniProxy];

/// Before the name of an engine, in the name of a target.
const CULVERT: &str = "culvert-";

impl Target {
    /// Everything but routing, which always runs.
    pub(crate) fn contenders() -> Vec<Self> {
        let engines = ENGINES.iter().map(|&engine| Self::Culvert {
            engine: engine.to_owned(),
        });
        engines.chain(PEERS.map(Self::Peer)).collect()
    }

    /// The target of that name; an engine need not be known here.
    pub(crate) fn named(name: &str) -> Result<Self> {
        if name == "routing" {
            return Ok(Self::Routing);
        }
        if let Some(engine) = name.strip_prefix(CULVERT) {
            return Ok(Self::Culvert {
                engine: engine.to_owned(),
            });
        }
        let peer = PEERS.into_iter().find(|peer| peer.program() == name);
        let Some(peer) = peer else {
            let known: Vec<String> = Self::contenders().iter().map(Self::to_string).collect();
            bail!(
                "no target is named {name}: there are routing, {}",
                known.join(", ")
            );
        };
        Ok(Self::Peer(peer))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routing => formatter.write_str("routing"),
            Self::Culvert { engine } => write!(formatter, "{CULVERT}{engine}"),
            Self::Peer(peer) => formatter.write_str(peer.program()),
        }
    }
}

impl Peer {
    /// The name of its program, and of its target.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx",
            Self::SniProxy => "sniproxy",
            Self::Envoy => "envoy",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn every_target_is_found_by_its_name() {
        for target in Target::contenders() {
            assert_eq!(Target::named(&target.to_string()).unwrap(), target);
        }
        assert_eq!(Target::named("routing").unwrap(), Target::Routing);
    }

    #[test]
    fn an_engine_is_taken_by_name_and_a_peer_must_be_known() {
        assert_eq!(
            Target::named("culvert-new").unwrap().to_string(),
            "culvert-new"
        );
        let error = Target::named("traefik").unwrap_err().to_string();
        assert!(error.contains("haproxy"), "{error}");
    }
}

//! The mesh's programme: one change of state after the other, and what must come of each.

use std::fmt;

use gateway_tests::mesh::net::{Datacenter, SPARE};
use gateway_tests::mesh::state::State;
use gateway_tests::mesh::{NEIGHBOUR, identity};

/// One change of the mesh's state, and who must answer afterwards.
pub(super) struct Step {
    /// What is changed, and what comes of it.
    pub(super) change: &'static str,
    pub(super) apply: fn(&mut State),
    pub(super) client: Client,
    /// The upstream that the client then asks for.
    pub(super) upstream: &'static str,
    /// The gateways on the way.
    pub(super) gateways: &'static [Datacenter],
    pub(super) expected: Answered,
}

/// What dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// A TLS client that plays the part of a sidecar.
    Sidecar,
    /// `openssl s_client`, with a server name in upper case.
    OpenSsl,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sidecar => "client",
            Self::OpenSsl => "openssl",
        })
    }
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// These instances, in the order of their names.
    Instances(Vec<String>),
    /// Somebody with this identity, whom the client refused.
    Stranger(String),
    /// Nobody; what was heard instead.
    Nobody(String),
}

const NEAR_AND_FAR: &[Datacenter] = &Datacenter::BOTH;
const FAR: &[Datacenter] = &[Datacenter::Dc2];
const NONE: &[Datacenter] = &[];

/// All steps, in order.
pub(super) fn steps() -> Vec<Step> {
    modes().into_iter().chain(health()).collect()
}

fn modes() -> [Step; 5] {
    [
        Step {
            change: "as started, mode local: the client dials its own gateway",
            apply: |_state| (),
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-1", "web-2"]),
        },
        Step {
            change: "mode remote: the client dials the gateway of dc2 itself",
            apply: |state| state.mode = "remote",
            client: Client::Sidecar,
            upstream: "web",
            gateways: FAR,
            expected: instances(&["web-1", "web-2"]),
        },
        Step {
            change: "mode none: web's own address is billing's in dc1, and its client tells them apart",
            apply: |state| {
                state.mode = "none";
                // One address is enough to go astray.
                state.instance("web-2").status = "critical";
            },
            client: Client::Sidecar,
            upstream: "web",
            gateways: NONE,
            expected: Answered::Stranger(identity(Datacenter::Dc1, NEIGHBOUR)),
        },
        Step {
            change: "mode none: api has an address on the WAN and needs no gateway",
            apply: |state| state.instance("web-2").status = "passing",
            client: Client::Sidecar,
            upstream: "api",
            gateways: NONE,
            expected: instances(&["api-1"]),
        },
        Step {
            change: "mode local again, web's default subset is v2: version 2 alone answers",
            apply: |state| {
                state.mode = "local";
                state.default_subset = Some("v2");
            },
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-2"]),
        },
    ]
}

fn health() -> [Step; 6] {
    [
        Step {
            change: "no subset, web-1 held back (maintenance): all go to web-2",
            apply: |state| {
                state.default_subset = None;
                state.instance("web-1").maintenance = true;
            },
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-2"]),
        },
        Step {
            change: "web-1 back, a check of web-2 critical: all go to web-1",
            apply: |state| {
                state.instance("web-1").maintenance = false;
                state.instance("web-2").status = "critical";
            },
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-1"]),
        },
        Step {
            change: "web-1 critical, too: nobody is up, so the gateway tries all",
            apply: |state| state.instance("web-1").status = "critical",
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-1", "web-2"]),
        },
        Step {
            change: "gateway of dc2 moved to another WAN address: new connections follow",
            apply: |state| state.gateway = SPARE,
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-1", "web-2"]),
        },
        Step {
            change: "all checks pass again: as at the start",
            apply: |state| {
                state.instance("web-1").status = "passing";
                state.instance("web-2").status = "passing";
            },
            client: Client::Sidecar,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-1", "web-2"]),
        },
        Step {
            change: "openssl s_client asks for the name in upper case",
            apply: |_state| (),
            client: Client::OpenSsl,
            upstream: "web",
            gateways: NEAR_AND_FAR,
            expected: instances(&["web-1", "web-2"]),
        },
    ]
}

fn instances(names: &[&str]) -> Answered {
    Answered::Instances(names.iter().map(|&name| name.to_owned()).collect())
}

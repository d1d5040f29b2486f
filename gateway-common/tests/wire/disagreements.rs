//! Where other parsers rightly say something else, each kind with its reason.

use gateway_common::limits::MAX_SERVER_NAME;
use gateway_common::wire::{HelloError, Preamble, ServerName, ServerNameError};

use crate::differential::Verdict;
use crate::drive::Outcome;

/// A kind of disagreement that is right as it is.
pub(crate) struct Disagreement {
    pub(crate) reason: &'static str,
    pub(crate) fits: fn(&Outcome, &Verdict) -> bool,
}

/// With rustls' acceptor.
pub(crate) const RUSTLS: &[Disagreement] = &[
    Disagreement {
        reason: "rustls waits for the end of the record, this reader for the end of the hello",
        fits: |ours, theirs| complete(ours) && matches!(theirs, Verdict::Incomplete),
    },
    Disagreement {
        reason: "rustls judges a record when it is whole, this reader as soon as it can",
        fits: |ours, theirs| refused(ours) && matches!(theirs, Verdict::Incomplete),
    },
    Disagreement {
        reason: "rustls judges a record's type without the rest of its header",
        fits: |ours, theirs| incomplete(ours) && theirs.refused_for(&["InvalidContentType"]),
    },
    Disagreement {
        reason: "compression and signature schemes are for the server to judge",
        fits: |ours, theirs| complete(ours) && theirs.refused_for(&["PeerIncompatible("]),
    },
    Disagreement {
        reason: "extensions that decide nothing here are for the server to judge",
        fits: |ours, theirs| {
            let kinds = [
                "MessageTooShort",
                "MissingData",
                "TrailingData",
                "IllegalEmpty",
                "NoSignature",
            ];
            complete(ours) && theirs.refused_for(&kinds)
        },
    },
    Disagreement {
        reason: "what follows the hello in its record is for the server to judge",
        fits: |ours, theirs| {
            let kinds = ["KeyEpochWithPendingFragment", "HandshakePayloadTooLarge"];
            complete(ours) && theirs.refused_for(&kinds)
        },
    },
    Disagreement {
        reason: "rustls buffers 64 KiB of wire bytes, this reader counts those of the message",
        fits: |ours, theirs| !refused(ours) && theirs.refused_for(&["message buffer full"]),
    },
    Disagreement {
        reason: "rustls wants no hyphen at either end of a label; such names are in use",
        fits: |ours, theirs| {
            let hyphen = |label: &str| label.starts_with('-') || label.ends_with('-');
            theirs.refused_for(&["ServerNameMustContainOneHostName"])
                && name(ours).is_some_and(|name| name.as_str().split('.').any(hyphen))
        },
    },
    Disagreement {
        reason: "rustls counts the trailing dot into the 253 bytes of a name",
        fits: |ours, theirs| {
            theirs.refused_for(&["ServerNameMustContainOneHostName"])
                && name(ours).is_some_and(|name| name.as_str().len() == MAX_SERVER_NAME)
        },
    },
    Disagreement {
        reason: "rustls takes an address for no name; here it must not fall to a default route",
        fits: |ours, theirs| {
            matches!(
                ours,
                Outcome::Refused(HelloError::ServerName(ServerNameError::IpLiteral))
            ) && theirs.accepted_name() == Some(None)
        },
    },
    Disagreement {
        reason: "rustls stops at a name of another type; a server that went on would see another",
        fits: |ours, theirs| malformed(ours, &["server name type"]) && theirs.accepted(),
    },
    Disagreement {
        reason: "rustls has memory for any number of extensions",
        fits: |ours, theirs| {
            matches!(ours, Outcome::Refused(HelloError::TooManyExtensions)) && theirs.accepted()
        },
    },
];

/// With tls-parser.
pub(crate) const TLS_PARSER: &[Disagreement] = &[
    Disagreement {
        reason: "tls-parser waits for the end of the record, this reader for the end of the hello",
        fits: |ours, theirs| complete(ours) && matches!(theirs, Verdict::Incomplete),
    },
    Disagreement {
        reason: "tls-parser judges records and messages when they are whole",
        fits: |ours, theirs| refused(ours) && matches!(theirs, Verdict::Incomplete),
    },
    Disagreement {
        reason: "tls-parser stops at the first extension whose content it cannot read",
        fits: |ours, theirs| complete(ours) && theirs.refused_for(&["after the extensions"]),
    },
    Disagreement {
        reason: "tls-parser takes a record of any version",
        fits: |ours, theirs| {
            use HelloError::{NotTls, RecordVersion};
            theirs.accepted()
                && matches!(
                    ours,
                    Outcome::Refused(RecordVersion { .. } | NotTls(Preamble::Unknown(_)))
                )
        },
    },
    Disagreement {
        reason: "tls-parser does not bound or compare extensions",
        fits: |ours, theirs| {
            use HelloError::{DuplicateExtension, TooManyExtensions};
            theirs.accepted()
                && matches!(
                    ours,
                    Outcome::Refused(DuplicateExtension(_) | TooManyExtensions)
                )
        },
    },
    Disagreement {
        reason: "tls-parser hands names over unjudged",
        fits: |ours, theirs| {
            theirs.accepted()
                && (malformed(ours, &["server name type", "server name list"])
                    || matches!(
                        ours,
                        Outcome::Refused(HelloError::ServerName(_) | HelloError::TwoNames)
                    ))
        },
    },
    Disagreement {
        reason: "tls-parser takes empty lists, half entries and bytes after the end",
        fits: |ours, theirs| {
            let fields = [
                "cipher suites",
                "compression methods",
                "extensions",
                "end of hello",
            ];
            let lists = ["protocol list", "protocol", "supported versions"];
            theirs.accepted() && (malformed(ours, &fields) || malformed(ours, &lists))
        },
    },
    Disagreement {
        reason: "tls-parser does not look into key shares and ECH",
        fits: |ours, theirs| {
            let fields = [
                "key shares",
                "key share group",
                "key share",
                "encrypted client hello",
            ];
            theirs.accepted() && malformed(ours, &fields)
        },
    },
];

fn complete(ours: &Outcome) -> bool {
    matches!(ours, Outcome::Complete(_))
}

fn incomplete(ours: &Outcome) -> bool {
    matches!(ours, Outcome::Incomplete { .. })
}

fn refused(ours: &Outcome) -> bool {
    matches!(ours, Outcome::Refused(_))
}

fn malformed(ours: &Outcome, fields: &[&str]) -> bool {
    match ours {
        Outcome::Refused(HelloError::Malformed(malformed)) => fields.contains(&malformed.what),
        _ => false,
    }
}

fn name(ours: &Outcome) -> Option<ServerName> {
    match ours {
        Outcome::Complete(summary) => summary.server_name,
        _ => None,
    }
}

impl Verdict {
    fn accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }

    fn accepted_name(&self) -> Option<Option<&str>> {
        match self {
            Self::Accepted(essence) => Some(essence.server_name.as_deref()),
            _ => None,
        }
    }

    fn refused_for(&self, kinds: &[&str]) -> bool {
        match self {
            Self::Refused(error) => kinds.iter().any(|kind| error.contains(kind)),
            _ => false,
        }
    }
}

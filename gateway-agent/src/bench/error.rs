//! Everything that may go wrong in a run, in words for the person who started it.

use core::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::AlertDescription;

use super::pattern::Fault;
use super::wire::{Limit, WireError};

/// Why a run or one of its streams failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// The address is no address and no name with one.
    Resolve { target: String, error: io::Error },
    /// Nobody accepts connections there.
    Connect {
        address: SocketAddr,
        error: io::Error,
    },
    /// A setting cannot be used.
    Setting(String),
    /// Something of this host is not to be had: a socket, a timer, a file.
    Local {
        doing: &'static str,
        error: io::Error,
    },
    /// The gateway, or what is behind it, refused the hello with a TLS alert.
    Alert { name: String, alert: String },
    /// The connection ended after the hello and before the answer.
    NoAnswer { name: String, reset: bool },
    /// Nothing came after the hello for so long.
    Silent { name: String, waited: Duration },
    /// Something else than a bench server answered.
    NotBench { name: String, saw: String },
    /// TLS failed otherwise.
    Tls(String),
    /// The far end cannot be understood.
    Wire(WireError),
    /// The server's limit was in the way.
    Limit(Limit),
    /// Bytes are wrong.
    Fault { way: Way, fault: Fault },
    /// The stream ended before its end mark.
    Cut { way: Way, offset: u64 },
    /// The connection broke.
    Broken { way: Way, error: io::Error },
    /// Lengths or sums of the two ends differ although every byte was right where it came in.
    Sums { way: Way, sent: u64, received: u64 },
    /// Nothing moved for so long.
    Stalled { waited: Duration, moved: u64 },
    /// The run ended without a byte of payload.
    Nothing,
}

/// Which way a payload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Upload,
    Download,
}

impl Error {
    /// Whether what is needed could not be reached at all.
    pub(crate) const fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Resolve { .. } | Self::Connect { .. } | Self::Local { .. }
        )
    }

    /// Whether a setting of the caller is to blame.
    pub(crate) const fn is_usage(&self) -> bool {
        matches!(self, Self::Setting(_))
    }

    /// What an alert means that came instead of an answer to a hello for `name`.
    pub(super) fn alert(name: &str, alert: AlertDescription) -> Self {
        Self::Alert {
            name: name.to_owned(),
            alert: alert_name(alert),
        }
    }
}

/// The name that the RFCs give an alert: ours for those that gateways send, since rustls spells some
/// in its own way.
fn alert_name(alert: AlertDescription) -> String {
    use gateway_common::wire::Alert;
    let ours = [
        Alert::HandshakeFailure,
        Alert::AccessDenied,
        Alert::DecodeError,
        Alert::ProtocolVersion,
        Alert::InternalError,
        Alert::UnrecognizedName,
    ];
    let ours = ours.into_iter().find(|ours| *ours as u8 == u8::from(alert));
    let theirs = || snake_case(&format!("{alert:?}"));
    ours.map_or_else(theirs, |ours| ours.name().to_owned())
}

/// `BadCertificate` as the RFC writes it: `bad_certificate`.
fn snake_case(camel: &str) -> String {
    let mut text = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

/// What an alert usually says about a gateway.
fn meaning(alert: &str) -> &'static str {
    match alert {
        "unrecognized_name" => ": no route has this name; `culvert routes` lists those there are",
        "access_denied" => ": a rule denies this client; `culvert explain NAME --from IP` tells it",
        "internal_error" => {
            ": no endpoint of the route answers, or the gateway failed; see its log"
        }
        "decode_error" | "protocol_version" => ": it could not read the hello",
        _ => "",
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Upload => "upload",
            Self::Download => "download",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &Duration| humantime::format_duration(*time).to_string();
        match self {
            Self::Resolve { target, error } => write!(
                f,
                "cannot resolve {target}: {error}; expected an address and a port, such as \
                 10.1.0.1:8443, [fd00::1]:8443 or gateway.example.com:8443"
            ),
            Self::Connect { address, error } => {
                write!(f, "cannot connect to {address}: {error}")?;
                match error.kind() {
                    io::ErrorKind::ConnectionRefused => f.write_str("; no gateway listens there"),
                    io::ErrorKind::TimedOut => {
                        f.write_str("; no host there, or a firewall in between")
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        f.write_str("; this host has no free port left towards it")
                    }
                    _ => Ok(()),
                }
            }
            Self::Setting(text) => f.write_str(text),
            Self::Local { doing, error } => write!(f, "cannot {doing}: {error}"),
            Self::Alert { name, alert } => write!(
                f,
                "refused for {name} with the TLS alert {alert}{}",
                meaning(alert)
            ),
            Self::NoAnswer { name, reset } => {
                let how = if *reset { "reset" } else { "closed" };
                write!(
                    f,
                    "the connection for {name} was {how} without an answer: the gateway refused \
                     it, which its access log tells, or no `culvert bench server` is behind the \
                     name"
                )
            }
            Self::Silent { name, waited } => write!(
                f,
                "no answer for {name} within {} (--timeout): is a `culvert bench server` behind \
                 the name?",
                time(waited)
            ),
            Self::NotBench { name, saw } => write!(
                f,
                "what answers for {name} is no `culvert bench server`: it sent {saw}"
            ),
            Self::Tls(text) => write!(f, "TLS: {text}"),
            Self::Wire(error) => error.fmt(f),
            Self::Limit(limit) => write!(f, "the server has a limit in the way: {limit}"),
            Self::Fault { way, fault } => write!(f, "WRONG BYTES in the {way}: {fault}"),
            Self::Cut { way, offset } => write!(
                f,
                "the {way} ended too early: the connection was closed after {offset} bytes"
            ),
            Self::Broken { way, error } => write!(f, "the {way} broke: {error}"),
            Self::Sums {
                way,
                sent,
                received,
            } => write!(
                f,
                "SUMS DIFFER for the {way}: {sent} bytes sent, {received} received"
            ),
            Self::Stalled { waited, moved } => write!(
                f,
                "nothing moved for {} (--timeout), after {moved} bytes both ways",
                time(waited)
            ),
            Self::Nothing => f.write_str("not one byte of payload came through"),
        }
    }
}

impl core::error::Error for Error {}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_has_the_name_that_the_rfc_gives_it_and_a_hint() {
        let error = Error::alert("a.example.com", AlertDescription::from(112));
        assert_eq!(
            error.to_string(),
            "refused for a.example.com with the TLS alert unrecognized_name: no route has this \
             name; `culvert routes` lists those there are"
        );
    }
}

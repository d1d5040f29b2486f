//! Every reason to refuse a hello, each with a text for people and a label for metrics.
//!
//! All are faults of what the client sent; none says that more bytes are needed, which is
//! [`Progress::Incomplete`](super::Progress::Incomplete). Which alert answers which reason is the
//! data path's choice.

use core::fmt;

use super::{Malformed, Preamble, ServerNameError};
use crate::limits::MAX_EXTENSIONS;

/// Why what a client sent is not a ClientHello that can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HelloError {
    /// The first bytes are not those of a TLS record.
    NotTls(Preamble),
    /// An alert where the hello should be: the client gave up before it began.
    UnexpectedAlert,
    /// A record of another content type than handshake before the hello was complete.
    RecordType {
        /// Which record, from 1.
        record: u32,
        /// Its content type.
        content_type: u8,
    },
    /// A record whose major version is not the 3 of SSL 3 and all of TLS.
    RecordVersion {
        /// Which record, from 1.
        record: u32,
        /// Its version field.
        version: u16,
    },
    /// A record that is empty or of more than 2^14 bytes (RFC 8446 section 5.1).
    RecordLength {
        /// Which record, from 1.
        record: u32,
        /// Its length field.
        length: u16,
    },
    /// A handshake message of another type where the hello should be.
    NotClientHello(u8),
    /// The hello announces more bytes than the limit in force.
    TooLarge {
        /// Bytes announced, with the 4-byte handshake header.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A field that is cut short or otherwise not as its RFC says.
    Malformed(Malformed),
    /// The same extension twice (RFC 8446 section 4.2 forbids it).
    DuplicateExtension(u16),
    /// More extensions than [`MAX_EXTENSIONS`].
    TooManyExtensions,
    /// Two host names in one server_name extension (RFC 6066 section 3 forbids it).
    TwoNames,
    /// The host name is not one.
    ServerName(ServerNameError),
}

impl HelloError {
    /// The reason as a metric label: one of a fixed set, never the client's own bytes.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotTls(preamble) => preamble.label(),
            Self::UnexpectedAlert => "unexpected_alert",
            Self::RecordType { .. } => "record_type",
            Self::RecordVersion { .. } => "record_version",
            Self::RecordLength { .. } => "record_length",
            Self::NotClientHello(_) => "not_client_hello",
            Self::TooLarge { .. } => "hello_too_large",
            Self::Malformed(_) => "malformed_hello",
            Self::DuplicateExtension(_) => "duplicate_extension",
            Self::TooManyExtensions => "too_many_extensions",
            Self::TwoNames => "two_names",
            Self::ServerName(error) => error.label(),
        }
    }
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls(preamble) => write!(f, "client speaks {preamble}, not TLS"),
            Self::UnexpectedAlert => f.write_str("client sent an alert instead of a hello"),
            Self::RecordType {
                record,
                content_type,
            } => {
                write!(
                    f,
                    "record {record} has content type {content_type}, not handshake"
                )
            }
            Self::RecordVersion { record, version } => {
                write!(
                    f,
                    "record {record} has version {version:#06x}, not one of TLS"
                )
            }
            Self::RecordLength { record, length } => {
                write!(f, "record {record} has length {length}, not 1 to 16384")
            }
            Self::NotClientHello(kind) => {
                write!(f, "first handshake message is of type {kind}, not a hello")
            }
            Self::TooLarge { length, limit } => {
                write!(f, "hello of {length} bytes is over the limit of {limit}")
            }
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::DuplicateExtension(kind) => write!(f, "hello has extension {kind} twice"),
            Self::TooManyExtensions => {
                write!(f, "hello has more than {MAX_EXTENSIONS} extensions")
            }
            Self::TwoNames => f.write_str("hello has two server names"),
            Self::ServerName(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for HelloError {}

impl From<Malformed> for HelloError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<ServerNameError> for HelloError {
    fn from(error: ServerNameError) -> Self {
        Self::ServerName(error)
    }
}

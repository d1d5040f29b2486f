//! The few TLS alerts that a gateway sends: why it refused, in the client's own protocol.
//!
//! A client shows the alert's name to its user, where a bare close shows "connection reset". They
//! go out in the clear and before any negotiation: the handshake never began.

/// A fatal alert, by its name in RFC 8446 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Alert {
    /// The server cannot agree on parameters: a hello that is sound and not for a gateway.
    HandshakeFailure = 40,
    /// Policy says no.
    AccessDenied = 49,
    /// The hello cannot be read.
    DecodeError = 50,
    /// The hello is of a version that cannot carry a server name.
    ProtocolVersion = 70,
    /// The gateway failed, or no endpoint answers: not the client's fault.
    InternalError = 80,
    /// No route for this server name (RFC 6066 section 3), or no server name where one is needed.
    UnrecognizedName = 112,
}

impl Alert {
    /// The whole record to send, then close: type alert, version, length 2, fatal, description.
    ///
    /// The version is 0x0303: RFC 8446 section 5.1 wants it in every record but an initial
    /// ClientHello, and readers have to ignore it.
    pub const fn record(self) -> [u8; 7] {
        const FATAL: u8 = 2;
        [21, 3, 3, 0, 2, FATAL, self as u8]
    }

    /// The name of the alert as the RFC and every client print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandshakeFailure => "handshake_failure",
            Self::AccessDenied => "access_denied",
            Self::DecodeError => "decode_error",
            Self::ProtocolVersion => "protocol_version",
            Self::InternalError => "internal_error",
            Self::UnrecognizedName => "unrecognized_name",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Alert;

    #[test]
    fn the_record_is_a_fatal_alert_of_two_bytes() {
        assert_eq!(Alert::UnrecognizedName.record(), [0x15, 3, 3, 0, 2, 2, 112]);
    }
}

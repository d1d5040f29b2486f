//! What speaks instead of TLS, told from its first bytes, so that the reason says more than "not TLS".
//!
//! Only protocols whose client speaks first can be told. Where the server speaks first (MySQL, SMTP,
//! IMAP, FTP) a client usually waits for a greeting that a gateway does not send, and ends as
//! a silent one; MySQL and SMTP are named for those clients and health checks that do not wait. A
//! protocol that starts with the bytes of a TLS record is taken for TLS: a MySQL packet of 790 bytes
//! does.

use core::fmt;

/// The protocol of a client that does not speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preamble {
    /// HTTP/1 in the clear: one of the methods of RFC 9110 section 9, or PATCH.
    Http,
    /// HTTP/2 in the clear (RFC 9113 section 3.4).
    Http2,
    /// SSH (RFC 4253 section 4.2).
    Ssh,
    /// PostgreSQL: a request for TLS or GSSAPI, a cancellation, or a start-up message.
    Postgres,
    /// MySQL: a client's answer to the greeting, with a request for TLS or a login.
    MySql,
    /// SMTP: a client that greets before the server does.
    Smtp,
    /// A PROXY header (version 1 or 2) on a connection from which none is accepted.
    ProxyHeader,
    /// An SSLv2-style ClientHello: it cannot carry a server name (RFC 6176 forbids it).
    SslV2,
    /// None of these.
    Unknown(FirstBytes),
}

/// The first bytes of a connection, as many as had arrived when they were judged, at most eight.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FirstBytes {
    length: u8,
    bytes: [u8; DECIDED],
}

/// Whether a connection's first bytes are those of a TLS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// A TLS record.
    Tls,
    /// More bytes are needed.
    Undecided,
    /// Not TLS.
    Other(Preamble),
}

/// Bytes after which every preamble is decided.
const DECIDED: usize = 8;

/// Judges the bytes received so far; a judgement other than `Undecided` stands whatever follows.
pub(super) fn sniff(input: &[u8]) -> Sniffed {
    // Content types of TLS records, then the major version that all of SSL 3 and TLS share.
    if let [20..=24, 3, ..] = input {
        return Sniffed::Tls;
    }
    let mut undecided = matches!(input, [] | [20..=24]);
    let texts = TEXTS
        .iter()
        .map(|&(text, preamble)| (fits_text(input, text), preamble));
    let binaries = [
        (fits_postgres(input), Preamble::Postgres),
        (fits_mysql(input), Preamble::MySql),
        (fits_ssl_v2(input), Preamble::SslV2),
    ];
    for (fit, preamble) in texts.chain(binaries) {
        match fit {
            Fit::Yes => return Sniffed::Other(preamble),
            Fit::SoFar => undecided = true,
            Fit::No => {}
        }
    }
    if undecided {
        Sniffed::Undecided
    } else {
        Sniffed::Other(Preamble::Unknown(FirstBytes::of(input)))
    }
}

/// How the bytes so far agree with a protocol.
enum Fit {
    Yes,
    SoFar,
    No,
}

impl Fit {
    /// `decided` when all bytes that matter are there, else whether those that are there agree.
    const fn of(agrees: bool, decided: bool) -> Self {
        match (agrees, decided) {
            (true, true) => Self::Yes,
            (true, false) => Self::SoFar,
            (false, _) => Self::No,
        }
    }
}

/// Protocols that start with fixed text, none the prefix of another, cut at eight bytes.
const TEXTS: [(&[u8], Preamble); 15] = [
    (b"GET ", Preamble::Http),
    (b"HEAD ", Preamble::Http),
    (b"POST ", Preamble::Http),
    (b"PUT ", Preamble::Http),
    (b"DELETE ", Preamble::Http),
    (b"CONNECT ", Preamble::Http),
    (b"OPTIONS ", Preamble::Http),
    (b"TRACE ", Preamble::Http),
    (b"PATCH ", Preamble::Http),
    (b"PRI * HT", Preamble::Http2),
    (b"SSH-", Preamble::Ssh),
    (b"EHLO ", Preamble::Smtp),
    (b"HELO ", Preamble::Smtp),
    (b"PROXY ", Preamble::ProxyHeader),
    (b"\r\n\r\n\0\r\nQ", Preamble::ProxyHeader),
];

fn fits_text(input: &[u8], text: &[u8]) -> Fit {
    let agrees = input.iter().zip(text).all(|(got, wanted)| got == wanted);
    Fit::of(agrees, input.len() >= text.len())
}

/// Agreement byte by byte: every byte that has arrived passes its test.
fn fits_bytes<const N: usize>(input: &[u8], tests: [fn(u8) -> bool; N]) -> Fit {
    let agrees = input.iter().zip(tests).all(|(&byte, test)| test(byte));
    Fit::of(agrees, input.len() >= N)
}

/// A 4-byte length below 10,000 and a code: protocol 3.x, or 1234.5678 to .5680 for the requests
/// (PostgreSQL documentation, "Message Formats").
fn fits_postgres(input: &[u8]) -> Fit {
    const TESTS: [fn(u8) -> bool; 4] = [|b| b == 0, |b| b == 0, |b| b < 0x28, |_| true];
    let Some((_, code)) = input.split_at_checked(TESTS.len()) else {
        return fits_bytes(input, TESTS);
    };
    if let Fit::No = fits_bytes(input, TESTS) {
        return Fit::No;
    }
    let startup: [fn(u8) -> bool; 4] = [|b| b == 0, |b| b == 3, |b| b == 0, |_| true];
    let request: [fn(u8) -> bool; 4] = [
        |b| b == 0x04,
        |b| b == 0xd2,
        |b| b == 0x16,
        |b| (0x2e..=0x30).contains(&b),
    ];
    match fits_bytes(code, startup) {
        Fit::No => fits_bytes(code, request),
        fit => fit,
    }
}

/// A 3-byte little-endian length of at least 32 and below 65,536, sequence number 1, capabilities
/// with the 4.1 protocol bit (MySQL documentation, "Protocol::HandshakeResponse41").
fn fits_mysql(input: &[u8]) -> Fit {
    let long_enough = match *input {
        [low, high, ..] => u16::from_le_bytes([low, high]) >= 32,
        _ => true,
    };
    if !long_enough {
        return Fit::No;
    }
    fits_bytes(
        input,
        [
            |_| true,
            |_| true,
            |b| b == 0,
            |b| b == 1,
            |_| true,
            |capabilities| capabilities & 2 != 0,
        ],
    )
}

/// A 2-byte length with the high bit, message type 1, version 0.2 or 3.x (RFC 5246 appendix E.2).
fn fits_ssl_v2(input: &[u8]) -> Fit {
    fits_bytes(
        input,
        [
            |b| b & 0x80 != 0,
            |_| true,
            |b| b == 1,
            |b| b == 0 || b == 3,
        ],
    )
}

impl FirstBytes {
    fn of(input: &[u8]) -> Self {
        let mut bytes = [0; DECIDED];
        let mut length = 0;
        for (to, &from) in bytes.iter_mut().zip(input) {
            *to = from;
            length += 1;
        }
        Self { length, bytes }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl fmt::Debug for FirstBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl Preamble {
    /// The protocol as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Ssh => "ssh",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Smtp => "smtp",
            Self::ProxyHeader => "proxy_header",
            Self::SslV2 => "sslv2",
            Self::Unknown(_) => "not_tls",
        }
    }
}

impl fmt::Display for Preamble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Http => "plain HTTP",
            Self::Http2 => "plain HTTP/2",
            Self::Ssh => "SSH",
            Self::Postgres => "PostgreSQL before TLS",
            Self::MySql => "MySQL before TLS",
            Self::Smtp => "plain SMTP",
            Self::ProxyHeader => "a PROXY header that this source may not send",
            Self::SslV2 => "an SSLv2-style hello, which has no server name",
            Self::Unknown(first) => return write!(f, "an unknown protocol that starts {first:?}"),
        };
        f.write_str(name)
    }
}

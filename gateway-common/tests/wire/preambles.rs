//! Other protocols, told apart by the first bytes that their clients send.

use gateway_common::wire::{HelloError, Preamble};

use crate::drive::{self, Outcome};

const NAMED: [(&[u8], Preamble); 20] = [
    (b"GET / HTTP/1.1\r\n", Preamble::Http),
    (b"HEAD / HTTP/1.1\r\n", Preamble::Http),
    (b"POST / HTTP/1.1\r\n", Preamble::Http),
    (b"OPTIONS * HTTP/1.1\r\n", Preamble::Http),
    (b"CONNECT a.example:443 HTTP/1.1\r\n", Preamble::Http),
    (b"PATCH / HTTP/1.1\r\n", Preamble::Http),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Preamble::Http2),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Preamble::Ssh),
    (b"EHLO a.example\r\n", Preamble::Smtp),
    (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        Preamble::ProxyHeader,
    ),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Preamble::ProxyHeader),
    // PostgreSQL: SSLRequest, GSSENCRequest, CancelRequest, start-up of protocol 3.0 and 3.2.
    (b"\0\0\0\x08\x04\xd2\x16\x2f", Preamble::Postgres),
    (b"\0\0\0\x08\x04\xd2\x16\x30", Preamble::Postgres),
    (
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
        Preamble::Postgres,
    ),
    (b"\0\0\0\x21\0\x03\0\0user\0postgres\0", Preamble::Postgres),
    (
        b"\0\0\0\x21\0\x03\0\x02user\0postgres\0",
        Preamble::Postgres,
    ),
    // MySQL: SSLRequest, and a login of 256 bytes.
    (b"\x20\0\0\x01\x05\xae\x03\0\0\0\0\x01", Preamble::MySql),
    (b"\0\x01\0\x01\x85\xa6\xff\x01\0\0\0\x01", Preamble::MySql),
    // SSLv2 layout, offering SSL 2 and TLS 1.0.
    (b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10", Preamble::SslV2),
    (b"\x80\x4c\x01\x03\x01\0\x33\0\0\0\x10", Preamble::SslV2),
];

#[test]
fn other_protocols_are_named() {
    for (bytes, preamble) in NAMED {
        let error = drive::read(bytes).error();
        assert_eq!(
            error,
            HelloError::NotTls(preamble),
            "{}",
            bytes.escape_ascii()
        );
        let text = error.to_string();
        assert!(
            text.starts_with("client speaks ") && text.ends_with(", not TLS"),
            "{text}"
        );
    }
}

#[test]
fn they_are_named_within_eight_bytes_and_never_otherwise_before() {
    for (bytes, preamble) in NAMED {
        let decided = (0..=8).find_map(|end| match drive::read(&bytes[..end]) {
            Outcome::Incomplete { .. } => None,
            outcome => Some(outcome.error()),
        });
        assert_eq!(
            decided,
            Some(HelloError::NotTls(preamble)),
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn an_unknown_protocol_carries_its_first_bytes_into_the_reason() {
    let HelloError::NotTls(Preamble::Unknown(first)) = drive::read(b"*1\r\n$4\r\nPING").error()
    else {
        panic!("Redis is a protocol that is not known");
    };
    assert_eq!(first.as_bytes(), b"*1\r\n$4\r\n");
    assert_eq!(format!("{first:?}"), r#""*1\r\n$4\r\n""#);
}

#[test]
fn a_text_that_only_starts_like_a_method_is_unknown() {
    for text in [&b"GETX /"[..], b"get / HTTP/1.1", b"PRI * X"] {
        let error = drive::read(text).error();
        assert_eq!(error.label(), "not_tls", "{}", text.escape_ascii());
    }
}

#[test]
fn two_bytes_that_start_no_tls_record_are_not_waited_on() {
    assert_eq!(drive::read(&[22]), Outcome::Incomplete { need: 2 });
    assert_eq!(drive::read(&[22, 5, 0, 0]).error().label(), "not_tls");
}

#[test]
fn tls_of_any_minor_version_is_taken_for_tls() {
    for minor in 0..=4 {
        let progress = drive::read(&[22, 3, minor]);
        assert_eq!(progress, Outcome::Incomplete { need: 5 }, "3.{minor}");
    }
}

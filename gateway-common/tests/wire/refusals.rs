//! Wrong hellos, one fault each, and the error that names it.

use gateway_common::limits::{MAX_EXTENSIONS, MAX_HELLO};
use gateway_common::wire::{HelloError, Malformed, ServerNameError};

use crate::build::{self, ALPN, ECH, Hello, KEY_SHARE, SERVER_NAME, SUPPORTED_VERSIONS};
use crate::drive::{self, Driver, Outcome};

fn refused(wire: &[u8]) -> HelloError {
    drive::read(wire).error()
}

fn refused_with(kind: u16, body: Vec<u8>) -> HelloError {
    refused(&Hello::default().with(kind, body).wire())
}

#[track_caller]
fn assert_malformed(error: HelloError, field: &str) {
    match error {
        HelloError::Malformed(Malformed { what, .. }) => assert_eq!(what, field),
        other => panic!("{other:?} instead of a malformed {field}"),
    }
}

#[test]
fn an_empty_record_is_refused_wherever_it_comes() {
    let message = Hello::plain("a.example").message();
    let second = [build::record(22, &message[..9]), build::record(22, &[])].concat();
    assert_eq!(
        refused(&build::record(22, &[])),
        HelloError::RecordLength {
            record: 1,
            length: 0
        }
    );
    assert_eq!(
        refused(&second),
        HelloError::RecordLength {
            record: 2,
            length: 0
        }
    );
}

#[test]
fn a_record_over_its_longest_is_refused_at_its_header() {
    let header = [22, 3, 1, 0x40, 1];
    assert_eq!(
        refused(&header),
        HelloError::RecordLength {
            record: 1,
            length: 16_385
        }
    );
}

#[test]
fn a_record_of_another_type_may_not_come_before_the_end_of_the_hello() {
    let message = Hello::plain("a.example").message();
    let start = build::record(22, &message[..9]);
    let change_cipher_spec = [&*start, &build::record(20, &[1])].concat();
    let wanted = HelloError::RecordType {
        record: 2,
        content_type: 20,
    };
    assert_eq!(refused(&change_cipher_spec), wanted);
    let alert = [&*start, &build::record(21, &[2, 0])].concat();
    assert_eq!(refused(&alert), HelloError::UnexpectedAlert);
    let data_first = build::record(23, b"data");
    assert_eq!(
        refused(&data_first),
        HelloError::RecordType {
            record: 1,
            content_type: 23
        }
    );
}

#[test]
fn a_later_record_needs_the_major_version_of_tls() {
    let message = Hello::plain("a.example").message();
    let wire = [&*build::record(22, &message[..9]), &[22, 2, 0, 0, 1]].concat();
    assert_eq!(
        refused(&wire),
        HelloError::RecordVersion {
            record: 2,
            version: 0x0200
        }
    );
}

#[test]
fn another_handshake_message_is_told_by_its_type() {
    let server_hello = build::record(22, &build::message(2, &[3, 3]));
    assert_eq!(refused(&server_hello), HelloError::NotClientHello(2));
}

#[test]
fn a_hello_over_the_limit_is_refused_at_its_header() {
    let announced = build::record(22, &[1, 0xff, 0xff, 0xff]);
    let length = 0xff_ffff + 4;
    assert_eq!(
        refused(&announced),
        HelloError::TooLarge {
            length,
            limit: MAX_HELLO
        }
    );
}

#[test]
fn a_lower_limit_counts_the_message_with_its_header() {
    let wire = Hello::plain("a.example").wire();
    let length = wire.len() - 5;
    assert!(matches!(
        Driver::new(length).advance(&wire),
        Outcome::Complete(_)
    ));
    let limit = length - 1;
    let error = Driver::new(limit).advance(&wire).error();
    assert_eq!(error, HelloError::TooLarge { length, limit });
}

#[test]
fn a_hello_that_ends_within_a_field_names_the_field() {
    let body = &Hello::plain("a.example").message()[4..];
    let cut = |length| refused(&build::record(22, &build::message(1, &body[..length])));
    assert_malformed(cut(0), "version");
    assert_malformed(cut(2), "random");
    assert_malformed(cut(34), "session id");
    assert_malformed(cut(35), "session id");
    assert_malformed(cut(67), "cipher suites");
    assert_malformed(cut(75), "compression methods");
    assert_malformed(cut(78), "extensions");
}

#[test]
fn fields_before_the_extensions_are_held_to_their_bounds() {
    let hello = Hello::default;
    let refused = |hello: Hello| refused(&hello.wire());
    assert_malformed(
        refused(Hello {
            session_id: vec![0; 33],
            ..hello()
        }),
        "session id",
    );
    assert_malformed(
        refused(Hello {
            cipher_suites: vec![],
            ..hello()
        }),
        "cipher suites",
    );
    let no_method = Hello {
        compression_methods: vec![],
        ..hello()
    };
    assert_malformed(refused(no_method), "compression methods");
}

#[test]
fn bytes_after_the_extensions_are_refused() {
    let message = Hello::plain("a.example").message();
    let longer = build::message(1, &[&message[4..], &[0]].concat());
    assert_malformed(refused(&build::record(22, &longer)), "end of hello");
}

#[test]
fn an_extension_may_not_come_twice() {
    let twice = Hello::plain("a.example")
        .with(0x0a0a, vec![])
        .with(0x0a0a, vec![]);
    assert_eq!(
        refused(&twice.wire()),
        HelloError::DuplicateExtension(0x0a0a)
    );
    let names = Hello::plain("a.example").with(SERVER_NAME, vec![]);
    assert_eq!(
        refused(&names.wire()),
        HelloError::DuplicateExtension(SERVER_NAME)
    );
}

#[test]
fn as_many_extensions_as_the_limit_and_no_more() {
    let kinds = 1000..1000 + u16::try_from(MAX_EXTENSIONS).unwrap();
    let most = kinds.fold(Hello::default(), |hello, kind| hello.with(kind, vec![]));
    drive::read(&most.wire()).hello();
    assert_eq!(
        refused(&most.with(999, vec![]).wire()),
        HelloError::TooManyExtensions
    );
}

#[test]
fn two_names_are_refused_also_when_equal() {
    let names = build::server_names(&[(0, b"a.example"), (0, b"a.example")]);
    assert_eq!(refused_with(SERVER_NAME, names), HelloError::TwoNames);
}

#[test]
fn a_name_of_another_type_is_refused_before_and_after_the_host_name() {
    let before = build::server_names(&[(1, b"\0"), (0, b"a.example")]);
    let after = build::server_names(&[(0, b"a.example"), (1, b"\0")]);
    assert_malformed(refused_with(SERVER_NAME, before), "server name type");
    assert_malformed(refused_with(SERVER_NAME, after), "server name type");
}

#[test]
fn a_wrong_name_is_an_error_of_the_hello() {
    let refused = |name: &[u8]| refused_with(SERVER_NAME, build::server_names(&[(0, name)]));
    let wrong: [(&[u8], ServerNameError); 9] = [
        (b"", ServerNameError::Empty),
        (b"a.example\0", ServerNameError::Nul),
        (b"\xff.example", ServerNameError::NotAscii),
        (&[b'a'; 300], ServerNameError::TooLong),
        (&[b'a'; 64], ServerNameError::LabelTooLong),
        (b"a..example", ServerNameError::EmptyLabel),
        (b"192.0.2.1", ServerNameError::IpLiteral),
        (b"[fd00::2]", ServerNameError::IpLiteral),
        (b"*.example", ServerNameError::BadCharacter(b'*')),
    ];
    for (name, error) in wrong {
        assert_eq!(
            refused(name),
            HelloError::ServerName(error),
            "{}",
            name.escape_ascii()
        );
    }
}

#[test]
fn a_server_name_list_is_held_to_its_layout() {
    let empty_list = vec![0, 0];
    assert_eq!(
        refused_with(SERVER_NAME, empty_list),
        ServerNameError::Empty.into()
    );
    assert_malformed(refused_with(SERVER_NAME, vec![]), "server name list");
    let stray = [build::server_names(&[(0, b"a.example")]), vec![0]].concat();
    assert_malformed(refused_with(SERVER_NAME, stray), "server name list");
    assert_malformed(
        refused_with(SERVER_NAME, vec![0, 4, 0, 0, 9, b'a']),
        "server name",
    );
}

#[test]
fn the_other_known_extensions_are_held_to_their_layout() {
    let cases = [
        (ALPN, vec![0, 0], "protocol list"),
        (ALPN, build::protocols(&[b""]), "protocol"),
        (
            ALPN,
            [build::protocols(&[b"h2"]), vec![0]].concat(),
            "protocol list",
        ),
        (SUPPORTED_VERSIONS, vec![0], "supported versions"),
        (SUPPORTED_VERSIONS, vec![3, 3, 4, 3], "supported versions"),
        (KEY_SHARE, build::key_shares(&[(29, 0)]), "key share"),
        (KEY_SHARE, vec![0, 1, 0], "key share group"),
        (ECH, vec![], "encrypted client hello"),
        (ECH, vec![2], "encrypted client hello"),
        (ECH, vec![1, 0], "encrypted client hello"),
    ];
    for (kind, body, field) in cases {
        assert_malformed(refused_with(kind, body), field);
    }
}

#[test]
fn each_error_names_the_object_in_lower_case_without_a_full_stop() {
    let errors = [
        HelloError::UnexpectedAlert,
        HelloError::RecordType {
            record: 2,
            content_type: 20,
        },
        HelloError::RecordVersion {
            record: 1,
            version: 0x0200,
        },
        HelloError::RecordLength {
            record: 1,
            length: 0,
        },
        HelloError::NotClientHello(2),
        HelloError::TooLarge {
            length: 70_000,
            limit: MAX_HELLO,
        },
        HelloError::Malformed(Malformed {
            what: "session id",
            offset: 34,
        }),
        HelloError::DuplicateExtension(0),
        HelloError::TooManyExtensions,
        HelloError::TwoNames,
        HelloError::ServerName(ServerNameError::BadCharacter(b'*')),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(
            text.starts_with(char::is_lowercase) && !text.ends_with('.'),
            "{text}"
        );
        assert!(
            error
                .label()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{error:?}"
        );
    }
}

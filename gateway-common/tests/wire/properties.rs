//! Properties that hold for any hello, any cut and any bytes.

use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::{HelloError, Reader, ServerName};
use proptest::collection::{btree_map, vec};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::{prop_assert, prop_assert_eq, proptest};

use crate::build::{self, ALPN, Hello, SERVER_NAME, SUPPORTED_VERSIONS};
use crate::corpus::kind;
use crate::drive::{self, Driver, Outcome};
use crate::hellos;

const NAME: &str = "([a-z][a-zA-Z0-9_-]{0,20}\\.){0,5}[a-z]{1,10}";

proptest! {
    #[test]
    fn a_built_hello_comes_back_however_it_is_cut(
        hello in sound_hello(),
        sizes in vec(1..400_usize, 1..40),
        segments in vec(any::<Index>(), 0..20),
    ) {
        let message = hello.message();
        let wire = build::records(&message, &sizes);
        let mut ends: Vec<_> = segments.iter().map(|index| index.index(wire.len())).collect();
        ends.sort_unstable();
        let got = drive::read_in_segments(&wire, ends).hello();
        prop_assert_eq!(&got.session_id, &hello.session_id);
        prop_assert_eq!(&got.cipher_suites, &hello.cipher_suites);
        prop_assert_eq!(got.extensions, hello.extensions.unwrap_or_default());
        prop_assert_eq!(got.wire_length, wire.len());
        prop_assert_eq!(wire.len(), message.len() + 5 * usize::try_from(got.records).unwrap());
    }

    #[test]
    fn the_name_comes_back_in_lower_case(name in NAME, rest in sound_hello()) {
        let names = build::server_names(&[(0, name.as_bytes())]);
        let got = drive::read(&rest.with(SERVER_NAME, names).wire()).hello();
        prop_assert_eq!(got.server_name.unwrap().to_string(), name.to_lowercase());
    }

    #[test]
    fn protocols_and_versions_come_back_in_their_order(
        protocols in vec(vec(any::<u8>(), 1..20), 1..10),
        versions in vec(any::<u16>(), 1..100),
    ) {
        let names: Vec<_> = protocols.iter().map(|name| &**name).collect();
        let hello = Hello::default()
            .with(ALPN, build::protocols(&names))
            .with(SUPPORTED_VERSIONS, build::list8(&build::be_bytes(&versions)));
        let got = drive::read(&hello.wire()).hello();
        prop_assert_eq!(got.alpn, protocols);
        prop_assert_eq!(got.versions, versions);
    }

    #[test]
    fn segments_make_no_difference_to_any_bytes(
        bytes in any_wire(),
        segments in vec(any::<Index>(), 0..20),
    ) {
        let mut ends: Vec<_> = segments.iter().map(|end| end.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        let dripped = drive::read_in_segments(&bytes, ends);
        prop_assert_eq!(kind(&dripped), kind(&drive::read(&bytes)));
    }

    #[test]
    fn less_input_than_needed_says_the_same(bytes in any_wire(), end in any::<Index>()) {
        let end = end.index(bytes.len() + 1);
        let Outcome::Incomplete { need } = drive::read(&bytes[..end]) else { return Ok(()) };
        for end in end..need.min(bytes.len() + 1) {
            prop_assert_eq!(drive::read(&bytes[..end]), Outcome::Incomplete { need });
        }
    }

    #[test]
    fn a_limit_only_ever_adds_the_error_that_names_it(bytes in any_wire(), limit in 0..70_000_usize) {
        match Driver::new(limit).advance(&bytes) {
            Outcome::Refused(HelloError::TooLarge { length, limit: told }) => {
                prop_assert_eq!(told, limit.min(MAX_HELLO));
                prop_assert!(length > told);
            }
            limited => prop_assert_eq!(limited, drive::read(&bytes)),
        }
    }

    #[test]
    fn a_server_name_is_a_fixed_point(bytes in prop_oneof![vec(any::<u8>(), 0..300), text()]) {
        let Ok(name) = ServerName::try_from(&*bytes) else { return Ok(()) };
        let shouted = format!("{}.", name.as_str().to_uppercase());
        prop_assert_eq!(name.as_str().parse(), Ok(name));
        prop_assert_eq!(shouted.parse(), Ok(name));
        prop_assert!((1..=253).contains(&name.as_str().len()));
    }

    #[test]
    fn a_reader_gives_each_byte_once_and_none_beyond(
        bytes in vec(any::<u8>(), 0..100),
        counts in vec(0..40_usize, 0..10),
    ) {
        let mut reader = Reader::new(&bytes);
        let mut taken: Vec<u8> = Vec::new();
        for count in counts {
            match reader.take(count, "some") {
                Ok(some) => taken.extend(some),
                Err(error) => {
                    prop_assert_eq!(error.offset, taken.len());
                    prop_assert!(count > reader.rest().len());
                }
            }
        }
        taken.extend(reader.rest());
        prop_assert_eq!(taken, bytes);
    }
}

/// Any hello within the bounds of its fields, with extensions that nothing here reads.
fn sound_hello() -> impl Strategy<Value = Hello> {
    let unread = 1000..60_000_u16;
    let extensions = btree_map(unread, vec(any::<u8>(), 0..300), 0..20)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>());
    let extensions = prop_oneof![1 => Just(None), 9 => extensions.prop_map(Some)];
    let lists = (
        vec(any::<u8>(), 0..=32),
        vec(any::<u16>(), 1..100),
        vec(any::<u8>(), 1..5),
    );
    (lists, extensions).prop_map(
        |((session_id, cipher_suites, compression_methods), extensions)| Hello {
            session_id,
            cipher_suites,
            compression_methods,
            extensions,
        },
    )
}

/// Arbitrary bytes, arbitrary messages in sound records, and hellos with a few bytes changed.
fn any_wire() -> impl Strategy<Value = Vec<u8>> {
    let bytes = vec(any::<u8>(), 0..200);
    let message = (vec(any::<u8>(), 0..200), vec(1..50_usize, 1..5))
        .prop_map(|(body, sizes)| build::records(&build::message(1, &body), &sizes));
    let mut captured: Vec<_> = hellos::all().into_iter().map(|hello| hello.bytes).collect();
    captured.retain(|bytes| bytes.len() < 5000);
    let changes = vec((any::<Index>(), any::<u8>()), 1..4);
    let changed = (select(captured), changes).prop_map(|(mut bytes, changes)| {
        for (place, byte) in changes {
            *place.get_mut(&mut bytes) = byte;
        }
        bytes
    });
    prop_oneof![1 => bytes, 2 => message, 4 => changed]
}

/// Bytes that are more often names than not.
fn text() -> impl Strategy<Value = Vec<u8>> {
    "[a-zA-Z0-9_.:%*-]{0,80}".prop_map(String::into_bytes)
}

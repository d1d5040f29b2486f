//! Captured and generated hellos: each says what its label says, however its bytes arrive.

use std::fs;
use std::path::Path;

use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::ServerName;

use crate::build::{self, Hello};
use crate::drive::{self, Driver, Outcome};
use crate::hellos;

#[test]
fn every_hello_says_what_its_label_says() {
    for labelled in hellos::all() {
        let hello = drive::read(&labelled.bytes).hello();
        let name = hello
            .server_name
            .map_or(String::new(), |name| name.to_string());
        let alpn: Vec<_> = hello
            .alpn
            .iter()
            .map(|p| p.escape_ascii().to_string())
            .collect();
        let versions: Vec<_> = hello.versions.iter().map(|v| format!("{v:#06x}")).collect();
        let ech = hello.ech.map_or(String::new(), |ech| format!("{ech:?}"));
        let file = &labelled.file;
        assert_eq!(name, labelled.get("name"), "name of {file}");
        assert_eq!(alpn, labelled.list("alpn"), "protocols of {file}");
        assert_eq!(versions, labelled.list("versions"), "versions of {file}");
        assert_eq!(ech, labelled.get("ech"), "ECH of {file}");
        assert_eq!(
            hello.post_quantum.to_string(),
            labelled.get("post_quantum"),
            "{file}"
        );
        assert_eq!(
            hello.records.to_string(),
            labelled.get("records"),
            "records of {file}"
        );
        assert_eq!(hello.wire_length, labelled.bytes.len(), "length of {file}");
    }
}

#[test]
fn every_prefix_is_incomplete_and_then_the_answer_is_the_same() {
    for labelled in hellos::all() {
        let bytes = &labelled.bytes;
        let whole = drive::read(bytes);
        let mut dripped = Driver::new(MAX_HELLO);
        // A fresh reader for each prefix is quadratic: a large hello is sampled.
        let step = bytes.len() / 4096 + 1;
        for (end, last) in (0..bytes.len()).zip((0..step).cycle()) {
            let prefix = &bytes[..end];
            let progress = dripped.advance(prefix);
            assert!(
                matches!(progress, Outcome::Incomplete { .. }),
                "{}: {end}",
                labelled.file
            );
            if last == 0 {
                assert_eq!(drive::read(prefix), progress, "{}: {end}", labelled.file);
            }
        }
        assert_eq!(dripped.advance(bytes), whole, "{}", labelled.file);
        assert_eq!(
            dripped.advance(bytes),
            whole,
            "{}: asked twice",
            labelled.file
        );
    }
}

#[test]
fn bytes_after_the_hello_change_nothing() {
    for labelled in hellos::all() {
        let early_data = build::record(23, b"early data");
        let second = [&*labelled.bytes, &labelled.bytes].concat();
        let followed = [&*labelled.bytes, &early_data].concat();
        let alone = drive::read(&labelled.bytes);
        assert_eq!(drive::read(&second), alone, "{} twice", labelled.file);
        assert_eq!(
            drive::read(&followed),
            alone,
            "{} and early data",
            labelled.file
        );
    }
}

#[test]
fn every_hello_says_the_same_cut_into_records_of_any_size() {
    for labelled in hellos::all() {
        let mut expected = drive::read(&labelled.bytes).hello();
        let message = message_of(&labelled.bytes);
        for size in [1, 2, 3, 4, 5, 100, 16_383, 16_384] {
            let wire = build::records(&message, &[size]);
            expected.records = u32::try_from(message.len().div_ceil(size)).unwrap();
            expected.wire_length = wire.len();
            assert_eq!(
                drive::read(&wire).hello(),
                expected,
                "{} by {size}",
                labelled.file
            );
        }
    }
}

/// The handshake message in sound records: what the reader does, in the plainest way.
fn message_of(mut wire: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = wire {
        let (fragment, next) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend(fragment);
        wire = next;
    }
    message
}

/// Inputs that once broke a fuzz target stay in the tree. Each goes to all that takes bare bytes.
#[test]
fn inputs_that_broke_a_fuzz_target_break_nothing_now() {
    let crashes = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/crashes");
    for entry in fs::read_dir(crashes).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        let whole = drive::read(&input);
        let dripped = drive::read_in_segments(&input, 0..input.len());
        assert_eq!(kind(&whole), kind(&dripped));
        if let Ok(name) = ServerName::try_from(&*input) {
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }
}

/// An outcome without the first bytes of an unknown protocol, which are those that had arrived.
pub(crate) fn kind(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused(error) => error.label().to_owned(),
        outcome => format!("{outcome:?}"),
    }
}

/// Hellos that no client at hand sends; their files are written with `WRITE_HELLOS=1`.
#[test]
fn generated_hellos_in_the_tree_are_as_built() {
    let message = Hello::plain("web.example.com").message();
    let padded = Hello::plain("web.example.com")
        .padded_to(MAX_HELLO)
        .message();
    let generated = [
        ("generated-records-of-one", build::records(&message, &[1])),
        (
            "generated-two-records",
            build::records(&message, &[100, 1000]),
        ),
        (
            "generated-header-apart",
            build::records(&message, &[4, 1000]),
        ),
        ("generated-64k", build::records(&padded, &[1 << 14])),
        (
            "generated-no-extensions",
            Hello {
                extensions: None,
                ..Hello::default()
            }
            .wire(),
        ),
        (
            "generated-ech-inner",
            Hello::plain("a.example").with(build::ECH, vec![1]).wire(),
        ),
        (
            "generated-longest-name",
            Hello::plain(&["a."; 127].concat()).wire(),
        ),
    ];
    for (file, bytes) in generated {
        let path = hellos::folder().join(file).with_extension("bin");
        if std::env::var_os("WRITE_HELLOS").is_some() {
            fs::write(&path, &bytes).unwrap();
        }
        assert!(
            fs::read(&path).unwrap() == bytes,
            "{file} differs: write it anew"
        );
    }
}

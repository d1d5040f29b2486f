//! The examples of the specification.

use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::{HelloReader, Progress};

use super::fingerprint;

/// The example of the specification, GREASE added.
const SUITES: [u16; 16] = [
    0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
    0x009c, 0x009d, 0x002f, 0x0035,
];
const KINDS: [u16; 12] = [
    0x8a8a, 0x001b, 0x4469, 0x0017, 0x002d, 0x0005, 0x0023, 0x0012, 0xff01, 0x000b, 0x000a, 0x0015,
];
const ALGORITHMS: [u16; 9] = [
    0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x2a2a,
];

fn be_bytes(values: &[u16]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect()
}

fn list(content: &[u8]) -> Vec<u8> {
    [
        &u16::try_from(content.len()).unwrap().to_be_bytes(),
        content,
    ]
    .concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), list(body)].concat()
}

/// The example's extensions beside those of `KINDS`.
fn example(protocol: &[u8]) -> Vec<u8> {
    let protocol = [&[u8::try_from(protocol.len()).unwrap()], protocol].concat();
    let mut block = extension(0, &list(b"\0\0\x09a.example"));
    block.extend(extension(13, &list(&be_bytes(&ALGORITHMS))));
    block.extend(extension(16, &list(&protocol)));
    block.extend(extension(43, &[6, 0x1a, 0x1a, 3, 4, 3, 3]));
    block.extend(extension(51, &list(&[])));
    block.extend(KINDS.iter().flat_map(|&kind| extension(kind, &[])));
    block
}

fn of(suites: &[u16], extensions: &[u8]) -> String {
    let mut body = vec![3, 3];
    body.extend([0; 33]);
    body.extend(list(&be_bytes(suites)));
    body.extend([1, 0]);
    body.extend(list(extensions));
    let message = [&[1, 0][..], &list(&body)].concat();
    let wire = [&[22, 3, 1][..], &list(&message)].concat();
    match HelloReader::new(MAX_HELLO).advance(&wire, &mut []) {
        Ok(Progress::Complete(hello)) => fingerprint(&hello).to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_of_the_specification() {
    assert_eq!(
        of(&SUITES, &example(b"h2")),
        "t13d1516h2_8daaf6152771_e5627efa2ab1"
    );
}

#[test]
fn a_protocol_that_does_not_end_in_letters_or_digits_is_shown_in_hex() {
    let cases: [(&[u8], &str); 6] = [
        (b"http/1.1", "h1"),
        (b"a", "aa"),
        (b"\xab", "ab"),
        (b"\xab\xcd", "ad"),
        (b"\x30\xab", "3b"),
        (b"\x30\xab\xcd\x31", "01"),
    ];
    for (protocol, shown) in cases {
        assert_eq!(
            of(&SUITES, &example(protocol)).get(8..10),
            Some(shown),
            "{protocol:?}"
        );
    }
}

#[test]
fn empty_lists_are_zeros() {
    let nothing = of(&[0x0a0a], &[]);
    assert_eq!(nothing, "t12i000000_000000000000_000000000000");
}

#[test]
fn without_signature_algorithms_the_extensions_stand_alone() {
    let kinds = [
        0x05, 0x0a, 0x0b, 0x0d, 0x12, 0x15, 0x17, 0x1b, 0x23, 0x2b, 0x2d, 0x33, 0x4469, 0xff01,
    ];
    let block: Vec<u8> = kinds
        .iter()
        .flat_map(|&kind| match kind {
            0x2b => extension(kind, &[2, 3, 4]),
            0x33 => extension(kind, &[0, 0]),
            _ => extension(kind, &[]),
        })
        .collect();
    assert_eq!(of(&SUITES, &block), "t13i151400_8daaf6152771_6d807ffa2a79");
}

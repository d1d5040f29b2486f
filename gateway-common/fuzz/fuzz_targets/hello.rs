//! Any bytes of a connection: no panic, and the same answer however they are cut into segments.
#![no_main]

use gateway_common::limits::MAX_HELLO;
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/wire/drive.rs"]
#[expect(dead_code, reason = "tests ask for more than a fuzz target does")]
mod drive;

use drive::{Driver, Outcome};

fuzz_target!(|input: &[u8]| {
    let whole = drive::read(input);
    let ends = segment_ends(input);
    assert_eq!(kind(&whole), kind(&drive::read_in_segments(input, ends)));
    assert_eq!(kind(&whole), kind(&read_as_needed(input)));
    if let Outcome::Complete(summary) = &whole {
        let hello = &input[..summary.wire_length];
        assert_eq!(drive::read(hello), whole, "bytes after the hello matter");
        let shorter = drive::read(&hello[..hello.len() - 1]);
        assert!(
            matches!(shorter, Outcome::Incomplete { .. }),
            "complete before its last byte"
        );
        let limited = Driver::new(MAX_HELLO.min(summary.wire_length)).advance(input);
        assert_eq!(
            limited, whole,
            "a message is never longer than its wire bytes"
        );
    }
});

/// What a client of the reader sees that waits for as many bytes as it is told to.
fn read_as_needed(input: &[u8]) -> Outcome {
    let mut driver = Driver::new(MAX_HELLO);
    let mut end = 0;
    loop {
        match driver.advance(&input[..end]) {
            Outcome::Incomplete { need } if need <= input.len() => end = need,
            last => return last,
        }
    }
}

/// Segments whose lengths the input itself chooses, so that a file is a whole test case.
fn segment_ends(input: &[u8]) -> Vec<usize> {
    let mut end = 0;
    let lengths = input.iter().rev().map(|&byte| usize::from(byte % 16));
    lengths
        .map_while(|length| {
            end += length;
            (end <= input.len()).then_some(end)
        })
        .take(64)
        .collect()
}

/// An outcome without the first bytes of an unknown protocol, which are those that had arrived.
fn kind(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused(error) => error.label().to_owned(),
        outcome => format!("{outcome:?}"),
    }
}

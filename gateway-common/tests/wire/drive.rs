//! Drives the reader as the data path does, and turns what it says into values to compare.

use gateway_common::limits::MAX_HELLO;
use gateway_common::wire::{ClientHello, EchKind, HelloError, HelloReader, Progress, ServerName};

/// What a reader says of some input, with nothing borrowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Incomplete { need: usize },
    Complete(Box<Summary>),
    Refused(HelloError),
}

/// Everything that a hello tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) legacy_version: u16,
    pub(crate) random: [u8; 32],
    pub(crate) session_id: Vec<u8>,
    pub(crate) cipher_suites: Vec<u16>,
    pub(crate) extensions: Vec<(u16, Vec<u8>)>,
    pub(crate) server_name: Option<ServerName>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) versions: Vec<u16>,
    pub(crate) ech: Option<EchKind>,
    pub(crate) post_quantum: bool,
    pub(crate) records: u32,
    pub(crate) wire_length: usize,
}

impl Outcome {
    /// The summary of a hello that must be complete.
    #[track_caller]
    pub(crate) fn hello(self) -> Summary {
        match self {
            Self::Complete(summary) => *summary,
            other => panic!("hello is not complete: {other:?}"),
        }
    }

    /// The error of a hello that must be refused.
    #[track_caller]
    pub(crate) fn error(self) -> HelloError {
        match self {
            Self::Refused(error) => error,
            other => panic!("hello is not refused: {other:?}"),
        }
    }
}

/// One connection: a reader and its scratch.
pub(crate) struct Driver {
    reader: HelloReader,
    scratch: Vec<u8>,
}

impl Driver {
    pub(crate) fn new(max_hello: usize) -> Self {
        Self {
            reader: HelloReader::new(max_hello),
            scratch: Vec::new(),
        }
    }

    /// Advances with all input so far, growing the scratch as asked; checks that what is asked for
    /// stays within what was received.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Outcome {
        loop {
            match self.reader.advance(input, &mut self.scratch) {
                Ok(Progress::Complete(hello)) => {
                    return Outcome::Complete(Box::new(summary(&hello)));
                }
                Ok(Progress::Incomplete { need }) => {
                    assert!(need > input.len(), "{need} bytes are there already");
                    assert!(
                        need <= self.reader.max_input(),
                        "{need} is more than allowed"
                    );
                    return Outcome::Incomplete { need };
                }
                Ok(Progress::Scratch { need }) => {
                    assert!(
                        need > self.scratch.len(),
                        "scratch of {need} was already given"
                    );
                    assert!(
                        need <= 512.max(2 * input.len()),
                        "scratch outgrows the input"
                    );
                    self.scratch.resize(need, 0);
                }
                Err(error) => return Outcome::Refused(error),
            }
        }
    }
}

/// What a fresh reader says of the whole input.
pub(crate) fn read(input: &[u8]) -> Outcome {
    Driver::new(MAX_HELLO).advance(input)
}

/// What a reader says at last when the input comes in segments that end at `ends`.
pub(crate) fn read_in_segments(input: &[u8], ends: impl IntoIterator<Item = usize>) -> Outcome {
    let mut driver = Driver::new(MAX_HELLO);
    for end in ends {
        match driver.advance(&input[..end]) {
            Outcome::Incomplete { .. } => {}
            decided => return decided,
        }
    }
    driver.advance(input)
}

fn summary(hello: &ClientHello<'_>) -> Summary {
    Summary {
        legacy_version: hello.legacy_version(),
        random: *hello.random(),
        session_id: hello.session_id().to_vec(),
        cipher_suites: hello.cipher_suites().collect(),
        extensions: hello
            .extensions()
            .map(|e| (e.kind, e.body.to_vec()))
            .collect(),
        server_name: hello.server_name().copied(),
        alpn: hello.alpn().map(<[u8]>::to_vec).collect(),
        versions: hello.supported_versions().collect(),
        ech: hello.ech(),
        post_quantum: hello.has_post_quantum(),
        records: hello.record_count(),
        wire_length: hello.wire_len(),
    }
}

//! The reader against two other parsers: rustls' acceptor and tls-parser.
//!
//! On the corpus and on mutations of it each says what this one says, or the disagreement is of a
//! kind listed in `disagreements` with its reason. A kind that no input shows any more is to be
//! struck off: the test says which.

use rustls::server::Acceptor;
use tls_parser::nom::Err::Incomplete;
use tls_parser::{
    TlsExtension, TlsMessage, TlsMessageHandshake, TlsRecordType,
    parse_tls_client_hello_extensions, parse_tls_message_handshake, parse_tls_raw_record,
};

use crate::build::Hello;
use crate::disagreements::{Disagreement, RUSTLS, TLS_PARSER};
use crate::drive::{self, Outcome};
use crate::hellos;

/// What another parser says.
#[derive(Debug)]
pub(crate) enum Verdict {
    Incomplete,
    Accepted(Essence),
    Refused(String),
}

/// What every parser tells of a hello.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Essence {
    pub(crate) server_name: Option<String>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) cipher_suites: Vec<u16>,
}

#[test]
fn rustls_says_the_same_or_the_disagreement_is_listed() {
    compare(RUSTLS, rustls_verdict);
}

#[test]
fn tls_parser_says_the_same_or_the_disagreement_is_listed() {
    compare(TLS_PARSER, tls_parser_verdict);
}

#[track_caller]
fn compare(listed: &[Disagreement], other: fn(&[u8]) -> Verdict) {
    let mut seen = vec![false; listed.len()];
    for input in inputs() {
        let (ours, theirs) = (drive::read(&input), other(&input));
        if agree(&ours, &theirs) {
            continue;
        }
        match listed.iter().position(|kind| (kind.fits)(&ours, &theirs)) {
            Some(kind) => seen[kind] = true,
            None => panic!("{ours:?} here, {theirs:?} there: {}", input.escape_ascii()),
        }
    }
    for (kind, seen) in listed.iter().zip(seen) {
        assert!(
            seen,
            "no input shows this disagreement any more: {}",
            kind.reason
        );
    }
}

fn agree(ours: &Outcome, theirs: &Verdict) -> bool {
    match (ours, theirs) {
        (Outcome::Incomplete { .. }, Verdict::Incomplete) => true,
        (Outcome::Refused(_), Verdict::Refused(_)) => true,
        (Outcome::Complete(summary), Verdict::Accepted(essence)) => {
            let name = essence
                .server_name
                .as_deref()
                .map(|name| name.trim_end_matches('.'));
            summary.server_name.as_ref().map(|name| name.as_str()) == name
                && summary.alpn == essence.alpn
                && summary.cipher_suites == essence.cipher_suites
        }
        _ => false,
    }
}

/// The corpus, mutations of it that are the same on each run, and names at the edge of the rules.
fn inputs() -> Vec<Vec<u8>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let longest = "a.".repeat(127);
    let names = [
        "192.0.2.1",
        "[::1]",
        "fd00::2",
        "1.2",
        "-a.example",
        "a-.example",
        "_a.example",
    ];
    let mut inputs: Vec<_> = names
        .iter()
        .chain(&["*.example", ".", "a.example.", &longest])
        .map(|name| Hello::plain(name).wire())
        .collect();
    let many = |hello: Hello, kind| hello.with(kind, vec![]);
    inputs.push((1000..1400).fold(Hello::plain("a.example"), many).wire());
    for hello in hellos::all() {
        let mutations = if hello.bytes.len() < 5000 { 3000 } else { 30 };
        inputs.extend((0..mutations).map(|_| mutated(&hello.bytes, &mut random)));
        inputs.push(hello.bytes);
    }
    inputs
}

/// Changes, inserts, removes or cuts at up to three places.
fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let place = random.below(bytes.len());
        let byte = u8::try_from(random.below(256)).unwrap();
        match random.below(8) {
            0 => bytes.insert(place, byte),
            1 if bytes.len() > 1 => drop(bytes.remove(place)),
            2 => bytes.truncate(place.max(1)),
            3 => bytes[place] = bytes[place].wrapping_add(1),
            _ => bytes[place] = byte,
        }
    }
    bytes
}

/// Xorshift: a sequence that is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }
}

fn rustls_verdict(input: &[u8]) -> Verdict {
    let mut acceptor = Acceptor::default();
    let mut rest = input;
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                return Verdict::Accepted(Essence {
                    server_name: hello.server_name().map(str::to_owned),
                    alpn: hello
                        .alpn()
                        .into_iter()
                        .flatten()
                        .map(<[u8]>::to_vec)
                        .collect(),
                    cipher_suites: hello.cipher_suites().iter().map(|&s| s.into()).collect(),
                });
            }
            Ok(None) if rest.is_empty() => return Verdict::Incomplete,
            Ok(None) => {}
            Err((error, _)) => return Verdict::Refused(format!("{error:?}")),
        }
        if let Err(error) = acceptor.read_tls(&mut rest) {
            return Verdict::Refused(error.to_string());
        }
    }
}

/// Joins the records' fragments itself: tls-parser leaves that to its caller.
fn tls_parser_verdict(input: &[u8]) -> Verdict {
    let mut rest = input;
    let mut message = Vec::new();
    loop {
        match parse_tls_message_handshake(&message) {
            Ok((_, TlsMessage::Handshake(TlsMessageHandshake::ClientHello(hello)))) => {
                let mut essence = Essence {
                    server_name: None,
                    alpn: Vec::new(),
                    cipher_suites: hello.ciphers.iter().map(|suite| suite.0).collect(),
                };
                return match essence.read_extensions(hello.ext.unwrap_or_default()) {
                    Ok(()) => Verdict::Accepted(essence),
                    Err(error) => Verdict::Refused(error),
                };
            }
            Ok((_, other)) => return Verdict::Refused(format!("{other:?}")),
            Err(Incomplete(_)) => {}
            Err(error) => return Verdict::Refused(format!("{error:?}")),
        }
        match parse_tls_raw_record(rest) {
            Ok((next, record)) if record.hdr.record_type == TlsRecordType::Handshake => {
                message.extend(record.data);
                rest = next;
            }
            Ok((_, record)) => return Verdict::Refused(format!("{:?}", record.hdr)),
            Err(Incomplete(_)) => return Verdict::Incomplete,
            Err(error) => return Verdict::Refused(format!("{error:?}")),
        }
    }
}

impl Essence {
    fn read_extensions(&mut self, block: &[u8]) -> Result<(), String> {
        let (rest, extensions) =
            parse_tls_client_hello_extensions(block).map_err(|error| format!("{error:?}"))?;
        if !rest.is_empty() {
            return Err(format!("{} bytes after the extensions", rest.len()));
        }
        for extension in extensions {
            match extension {
                TlsExtension::SNI(names) => {
                    let name = names.first().ok_or("no name")?.1;
                    self.server_name = Some(String::from_utf8_lossy(name).to_lowercase());
                }
                TlsExtension::ALPN(names) => {
                    self.alpn = names.iter().map(|name| name.to_vec()).collect();
                }
                _ => {}
            }
        }
        Ok(())
    }
}

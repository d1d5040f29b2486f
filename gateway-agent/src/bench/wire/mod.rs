//! What the two ends say to each other behind the hello, byte by byte.
//!
//! ```text
//! client:  hello  request  go  payload  end  verdict
//! server:         answer       payload  end  verdict
//! ```
//!
//! The gateway forwards all of it blindly; with `--tls` everything behind the hello is inside the
//! session. Head and version of request and answer stay as they are in every version, so that
//! two versions can tell each other apart. A payload has no frames: it ends where the end mark
//! stands instead of the payload's next bytes.

#[cfg(test)]
mod tests;

use core::fmt;

use gateway_common::wire::{Malformed, Reader};
use xxhash_rust::xxh3::xxh3_64;

use super::pattern::{Fault, FaultKind, Pattern};

/// The form of everything here; both ends must speak the same.
pub(super) const VERSION: u16 = 1;
/// How request and answer begin: no other protocol does.
const MAGIC: [u8; 8] = *b"CVBENCH\n";
/// Magic and version: what every version has.
pub(super) const HEAD: usize = MAGIC.len() + size_of::<u16>();
const CHECK: usize = size_of::<u64>();
/// Length of a request and of an answer.
pub(super) const REQUEST: usize = HEAD + 1 + 4 + 8 + 8 + 8 + 4 + 4 + CHECK;
pub(super) const ANSWER: usize = HEAD + 1 + 8 + 8 + CHECK;
/// Length of an end mark: the inverse of the payload's next bytes, length, sum, check.
pub(super) const END: usize = 8 + 8 + 8 + CHECK;
pub(super) const VERDICT: usize = 1 + 8 + 8 + 8 + 8 + 4 + CHECK;
/// What the client sends when it wants the server to begin.
pub(super) const GO: u8 = b'!';

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exchange {
    /// The client sends.
    Upload = 1,
    /// The server sends, until it has or the client ends its own, empty payload.
    Download = 2,
    /// Both send.
    Both = 3,
    /// The server sends back what it gets.
    Echo = 4,
}

/// What the client asks for, right behind its hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) exchange: Exchange,
    /// Which of the run's streams.
    pub(super) stream: u32,
    /// Told back in the answer: proof that it answers this request.
    pub(super) nonce: u64,
    /// Of the payload from the client.
    pub(super) seed: u64,
    /// Bytes that the server sends at most.
    pub(super) bytes: u64,
    /// Milliseconds that the server sends at most, from the go on.
    pub(super) milliseconds: u32,
    /// Bytes of one write of the server.
    pub(super) block: u32,
}

/// What the server says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) nonce: u64,
    pub(super) word: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Yes,
    /// A limit of the server is in the way.
    No(Limit),
}

/// A limit of the server, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Connections that one client may have open.
    Connections(u64),
    /// Bytes of one client.
    Bytes(u64),
    /// Milliseconds of one connection.
    Duration(u64),
}

/// Length and checksum of a payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) length: u64,
    /// xxh3 over all of it.
    pub(super) hash: u64,
}

/// What one end thinks of the payload that it received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) received: Sum,
    pub(super) finding: Finding,
    /// Segments that this end's kernel sent again.
    pub(super) retransmits: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// As sent.
    Sound,
    /// Bytes are wrong.
    Fault(Fault),
    /// A limit of the server ended it.
    Limit(Limit),
}

/// Why bytes are not the message that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WireError {
    /// The far end speaks something else.
    Foreign,
    /// The far end speaks another version.
    Version(u16),
    /// The message was changed on its way.
    Damaged(&'static str),
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = head();
        bytes.push(self.exchange as u8);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(self.nonce.to_be_bytes());
        bytes.extend(self.seed.to_be_bytes());
        bytes.extend(self.bytes.to_be_bytes());
        bytes.extend(self.milliseconds.to_be_bytes());
        bytes.extend(self.block.to_be_bytes());
        checked(bytes)
    }

    /// Reads a request of [`REQUEST`] bytes, or of [`HEAD`] bytes to learn that it is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "request";
        let mut fields = behind_head(bytes, WHAT)?;
        let exchange = match fields.u8(WHAT)? {
            1 => Exchange::Upload,
            2 => Exchange::Download,
            3 => Exchange::Both,
            4 => Exchange::Echo,
            _ => return Err(WireError::Damaged(WHAT)),
        };
        Ok(Self {
            exchange,
            stream: u32::from_be_bytes(*fields.array(WHAT)?),
            nonce: u64::from_be_bytes(*fields.array(WHAT)?),
            seed: u64::from_be_bytes(*fields.array(WHAT)?),
            bytes: u64::from_be_bytes(*fields.array(WHAT)?),
            milliseconds: u32::from_be_bytes(*fields.array(WHAT)?),
            block: u32::from_be_bytes(*fields.array(WHAT)?),
        })
    }

    /// The payload from the client.
    pub(super) const fn upstream(&self) -> Pattern {
        Pattern { seed: self.seed }
    }

    /// The payload from the server: another one, so that bytes sent back by something in between
    /// are not taken for the server's, but for an echo.
    pub(super) const fn downstream(&self) -> Pattern {
        match self.exchange {
            Exchange::Echo => self.upstream(),
            _ => Pattern { seed: !self.seed },
        }
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = head();
        let (code, value) = match self.word {
            Word::Yes => (0, 0),
            Word::No(limit) => limit.code(),
        };
        bytes.push(code);
        bytes.extend(value.to_be_bytes());
        bytes.extend(self.nonce.to_be_bytes());
        checked(bytes)
    }

    /// Reads an answer of [`ANSWER`] bytes, or of [`HEAD`] bytes to learn that it is none.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "answer";
        let mut fields = behind_head(bytes, WHAT)?;
        let code = fields.u8(WHAT)?;
        let value = u64::from_be_bytes(*fields.array(WHAT)?);
        let word = match code {
            0 => Word::Yes,
            code => Word::No(Limit::of(code, value).ok_or(WireError::Damaged(WHAT))?),
        };
        let nonce = u64::from_be_bytes(*fields.array(WHAT)?);
        Ok(Self { nonce, word })
    }
}

impl Limit {
    const fn code(self) -> (u8, u64) {
        match self {
            Self::Connections(value) => (1, value),
            Self::Bytes(value) => (2, value),
            Self::Duration(value) => (3, value),
        }
    }

    const fn of(code: u8, value: u64) -> Option<Self> {
        match code {
            1 => Some(Self::Connections(value)),
            2 => Some(Self::Bytes(value)),
            3 => Some(Self::Duration(value)),
            _ => None,
        }
    }
}

impl Sum {
    /// The mark that ends a payload of `pattern`. It begins with a byte that the payload cannot
    /// go on with.
    pub(super) fn end(self, pattern: Pattern) -> Vec<u8> {
        let mut bytes = vec![0; 8];
        pattern.fill(self.length, &mut bytes);
        for byte in &mut bytes {
            *byte = !*byte;
        }
        bytes.extend(self.length.to_be_bytes());
        bytes.extend(self.hash.to_be_bytes());
        checked(bytes)
    }

    /// Reads the mark that stands at `length`, if it is one.
    pub(super) fn of_end(bytes: &[u8], pattern: Pattern, length: u64) -> Option<Self> {
        let mut fields = unchecked(bytes.get(..END)?)?;
        let _inverse: &[u8; 8] = fields.array("end").ok()?;
        let said = u64::from_be_bytes(*fields.array("end").ok()?);
        let hash = u64::from_be_bytes(*fields.array("end").ok()?);
        let sum = Self { length, hash };
        (said == length && bytes.get(..END) == Some(&sum.end(pattern))).then_some(sum)
    }
}

impl Verdict {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (code, first, second) = match self.finding {
            Finding::Sound => (0, 0, 0),
            Finding::Limit(limit) => {
                let (code, value) = limit.code();
                (code, value, 0)
            }
            Finding::Fault(Fault { offset, kind }) => match kind {
                FaultKind::Changed { expected, found } => {
                    (16, offset, u64::from(u16::from_be_bytes([expected, found])))
                }
                FaultKind::Displaced { from } => (17, offset, from),
            },
        };
        let mut bytes = vec![code];
        for value in [self.received.length, self.received.hash, first, second] {
            bytes.extend(value.to_be_bytes());
        }
        bytes.extend(self.retransmits.to_be_bytes());
        checked(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "verdict";
        let mut fields = unchecked(bytes).ok_or(WireError::Damaged(WHAT))?;
        let code = fields.u8(WHAT)?;
        let length = u64::from_be_bytes(*fields.array(WHAT)?);
        let hash = u64::from_be_bytes(*fields.array(WHAT)?);
        let first = u64::from_be_bytes(*fields.array(WHAT)?);
        let second = u64::from_be_bytes(*fields.array(WHAT)?);
        let fault = |kind| {
            Finding::Fault(Fault {
                offset: first,
                kind,
            })
        };
        let finding = match code {
            0 => Finding::Sound,
            16 => {
                let [.., expected, found] = second.to_be_bytes();
                fault(FaultKind::Changed { expected, found })
            }
            17 => fault(FaultKind::Displaced { from: second }),
            code => Finding::Limit(Limit::of(code, first).ok_or(WireError::Damaged(WHAT))?),
        };
        Ok(Self {
            received: Sum { length, hash },
            finding,
            retransmits: u32::from_be_bytes(*fields.array(WHAT)?),
        })
    }
}

fn head() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_be_bytes());
    bytes
}

/// The fields behind magic and version.
fn behind_head<'a>(bytes: &'a [u8], what: &'static str) -> Result<Reader<'a>, WireError> {
    let mut head = Reader::new(bytes);
    if head.array(what) != Ok(&MAGIC) {
        return Err(WireError::Foreign);
    }
    let version = head.u16(what)?;
    if version != VERSION {
        return Err(WireError::Version(version));
    }
    let mut fields = unchecked(bytes).ok_or(WireError::Damaged(what))?;
    let _head: &[u8; HEAD] = fields.array(what)?;
    Ok(fields)
}

/// Adds the checksum that every message ends with.
fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend(xxh3_64(&bytes).to_be_bytes());
    bytes
}

/// The message without its checksum, if that is right.
fn unchecked(bytes: &[u8]) -> Option<Reader<'_>> {
    let (message, check) = bytes.split_last_chunk::<CHECK>()?;
    (xxh3_64(message) == u64::from_be_bytes(*check)).then(|| Reader::new(message))
}

impl From<Malformed> for WireError {
    fn from(malformed: Malformed) -> Self {
        Self::Damaged(malformed.what)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connections(limit) => write!(
                f,
                "{limit} connections of one client at once (--max-connections)"
            ),
            Self::Bytes(limit) => write!(f, "{limit} bytes of one client (--max-bytes)"),
            Self::Duration(limit) => {
                let limit = core::time::Duration::from_millis(*limit);
                let limit = humantime::format_duration(limit);
                write!(f, "{limit} for one connection (--max-duration)")
            }
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not what `culvert bench` says"),
            Self::Version(theirs) => write!(
                f,
                "the far end speaks version {theirs} of the bench protocol, this end version \
                 {VERSION}: run the same culvert at both ends"
            ),
            Self::Damaged(what) => write!(f, "the {what} was changed on its way"),
        }
    }
}

impl core::error::Error for WireError {}

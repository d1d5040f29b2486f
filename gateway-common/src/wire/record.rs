//! Walks TLS records and puts together a hello that is split over several of them.
//!
//! [`HelloReader`] keeps its place, so that a hello that drips in byte by byte costs the same as one
//! that arrives whole: each wire byte is looked at once. It holds no bytes itself. A message whole in
//! one record is read where it lies; only one that is split is copied, to the caller's scratch.
//!
//! Bytes after the hello are not judged: early data, or whatever else the server will see.

use super::preamble::{self, Sniffed};
use super::{ClientHello, HelloError};
use crate::limits::{MAX_HELLO, WIRE_PER_HELLO_BYTE};

/// Reads one ClientHello from the growing bytes of one connection.
///
/// ```
/// # use gateway_common::wire::{HelloError, HelloReader, Progress, ServerName};
/// # fn read(mut receive: impl FnMut(&mut Vec<u8>, usize)) -> Result<Option<ServerName>, HelloError> {
/// let mut reader = HelloReader::new(16_384);
/// let (mut received, mut scratch) = (Vec::new(), Vec::new());
/// loop {
///     match reader.advance(&received, &mut scratch)? {
///         Progress::Complete(hello) => return Ok(hello.server_name().copied()),
///         Progress::Scratch { need } => scratch.resize(need, 0),
///         Progress::Incomplete { need } => receive(&mut received, need),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct HelloReader {
    /// Longest message accepted, with its handshake header.
    limit: usize,
    /// Wire bytes that are done with.
    at: usize,
    /// Bytes of the open record that are not.
    left: usize,
    /// Records opened.
    records: u32,
    /// The handshake header: message type and 3-byte length. It may itself be split.
    header: [u8; HANDSHAKE_HEADER],
    header_length: usize,
    /// Bytes of the message body copied to the caller's scratch.
    gathered: usize,
}

/// How far a hello has come.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nothing to box it with; it lives for one call on the caller's stack"
)]
pub enum Progress<'a> {
    /// More bytes must be received.
    Incomplete {
        /// Total length of the input below which another call says the same.
        need: usize,
    },
    /// The hello is split over records: grow the scratch, keep its content, and call again.
    Scratch {
        /// Length to grow it to, at most twice what the client has sent of the message, or 512.
        need: usize,
    },
    /// The hello is whole.
    Complete(ClientHello<'a>),
}

const RECORD_HEADER: usize = 5;
const HANDSHAKE_HEADER: usize = 4;
/// Longest plaintext record (RFC 8446 section 5.1).
const MAX_RECORD: u16 = 1 << 14;
/// The first scratch asked for: most hellos that are split at all fit soon.
const FIRST_SCRATCH: usize = 512;

/// The next bytes of the message, or the input length that there must be for some.
enum Chunk<'a> {
    Bytes(&'a [u8]),
    Need(usize),
}

impl HelloReader {
    /// Starts on a new connection. `max_hello` counts the bytes of the handshake message with its
    /// header; above [`MAX_HELLO`] it is taken as that.
    pub const fn new(max_hello: usize) -> Self {
        Self {
            limit: if max_hello < MAX_HELLO {
                max_hello
            } else {
                MAX_HELLO
            },
            at: 0,
            left: 0,
            records: 0,
            header: [0; HANDSHAKE_HEADER],
            header_length: 0,
            gathered: 0,
        }
    }

    /// Length of input at which the hello is complete or refused, whatever the client sends.
    pub const fn max_input(&self) -> usize {
        self.limit * WIRE_PER_HELLO_BYTE
    }

    /// Goes on with every byte received so far from the connection's first one.
    ///
    /// `input` may only grow between calls. `scratch` may be empty at first; between calls it keeps
    /// its content and may only grow. After `Complete` or an error another call says the same again.
    ///
    /// # Errors
    /// What the client sent is no hello that can be routed, whatever may follow.
    pub fn advance<'a>(
        &mut self,
        input: &'a [u8],
        scratch: &'a mut [u8],
    ) -> Result<Progress<'a>, HelloError> {
        if let Some(need) = self.read_header(input)? {
            return Ok(Progress::Incomplete { need });
        }
        let length = self.body_length()?;
        if self.gathered == 0 && length > 0 {
            if let Chunk::Need(need) = self.chunk(input, length)? {
                return Ok(Progress::Incomplete { need });
            }
            if length <= self.left {
                return self.in_place(input, length);
            }
        }
        self.gather(input, scratch, length)
    }

    /// Reads the handshake header, or says how much input it takes.
    fn read_header(&mut self, input: &[u8]) -> Result<Option<usize>, HelloError> {
        const CLIENT_HELLO: u8 = 1;
        while self.header_length < HANDSHAKE_HEADER {
            let bytes = match self.chunk(input, HANDSHAKE_HEADER - self.header_length)? {
                Chunk::Bytes(bytes) => bytes,
                Chunk::Need(need) => return Ok(Some(need)),
            };
            for (to, &from) in self.header.iter_mut().skip(self.header_length).zip(bytes) {
                *to = from;
            }
            self.header_length += bytes.len();
            self.consume(bytes.len());
        }
        match self.header {
            [CLIENT_HELLO, ..] => Ok(None),
            [kind, ..] => Err(HelloError::NotClientHello(kind)),
        }
    }

    /// The length of the message without its header, if that is within the limit.
    fn body_length(&self) -> Result<usize, HelloError> {
        let [_, high, middle, low] = self.header.map(usize::from);
        let length = high << 16 | middle << 8 | low;
        let with_header = length + HANDSHAKE_HEADER;
        if with_header > self.limit {
            return Err(HelloError::TooLarge {
                length: with_header,
                limit: self.limit,
            });
        }
        Ok(length)
    }

    /// Reads a body that lies whole in the open record.
    fn in_place<'a>(&self, input: &'a [u8], length: usize) -> Result<Progress<'a>, HelloError> {
        let end = self.at + length;
        let Some(body) = input.get(self.at..end) else {
            return Ok(Progress::Incomplete { need: end });
        };
        ClientHello::parse(body, self.records, end).map(Progress::Complete)
    }

    /// Copies what there is of a split body, and reads it when it is whole.
    fn gather<'a>(
        &mut self,
        input: &[u8],
        scratch: &'a mut [u8],
        length: usize,
    ) -> Result<Progress<'a>, HelloError> {
        while self.gathered < length {
            let bytes = match self.chunk(input, length - self.gathered)? {
                Chunk::Bytes(bytes) => bytes,
                Chunk::Need(need) => return Ok(Progress::Incomplete { need }),
            };
            let end = self.gathered + bytes.len();
            let Some(target) = scratch.get_mut(self.gathered..end) else {
                let need = end.next_power_of_two().max(FIRST_SCRATCH).min(length);
                return Ok(Progress::Scratch { need });
            };
            target.copy_from_slice(bytes);
            self.gathered = end;
            self.consume(bytes.len());
        }
        match scratch.get(..length) {
            Some(body) => ClientHello::parse(body, self.records, self.at).map(Progress::Complete),
            None => Ok(Progress::Scratch { need: length }),
        }
    }

    /// The next message bytes of one record, at most `wanted`, without consuming them; opens the
    /// next record when the last is used up.
    fn chunk<'a>(&mut self, input: &'a [u8], wanted: usize) -> Result<Chunk<'a>, HelloError> {
        if self.left == 0
            && let Some(need) = self.open_record(input)?
        {
            return Ok(Chunk::Need(need));
        }
        let wanted = wanted.min(self.left);
        let unread = input.get(self.at..).unwrap_or_default();
        match unread.get(..wanted.min(unread.len())) {
            Some([]) | None => Ok(Chunk::Need(self.at + wanted)),
            Some(bytes) => Ok(Chunk::Bytes(bytes)),
        }
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
        self.left -= count;
    }

    /// Reads a record's header, or says how much input it takes.
    fn open_record(&mut self, input: &[u8]) -> Result<Option<usize>, HelloError> {
        const ALERT: u8 = 21;
        const HANDSHAKE: u8 = 22;
        if self.at == 0 {
            match preamble::sniff(input) {
                Sniffed::Tls => {}
                Sniffed::Undecided => return Ok(Some(input.len() + 1)),
                Sniffed::Other(preamble) => return Err(HelloError::NotTls(preamble)),
            }
        }
        let unread = input.get(self.at..).unwrap_or_default();
        let Some(&[content_type, major, minor, high, low]) = unread.first_chunk() else {
            return Ok(Some(self.at + RECORD_HEADER));
        };
        let record = self.records + 1;
        let length = u16::from_be_bytes([high, low]);
        match content_type {
            HANDSHAKE => {}
            ALERT => return Err(HelloError::UnexpectedAlert),
            content_type => {
                return Err(HelloError::RecordType {
                    record,
                    content_type,
                });
            }
        }
        if major != 3 {
            let version = u16::from_be_bytes([major, minor]);
            return Err(HelloError::RecordVersion { record, version });
        }
        if !(1..=MAX_RECORD).contains(&length) {
            return Err(HelloError::RecordLength { record, length });
        }
        self.at += RECORD_HEADER;
        self.left = usize::from(length);
        self.records = record;
        Ok(None)
    }
}

//! A reader over a slice that cannot leave it: what the hello's fields are read with.
//!
//! Each read names the field, so that an error says what was cut short and where. There is no
//! "incomplete" here: `record` hands over a message only when it is whole.

use core::fmt;

/// Reads big-endian TLS fields (RFC 8446 section 3) from the front of a slice.
///
/// Every read fails with [`Malformed`] when fewer bytes are left than it takes, and takes none of
/// the field's content then.
///
/// ```
/// # use gateway_common::wire::Reader;
/// let mut message = Reader::new(&[0, 2, 0x13, 0x01, 7]);
/// let mut suites = message.list16("cipher suites")?;
/// assert_eq!(suites.u16("cipher suite")?, 0x1301);
/// assert!(suites.is_empty());
/// assert_eq!(message.rest(), &[7]);
/// # Ok::<(), gateway_common::wire::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

/// A field that is cut short, too long or otherwise not what its RFC says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Malformed {
    /// The field that was being read.
    pub what: &'static str,
    /// Where it starts: bytes after the handshake header of the hello.
    pub offset: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`, which is offset 0 of every error.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            offset: 0,
        }
    }

    /// Takes the next `count` bytes.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or_else(|| self.malformed(what))?;
        self.rest = rest;
        self.offset += count;
        Ok(taken)
    }

    /// Takes the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N], Malformed> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.malformed(what))?;
        self.rest = rest;
        self.offset += N;
        Ok(taken)
    }

    /// Takes one byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array(what).map(|&[byte]| byte)
    }

    /// Takes a two-byte number.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(|&bytes| u16::from_be_bytes(bytes))
    }

    /// Takes a vector with a one-byte length, as a reader of its own.
    pub fn list8(&mut self, what: &'static str) -> Result<Self, Malformed> {
        let at_length = self.malformed(what);
        let length = usize::from(self.u8(what)?);
        self.sub(length, at_length)
    }

    /// Takes a vector with a two-byte length, as a reader of its own.
    pub fn list16(&mut self, what: &'static str) -> Result<Self, Malformed> {
        let at_length = self.malformed(what);
        let length = usize::from(self.u16(what)?);
        self.sub(length, at_length)
    }

    /// Succeeds when nothing is left: `what` may not be followed by stray bytes.
    pub fn finish(self, what: &'static str) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.malformed(what))
        }
    }

    /// Whether every byte was taken.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes not yet taken.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The error that `what` is wrong at this place.
    pub const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed {
            what,
            offset: self.offset,
        }
    }

    fn sub(&mut self, length: usize, at_length: Malformed) -> Result<Self, Malformed> {
        let offset = self.offset;
        let rest = self.take(length, at_length.what).or(Err(at_length))?;
        Ok(Self { rest, offset })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "malformed {} at byte {} of the hello",
            self.what, self.offset
        )
    }
}

impl core::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::{Malformed, Reader};

    #[test]
    fn a_read_past_the_end_takes_nothing_and_names_field_and_place() {
        let mut reader = Reader::new(&[1, 2, 3]);
        reader.u8("first").unwrap();
        assert_eq!(
            reader.take(3, "second"),
            Err(Malformed {
                what: "second",
                offset: 1
            })
        );
        assert_eq!(reader.rest(), &[2, 3]);
    }

    #[test]
    fn a_list_longer_than_the_rest_is_malformed_at_its_length() {
        let mut reader = Reader::new(&[0, 3, 9, 9]);
        let error = reader.list16("names").unwrap_err();
        assert_eq!(
            error,
            Malformed {
                what: "names",
                offset: 0
            }
        );
    }

    #[test]
    fn offsets_within_a_list_count_from_the_start_of_the_message() {
        let mut reader = Reader::new(&[7, 1, 5]);
        reader.u8("first").unwrap();
        let mut list = reader.list8("list").unwrap();
        list.u8("entry").unwrap();
        assert_eq!(
            list.u8("entry"),
            Err(Malformed {
                what: "entry",
                offset: 3
            })
        );
    }

    #[test]
    fn finish_refuses_stray_bytes() {
        assert!(Reader::new(&[]).finish("message").is_ok());
        assert!(Reader::new(&[0]).finish("message").is_err());
    }
}

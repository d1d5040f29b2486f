//! Parts of a SPIFFE identifier's path, with and without escapes.

use std::fmt::{self, Write as _};

use super::SpiffeError;

/// A part of a path without its escapes.
pub(super) fn decoded(part: &str) -> Result<String, SpiffeError> {
    if part.is_empty() {
        return Err(SpiffeError::EmptyPart);
    }
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => escaped_byte(rest.next(), rest.next()).ok_or(SpiffeError::Escape)?,
            plain if may_stand(plain) => plain,
            _ => return Err(SpiffeError::Character),
        });
    }
    String::from_utf8(bytes).or(Err(SpiffeError::Escape))
}

fn escaped_byte(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether a byte may stand unescaped in a part of a path. RFC 3986, section 3.3: `pchar`.
fn may_stand(byte: u8) -> bool {
    is_written_plain(byte) || b"!'()*,;".contains(&byte)
}

/// Whether a byte is written without an escape. Consul: as Go escapes a part of a path.
fn is_written_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~$&+=:@".contains(&byte)
}

/// A part of a path as it is written.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| {
            if is_written_plain(byte) {
                f.write_char(char::from(byte))
            } else {
                write!(f, "%{byte:02X}")
            }
        })
    }
}

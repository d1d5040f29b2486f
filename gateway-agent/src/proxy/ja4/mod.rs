//! JA4, the fingerprint by which logs tell client software apart.
//!
//! FoxIO specify it, in `technical_details/JA4.md` of github.com/FoxIO-LLC/ja4; of the JA4 family this
//! one method is under a BSD licence.
//!
//! It is a label for people and their log tools. Nothing here decides by it: a client chooses what
//! it looks like.

use std::fmt::{self, Write as _};

use gateway_common::wire::ClientHello;
use sha2::{Digest as _, Sha256};

const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;

/// A fingerprint, in place: every open connection has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ja4([u8; 36]);

impl From<&str> for Ja4 {
    /// Takes the ASCII characters of a fingerprint, which are as many as there is room for.
    fn from(text: &str) -> Self {
        let mut fingerprint = [b'0'; 36];
        for (place, byte) in fingerprint.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        Self(fingerprint)
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fingerprint of a hello over TCP, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`.
pub fn fingerprint(hello: &ClientHello<'_>) -> Ja4 {
    let mut suites: Vec<u16> = without_grease(hello.cipher_suites()).collect();
    let mut extensions: Vec<u16> = without_grease(hello.extensions().map(|e| e.kind)).collect();
    let name = if extensions.contains(&SERVER_NAME) {
        'd'
    } else {
        'i'
    };
    let mut fingerprint = format!(
        "t{version}{name}{suites:02}{extensions:02}{alpn}",
        version = version(hello),
        suites = suites.len().min(99),
        extensions = extensions.len().min(99),
        alpn = alpn(hello),
    );
    suites.sort_unstable();
    fingerprint.push('_');
    fingerprint.push_str(&hash(&hex_list(&suites)));
    extensions.retain(|&kind| kind != SERVER_NAME && kind != ALPN);
    extensions.sort_unstable();
    let mut listed = hex_list(&extensions);
    let algorithms = signature_algorithms(hello);
    if !algorithms.is_empty() {
        listed.push('_');
        listed.push_str(&hex_list(&algorithms));
    }
    fingerprint.push('_');
    fingerprint.push_str(&hash(&listed));
    fingerprint.as_str().into()
}

/// The highest version offered.
fn version(hello: &ClientHello<'_>) -> &'static str {
    let offered = without_grease(hello.supported_versions()).max();
    match offered.unwrap_or_else(|| hello.legacy_version()) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and last character of the first protocol, or of its hex form if either is neither
/// letter nor digit.
fn alpn(hello: &ClientHello<'_>) -> String {
    let name = hello.alpn().next().unwrap_or_default();
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [first, last].map(char::from).iter().collect();
    }
    format!("{:x}{:x}", first >> 4, last & 0xf)
}

/// The client's signature algorithms in its order; none when the extension is not well-formed.
fn signature_algorithms(hello: &ClientHello<'_>) -> Vec<u16> {
    let extension = hello
        .extensions()
        .find(|extension| extension.kind == SIGNATURE_ALGORITHMS);
    let list = extension
        .and_then(|extension| extension.body.get(2..))
        .unwrap_or_default();
    let (pairs, _) = list.as_chunks();
    without_grease(pairs.iter().map(|&pair| u16::from_be_bytes(pair))).collect()
}

/// Leaves out the values that clients send to keep servers tolerant (RFC 8701).
fn without_grease(values: impl Iterator<Item = u16>) -> impl Iterator<Item = u16> {
    values.filter(|value| {
        let [high, low] = value.to_be_bytes();
        high != low || low & 0x0f != 0x0a
    })
}

fn hex_list(values: &[u16]) -> String {
    let hex: Vec<_> = values.iter().map(|value| format!("{value:04x}")).collect();
    hex.join(",")
}

/// The first twelve hex digits of the SHA-256, and zeros for an empty list.
fn hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(12);
    }
    Sha256::digest(list)
        .iter()
        .take(6)
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("writing to a string does not fail");
            hex
        })
}

#[cfg(test)]
mod tests;

//! What a server name is: the one value that routes are chosen by.
//!
//! A [`ServerName`] is compared without case and without the trailing dot, because it is stored
//! without either. Whatever is not a DNS host name is an error that says why. Deliberately looser
//! than RFC 1123 in two places, because such names are in use and resolve: underscores anywhere
//! (service names), hyphens at either end of a label. Wildcards are patterns of a route, not names.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::Ipv6Addr;
use core::str::FromStr;

use crate::limits::{MAX_LABEL, MAX_SERVER_NAME};

/// A DNS host name, in lower case, without trailing dot, 1 to 253 bytes of ASCII.
#[derive(Clone, Copy)]
pub struct ServerName {
    length: u8,
    bytes: [u8; MAX_SERVER_NAME],
}

/// Why bytes are not a server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerNameError {
    /// No byte, or nothing but the root's dot.
    Empty,
    /// Longer than 253 bytes without the trailing dot.
    TooLong,
    /// A NUL byte: the classic way to make two readers see two names.
    Nul,
    /// A byte above 0x7f: international names travel as punycode (RFC 6066 section 3).
    NotAscii,
    /// An address of either family, bracketed or not, or a name that ends in a number and would be
    /// taken for one: RFC 6066 section 3 permits host names only.
    IpLiteral,
    /// Two dots in a row, or a dot at the start.
    EmptyLabel,
    /// A label of more than 63 bytes.
    LabelTooLong,
    /// A byte that no host name has.
    BadCharacter(u8),
}

impl ServerName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        // The constructor admits ASCII only, so that the empty default is never taken.
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }
}

impl TryFrom<&[u8]> for ServerName {
    type Error = ServerNameError;

    fn try_from(name: &[u8]) -> Result<Self, ServerNameError> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() {
            return Err(ServerNameError::Empty);
        }
        let mut bytes = [0; MAX_SERVER_NAME];
        let (target, length) = bytes
            .get_mut(..name.len())
            .zip(u8::try_from(name.len()).ok())
            .ok_or(ServerNameError::TooLong)?;
        target.copy_from_slice(name);
        target.make_ascii_lowercase();
        check(target)?;
        Ok(Self { length, bytes })
    }
}

/// Finds what is wrong with a name; the kinds that hide another reading come first.
fn check(name: &[u8]) -> Result<(), ServerNameError> {
    if name.contains(&0) {
        return Err(ServerNameError::Nul);
    }
    if !name.is_ascii() {
        return Err(ServerNameError::NotAscii);
    }
    if is_ip_literal(name) {
        return Err(ServerNameError::IpLiteral);
    }
    for label in name.split(|&byte| byte == b'.') {
        if label.is_empty() {
            return Err(ServerNameError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(ServerNameError::LabelTooLong);
        }
        if let Some(&byte) = label.iter().find(|&&byte| !is_host_character(byte)) {
            return Err(ServerNameError::BadCharacter(byte));
        }
    }
    Ok(())
}

/// Whether a resolver or URL parser would take the name for an address: a last label of digits
/// covers IPv4 in all its spellings (the "ends in a number" rule of the URL standard).
fn is_ip_literal(name: &[u8]) -> bool {
    let last = name.rsplit(|&byte| byte == b'.').next().unwrap_or(name);
    let ends_in_number = !last.is_empty() && last.iter().all(u8::is_ascii_digit);
    ends_in_number || is_ipv6_literal(name)
}

/// Whether the name is an IPv6 address, with or without brackets and zone.
fn is_ipv6_literal(name: &[u8]) -> bool {
    let inner = name
        .strip_prefix(b"[")
        .and_then(|rest| rest.strip_suffix(b"]"))
        .unwrap_or(name);
    let address = inner.split(|&byte| byte == b'%').next().unwrap_or(inner);
    address.contains(&b':')
        && str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

const fn is_host_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(name: &str) -> Result<Self, ServerNameError> {
        Self::try_from(name.as_bytes())
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

// Equality, order and hash are those of the text, as `Borrow<str>` demands: a map keyed by server
// names is searched by `&str`.

impl PartialEq for ServerName {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for ServerName {}

impl PartialOrd for ServerName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ServerName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for ServerName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ServerName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl ServerNameError {
    /// The reason as a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Empty => "name_empty",
            Self::TooLong => "name_too_long",
            Self::Nul => "name_nul",
            Self::NotAscii => "name_not_ascii",
            Self::IpLiteral => "name_ip_literal",
            Self::EmptyLabel => "name_empty_label",
            Self::LabelTooLong => "name_label_too_long",
            Self::BadCharacter(_) => "name_bad_character",
        }
    }
}

impl fmt::Display for ServerNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("server name is empty"),
            Self::TooLong => {
                write!(f, "server name is longer than {MAX_SERVER_NAME} bytes")
            }
            Self::Nul => f.write_str("server name contains a NUL byte"),
            Self::NotAscii => f.write_str(
                "server name is not ASCII: international names are written in punycode (xn--)",
            ),
            Self::IpLiteral => {
                f.write_str("server name is an IP address or ends in a number, not a host name")
            }
            Self::EmptyLabel => f.write_str("server name has an empty label"),
            Self::LabelTooLong => {
                write!(f, "server name has a label of more than {MAX_LABEL} bytes")
            }
            Self::BadCharacter(byte) => {
                write!(f, "server name has the character '{}'", byte.escape_ascii())
            }
        }
    }
}

impl core::error::Error for ServerNameError {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::format;
    use std::string::ToString as _;

    use super::{ServerName, ServerNameError};

    fn refused(name: &[u8]) -> ServerNameError {
        ServerName::try_from(name).unwrap_err()
    }

    #[test]
    fn every_kind_of_wrong_name_has_its_own_error() {
        let label = [b'a'; 64];
        let long = [b'a', b'.'].repeat(127);
        assert_eq!(refused(b""), ServerNameError::Empty);
        assert_eq!(refused(b"."), ServerNameError::Empty);
        assert_eq!(refused(b"a.example\0.evil.example"), ServerNameError::Nul);
        assert_eq!(
            refused("b\u{fc}cher.example".as_bytes()),
            ServerNameError::NotAscii
        );
        assert_eq!(refused(&[&*long, b"a"].concat()), ServerNameError::TooLong);
        assert_eq!(refused(&label), ServerNameError::LabelTooLong);
        assert_eq!(refused(b"a..example"), ServerNameError::EmptyLabel);
        assert_eq!(refused(b".example"), ServerNameError::EmptyLabel);
        assert_eq!(refused(b"a.."), ServerNameError::EmptyLabel);
        assert_eq!(refused(b"*.example"), ServerNameError::BadCharacter(b'*'));
        assert_eq!(refused(b"a example"), ServerNameError::BadCharacter(b' '));
        assert_eq!(
            refused(b"a.example:443"),
            ServerNameError::BadCharacter(b':')
        );
    }

    #[test]
    fn addresses_are_no_server_names_in_any_spelling() {
        let spellings = [
            "192.0.2.1",
            "192.0.2.1.",
            "127.1",
            "2130706433",
            "0177.0.0.1",
            "a.example.0",
        ];
        let v6 = [
            "::1",
            "[::1]",
            "fd00::2",
            "fe80::1%eth0",
            "[fe80::1%eth0]",
            "::ffff:192.0.2.1",
        ];
        for name in spellings.iter().chain(&v6) {
            assert_eq!(
                refused(name.as_bytes()),
                ServerNameError::IpLiteral,
                "{name}"
            );
        }
    }

    #[test]
    fn names_in_use_are_accepted() {
        let longest = [&*[b'a', b'.'].repeat(126), b"a."].concat();
        assert_eq!(longest.len(), 254, "253 bytes and the trailing dot");
        assert!(ServerName::try_from(&*longest).is_ok());
        let names = [
            "localhost",
            "xn--bcher-kva.example",
            "_dns.example",
            "r3---sn.example",
        ];
        for name in names.iter().chain(&["-a-.example", "1.2.example", "a.1a"]) {
            assert_eq!(name.parse::<ServerName>().unwrap().as_str(), *name);
        }
    }

    #[test]
    fn case_and_trailing_dot_make_no_difference() {
        let name: ServerName = "WWW.Example.COM.".parse().unwrap();
        assert_eq!(name, "www.example.com".parse().unwrap());
        assert_eq!(name.to_string(), "www.example.com");
        assert_eq!(format!("{name:?}"), "\"www.example.com\"");
    }

    #[test]
    fn a_map_of_names_is_searched_by_text() {
        let name: ServerName = "A.example".parse().unwrap();
        let map = HashMap::from([(name, 1)]);
        assert_eq!(map.get("a.example"), Some(&1));
    }

    #[test]
    fn names_sort_as_their_text() {
        let (short, long): (ServerName, ServerName) = (
            "b.example".parse().unwrap(),
            "a.longer.example".parse().unwrap(),
        );
        assert!(long < short);
    }
}

//! Values: the texts that stand in strings (times, sizes, addresses, prefixes, names) -> types.
//!
//! Pure functions from a text to a value or to what is wrong with it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::reader::Wrong;
use crate::control::cluster::Target;
use crate::control::policy::unmapped;

/// No time of ours is longer than a year; more would be a slip of the pen, and might overflow a clock.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A duration with its unit, at least `least`.
pub(super) fn duration(text: &str, least: Duration) -> Result<Duration, Wrong> {
    let parsed = humantime::parse_duration(text)
        .ok()
        .ok_or_else(|| Wrong::new(format!("`{text}` is not a time"), EXPECTED_TIME))?;
    if parsed < least || parsed > YEAR {
        let least = humantime::format_duration(least);
        let message = format!("`{text}` is out of range");
        return Err(Wrong::new(message, format!("expected {least} to 365days")));
    }
    Ok(parsed)
}

const EXPECTED_TIME: &str = "expected a number and its unit, such as \"250ms\", \"5s\" or \"1h\"";

/// A number of bytes: `"65536"`, `"64KiB"`, `"1MiB"`.
pub(super) fn size(text: &str) -> Option<usize> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

/// An address and port to listen on.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Wrong> {
    let address = socket_address(text)?;
    match address.ip() {
        // The socket is IPv6 only: such an address could never be bound.
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(Wrong::new(
            format!("`{text}` is an IPv4 address in IPv6 form"),
            "expected the IPv4 address itself",
        )),
        _ => Ok(address),
    }
}

/// An address and port; the port is not 0.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Wrong> {
    let address: SocketAddr = text.parse().ok().ok_or_else(|| {
        Wrong::new(
            format!("`{text}` is not an address and port"),
            EXPECTED_ADDRESS,
        )
    })?;
    if address.port() == 0 {
        return Err(Wrong::new(
            format!("`{text}` has port 0"),
            "expected a port from 1 to 65535",
        ));
    }
    Ok(address)
}

const EXPECTED_ADDRESS: &str = "expected such as \"192.0.2.1:443\" or \"[2001:db8::1]:443\"";

/// Where an endpoint is: an address or a host name, with a port.
pub(super) fn target(text: &str) -> Result<Target, Wrong> {
    if text.starts_with('[') || text.parse::<SocketAddr>().is_ok() {
        let address = socket_address(text)?;
        let ip = dialable(address.ip().to_canonical(), text)?;
        return Ok(Target::Address(SocketAddr::new(ip, address.port())));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(Wrong::new(
            format!("`{text}` has no port"),
            EXPECTED_ENDPOINT,
        ));
    };
    if host.contains(':') {
        let message = format!("`{text}` is ambiguous");
        return Err(Wrong::new(
            message,
            "expected an IPv6 address in brackets: \"[fd00::2]:443\"",
        ));
    }
    let port = self::port(port, text)?;
    Ok(Target::Host {
        host: host_name(host)?.into(),
        port,
    })
}

const EXPECTED_ENDPOINT: &str = "expected \"address:port\" or \"host:port\"";

/// An address that can be dialled.
fn dialable(address: IpAddr, text: &str) -> Result<IpAddr, Wrong> {
    if address.is_unspecified() || address.is_multicast() {
        let message = format!("`{text}` cannot be dialled");
        return Err(Wrong::new(message, "expected the address of one host"));
    }
    Ok(address)
}

/// A local address to dial from.
pub(super) fn source_address(text: &str) -> Result<IpAddr, Wrong> {
    let address: IpAddr = text
        .parse()
        .ok()
        .ok_or_else(|| Wrong::new(format!("`{text}` is not an address"), EXPECTED_IP))?;
    dialable(address.to_canonical(), text)
}

const EXPECTED_IP: &str = "expected such as \"192.0.2.1\" or \"2001:db8::1\"";

fn port(text: &str, whole: &str) -> Result<u16, Wrong> {
    // `parse` would take a plus sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|&port| digits && port != 0)
        .ok_or_else(|| {
            let message = format!("`{text}` in `{whole}` is not a port");
            Wrong::new(message, "expected a number from 1 to 65535")
        })
}

/// A host name to resolve, lower case, without its trailing dot.
///
/// What ends in a number is meant as an IPv4 address, in whatever form resolvers of old take
/// (`10.1`, `0x7f.1`); it is never a name (WHATWG URL, "ends in a number").
pub(super) fn host_name(text: &str) -> Result<String, Wrong> {
    let name = dns_name(text)?;
    let last = name.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("`{text}` is neither an IPv4 address nor a host name");
        return Err(Wrong::new(message, EXPECTED_ENDPOINT));
    }
    Ok(name)
}

/// The name of a route: a server name, or `*.` and a suffix; normalised.
pub(super) fn route_name(text: &str) -> Result<String, Wrong> {
    if text == "*" {
        return Err(Wrong::new(
            "`*` is not a route's name",
            "expected a name; for all others write `default { route = ... }`",
        ));
    }
    match text.strip_prefix("*.") {
        Some(suffix) if !suffix.contains('*') => {
            let suffix = dns_name(suffix)?;
            if suffix.len() > 251 {
                return Err(Wrong::new(
                    format!("`{text}` is too long"),
                    "expected at most 253 bytes",
                ));
            }
            Ok(format!("*.{suffix}"))
        }
        _ if text.contains('*') => Err(Wrong::new(
            format!("`{text}` has a wildcard in the wrong place"),
            "expected `*.` at the start only: it stands for one or more whole labels",
        )),
        _ if text.parse::<IpAddr>().is_ok() || bracketed(text) => Err(Wrong::new(
            format!("`{text}` is an address"),
            "expected a name: clients send no server name for addresses",
        )),
        _ => dns_name(text),
    }
}

fn bracketed(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}

/// A DNS name as TLS carries it: labels of letters, digits, `-` and `_`; lower case, without
/// its trailing dot.
fn dns_name(text: &str) -> Result<String, Wrong> {
    let wrong = |why: &str| {
        Err(Wrong::new(
            format!("`{text}` is not a name: {why}"),
            "expected such as web.example.com",
        ))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    if !name.is_ascii() {
        return wrong("it is not ASCII; write international names in their xn-- form");
    }
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.len() > 253 {
        return wrong("it has more than 253 bytes");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return wrong("a label is empty");
        }
        if label.len() > 63 {
            return wrong("a label has more than 63 bytes");
        }
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.bytes().all(fine) {
            return wrong("only letters, digits, `-` and `_` stand in a label");
        }
    }
    Ok(name.to_ascii_lowercase())
}

/// A prefix of addresses, or one address. IPv4 in IPv6 form becomes IPv4.
pub(super) fn prefix(text: &str) -> Result<IpNet, Wrong> {
    let parsed = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().ok().ok_or_else(|| {
            Wrong::new(
                format!("`{text}` is not a prefix of addresses"),
                EXPECTED_PREFIX,
            )
        })?,
    };
    if parsed != parsed.trunc() {
        let message = format!("`{text}` has address bits behind its prefix length");
        return Err(Wrong::new(
            message,
            format!("expected \"{}\" or a longer prefix", parsed.trunc()),
        ));
    }
    Ok(unmapped(parsed))
}

const EXPECTED_PREFIX: &str = "expected such as \"10.0.0.0/8\", \"fd00::/8\" or one address";

/// A steered destination: a prefix (IPv6 in brackets) and a port or range of ports.
pub(super) fn destination(text: &str) -> Result<(IpNet, RangeInclusive<u16>), Wrong> {
    let wrong = || {
        Wrong::new(
            format!("`{text}` is not a destination"),
            EXPECTED_DESTINATION,
        )
    };
    let (address, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
    // `[fd00:9::]/64` and `[fd00:9::1]`; without brackets no colon may stand.
    let address = match address.strip_prefix('[') {
        Some(rest) => {
            let (inside, length) = rest.split_once(']').ok_or_else(wrong)?;
            format!("{inside}{length}")
        }
        None if address.contains(':') => return Err(wrong()),
        None => address.to_owned(),
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last) = (port(first, text)?, port(last, text)?);
    if first > last {
        let message = format!("`{text}` has its ports the wrong way round");
        return Err(Wrong::new(message, format!("expected {last}-{first}")));
    }
    Ok((prefix(&address)?, first..=last))
}

const EXPECTED_DESTINATION: &str =
    "expected such as \"192.0.2.0/24:443\" or \"[fd00:9::]/64:1-1024\"";

/// A label for metrics and logs: at most `most` bytes, nothing that cannot be seen.
pub(super) fn label(text: &str, most: usize) -> Result<Arc<str>, Wrong> {
    if text.len() > most || text.chars().any(char::is_control) {
        let message = format!("`{}` is not a label", text.escape_debug());
        let expected = format!("expected at most {most} bytes without control characters");
        return Err(Wrong::new(message, expected));
    }
    Ok(text.into())
}

/// A name of letters, digits and `more`, of 1 to `most` characters.
pub(super) fn identifier(
    text: &str,
    more: &str,
    most: usize,
    upper: bool,
) -> Result<Arc<str>, Wrong> {
    let fine = |c: char| {
        c.is_ascii_lowercase()
            || c.is_ascii_digit()
            || (upper && c.is_ascii_uppercase())
            || more.contains(c)
    };
    if text.is_empty() || text.len() > most || !text.chars().all(fine) {
        let letters = if upper { "letters" } else { "small letters" };
        let expected = format!("expected 1 to {most} of: {letters}, digits, `{more}`");
        return Err(Wrong::new(
            format!("`{}` is not a name", text.escape_debug()),
            expected,
        ));
    }
    Ok(text.into())
}

/// An absolute path of at most `most` bytes.
pub(super) fn path(text: &str, most: usize) -> Result<PathBuf, Wrong> {
    if !text.starts_with('/') || text.len() > most || text.contains('\0') {
        let message = format!("`{}` is not usable as a path", text.escape_debug());
        return Err(Wrong::new(
            message,
            format!("expected an absolute path of at most {most} bytes"),
        ));
    }
    Ok(PathBuf::from(text))
}

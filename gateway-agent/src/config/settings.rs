//! The blocks that stand once: `limits`, `engine`, `health`, `dns`, `steer`, `admin`, `log`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::reader::{Reader, What};
use super::value;
use crate::control::snapshot::{
    AccessLog, Admin, Dns, EngineKind, EnginePreference, Health, Limits, Log, LogLevel, Sockmap,
    Steer, SteerMode,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Opens the block `kind`, if it is given, lets `read` take it apart and refuses the rest.
fn block<T>(
    top: &mut Reader<'_, '_>,
    kind: &'static str,
    default: T,
    read: impl FnOnce(&mut Reader<'_, '_>, &mut T),
) -> T {
    let mut value = default;
    if let Some((table, at)) = top.table(kind) {
        let mut reader = Reader::new(table, at, What { kind, label: None }, top.errors());
        read(&mut reader, &mut value);
        reader.finish();
    }
    value
}

/// Overwrites a default with what is given.
fn set<T>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

fn set_time(value: &mut Duration, reader: &mut Reader<'_, '_>, key: &'static str, least: Duration) {
    set(
        value,
        reader.parsed(key, |text| value::duration(text, least)),
    );
}

pub(super) fn limits(top: &mut Reader<'_, '_>) -> Limits {
    block(top, "limits", Limits::default(), |reader, limits| {
        set_time(
            &mut limits.hello_timeout,
            reader,
            "hello_timeout",
            MILLISECOND,
        );
        set(&mut limits.hello_size, hello_size(reader));
        set_time(
            &mut limits.connect_timeout,
            reader,
            "connect_timeout",
            MILLISECOND,
        );
        set(
            &mut limits.connect_attempts,
            reader.number("connect_attempts", 1..=100),
        );
        // RFC 8305 section 5: it must not be less.
        set_time(
            &mut limits.attempt_delay,
            reader,
            "attempt_delay",
            10 * MILLISECOND,
        );
        set_time(
            &mut limits.idle_timeout,
            reader,
            "idle_timeout",
            MILLISECOND,
        );
        set_time(
            &mut limits.half_close_timeout,
            reader,
            "half_close_timeout",
            MILLISECOND,
        );
        set(
            &mut limits.connections,
            reader.number("connections", 1..=u64::MAX).map(Some),
        );
        set_time(
            &mut limits.drain_timeout,
            reader,
            "drain_timeout",
            Duration::ZERO,
        );
        set(&mut limits.keepalive, keepalive(reader));
        set(&mut limits.backlog, reader.number("backlog", 1..=65_535));
    })
}

/// The parser takes hellos of up to 64 KiB; less than 512 bytes hold no hello of today.
fn hello_size(reader: &mut Reader<'_, '_>) -> Option<usize> {
    const EXPECTED: &str = "expected 512 to 65536 bytes, such as \"64KiB\" or 65536";
    size(reader, "hello_size", 512..=65_536, EXPECTED)
}

/// A number of bytes, with or without its unit.
fn size(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    range: RangeInclusive<usize>,
    expected: &'static str,
) -> Option<usize> {
    let value = reader.value(key)?;
    let (text, size) = match &value.value {
        super::syntax::Value::Number(text) => (*text, text.parse().ok()),
        _ => {
            let (text, _) = reader.as_string(value, key)?;
            (text, value::size(text))
        }
    };
    let size = size.filter(|size| range.contains(size));
    if size.is_none() {
        let message = format!("`{text}` is not a size for `{key}`");
        reader.error(Diagnostic::new(value.at, message, expected));
    }
    size
}

/// `"off"`, or a time of at least one second: the kernel counts in seconds, up to 32767.
fn keepalive(reader: &mut Reader<'_, '_>) -> Option<Option<Duration>> {
    let (text, at) = reader.string("keepalive")?;
    if text == "off" {
        return Some(None);
    }
    let time = reader.keep(value::duration(text, SECOND), at)?;
    if time.as_secs() > 32_767 {
        let message = format!("`{text}` is out of range");
        reader.error(Diagnostic::new(
            at,
            message,
            "expected 1s to 32767s, or \"off\"",
        ));
        return None;
    }
    Some(Some(time))
}

pub(super) fn engine(top: &mut Reader<'_, '_>) -> EnginePreference {
    block(
        top,
        "engine",
        EnginePreference::default(),
        |reader, engine| {
            let mut prefer: Vec<EngineKind> = Vec::new();
            let values = reader.list("prefer");
            for value in values {
                let Some((text, at)) = reader.as_string(value, "prefer") else {
                    continue;
                };
                let Some(kind) = reader.as_word(text, at, "prefer", ENGINES) else {
                    continue;
                };
                if prefer.contains(&kind) {
                    let message = format!("the engine `{text}` stands twice");
                    reader.error(Diagnostic::new(at, message, "expected each engine once"));
                }
                prefer.push(kind);
            }
            if reader.has("prefer") && values.is_empty() {
                reader.missing(
                    "engines",
                    "expected at least one in `prefer`: packet, sockmap, copy",
                );
            }
            if !prefer.is_empty() {
                engine.prefer = prefer;
            }
            sockmap(reader, &mut engine.sockmap);
        },
    )
}

fn sockmap(reader: &mut Reader<'_, '_>, sockmap: &mut Sockmap) {
    const BUDGET: &str = "expected 4KiB to 1GiB, such as \"256KiB\"";
    const BUFFER: &str = "expected 256KiB to 1GiB, such as \"4MiB\"";
    const TOTAL: &str = "expected at least 1MiB, such as \"256MiB\"";
    let budget = size(reader, "sockmap_budget", 4096..=1 << 30, BUDGET);
    set(
        &mut sockmap.budget,
        budget.and_then(|bytes| u32::try_from(bytes).ok()),
    );
    let buffer = size(reader, "sockmap_buffer", 1 << 18..=1 << 30, BUFFER);
    if let Some(bytes) = buffer.and_then(|bytes| u32::try_from(bytes).ok()) {
        sockmap.buffer = Some(bytes);
    }
    let total = size(reader, "sockmap_total", 1 << 20..=usize::MAX, TOTAL);
    set(
        &mut sockmap.total,
        total.and_then(|bytes| u64::try_from(bytes).ok()),
    );
    set_time(&mut sockmap.self_test, reader, "self_test", Duration::ZERO);
}

const ENGINES: &[(&str, EngineKind)] = &[
    ("packet", EngineKind::Packet),
    ("sockmap", EngineKind::Sockmap),
    ("copy", EngineKind::Copy),
];

pub(super) fn health(top: &mut Reader<'_, '_>) -> Health {
    block(top, "health", Health::default(), |reader, health| {
        set(
            &mut health.failures,
            reader.number("failures", 0..=1_000_000),
        );
        set_time(
            &mut health.ejection_time,
            reader,
            "ejection_time",
            MILLISECOND,
        );
        set_time(
            &mut health.max_ejection_time,
            reader,
            "max_ejection_time",
            MILLISECOND,
        );
        set(
            &mut health.max_ejected_percent,
            reader.number("max_ejected_percent", 0..=100),
        );
        set(
            &mut health.panic_percent,
            reader.number("panic_percent", 0..=100),
        );
        if health.max_ejection_time < health.ejection_time {
            let message = "the times of health contradict each other".to_owned();
            let expected = "expected `max_ejection_time` to be at least `ejection_time`";
            reader.complain(message, expected);
        }
    })
}

pub(super) fn dns(top: &mut Reader<'_, '_>) -> Dns {
    block(top, "dns", Dns::default(), |reader, dns| {
        let servers = reader.parsed_list("servers", value::socket_address);
        dns.servers = servers.into_iter().map(|(server, _)| server).collect();
        set_time(&mut dns.min_ttl, reader, "min_ttl", MILLISECOND);
        set_time(&mut dns.max_ttl, reader, "max_ttl", MILLISECOND);
        if dns.max_ttl < dns.min_ttl {
            let message = "the times of dns contradict each other".to_owned();
            reader.complain(message, "expected `max_ttl` to be at least `min_ttl`");
        }
    })
}

pub(super) fn steer(top: &mut Reader<'_, '_>) -> Steer {
    let default = Steer {
        mode: SteerMode::Auto,
        bpffs: PathBuf::from("/sys/fs/bpf"),
    };
    block(top, "steer", default, |reader, steer| {
        set(&mut steer.mode, reader.word("mode", STEER_MODES));
        set(
            &mut steer.bpffs,
            reader.parsed("bpffs", |text| value::path(text, 255)),
        );
    })
}

const STEER_MODES: &[(&str, SteerMode)] = &[
    ("auto", SteerMode::Auto),
    ("off", SteerMode::Off),
    ("required", SteerMode::Required),
];

/// The admin socket of an instance that does not say otherwise.
pub(super) fn admin_socket(instance: &str) -> PathBuf {
    PathBuf::from(format!("/run/culvert/{instance}.sock"))
}

pub(super) fn admin(top: &mut Reader<'_, '_>, instance: &str) -> Admin {
    let default = Admin {
        socket: admin_socket(instance),
        metrics: None,
    };
    block(top, "admin", default, |reader, admin| {
        // `sun_path` has 108 bytes with its end.
        set(
            &mut admin.socket,
            reader.parsed("socket", |text| value::path(text, 107)),
        );
        admin.metrics = reader.parsed("metrics", value::socket_address);
    })
}

pub(super) fn log(top: &mut Reader<'_, '_>) -> Log {
    let default = Log {
        level: LogLevel::default(),
        access: AccessLog::default(),
    };
    block(top, "log", default, |reader, log| {
        set(&mut log.level, reader.word("level", LEVELS));
        set(&mut log.access, reader.word("access", ACCESS_LOGS));
    })
}

const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

const ACCESS_LOGS: &[(&str, AccessLog)] = &[
    ("text", AccessLog::Text),
    ("json", AccessLog::Json),
    ("off", AccessLog::Off),
];

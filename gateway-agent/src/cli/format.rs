//! Numbers and states for people.

use crate::ops::view::Endpoint;

/// A count of bytes in binary units, three digits: `512`, `1.50K`, `23.4M`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if count < 1024 {
        return count.to_string();
    }
    let (mut value, mut unit) = (scaled(count), UNITS[0]);
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$}{unit}")
}

/// Kibibytes; exact enough, since three digits are shown.
#[expect(clippy::cast_precision_loss, reason = "three digits of it are shown")]
fn scaled(count: u64) -> f64 {
    count as f64 / 1024.0
}

/// A time in its two largest units: `12ms`, `3.4s`, `5m07s`, `2h05m`, `3d04h`.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if milliseconds < 1000 {
        format!("{milliseconds}ms")
    } else if seconds < 60 {
        format!("{seconds}.{}s", milliseconds % 1000 / 100)
    } else if minutes < 60 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else if hours < 24 {
        format!("{hours}h{:02}m", minutes % 60)
    } else {
        format!("{days}d{:02}h", hours % 24)
    }
}

/// Whether an endpoint gets connections, and why not.
pub(super) fn standing(endpoint: &Endpoint) -> String {
    let ejected = endpoint
        .ejected_ms
        .map(|left| format!("ejected for {}", duration(left)));
    match (endpoint.health == "down", ejected) {
        (false, None) => "usable".to_owned(),
        (false, Some(ejected)) => ejected,
        (true, None) => "held back".to_owned(),
        (true, Some(ejected)) => format!("held back, {ejected}"),
    }
}

/// A number of things: `1 route`, `2 routes`.
pub(super) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        let shown = [0, 1023, 1024, 1536, 10_239, 1 << 20, 24_536_678, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            [
                "0", "1023", "1.00K", "1.50K", "10.0K", "1.00M", "23.4M", "16.0E"
            ]
        );
    }

    #[test]
    fn durations_have_two_units() {
        let shown = [0, 999, 1000, 3450, 307_000, 7_500_000, 273_600_000].map(duration);
        assert_eq!(
            shown,
            ["0ms", "999ms", "1.0s", "3.4s", "5m07s", "2h05m", "3d04h"]
        );
    }
}

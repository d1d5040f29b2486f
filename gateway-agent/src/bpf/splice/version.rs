//! Kernels that are known to lose or double redirected bytes in silence: not even tried.
//!
//! Elsewhere the self-test decides, since distributions carry fixes over without changing the number.

use std::fs;

/// For each line of stable releases, the first with the fixes of June 2025 (doubled data, lost data when
/// the receiver's buffer is full, use after free when a socket closes). Lines between them ended before.
const FIXED: [(u32, u32, u32); 5] = [
    (5, 15, 186),
    (6, 1, 142),
    (6, 6, 95),
    (6, 12, 35),
    (6, 15, 4),
];

/// Why the running kernel is not to be tried; none if it may be.
pub fn known_bad() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    judge(release.trim())
}

fn judge(release: &str) -> Option<String> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return None;
    };
    let patch = numbers.next().and_then(Result::ok).unwrap_or(0);
    let here: (u32, u32, u32) = (major, minor, patch);
    let line = FIXED.iter().find(|(a, b, _)| (*a, *b) == (major, minor));
    let newest = FIXED.last().is_some_and(|newest| here >= *newest);
    let good = match line {
        Some(fixed) => here >= *fixed,
        None => newest,
    };
    (!good).then(|| {
        format!("kernel {release} is known to lose or double redirected bytes; use 6.15.4 or newer, or a stable release since June 2025")
    })
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn kernels_before_the_fixes_are_refused() {
        let bad = [
            "4.19.0",
            "5.15.185",
            "5.16.1",
            "6.1.141-amd64",
            "6.6.94",
            "6.11.0",
            "6.12.34",
            "6.14.9",
            "6.15.3",
            "6.15",
        ];
        for release in bad {
            assert!(judge(release).is_some(), "{release}");
        }
    }

    #[test]
    fn kernels_with_the_fixes_and_unknown_ones_are_tried() {
        for release in [
            "5.15.186",
            "6.1.192-1",
            "6.6.95",
            "6.12.35",
            "6.15.4",
            "6.16.0",
            "7.0.1",
            "odd",
        ] {
            assert_eq!(judge(release), None, "{release}");
        }
    }
}

//! The cases: what the load generator does, over which path.

use std::time::Duration;

/// One thing to be measured on every target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Its name in the report and on the command line.
    pub(crate) name: &'static str,
    /// What it is, for people.
    pub(crate) title: &'static str,
    pub(crate) work: Work,
    pub(crate) path: Path,
    /// Whether `--quick` has it.
    pub(crate) quick: bool,
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Streams in one direction, a mode of `culvert bench client`.
    Transfer { mode: &'static str, streams: u32 },
    /// Round trips: one after the other, or so many a second.
    Echo {
        size: &'static str,
        streams: u32,
        rate: Option<u32>,
    },
    /// New connections by so many dialers.
    Connect { dialers: u32 },
    /// Connections that are held and say nothing.
    Idle { connections: u32 },
    /// Routes that change while a download runs.
    Changes { routes: u32 },
}

/// How the client reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Over a veth pair as the kernel makes it.
    Near,
    /// The same with segmentation and receive offload switched off on every device.
    Plain,
    /// Over a wire that holds every frame back.
    Far,
}

/// The wire holds frames of each direction back for half of it.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(80);

const fn case(name: &'static str, title: &'static str, work: Work, path: Path) -> Case {
    Case {
        name,
        title,
        work,
        path,
        quick: false,
    }
}

const fn quick(name: &'static str, title: &'static str, work: Work) -> Case {
    Case {
        name,
        title,
        work,
        path: Path::Near,
        quick: true,
    }
}

const UP1: Work = Work::Transfer {
    mode: "upload",
    streams: 1,
};
const DOWN1: Work = Work::Transfer {
    mode: "download",
    streams: 1,
};
const DOWN8: Work = Work::Transfer {
    mode: "download",
    streams: 8,
};

const fn echo(size: &'static str, streams: u32, rate: Option<u32>) -> Work {
    Work::Echo {
        size,
        streams,
        rate,
    }
}

/// All cases, in the order in which they run.
pub(crate) const CASES: &[Case] = &[
    quick("down1", "one stream down", DOWN1),
    case("up1", "one stream up", UP1, Path::Near),
    case("down8", "8 streams down", DOWN8, Path::Near),
    quick(
        "echo100",
        "echo of 100 B, closed loop",
        echo("100", 1, None),
    ),
    case(
        "echo16k",
        "echo of 16 KB, closed loop",
        echo("16K", 1, None),
        Path::Near,
    ),
    // A rate that the slowest peer keeps up with on two processors: latency, not saturation.
    case(
        "rate100",
        "echo of 100 B at 4,000 a second, 8 streams",
        echo("100", 8, Some(4000)),
        Path::Near,
    ),
    quick(
        "connect",
        "new connections, 8 dialers",
        Work::Connect { dialers: 8 },
    ),
    // What one process can hold with two descriptors and a pipe each where its limit is 20,000.
    case(
        "idle4000",
        "4,000 idle connections",
        Work::Idle { connections: 4000 },
        Path::Near,
    ),
    case(
        "changes1000",
        "1,000 routes changed during a download",
        Work::Changes { routes: 1000 },
        Path::Near,
    ),
    case(
        "down1-plain",
        "one stream down, no offloads",
        DOWN1,
        Path::Plain,
    ),
    case("up1-plain", "one stream up, no offloads", UP1, Path::Plain),
    case(
        "down8-plain",
        "8 streams down, no offloads",
        DOWN8,
        Path::Plain,
    ),
    case(
        "down1-80ms",
        "one stream down, 80 ms away",
        DOWN1,
        Path::Far,
    ),
    case("up1-80ms", "one stream up, 80 ms away", UP1, Path::Far),
];

impl Case {
    /// The case of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        CASES.iter().copied().find(|case| case.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::CASES;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        for (n, case) in CASES.iter().enumerate() {
            assert!(
                CASES
                    .iter()
                    .skip(n + 1)
                    .all(|other| other.name != case.name)
            );
        }
    }

    #[test]
    fn quick_has_three_cases() {
        let quick: Vec<&str> = CASES
            .iter()
            .filter(|case| case.quick)
            .map(|case| case.name)
            .collect();
        assert_eq!(quick, ["down1", "echo100", "connect"]);
    }
}

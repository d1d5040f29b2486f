//! What is measured, and which way is better.

/// One number that a slice of a case gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// Payload of all streams.
    GbitPerSecond,
    /// Packets with that payload on their way to the gateway.
    PacketsPerSecond,
    /// Messages that came back.
    RoundTripsPerSecond,
    /// Connections opened, answered and closed.
    ConnectionsPerSecond,
    /// Processor time of the whole host for so much payload, both ends included.
    CpuPer100Gbit,
    /// Processor time of the whole host for one connection, both ends included.
    CpuPerConnection,
    /// Half of the round trips took no longer.
    LatencyP50,
    /// Nine of ten.
    LatencyP90,
    /// All but one of a hundred.
    LatencyP99,
    /// All but one of a thousand.
    LatencyP999,
    /// Memory of the gateway's processes.
    Resident,
    /// Slab memory of the whole host, both ends included.
    Slab,
    /// From the order to change until the last changed name is served.
    ApplySeconds,
}

impl Metric {
    /// The latencies, from the middle outwards.
    pub(crate) const LATENCIES: [Self; 4] = [
        Self::LatencyP50,
        Self::LatencyP90,
        Self::LatencyP99,
        Self::LatencyP999,
    ];

    /// Its name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GbitPerSecond => "gbit_per_s",
            Self::CpuPer100Gbit => "cpu_s_per_100_gbit",
            Self::PacketsPerSecond => "packets_per_s",
            Self::RoundTripsPerSecond => "round_trips_per_s",
            Self::LatencyP50 => "latency_p50_us",
            Self::LatencyP90 => "latency_p90_us",
            Self::LatencyP99 => "latency_p99_us",
            Self::LatencyP999 => "latency_p99_9_us",
            Self::ConnectionsPerSecond => "connections_per_s",
            Self::CpuPerConnection => "cpu_us_per_connection",
            Self::Resident => "resident_bytes_per_connection",
            Self::Slab => "slab_bytes_per_connection",
            Self::ApplySeconds => "apply_s",
        }
    }

    /// The metric of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Whether a larger number is the better one.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::GbitPerSecond
                | Self::PacketsPerSecond
                | Self::RoundTripsPerSecond
                | Self::ConnectionsPerSecond
        )
    }

    const ALL: [Self; 13] = [
        Self::GbitPerSecond,
        Self::PacketsPerSecond,
        Self::CpuPer100Gbit,
        Self::RoundTripsPerSecond,
        Self::LatencyP50,
        Self::LatencyP90,
        Self::LatencyP99,
        Self::LatencyP999,
        Self::ConnectionsPerSecond,
        Self::CpuPerConnection,
        Self::Resident,
        Self::Slab,
        Self::ApplySeconds,
    ];
}

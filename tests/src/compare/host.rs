//! What the kernel tells of the host: processor time, memory, and what machine it is.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use gateway_tests::memory;
use serde::Serialize;
use tokio::time::sleep;

/// Ticks of a second in `/proc/stat`: a constant of the interface, whatever the kernel's own is.
const TICKS: f64 = 100.0;

/// The machine, as the report describes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    processor: String,
    processors: usize,
    /// Whether the processor says that it is a virtual one.
    virtual_machine: bool,
    memory_bytes: u64,
    clock_source: String,
    /// Of the cpufreq driver, where there is one.
    governor: Option<String>,
    congestion_control: String,
    tcp_rmem: String,
    tcp_wmem: String,
    load_average: String,
    /// Processors in use before anything was measured: others worked here if it is not near 0.
    pub(crate) busy_before: f64,
}

impl Machine {
    /// Describes this machine; takes a second, in which nothing of ours may run.
    pub(crate) async fn describe() -> Result<Self> {
        let before = busy()?;
        sleep(Duration::from_secs(1)).await;
        let busy_before = (busy()? - before).max(0.0);
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = processors.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(": "))
                .map(|(_, value)| value.to_owned())
        };
        Ok(Self {
            kernel: line("/proc/sys/kernel/osrelease"),
            processor: field("model name").unwrap_or_else(|| "unknown".to_owned()),
            processors: processors
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            virtual_machine: field("flags").is_some_and(|flags| flags.contains("hypervisor")),
            memory_bytes: memory::of_host("MemTotal:")?,
            clock_source: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            governor: fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .ok()
                .map(|text| text.trim().to_owned()),
            congestion_control: line("/proc/sys/net/ipv4/tcp_congestion_control"),
            tcp_rmem: line("/proc/sys/net/ipv4/tcp_rmem"),
            tcp_wmem: line("/proc/sys/net/ipv4/tcp_wmem"),
            load_average: line("/proc/loadavg"),
            busy_before,
        })
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} x {}{}, {:.0} GB, Linux {}",
            self.processors,
            self.processor,
            if self.virtual_machine {
                " (virtual)"
            } else {
                ""
            },
            gigabytes(self.memory_bytes),
            self.kernel
        )
    }

    /// What of its settings moves the figures, for people.
    pub(crate) fn settings(&self) -> String {
        format!(
            "Clock {}, governor {}, congestion control {}, tcp_rmem {}, tcp_wmem {}; load before: {}, {:.2} processors busy.",
            self.clock_source,
            self.governor.as_deref().unwrap_or("unknown"),
            self.congestion_control,
            self.tcp_rmem,
            self.tcp_wmem,
            self.load_average,
            self.busy_before
        )
    }
}

/// Seconds that all processors together have worked so far, for whomever.
pub(crate) fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "));
    let ticks: Vec<f64> = line
        .context("/proc/stat has no first line")?
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // user, nice, system, then idle and iowait, then irq and softirq; steal was somebody else's.
    let worked = ticks.iter().take(3).chain(ticks.iter().skip(5).take(2));
    Ok(worked.sum::<f64>() / TICKS)
}

/// Bytes of the host's slab memory.
pub(crate) fn slab() -> Result<u64> {
    memory::of_host("Slab:")
}

/// Resident bytes of a process and all below it.
pub(crate) fn resident(process: u32) -> Result<u64> {
    // One that has just ended has none.
    let of_one = |id: &u32| memory::of_process(*id, "status", "VmRSS:").unwrap_or(0);
    Ok(family(process).iter().map(of_one).sum())
}

/// The processes that a process has started itself, in the order of their ids.
pub(crate) fn children(process: u32) -> Result<Vec<i32>> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    Ok(text
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect())
}

/// A process and all below it.
fn family(root: u32) -> BTreeSet<u32> {
    let mut family = BTreeSet::from([root]);
    let mut next = vec![root];
    while let Some(process) = next.pop() {
        // One that has just ended has none.
        let below = children(process).unwrap_or_default();
        next.extend(
            below
                .into_iter()
                .filter_map(|id| u32::try_from(id).ok())
                .filter(|&id| family.insert(id)),
        );
    }
    family
}

fn line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown with no digit behind the point"
)]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::{busy, family, resident, slab};

    #[test]
    fn this_process_works_and_takes_memory() {
        let own = std::process::id();
        assert!(busy().unwrap() > 0.0 && slab().unwrap() > 0);
        assert!(family(own).contains(&own));
        assert!(resident(own).unwrap() > 100_000);
    }
}

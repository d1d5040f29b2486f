//! What the kernel holds for sockets: memory and objects of the whole host, so others move it too.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{memory, wait};

/// Caches of objects that every TCP connection takes.
const CACHES: [&str; 3] = ["TCP", "TCPv6", "sock_inode_cache"];

/// Objects that others on the host, and the allocator for each processor, may take meanwhile.
const OTHERS: u64 = 1000;

/// Memory that others on the host may take meanwhile.
const MEMORY_OF_OTHERS: u64 = 128 << 20;

/// What the kernel holds at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slab {
    /// Objects in the caches of sockets.
    pub(crate) objects: u64,
    /// Bytes that it cannot give back.
    pub(crate) bytes: u64,
}

impl Slab {
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/slabinfo").context("cannot read /proc/slabinfo")?;
        Ok(Self {
            objects: objects(&text)?,
            bytes: unreclaimable()?,
        })
    }

    /// Waits until no more is held than at this time, but for what others hold: sockets are given back a
    /// moment after their end.
    pub(crate) async fn regained(self) -> Result<Self> {
        let mut last = self;
        let regained = wait::until("slab memory back", || {
            let now = Self::now().map(|now| {
                last = now;
                let few = now.objects <= self.objects + OTHERS;
                (few && now.bytes <= self.bytes + MEMORY_OF_OTHERS).then_some(now)
            });
            async { now }
        })
        .await;
        regained.with_context(|| format!("slab memory grew from {self:?} to {last:?}"))
    }
}

/// Kernel memory that cannot be given back, in bytes.
pub(crate) fn unreclaimable() -> Result<u64> {
    memory::of_host("SUnreclaim:")
}

/// Objects in use of the caches of sockets.
fn objects(slabinfo: &str) -> Result<u64> {
    let mut sum = 0;
    let mut found = 0;
    for line in slabinfo.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|name| CACHES.contains(&name)) {
            let count = words.next().context("a cache without a count")?;
            sum += count.parse::<u64>()?;
            found += 1;
        }
    }
    ensure!(found > 0, "/proc/slabinfo has no cache of sockets");
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::objects;

    #[test]
    fn objects_are_those_in_use_of_the_caches_of_sockets() {
        let text = "slabinfo - version: 2.1\n# name <active_objs> <num_objs>\n\
                    tw_sock_TCP 128 192 256\nTCP 91 143 2368\nTCPv6 78 130 2496\n";
        assert_eq!(objects(text).unwrap(), 169);
        assert!(objects("TCPx 1 2\n").is_err());
    }
}

//! A timer of the kernel with its full resolution (timerfd_create(2)), for those to whom the
//! millisecond of the runtime's own timer is too long.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Waits for points in time, one after the other.
#[derive(Debug)]
pub struct Pacer {
    timer: AsyncFd<OwnedFd>,
}

impl Pacer {
    /// Makes a timer; must be called inside a runtime.
    ///
    /// # Errors
    /// Those of timerfd_create(2) and epoll_ctl(2).
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: an `OwnedFd` names the same open timer until it is dropped, which only dropping
        // the `AsyncFd` does.
        let timer = unsafe { AsyncFd::register(timer) }?;
        Ok(Self { timer })
    }

    /// Returns at `at`, or at once when that is over. May be cancelled.
    ///
    /// # Errors
    /// Those of timerfd_settime(2).
    pub async fn until(&self, at: Instant) -> io::Result<()> {
        loop {
            let left = at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.arm(left)?;
            let mut ready = self.timer.readable().await?;
            let rung = ready.try_io(|timer| {
                let mut count = [0; 8];
                Ok(rustix::io::read(timer, &mut count)?)
            });
            if let Ok(rung) = rung {
                rung?;
            }
        }
    }

    fn arm(&self, left: Duration) -> io::Result<()> {
        let time = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let never_again = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval: never_again,
            it_value: time,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_never_early() {
        let pacer = Pacer::new().unwrap();
        let start = Instant::now();
        for step in 1..=20 {
            let at = start + Duration::from_micros(250) * step;
            pacer.until(at).await.unwrap();
            assert!(Instant::now() >= at);
        }
        pacer.until(start).await.unwrap();
    }
}

//! When the screen is looked at again though nobody does anything: at each minute, which the clock on it shows, and when the machine woke
//! or its clock was set, which the kernel tells. Each look wakes a processor that would sleep, on a battery perhaps.
//!
//! As long as somebody may be sitting there the screen is looked at each second: the kernel tells nobody that Caps Lock was pressed, nor
//! that it has turned off the screen.

use rustix::event::{PollFd, PollFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Somebody who has not pressed a key for so long has gone: a little longer than it takes the kernel to turn off the screen.
const GONE: Duration = Duration::from_secs(62);
/// Between two looks before that.
const CLOSE: Duration = Duration::from_secs(1);
const MINUTE: u64 = 60;

/// Clocks.
pub struct Ticks {
    minute: OwnedFd,
    /// When somebody was there last.
    there: Instant,
}

impl Ticks {
    /// Begins: whoever has the screen come to the front may be there.
    pub fn begin(now: Instant) -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let ticks = Self { minute: timerfd_create(TimerfdClockId::Realtime, flags)?, there: now };
        ticks.again();
        Ok(ticks)
    }

    /// A key was pressed, or the machine woke.
    pub fn somebody_is_there(&mut self, now: Instant) {
        self.there = now;
    }

    /// Becomes ready at the next minute, and when the machine woke or its clock was set.
    pub fn changes(&self) -> PollFd<'_> {
        PollFd::new(&self.minute, PollFlags::IN)
    }

    /// Waits for the next minute from now.
    pub fn again(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let next = i64::try_from(next_minute(now)).unwrap_or(i64::MAX);
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: next, tv_nsec: 0 },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        // The clock was set since the last look (ECANCELED): this looks at it, and the timer is set all the same.
        let _ = timerfd_settime(&self.minute, flags, &once);
    }

    /// How long nothing has to be looked at but the minute; `None`: until something happens. The moments are those of somebody else's
    /// deadline, and of the next sleep.
    pub fn patience(
        &self,
        now: Instant,
        deadline: Option<Instant>,
        sleep: Option<Duration>,
    ) -> Option<Duration> {
        let close = (now.duration_since(self.there) < GONE).then_some(CLOSE);
        let deadline = deadline.map(|moment| moment.saturating_duration_since(now));
        [close, deadline, sleep].into_iter().flatten().min()
    }
}

fn next_minute(now: u64) -> u64 {
    (now / MINUTE + 1) * MINUTE
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::poll;

    #[test]
    fn who_has_gone_wakes_nobody_but_the_clock_each_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut ticks = Ticks::begin(start).expect("a timer");
        assert_eq!(ticks.patience(at(61), None, None), Some(CLOSE));
        assert_eq!(ticks.patience(at(63), None, None), None);
        ticks.somebody_is_there(at(63));
        assert_eq!(ticks.patience(at(64), None, None), Some(CLOSE));
        assert_eq!(ticks.patience(at(200), Some(at(230)), None), Some(Duration::from_secs(30)));
        assert_eq!(ticks.patience(at(200), Some(at(100)), None), Some(Duration::ZERO));
        let sleep = Some(Duration::from_secs(3));
        assert_eq!(ticks.patience(at(200), Some(at(230)), sleep), sleep);
        assert_eq!([0, 59, 60, 61].map(next_minute), [60, 60, 120, 120]);
    }

    #[test]
    fn between_minutes_it_is_not_ready() {
        let ticks = Ticks::begin(Instant::now()).expect("a timer");
        ticks.again();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // A minute may begin at this very moment, once.
        let ready = || {
            ticks.again();
            poll(&mut [ticks.changes()], Some(&now)).expect("asked")
        };
        assert!(ready() + ready() < 2);
    }
}

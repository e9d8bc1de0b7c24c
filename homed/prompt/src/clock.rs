//! The time of day, and how long the machine has slept.

use crate::sys::time::local;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime};

/// A moment in words: the time of day, with the date in front if it is not today's.
pub fn in_words(moment: SystemTime) -> String {
    let today = local(SystemTime::now());
    let then = local(moment);
    let time = format!("{:02}:{:02}", then.tm_hour, then.tm_min);
    if (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday) {
        return time;
    }
    format!("{}-{:02}-{:02} {time}", then.tm_year + 1900, then.tm_mon + 1, then.tm_mday)
}

/// Now, with the date.
pub fn now_in_words() -> String {
    let now = local(SystemTime::now());
    let date = format!("{}-{:02}-{:02}", now.tm_year + 1900, now.tm_mon + 1, now.tm_mday);
    format!("{date} {:02}:{:02}", now.tm_hour, now.tm_min)
}

/// How long the machine has slept since its start: one of these clocks stands still meanwhile, the other does not.
pub fn slept() -> Duration {
    // CLOCK_BOOTTIME and CLOCK_MONOTONIC, clock_gettime(2).
    since_start(ClockId::Boottime).saturating_sub(since_start(ClockId::Monotonic))
}

fn since_start(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

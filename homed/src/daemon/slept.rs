//! The machine has slept: seen afterwards by the clock, however it was sent to sleep.
//!
//! CLOCK_BOOTTIME goes on while the machine sleeps, CLOCK_MONOTONIC does not; their distance is how long it slept.

use super::events::Events;
use crate::home::effect::Event;
use crate::sys::clock::since_boot;
use crate::sys::reactor::WallClock;
use nix::time::ClockId;
use std::io;
use std::time::Duration;

/// Differences up to this are the clocks being read one after the other, in µs.
const NOISE: u64 = 10_000;

/// Watches from now on.
pub fn start(events: Events) -> io::Result<()> {
    let clock = WallClock::new()?;
    tokio::spawn(async move {
        let mut before = asleep_usec();
        while clock.until_set().await.is_ok() {
            let now = asleep_usec();
            if now > before.saturating_add(NOISE) {
                events.event(Event::Slept(now - before));
            }
            before = before.max(now);
        }
        tracing::warn!("the clock cannot be watched: a sleep with open homes is not noticed afterwards");
    });
    Ok(())
}

/// For how long the machine has slept since it was started, in µs.
fn asleep_usec() -> u64 {
    // Kernels without these clocks are older than any that is supported; they tell of no sleep.
    let usec = |clock: ClockId| clock.now().map_or(0, |time| Duration::from(time).as_micros());
    let awake = usec(ClockId::CLOCK_MONOTONIC);
    u64::try_from(since_boot().as_micros().saturating_sub(awake)).unwrap_or(0)
}

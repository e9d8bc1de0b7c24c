//! The loop's own sign of life for the service manager (`WatchdogSec=`), and the fronts' for the loop: a thread of theirs
//! that hangs silences the loop, too, and all of it is started again.

use super::notify;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};

/// Without a service manager that listens there is nothing to beat for.
pub struct Beat(Option<Interval>);

/// Threads that have to be alive, each with whether it was since the last beat.
static ALIVE: Mutex<Vec<Arc<AtomicBool>>> = Mutex::new(Vec::new());

impl Beat {
    /// Begins; only within the tokio runtime.
    pub fn start() -> Self {
        Self(notify::beat().map(every))
    }

    /// Returns when it is time.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }

    /// Beats, if all threads that have to were alive since the last time.
    pub fn tell(&self) {
        if all_alive() {
            notify::tell("WATCHDOG=1");
        }
    }
}

fn all_alive() -> bool {
    let threads = ALIVE.lock().unwrap_or_else(PoisonError::into_inner);
    threads.iter().map(|thread| thread.swap(false, Ordering::Relaxed)).filter(|alive| !alive).count() == 0
}

/// Shows for as long as it is polled that the thread which polls it is alive.
pub async fn stay_alive() -> Infallible {
    let Some(period) = notify::beat() else { return std::future::pending().await };
    let alive = Arc::new(AtomicBool::new(true));
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner).push(alive.clone());
    // More often than it is looked at.
    let mut interval = every(period / 4);
    loop {
        interval.tick().await;
        alive.store(true, Ordering::Relaxed);
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_is_missed() {
        let thread = Arc::new(AtomicBool::new(true));
        ALIVE.lock().expect("not poisoned").push(thread.clone());
        assert!(all_alive());
        assert!(!all_alive(), "it has shown nothing since");
        thread.store(true, Ordering::Relaxed);
        assert!(all_alive());
        ALIVE.lock().expect("not poisoned").clear();
    }
}

//! How long a home waits for what it does by itself.

use std::time::Duration;

/// Times that tests shorten.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// A wrong password is answered at a multiple of this.
    pub grain: Duration,
    /// A failed deactivation is tried again after this, then after twice as long each time.
    pub retry: Duration,
    /// … and at the latest after this.
    pub retry_longest: Duration,
    /// The space of a home is cared for that long after it was opened: what is written next needs blocks.
    pub tend_first: Duration,
    /// … again after that long,
    pub tend_second: Duration,
    /// … and again each time after that long.
    pub tend_again: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            grain: Duration::from_secs(3),
            retry: Duration::from_secs(15),
            retry_longest: Duration::from_secs(240),
            tend_first: Duration::from_secs(2),
            tend_second: Duration::from_secs(60),
            tend_again: Duration::from_secs(900),
        }
    }
}

//! How often somebody may try: a window that counts, and a back-off that grows.

/// Attempts counted in one window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// When it began, in µs since 1970.
    pub begin_usec: u64,
    /// Attempts since.
    pub count: u64,
}

/// How many attempts fit into how long a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Length of the window in µs.
    pub interval_usec: u64,
    /// Attempts in it.
    pub burst: u64,
}

impl Window {
    /// The window after one more attempt, or when the next is allowed (µs since 1970).
    ///
    /// A window that begins in the future (the clock went back) starts anew.
    pub fn attempt(self, limit: Limit, now_usec: u64) -> Result<Self, u64> {
        let end = self.begin_usec.saturating_add(limit.interval_usec);
        if self.count == 0 || self.begin_usec > now_usec || end <= now_usec {
            return Ok(Self { begin_usec: now_usec, count: 1 });
        }
        if self.count >= limit.burst { Err(end) } else { Ok(Self { count: self.count + 1, ..self }) }
    }

    /// When the next attempt is allowed, in µs since 1970; `None`: now.
    pub fn next_try_usec(self, limit: Limit, now_usec: u64) -> Option<u64> {
        self.attempt(limit, now_usec).err()
    }
}

/// Failures in a row that cost nothing: people mistype.
const FREE_FAILURES: u32 = 3;
/// The first pause in µs; it doubles with each further failure.
const FIRST_PAUSE_USEC: u64 = 1_000_000;
/// The longest pause in µs.
const LONGEST_PAUSE_USEC: u64 = 60_000_000;

/// The pause after this many failures in a row, in µs.
pub fn pause_usec(failures: u32) -> u64 {
    match failures.checked_sub(FREE_FAILURES + 1) {
        None => 0,
        Some(more) => {
            FIRST_PAUSE_USEC.checked_shl(more.min(20)).unwrap_or(LONGEST_PAUSE_USEC).min(LONGEST_PAUSE_USEC)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { interval_usec: 100, burst: 2 };

    #[test]
    fn a_full_window_says_when_it_ends() {
        let window =
            Window::default().attempt(LIMIT, 1000).and_then(|w| w.attempt(LIMIT, 1001)).expect("two fit");
        assert_eq!(window.attempt(LIMIT, 1002), Err(1100));
        assert_eq!(window.attempt(LIMIT, 1100), Ok(Window { begin_usec: 1100, count: 1 }));
    }

    #[test]
    fn a_clock_that_went_back_starts_anew() {
        let window = Window { begin_usec: 5000, count: 2 };
        assert_eq!(window.attempt(LIMIT, 10), Ok(Window { begin_usec: 10, count: 1 }));
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = [0, 3, 4, 5, 9, 10, 100].map(|n| pause_usec(n) / 1_000_000).into();
        assert_eq!(pauses, [0, 0, 1, 2, 32, 60, 60]);
    }
}

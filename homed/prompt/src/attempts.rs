//! Who comes to the terminal of a locked session, as far as it is worth a line in the log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What comes within this after the one before belongs to the same burst.
const BURST: Duration = Duration::from_secs(60);

/// When each terminal was last come to.
#[derive(Debug, Default)]
pub struct Attempts(BTreeMap<u32, Instant>);

impl Attempts {
    /// Somebody is there now: whether that begins a burst.
    pub fn is_news(&mut self, terminal: u32) -> bool {
        self.is_news_at(terminal, Instant::now())
    }

    fn is_news_at(&mut self, terminal: u32, now: Instant) -> bool {
        self.0.insert(terminal, now).is_none_or(|before| now.duration_since(before) >= BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_once_for_each_terminal() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut attempts = Attempts::default();
        let told = [(2, 0), (2, 1), (7, 1), (2, 59), (2, 118), (2, 178), (7, 61)];
        let told = told.map(|(terminal, when)| attempts.is_news_at(terminal, at(when)));
        assert_eq!(told, [true, false, true, false, false, true, true]);
    }
}

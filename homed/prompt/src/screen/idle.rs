//! When the machine sleeps again by itself: it woke, and nobody types.

use std::time::{Duration, Instant};

/// The person is warned so long before.
const WARNING: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// How long nobody has typed since the machine woke.
#[derive(Debug)]
pub struct Idle {
    patience: Option<Duration>,
    slept: Duration,
    /// Since when nobody types; `None`: the machine has not slept since the prompt is there.
    since: Option<Instant>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// It has just woken.
    Woken,
    /// The person is told that it will sleep in so many seconds.
    Warning(u64),
    /// It sleeps again.
    Sleep,
}

impl Idle {
    /// Begins, where the machine has slept for so long in all.
    pub fn new(patience: Option<Duration>, slept: Duration) -> Self {
        Self { patience, slept, since: None }
    }

    /// Somebody types.
    pub fn pressed(&mut self, now: Instant) {
        self.since = self.since.map(|_| now);
    }

    /// When to look at them next; `None`: whenever something happens.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        let left = (self.since? + self.patience?).saturating_duration_since(now);
        // From the warning on each second is shown.
        Some(left.saturating_sub(WARNING).max(SECOND).min(left))
    }

    /// Looks at the clocks.
    pub fn tick(&mut self, now: Instant, slept: Duration) -> Due {
        if slept > self.slept + Duration::from_millis(100) {
            self.slept = slept;
            self.since = Some(now);
            return Due::Woken;
        }
        let (Some(since), Some(patience)) = (self.since, self.patience) else { return Due::Nothing };
        let left = (since + patience).saturating_duration_since(now);
        if left.is_zero() {
            // Not at once again: the next sleep takes a moment to come.
            self.since = Some(now);
            return Due::Sleep;
        }
        if left <= WARNING {
            Due::Warning(left.as_millis().div_ceil(1000).try_into().unwrap_or(0))
        } else {
            Due::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn only_after_a_sleep_and_only_when_nobody_types() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut idle = Idle::new(Some(MINUTE), MINUTE);
        assert_eq!(idle.tick(at(1000), MINUTE), Due::Nothing);
        assert_eq!(idle.tick(at(1001), 2 * MINUTE), Due::Woken);
        assert_eq!(idle.tick(at(1050), 2 * MINUTE), Due::Nothing);
        assert_eq!(idle.due_in(at(1050)), Some(Duration::from_secs(1)));
        idle.pressed(at(1050));
        let due = [1060, 1099, 1105, 1110].map(|seconds| idle.due_in(at(seconds)).map(|due| due.as_secs()));
        assert_eq!(due, [Some(40), Some(1), Some(1), Some(0)]);
        assert_eq!(idle.tick(at(1099), 2 * MINUTE), Due::Nothing);
        assert_eq!(idle.tick(at(1105), 2 * MINUTE), Due::Warning(5));
        assert_eq!(idle.tick(at(1110), 2 * MINUTE), Due::Sleep);
        assert_eq!(idle.tick(at(1111), 2 * MINUTE), Due::Nothing);
        assert_eq!(idle.tick(at(1112), 3 * MINUTE), Due::Woken);
    }

    #[test]
    fn never_where_the_setting_says_so() {
        let start = Instant::now();
        let mut idle = Idle::new(None, Duration::ZERO);
        assert_eq!(idle.tick(start, MINUTE), Due::Woken);
        assert_eq!(idle.tick(start + 1000 * MINUTE, MINUTE), Due::Nothing);
    }
}

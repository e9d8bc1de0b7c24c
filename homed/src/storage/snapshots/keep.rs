//! Which scheduled snapshots there are to be. Pure.
//!
//! Of the last hours, days and weeks that have any, one each is kept. A snapshot of the future, which a clock that was wrong has
//! left, is none of them, and none goes because of a clock: it stays until its time has come.

use std::collections::BTreeSet;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// How many are to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Of the last hours: `snapshotKeepHourly`.
    pub hourly: u64,
    /// Of the last days: `snapshotKeepDaily`.
    pub daily: u64,
    /// Of the last weeks: `snapshotKeepWeekly`.
    pub weekly: u64,
}

impl Schedule {
    fn rows(self) -> [(u64, u64); 3] {
        [(HOUR, self.hourly), (DAY, self.daily), (WEEK, self.weekly)]
    }

    /// Whether none are to be made.
    pub fn is_off(self) -> bool {
        self == Self::default()
    }

    /// Whether another one is to be made now. All times are in seconds since 1970.
    pub fn is_due(self, made: &[u64], now: u64) -> bool {
        let Some((period, _)) = self.rows().into_iter().find(|(_, count)| *count > 0) else { return false };
        // Hours and days as the clock has them: it does not matter when in them a home was open.
        !made.iter().any(|at| *at <= now && at / period == now / period)
    }

    /// Those that are not kept any more. Without a schedule nothing goes.
    pub fn outdated(self, made: &[u64], now: u64) -> Vec<u64> {
        if self.is_off() {
            return Vec::new();
        }
        let past: BTreeSet<u64> = made.iter().copied().filter(|at| *at <= now).collect();
        let mut kept = BTreeSet::new();
        for (period, count) in self.rows() {
            let mut last = None;
            let newest_of_each =
                past.iter().rev().filter(|at| last.replace(**at / period) != Some(**at / period));
            kept.extend(newest_of_each.take(usize::try_from(count).unwrap_or(usize::MAX)));
        }
        past.difference(&kept).copied().collect()
    }
}

/// Whether a file system has so little left, in bytes, that a scheduled snapshot has to go. (What the daemon leaves a home that
/// others get space of is not less.)
pub fn is_short(free: u64) -> bool {
    free < 64 << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { hourly: 3, daily: 2, weekly: 2 };

    #[test]
    fn one_is_made_in_each_hour_and_those_that_are_kept_thin_out() {
        let (mut made, start) = (Vec::new(), 10 * WEEK);
        for minutes in (0..60 * 24 * 30).step_by(15) {
            let now = start + minutes * 60;
            if SCHEDULE.is_due(&made, now) {
                made.push(now);
            }
            let gone = SCHEDULE.outdated(&made, now);
            made.retain(|at| !gone.contains(at));
            assert!(made.len() <= 7, "{made:?}");
        }
        let end = start + 30 * DAY;
        let ages: Vec<u64> = made.iter().map(|at| (end - at) / HOUR).collect();
        // The last three hours, the last of the day before, and that of the week before.
        assert_eq!(ages, [2 * 24 + 1, 24 + 1, 3, 2, 1]);
    }

    #[test]
    fn a_wrong_clock_deletes_nothing_and_keeps_nothing_from_being_made() {
        let made = [100 * DAY, 100 * DAY + HOUR, 101 * DAY];
        assert!(SCHEDULE.outdated(&made, 5).is_empty());
        assert!(SCHEDULE.is_due(&made, 5));
        assert!(!SCHEDULE.is_due(&[5], 7));
        let daily = Schedule { daily: 1, ..Schedule::default() };
        assert_eq!(daily.outdated(&made, 100 * DAY + 2 * HOUR), [100 * DAY]);
        assert!(Schedule::default().outdated(&made, 200 * DAY).is_empty());
        assert!(!Schedule::default().is_due(&[], 7));
    }

    #[test]
    fn what_the_daemon_leaves_a_home_is_not_short() {
        assert!(is_short((64 << 20) - 1) && !is_short(64 << 20));
    }
}

//! How often credentials may be tried, and what a failure costs.
//!
//! Two classes of callers. The owner and root share the window that the record's `rateLimit…` fields
//! describe; it is kept in the host's `status`. Every other UID has a stricter window of its own, in
//! memory: a stranger can use up nobody's attempts but its own.

use super::verdict::Favour;
use records::Record;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Defaults of the record's `rateLimitIntervalUSec` and `rateLimitBurst`.
const OWNER: Limit = Limit { interval_usec: 60_000_000, burst: 30 };
/// What a UID that has no right to the home may try.
const STRANGER: Limit = Limit { interval_usec: 60_000_000, burst: 5 };
/// UIDs whose windows are remembered per home; beyond that strangers are refused until some expire.
const STRANGERS: usize = 64;
/// A refusal for a wrong password is given at the next multiple of the grain since the call came, so
/// that its time tells nothing; and from the third failure in a row on after twice as long each time.
const LONGEST_BACK_OFF: u32 = 3;

/// So many attempts in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Length of the window in µs.
    pub interval_usec: u64,
    /// Attempts in it.
    pub burst: u64,
}

/// A window of time and what was tried in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Window {
    begin_usec: u64,
    count: u64,
    failures_in_a_row: u32,
}

impl Window {
    /// Counts an attempt, or says how many µs are to be waited.
    fn take(&mut self, limit: Limit, now_usec: u64) -> Result<(), u64> {
        if self.is_over(limit, now_usec) {
            *self = Self { begin_usec: now_usec, count: 0, ..*self };
        }
        if self.count >= limit.burst {
            return Err((self.begin_usec + limit.interval_usec).saturating_sub(now_usec));
        }
        self.count += 1;
        Ok(())
    }

    /// A window that begins in the future comes from a clock that was wrong: it is over too.
    fn is_over(&self, limit: Limit, now_usec: u64) -> bool {
        self.begin_usec > now_usec || now_usec - self.begin_usec >= limit.interval_usec
    }
}

/// Attempts on one home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    limit: Limit,
    owner: Window,
    strangers: BTreeMap<u32, Window>,
    good: u64,
    bad: u64,
    last_good_usec: Option<u64>,
    last_bad_usec: Option<u64>,
}

/// Who tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trier {
    /// Effective UID.
    pub uid: u32,
    /// Whether it has a right to the home.
    pub favour: Favour,
}

impl Attempts {
    /// Goes on where the record's status of this machine left off.
    pub fn of(record: &Record, machine: &records::Machine) -> Self {
        let status = record.members().get("status").and_then(|all| all.get(machine.id.as_str()));
        let stored = |name: &str| status.and_then(|own| own.get(name)).and_then(Value::as_u64);
        Self {
            limit: limit_of(record),
            owner: Window {
                begin_usec: stored("rateLimitBeginUSec").unwrap_or(0),
                count: stored("rateLimitCount").unwrap_or(0),
                failures_in_a_row: 0,
            },
            strangers: BTreeMap::new(),
            good: stored("goodAuthenticationCounter").unwrap_or(0),
            bad: stored("badAuthenticationCounter").unwrap_or(0),
            last_good_usec: stored("lastGoodAuthenticationUSec"),
            last_bad_usec: stored("lastBadAuthenticationUSec"),
        }
    }

    /// Takes the limits of a changed record; what was counted stays.
    pub fn follow(&mut self, record: &Record) {
        self.limit = limit_of(record);
    }

    /// Counts an attempt, or says how long to wait.
    pub fn take(&mut self, trier: Trier, now_usec: u64) -> Result<(), Duration> {
        let (window, limit) = match trier.favour {
            Favour::Owner => (&mut self.owner, self.limit),
            Favour::Stranger => {
                self.strangers.retain(|_, window| !window.is_over(STRANGER, now_usec));
                if self.strangers.len() >= STRANGERS && !self.strangers.contains_key(&trier.uid) {
                    return Err(Duration::from_micros(STRANGER.interval_usec));
                }
                (self.strangers.entry(trier.uid).or_default(), STRANGER)
            }
        };
        window.take(limit, now_usec).map_err(Duration::from_micros)
    }

    /// Credentials were right.
    pub fn succeeded(&mut self, trier: Trier, now_usec: u64) {
        self.good = self.good.saturating_add(1);
        self.last_good_usec = Some(now_usec);
        if let Some(window) = self.window(trier) {
            window.failures_in_a_row = 0;
        }
    }

    /// They were not; the answer is to wait for so many grains.
    pub fn failed(&mut self, trier: Trier, now_usec: u64) -> u32 {
        self.bad = self.bad.saturating_add(1);
        self.last_bad_usec = Some(now_usec);
        let Some(window) = self.window(trier) else { return 1 };
        window.failures_in_a_row = window.failures_in_a_row.saturating_add(1);
        1 << window.failures_in_a_row.saturating_sub(2).min(LONGEST_BACK_OFF)
    }

    fn window(&mut self, trier: Trier) -> Option<&mut Window> {
        match trier.favour {
            Favour::Owner => Some(&mut self.owner),
            Favour::Stranger => self.strangers.get_mut(&trier.uid),
        }
    }

    /// The members of `status` that are kept on disk.
    pub fn status(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), value.into());
            }
        };
        put("goodAuthenticationCounter", Some(self.good).filter(|n| *n > 0));
        put("badAuthenticationCounter", Some(self.bad).filter(|n| *n > 0));
        put("lastGoodAuthenticationUSec", self.last_good_usec);
        put("lastBadAuthenticationUSec", self.last_bad_usec);
        put("rateLimitBeginUSec", Some(self.owner.begin_usec).filter(|n| *n > 0));
        put("rateLimitCount", Some(self.owner.count).filter(|n| *n > 0));
        members
    }
}

fn limit_of(record: &Record) -> Limit {
    let member = |name: &str| record.members().get(name).and_then(Value::as_u64);
    Limit {
        interval_usec: member("rateLimitIntervalUSec").unwrap_or(OWNER.interval_usec),
        burst: member("rateLimitBurst").unwrap_or(OWNER.burst),
    }
}

/// How long an answer is to be held back, `elapsed` after the call came.
pub fn delay(grain: Duration, grains: u32, elapsed: Duration) -> Duration {
    let unit = grain.saturating_mul(grains);
    if unit.is_zero() {
        return Duration::ZERO;
    }
    let past = elapsed.as_nanos() % unit.as_nanos();
    // The remainder of a division by a Duration fits into one.
    unit - Duration::from_nanos(u64::try_from(past).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::Sections;

    const OWN: Trier = Trier { uid: 1000, favour: Favour::Owner };
    const NOW: u64 = 1_700_000_000_000_000;

    fn stranger(uid: u32) -> Trier {
        Trier { uid, favour: Favour::Stranger }
    }

    fn machine() -> records::Machine {
        let id = records::MachineId::parse("0123456789abcdef0123456789abcdef").expect("valid");
        records::Machine { id, host: records::HostName("a".into()) }
    }

    fn fresh() -> Attempts {
        let record = Record::parse(r#"{"userName":"alice","rateLimitBurst":3}"#, Sections::HOST);
        Attempts::of(&record.expect("valid"), &machine())
    }

    #[test]
    fn a_stranger_uses_up_its_own_attempts_only() {
        let mut attempts = fresh();
        for _ in 0..100 {
            let _ = attempts.take(stranger(2000), NOW);
        }
        assert!(attempts.take(stranger(2000), NOW).is_err());
        assert_eq!(attempts.take(stranger(2001), NOW), Ok(()));
        assert_eq!(attempts.take(OWN, NOW), Ok(()));
    }

    #[test]
    fn many_strangers_fill_a_bounded_table_and_still_not_the_owners_window() {
        let mut attempts = fresh();
        let taken = (0..10_000).filter(|uid| attempts.take(stranger(*uid), NOW).is_ok()).count();
        assert_eq!(taken, STRANGERS);
        assert_eq!(attempts.take(OWN, NOW), Ok(()));
        assert_eq!(attempts.take(stranger(1), NOW + STRANGER.interval_usec), Ok(()));
    }

    #[test]
    fn the_records_own_limit_holds_and_says_when_to_come_again() {
        let mut attempts = fresh();
        for _ in 0..3 {
            assert_eq!(attempts.take(OWN, NOW), Ok(()));
        }
        assert_eq!(attempts.take(OWN, NOW + 20_000_000), Err(Duration::from_secs(40)));
        assert_eq!(attempts.take(OWN, NOW + 60_000_000), Ok(()));
    }

    #[test]
    fn a_clock_that_went_back_locks_nobody_out() {
        let mut attempts = fresh();
        for _ in 0..3 {
            assert_eq!(attempts.take(OWN, NOW), Ok(()));
        }
        assert_eq!(attempts.take(OWN, NOW - 1), Ok(()));
    }

    #[test]
    fn counters_survive_on_disk() {
        let mut attempts = fresh();
        attempts.take(OWN, NOW).expect("first");
        attempts.failed(OWN, NOW);
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::HOST).expect("valid");
        let stored = record.with_status(&machine().id, attempts.status());
        assert_eq!(Attempts::of(&stored, &machine()).status(), attempts.status());
    }

    #[test]
    fn the_answer_comes_at_a_multiple_of_the_grain() {
        let grain = Duration::from_secs(3);
        assert_eq!(delay(grain, 1, Duration::from_millis(400)), Duration::from_millis(2600));
        assert_eq!(delay(grain, 1, Duration::from_millis(3400)), Duration::from_millis(2600));
        assert_eq!(delay(grain, 2, Duration::from_millis(400)), Duration::from_millis(5600));
        assert_eq!(delay(Duration::ZERO, 1, Duration::from_millis(400)), Duration::ZERO);
    }

    #[test]
    fn failures_in_a_row_cost_more_and_a_success_forgives() {
        let mut attempts = fresh();
        let costs: Vec<u32> = (0..7).map(|_| attempts.failed(OWN, NOW)).collect();
        assert_eq!(costs, [1, 1, 2, 4, 8, 8, 8]);
        attempts.succeeded(OWN, NOW);
        assert_eq!(attempts.failed(OWN, NOW), 1);
    }
}

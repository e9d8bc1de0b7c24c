//! How often credentials may be tried, and what a failure costs.
//!
//! Two classes of callers. The owner and root share the window that the record's `rateLimit…` fields
//! describe; it is kept in the host's `status`. Every other UID has a stricter window of its own, in
//! memory: a stranger can use up nobody's attempts but its own.

use super::verdict::Favour;
use records::Record;
use records::attempts::{Limit, Window, pause_usec};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Defaults of the record's `rateLimitIntervalUSec` and `rateLimitBurst`.
const OWNER: Limit = Limit { interval_usec: 60_000_000, burst: 30 };
/// What a UID that has no right to the home may try.
const STRANGER: Limit = Limit { interval_usec: 60_000_000, burst: 5 };
/// UIDs whose windows are remembered per home; beyond that strangers are refused until some expire.
const STRANGERS: usize = 64;
/// A member of our own in `status`: the owner's failures since the last success.
const FAILURES: &str = "failuresInARow";

/// What one class of callers has tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tries {
    window: Window,
    failures_in_a_row: u32,
}

impl Tries {
    /// Counts an attempt, or says how long is to be waited.
    fn take(&mut self, limit: Limit, now_usec: u64) -> Result<(), Duration> {
        let next = self.window.attempt(limit, now_usec);
        self.window = next.map_err(|then| Duration::from_micros(then.saturating_sub(now_usec)))?;
        Ok(())
    }

    fn is_over(&self, limit: Limit, now_usec: u64) -> bool {
        self.window.next_try_usec(Limit { burst: 1, ..limit }, now_usec).is_none()
    }
}

/// Attempts on one home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    limit: Limit,
    owner: Tries,
    strangers: BTreeMap<u32, Tries>,
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
        let window = Window {
            begin_usec: stored("rateLimitBeginUSec").unwrap_or(0),
            count: stored("rateLimitCount").unwrap_or(0),
        };
        // A daemon that was killed forgives nothing.
        let failed = stored(FAILURES).unwrap_or(0);
        Self {
            limit: limit_of(record),
            owner: Tries { window, failures_in_a_row: u32::try_from(failed).unwrap_or(u32::MAX) },
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
        let (tries, limit) = match trier.favour {
            Favour::Owner => (&mut self.owner, self.limit),
            Favour::Stranger => {
                self.strangers.retain(|_, tries| !tries.is_over(STRANGER, now_usec));
                if self.strangers.len() >= STRANGERS && !self.strangers.contains_key(&trier.uid) {
                    return Err(Duration::from_micros(STRANGER.interval_usec));
                }
                (self.strangers.entry(trier.uid).or_default(), STRANGER)
            }
        };
        tries.take(limit, now_usec)
    }

    /// Credentials were right.
    pub fn succeeded(&mut self, trier: Trier, now_usec: u64) {
        self.good = self.good.saturating_add(1);
        self.last_good_usec = Some(now_usec);
        if let Some(tries) = self.tries(trier) {
            tries.failures_in_a_row = 0;
        }
    }

    /// They were not: the answer comes at a multiple of the grain since the call came, so that its time
    /// tells nothing, and after failures in a row later and later.
    pub fn failed(&mut self, trier: Trier, now_usec: u64, grain: Duration, elapsed: Duration) -> Duration {
        self.bad = self.bad.saturating_add(1);
        self.last_bad_usec = Some(now_usec);
        let failures = self.tries(trier).map_or(1, |tries| {
            tries.failures_in_a_row = tries.failures_in_a_row.saturating_add(1);
            tries.failures_in_a_row
        });
        delay(grain, elapsed, Duration::from_micros(pause_usec(failures)))
    }

    fn tries(&mut self, trier: Trier) -> Option<&mut Tries> {
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
        put("rateLimitBeginUSec", Some(self.owner.window.begin_usec).filter(|n| *n > 0));
        // Zero is written too: it takes the place of what was there.
        put(FAILURES, Some(self.owner.failures_in_a_row.into()).filter(|_| self.bad > 0));
        put("rateLimitCount", Some(self.owner.window.count).filter(|n| *n > 0));
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

/// How long an answer is to be held back, `elapsed` after the call came. Without a grain not at all.
fn delay(grain: Duration, elapsed: Duration, pause: Duration) -> Duration {
    if grain.is_zero() {
        return Duration::ZERO;
    }
    let past = (elapsed + pause).as_nanos() % grain.as_nanos();
    // The remainder of a division by a Duration of seconds fits.
    pause + grain - Duration::from_nanos(u64::try_from(past).unwrap_or(0))
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
        attempts.failed(OWN, NOW, Duration::ZERO, Duration::ZERO);
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::HOST).expect("valid");
        let stored = record.with_status(&machine().id, attempts.status());
        assert_eq!(Attempts::of(&stored, &machine()).status(), attempts.status());
    }

    #[test]
    fn a_daemon_that_starts_anew_goes_on_with_the_pauses() {
        let (mut attempts, second) = (fresh(), Duration::from_secs(1));
        for _ in 0..5 {
            let _ = attempts.take(OWN, NOW);
            attempts.failed(OWN, NOW, second, Duration::ZERO);
        }
        let record =
            Record::parse(r#"{"userName":"alice","rateLimitBurst":9}"#, Sections::HOST).expect("valid");
        let again = |attempts: &Attempts| {
            Attempts::of(&record.clone().with_status(&machine().id, attempts.status()), &machine())
        };
        assert_eq!(again(&attempts).owner.failures_in_a_row, 5);
        attempts.succeeded(OWN, NOW);
        assert_eq!(again(&attempts).owner.failures_in_a_row, 0);
    }

    #[test]
    fn the_answer_comes_at_a_multiple_of_the_grain() {
        let (grain, none) = (Duration::from_secs(3), Duration::ZERO);
        assert_eq!(delay(grain, Duration::from_millis(400), none), Duration::from_millis(2600));
        assert_eq!(delay(grain, Duration::from_millis(3400), none), Duration::from_millis(2600));
        assert_eq!(
            delay(grain, Duration::from_millis(400), Duration::from_secs(4)),
            Duration::from_millis(5600)
        );
        assert_eq!(delay(Duration::ZERO, Duration::from_millis(400), none), Duration::ZERO);
    }

    #[test]
    fn failures_in_a_row_cost_more_and_a_success_forgives() {
        let (mut attempts, grain) = (fresh(), Duration::from_secs(1));
        let costs: Vec<u64> =
            (0..7).map(|_| attempts.failed(OWN, NOW, grain, Duration::ZERO).as_secs()).collect();
        assert_eq!(costs, [1, 1, 1, 2, 3, 5, 9]);
        attempts.succeeded(OWN, NOW);
        assert_eq!(attempts.failed(OWN, NOW, grain, Duration::ZERO).as_secs(), 1);
    }
}

//! How often credentials may be tried, and what a failure costs.
//!
//! Each origin has a window of its own, so that nobody uses up somebody else's attempts: the owner's own programs, every
//! other user, and every service that root's calls come from (a terminal's login, sshd, a display manager, the unlock
//! prompt). Windows of the owner and of services are as the record's `rateLimit…` fields say, and are kept in the host's
//! `status`; those of users without a right to the home are stricter, and in memory.

use super::verdict::Favour;
use records::attempts::{Limit, Window, pause_usec};
use records::{Machine, Record};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Defaults of the record's `rateLimitIntervalUSec` and `rateLimitBurst`.
const OWNER: Limit = Limit { interval_usec: 60_000_000, burst: 30 };
/// What a UID that has no right to the home may try.
const STRANGER: Limit = Limit { interval_usec: 60_000_000, burst: 5 };
/// Users whose windows are remembered per home; beyond that they are refused until some expire.
const STRANGERS: usize = 64;
/// Services whose windows are remembered per home; beyond that they share one.
const SERVICES: usize = 32;
/// A member of our own in `status`: origin → begin of the window, attempts in it, failures since the last success.
const ORIGINS: &str = "rateLimitByOrigin";
/// The owner's name there: no unit has it.
const OWN: &str = "own";

/// What one origin has tried.
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

    fn stored(value: &Value) -> Option<Self> {
        let number = |at: usize| value.get(at).and_then(Value::as_u64);
        let window = Window { begin_usec: number(0)?, count: number(1)? };
        Some(Self { window, failures_in_a_row: u32::try_from(number(2)?).unwrap_or(u32::MAX) })
    }

    fn to_json(self) -> Value {
        json!([self.window.begin_usec, self.window.count, self.failures_in_a_row])
    }

    fn is_over(&self, limit: Limit, now_usec: u64) -> bool {
        self.window.next_try_usec(Limit { burst: 1, ..limit }, now_usec).is_none()
    }
}

/// Where attempts come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The owner's own session.
    Owner,
    /// Another user's: by that UID.
    User(u32),
    /// A service's: its unit, without what tells instances apart; empty where no unit is known.
    Service(String),
}

/// Attempts on one home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    limit: Limit,
    tries: BTreeMap<Origin, Tries>,
    good: u64,
    bad: u64,
    last_good_usec: Option<u64>,
    last_bad_usec: Option<u64>,
}

/// Who tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trier {
    /// From where.
    pub origin: Origin,
    /// Whether it has a right to the home.
    pub favour: Favour,
}

impl Trier {
    /// The daemon itself.
    pub fn ourselves() -> Self {
        Self { origin: Origin::Owner, favour: Favour::Owner }
    }
}

impl Origin {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Owner => Some(OWN),
            Self::Service(unit) => Some(unit),
            Self::User(_) => None,
        }
    }
}

impl Attempts {
    /// Goes on where the record's status of this machine left off: a daemon that was killed forgives nothing.
    pub fn of(record: &Record, machine: &Machine) -> Self {
        let status = record.members().get("status").and_then(|all| all.get(machine.id.as_str()));
        let stored = |name: &str| status.and_then(|own| own.get(name)).and_then(Value::as_u64);
        let origins = status.and_then(|own| own.get(ORIGINS)).and_then(Value::as_object);
        let of_origin = |(name, tries): (&String, &Value)| {
            let origin = if name == OWN { Origin::Owner } else { Origin::Service(name.clone()) };
            Tries::stored(tries).map(|tries| (origin, tries))
        };
        Self {
            limit: limit_of(record, machine),
            tries: origins.into_iter().flatten().take(SERVICES).filter_map(of_origin).collect(),
            good: stored("goodAuthenticationCounter").unwrap_or(0),
            bad: stored("badAuthenticationCounter").unwrap_or(0),
            last_good_usec: stored("lastGoodAuthenticationUSec"),
            last_bad_usec: stored("lastBadAuthenticationUSec"),
        }
    }

    /// Takes the limits of a changed record; what was counted stays.
    pub fn follow(&mut self, record: &Record, machine: &Machine) {
        self.limit = limit_of(record, machine);
    }

    /// Counts an attempt, or says how long to wait.
    pub fn take(&mut self, trier: &Trier, now_usec: u64) -> Result<(), Duration> {
        let limit = match trier.favour {
            Favour::Owner => self.limit,
            Favour::Stranger => STRANGER,
        };
        let origin =
            self.known(&trier.origin, now_usec).ok_or(Duration::from_micros(STRANGER.interval_usec))?;
        self.tries.entry(origin).or_default().take(limit, now_usec)
    }

    /// Under which origin it is counted; `None`: there is no room for more.
    fn known(&mut self, origin: &Origin, now_usec: u64) -> Option<Origin> {
        if self.tries.contains_key(origin) {
            return Some(origin.clone());
        }
        let count = |kind: fn(&Origin) -> bool, all: &BTreeMap<Origin, Tries>| {
            all.keys().filter(|origin| kind(origin)).count()
        };
        match origin {
            Origin::Owner => Some(Origin::Owner),
            Origin::User(_) => {
                self.tries
                    .retain(|of, tries| !matches!(of, Origin::User(_)) || !tries.is_over(STRANGER, now_usec));
                let users = count(|origin| matches!(origin, Origin::User(_)), &self.tries);
                (users < STRANGERS).then(|| origin.clone())
            }
            Origin::Service(_) => {
                let services = count(|origin| matches!(origin, Origin::Service(_)), &self.tries);
                Some(if services < SERVICES { origin.clone() } else { Origin::Service(String::new()) })
            }
        }
    }

    /// How often an origin has tried lately: who has least goes first.
    pub fn lately(&self, trier: &Trier, now_usec: u64) -> u64 {
        let tries = self.tries.get(&trier.origin).filter(|tries| !tries.is_over(self.limit, now_usec));
        tries.map_or(0, |tries| tries.window.count)
    }

    /// Credentials were right.
    pub fn succeeded(&mut self, trier: &Trier, now_usec: u64) {
        self.good = self.good.saturating_add(1);
        self.last_good_usec = Some(now_usec);
        if let Some(tries) =
            self.known(&trier.origin, now_usec).and_then(|origin| self.tries.get_mut(&origin))
        {
            tries.failures_in_a_row = 0;
        }
    }

    /// They were not: the answer comes at a multiple of the grain since the call came, so that its time
    /// tells nothing, and after failures in a row later and later.
    pub fn failed(&mut self, trier: &Trier, now_usec: u64, grain: Duration, elapsed: Duration) -> Duration {
        self.bad = self.bad.saturating_add(1);
        self.last_bad_usec = Some(now_usec);
        let origin = self.known(&trier.origin, now_usec);
        let failures = origin.map_or(1, |origin| {
            let tries = self.tries.entry(origin).or_default();
            tries.failures_in_a_row = tries.failures_in_a_row.saturating_add(1);
            tries.failures_in_a_row
        });
        delay(grain, elapsed, Duration::from_micros(pause_usec(failures)))
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
        // The original's fields have room for one: the fullest.
        let fullest = self.tries.iter().filter(|(origin, _)| origin.name().is_some());
        let fullest = fullest.map(|(_, tries)| tries.window).max_by_key(|window| window.count);
        put("rateLimitBeginUSec", fullest.map(|window| window.begin_usec).filter(|n| *n > 0));
        put("rateLimitCount", fullest.map(|window| window.count).filter(|n| *n > 0));
        let of_origin =
            |(origin, tries): (&Origin, &Tries)| Some((origin.name()?.to_owned(), tries.to_json()));
        let origins: Map<String, Value> = self.tries.iter().filter_map(of_origin).collect();
        if !origins.is_empty() {
            members.insert(ORIGINS.to_owned(), origins.into());
        }
        members
    }
}

fn limit_of(record: &Record, machine: &Machine) -> Limit {
    let settings = record.on(machine);
    Limit {
        interval_usec: settings.rate_limit_interval_usec.unwrap_or(OWNER.interval_usec),
        burst: settings.rate_limit_burst.unwrap_or(OWNER.burst),
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

    fn own() -> Trier {
        Trier::ourselves()
    }

    fn service(unit: &str) -> Trier {
        Trier { origin: Origin::Service(unit.into()), favour: Favour::Owner }
    }

    const NOW: u64 = 1_700_000_000_000_000;

    fn stranger(uid: u32) -> Trier {
        Trier { origin: Origin::User(uid), favour: Favour::Stranger }
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
            let _ = attempts.take(&stranger(2000), NOW);
        }
        assert!(attempts.take(&stranger(2000), NOW).is_err());
        assert_eq!(attempts.take(&stranger(2001), NOW), Ok(()));
        assert_eq!(attempts.take(&own(), NOW), Ok(()));
    }

    #[test]
    fn who_guesses_over_the_network_uses_up_neither_the_seat_nor_the_prompt() {
        let (mut attempts, second) = (fresh(), Duration::from_secs(1));
        for _ in 0..50 {
            let _ = attempts.take(&service("ssh.service"), NOW);
            attempts.failed(&service("ssh.service"), NOW, second, Duration::ZERO);
        }
        assert!(attempts.take(&service("ssh.service"), NOW).is_err());
        for unit in ["getty@.service", "homed-prompt.service", "gdm.service"] {
            assert_eq!(attempts.take(&service(unit), NOW), Ok(()), "{unit}");
            assert_eq!(attempts.failed(&service(unit), NOW, second, Duration::ZERO), second, "{unit}");
            assert!(attempts.lately(&service(unit), NOW) < attempts.lately(&service("ssh.service"), NOW));
        }
        assert_eq!(attempts.take(&own(), NOW), Ok(()));
        // So it is after the daemon was started again.
        let record =
            Record::parse(r#"{"userName":"alice","rateLimitBurst":3}"#, Sections::HOST).expect("valid");
        let mut again = Attempts::of(&record.with_status(&machine().id, attempts.status()), &machine());
        assert!(again.take(&service("ssh.service"), NOW).is_err());
        assert_eq!(again.take(&service("getty@.service"), NOW), Ok(()));
    }

    #[test]
    fn many_strangers_fill_a_bounded_table_and_still_not_the_owners_window() {
        let mut attempts = fresh();
        let taken = (0..10_000).filter(|uid| attempts.take(&stranger(*uid), NOW).is_ok()).count();
        assert_eq!(taken, STRANGERS);
        assert_eq!(attempts.take(&own(), NOW), Ok(()));
        assert_eq!(attempts.take(&stranger(1), NOW + STRANGER.interval_usec), Ok(()));
    }

    #[test]
    fn the_records_own_limit_holds_and_says_when_to_come_again() {
        let mut attempts = fresh();
        for _ in 0..3 {
            assert_eq!(attempts.take(&own(), NOW), Ok(()));
        }
        assert_eq!(attempts.take(&own(), NOW + 20_000_000), Err(Duration::from_secs(40)));
        assert_eq!(attempts.take(&own(), NOW + 60_000_000), Ok(()));
    }

    #[test]
    fn a_clock_that_went_back_locks_nobody_out() {
        let mut attempts = fresh();
        for _ in 0..3 {
            assert_eq!(attempts.take(&own(), NOW), Ok(()));
        }
        assert_eq!(attempts.take(&own(), NOW - 1), Ok(()));
    }

    #[test]
    fn counters_survive_on_disk() {
        let mut attempts = fresh();
        attempts.take(&own(), NOW).expect("first");
        attempts.failed(&own(), NOW, Duration::ZERO, Duration::ZERO);
        let record = Record::parse(r#"{"userName":"alice"}"#, Sections::HOST).expect("valid");
        let stored = record.with_status(&machine().id, attempts.status());
        assert_eq!(Attempts::of(&stored, &machine()).status(), attempts.status());
    }

    #[test]
    fn a_daemon_that_starts_anew_goes_on_with_the_pauses() {
        let (mut attempts, second) = (fresh(), Duration::from_secs(1));
        for _ in 0..5 {
            let _ = attempts.take(&own(), NOW);
            attempts.failed(&own(), NOW, second, Duration::ZERO);
        }
        let record =
            Record::parse(r#"{"userName":"alice","rateLimitBurst":9}"#, Sections::HOST).expect("valid");
        let again = |attempts: &Attempts| {
            Attempts::of(&record.clone().with_status(&machine().id, attempts.status()), &machine())
        };
        assert_eq!(again(&attempts).tries[&Origin::Owner].failures_in_a_row, 5);
        attempts.succeeded(&own(), NOW);
        assert_eq!(again(&attempts).tries[&Origin::Owner].failures_in_a_row, 0);
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
            (0..7).map(|_| attempts.failed(&own(), NOW, grain, Duration::ZERO).as_secs()).collect();
        assert_eq!(costs, [1, 1, 1, 2, 3, 5, 9]);
        attempts.succeeded(&own(), NOW);
        assert_eq!(attempts.failed(&own(), NOW, grain, Duration::ZERO).as_secs(), 1);
    }
}

//! How often credentials may be tried, and what a failure costs.
//!
//! Each origin has a window of its own, so that nobody uses up somebody else's attempts: the owner's own programs, every
//! other user, and every service that root's calls come from (a terminal's login, sshd, a display manager, the unlock
//! prompt). Windows of the owner and of services are as the record's `rateLimit…` fields say, and are kept in the host's
//! `status`; those of users without a right to the home are stricter, and in memory.
//!
//! Only what tries a secret is an attempt. Who offers none asks what is needed, and may have a worker look: such questions have
//! windows beside, in memory, so that they are bounded, too, and use up nobody's attempts.

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

/// What is counted of each origin.
type Counted = BTreeMap<Origin, Tries>;

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
    tries: Counted,
    /// Questions without a secret.
    asked: Counted,
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
            asked: Counted::new(),
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
        let limit = self.limit_for(trier);
        take(&mut self.tries, limit, trier, now_usec)
    }

    /// Counts a question without a secret, or says how long to wait.
    pub fn ask(&mut self, trier: &Trier, now_usec: u64) -> Result<(), Duration> {
        let limit = self.limit_for(trier);
        take(&mut self.asked, limit, trier, now_usec)
    }

    fn limit_for(&self, trier: &Trier) -> Limit {
        match trier.favour {
            Favour::Owner => self.limit,
            Favour::Stranger => STRANGER,
        }
    }

    /// How often an origin has tried lately: who has least goes first.
    pub fn lately(&self, trier: &Trier, now_usec: u64) -> u64 {
        let counts = [&self.tries, &self.asked].map(|counted| {
            let tries = counted.get(&trier.origin).filter(|tries| !tries.is_over(self.limit, now_usec));
            tries.map_or(0, |tries| tries.window.count)
        });
        counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Credentials were right.
    pub fn succeeded(&mut self, trier: &Trier, now_usec: u64) {
        self.good = self.good.saturating_add(1);
        self.last_good_usec = Some(now_usec);
        if let Some(tries) =
            known(&mut self.tries, &trier.origin, now_usec).and_then(|origin| self.tries.get_mut(&origin))
        {
            tries.failures_in_a_row = 0;
        }
    }

    /// They were not: the answer comes at a multiple of the grain since the call came, so that its time
    /// tells nothing, and after failures in a row later and later.
    pub fn failed(&mut self, trier: &Trier, now_usec: u64, grain: Duration, elapsed: Duration) -> Duration {
        self.bad = self.bad.saturating_add(1);
        self.last_bad_usec = Some(now_usec);
        let origin = known(&mut self.tries, &trier.origin, now_usec);
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

/// Counts one more of an origin, or says how long to wait.
fn take(counted: &mut Counted, limit: Limit, trier: &Trier, now_usec: u64) -> Result<(), Duration> {
    let origin =
        known(counted, &trier.origin, now_usec).ok_or(Duration::from_micros(STRANGER.interval_usec))?;
    counted.entry(origin).or_default().take(limit, now_usec)
}

/// Under which origin it is counted; `None`: there is no room for more.
fn known(counted: &mut Counted, origin: &Origin, now_usec: u64) -> Option<Origin> {
    if counted.contains_key(origin) {
        return Some(origin.clone());
    }
    let count = |kind: fn(&Origin) -> bool, all: &Counted| all.keys().filter(|origin| kind(origin)).count();
    match origin {
        Origin::Owner => Some(Origin::Owner),
        Origin::User(_) => {
            counted.retain(|of, tries| !matches!(of, Origin::User(_)) || !tries.is_over(STRANGER, now_usec));
            let users = count(|origin| matches!(origin, Origin::User(_)), counted);
            (users < STRANGERS).then(|| origin.clone())
        }
        Origin::Service(_) => {
            let services = count(|origin| matches!(origin, Origin::Service(_)), counted);
            Some(if services < SERVICES { origin.clone() } else { Origin::Service(String::new()) })
        }
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
mod tests;

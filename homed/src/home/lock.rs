//! Locks: their bounds, who is left out, and the mending of what was broken off.

use super::effect::{Announcement, Effect, Failed};
use super::facts::Facts;
use super::state::{Purpose, Resting, Work};
use super::verdict::Verb;
use super::{Fate, Home, Turn, Waiter, Wanted};
use crate::job::{Care, Step};
use crate::words::request::Answer;
use records::refusal::Refused;
use records::{LockLevel, Refusal};
use std::time::Duration;

/// Until a worker that locks has the key out of memory: ten seconds for freezing the processes, twenty for the disk, eight
/// for compressors, five for caches, and ten for the file system and the device. One that hangs is found out by this alone.
const KEY_GONE: Duration = Duration::from_secs(55);
/// The same at the level `strict`.
const STRICT: Duration = Duration::from_secs(65);
/// A worker that locks is killed after this: the former, the longest scrub, and some air.
const LOCKING: Duration = Duration::from_secs(80);
/// One that mends or gives up.
const MENDING: Duration = Duration::from_secs(30);

/// How long a worker may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Until it must have come to a step.
    pub step: Option<(Step, Duration)>,
    /// Until it must have ended.
    pub end: Duration,
}

/// What bounds there are; other workers have none, they show progress.
pub(super) fn bound(work: Work, level: LockLevel) -> Option<Bound> {
    match (work, level) {
        // What processes have in memory is written to swap space first.
        (Work::Locking, LockLevel::Strict) => Some(Bound { step: Some((Step::Scrub, STRICT)), end: LOCKING }),
        // Closing a home may check and trim it.
        (Work::Locking, LockLevel::Terminate) => Some(Bound { step: None, end: LOCKING }),
        (Work::Locking, _) => Some(Bound { step: Some((Step::Scrub, KEY_GONE)), end: LOCKING }),
        (Work::Settling | Work::GivingUp, _) => Some(Bound { step: None, end: MENDING }),
        (Work::Tending(Care::Left), _) => Some(Bound { step: None, end: super::tend::LEAVING }),
        _ => None,
    }
}

/// Whether a job of that name ([`super::effect::StartJob::what`]) leaves something to be settled when it is
/// broken off.
pub fn is_lock(what: &str) -> bool {
    [Work::Locking, Work::Unlocking(Purpose::Itself), Work::Settling]
        .iter()
        .any(|work| super::run::what(*work) == what)
}

/// Whether a job of that name makes a home.
pub fn is_creation(what: &str) -> bool {
    super::run::what(Work::Creating) == what
}

/// Whether a job of that name closes a home: broken off, it may leave something to be settled as well.
pub fn is_close(what: &str) -> bool {
    [Work::Deactivating, Work::GivingUp].iter().any(|work| super::run::what(*work) == what)
}

impl Home {
    /// Locks it as nobody has asked for by name: not while somebody has it left out.
    pub fn lock_unasked(&mut self, wanted: Wanted, turn: &mut Turn) {
        let open = self.state(turn.facts).resting == Resting::Active;
        if let Some(inhibitor) = self.inhibitors(turn.now_usec).next().filter(|_| open) {
            let words = inhibitor.words(turn.now_usec);
            self.log(turn, &format!("{}: NOT LOCKED, its key stays in memory: {words}", self.user()));
            return turn.answer(wanted.waiter, Ok(Answer::Done));
        }
        let Fate::Stays = self.want(wanted, turn) else { return };
    }

    /// The same before the machine sleeps: what has no key is as safe asleep as closed, and keeps nobody's machine awake; neither
    /// does what has one that nobody could take out of memory, and it is told that it stays there.
    pub fn lock_for_sleep(&mut self, wanted: Wanted, turn: &mut Turn) {
        if !self.is_left_open(turn) {
            return self.lock_unasked(wanted, turn);
        }
        let why = match self.has_no_key(turn.facts) {
            true => "stays open in the sleep: a home of this kind has no key, and is readable on its disk",
            false => {
                "NOT LOCKED, its key stays in memory: a home of this kind cannot be locked while it is open \
                 (homectl update --lock-level=terminate has it closed)"
            }
        };
        self.log(turn, &format!("{}: {why}", self.user()));
        turn.answer(wanted.waiter, Ok(Answer::Done));
    }

    /// Whether it is open, of a kind that cannot be locked, and nothing else was promised either (its processes ended, or their
    /// memory encrypted).
    fn is_left_open(&self, turn: &Turn) -> bool {
        let promised = match self.record().on(turn.machine).lock_level.unwrap_or(turn.lock_level) {
            LockLevel::Strict | LockLevel::Terminate => true,
            LockLevel::Key | LockLevel::Cache => false,
        };
        let cannot = turn.facts.parts(self.place()).is_some_and(|parts| !parts.locks);
        !promised && self.state(turn.facts).resting == Resting::Active && cannot
    }

    /// Whether it has a key, and the machine sleeps with that in memory ([`Self::lock_for_sleep`]).
    pub fn keeps_its_key(&self, turn: &Turn) -> bool {
        self.is_left_open(turn) && !self.has_no_key(turn.facts)
    }

    /// Whether it is of a kind that has none. Of one that is not known here nobody can tell.
    pub fn has_no_key(&self, facts: &dyn Facts) -> bool {
        facts.parts(self.place()).is_some_and(|parts| !parts.keyed)
    }

    pub(super) fn failed_lock(&self, why: &str) -> Failed {
        Failed::Refused(Refused::new(
            Refusal::NotLocked,
            format!("The home of {} is not locked as it should be: {why}.", self.user()),
        ))
    }

    /// What is told of a lock whose worker failed, hung or was killed: what happened, where the key is, as the kernel shows,
    /// and what follows. It is settled in any case.
    pub(super) fn broken_lock(&self, chain: &str, turn: &Turn) -> String {
        let resting = turn.facts.whereabouts(&self.place).resting(self.known);
        let key = match resting {
            Resting::Active | Resting::Open => "its key is still in memory",
            Resting::Locked => "its device is suspended without a key, and what follows that was not done",
            Resting::Unfixated | Resting::Absent | Resting::Inactive | Resting::Dirty => {
                "nothing of it is open any more"
            }
        };
        format!(
            "the lock was broken off ({chain}); {key}. It is finished or taken back now, and tried again until that \
             succeeds. A disk that gives no answer has to be plugged in again; if that is no help, close what can be closed \
             and restart the machine. To try at once, as root: homectl lock {}",
            self.user()
        )
    }

    /// A lock that nobody waits for by name has failed: whoever may do something about it is told.
    pub(super) fn not_locked(&self, waiter: Waiter, why: &str, turn: &mut Turn) {
        if let Waiter::Group(group) = waiter {
            turn.not_locked.push((group, format!("{}: {why}", self.user())));
        }
        turn.effects.push(Effect::Announce(Announcement::NotLocked(self.user().clone(), why.to_owned())));
    }

    /// Finishes or takes back a lock or unlock that was broken off: nobody stays frozen, and what is locked
    /// stays locked.
    pub fn settle(&mut self, turn: &mut Turn) {
        // Of a kind that cannot be used here, nothing can have been left.
        if turn.facts.parts(self.place()).is_some() {
            let wanted = Wanted::by_the_daemon(Verb::Settle, turn.now_usec);
            let Fate::Stays = self.want(wanted, turn) else { return };
        }
    }
}

//! What tests of the core see of a home that nobody else may: what runs, what waits, and which timers are set.

pub use super::queue::{Class, ONE_ORIGIN, ONE_STRANGER, OWNER, STRANGER, URGENT};
use super::state::Work;
use super::unsettled;
use super::verdict::Verb;
use super::{Home, TimerKind, Waiter, Wanted};
use crate::home::attempts::Origin;

/// Something that is wanted of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub verb: Verb,
    pub class: Class,
    pub waiter: Waiter,
    pub origin: Origin,
    pub asked_usec: u64,
    pub is_attempt: bool,
}

impl Seen {
    fn of(wanted: &Wanted) -> Self {
        Self {
            verb: wanted.verb,
            class: wanted.class(),
            waiter: wanted.waiter,
            origin: wanted.trier.origin.clone(),
            asked_usec: wanted.asked_usec,
            is_attempt: wanted.is_attempt(),
        }
    }
}

impl Home {
    /// What runs, and for what.
    pub fn runs(&self) -> Option<(Work, Seen)> {
        self.running.as_ref().map(|running| (running.work, Seen::of(&running.wanted)))
    }

    /// What waits, in the order of the classes.
    pub fn waits(&self) -> Vec<Seen> {
        self.queue.waiting().map(Seen::of).collect()
    }

    /// Whether a timer of that kind counts.
    pub fn waits_for(&self, kind: TimerKind) -> bool {
        self.is_timed(kind)
    }

    /// Whether nothing is heard of what runs.
    pub fn hangs(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.hangs_at().is_some())
    }

    /// Whether a deactivation has failed and is tried again.
    pub fn lingers(&self) -> bool {
        self.failed_deactivations.is_some()
    }

    /// Who waits to be told that it was not made.
    pub fn untold(&self) -> Option<Waiter> {
        self.going.as_ref().and_then(super::after::Going::waiter)
    }

    /// Whether settling it has failed so often that nobody waits for it.
    pub fn gave_up_settling(&self) -> bool {
        self.unsettled.as_ref().is_some_and(unsettled::Unsettled::is_stuck)
    }
}

impl TimerKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Deactivate, Self::Settle, Self::Tend, Self::Away, Self::Hurry, Self::Late];
}
